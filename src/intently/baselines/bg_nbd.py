"""BG/NBD with Gamma-Gamma: what marketing science says of who will come back, how often, and for how much.

Purchases: Fader, Hardie and Lee (2005), "Counting your customers" the easy way, Marketing Science 24(2). A customer
buys at a rate drawn from Gamma(r, alpha) and drops out after each purchase with a chance drawn from Beta(a, b).
Money: Fader and Hardie (2013), The Gamma-Gamma model of monetary value. A purchase is worth Gamma(p, nu), nu is
drawn from Gamma(q, gamma), apart from how often the customer buys. Both are fitted by maximum likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1, psi

from intently.baselines.features import bought, spending
from intently.baselines.heldout import in_order, refuse_too_few
from intently.baselines.spread import Spread, is_whole
from intently.baselines.windows import chunks
from intently.contract import Amount, Everyone, Examples, Past, Scores, Task, YesNo
from intently.errors import ConfigError, TooFewExamples
from intently.log.pack import Array
from intently.log.schema import AMOUNT, BUY, TYPE, USER

# Enough for parameters within about one part in a hundred.
_MOST_CUSTOMERS = 50_000
# Logarithms of parameters, with times and money in units of their average.
_BOUNDS = (-9.0, 9.0)
# From a = 20 on all customers drop out at one rate; far beyond it the hypergeometric function overflows.
_BOUNDS_A = (-9.0, 3.0)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclass(frozen=True)
class Purchasing:
    """BG/NBD: rate of purchase Gamma(r, alpha in days), chance of dropping out after one Beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, repeats: Array, recency: Array, observed: Array) -> Purchasing:
        """Maximum likelihood from repeat purchases, days from the first to the last, and days since the first; (n,)."""
        scale = max(float(np.mean(observed)), 1e-9)
        theta = _most_likely(
            lambda theta: _purchasing_likelihood(theta, repeats, recency / scale, observed / scale),
            bounds=(_BOUNDS, _BOUNDS, _BOUNDS_A, _BOUNDS),
        )
        r, alpha, a, b = (float(value) for value in np.exp(theta))
        return cls(r, alpha * scale, a, b)

    def alive(self, repeats: Array, recency: Array, observed: Array) -> Array:
        """The chance (n,) that a customer has not dropped out (Fader, Hardie and Lee 2008), in logs."""
        x = np.maximum(repeats, 1.0)
        log_odds = np.log(self.b + x - 1) - np.log(self.a)
        log_odds -= (self.r + x) * (np.log(self.alpha + observed) - np.log(self.alpha + recency))
        # Dropping out comes after a repeat purchase: without one, everybody is still there.
        return np.where(repeats > 0, expit(log_odds), 1.0)

    def expected(self, repeats: Array, recency: Array, observed: Array, days: float) -> Array:
        """Expected purchases (n,) in the next `days`: equation (10) of Fader, Hardie and Lee (2005).

        In the form of an integral over u = log(1 + s / (alpha + T)) with s from 0 to `days`, of the rate that one
        who is alive at T still has at s. Its hypergeometric function has no power that grows with the purchases, and
        neither a = 1 nor a + b = 1 is a special case.
        """
        end = np.log1p(days / (self.alpha + observed))
        u = (_NODES + 1) / 2 * end[:, None]  # (n, nodes)
        still = hyp2f1(
            self.a, self.a + self.b - self.r - 1, self.a + self.b + repeats[:, None], -np.expm1(-u)
        )  # (n, nodes)
        whole = (np.exp((1 - self.a) * u) * still) @ _WEIGHTS / 2 * end
        return self.alive(repeats, recency, observed) * (self.r + repeats) * whole

    def comes_back(self, repeats: Array, recency: Array, observed: Array, days: float) -> Array:
        """The chance (n,) of a purchase in the next `days`: who is alive stays so until the next one."""
        none = (self.r + repeats) * np.log1p(days / (self.alpha + observed))
        return self.alive(repeats, recency, observed) * -np.expm1(-none)


@dataclass(frozen=True)
class Money:
    """Gamma-Gamma: a purchase is worth Gamma(p, nu), nu of a customer is drawn from Gamma(q, gamma); q > 1."""

    p: float
    q: float
    gamma: float

    @classmethod
    def fit(cls, purchases: Array, average: Array) -> Money:
        """Maximum likelihood from the number of purchases and their average worth (> 0); (n,)."""
        scale = float(np.mean(average))
        theta = _most_likely(lambda theta: _money_likelihood(theta, purchases, average / scale), (_BOUNDS,) * 3)
        p, over, gamma = (float(value) for value in np.exp(theta))
        return cls(p, 1 + over, gamma * scale)

    def expected(self, purchases: Array, average: Array) -> Array:
        """Expected worth of a customer's purchase (n,); of one of whom nothing is known (0 purchases), the shop's."""
        return self.p * (self.gamma + purchases * average) / (self.p * purchases + self.q - 1)


@dataclass(frozen=True, eq=False)
class _Customers:
    """Days with a purchase are purchases: how often, and when, and what one was worth net of returns; all (n,)."""

    days: Array
    recency: Array
    observed: Array
    average: Array

    @classmethod
    def of(cls, past: Past) -> _Customers:
        parts = [cls._some(past.take(asked)) for asked in chunks(past.lengths)]
        if not parts:
            return cls(*(np.zeros(0) for _ in range(4)))
        columns = zip(*((part.days, part.recency, part.observed, part.average) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @classmethod
    def _some(cls, past: Past) -> _Customers:
        n, rows = len(past), past.rows()
        buys = bought(rows, past.event_types)
        example, age = rows.example[buys], rows.age[buys].astype(np.float64)
        day = np.floor(age)
        new = np.ones(len(age), dtype=bool)
        new[1:] = (day[1:] != day[:-1]) | (example[1:] != example[:-1])
        days = np.bincount(example[new], minlength=n).astype(np.float64)
        first, last = np.zeros(n), np.zeros(n)
        # Rows come oldest first, and the last one written stays.
        first[example[::-1]], last[example] = age[::-1], age
        moved, paid = spending(rows, past.event_types)
        money = np.bincount(rows.example[moved], weights=paid, minlength=n)
        average = np.maximum(money, 0.0) / np.maximum(days, 1.0)
        return cls(days, np.where(days > 1, first - last, 0.0), first, average)

    @property
    def known(self) -> Array:
        """Who has bought."""
        return self.days > 0

    @property
    def times(self) -> tuple[Array, Array, Array]:
        """Repeat purchases, days from the first to the last, days since the first."""
        return np.maximum(self.days - 1, 0.0), self.recency, self.observed

    @property
    def paid(self) -> tuple[Array, Array]:
        """Purchases and their average worth, 0 of one who gave everything back."""
        return self.days, self.average

    def take(self, rows: Array) -> _Customers:
        return _Customers(self.days[rows], self.recency[rows], self.observed[rows], self.average[rows])


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Both models (that of money for an Amount alone), the answer for one who has never bought, and the spread."""

    purchasing: Purchasing
    money: Money | None
    stranger: float
    spread: Spread | None


@dataclass(frozen=True)
class BGNBD:
    """Expected purchases over the horizon times their expected worth; or the chance of any purchase.

    Days are counted, not baskets. The first purchase's money counts too, and money is net of returns. Only the
    pasts at the examples' latest cut-off are read for the parameters; the truths after it, which these have not seen,
    give the spread of an Amount, and the answer for those who had never bought.
    """

    name: str = "bg_nbd"
    fitted: _Fitted | None = None

    def answers(self, task: Task) -> bool:
        """Amounts of money of customers, and whether they will buy."""
        if not isinstance(task.asks, Everyone) or task.key != USER:
            return False
        if isinstance(task.answer, YesNo):
            return task.truth.meta.eq((pl.col(TYPE) == BUY).any())
        return isinstance(task.answer, Amount) and task.answer.unit != "units"

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn from the latest cut-off. Raises TooFewExamples under 20 customers who bought, or without a repeat."""
        examples, past = in_order(examples, past)
        newest = np.flatnonzero((examples.at == examples.at.max()).to_numpy())
        examples, customers = examples.take(newest), _Customers.of(past.take(newest))
        bought = np.flatnonzero(customers.known)
        again = int((customers.days > 1).sum())
        found = f"{len(bought)} customers who bought, {again} of them on more than one day"
        refuse_too_few(examples.task, found, len(bought), differ=again > 0)
        some = customers.take(bought[:: -(-len(bought) // _MOST_CUSTOMERS)])
        money = _money_of(examples.task, some)
        truth = examples.truth.cast(float).to_numpy()
        stranger = float(truth[~customers.known].mean()) if len(bought) < len(truth) else 0.0
        fitted = _Fitted(Purchasing.fit(*some.times), money, stranger, None)
        if isinstance(examples.task.answer, Amount):
            mean = _answer(fitted, examples.task, customers)
            fitted = replace(fitted, spread=Spread.of(mean, truth, whole=is_whole(truth)))
        return replace(self, fitted=fitted)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Probability (n, 1), or mean and QUANTILES (n, 20)."""
        fitted = self._fitted()
        scores = _answer(fitted, examples.task, _Customers.of(past))[:, None]
        if fitted.spread is not None:
            scores = np.column_stack([scores, fitted.spread.around(scores[:, 0])])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        fitted = self._fitted()
        arrays, spread = ({}, None) if fitted.spread is None else fitted.spread.state()
        return arrays, {
            "name": self.name,
            "purchasing": vars(fitted.purchasing),
            "money": None if fitted.money is None else vars(fitted.money),
            "stranger": fitted.stranger,
            "spread": spread,
        }

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Self:
        """The fitted predictor that `state` described."""
        spread = None if settings["spread"] is None else Spread.from_state(arrays, settings["spread"])
        money = None if settings["money"] is None else Money(**settings["money"])
        return cls(settings["name"], _Fitted(Purchasing(**settings["purchasing"]), money, settings["stranger"], spread))

    def _fitted(self) -> _Fitted:
        if self.fitted is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.fitted


def _answer(fitted: _Fitted, task: Task, customers: _Customers) -> Array:
    """Expected money, or the chance of a purchase, within the task's horizon; (n,)."""
    days = task.horizon.total_seconds() / 86_400
    if isinstance(task.answer, YesNo):
        answer = fitted.purchasing.comes_back(*customers.times, days)
    else:
        assert fitted.money is not None
        answer = fitted.purchasing.expected(*customers.times, days) * fitted.money.expected(*customers.paid)
    return np.where(customers.known, answer, fitted.stranger)


def _money_of(task: Task, customers: _Customers) -> Money | None:
    """The model of what an Amount's purchases are worth. Raises TooFewExamples where none is worth anything."""
    if not isinstance(task.answer, Amount):
        return None
    count, average = customers.paid
    # It has no nothing: those who gave everything back are answered for, not learned from.
    worth = average > 0
    if not worth.any():
        raise TooFewExamples(
            f"{task.name} has {len(average)} customers who bought, and what they kept is worth nothing.",
            mend=f"Bring what was paid as {AMOUNT!r}, or leave the task out with --tasks.",
        )
    return Money.fit(count[worth], average[worth])


def _most_likely(likelihood: Callable[[Array], tuple[float, Array]], bounds: tuple[tuple[float, float], ...]) -> Array:
    """The logarithms of parameters at which an average log likelihood, given with its gradient, is greatest."""

    def loss(theta: Array) -> tuple[float, Array]:
        value, gradient = likelihood(theta)
        return -value, -gradient

    start = np.zeros(len(bounds))
    options = {"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-8}
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)


def _purchasing_likelihood(theta: Array, x: Array, recency: Array, observed: Array) -> tuple[float, Array]:
    """Average log likelihood of BG/NBD customers, and its gradient in log r, alpha, a, b."""
    r, alpha, a, b = np.exp(theta)
    back = x > 0
    # One value for those without a repeat purchase keeps the unused branch finite.
    x_back = np.where(back, x, 1.0)
    log_end, log_last = np.log(alpha + observed), np.log(alpha + recency)
    alive = betaln(a, b + x) - (r + x) * log_end
    gone = np.where(back, betaln(a + 1, b + x_back - 1) - (r + x) * log_last, -np.inf)
    value = gammaln(r + x) - gammaln(r) + r * theta[1] - betaln(a, b) + np.logaddexp(alive, gone)
    stays = np.exp(alive - np.logaddexp(alive, gone))
    goes = 1 - stays
    by_r = psi(r + x) - psi(r) + theta[1] - stays * log_end - goes * log_last
    by_alpha = r / alpha - (r + x) * (stays / (alpha + observed) + goes / (alpha + recency))
    all_ = psi(a + b) - psi(a + b + x)
    by_a = goes / a + all_
    by_b = stays * psi(b + x) + goes * psi(b + x_back - 1) - psi(b) + all_
    gradient = np.array([by_r.mean() * r, by_alpha.mean() * alpha, by_a.mean() * a, by_b.mean() * b])
    return float(value.mean()), gradient


def _money_likelihood(theta: Array, count: Array, average: Array) -> tuple[float, Array]:
    """Average log likelihood of Gamma-Gamma averages, and its gradient in log p, q - 1, gamma."""
    p, over, gamma = np.exp(theta)
    q = 1 + over
    shape, total = p * count, count * average
    log_rest = np.log(gamma + total)
    value = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * theta[2]
    value = value + (shape - 1) * np.log(average) + shape * np.log(count) - (shape + q) * log_rest
    both = psi(shape + q)
    by_p = count * (both - psi(shape) + np.log(total) - log_rest)
    by_q = both - psi(q) + theta[2] - log_rest
    by_gamma = q / gamma - (shape + q) / (gamma + total)
    return float(value.mean()), np.array([by_p.mean() * p, by_q.mean() * over, by_gamma.mean() * gamma])
