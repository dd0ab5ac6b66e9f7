"""Online experiments: who was in which arm, was the split as planned, what did the
change do, and may one stop.

Welch's t on means per visitor; the interval of the relative lift is a delta-method
interval of the logarithm (Deng, Knoblich & Lu 2018, KDD, section 3.1). CUPED: Deng, Xu,
Kohavi & Walker (2013), WSDM, eq. 4-5. Both are computed by tea-tasting from sums per
arm. Sample ratio: Fabijan et al. (2019), KDD, chi-square against the planned shares
with a threshold of .001. Sample size: Fleiss, Levin & Paik (2003), "Statistical methods
for rates and proportions", eq. 4.14 without correction.
"""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.methods.proportions import quantile_of_normal, share_difference
from playbook.store import expression

__all__ = ["arm_sums", "compare_means", "peeking", "sample_ratio_p", "sample_size", "smallest_lift"]


def arm_sums(experiments: Any) -> pd.DataFrame:
    """One row per test and arm, the sums a reading needs, in one query.

    A visitor counts once: repeated rows of one arm are one visitor (converted if any
    row says so, the largest amount), and a visitor seen in two arms of a test is left
    out of both and counted in `n_in_two_arms`. An amount missing where the visitor did
    not convert is 0; where conversion itself is missing the visitor is assigned but not
    observed.

    Columns: test_id, arm, planned_share (missing where none is stated, or several),
    n_assigned, n (observed), converted, first_on, last_on, n_in_two_arms (of the test),
    and of amount (x) and amount_before (y): n_x, mean_x, var_x, mean_y, var_y, cov_xy
    (n - 1 below). The y columns are missing where any visitor with an amount lacks its
    y. Sums are exact decimals, so the order of rows changes nothing. Sorted by test,
    arm.
    """
    money = "decimal(38, 6)"  # wide enough for squares
    t = expression(experiments)
    if "amount_before" not in t.columns:
        t = t.mutate(amount_before=ibis.null("float64"))
    t = t.filter(_.test_id.notnull() & _.visitor_id.notnull() & _.arm.notnull())
    person = t.group_by("test_id", "visitor_id").aggregate(
        n_arms=_.arm.nunique(),
        arm=_.arm.min(),
        assigned_at=_.assigned_at.min(),
        converted=_.is_converted.cast("int64").max(),
        amount=_.amount.cast(money).max(),
        y=_.amount_before.cast(money).max(),
    )
    nothing = ibis.literal(0).cast(money)
    person = person.mutate(
        x=(person.converted == 0).ifelse(ibis.coalesce(person.amount, nothing), person.amount)
    )
    planned = t.group_by("test_id", "arm").aggregate(
        low=_.planned_share.min(), high=_.planned_share.max()
    )
    twice = person.group_by("test_id").aggregate(n_in_two_arms=(_.n_arms > 1).sum())
    once = person.filter(_.n_arms == 1)
    seen = once.x.notnull()
    sums = once.group_by("test_id", "arm").aggregate(
        n_assigned=_.count(),
        n=_.converted.count(),
        converted=_.converted.sum(),
        first_on=_.assigned_at.min().date(),
        last_on=_.assigned_at.max().date(),
        n_x=seen.sum(),
        n_y=(seen & once.y.notnull()).sum(),
        x=once.x.sum(),
        xx=(once.x * once.x).sum(),
        y=once.y.sum(where=seen),
        yy=(once.y * once.y).sum(where=seen),
        xy=(once.x * once.y).sum(),
    )
    arms = (
        planned.left_join(sums, ["test_id", "arm"])
        .drop("test_id_right", "arm_right")
        .inner_join(twice, "test_id")
    )
    found = arms.order_by("test_id", "arm").to_pandas()
    counts = ["n_assigned", "n", "converted", "n_x", "n_y", "n_in_two_arms"]
    found[counts] = found[counts].fillna(0).astype("int64")
    same = np.isclose(found["low"].astype(float), found["high"].astype(float))
    found.insert(2, "planned_share", found["low"].astype(float).where(same))
    moments = [_moments(row) for row in found.to_dict("records")]
    return pd.concat(
        [
            found.drop(columns=["low", "high", "n_y", "x", "xx", "y", "yy", "xy"]),
            pd.DataFrame(moments, index=found.index),
        ],
        axis=1,
    )


def _moments(row: dict[str, Any]) -> dict[str, float]:
    """Means, variances and covariance from one arm's exact sums."""
    names = ("mean_x", "var_x", "mean_y", "var_y", "cov_xy")
    n = row["n_x"]
    if n < 2:
        return dict.fromkeys(names, math.nan)
    x, xx = Fraction(row["x"]), Fraction(row["xx"])
    found = [float(x / n), float((xx - x * x / n) / (n - 1))]
    if row["n_y"] < n:
        return dict(zip(names, [*found, math.nan, math.nan, math.nan], strict=True))
    y, yy, xy = (Fraction(row[name]) for name in ("y", "yy", "xy"))
    found += [float(y / n), float((yy - y * y / n) / (n - 1)), float((xy - x * y / n) / (n - 1))]
    return dict(zip(names, found, strict=True))


def sample_ratio_p(assigned: Any, planned: Any) -> float:
    """P of a split at least as uneven, were visitors dealt by the planned shares
    (chi-square, k - 1 degrees).

    Missing where a planned share is missing: equal arms are never assumed. Shares are
    scaled to sum to 1.
    """
    n, share = np.asarray(assigned, dtype=float), np.asarray(planned, dtype=float)
    if len(n) < 2 or np.isnan(share).any() or not (share > 0).all() or n.sum() == 0:
        return float("nan")
    from scipy.special import chdtrc

    expected = n.sum() * share / share.sum()
    return float(chdtrc(len(n) - 1, ((n - expected) ** 2 / expected).sum()))


def compare_means(
    control: dict[str, float], treatment: dict[str, float], *, level: float = 0.95
) -> dict[str, float]:
    """Means of two arms and what separates them: control, treatment, difference, lift
    (relative), low, high (of the lift), p, is_adjusted.

    Each arm: n, mean, var; and for CUPED also mean_y, var_y, cov_xy of what was
    observed before the test. With the latter in both arms the means are adjusted for
    it. Everything but the means is missing where an arm has fewer than two visitors or
    the two have no spread; the lift also where the control's mean is not above 0.
    """
    import tea_tasting as tt
    from tea_tasting.aggr import Aggregates

    missing = dict.fromkeys(("difference", "lift", "low", "high", "p"), float("nan"))
    plain = {
        "control": control["mean"],
        "treatment": treatment["mean"],
        **missing,
        "is_adjusted": False,
    }
    arms = (control, treatment)
    if min(a["n"] for a in arms) < 2 or not sum(a["var"] for a in arms) > 0:
        return plain
    is_adjusted = all(not math.isnan(a.get("mean_y", math.nan)) for a in arms) and any(
        a["var_y"] > 0 for a in arms
    )
    sums = [
        Aggregates(
            count_=int(a["n"]),
            mean_={"x": a["mean"], "y": a.get("mean_y", 0.0)},
            var_={"x": a["var"], "y": a.get("var_y", 0.0)},
            cov_={("x", "y"): a.get("cov_xy", 0.0)},
        )
        for a in arms
    ]
    metric = tt.Mean(
        "x",
        "y" if is_adjusted else None,
        confidence_level=level,
        alternative="two-sided",
        equal_var=False,
        use_t=True,
    )
    try:
        found = metric.analyze_aggregates(*sums)
    except (ValueError, ZeroDivisionError):  # no logarithm: a mean of 0 (or, adjusted, below it)
        difference = treatment["mean"] - control["mean"]
        z = difference / math.sqrt(sum(a["var"] / a["n"] for a in arms))
        return plain | {"difference": difference, "p": 2 * NormalDist().cdf(-abs(z))}
    has_lift = found.control > 0
    return {
        "control": found.control,
        "treatment": found.treatment,
        "difference": found.effect_size,
        "lift": found.rel_effect_size if has_lift else math.nan,
        "low": found.rel_effect_size_ci_lower if has_lift else math.nan,
        "high": found.rel_effect_size_ci_upper if has_lift else math.nan,
        "p": found.pvalue,
        "is_adjusted": is_adjusted,
    }


def sample_size(
    share: float,
    lifts: Any,
    *,
    visitors_per_day: float = math.nan,
    n_arms: int = 2,
    alpha: float = 0.05,
    power: float = 0.8,
    min_days: int = 14,
) -> pd.DataFrame:
    """One row per relative lift worth finding: share, lift, difference, n_per_arm,
    n_total, days, alpha, power.

    n = (z_a/2 + z_b)^2 (p1 q1 + p2 q2) / (p2 - p1)^2 per arm (close to 16 p q /
    difference^2). `days` are whole weeks, at least `min_days`, missing without
    visitors_per_day (all visitors of the page, dealt evenly over the arms).

    Raises:
        PlaybookError: a share outside (0, 1), a lift of 0, or a share that the lift carries outside (0, 1).
    """
    z = quantile_of_normal(1 - alpha) + NormalDist().inv_cdf(power)
    rows = []
    for lift in np.atleast_1d(lifts):
        other = share * (1 + lift)
        if not (0 < share < 1 and 0 < other < 1) or lift == 0:
            raise PlaybookError(
                f"a share of {share:.4g} cannot be planned with a lift of {lift:+.4g}",
                rule="0 < share, share x (1 + lift) < 1, lift not 0",
                do="give shares, not per cent",
            )
        n = math.ceil(z**2 * (share * (1 - share) + other * (1 - other)) / (other - share) ** 2)
        days = math.nan
        if visitors_per_day > 0:
            days = max(math.ceil(n * n_arms / visitors_per_day / 7) * 7, min_days)
        rows.append((share, float(lift), other - share, n, n * n_arms, days, alpha, power))
    columns = ["share", "lift", "difference", "n_per_arm", "n_total", "days", "alpha", "power"]
    return pd.DataFrame(rows, columns=columns)


def smallest_lift(
    share: float, n_per_arm: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The relative lift that n visitors per arm would find with the stated power;
    missing where nothing was observed.

    Solves the formula of `sample_size` for the lift by bisection; infinite where no
    share below 1 would be found.
    """
    if not (0 < share < 1 and n_per_arm > 0):
        return math.nan
    z2 = (quantile_of_normal(1 - alpha) + NormalDist().inv_cdf(power)) ** 2
    low, high = 0.0, (1 - share) * (1 - 1e-12)

    def lacks(d: float) -> bool:
        other = share + d
        return z2 * (share * (1 - share) + other * (1 - other)) > n_per_arm * d * d

    if lacks(high):
        return math.inf
    for _step in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if lacks(middle) else (low, middle)
    return high / share


def peeking(
    share: float,
    visitors_per_day: int,
    *,
    days: int = 28,
    n_tests: int = 2_000,
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """What stopping at the first significant day does to tests of no difference at all:
    one row per day, with the share of tests `called` by then when one looks every day,
    and the share significant on that one day (`on_the_day`).
    """
    rng = np.random.default_rng(seed)
    half = max(int(visitors_per_day) // 2, 1)
    a, b = (np.cumsum(rng.binomial(half, share, (n_tests, days)), axis=1) for _arm in "ab")
    n = half * np.arange(1, days + 1)
    hit = share_difference(a, n, b, n)["p"] < alpha
    called = np.maximum.accumulate(hit, axis=1)
    return pd.DataFrame(
        {
            "day": np.arange(1, days + 1),
            "called": called.mean(axis=0),
            "on_the_day": hit.mean(axis=0),
        }
    )
