"""The models that compete each month to forecast every customer's purchases, all asked
from the same past.

- naive_rate: the customer's own purchases per day so far, going on for ever (nothing
  for a one-time buyer)
- cohort_curve: purchases per customer by week of age over the last year, its tail
  carried on as a power of age
- nbd, bg_nbd, mbg_nbd, pareto_nbd: buy-till-you-die models (btyd), used only where the
  fit converged and is identified
- seasonal: the mean of BG/NBD, MBG/NBD and Pareto/NBD in shop time (shop_clock), where
  busy weeks count for more. The plain mean: estimated weights lose to equal ones
  (Claeskens et al. 2016, Int. J. of Forecasting 32(3))
- features: a Poisson regression (scikit-learn) on the customer's features, learnt from
  windows that have ended: what BG/NBD or NBD expects, frequency, recency, age, spend,
  traits, season of the first purchase

No forecast is set to nought by a threshold. A model that cannot forecast says why and
forecasts nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame, Timedelta, Timestamp

from playbook.messages import say
from playbook.methods.btyd import CountFit, expected_purchases, fit_counts, slices
from playbook.methods.shop_clock import CALENDAR, Clock, shop_clock

__all__ = [
    "CANDIDATES",
    "NAIVE",
    "Candidates",
    "poisson_deviance",
]

NAIVE = ("naive_rate", "cohort_curve")
MORTAL = ("bg_nbd", "mbg_nbd", "pareto_nbd")
CANDIDATES = (*NAIVE, "nbd", *MORTAL, "seasonal", "features")
#: a forecast of nothing is judged as this many purchases: the deviance of an outright 0
#: is infinite
_LEAST = 1e-3
#: weeks before the origin that the cohort curve is made of
_CURVE_WEEKS = 52
#: an age counts in the cohort curve from this many customers, and this share of all
_CURVE_CUSTOMERS, _CURVE_SHARE = 30, 0.01
#: the longest window to learn from, and the least log before it, as shares of the log
_LEARN_SHARE = 0.4
#: purchases in the ended windows below which nothing is learnt
_LEARN_PURCHASES = 50
#: values of a trait that get a column of their own, the first aside
_TRAIT_VALUES = 12

#: forecasts by horizon, or none and why
_Answer = tuple[list | None, str]


@dataclass(frozen=True)
class _Moment:
    """What is known at an origin, and who is to be forecast how far."""

    past: DataFrame
    origin: Timestamp
    table: DataFrame
    horizons_days: tuple[int, ...]


@dataclass
class Candidates:
    """All candidate forecasts from one past, with fits and histories remembered between
    origins.

    Customers are whole numbers from 0; `traits` (channel, category) has one row for
    each, in that order. Models learn from the customers of the past that `predict` is
    given; they may forecast others. `history` gives the purchase history of purchase
    rows as of a day.
    """

    history: Callable[[DataFrame, Timestamp], DataFrame]
    traits: DataFrame | None = None
    models: tuple[str, ...] = CANDIDATES
    _fits: dict = field(default_factory=dict)
    _past: dict = field(default_factory=dict)

    def predict(
        self,
        past: DataFrame,
        origin: Timestamp,
        horizons_days: tuple[int, ...],
        table: DataFrame | None = None,
    ) -> tuple[DataFrame, dict[int, DataFrame], dict[str, str]]:
        """History as of `origin`; expected purchases per horizon (one column per
        model); why a model is missing. `table`: the histories to forecast, those of
        `past` where not given.
        """
        table = self.at(past, origin) if table is None else table
        now = _Moment(
            past,
            origin,
            table,
            horizons_days,
        )
        asked = {
            "naive_rate": self._naive_rate,
            "cohort_curve": self._cohort_curve,
            "features": self._features,
        }
        answers = {
            model: asked[model](now) if model in asked else self._by_fit(now, model)
            for model in self.models
        }
        unknown = [np.nan] * len(horizons_days)
        forecasts = {
            h: DataFrame(
                {model: (said or unknown)[k] for model, (said, _) in answers.items()},
                index=table.index,
            )
            for k, h in enumerate(horizons_days)
        }
        return table, forecasts, {model: reason for model, (_, reason) in answers.items()}

    def fit(self, past: DataFrame, origin: Timestamp, model: str) -> CountFit:
        """The count model fitted to the history as of `origin`."""
        return self._fitted(
            model,
            origin,
            self.at(past, origin),
            model,
        )

    def at(self, past: DataFrame, day: Timestamp) -> DataFrame:
        """The histories models learn from as of `day`."""
        if day not in self._past:
            self._past[day] = self.history(past[past.day_on <= day], day)
        return self._past[day]

    def in_shop_time(self, past: DataFrame, origin: Timestamp) -> tuple[list[CountFit], Clock]:
        """BG/NBD, MBG/NBD and Pareto/NBD on the histories in shop time, those
        identified (else NBD), the likeliest first, and that clock.
        """
        known = self.at(past, origin)
        clock = shop_clock(past, origin, known)
        known = clock.history(known)
        fits = [
            self._fitted(
                name,
                origin,
                known,
                f"{name} in shop time",
            )
            for name in MORTAL
        ]
        usable = [fit for fit in fits if fit.is_identified]
        usable = usable or [fit_counts(known, model="nbd", engine="own")]
        return sorted(usable, key=lambda fit: -fit.log_likelihood), clock

    def _fitted(self, model: str, origin: Timestamp, known: DataFrame, name: str) -> CountFit:
        """A fit remembered under a name, started from the last one before the origin."""
        fits = self._fits.setdefault(name, {})
        if origin not in fits:
            start = fits.get(max(filter(origin.__gt__, fits), default=None))
            fits[origin] = fit_counts(
                known,
                model=model,
                engine="own",
                start=start,
            )
        return fits[origin]

    def _by_fit(self, now: _Moment, model: str) -> _Answer:
        """What a count model, or the mean of several, expects for each horizon."""
        if model == "seasonal":
            fits, clock = self.in_shop_time(now.past, now.origin)
        else:
            fits, clock = [self.fit(now.past, now.origin, model)], CALENDAR
        if not fits[0].is_identified:
            return None, fits[0].reason
        known, ahead = clock.history(now.table), clock.ahead(np.array(now.horizons_days))
        said = [expected_purchases(fit, known, days=ahead[:, None]) for fit in fits]
        return list(np.mean(said, axis=0)), ""

    def _naive_rate(self, now: _Moment) -> _Answer:
        rate = now.table.x.to_numpy() / np.maximum(now.table["T"].to_numpy(), 1)
        return [rate * h for h in now.horizons_days], ""

    def _cohort_curve(self, now: _Moment) -> _Answer:
        known, weeks = self.at(now.past, now.origin), now.table["T"].to_numpy() / 7
        if known["T"].max() // 7 < 4:
            return None, say("methods.log_too_short")
        counts, lived = _weeks_of_age(now.past, now.origin, known)
        enough = lived >= max(_CURVE_CUSTOMERS, _CURVE_SHARE * len(known))
        use = np.flatnonzero(enough & (np.arange(len(lived)) >= 1))
        if len(use) < 4:
            return None, say("methods.few_at_any_age")
        total = _curve(
            counts,
            lived,
            use,
            max(now.horizons_days) // 7 + 2,
        )
        ages = np.arange(len(total))
        so_far = np.interp(weeks, ages, total)
        return [np.interp(weeks + h / 7, ages, total) - so_far for h in now.horizons_days], ""

    def _features(self, now: _Moment) -> _Answer:
        answers = [self._learnt(now, h) for h in now.horizons_days]
        return [expected for expected, _ in answers], answers[-1][1]

    def _learnt(self, now: _Moment, h: int) -> tuple[NDArray | float, str]:
        """Learn on up to two ended windows four weeks apart. A horizon longer than two
        fifths of the log is learnt on a shorter window and stretched by what the count
        model expects of each customer.
        """
        past, origin, table = now.past, now.origin, now.table
        first = past.day_on.min()
        span = (origin - first).days if len(past) else 0
        reach = min(h, int(span * _LEARN_SHARE) // 7 * 7)
        least = max(_LEARN_SHARE * span, 28)
        starts = [origin - Timedelta(days=reach + 28 * k) for k in range(2)]
        starts = [start for start in starts if (start - first).days >= least]
        if reach < 14 or not starts:
            return np.nan, say("methods.no_ended_window")
        known = [self.at(past, start) for start in starts]
        bases = [self._base(past, start) for start in starts]
        came = [_bought(past, *then, reach) for then in zip(starts, known, strict=True)]
        target = np.concatenate(came)
        if target.sum() < _LEARN_PURCHASES:
            return np.nan, say("methods.few_in_windows", n=int(target.sum()))
        then = [self._columns(*at, reach) for at in zip(bases, known, strict=True)]
        features, base = np.concatenate(then), self._base(past, origin)
        low, high = np.quantile(features, [0.001, 0.999], axis=0)
        model = _regressed(features.clip(low, high), target)
        said = [self._columns(base, table.iloc[part], reach) for part in slices(len(table))]
        expected = np.concatenate([model.predict(part.clip(low, high)) for part in said])
        if reach < h:
            whole, part = (expected_purchases(base, table, days=d) for d in (h, reach))
            expected = expected * (whole / part)
        return expected, ""

    def _base(self, past: DataFrame, day: Timestamp) -> CountFit:
        fit = self.fit(past, day, "bg_nbd")
        return fit if fit.is_identified else self.fit(past, day, "nbd")

    def _columns(self, base: CountFit, table: DataFrame, reach: int) -> NDArray:
        """The features of each customer in `table`."""
        n = len(table)
        expected = expected_purchases(base, table, days=reach) if base.params else np.ones(n)
        expected = np.log(np.maximum(expected, 1e-4))
        x, age, t_x = table[["x", "T", "t_x"]].to_numpy(float).T
        idle = age - t_x
        season = table.first_on.dt.quarter.to_numpy()
        columns = [
            expected,
            expected**2,
            np.log1p(x),
            x == 0,
            np.log1p(idle),
            np.log1p(idle) ** 2,
            np.log1p(age),
            idle / np.maximum(age, 1),
            np.nan_to_num(np.arcsinh(table.amount.to_numpy(float) / (x + 1))),
            *(season == quarter for quarter in (2, 3, 4)),
            *(trait[table.customer_id.to_numpy()] for trait in self._trait_columns),
        ]
        return np.column_stack(columns)

    @cached_property
    def _trait_columns(self) -> list[NDArray]:
        """For the first values of each trait, the first aside: who has it."""
        columns = []
        for name in () if self.traits is None else self.traits:
            trait = self.traits[name]
            values = sorted(trait.dropna().unique())[1:_TRAIT_VALUES]
            columns += [trait.to_numpy(object) == value for value in values]
        return columns


def _bought(past: DataFrame, start: Timestamp, known: DataFrame, days: int) -> NDArray:
    """Purchases within the `days` after `start` of those who were customers then."""
    ids, day = known.customer_id.to_numpy(), past.day_on
    inside = (past.orders > 0) & (day > start) & (day <= start + Timedelta(days=days))
    who = past.loc[inside, "customer_id"].to_numpy()
    return np.bincount(who, minlength=ids.max() + 1)[ids].astype(float)


def _regressed(features: NDArray, target: NDArray) -> Any:
    """A Poisson regression. Where Newton's line search ends, the library goes on by
    another solver and says so; how good the answer is the backtest tells.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = PoissonRegressor(
        alpha=1e-3,
        solver="newton-cholesky",
        max_iter=100,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), regression).fit(features, target)


def _weeks_of_age(past: DataFrame, origin: Timestamp, known: DataFrame) -> tuple[NDArray, NDArray]:
    """Later purchases and customers who lived it, by week of age, both within the year
    before the origin.
    """
    # whole weeks lived so far
    age = known["T"].to_numpy() // 7
    n = int(age.max()) + 1
    bought = past.loc[past.orders > 0, ["customer_id", "day_on"]]
    born = pd.Series(known.first_on.to_numpy(), known.customer_id.to_numpy())
    since = bought["day_on"].to_numpy() - bought["customer_id"].map(born).to_numpy()
    days = since.astype("timedelta64[D]").astype(int)
    year = Timedelta(weeks=_CURVE_WEEKS)
    later = (bought["day_on"] > origin - year).to_numpy() & (days > 0)
    counts = np.bincount(days[later] // 7, minlength=n)[:n]
    # customers at least this many weeks old, and those who lived that week over a year ago
    reached = np.bincount(age, minlength=n)[::-1].cumsum()[::-1]
    too_old = np.append(reached[_CURVE_WEEKS:], np.zeros(min(_CURVE_WEEKS, n), int))[:n]
    return counts, np.maximum(reached - too_old, 0)


def _curve(counts: NDArray, lived: NDArray, use: NDArray, more: int) -> NDArray:
    """Purchases per customer up to each week of age, `more` weeks beyond the oldest: the
    rates of the ages in `use`, and a power of age where there are none, at most the
    highest rate seen.
    """
    rate = np.full(len(lived) + more, np.nan)
    rate[0] = counts[0] / max(lived[0], 1)
    rate[use] = counts[use] / lived[use]
    tail = use[len(use) // 2 :]
    height, weight = rate[tail] + 1e-6, lived[tail]
    slope, _ = np.polyfit(
        np.log(tail + 1),
        np.log(height),
        1,
        w=np.sqrt(weight),
    )
    slope = min(slope, 0.0)
    middle = np.exp(np.average(np.log(tail + 1), weights=weight))
    level = np.log(np.average(height, weights=weight)) - slope * np.log(middle)
    ages = np.arange(len(rate))
    power = np.minimum(np.exp(level + slope * np.log(ages + 1.0)), np.nanmax(rate))
    rate = np.where(np.isnan(rate) | (ages > use.max()), power, rate)
    return np.append(0, rate.cumsum())


def poisson_deviance(actual: NDArray, expected: NDArray) -> float:
    """Mean Poisson deviance, 2 (y log(y / m) - y + m). A forecast under one in a
    thousand counts as that.
    """
    m = np.maximum(expected, _LEAST)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(actual > 0, actual * np.log(actual / m), 0.0)
    return float(2 * np.mean(ratio - actual + m))
