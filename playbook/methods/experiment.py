"""Online experiments: was the split as planned, what did the change do, and may one
stop.

Welch's t on means per visitor; the interval of the relative lift is a delta-method
interval of the logarithm (Deng, Knoblich & Lu 2018, KDD, section 3.1). CUPED: Deng, Xu,
Kohavi & Walker (2013), WSDM, eq. 4-5. Both are computed by tea-tasting from sums per
arm. Sample ratio: Fabijan et al. (2019), KDD, chi-square against the planned shares
with a threshold of .001. Sample size: Fleiss, Levin & Paik (2003), "Statistical methods
for rates and proportions", eq. 4.14 without correction. A ratio of two sums (money per
buyer) is compared by the delta method of Deng, Knoblich & Lu, section 3.2.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.methods.always_valid import always_valid_widening
from playbook.methods.proportions import quantile_of_normal, share_difference

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from tea_tasting.metrics import MeanResult

__all__ = [
    "compare_means",
    "compare_ratios",
    "peeking",
    "sample_ratio_p",
    "sample_size",
    "smallest_lift",
]


def sample_ratio_p(assigned: ArrayLike, planned: ArrayLike) -> float:
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
    arms = (control, treatment)
    plain = {
        **dict.fromkeys(("difference", "lift", "low", "high", "p"), math.nan),
        "control": control["mean"],
        "treatment": treatment["mean"],
        "is_adjusted": False,
    }
    if min(a["n"] for a in arms) < 2 or not sum(a["var"] for a in arms) > 0:
        return plain
    has_before = all(not math.isnan(a.get("mean_y", math.nan)) for a in arms)
    is_adjusted = has_before and any(a["var_y"] > 0 for a in arms)
    try:
        result = _welch(
            control,
            treatment,
            is_adjusted,
            level,
        )
    except (ValueError, ZeroDivisionError):
        # no logarithm: a mean of 0 (or, adjusted, below it)
        difference = treatment["mean"] - control["mean"]
        z = difference / math.sqrt(sum(a["var"] / a["n"] for a in arms))
        return plain | {"difference": difference, "p": 2 * NormalDist().cdf(-abs(z))}
    compared = plain | {
        "control": result.control,
        "treatment": result.treatment,
        "difference": result.effect_size,
        "p": result.pvalue,
        "is_adjusted": is_adjusted,
    }
    if result.control > 0:
        compared["lift"] = result.rel_effect_size
        compared["low"] = result.rel_effect_size_ci_lower
        compared["high"] = result.rel_effect_size_ci_upper
    return compared


def compare_ratios(
    control: dict[str, float], treatment: dict[str, float], *, level: float = 0.95
) -> dict[str, float]:
    """A ratio of two sums in two arms (money per buyer) and what separates them: control,
    treatment, lift (relative), low, high.

    Each arm: n (visitors), mean and var of the numerator, mean_d and var_d of the
    denominator, cov of the two, all per visitor. Lift and its ends are missing where an
    arm has fewer than two visitors or a sum that is not above 0.
    """
    arms = (control, treatment)
    ratios = [a["mean"] / a["mean_d"] if a["mean_d"] > 0 else math.nan for a in arms]
    told = dict(
        zip(
            ("control", "treatment"),
            ratios,
            strict=True,
        )
    )
    missing = told | dict.fromkeys(("lift", "low", "high"), math.nan)
    if min(a["n"] for a in arms) < 2 or not all(ratio > 0 for ratio in ratios):
        return missing
    variance = sum(_log_ratio_variance(a) for a in arms)
    half = quantile_of_normal(level) * math.sqrt(max(variance, 0.0))
    log = math.log(ratios[1] / ratios[0])
    ends = {"low": math.expm1(log - half), "high": math.expm1(log + half)}
    return told | {"lift": math.expm1(log)} | ends


def _log_ratio_variance(arm: dict[str, float]) -> float:
    """Variance of the logarithm of a ratio of two means over the same visitors."""
    x, d = arm["mean"], arm["mean_d"]
    spread = arm["var"] / x**2 + arm["var_d"] / d**2 - 2 * arm["cov"] / (x * d)
    return spread / arm["n"]


def _welch(
    control: dict[str, float], treatment: dict[str, float], is_adjusted: bool, level: float
) -> MeanResult:
    """tea-tasting's reading of two arms' sums, adjusted for y where asked."""
    import tea_tasting as tt
    from tea_tasting.aggr import Aggregates

    sums = [
        Aggregates(
            count_=int(arm["n"]),
            mean_={"x": arm["mean"], "y": arm.get("mean_y", 0.0)},
            var_={"x": arm["var"], "y": arm.get("var_y", 0.0)},
            cov_={("x", "y"): arm.get("cov_xy", 0.0)},
        )
        for arm in (control, treatment)
    ]
    metric = tt.Mean(
        "x",
        "y" if is_adjusted else None,
        confidence_level=level,
        alternative="two-sided",
        equal_var=False,
        use_t=True,
    )
    return metric.analyze_aggregates(*sums)


def sample_size(
    share: float,
    lifts: ArrayLike,
    *,
    visitors_per_day: float = math.nan,
    alpha: float = 0.05,
    power: float = 0.8,
    min_days: int = 14,
) -> DataFrame:
    """One row per relative lift worth finding: share, lift, difference, n_per_arm,
    n_total, days, alpha, power.

    n = (z_a/2 + z_b)^2 (p1 q1 + p2 q2) / (p2 - p1)^2 per arm (close to 16 p q /
    difference^2). `days` are whole weeks, at least `min_days`, missing without
    visitors_per_day (all visitors of the page, dealt evenly over two arms).

    Raises:
        PlaybookError: a share outside (0, 1), a lift of 0, or a share that the lift
            carries outside (0, 1).
    """
    z = quantile_of_normal(1 - alpha) + NormalDist().inv_cdf(power)
    rows = []
    for lift in np.atleast_1d(lifts):
        other = share * (1 + lift)
        if not (0 < share < 1 and 0 < other < 1) or lift == 0:
            raise PlaybookError(
                "methods.no_plan",
                share=share,
                lift=lift,
            )
        n = math.ceil(z**2 * (share * (1 - share) + other * (1 - other)) / (other - share) ** 2)
        days = math.nan
        if visitors_per_day > 0:
            days = max(math.ceil(2 * n / visitors_per_day / 7) * 7, min_days)
        rows.append((share, float(lift), other - share, n, 2 * n, days, alpha, power))
    columns = [
        "share",
        "lift",
        "difference",
        "n_per_arm",
        "n_total",
        "days",
        "alpha",
        "power",
    ]
    return DataFrame(rows, columns=columns)


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
) -> DataFrame:
    """What stopping at the first significant day does to tests of no difference at all:
    one row per day, with the share of tests `called` by then when one looks every day,
    the share significant on that one day (`on_the_day`), and the share called by then by
    the always-valid interval (`always_valid`), which allows for the looking.
    """
    rng = np.random.default_rng(seed)
    half = max(int(visitors_per_day) // 2, 1)
    a, b = (
        np.cumsum(
            rng.binomial(
                half,
                share,
                (n_tests, days),
            ),
            axis=1,
        )
        for _arm in "ab"
    )
    n = half * np.arange(1, days + 1)
    hit = (
        share_difference(
            a,
            n,
            b,
            n,
        )["p"]
        < alpha
    )
    called = np.maximum.accumulate(hit, axis=1)
    pooled = (a + b) / (2 * n)
    error = np.sqrt(np.maximum(2 * pooled * (1 - pooled) / n, 1e-300))
    bound = np.array([always_valid_widening(one, alpha=alpha) for one in n])
    valid = np.maximum.accumulate(np.abs(b - a) / n > bound * error, axis=1)
    return DataFrame(
        {
            "day": np.arange(1, days + 1),
            "called": called.mean(axis=0),
            "on_the_day": hit.mean(axis=0),
            "always_valid": valid.mean(axis=0),
        }
    )
