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

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from playbook.messages import say
from playbook.methods.btyd import SLICE, CountFit, expected_purchases, fit_counts
from playbook.methods.shop_clock import CALENDAR, Clock, shop_clock

__all__ = ["CANDIDATES", "NAIVE", "Candidates", "poisson_deviance"]

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

_Answer = tuple[np.ndarray, str]


@dataclass
class Candidates:
    """All candidate forecasts from one past, with fits and histories remembered between
    origins.

    Customers are whole numbers from 0; `traits` (channel, category) has one row for
    each, in that order. Models learn from the customers of the past that `predict` is
    given; they may forecast others. `history` gives the purchase history of purchase
    rows as of a day.
    """

    history: Callable[[pd.DataFrame, pd.Timestamp], pd.DataFrame]
    traits: pd.DataFrame | None = None
    models: tuple[str, ...] = CANDIDATES
    _fits: dict = field(default_factory=dict)
    _past: dict = field(default_factory=dict)
    _known: dict = field(default_factory=dict)
    _clocks: dict = field(default_factory=dict)

    def predict(
        self,
        past: pd.DataFrame,
        origin: pd.Timestamp,
        horizons_days: tuple[int, ...],
        table: pd.DataFrame | None = None,
    ) -> tuple[pd.DataFrame, dict[int, pd.DataFrame], dict[str, str]]:
        """History as of `origin`; expected purchases per horizon (one column per
        model); why a model is missing. `table`: the histories to forecast, those of
        `past` where not given.
        """
        table = self.at(past, origin) if table is None else table
        by_model, reasons = {}, {}
        for model in self.models:
            if model in ("naive_rate", "cohort_curve", "features"):
                ask = getattr(self, f"_{model}")
                answers = [ask(past, origin, table, h) for h in horizons_days]
                by_model[model] = [expected for expected, _ in answers]
                reasons[model] = answers[-1][1]
            else:
                by_model[model], reasons[model] = self._by_fit(
                    model, past, origin, table, horizons_days
                )
        forecasts = {
            h: pd.DataFrame({m: said[k] for m, said in by_model.items()}, index=table.index)
            for k, h in enumerate(horizons_days)
        }
        return table, forecasts, reasons

    def fit(self, past: pd.DataFrame, origin: pd.Timestamp, model: str) -> CountFit:
        """The count model fitted to the history as of `origin`, started from the last
        fit of the same model.
        """
        key = (model, origin)
        if key not in self._fits:
            before = [day for name, day in self._fits if name == model and day < origin]
            start = self._fits[model, max(before)] if before else None
            known = self.at(past, origin)
            self._fits[key] = fit_counts(known, model=model, engine="own", start=start)
        return self._fits[key]

    def at(self, past: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
        """The histories models learn from as of `day`."""
        if day not in self._past:
            self._past[day] = self.history(past[past["day_on"] <= day], day)
        return self._past[day]

    def in_shop_time(
        self, past: pd.DataFrame, origin: pd.Timestamp
    ) -> tuple[list[CountFit], Clock]:
        """BG/NBD, MBG/NBD and Pareto/NBD on the histories in shop time, those
        identified (else NBD), the likeliest first, and that clock.
        """
        if origin not in self._clocks:
            known = self.at(past, origin)
            clock = shop_clock(past, origin, known)
            known = clock.history(known)
            before = max(filter(origin.__gt__, self._clocks), default=None)
            start = {} if before is None else self._clocks[before][2]
            fits = {
                name: fit_counts(known, model=name, engine="own", start=start.get(name))
                for name in MORTAL
            }
            usable = [fit for fit in fits.values() if fit.is_identified]
            usable = usable or [fit_counts(known, model="nbd", engine="own")]
            likeliest = sorted(usable, key=lambda fit: -fit.log_likelihood)
            self._clocks[origin] = likeliest, clock, fits
        return self._clocks[origin][:2]

    def _by_fit(
        self,
        model: str,
        past: pd.DataFrame,
        origin: pd.Timestamp,
        table: pd.DataFrame,
        horizons_days: tuple[int, ...],
    ) -> tuple[list, str]:
        """What a count model, or the mean of several, expects for each horizon."""
        fits, clock = [], CALENDAR
        if model == "seasonal":
            fits, clock = self.in_shop_time(past, origin)
        else:
            fits = [self.fit(past, origin, model)]
        if not fits[0].is_identified:
            return [np.nan] * len(horizons_days), fits[0].reason
        known, ahead = clock.history(table), clock.ahead(np.array(horizons_days))[:, None]
        said = [expected_purchases(fit, known, days=ahead) for fit in fits]
        return list(np.mean(said, axis=0)), ""

    def _naive_rate(
        self, past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, h: int
    ) -> _Answer:
        return table["x"].to_numpy() / np.maximum(table["T"].to_numpy(), 1) * h, ""

    def _cohort_curve(
        self, past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, h: int
    ) -> _Answer:
        now, known = table["T"].to_numpy() / 7, self.at(past, origin)
        unknown = np.full(len(now), np.nan)
        if known["T"].max() // 7 < 4:
            return unknown, say("methods.log_too_short")
        counts, lived = _weeks_of_age(past, origin, known)
        enough = lived >= max(_CURVE_CUSTOMERS, _CURVE_SHARE * len(known))
        use = np.flatnonzero(enough & (np.arange(len(lived)) >= 1))
        if len(use) < 4:
            return unknown, say("methods.few_at_any_age")
        total = _curve(counts, lived, use, h // 7 + 2)
        ages = np.arange(len(total))
        return np.interp(now + h / 7, ages, total) - np.interp(now, ages, total), ""

    def _features(
        self, past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, h: int
    ) -> _Answer:
        """Learn on up to two ended windows four weeks apart. A horizon longer than two
        fifths of the log is learnt on a shorter window and stretched by what the count
        model expects of each customer.
        """
        span = (origin - past["day_on"].min()).days if len(past) else 0
        reach = min(h, int(span * _LEARN_SHARE) // 7 * 7)
        starts = [origin - pd.Timedelta(days=reach + 28 * k) for k in range(2)]
        least = max(_LEARN_SHARE * span, 28)
        starts = [s for s in starts if (s - past["day_on"].min()).days >= least]
        unknown = np.full(len(table), np.nan)
        if reach < 14 or not starts:
            return unknown, say("methods.no_ended_window")
        features = np.concatenate([self._columns(past, s, self.at(past, s), reach) for s in starts])
        target = np.concatenate([self._bought(past, s, reach) for s in starts])
        if target.sum() < _LEARN_PURCHASES:
            return unknown, say("methods.few_in_windows", n=int(target.sum()))
        model = _regression()
        low, high = np.quantile(features, [0.001, 0.999], axis=0)
        model.fit(features.clip(low, high), target)
        starts_at = range(0, len(table), SLICE)
        slices = [table.iloc[k : k + SLICE] for k in starts_at] if len(table) > SLICE else [table]
        said = [self._columns(past, origin, rows, reach).clip(low, high) for rows in slices]
        expected = np.concatenate([model.predict(columns) for columns in said])
        if reach < h:
            fit = self._base(past, origin)
            whole, part = (expected_purchases(fit, table, days=d) for d in (h, reach))
            expected = expected * (whole / part)
        return expected, ""

    def _bought(self, past: pd.DataFrame, start: pd.Timestamp, days: int) -> np.ndarray:
        """Purchases within the `days` after `start` of those who were customers then."""
        known, day = self.at(past, start)["customer_id"], past["day_on"]
        inside = (past["orders"] > 0) & (day > start) & (day <= start + pd.Timedelta(days=days))
        who = past.loc[inside, "customer_id"].to_numpy()
        return np.bincount(who, minlength=known.max() + 1)[known.to_numpy()].astype(float)

    def _base(self, past: pd.DataFrame, day: pd.Timestamp) -> CountFit:
        fit = self.fit(past, day, "bg_nbd")
        return fit if fit.is_identified else self.fit(past, day, "nbd")

    def _columns(
        self, past: pd.DataFrame, day: pd.Timestamp, table: pd.DataFrame, reach: int
    ) -> np.ndarray:
        """The features of each customer in `table` as of `day`."""
        fit = self._base(past, day)
        expected = expected_purchases(fit, table, days=reach) if fit.params else np.ones(len(table))
        expected = np.log(np.maximum(expected, 1e-4))
        # the same day serves several horizons and later origins
        known = self._known.get(day)
        if known is None or known[0] is not table:
            known = self._known[day] = table, self._known_columns(table)
        return np.column_stack([expected, expected**2, known[1]])

    def _known_columns(self, table: pd.DataFrame) -> np.ndarray:
        """The features that do not depend on the horizon."""
        x, age = table["x"].to_numpy(float), table["T"].to_numpy(float)
        idle = (table["T"] - table["t_x"]).to_numpy(float)
        spend = np.arcsinh(table["amount"].to_numpy(float) / (x + 1))
        season = table["first_on"].dt.quarter.to_numpy()
        columns = [
            np.log1p(x),
            x == 0,
            np.log1p(idle),
            np.log1p(idle) ** 2,
            np.log1p(age),
            idle / np.maximum(age, 1),
            np.nan_to_num(spend),
            *(season == quarter for quarter in (2, 3, 4)),
        ]
        for name in () if self.traits is None else self.traits:
            trait = self.traits[name]
            own = trait.iloc[table["customer_id"].to_numpy()].to_numpy(object)
            values = sorted(trait.dropna().unique())[1:_TRAIT_VALUES]
            columns += [own == value for value in values]
        return np.column_stack([np.asarray(column, float) for column in columns])


def _regression() -> object:
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = PoissonRegressor(alpha=1e-3, solver="newton-cholesky", max_iter=100)
    return make_pipeline(StandardScaler(), regression)


def _weeks_of_age(
    past: pd.DataFrame, origin: pd.Timestamp, known: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Later purchases and customers who lived it, by week of age, both within the year
    before the origin.
    """
    # whole weeks lived so far
    age = known["T"].to_numpy() // 7
    n = int(age.max()) + 1
    bought = past.loc[past["orders"] > 0, ["customer_id", "day_on"]]
    born = pd.Series(known["first_on"].to_numpy(), known["customer_id"].to_numpy())
    since = bought["day_on"].to_numpy() - bought["customer_id"].map(born).to_numpy()
    days = since.astype("timedelta64[D]").astype(int)
    year = pd.Timedelta(weeks=_CURVE_WEEKS)
    later = (bought["day_on"] > origin - year).to_numpy() & (days > 0)
    counts = np.bincount(days[later] // 7, minlength=n)[:n]
    # customers at least this many weeks old, and those who lived that week over a year ago
    reached = np.bincount(age, minlength=n)[::-1].cumsum()[::-1]
    too_old = np.append(reached[_CURVE_WEEKS:], np.zeros(min(_CURVE_WEEKS, n), int))[:n]
    return counts, np.maximum(reached - too_old, 0)


def _curve(counts: np.ndarray, lived: np.ndarray, use: np.ndarray, more: int) -> np.ndarray:
    """Purchases per customer up to each week of age, `more` weeks beyond the oldest: the
    rates of the ages in `use`, and a power of age where there are none.
    """
    rate = np.full(len(lived) + more, np.nan)
    rate[0] = counts[0] / max(lived[0], 1)
    rate[use] = counts[use] / lived[use]
    tail = use[len(use) // 2 :]
    height, weight = rate[tail] + 1e-6, lived[tail]
    slope, _ = np.polyfit(np.log(tail + 1), np.log(height), 1, w=np.sqrt(weight))
    slope = min(slope, 0.0)
    middle = np.exp(np.average(np.log(tail + 1), weights=weight))
    level = np.log(np.average(height, weights=weight)) - slope * np.log(middle)
    ages = np.arange(len(rate))
    power = np.exp(level + slope * np.log(ages + 1.0))
    rate = np.where(np.isnan(rate) | (ages > use.max()), power, rate)
    return np.append(0, rate.cumsum())


def poisson_deviance(actual: np.ndarray, expected: np.ndarray) -> float:
    """Mean Poisson deviance, 2 (y log(y / m) - y + m). A forecast under one in a
    thousand counts as that.
    """
    m = np.maximum(expected, _LEAST)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(actual > 0, actual * np.log(actual / m), 0.0)
    return float(2 * np.mean(ratio - actual + m))
