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
from numpy import ndarray

__all__ = [
    "season_of",
    "promotion_lift",
    "launch_curve",
    "like_items",
    "level_around",
    "shop_weeks",
    "sold_out_exposure",
]

# below, every week of the year was seen about once and season cannot be told from trend
SEASON_MIN_WEEKS = 92
RAMP_WEEKS = 26  # a launch is over after half a year
GROWN_UP = RAMP_WEEKS // 2  # age from which a launch counts as grown up
MIN_LAUNCHES = 5  # fewer launches say nothing of the next one
HALF_YEAR = 26  # half the window of the level that season is measured against
OWN_PATTERN_UNITS = 400  # a sku's own season counts once it has sold so many
NEAR_DAYS_WEEKS = 8  # half the window of the rate behind a day that sold out


def season_of(
    units: ndarray,
    exposure: ndarray,
    week: ndarray,
    *,
    group: ndarray,
    promo: ndarray,
    own: str = "shrunk",
) -> tuple[ndarray, ndarray]:
    """Week-of-year factors (sku, 52) and the promotion factor (sku,): ratio to a moving
    year, shrunk twice.

    With less than `SEASON_MIN_WEEKS` of history all factors of the season are 1. `own`
    says what a sku's own weeks do: "shrunk" towards the group's season, or "left out"
    of it, where they would swallow the sku's price moves.
    """
    has_season = units.shape[1] >= SEASON_MIN_WEEKS
    member, in_group = _groups(group)
    season, uplift = np.ones((in_group.shape[0], 52)), np.ones(in_group.shape[0])
    on = np.where(exposure > 0, promo, 0.0)
    of_year = np.eye(52)[week]
    group_units = in_group @ units

    def base_and_lift() -> tuple[ndarray, ndarray]:
        lift = promotion_lift(uplift[member], on)
        scale = exposure * season[member][:, week] * lift
        return level_around(units, scale, half_width=HALF_YEAR) * exposure, lift

    for _ in range(5 if has_season or on.any() else 0):
        base, lift = base_and_lift()
        if has_season:
            expected = in_group @ (base * lift)
            shop = [sums.sum(axis=0, keepdims=True) @ of_year for sums in (group_units, expected)]
            shop_season = _year_factors(*shop, 1.0)
            season = _year_factors(group_units @ of_year, expected @ of_year, shop_season)
        plain = base * season[member][:, week]
        uplift = _group_uplift(
            units,
            plain,
            on,
            in_group,
        )
    if not has_season:
        return season[member], uplift[member]
    base, lift = base_and_lift()
    base = base * lift
    if own == "left out":
        sold, expected = units @ of_year, base @ of_year
        rest = [(in_group @ part)[member] - part for part in (sold, expected)]
        return _year_factors(*rest, 1.0), uplift[member]
    own_season = season[member]
    parts = (units @ of_year, (base * own_season[:, week]) @ of_year)
    sold, expected = (_around_year(part, np.ones(7)) for part in parts)
    own_season = own_season * (sold + OWN_PATTERN_UNITS) / (expected + OWN_PATTERN_UNITS)
    return own_season / own_season.mean(axis=1, keepdims=True), uplift[member]


def promotion_lift(uplift: ndarray, promo: ndarray) -> ndarray:
    """The factor on demand of each week, (sku, week), from a sku's factor of a week
    wholly on promotion and the share of each week that is.
    """
    return 1 + (uplift[:, None] - 1) * promo


def launch_curve(
    units: ndarray,
    exposure: ndarray,
    first: ndarray,
) -> ndarray:
    """Demand by week since launch as a multiple of the level after it, all launches
    within the log together.
    """
    born = first >= 4
    if born.sum() < MIN_LAUNCHES:
        return np.ones(RAMP_WEEKS)
    sold, on_sale = np.zeros((2, born.sum(), RAMP_WEEKS))
    for row, (start, sku) in enumerate(zip(first[born], np.flatnonzero(born), strict=True)):
        stop = min(start + RAMP_WEEKS, units.shape[1])
        sold[row, : stop - start] = units[sku, start:stop]
        on_sale[row, : stop - start] = exposure[sku, start:stop]
    grown_weeks = on_sale[:, GROWN_UP:].sum(axis=1)
    # only launches that grew up say what grown-up means
    whole = grown_weeks >= 4
    level = sold[:, GROWN_UP:].sum(axis=1) / np.maximum(grown_weeks, 1)
    expected = (level[:, None] * on_sale)[whole].sum(axis=0)
    curve = (sold[whole].sum(axis=0) + 60) / (expected + 60)
    curve[GROWN_UP:] = 1.0
    curve[1:-1] = (curve[:-2] + curve[1:-1] + curve[2:]) / 3
    return np.clip(curve, 0.1, 3.0)


def like_items(
    units: ndarray,
    scale: ndarray,
    like: ndarray,
) -> tuple[ndarray, ndarray]:
    """Gamma prior of a sku's level from the first half year of its like items, groups
    shrunk towards all skus.
    """
    weeks_on_sale = np.cumsum(scale > 0, axis=1)
    young = (weeks_on_sale > 0) & (weeks_on_sale <= 26)
    exposed, sold = (np.where(young, part, 0).sum(axis=1) for part in (scale, units))
    known = exposed >= 4
    exposed = np.maximum(exposed, 1e-9)
    names, member = np.unique(like, return_inverse=True)
    level = np.where(known, sold / exposed, 0.0)
    n, levels = (np.bincount(member, part, len(names)) for part in (known, level))
    overall = level.sum() / max(known.sum(), 1) or 1e-3
    mean = (levels + 2 * overall) / (n + 2)
    excess = np.where(
        known,
        (level - mean[member]) ** 2 - level / exposed,
        0.0,
    )
    variance = (np.bincount(member, excess, len(names)) + 2 * overall**2) / (n + 2)
    shape = np.clip(mean**2 / np.maximum(variance, 1e-9), 0.2, 5.0)
    return shape[member], (shape / mean)[member]


def level_around(
    units: ndarray,
    scale: ndarray,
    *,
    half_width: int,
) -> ndarray:
    """Units per unit of scale within `half_width` weeks to either side, (sku, week);
    the window is cut at the ends.

    A window without exposure takes the sku's average.
    """
    whole = units.sum(axis=1, keepdims=True) / np.maximum(scale.sum(axis=1, keepdims=True), 1e-9)
    week, none_yet = np.arange(units.shape[1]), np.zeros((len(units), 1))
    last, first = np.minimum(week + half_width + 1, len(week)), np.maximum(week - half_width, 0)
    upto = [np.concatenate([none_yet, part.cumsum(axis=1)], axis=1) for part in (units, scale)]
    sold, exposed = (part[:, last] - part[:, first] for part in upto)
    return (sold + whole) / (exposed + 1.0)


def shop_weeks(units: ndarray, expected: ndarray) -> ndarray:
    """What lifted or lowered the whole shop in each week, seen from each sku on all
    others, (sku, week) around 1.
    """
    # a small shop's week tells little
    sold, base = (part.sum(axis=0) - part + 200 for part in (units, expected))
    return sold / base


def sold_out_exposure(
    units: ndarray,
    whole_days: ndarray,
    out_days: ndarray,
    out_units: ndarray,
    open_days: ndarray | float = 7.0,
) -> ndarray:
    """Share of each week in which the sku could be sold, days that ended with an empty
    shelf counted in part, of the `open_days` a whole week has (week,).

    `units` are all units sold, `whole_days` the days stocked to their end, `out_days`
    the days on which the shelf went empty and `out_units` what they sold. Such a day
    only says "at least this many": leaving it out loses the best days, counting it
    whole loses the demand after its last sale. With n arrivals at rate λ a day, E[T_n |
    T_n ≤ 1] = n/λ · P(N > n) / P(N ≥ n) under Poisson arrivals: the share of the day
    before the shelf was empty (the expectation step of the EM algorithm; λ from the
    weeks around, three rounds).
    """
    from scipy.stats import poisson

    open_days = np.broadcast_to(open_days, units.shape)
    exposure = np.minimum((whole_days + 0.5 * out_days) / open_days, 1.0)
    at = np.nonzero(out_days)
    sold = out_units[at] / out_days[at]
    for _ in range(3 if len(sold) else 0):
        weekly = level_around(units, exposure, half_width=NEAR_DAYS_WEEKS)[at]
        daily = np.maximum(weekly / open_days[at], 1e-3)
        at_least = poisson.sf(np.ceil(sold) - 1, daily)
        share = sold / daily * poisson.sf(np.ceil(sold), daily) / np.maximum(at_least, 1e-9)
        share = np.where(at_least > 1e-9, share, sold / (sold + 1))
        days = whole_days[at] + out_days[at] * np.clip(share, 0.02, 1)
        exposure[at] = np.minimum(days / open_days[at], 1.0)
    return exposure


def _groups(group: ndarray) -> tuple[ndarray, ndarray]:
    """The group number of each sku, and the sparse matrix that sums skus by group."""
    from scipy.sparse import csr_array

    names, member = np.unique(group, return_inverse=True)
    at = (member, np.arange(len(group)))
    return member, csr_array((np.ones(len(group)), at), shape=(len(names), len(group)))


def _group_uplift(
    units: ndarray,
    plain: ndarray,
    on: ndarray,
    in_group: ndarray,
) -> ndarray:
    """Promotion factor of each group, shrunk towards the shop's."""
    quiet = in_group @ (plain * on).sum(axis=1)
    sold = in_group @ ((units - plain * (1 - on)) * (on > 0)).sum(axis=1)
    pooled = (sold.sum() + 50) / (quiet.sum() + 50)
    return np.clip((sold + 50 * pooled) / (quiet + 50), 0.5, 20.0)


def _year_factors(
    sold: ndarray,
    expected: ndarray,
    prior: ndarray | float,
) -> ndarray:
    """Sold / expected by week of the year: shrunk to `prior` by 100 units, to its
    neighbours where counts are small.
    """
    near = np.array([0.25, 0.5, 0.25])
    smooth = (_around_year(sold, near) + 100 * prior) / (_around_year(expected, near) + 100)
    factors = (sold + 150 * smooth) / (expected + 150)
    return factors / factors.mean(axis=-1, keepdims=True)


def _around_year(values: ndarray, kernel: ndarray) -> ndarray:
    """Weighted sum of neighbouring weeks; the last week of the year is next to the
    first.
    """
    reach = len(kernel) // 2
    return sum(
        weight * np.roll(values, step - reach, axis=-1) for step, weight in enumerate(kernel)
    )
