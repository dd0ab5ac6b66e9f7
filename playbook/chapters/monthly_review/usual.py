"""What each figure of the month should have been, in which range it usually lies, and
beyond which limits it is flagged.

A figure that is made of days is expected from its drivers, each given what the shop knew
of the month (`playbook.methods.expectation`); any other from its own months. Whatever
missed by least on the shop's own past is used, and those misses set the range.
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
from playbook.methods.expectation import expected_months
from playbook.tables import returns

__all__ = ["LEAST_MONTHS", "control_limits", "driver_months", "spread"]

LEAST_MONTHS = 8  # misses below which there are no limits
RULES = ("level", "mix", "growth", "seasonal_naive")  # what a month may be expected from
ROUNDING = 1e-9  # a series that never moved is held against this, not against its last digit
OUTSIDE = 0.05  # chance that a month without news shows any flag at all
MAIN_SHARE = 0.8  # of it for the headline figures, the rest for all others
USUAL = 0.8  # share of months that lie in the usual range
MOST_WIDTH = 0.5  # a range wider than this share of what is expected says nothing

_VISITS = ("sessions", "cvr_sessions")
_BASKET = ("units_per_order", "revenue_per_unit")
#: figure -> the products of drivers from which it may be expected
PRODUCTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "sessions": (("sessions",),),
    "cvr_sessions": (("cvr_sessions",),),
    "orders": (_VISITS, ("orders",)),
    "net_revenue": ((*_VISITS, *_BASKET), ("orders", *_BASKET)),
    "cm": ((*_VISITS, *_BASKET, "margin_share"), ("orders", *_BASKET, "margin_share")),
    "aov": (_BASKET, ("revenue_per_order",)),
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

    The centre comes from the days (start_here.daily) where these missed by less than the
    months alone: what spend, promotions, season and shelf lead one to expect. From the
    months it is what the forecaster expects of the complete ones before, by the rule
    that missed by least (root mean square). `sigma` is the scale of the `n_months`
    misses, from the one that four of five stayed under, as a share, those made with
    more than a year behind them where there are enough; the distances follow Student's
    distribution of so few. `low` and `high` hold four months of five and are missing
    where they lie so far apart that they say nothing; `lower` and `upper` are passed by
    any figure of a month without news with a chance of one in twenty, most of it given
    to the headline figures (Bonferroni, weighted). Limits of a share that has never
    passed 1 end there. Missing under eight misses, and where the month before is not
    complete and no days are known.
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
        found = _from_months(past, month)
        by_days = _from_days(drivers, str(metric), month)
        if by_days is not None and not found["rms"] < by_days["rms"]:
            found = by_days
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


_FOUND = ["metric", "centre", "n_months", "basis", "sigma", "scale", "is_log"]


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
        rms, n = spread(past, is_late)
        if best is None or rms < best["rms"]:
            centre = float(np.prod([drivers[driver].expected[month] for driver in way]))
            best = {
                "centre": centre,
                "n_months": n,
                "basis": "days",
                "rms": rms,
            }
            best |= {"sigma": _typical(past, is_late), "scale": centre, "is_log": True}
    return best


def _from_months(series: Series, month: str) -> dict:
    """The figure as its own complete months lead one to expect."""
    best = {
        "centre": np.nan,
        "n_months": 0,
        "basis": "",
        "sigma": np.nan,
        "rms": np.nan,
    }
    best |= {"scale": np.nan, "is_log": True}
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
            best |= {"sigma": _typical(past.error, is_late), "scale": total.scale}
            best["is_log"] = forecast.is_log
    return best


def spread(misses: Series, is_late: Series) -> tuple[float, int]:
    """Root mean square of the misses (the late ones where they are enough), their
    number.
    """
    used = misses[is_late.astype(bool)] if is_late.sum() >= LEAST_MONTHS else misses
    return max(float(np.sqrt((used**2).mean())), ROUNDING), len(used)


def _typical(misses: Series, is_late: Series) -> float:
    """The miss that four months of five stayed under, over Student's for their number:
    one month that went wrong widens it less than it does the root mean square.
    """
    from scipy.stats import t as student

    used = misses[is_late.astype(bool)] if is_late.sum() >= LEAST_MONTHS else misses
    usual = float(np.quantile(used.abs(), USUAL))
    return max(usual / student.ppf((1 + USUAL) / 2, len(used)), ROUNDING)


def _with_limits(found: DataFrame) -> DataFrame:
    """Range and limits around the centres."""
    is_known = found.sigma.notna()
    is_main = found.metric.isin(room_facts("monthly_review")["headline"])
    n_main, n_other = int((is_known & is_main).sum()), int((is_known & ~is_main).sum())
    share = np.where(
        is_main,
        MAIN_SHARE / max(n_main, 1),
        (1 - MAIN_SHARE) / max(n_other, 1),
    )
    if not (n_main and n_other):
        share = np.full(len(found), 1 / max(n_main + n_other, 1))
    usual, limit = _reach(found, 1 - USUAL), _reach(found, OUTSIDE * share)
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


def _reach(found: DataFrame, outside: np.ndarray | float) -> np.ndarray:
    """How far a range reaches that leaves out this share, in the scale of the misses."""
    from scipy.stats import t as student

    free = np.maximum(found.n_months.to_numpy(float), 1)
    return found.sigma.to_numpy(float) * student.ppf(1 - np.asarray(outside) / 2, free)


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
