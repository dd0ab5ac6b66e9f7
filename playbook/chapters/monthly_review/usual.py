"""What each figure of the month should have been, in which range it usually lies, and
beyond which limits it is flagged.

A figure that is made of days is expected from its drivers, each given what the shop knew
of the month (`playbook.methods.expectation`); any other from its own months. How far that
missed on the shop's own past sets the range.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from playbook.chapters.registry import room_facts
from playbook.errors import PlaybookError
from playbook.forecasting.series import forecast_series
from playbook.measures.metrics import METRICS, months_back
from playbook.methods.backtest import amount_at
from playbook.methods.expectation import FIRST, expected_months
from playbook.tables import returns

__all__ = ["LEAST_MONTHS", "control_limits", "driver_months", "spread"]

LEAST_MONTHS = 8  # misses below which there are no limits
RULES = ("level", "mix", "growth", "seasonal_naive")  # what a month may be expected from
ROUNDING = 1e-9  # a series that never moved is held against this, not against its last digit
OUTSIDE = 0.05  # chance that a month without news shows any flag at all
MAIN_SHARE = 0.8  # of it for the headline figures, the rest for all others
USUAL = 0.8  # share of months that lie in the usual range
# how a miss shrinks with the months behind it: by their power of this, chosen on demo seeds 501 to
# 510 so that four months of five lie in the usual range
YOUTH = 1 / 3
TO_NONE = 0.2  # how far the correlation of misses is drawn towards none
DRAWS = 20_000  # months drawn to see how far the furthest figure lies off
MOST_WIDTH = 0.5  # a range wider than this share of what is expected says nothing

_VISITS = ("sessions", "cvr_sessions")
# where one order may hold a hundred times the units of another, its value is steadier
_BASKETS = (("units_per_order", "revenue_per_unit"), ("revenue_per_order",))
_DEMAND = (_VISITS, ("orders",))
#: figure -> the products of drivers from which it may be expected
PRODUCTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "sessions": (("sessions",),),
    "cvr_sessions": (("cvr_sessions",),),
    "orders": (_VISITS, ("orders",)),
    "net_revenue": tuple((*demand, *basket) for demand in _DEMAND for basket in _BASKETS),
    "cm": tuple((*demand, *basket, "margin_share") for demand in _DEMAND for basket in _BASKETS),
    "aov": _BASKETS,
    "units_per_order": (("units_per_order",),),
    "new_customers": ((*_VISITS, "new_share"), ("orders", "new_share")),
    "gross_sales": ((*_VISITS, "gross_per_order"), ("orders", "gross_per_order")),
    "paid_amount": ((*_VISITS, "paid_per_order"), ("orders", "paid_per_order")),
    "discount_share": (("discount_share",),),
    "refund_share_booked": (("refund_share_booked",),),
}


@returns("monthly_review.usual")
def control_limits(headline: DataFrame, *, month: str, days: DataFrame | None = None) -> DataFrame:
    """One row per metric with what its own past sets for `month`.

    The centre comes from the days (start_here.daily): what spend, promotions, season and
    shelf lead one to expect. Where they do not speak, or the months alone missed by clearly
    less, it is what the forecaster expects of the complete ones before, by the rule
    that missed by least (root mean square). `sigma` is the scale of the `n_months`
    misses as a share, of those made with more than a year behind them where there are
    enough, a miss from a shorter log counting less; the distances follow Student's
    distribution of so few. `low` and `high` hold four months of five and are missing
    where they lie so far apart that they say nothing; `lower` and `upper` are passed by
    any figure of a month without news with a chance of one in twenty, most of it given
    to the headline figures, all of them together (what misses together is not paid for
    twice). Limits of a share that has never passed 1 end there. Missing under eight
    misses, and where the month before is not complete and no days are known.
    """
    known = headline[(headline.month <= month) & headline.amount.notna()]
    drivers = {} if days is None or days.empty else driver_months(days, month)
    rows = []
    for metric, series in known.groupby("metric", sort=True):
        past = series[(series.month < month) & (series.status == "complete")]
        past = past.drop_duplicates("month").set_index("month").amount.sort_index().astype(float)
        if past.empty and metric not in PRODUCTS:
            continue
        is_share = metric in METRICS and METRICS[metric].unit == "share" and past.max() <= 1
        found = _of_both(_from_days(drivers, str(metric), month), _from_months(past, month))
        is_signed = len(past) > 0 and past.min() < 0
        rows.append(
            {
                "metric": metric,
                "_floor": -np.inf if is_signed else 0.0,
                **found,
            }
        )
        rows[-1]["_most"] = 1.0 if is_share else np.inf
    return _with_limits(DataFrame(rows, columns=[*_FOUND, "_floor", "_most"]))


_FOUND = ["metric", "centre", "n_months", "basis", "sigma", "scale", "is_log", "misses"]


def driver_months(days: DataFrame, month: str) -> dict[str, DataFrame]:
    """Driver -> its months as expected (`expected_months`), from the days until the end
    of `month`; each with `is_late`, a year of days lay behind the month.
    """
    until = days[pd.to_datetime(days.day_on) <= pd.Period(month).end_time]
    year_in = f"{pd.to_datetime(until.day_on).min() + pd.DateOffset(years=1):%Y-%m}"
    drivers = sorted({d for ways in PRODUCTS.values() for way in ways for d in way})
    found = {driver: expected_months(until, driver) for driver in drivers}
    return {
        driver: months.assign(is_late=months.index >= year_in)
        for driver, months in found.items()
        if month in months.index
    }


def _from_days(drivers: dict[str, DataFrame], metric: str, month: str) -> dict | None:
    """The figure as the product of its drivers, by the product that missed by least;
    None where no days speak of it.
    """
    best = None
    for way in PRODUCTS.get(metric, ()):
        if not set(way) <= set(drivers):
            continue
        misses = sum(drivers[driver].miss for driver in way).dropna()
        past = misses[misses.index < month]
        if len(past) < LEAST_MONTHS:
            continue
        is_late = drivers[way[0]].is_late.reindex(past.index)
        n_known = FIRST + np.arange(len(past) + 1)
        rms, n = spread(past, is_late)
        if best is None or rms < best["rms"]:
            centre = float(np.prod([drivers[driver].expected[month] for driver in way]))
            best = {
                "centre": centre,
                "n_months": n,
                "basis": "days",
                "rms": rms,
            }
            sigma, _n = spread(past, is_late, n_known)
            best |= {"sigma": sigma, "scale": centre, "is_log": True, "misses": past}
    return best


def _of_both(by_days: dict | None, alone: dict) -> dict:
    """What the days lead one to expect where they speak, unless the months missed by less
    than they did beyond chance: by a standard error of the difference of their squares
    (Breiman et al. 1984), in enough months of which both speak. Whichever missed by less
    would follow the chance of few misses.
    """
    if by_days is None or not np.isfinite(alone["rms"]):
        return alone if by_days is None else by_days
    both = pd.concat([by_days["misses"], alone["misses"]], axis=1, join="inner") ** 2
    gain = both.iloc[:, 0] - both.iloc[:, 1]
    is_clear = len(gain) >= LEAST_MONTHS and gain.mean() > gain.std() / np.sqrt(len(gain))
    return alone if is_clear else by_days


def _from_months(series: Series, month: str) -> dict:
    """The figure as its own complete months lead one to expect."""
    best = {
        "centre": np.nan,
        "n_months": 0,
        "basis": "",
        "sigma": np.nan,
        "rms": np.nan,
    }
    best |= {"scale": np.nan, "is_log": True, "misses": None}
    if len(series) < LEAST_MONTHS or series.index[-1] != months_back(month, 2)[0]:
        return best
    begins = pd.to_datetime(series.index + "-01")
    history = DataFrame({"period_on": begins, "amount": series.to_numpy()})
    for rule in RULES:
        try:
            forecast = forecast_series(
                history,
                frequency="month",
                horizon=1,
                models=(rule,),
            )
        except PlaybookError:
            # less than a year, or a hole where the year before is
            continue
        total, past = forecast.total.iloc[0], forecast.origins.dropna(subset=["error"])
        is_late = past.origin_on >= begins[0] + pd.DateOffset(years=1)
        rms, n = spread(past.error, is_late)
        if n >= LEAST_MONTHS and not rms >= best["rms"]:
            best = {
                "centre": total.mid,
                "n_months": n,
                "basis": rule,
                "rms": rms,
            }
            due = past.origin_on + pd.DateOffset(months=1)
            misses = past.set_index(due.dt.strftime("%Y-%m")).error
            n_known = np.r_[np.searchsorted(begins, past.origin_on, "right"), len(begins)]
            sigma, _n = spread(misses, is_late.set_axis(misses.index), n_known)
            best |= {"sigma": sigma, "scale": total.scale, "misses": misses}
            best["is_log"] = forecast.is_log
    return best


def spread(misses: Series, is_late: Series, n_known: np.ndarray | None = None) -> tuple[float, int]:
    """Root mean square of the misses (the late ones where they are enough), their
    number. `n_known`: months that lay behind each miss and, last, behind now; with them
    a miss from a shorter log counts less, because a longer one errs by less.
    """
    is_used = is_late.astype(bool) | (is_late.sum() < LEAST_MONTHS)
    used = misses[is_used]
    if n_known is not None:
        used = used * ((n_known[:-1] / n_known[-1]) ** YOUTH)[is_used]
    return max(float(np.sqrt((used**2).mean())), ROUNDING), len(used)


def _with_limits(found: DataFrame) -> DataFrame:
    """Range and limits around the centres."""
    sigma = found.sigma.to_numpy(float)
    usual, limit = sigma * _distances(found, 1 - USUAL), sigma * _together(found)
    table = found.assign(
        low=_end(found, -usual),
        high=_end(found, usual),
        lower=_end(found, -limit),
        upper=_end(found, limit),
    )
    says_nothing = ~((table.high - table.low) <= MOST_WIDTH * table.centre.abs())
    table.loc[says_nothing, ["low", "high"]] = np.nan
    names = ["metric", "centre", "low", "high", "lower", "upper", "n_months", "basis", "sigma"]
    return table[names].astype({"n_months": int})


def _distances(found: DataFrame, outside: float) -> np.ndarray:
    """How many sigmas leave out this share of the months, by figure."""
    from scipy.stats import t as student

    free = np.maximum(found.n_months.to_numpy(float), 1)
    return student.ppf(1 - outside / 2, free)


def _together(found: DataFrame) -> np.ndarray:
    """How many sigmas the figures may lie off so that any of them does by chance in one
    month of twenty: the headline ones have most of that chance, all others the rest.
    """
    is_known = found.sigma.notna()
    is_main = found.metric.isin(room_facts("monthly_review")["headline"])
    main, others = found[is_known & is_main], found[is_known & ~is_main]
    share = MAIN_SHARE if len(main) and len(others) else 1.0
    distances = np.full(len(found), np.nan)
    if len(main):
        each = _distances(main, OUTSIDE * share / len(main))
        distances[is_known & is_main] = np.minimum(each, _joint(main, OUTSIDE * share))
    if len(others):
        rest = OUTSIDE * (1 - MAIN_SHARE if len(main) else 1.0)
        distances[is_known & ~is_main] = _distances(others, rest / len(others))
    return distances


def _joint(found: DataFrame, outside: float) -> float:
    """How many sigmas the furthest of these figures lies off in such a share of months,
    if they miss together as they did: the quantile of the largest of correlated Student
    variables (Hothorn, Bretz & Westfall 2008), drawn. The correlation is drawn towards
    none; without enough months that all of them know nothing is gained (infinity).
    """
    misses = pd.concat(list(found.misses), axis=1, join="inner").to_numpy(float)
    size = np.sqrt((misses**2).sum(axis=0))
    if len(size) < 2 or len(misses) < LEAST_MONTHS or not (size > 0).all():
        return np.inf
    alike = (1 - TO_NONE) * (misses / size).T @ (misses / size) + TO_NONE * np.eye(len(size))
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((DRAWS, len(size))) @ np.linalg.cholesky(alike).T
    free = int(found.n_months.min())
    furthest = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(free, DRAWS) / free)
    return float(np.quantile(furthest, 1 - outside))


def _end(found: DataFrame, reach: np.ndarray) -> np.ndarray:
    """The end of a range in the figure's own unit."""
    rows = zip(found.itertuples(), reach, strict=True)
    ends = [
        amount_at(
            row.centre,
            off,
            row.scale,
            row.is_log,
        )
        for row, off in rows
    ]
    ends = np.array(ends, float)
    floor, most = found._floor.to_numpy(float), found._most.to_numpy(float)
    return np.where(np.isnan(ends), np.nan, np.clip(ends, floor, most))
