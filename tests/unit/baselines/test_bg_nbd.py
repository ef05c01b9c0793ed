"""BG/NBD and Gamma-Gamma: parameters found again, the formulas against slow plain ones, and the laws of both."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.special import gamma, hyp2f1

from intently.baselines import bg_nbd
from intently.baselines.bg_nbd import BGNBD, Money, Purchasing
from intently.contract import Past
from intently.errors import ConfigError, TooFewExamples
from intently.log.log import Log
from intently.log.pack import Array
from intently.tasks import demand, next_item, purchase_intent, purchasing_power
from small_logs import day

# The published estimates for the CDNOW customers, in weeks (Fader, Hardie and Lee 2005).
CDNOW = Purchasing(r=0.243, alpha=4.414, a=0.793, b=2.426)


def bought(n: int, truth: Purchasing, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Repeat purchases, recency and time observed of n customers who live by the model."""
    rate, drop = rng.gamma(truth.r, 1 / truth.alpha, n), rng.beta(truth.a, truth.b, n)
    observed = rng.uniform(100, 300, n)
    repeats, recency, time = np.zeros(n), np.zeros(n), np.zeros(n)
    alive = np.ones(n, dtype=bool)
    while alive.any():
        time = np.where(alive, time + rng.exponential(1 / rate), time)
        came = alive & (time <= observed)
        repeats += came
        recency = np.where(came, time, recency)
        alive = came & (rng.random(n) >= drop)
    return repeats, recency, observed


def plain_likelihood(p: Purchasing, x: int, recency: float, observed: float) -> float:
    """The likelihood of one customer, by integrating over both of their traits: nothing is taken from the formula."""

    def given(rate: float, drop: float) -> float:
        stays = (1 - drop) ** x * rate**x * np.exp(-rate * observed)
        goes = drop * (1 - drop) ** (x - 1) * rate**x * np.exp(-rate * recency) if x else 0.0
        return stays + goes

    def rates(rate: float) -> float:
        return p.alpha**p.r * rate ** (p.r - 1) * np.exp(-p.alpha * rate) / gamma(p.r)

    def drops(drop: float) -> float:
        return gamma(p.a + p.b) / gamma(p.a) / gamma(p.b) * drop ** (p.a - 1) * (1 - drop) ** (p.b - 1)

    def over_rates(drop: float) -> float:
        return quad(lambda rate: given(rate, drop) * rates(rate), 0, np.inf)[0] * drops(drop)

    return quad(over_rates, 0, 1)[0]


def closed_form(p: Purchasing, x: Array, recency: Array, observed: Array, days: float) -> Array:
    """Equation (10) as it is printed; good for few purchases and a away from 1."""
    z = days / (p.alpha + observed + days)
    f = hyp2f1(p.r + x, p.b + x, p.a + p.b + x - 1, z)
    top = (p.a + p.b + x - 1) / (p.a - 1) * (1 - ((p.alpha + observed) / (p.alpha + observed + days)) ** (p.r + x) * f)
    return top / (1 + (x > 0) * p.a / (p.b + x - 1) * ((p.alpha + observed) / (p.alpha + recency)) ** (p.r + x))


def test_the_likelihood_is_that_of_a_plain_integral():
    p = Purchasing(r=1.3, alpha=6.0, a=1.4, b=2.5)
    theta = np.log([p.r, p.alpha, p.a, p.b])
    for x, recency, observed in ((0, 0.0, 9.0), (1, 4.0, 9.0), (3, 2.0, 20.0)):
        one = (np.array([float(x)]), np.array([recency]), np.array([observed]))
        found = bg_nbd._purchasing_likelihood(theta, *one)[0]
        assert found == pytest.approx(np.log(plain_likelihood(p, x, recency, observed)), rel=1e-6)


def test_gradients_are_those_of_the_likelihoods():
    rng = np.random.default_rng(0)
    x, recency, observed = bought(200, Purchasing(0.8, 30.0, 0.9, 2.5), rng)
    worth = rng.gamma(2.0, 20.0, 200)
    for likelihood, data, size in (
        (bg_nbd._purchasing_likelihood, (x, recency / 200, observed / 200), 4),
        (bg_nbd._money_likelihood, (x + 1, worth / 40), 3),
    ):
        at = rng.normal(0, 0.5, size)
        off = check_grad(lambda t: likelihood(t, *data)[0], lambda t: likelihood(t, *data)[1], at)  # noqa: B023
        assert off < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_purchasing_is_found_again_within_five_percent(seed: int):
    # 150,000 customers: the standard error of b, the loosest of the four, is then about 2 %.
    truth = Purchasing(r=0.8, alpha=30.0, a=0.9, b=2.5)
    found = Purchasing.fit(*bought(150_000, truth, np.random.default_rng(seed)))
    for name, value in vars(truth).items():
        assert getattr(found, name) == pytest.approx(value, rel=0.05), name


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_money_is_found_again_within_five_percent(seed: int):
    # 60,000 customers: the standard error of each is about 1.5 %.
    rng = np.random.default_rng(seed)
    truth = Money(p=6.0, q=4.0, gamma=15.0)
    purchases = 1.0 + rng.poisson(3, 60_000)
    average = rng.gamma(truth.p * purchases, 1 / rng.gamma(truth.q, 1 / truth.gamma, 60_000)) / purchases
    found = Money.fit(purchases, average)
    for name, value in vars(truth).items():
        assert getattr(found, name) == pytest.approx(value, rel=0.05), name


def test_the_published_example_has_the_published_answer():
    # "Customer 1" of CDNOW, 39 weeks ahead: 1.226 purchases.
    found = CDNOW.expected(np.array([2.0]), np.array([30.43]), np.array([38.86]), 39.0)
    assert found[0] == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize("a", [0.3, 0.793, 1.7, 5.0])
def test_expected_purchases_are_those_of_the_printed_formula(a: float):
    p = replace(CDNOW, a=a)
    x, recency, observed = np.array([0.0, 1, 2, 5, 10]), np.array([0.0, 10, 20, 30, 35]), np.full(5, 38.0)
    np.testing.assert_allclose(
        p.expected(x, recency, observed, 39), closed_form(p, x, recency, observed, 39), rtol=1e-9
    )


def test_expected_purchases_are_those_that_come():
    rng = np.random.default_rng(3)
    truth, n = Purchasing(r=1.2, alpha=20.0, a=0.8, b=3.0), 200_000
    rate, drop = rng.gamma(truth.r, 1 / truth.alpha, n), rng.beta(truth.a, truth.b, n)
    # Nobody has a past: those of the next 60 days, by plain simulation.
    time, count, alive = np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    while alive.any():
        time = np.where(alive, time + rng.exponential(1 / rate), time)
        came = alive & (time <= 60)
        count += came
        alive = came & (rng.random(n) >= drop)
    nothing = np.zeros(1)
    assert truth.expected(nothing, nothing, nothing, 60.0)[0] == pytest.approx(count.mean(), rel=0.02)
    assert truth.comes_back(nothing, nothing, nothing, 60.0)[0] == pytest.approx((count > 0).mean(), rel=0.02)


@pytest.mark.parametrize("a", [1e-4, 0.5, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("b", [1e-4, 0.5, 1.0, 8e3])
def test_many_purchases_and_odd_parameters_give_finite_answers(a: float, b: float):
    p = Purchasing(0.7, 40.0, a, b)
    x, recency = np.array([0.0, 1, 300, 3000]), np.array([0.0, 5, 299, 299])
    found = p.expected(x, recency, np.full(4, 300.0), 90.0)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    # Nobody buys more than at the rate they have, and the chance of one is below the number expected.
    assert (found <= (p.r + x) / (p.alpha + 300) * 90 * (1 + 1e-9)).all()
    assert (p.comes_back(x, recency, np.full(4, 300.0), 90.0) <= found * (1 + 1e-6)).all()


def test_a_longer_horizon_a_later_visit_and_more_money_mean_more():
    x, observed = np.full(5, 4.0), np.full(5, 100.0)
    recency = np.array([10.0, 30, 50, 70, 95])
    assert (np.diff(CDNOW.alive(x, recency, observed)) > 0).all()
    assert (np.diff(CDNOW.expected(x, recency, observed, 30.0)) > 0).all()
    ahead = [CDNOW.expected(x, recency, observed, days)[0] for days in (1.0, 10.0, 100.0)]
    assert np.diff(ahead).min() > 0
    money = Money(p=6.0, q=4.0, gamma=15.0)
    assert (np.diff(money.expected(x, np.array([1.0, 10, 20, 50, 200]))) > 0).all()
    # Nothing known: what the shop's customers are worth; much known: their own average.
    assert money.expected(np.zeros(1), np.zeros(1))[0] == pytest.approx(6.0 * 15.0 / 3.0)
    assert money.expected(np.array([1e6]), np.array([50.0]))[0] == pytest.approx(50.0, rel=1e-3)


def shop() -> Log:
    """300 customers who live by the model, 200 days; every fifth returns what they buy, and some only look."""
    rng = np.random.default_rng(8)
    rows: list[tuple[str, str, object, float]] = []
    for user in range(300):
        time, rate, worth = rng.uniform(0, 60), rng.gamma(0.9, 1 / 25), rng.gamma(4.0, 10.0)
        while time < 200:
            rows.append((f"c{user:03}", "buy", day(time), worth * rng.gamma(5.0, 0.2)))
            if user % 5 == 0:
                rows.append((f"c{user:03}", "return", day(time + 0.01), -rows[-1][3]))
            if rng.random() < 0.15:
                break
            time += rng.exponential(1 / rate)
    rows += [(f"v{number}", "view", day(100 + number), 0.0) for number in range(10)]
    events = pl.DataFrame(rows, schema=["user_id", "event_type", "timestamp", "amount"], orient="row")
    return Log.of(
        events.with_columns(item_id=pl.lit("i")), observed_from=day(0), observed_until=day(200) + timedelta(hours=1)
    )


def test_it_foresees_money_and_returns_and_is_saved():
    log, task = shop(), purchasing_power.TASK
    lessons, asked = task.examples(log, [day(130), day(137)]), task.examples(log, [day(170)])
    model = BGNBD().fit(lessons, Past(log.before(day(165)), lessons))
    scores = model.predict(asked.hide(), Past(log, asked.hide()))
    truth = asked.truth.to_numpy()
    assert scores.values[:, 0].sum() == pytest.approx(truth.sum(), rel=0.35)
    looked = asked.asked.str.starts_with("v").to_numpy()
    assert looked.sum() == 10
    # Those who never bought get what such customers came to: nothing.
    assert (scores.values[looked, 0] == 0).all()
    arrays, settings = model.state()
    again = BGNBD.from_state(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(again.predict(asked.hide(), Past(log, asked.hide())).values, scores.values)


def test_it_gives_the_chance_of_buying():
    log, task = shop(), purchase_intent.TASK
    lessons, asked = task.examples(log, [day(150)]), task.examples(log, [day(170), day(180)])
    model = BGNBD().fit(lessons, Past(log, lessons))
    chance = model.predict(asked.hide(), Past(log, asked.hide())).values[:, 0]
    truth = asked.truth.to_numpy()
    assert chance.mean() == pytest.approx(truth.mean(), rel=0.4)
    assert chance[truth].mean() > 1.5 * chance[~truth].mean()


@pytest.mark.parametrize("without", ["no column", "nothing"])
def test_a_chance_of_buying_takes_no_money(without: str):
    log = shop()
    lessons, asked = (purchase_intent.TASK.examples(log, [day(number)]) for number in (150, 170))
    rich = BGNBD().fit(lessons, Past(log, lessons)).predict(asked.hide(), Past(log, asked.hide()))
    poor = log.events.drop("amount") if without == "no column" else log.events.with_columns(amount=pl.lit(0.0))
    log = replace(log, events=poor)
    model = BGNBD().fit(lessons, Past(log, lessons))
    arrays, settings = model.state()
    again = BGNBD.from_state(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(again.predict(asked.hide(), Past(log, asked.hide())).values, rich.values)
    with pytest.raises(TooFewExamples, match="worth nothing"):
        BGNBD().fit(replace(lessons, task=purchasing_power.TASK), Past(log, lessons))


def test_what_it_answers_and_what_is_too_little():
    assert BGNBD().answers(purchasing_power.TASK)
    assert BGNBD().answers(purchase_intent.TASK)
    assert not BGNBD().answers(replace(purchase_intent.TASK, truth=(pl.col("event_type") == "view").any()))
    assert not BGNBD().answers(demand.TASK)
    assert not BGNBD().answers(next_item.TASK)
    log = shop()
    examples = purchasing_power.TASK.examples(log, [day(130)])
    few = examples.take(np.arange(15))
    with pytest.raises(TooFewExamples, match="15 customers who bought"):
        BGNBD().fit(few, Past(log, few))
    with pytest.raises(ConfigError, match="not learned"):
        BGNBD().predict(examples.hide(), Past(log, examples.hide()))
