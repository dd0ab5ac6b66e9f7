"""What a driver of the month should have been, given what the shop knew: its calendar,
its spend, its shelf.

The daily ratio, in logarithms, on weekdays, waves of the year, promotions, a slope that
wears off (growth that goes on for ever is the dearest guess; Gardner & McKenzie 1985)
and the driver's own circumstances: ridge regression on quasi-differenced days (Cochrane
& Orcutt 1949), then the level of the last weeks. Every month is expected from the days
before it. How many waves a short history bears, how fast its level wanders, and whether
the misses of late will go on, no test settles: the answers are averaged, each by the
inverse square of its mean squared miss so far (Bates & Granger 1969).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

__all__ = ["CIRCUMSTANCES", "FIRST", "expected_days", "expected_months"]

#: driver -> what is counted, by what it is divided, and how the names of the columns
#: that explain it begin
CIRCUMSTANCES = {
    "sessions": ("sessions", "", "spend "),
    "cvr_sessions": ("orders", "sessions", "unpaid_share"),
    "orders": ("orders", "", "spend "),
    "revenue": ("revenue", "", "spend "),
    "units_per_order": ("units", "orders", "in_stock_share"),
    "revenue_per_unit": ("net_revenue", "units", "no column"),
    "revenue_per_order": ("net_revenue", "orders", "in_stock_share"),
    "margin_share": ("margin", "net_revenue", "no column"),
    "new_share": ("new_customers", "orders", "unpaid_share"),
    "paid_per_order": ("paid", "orders", "in_stock_share"),
    "gross_per_order": ("gross", "orders", "in_stock_share"),
    "discount_share": ("discount", "gross", "no column"),
    "refund_share_booked": ("refunds", "revenue", "no column"),
}
#: pairs of yearly waves, and the half-life of the level in days
GUESSES = ((0, 45), (2, 45), (4, 45))
#: one more where nothing the shop knows leads the driver: its level wanders faster
ALONE = (0, 15)
#: how much of its miss a day hands to the next; each month takes the one that fits its past
MEMORY = (0.0, 0.3, 0.9)
#: share of a day's spend that still works the day after, in fast channels and in slow ones
CARRY = (0.3, 0.8)
RIDGE = 1.0  # days of doubt about each coefficient
MISS_MONTHS = 6  # half-life of misses that last
YEAR_DAYS = 365
UNSEEN = 0.1  # days of doubt about the season for each day of the year not seen yet
FIRST = 5  # months seen before the first one that is expected
LEAST = 0.05  # a share, or a day against the usual one, further down counts as this


def expected_months(days: DataFrame, driver: str) -> DataFrame:
    """One row per month of `days` from the sixth: month (index), expected (of the whole
    month), miss (log of actual to expected over the days that were observed).

    `days`: one row per day in order: day_on, promotion, after_promotion and the columns
    of CIRCUMSTANCES the shop has; is_closed, where it knows on which days it was closed,
    which then bring nothing and teach nothing. A day without the figure, or with nothing
    to divide it by, was not observed and counts on neither side. No rows where the figure
    is not there or hardly ever above zero.
    """
    top_name, base_name, _ = CIRCUMSTANCES[driver]
    no_month = pd.Index([], dtype=object)  # months are text, so that they compare
    nothing = DataFrame({"expected": [], "miss": []}, index=no_month, dtype=float)
    if not {top_name, base_name or top_name, "promotion"} <= set(days):
        return nothing
    base = days[base_name].to_numpy(float) if base_name else np.ones(len(days))
    top, is_shut = days[top_name].to_numpy(float), _shut(days, top_name)
    is_known = np.isfinite(top) & (base > 0) & ~is_shut
    top, base = top[is_known], base[is_known]
    usual = np.median(top / base) if len(top) else 0.0
    months, first = np.unique(
        pd.to_datetime(days.day_on)[is_known].dt.strftime("%Y-%m"), return_index=True
    )
    if not usual > 0 or len(months) <= FIRST:
        return nothing
    top, size = top / usual, np.add.reduceat(base, first)[FIRST:]
    n_shut = pd.to_datetime(days.day_on)[is_shut].dt.strftime("%Y-%m").value_counts()
    n_days = np.array([pd.Period(m).days_in_month - n_shut.get(m, 0) for m in months[FIRST:]])
    actual = np.log(np.maximum(np.add.reduceat(top, first)[FIRST:] / size, LEAST))
    guesses = {}
    is_led = any(c.startswith(CIRCUMSTANCES[driver][2]) for c in days)
    for waves, level_days in GUESSES if is_led else (*GUESSES, ALONE):
        known = _known(days, driver, waves)[is_known]
        steps = _one_step(
            known,
            top,
            base,
            first,
            waves,
            level_days,
        )
        guess = pd.Series(steps, months[FIRST:])
        lasting = (actual - guess).ewm(halflife=MISS_MONTHS).mean().shift(1)
        guesses[waves, level_days, "as it is"] = guess
        guesses[waves, level_days, "mended"] = guess + lasting.fillna(0.0)
    table = DataFrame(guesses)
    squares = (table.rsub(actual, axis=0) ** 2).expanding().mean().shift(1)
    trust = squares.fillna(1.0).clip(lower=1e-9) ** -2.0
    expected = (table * trust).sum(axis=1) / trust.sum(axis=1)
    amount = np.exp(expected) * usual * (1.0 if base_name else n_days)
    return DataFrame({"expected": amount, "miss": actual - expected})


def expected_days(days: DataFrame, driver: str) -> DataFrame:
    """One row per day seen from the sixth month on, as its month's past leads one to
    expect it: day_on (index), expected, miss (log of actual to expected, with one added
    to both). Days of `expected_months`, with its middle number of waves; no rows where
    that has none.
    """
    top_name, base_name, _ = CIRCUMSTANCES[driver]
    nothing = DataFrame(
        {"expected": [], "miss": []},
        index=pd.DatetimeIndex([]),
        dtype=float,
    )
    if base_name or not {top_name, "promotion"} <= set(days):
        return nothing
    day, top = pd.to_datetime(days.day_on), days[top_name].to_numpy(float)
    is_known = np.isfinite(top) & ~_shut(days, top_name)
    top, base = top[is_known], np.ones(is_known.sum())
    usual = np.median(top) if len(top) else 0.0
    first = np.unique(day[is_known].dt.strftime("%Y-%m"), return_index=True)[1]
    if not usual > 0 or len(first) <= FIRST:
        return nothing
    waves, level_days = GUESSES[1]
    known = _known(days, driver, waves)[is_known]
    parts = _steps(
        known,
        top / usual,
        base,
        first,
        waves,
        level_days,
    )
    steps = [fit * usual for _start, _end, fit in parts]
    expected = np.concatenate(steps)
    miss = np.log1p(np.maximum(top[first[FIRST] :], 0.0)) - np.log1p(expected)
    index = pd.DatetimeIndex(day[is_known][first[FIRST] :], name="day_on")
    return DataFrame({"expected": expected, "miss": miss}, index=index)


def _shut(days: DataFrame, name: str) -> ndarray:
    """The days on which nothing came because the shop was closed."""
    is_closed = days.get("is_closed", pd.Series(False, days.index)).fillna(False).astype(bool)
    return (is_closed & days[name].eq(0)).to_numpy()


def _known(days: DataFrame, driver: str, waves: int) -> ndarray:
    """What was known of each day apart from the figure: a one, slope, weekdays,
    promotions, circumstances and, last, the season.
    """
    day = pd.to_datetime(days.day_on)
    turn = 2 * np.pi * day.dt.day_of_year / 365.25
    columns = [np.ones(len(days)), np.log((day - day.iloc[0]).dt.days / 365.25 + 0.25)]
    columns += [(day.dt.day_of_week == k).astype(float) for k in range(6)]
    columns += [days.promotion.astype(float), days.after_promotion.astype(float)]
    for name in [c for c in days if c.startswith(CIRCUMSTANCES[driver][2])]:
        known = days[name].astype(float).ffill().bfill().fillna(1.0)
        if not name.startswith("spend "):
            columns.append(np.log(known.clip(lower=LEAST)))
            continue
        for carried in CARRY:
            working = known.clip(lower=0).ewm(alpha=1 - carried, adjust=False).mean()
            columns.append(np.log1p(working))
    columns += [wave(k * turn) for k in range(1, waves + 1) for wave in (np.sin, np.cos)]
    return np.column_stack(columns)


def _one_step(
    x: ndarray, top: ndarray, base: ndarray, first: ndarray, waves: int, level_days: float
) -> ndarray:
    """Log of each month's mean ratio as its past leads one to expect, from the month
    after the first five.
    """
    expected = []
    for start, end, fit in _steps(
        x,
        top,
        base,
        first,
        waves,
        level_days,
    ):
        expected.append(np.log(fit.sum() / base[start:end].sum()))
    return np.array(expected)


def _steps(
    x: ndarray, top: ndarray, base: ndarray, first: ndarray, waves: int, level_days: float
) -> Iterator[tuple[int, int, ndarray]]:
    """Each month after the first five: its first day, the one after its last, and what
    its days should have been, from the days before it.
    """
    y = np.log(np.clip(top / base, LEAST, 1 / LEAST))
    for start, end in zip(first[FIRST:], [*first[FIRST + 1 :], len(y)], strict=True):
        fit = np.exp(x[:end] @ _coefficients(x[:start], y[:start], waves)) * base[:end]
        recent = 0.5 ** (np.arange(start)[::-1] / level_days)
        level = max((recent * top[:start]).sum() / (recent * fit[:start]).sum(), LEAST)
        yield start, end, level * fit[start:]


def _coefficients(x: ndarray, y: ndarray, waves: int) -> ndarray:
    """The coefficients of `x`, whose last `waves` pairs of columns are the season: the
    less of a year was seen, the more it is doubted.
    """
    both = np.column_stack([x, y])
    now, before = both[1:], both[:-1]
    squares, steps, earlier = now.T @ now, now.T @ before, before.T @ before
    spread = x.var(axis=0)
    # a column that never moved is left out
    doubt = RIDGE * np.where(spread > 1e-9, spread, 1.0)
    doubt[0] = 0.0
    season = slice(len(doubt) - 2 * waves, None)
    doubt[season] += UNSEEN * max(YEAR_DAYS - len(x), 0) * spread[season]
    best, least = np.zeros(x.shape[1]), np.inf
    for memory in MEMORY:
        moments = squares - memory * (steps + steps.T) + memory**2 * earlier
        inner, outer = moments[:-1, :-1], moments[:-1, -1]
        fit = np.linalg.solve(inner + np.diag(doubt), outer)
        rest = moments[-1, -1] - 2 * fit @ outer + fit @ inner @ fit
        if rest < least:
            best, least = fit, rest
    return best
