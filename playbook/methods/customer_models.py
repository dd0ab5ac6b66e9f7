"""The models that compete each month to forecast every customer's purchases, all asked
from the same past.

naive_rate     the customer's own purchases per day so far, going on for ever (nothing for a one-time buyer)
cohort_curve   purchases per customer by week of age over the last year, its tail carried on as a power of age
nbd … pareto_nbd   buy-till-you-die models (methods/btyd), used only where the fit converged and is identified
seasonal       the mean of BG/NBD, MBG/NBD and Pareto/NBD in shop time (methods/shop_clock): busy weeks count for more
features       a Poisson regression (scikit-learn) on the shop's own features, learnt from windows that have ended:
               what BG/NBD or NBD expects, frequency, recency, age, spend, first channel and category, season won in

No prediction is set to nought by a threshold. A model that cannot forecast says why and
predicts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from playbook.methods.btyd import SLICE, CountFit, expected_purchases, fit_counts
from playbook.methods.shop_clock import CALENDAR, Clock, shop_clock

__all__ = ["CANDIDATES", "NAIVE", "Candidates", "poisson_deviance"]

NAIVE = ("naive_rate", "cohort_curve")
MORTAL = ("bg_nbd", "mbg_nbd", "pareto_nbd")
CANDIDATES = (*NAIVE, "nbd", *MORTAL, "seasonal", "features")
_LEAST = 1e-3  # a forecast of nothing is judged as one purchase in a thousand; deviance of an outright 0 is infinite


@dataclass
class Candidates:
    """All candidate forecasts from one shop's past, with fits and histories remembered
    between origins.

    Customers are whole numbers from 0; `traits` (channel, category) has one row for
    each, in that order. Models learn from the customers of the past that `predict` is
    given; they may forecast others.
    """

    history: Any  # function of (purchase rows, day) giving the purchase history as of the day
    traits: pd.DataFrame | None = None
    models: tuple[str, ...] = CANDIDATES
    engine: str = "own"
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
        why, out = {}, {h: {} for h in horizons_days}
        for model in self.models:
            if model in ("naive_rate", "cohort_curve", "features"):
                for h in horizons_days:
                    out[h][model], why[model] = getattr(self, f"_{model}")(past, origin, table, h)
                continue
            if model == "seasonal":
                fits, clock = self.in_shop_time(past, origin)
            else:
                fits, clock = [self.fit(past, origin, model)], CALENDAR
            known = fits[0].is_identified
            why[model] = "" if known else fits[0].reason
            told, ahead = clock.history(table), clock.ahead(np.array(horizons_days))[:, None]
            # the plain mean where there are several: estimated weights lose to equal ones (Claeskens et al. 2016)
            said = (
                [expected_purchases(fit, told, days=ahead) for fit in fits]
                if known
                else [ahead * np.nan]
            )
            for h, expected in zip(horizons_days, np.mean(said, axis=0), strict=True):
                out[h][model] = expected if known else np.nan
        return (
            table,
            {h: pd.DataFrame(columns, index=table.index) for h, columns in out.items()},
            why,
        )

    def fit(self, past: pd.DataFrame, origin: pd.Timestamp, model: str) -> CountFit:
        """The count model fitted to the history as of `origin`, started from the last
        fit of the same model.
        """
        key = (model, origin)
        if key not in self._fits:
            before = [day for name, day in self._fits if name == model and day < origin]
            start = self._fits[model, max(before)] if before else None
            self._fits[key] = fit_counts(
                self.at(past, origin), model=model, engine=self.engine, start=start
            )
        return self._fits[key]

    def at(self, past: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
        """The histories models learn from as of `day`."""
        if day not in self._past:
            self._past[day] = self.history(past[past["day_on"] <= day], day)
        return self._past[day]

    def _naive_rate(
        self, past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, h: int
    ) -> tuple:
        return table["x"].to_numpy() / np.maximum(table["T"].to_numpy(), 1) * h, ""

    def _cohort_curve(
        self, past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, h: int
    ) -> tuple:
        """Purchases and customer-weeks lived by week of age, both within the 52 weeks
        before the origin.
        """
        now, table = table["T"].to_numpy() / 7, self.at(past, origin)
        age = table["T"].to_numpy() // 7  # whole weeks lived so far
        if age.max() < 4:
            return np.full(len(now), np.nan), "the log is shorter than four weeks"
        bought = past.loc[past["orders"] > 0, ["customer_id", "day_on"]]
        born = np.full(table["customer_id"].max() + 1, np.datetime64("NaT"), "datetime64[ns]")
        born[table["customer_id"].to_numpy()] = table["first_on"].to_numpy()
        since = bought["day_on"].to_numpy() - born[bought["customer_id"].to_numpy()]
        lived = since.astype("timedelta64[D]").astype(int)
        week = lived // 7
        later = (bought["day_on"] > origin - pd.Timedelta(weeks=52)).to_numpy() & (lived > 0)
        n = int(age.max()) + 1
        counts = np.bincount(week[later], minlength=n)[:n]
        seen_to = np.bincount(age, minlength=n)[::-1].cumsum()[
            ::-1
        ]  # customers at least this many weeks old
        too_old = np.concatenate([seen_to[52:], np.zeros(min(52, n), int)])[
            :n
        ]  # they lived that week over a year ago
        lived = np.maximum(seen_to - too_old, 0)
        use = np.flatnonzero((lived >= max(30, 0.01 * len(table))) & (np.arange(n) >= 1))
        if len(use) < 4:
            return np.full(len(now), np.nan), "too few customers have been seen at any age"
        rate = np.full(n + h // 7 + 2, np.nan)
        rate[0] = counts[0] / max(lived[0], 1)
        rate[use] = counts[use] / lived[use]
        tail = use[len(use) // 2 :]
        slope, level = np.polyfit(
            np.log(tail + 1), np.log(rate[tail] + 1e-6), 1, w=np.sqrt(lived[tail])
        )
        slope = min(slope, 0.0)
        level = np.log(np.average(rate[tail] + 1e-6, weights=lived[tail])) - slope * np.log(
            np.exp(np.average(np.log(tail + 1), weights=lived[tail]))
        )
        ages = np.arange(len(rate))
        rate = np.where(
            np.isnan(rate) | (ages > use.max()), np.exp(level + slope * np.log(ages + 1.0)), rate
        )
        total = np.concatenate([[0], rate.cumsum()])
        return np.interp(now + h / 7, np.arange(len(total)), total) - np.interp(
            now, np.arange(len(total)), total
        ), ""

    def in_shop_time(
        self, past: pd.DataFrame, origin: pd.Timestamp
    ) -> tuple[list[CountFit], Clock]:
        """BG/NBD, MBG/NBD and Pareto/NBD on the histories in shop time, those
        identified (else NBD), the likeliest first, and that clock.
        """
        if origin not in self._clocks:
            known = self.at(past, origin)
            clock = shop_clock(past, origin, known)
            known, before = (
                clock.history(known),
                max(filter(origin.__gt__, self._clocks), default=None),
            )
            start = {} if before is None else self._clocks[before][2]
            fits = {
                name: fit_counts(known, model=name, engine=self.engine, start=start.get(name))
                for name in MORTAL
            }
            seen = [f for f in fits.values() if f.is_identified] or [
                fit_counts(known, model="nbd", engine="own")
            ]
            self._clocks[origin] = sorted(seen, key=lambda fit: -fit.log_likelihood), clock, fits
        return self._clocks[origin][:2]

    def _features(
        self, past: pd.DataFrame, origin: pd.Timestamp, table: pd.DataFrame, h: int
    ) -> tuple:
        """Learn on up to two ended windows four weeks apart. A horizon longer than two
        fifths of the log is learnt on a shorter window and stretched by what the count
        model expects of each customer.
        """
        from sklearn.linear_model import PoissonRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        span = (origin - past["day_on"].min()).days if len(past) else 0
        reach = min(h, int(span * 0.4) // 7 * 7)
        starts = [origin - pd.Timedelta(days=reach + 28 * k) for k in range(2)]
        starts = [s for s in starts if (s - past["day_on"].min()).days >= max(0.4 * span, 28)]
        if reach < 14 or not starts:
            return np.full(len(table), np.nan), "the log is too short to learn from an ended window"
        bought = past[past["orders"] > 0]
        parts, targets = [], []
        for s in starts:
            then = self.at(past, s)
            window = bought[
                (bought["day_on"] > s) & (bought["day_on"] <= s + pd.Timedelta(days=reach))
            ]
            n = np.bincount(
                window["customer_id"].to_numpy(), minlength=then["customer_id"].max() + 1
            )
            targets.append(n[then["customer_id"].to_numpy()].astype(float))
            parts.append(self._columns(past, s, then, reach))
        train, target = np.concatenate(parts), np.concatenate(targets)
        if target.sum() < 50:
            return np.full(
                len(table), np.nan
            ), f"only {int(target.sum())} purchases in the ended windows"
        model = make_pipeline(
            StandardScaler(), PoissonRegressor(alpha=1e-3, solver="newton-cholesky", max_iter=100)
        )
        low, high = np.quantile(train, [0.001, 0.999], axis=0)
        model.fit(train.clip(low, high), target)
        slices = (
            [table.iloc[k : k + SLICE] for k in range(0, len(table), SLICE)]
            if len(table) > SLICE
            else [table]
        )
        expected = np.concatenate(
            [
                model.predict(self._columns(past, origin, rows, reach).clip(low, high))
                for rows in slices
            ]
        )
        if reach < h:
            fit = self._base(past, origin)
            expected = expected * (
                expected_purchases(fit, table, days=h) / expected_purchases(fit, table, days=reach)
            )
        return expected, ""

    def _base(self, past: pd.DataFrame, day: pd.Timestamp) -> CountFit:
        fit = self.fit(past, day, "bg_nbd")
        return fit if fit.is_identified else self.fit(past, day, "nbd")

    def _columns(
        self, past: pd.DataFrame, day: pd.Timestamp, table: pd.DataFrame, reach: int
    ) -> np.ndarray:
        fit = self._base(past, day)
        expected = expected_purchases(fit, table, days=reach) if fit.params else np.ones(len(table))
        expected = np.log(np.maximum(expected, 1e-4))
        known = self._known.get(day)  # the same day serves several horizons and later origins
        if known is None or known[0] is not table:
            known = self._known[day] = table, self._known_columns(table)
        return np.column_stack([expected, expected**2, known[1]])

    def _known_columns(self, table: pd.DataFrame) -> np.ndarray:
        x, age, idle = (
            v.to_numpy(float) for v in (table["x"], table["T"], table["T"] - table["t_x"])
        )
        spend, season = (
            np.arcsinh(table["amount"].to_numpy(float) / (x + 1)),
            table["first_on"].dt.quarter.to_numpy(),
        )
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
        for name in self.traits if self.traits is not None else ():
            own = self.traits[name].iloc[table["customer_id"].to_numpy()].to_numpy(object)
            columns += [own == level for level in sorted(self.traits[name].dropna().unique())[1:12]]
        return np.column_stack([np.asarray(column, float) for column in columns])


def poisson_deviance(actual: np.ndarray, expected: np.ndarray) -> float:
    """Mean Poisson deviance, 2 (y log(y / m) - y + m); a forecast under one in a
    thousand counts as that.
    """
    m = np.maximum(expected, _LEAST)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(actual > 0, actual * np.log(actual / m), 0.0)
    return float(2 * np.mean(ratio - actual + m))
