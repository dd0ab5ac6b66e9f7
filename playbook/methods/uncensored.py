"""What sales would have been every week of the year and of a launch: season, launch
curve, level, and days cut short.

Season is the ratio to a moving year, group shrunk towards the shop and sku towards its
group. A day on which the shelf went empty is counted in part, by the expectation step
of the EM algorithm (Dempster, Laird & Rubin, JRSS B 1977). Arrays are (sku, week),
rising in time; `exposure` is the share of the week in which the sku could be sold, 0 =
unknown.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "season_of",
    "launch_curve",
    "like_items",
    "level_around",
    "shop_weeks",
    "sold_out_exposure",
]

SEASON_MIN_WEEKS = (
    92  # below, every week of the year was seen about once and season cannot be told from trend
)
RAMP_WEEKS = 26  # a launch is over after half a year


def season_of(
    units: np.ndarray,
    exposure: np.ndarray,
    week: np.ndarray,
    *,
    group: np.ndarray,
    promo: np.ndarray,
    own: str = "shrunk",
) -> tuple[np.ndarray, np.ndarray]:
    """Week-of-year factors (sku, 52) and the promotion factor (sku,): ratio to a moving
    year, shrunk twice.

    With less than `SEASON_MIN_WEEKS` of history all factors of the season are 1. `own`
    says what a sku's own weeks do: "shrunk" towards the group's season, or "left out"
    of it, where they would swallow the sku's price moves.
    """
    from scipy.sparse import csr_array

    n, n_weeks = units.shape
    _, member = np.unique(group, return_inverse=True)
    n_groups = int(member.max()) + 1 if n else 0
    season, uplift = np.ones((n_groups, 52)), np.ones(n_groups)
    on = np.where(exposure > 0, promo, 0.0)
    at = np.zeros((n_weeks, 52))
    at[np.arange(n_weeks), week] = 1.0
    in_group = csr_array((np.ones(n), (member, np.arange(n))), shape=(n_groups, n))
    seen = in_group @ units
    for _ in range(5 if n_weeks >= SEASON_MIN_WEEKS or on.any() else 0):
        lift = 1 + (uplift[member][:, None] - 1) * on
        base = (
            level_around(units, exposure * season[member][:, week] * lift, half_width=26) * exposure
        )
        expected = in_group @ (base * lift)
        if n_weeks >= SEASON_MIN_WEEKS:
            shop = _year_factors(
                seen.sum(axis=0, keepdims=True) @ at, expected.sum(axis=0, keepdims=True) @ at, 1.0
            )
            season = _year_factors(seen @ at, expected @ at, shop)
        plain = base * season[member][:, week]
        quiet = in_group @ (plain * on).sum(axis=1)
        sold = in_group @ ((units - plain * (1 - on)) * (on > 0)).sum(axis=1)
        pooled = (sold.sum() + 50) / (quiet.sum() + 50)
        uplift = np.clip((sold + 50 * pooled) / (quiet + 50), 0.5, 20.0)
    own_season = season[member]
    if n_weeks >= SEASON_MIN_WEEKS:
        lift = 1 + (uplift[member][:, None] - 1) * on
        base = (
            level_around(units, exposure * own_season[:, week] * lift, half_width=26)
            * exposure
            * lift
        )
        if own == "left out":
            num, den = units @ at, base @ at
            own_season = _year_factors(
                (in_group @ num)[member] - num, (in_group @ den)[member] - den, 1.0
            )
        else:  # a sku's own pattern counts once it has sold a few hundred units
            num, den = (
                _around_year(units @ at, np.ones(7)),
                _around_year((base * own_season[:, week]) @ at, np.ones(7)),
            )
            own_season = own_season * (num + 400) / (den + 400)
            own_season = own_season / own_season.mean(axis=1, keepdims=True)
    return own_season, uplift[member]


def launch_curve(units: np.ndarray, exposure: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Demand by week since launch as a multiple of the level after it, all launches
    within the log together.
    """
    born = first >= 4
    if born.sum() < 5:
        return np.ones(RAMP_WEEKS)
    sold, seen = np.zeros((born.sum(), RAMP_WEEKS)), np.zeros((born.sum(), RAMP_WEEKS))
    for row, (start, sku) in enumerate(zip(first[born], np.flatnonzero(born), strict=True)):
        stop = min(start + RAMP_WEEKS, units.shape[1])
        sold[row, : stop - start], seen[row, : stop - start] = (
            units[sku, start:stop],
            exposure[sku, start:stop],
        )
    whole = (
        seen[:, RAMP_WEEKS // 2 :].sum(axis=1) >= 4
    )  # only launches that grew up say what grown-up means
    level = sold[:, RAMP_WEEKS // 2 :].sum(axis=1) / np.maximum(
        seen[:, RAMP_WEEKS // 2 :].sum(axis=1), 1
    )
    expected = (level[:, None] * seen)[whole].sum(axis=0)
    curve = (sold[whole].sum(axis=0) + 60) / (expected + 60)
    curve[RAMP_WEEKS // 2 :] = 1.0
    curve[1:-1] = (curve[:-2] + curve[1:-1] + curve[2:]) / 3
    return np.clip(curve, 0.1, 3.0)


def like_items(
    units: np.ndarray, scale: np.ndarray, like: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gamma prior of a sku's level from the first half year of its like items, groups
    shrunk towards all skus.
    """
    started = np.cumsum(scale > 0, axis=1)
    young = (started > 0) & (started <= 26)
    seen, sold = np.where(young, scale, 0).sum(axis=1), np.where(young, units, 0).sum(axis=1)
    known = seen >= 4
    _, member = np.unique(like, return_inverse=True)
    n_groups = int(member.max()) + 1 if len(units) else 0
    level = np.where(known, sold / np.maximum(seen, 1e-9), 0.0)
    n = np.bincount(member, weights=known, minlength=n_groups)
    overall = level.sum() / max(known.sum(), 1) or 1e-3
    mean = (np.bincount(member, weights=level, minlength=n_groups) + 2 * overall) / (n + 2)
    excess = np.where(known, (level - mean[member]) ** 2 - level / np.maximum(seen, 1e-9), 0.0)
    variance = (np.bincount(member, weights=excess, minlength=n_groups) + 2 * overall**2) / (n + 2)
    shape = np.clip(mean**2 / np.maximum(variance, 1e-9), 0.2, 5.0)
    return shape[member], (shape / mean)[member]


def level_around(units: np.ndarray, scale: np.ndarray, *, half_width: int) -> np.ndarray:
    """Units per unit of scale within `half_width` weeks to either side, (sku, week);
    the window is cut at the ends.

    A window without exposure takes the sku's average.
    """
    whole = units.sum(axis=1, keepdims=True) / np.maximum(scale.sum(axis=1, keepdims=True), 1e-9)
    sums = [
        np.concatenate([np.zeros((len(units), 1)), part.cumsum(axis=1)], axis=1)
        for part in (units, scale)
    ]
    last = np.minimum(np.arange(units.shape[1]) + half_width + 1, units.shape[1])
    first = np.maximum(np.arange(units.shape[1]) - half_width, 0)
    sold, seen = (part[:, last] - part[:, first] for part in sums)
    return (sold + whole) / (seen + 1.0)


def shop_weeks(units: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """What lifted or lowered the whole shop in each week, seen from each sku on all
    others, (sku, week) around 1.
    """
    sold, base = (
        part.sum(axis=0) - part + 200 for part in (units, expected)
    )  # a small shop's week tells little
    return sold / base


def sold_out_exposure(
    units: np.ndarray,
    whole_days: np.ndarray,
    out_days: np.ndarray,
    out_units: np.ndarray,
    *,
    half_width: int = 8,
) -> np.ndarray:
    """Share of each week in which the sku could be sold, days that ended with an empty
    shelf counted in part.

    `units` are all units sold, `whole_days` the days stocked to their end, `out_days`
    the days on which the shelf went empty and `out_units` what they sold. Such a day
    only says "at least this many": leaving it out loses the best days, counting it
    whole loses the demand after its last sale. With n arrivals at rate λ a day, E[T_n |
    T_n ≤ 1] = n/λ · P(N > n) / P(N ≥ n) under Poisson arrivals: the share of the day
    before the shelf was empty (the expectation step of the EM algorithm; λ from the
    weeks around, three rounds).
    """
    from scipy.stats import poisson

    exposure = (whole_days + 0.5 * out_days) / 7
    at = np.nonzero(out_days)
    sold = out_units[at] / out_days[at]
    for _ in range(3 if len(sold) else 0):
        daily = np.maximum(level_around(units, exposure, half_width=half_width)[at] / 7, 1e-3)
        at_least = poisson.sf(np.ceil(sold) - 1, daily)
        share = np.where(
            at_least > 1e-9,
            sold / daily * poisson.sf(np.ceil(sold), daily) / np.maximum(at_least, 1e-9),
            sold / (sold + 1),
        )
        exposure[at] = (whole_days[at] + out_days[at] * np.clip(share, 0.02, 1)) / 7
    return exposure


def _year_factors(sold: np.ndarray, expected: np.ndarray, prior: np.ndarray | float) -> np.ndarray:
    """Sold / expected by week of the year: shrunk to `prior` by 100 units, to its
    neighbours where counts are small.
    """
    near = np.array([0.25, 0.5, 0.25])
    smooth = (_around_year(sold, near) + 100 * prior) / (_around_year(expected, near) + 100)
    factors = (sold + 150 * smooth) / (expected + 150)
    return factors / factors.mean(axis=-1, keepdims=True)


def _around_year(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Weighted sum of neighbouring weeks; the last week of the year is next to the
    first.
    """
    reach = len(kernel) // 2
    return sum(
        weight * np.roll(values, step - reach, axis=-1) for step, weight in enumerate(kernel)
    )
