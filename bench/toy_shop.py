"""How near a training comes to the best there is to find on the toy shop (synthetic), task by task.

    .venv/bin/python bench/toy_shop.py [CUSTOMERS] [SEED] [PRESET]

Beside the served model and every other predictor it gives `visible`: the Bayes answer of who knows all laws but
only the log. What lies between it and the oracle is hidden by the generator, not lost by a model.
The result is added to bench/results/toy_shop.jsonl.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import expit, logsumexp, ndtri, softmax

from intently import metrics
from intently.contract import Past, Scores
from intently.evaluate.compare import compare
from intently.evaluate.oracle import Oracle, skill
from intently.learn.train import train
from intently.log import toy_shop
from intently.log.log import Log
from intently.log.pack import Array, codes
from intently.log.toy_planted import Planted
from intently.log.toy_process import ITEMS_PER_CATEGORY
from intently.log.toy_words import CATEGORIES, STYLES
from intently.tasks import BUILT_IN

RESULTS = Path(__file__).parent / "results"
WEEK = timedelta(days=7)
UNTIL = toy_shop.START + 31 * WEEK
CUTOFFS = [UNTIL + week * WEEK for week in range(5)]
GRID = ndtri((np.arange(60) + 0.5) / 60)


@dataclass(frozen=True)
class Seen:
    """What the log before `at` shows of each customer, as the posteriors need it."""

    visits: Array  # (customers, days)
    looks: pl.DataFrame  # customer, day, item of each view
    carts: Array  # (customers,)
    noise: Array  # (customers,) sum of log amount / units / price over purchases
    buys: Array  # (customers,)


def visible(planted: Planted, seen: Seen, day: int, rng: np.random.Generator) -> Planted:
    """The shop with every latent thing drawn anew from its exact posterior, given the laws and the log.

    Given the log these are independent: rate and state (a filter), cart chance (a binomial), taste (a normal mean),
    interest (a filter over pairs of categories), style with favourites (all counted up).
    """
    process, constants = planted.process, planted.process.constants
    n = len(planted.user_ids)
    median, spread, least, most = constants.rate
    rate = (median * np.exp(spread * GRID)).clip(least, most)
    belief = filtered(process.lift, process.steps, seen.visits, rate, process.season(np.arange(day))) @ process.steps
    one = drawn(belief.reshape(n, -1), rng)
    cart = expit(constants.cart[0] + constants.cart[1] * GRID)
    number = np.maximum(np.bincount(seen.looks["customer"], minlength=n), seen.carts)
    likely = seen.carts[:, None] * np.log(cart) + (number - seen.carts)[:, None] * np.log1p(-cart)
    precision = 1 / constants.taste**2 + seen.buys / constants.noise**2
    middle = (seen.noise + seen.buys * constants.noise**2 / 2) / constants.noise**2 / precision
    style, favourite = styles(planted, seen, rng)
    states, pairs = planted.states.copy(), planted.pairs.copy()
    states[day], pairs[day] = one % 2, interests(planted, seen, day, rng)
    customers = replace(
        process.customers,
        rate=rate[one // 2],
        cart=cart[drawn(softmax(likely, axis=1), rng)],
        taste=np.exp(rng.normal(middle, 1 / np.sqrt(precision))),
        style=style,
        favourite=favourite,
    )
    return replace(planted, process=replace(process, customers=customers), states=states, pairs=pairs)


def filtered(lift: Array, steps: Array, visits: Array, rate: Array, season: Array) -> Array:
    """Posterior of rate and state of the last day, (n, rates, 2), from visits (n, days)."""
    start = np.array([steps[1, 0], steps[0, 1]]) / (steps[1, 0] + steps[0, 1])
    belief = np.tile(start, (len(visits), len(rate), 1)) / len(rate)
    for day in range(visits.shape[1]):
        mean = rate[:, None] * lift * season[day]
        belief = belief if day == 0 else belief @ steps
        belief = belief * np.exp(visits[:, day, None, None] * np.log(mean) - mean)
        belief /= belief.sum(axis=(1, 2), keepdims=True)
    return belief


def interests(planted: Planted, seen: Seen, day: int, rng: np.random.Generator) -> Array:
    """A pair of each customer from its posterior at the day that begins, (customers,)."""
    process, k = planted.process, len(CATEGORIES)
    steps = process.pair_steps
    n = len(planted.user_ids)
    looked = np.zeros((n, day, k))
    category = seen.looks["item"].to_numpy() // ITEMS_PER_CATEGORY
    np.add.at(looked, (seen.looks["customer"].to_numpy(), seen.looks["day"].to_numpy(), category), 1)
    belief = np.tile((process.catalogue.favoured[:, None] * process.next_second).reshape(-1), (n, 1))
    for number in range(day):
        belief = belief * np.exp(looked[:, number] @ np.log(process.shares).T)
        belief = belief @ steps
        belief /= belief.sum(axis=1, keepdims=True)
    return drawn(belief, rng)


def styles(planted: Planted, seen: Seen, rng: np.random.Generator) -> tuple[Array, Array]:
    """A style and favourites of each customer from their posterior, (customers,) and (customers, 12)."""
    process, phi = planted.process, planted.process.constants.favourite
    n, k, j = len(planted.user_ids), len(CATEGORIES), ITEMS_PER_CATEGORY
    who, item = seen.looks["customer"].to_numpy(), seen.looks["item"].to_numpy()
    epoch = process.epoch(seen.looks["day"].to_numpy())
    weight = np.zeros((len(STYLES), n, k, j))  # log chance of the looks, if this item is the favourite
    for number in range(len(STYLES)):
        base = process.base[epoch, number, item // j, item % j]
        other = np.zeros((n, k))
        np.add.at(other, (who, item // j), np.log((1 - phi) * base))
        weight[number] = other[:, :, None] + np.log(np.maximum(process.base[0, number], 1e-300))
        np.add.at(weight[number], (who, item // j, item % j), np.log1p(phi / ((1 - phi) * base)))
    style = drawn(softmax(logsumexp(weight, axis=3).sum(axis=2).T, axis=1), rng)
    chosen = weight[style, np.arange(n)].reshape(n * k, j)
    return style, np.arange(k) * j + drawn(softmax(chosen, axis=1), rng).reshape(n, k)


def drawn(chances: Array, rng: np.random.Generator) -> Array:
    """A column of each row by its chances, (n,)."""
    running = np.cumsum(chances, axis=1)
    return np.minimum((running <= rng.random((len(chances), 1)) * running[:, -1:]).sum(axis=1), chances.shape[1] - 1)


def shown(log: Log, planted: Planted, day: int) -> Seen:
    """What a log that ends at the beginning of `day` shows."""
    n = len(planted.user_ids)
    rows = log.events.filter(pl.col("session_id").is_not_null()).with_columns(
        pl.Series("customer", codes(log.events["user_id"], planted.user_ids)).filter(
            log.events["session_id"].is_not_null()
        ),
        ((pl.col("timestamp") - planted.start).dt.total_days()).alias("day"),
    )
    first = rows.unique("session_id")
    visits = np.zeros((n, day))
    np.add.at(visits, (first["customer"].to_numpy(), first["day"].to_numpy()), 1)
    views, buys = (rows.filter(pl.col("event_type") == kind) for kind in ("view", "buy"))
    carts = rows.filter(pl.col("event_type") == "cart")["customer"]
    price = planted.process.catalogue.price[planted.items_of(buys["item_id"])]
    noise = np.log(np.maximum(buys["amount"].to_numpy(), 0.005) / buys["quantity"].to_numpy() / price)
    return Seen(
        visits,
        views.select("customer", "day", pl.Series("item", planted.items_of(views["item_id"]))),
        np.bincount(carts, minlength=n),
        np.bincount(buys["customer"], weights=noise, minlength=n),
        np.bincount(buys["customer"], minlength=n),
    )


def attainable(log: Log, planted: Planted, samples: int = 8) -> dict[str, Scores]:
    """The Bayes answers of all tasks to who knows the laws and the log: averages over samples of the posterior.

    Chances, means, expected purchases and best shares are averaged; quantiles are averaged level by level, which is
    near the pooled quantile where the posterior is narrow. So these are lower bounds of what can be attained.
    """
    rng = np.random.default_rng(1)
    asked = {task.name: task.examples(log, CUTOFFS) for task in BUILT_IN}
    parts: dict[str, list[Scores]] = {task.name: [] for task in BUILT_IN}
    for at in CUTOFFS:
        day = planted.day(at)
        seen = shown(log.before(at), planted, day)
        shops = [visible(planted, seen, day, rng) for _ in range(samples)]
        for task in BUILT_IN:
            now = asked[task.name].where(pl.col("at") == at)
            answers = [Oracle(shop, 100, seed, ranked=300).answer(task, now) for seed, shop in enumerate(shops)]
            parts[task.name].append(averaged(answers))
    found = {}
    for task in BUILT_IN:
        order = np.concatenate([np.flatnonzero((asked[task.name].at == at).to_numpy()) for at in CUTOFFS])
        whole = parts[task.name]
        ids = None if whole[0].ids is None else np.concatenate([part.ids for part in whole])
        both = replace(whole[0], values=np.concatenate([part.values for part in whole]), ids=ids)
        found[task.name] = both.take(np.argsort(order))
    return found


def averaged(answers: list[Scores]) -> Scores:
    """The mean answer; rankings by the mean of their expected purchases."""
    if answers[0].ids is None:
        return replace(answers[0], values=np.mean([answer.values for answer in answers], axis=0))
    total = np.zeros(answers[0].values.shape)
    first = answers[0].ids.min()
    for answer in answers:
        np.add.at(total, (np.arange(len(total))[:, None], answer.ids - first), answer.values)
    best = np.argsort(-total, axis=1)[:, :100]
    return replace(answers[0], values=np.take_along_axis(total, best, axis=1).astype(np.float32), ids=best + first)


def main() -> None:
    customers, seed = (int(word) for word in (sys.argv[1:3] + ["1000", "0"][len(sys.argv[1:3]) :]))
    preset = sys.argv[3] if len(sys.argv) > 3 else "fast"
    log, planted = toy_shop.plant(customers, 280, seed)
    begin = time.process_time()
    trained = train(log, UNTIL, BUILT_IN, preset=preset, threads=1, seed=0)
    found = {
        "note": toy_shop.NOTE,
        "command": f"bench/toy_shop.py {customers} {seed} {preset}",
        "made": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="minutes"),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "events": len(log.events),
        "train_cpu_seconds": round(time.process_time() - begin, 1),
        "served": dict(trained.served),
        "tasks": {},
    }
    can = attainable(log, planted)
    for task in BUILT_IN:
        examples = task.examples(log, CUTOFFS)
        past = Past(log, examples)
        predictions = {"bayes": Oracle(planted).answer(task, examples)}
        predictions["visible"] = can[task.name]
        for name in trained.predictors[task.name]:
            predictions[name] = trained.answer(examples, past, name)
        metric = metrics.of(type(task.answer).__name__, task.metrics)[0]
        report = compare(task, examples, predictions, replicates=300, rng=np.random.default_rng(0))
        constant, bayes = (report.score(name, task.name).value for name in ("constant", "bayes"))
        rows = {}
        for name in report.predictors(task.name):
            value, gap = report.score(name, task.name).value, 0.0
            if name != "bayes":
                ahead = report.difference(name, "bayes", task.name)
                gap = ahead.value / max((ahead.high - ahead.low) / (2 * 1.96), 1e-12)
            rows[name] = {
                metric.name: round(value, 4),
                "skill": round(skill(metric, value, constant, bayes), 3),
                "standard_errors_above_bayes": round(gap, 1),
            }
        found["tasks"][task.name] = rows
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "toy_shop.jsonl").open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
