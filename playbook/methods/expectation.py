"""What a driver of the month should have been, given what the shop knew: its calendar,
its spend, its shelf.

The daily ratio, in logarithms, on weekdays, waves of the year, promotions, a slope that
wears off (growth that goes on for ever is the dearest guess; Gardner & McKenzie 1985)
and the driver's own circumstances: ridge regression on quasi-differenced days (Cochrane
& Orcutt 1949), then the level of the last weeks. Every month is expected from the days
before it. How many waves a short history bears, and whether the misses of late will go
on, no test settles: the answers are averaged, each by the inverse square of its mean
squared miss so far (Bates & Granger 1969).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["CIRCUMSTANCES", "expected_months"]

#: driver -> what is counted, by what it is divided, and how the names of the columns that explain it begin
CIRCUMSTANCES = {
    "sessions": ("sessions", "", "spend "),
    "cvr_sessions": ("orders", "sessions", "unpaid_share"),
    "orders": ("orders", "", "spend "),
    "units_per_order": ("units", "orders", "in_stock_share"),
    "revenue_per_unit": ("net_revenue", "units", "no column"),
}
WAVES = (0, 2, 4)  # pairs of yearly waves
MEMORY = (
    0.0,
    0.3,
    0.9,
)  # how much of its miss a day hands to the next; each month takes the one that fits its past
CARRY = (
    0.3,
    0.8,
)  # share of a day's spend that still works the day after, in fast channels and in slow ones
RIDGE = 1.0  # days of doubt about each coefficient
LEVEL_DAYS, MISS_MONTHS = 45, 6  # half-lives of the level and of misses that last
FIRST = 5  # months seen before the first one that is expected
LEAST = 0.05  # a share, or a day against the usual one, further down counts as this


def expected_months(days: pd.DataFrame, driver: str) -> pd.DataFrame:
    """One row per month of `days` from the sixth: month (index), expected, miss (log of
    actual to expected).

    `days`: one row per day in order: day_on, promotion, after_promotion and the columns
    of CIRCUMSTANCES the shop has. A day without the figure, or with nothing to divide
    it by, was not observed and counts on neither side. No rows where the figure is not
    there or hardly ever above zero.
    """
    top_name, base_name, _ = CIRCUMSTANCES[driver]
    nothing = pd.DataFrame({"expected": [], "miss": []}, dtype=float)
    if not {top_name, base_name or top_name, "promotion"} <= set(days):
        return nothing
    base = days[base_name].to_numpy(float) if base_name else np.ones(len(days))
    seen = np.isfinite(days[top_name].to_numpy(float)) & (base > 0)
    top, base = days[top_name].to_numpy(float)[seen], base[seen]
    usual = np.median(top / base) if len(top) else 0.0
    months, first = np.unique(
        pd.to_datetime(days.day_on)[seen].dt.strftime("%Y-%m"), return_index=True
    )
    if not usual > 0 or len(months) <= FIRST:
        return nothing
    top, size = top / usual, np.add.reduceat(base, first)[FIRST:]
    actual = np.log(np.maximum(np.add.reduceat(top, first)[FIRST:] / size, LEAST))
    guesses = {}
    for waves in WAVES:
        guess = pd.Series(
            _one_step(_known(days, driver, waves)[seen], top, base, first), months[FIRST:]
        )
        guesses[waves, "as it is"] = guess
        guesses[waves, "mended"] = guess + (actual - guess).ewm(halflife=MISS_MONTHS).mean().shift(
            1
        ).fillna(0.0)
    table = pd.DataFrame(guesses)
    trust = (table.rsub(actual, axis=0) ** 2).expanding().mean().shift(1).fillna(1.0).clip(
        lower=1e-9
    ) ** -2.0
    expected = (table * trust).sum(axis=1) / trust.sum(axis=1)
    return pd.DataFrame(
        {
            "expected": np.exp(expected) * usual * (1.0 if base_name else size),
            "miss": actual - expected,
        }
    )


def _known(days: pd.DataFrame, driver: str, waves: int) -> np.ndarray:
    """What was known of each day apart from the figure: a one, slope, weekdays,
    promotions, season, circumstances.
    """
    day = pd.to_datetime(days.day_on)
    turn = 2 * np.pi * day.dt.day_of_year / 365.25
    columns = [np.ones(len(days)), np.log((day - day.iloc[0]).dt.days / 365.25 + 0.25)]
    columns += [(day.dt.day_of_week == k).astype(float) for k in range(6)]
    columns += [days.promotion.astype(float), days.after_promotion.astype(float)]
    columns += [wave(k * turn) for k in range(1, waves + 1) for wave in (np.sin, np.cos)]
    for name in [c for c in days if c.startswith(CIRCUMSTANCES[driver][2])]:
        known = days[name].astype(float).ffill().bfill().fillna(1.0)
        columns += (
            [
                np.log1p(known.clip(lower=0).ewm(alpha=1 - kept, adjust=False).mean())
                for kept in CARRY
            ]
            if name.startswith("spend ")
            else [np.log(known.clip(lower=LEAST))]
        )
    return np.column_stack(columns)


def _one_step(x: np.ndarray, top: np.ndarray, base: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Log of each month's mean ratio as its past leads one to expect, from the month
    after the first five.
    """
    y = np.log(np.clip(top / base, LEAST, 1 / LEAST))
    found = []
    for start, end in zip(first[FIRST:], [*first[FIRST + 1 :], len(y)], strict=True):
        fit = np.exp(x[:end] @ _coefficients(x[:start], y[:start])) * base[:end]
        recent = 0.5 ** (np.arange(start)[::-1] / LEVEL_DAYS)
        level = max((recent * top[:start]).sum() / (recent * fit[:start]).sum(), LEAST)
        found.append(np.log(level * fit[start:].sum() / base[start:end].sum()))
    return np.array(found)


def _coefficients(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    both = np.column_stack([x, y])
    now, before = both[1:], both[:-1]
    squares, steps, earlier = now.T @ now, now.T @ before, before.T @ before
    spread = x.var(axis=0)
    doubt = RIDGE * np.where(spread > 1e-9, spread, 1.0)  # a column that never moved is left out
    doubt[0] = 0.0
    best, least = np.zeros(x.shape[1]), np.inf
    for kept in MEMORY:
        moments = squares - kept * (steps + steps.T) + kept**2 * earlier
        found = np.linalg.solve(moments[:-1, :-1] + np.diag(doubt), moments[:-1, -1])
        rest = moments[-1, -1] - 2 * found @ moments[:-1, -1] + found @ moments[:-1, :-1] @ found
        if rest < least:
            best, least = found, rest
    return best
