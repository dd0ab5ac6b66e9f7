"""Stretches of days on which a ratio left where it was: a scan over starts and lengths.

Each stretch is held against the eight weeks before it, as two samples of one ratio
(Cochran 1977, Sampling Techniques, ch. 6: the ratio estimator and its variance from the
residuals). The residuals' variance is taken from days and from weeks, whichever is
larger, so that days which lean on each other do not look like evidence; counts are never
held for steadier than Poisson's. A normal law knows little of the tails of small counts: no
rise is surer than two rates compared exactly (Przyborowski & Wilenski 1940: given the sum of
two counts, one of them is binomial). The stretch that lies furthest out speaks for all that
overlap it (a scan statistic; Kulldorff 1997).
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from pandas import DataFrame
from scipy.special import betainc, ndtri

__all__ = ["COLUMNS", "LENGTHS", "shifts"]

BEFORE = 56  # days a stretch is held against
LEAST_BEFORE = 28
MOST_Z = 99.0  # what never moved before is no surer than this
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 25, 30)
COLUMNS = ["start", "end", "z", "usual", "now", "excess", "sd"]


def shifts(
    top: ndarray,
    base: ndarray,
    *,
    least_z: float,
    side: int = 0,
    least_change: float = 0.0,
    noise: str = "count",
    lengths: tuple[int, ...] = LENGTHS,
) -> DataFrame:
    """One row per stretch on which sum(top) / sum(base) left what it was before, none
    overlapping, furthest out first: start, end (places of its first and last day), z,
    usual (the ratio before), now, excess (of top over usual x base), sd (of the excess).

    A day missing on either side was not observed. `side` 1 looks for rises, -1 for
    falls; `least_change` is the least distance from the usual ratio, as a share of it.
    `noise` is what the days are never steadier than: `count` (Poisson's), `part` (top
    is a part of base: binomial) or `none`.
    """
    is_seen = np.isfinite(top) & np.isfinite(base)
    y, x = np.where(is_seen, top, 0.0), np.where(is_seen, base, 0.0)
    sums = {name: np.r_[0.0, np.cumsum(v)] for name, v in _moments(y, x).items()}
    found = [_of_length(sums, length, noise) for length in lengths if length < len(y)]
    if not found:
        return DataFrame(columns=COLUMNS)
    table = np.concatenate(found)
    _start, _end, z, usual, now = table.T[:5]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = now / np.where(usual > 0, usual, np.nan) - 1
        is_far = (np.abs(z) >= least_z) & ~(np.abs(change) < least_change)
    if side:
        is_far &= np.sign(z) == side
    return _apart(DataFrame(table[is_far], columns=COLUMNS))


def _of_length(sums: dict[str, ndarray], length: int, noise: str) -> ndarray:
    """Every stretch of one length with enough days before it, from the days' running sums."""
    starts = np.arange(LEAST_BEFORE, len(sums["y"]) - length)
    begins = np.maximum(starts - BEFORE, 0)
    past = {name: total[starts] - total[begins] for name, total in sums.items()}
    now = {name: sums[name][starts + length] - sums[name][starts] for name in ("y", "x")}
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = past["y"] / past["x"]
        residual = past["yy"] - 2 * usual * past["xy"] + usual**2 * past["xx"]
        weekly = past["YY"] - 2 * usual * past["XY"] + usual**2 * past["XX"]
        unit = np.maximum(residual, weekly / 7) / past["x"]
        least = {"count": usual, "part": usual * (1 - usual), "none": 0.0}[noise]
        unit = np.maximum(unit, least)
        excess = now["y"] - usual * now["x"]
        sd = np.sqrt(unit * now["x"] * (1 + now["x"] / past["x"]))
        z = np.clip(excess / np.maximum(sd, 1e-12), -MOST_Z, MOST_Z)
        ratio = now["y"] / now["x"]
    is_known = (now["x"] > 0) & (past["x"] > 0) & np.isfinite(z)
    if noise != "none":
        is_rise = is_known & (z > 0)
        z[is_rise] = np.minimum(z[is_rise], _exact(now, past, is_rise))
    rows = np.stack([starts, starts + length - 1, z, usual, ratio, excess, sd], axis=1)
    return rows[is_known]


def _exact(now: dict[str, ndarray], past: dict[str, ndarray], chosen: ndarray) -> ndarray:
    """Standard errors of a normal law as far out as the count of the chosen stretches, given
    what was counted in them and before: each was as likely to fall into either by its base.
    """
    count, base = now["y"][chosen], now["x"][chosen]
    share = base / (base + past["x"][chosen])
    # the upper tail of a binomial law
    chance = betainc(count, past["y"][chosen] + 1, share)
    return -ndtri(np.maximum(chance, 1e-300))


def _moments(y: ndarray, x: ndarray) -> dict[str, ndarray]:
    """Day by day: sums and products; in capitals those of the seven days that end there."""
    week_y, week_x = (np.convolve(v, np.ones(7))[: len(v)] for v in (y, x))
    return {
        "y": y,
        "x": x,
        "yy": y * y,
        "xy": x * y,
        "xx": x * x,
        "YY": week_y * week_y,
        "XY": week_x * week_y,
        "XX": week_x * week_x,
    }


def _apart(found: DataFrame) -> DataFrame:
    """The stretches furthest out, each next one clear of those taken and of their echo:
    eight weeks that hold a taken stretch say nothing of what is usual.
    """
    taken: list[int] = []
    by = found.assign(z=found.z.abs(), excess=found.excess.abs())
    order = by.sort_values(["z", "excess"], ascending=False, kind="stable").index
    start, end = found.start, found.end
    for row in order:
        is_clear = all(
            start[row] > end[one] + BEFORE // 2 or end[row] < start[one] for one in taken
        )
        if is_clear:
            taken.append(row)
    return found.loc[taken].astype({"start": int, "end": int}).reset_index(drop=True)
