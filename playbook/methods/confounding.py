"""Does money follow demand? Two looks that need no experiment, each one-sided and each
able to say only yes.

*Unexplained demand.* Money cannot cause last week's sales. Where next week's spend
still explains this week's response, after the baseline, what the model credits to spend
and how much is spent this week are taken out, the budget follows something that also
sells, and part of what spend seems to return is demand: a placebo on leads (Granger
1969; in this use Angrist & Pischke 2009, sect. 5.2.1). A demand without memory that
moves spend within the same week leaves no such trace, nor any other in these data.
*Predictable demand.* Season and promotions are not caused by spend; where spend rises
with what the baseline says they sell, budgets follow demand as far as one can see, and
hardly only so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.baseline import texture, whitener
from playbook.methods.response import ResponseFit

__all__ = ["DemandChase", "follows_demand"]

# together about 6 % false alarms on budgets that follow nothing
LEAD_ALPHA, SEASON_ALPHA = 0.045, 0.015
# parts of the lead test's error for all channels together and for the most suspect one
POOLED, SINGLE = 0.7, 0.3
# under so many degrees of freedom nothing is asked
LEAST_FREEDOM = 12


@dataclass(frozen=True)
class DemandChase:
    """What the two looks found. p-values are small where spend follows demand, missing
    where too little could be asked.

    `p_unexplained` for all channels together, `p_predictable` for season and controls.
    """

    p_unexplained: float
    p_predictable: float

    @property
    def is_running_after(self) -> bool:
        """Does spend follow a demand the baseline does not know?"""
        return bool(self.p_unexplained < LEAD_ALPHA)

    @property
    def is_following_season(self) -> bool:
        """Does spend rise with what season and promotions sell?"""
        return bool(self.p_predictable < SEASON_ALPHA)

    @property
    def is_flagged(self) -> bool:
        """Does either look say that spend follows demand?"""
        return self.is_running_after or self.is_following_season


def follows_demand(y: ndarray, fit: ResponseFit, *, design: ndarray) -> DemandChase:
    """Both looks at one fit. `y` weekly response (missing weeks allowed), `design` the
    baseline the fit had.

    Spend enters as log of the active weeks, each channel from its own mean in its own
    standard deviations. The lead test pools all channels (seven parts of its error in
    ten) with the most suspect single one; under 12 degrees of freedom nothing is asked.
    """
    active = np.where(fit.spend > 0, fit.spend, np.nan)
    log = np.log(active) - np.nanmean(np.log(active), 0)
    log = log / np.maximum(np.nanstd(log, 0), 1e-12)
    pooled = np.nansum(log, 1) / np.maximum(np.isfinite(log).sum(1), 1)
    caused = fit.contributions(60).mean(0).T
    signals = np.column_stack([pooled, np.nan_to_num(log)])
    return DemandChase(
        _unexplained(
            y,
            fit,
            signals,
            np.column_stack([design, caused]),
        ),
        _predictable(y - caused.sum(1), pooled, design),
    )


def _unexplained(y: ndarray, fit: ResponseFit, signals: ndarray, known: ndarray) -> float:
    """The p-value that next week's signals do not tell of this week's response."""
    when = np.flatnonzero(np.isfinite(y[:-1]))
    p = np.full(signals.shape[1], np.nan)
    for k, signal in enumerate(signals.T):
        whiten, freedom = whitener(
            np.column_stack([known, signal])[when],
            when,
            fit.wander,
            fit.echo,
        )
        p[k] = _rising(whiten @ y[when], whiten @ signal[when + 1], freedom)
    each = p[1:][np.isfinite(p[1:])]
    single = each.min() * (len(p) - 1) / SINGLE if len(each) else np.nan
    return float(np.minimum(np.fmin(p[0] / POOLED, single), 1.0))


def _predictable(rest: ndarray, pooled: ndarray, design: ndarray) -> float:
    """The p-value that spend does not rise with what season and controls sell."""
    plain, every = design[:, :2], np.arange(len(rest))
    if design.shape[1] == plain.shape[1]:
        return np.nan
    observed = np.isfinite(rest)
    expected = design[:, 2:] @ np.linalg.lstsq(design[observed], rest[observed], rcond=None)[0][2:]
    both = np.column_stack([plain, expected])
    left = pooled - both @ np.linalg.lstsq(both, pooled, rcond=None)[0]
    whiten, freedom = whitener(plain, every, *texture(left, plain, every))
    return _rising(whiten @ pooled, whiten @ expected, freedom)


def _rising(left: ndarray, asked: ndarray, freedom: int) -> float:
    """One-sided p-value that `left` does not rise with `asked`, both whitened; missing
    where that cannot be asked.
    """
    from scipy.stats import t as student

    size = asked @ asked
    if (
        freedom < LEAST_FREEDOM
        or not size > 1e-9 * len(left) * max(np.abs(asked).max(), 1e-12) ** 2
    ):
        return np.nan
    slope = asked @ left / size
    error = np.sqrt(((left - asked * slope) ** 2).sum() / (freedom - 1) / size)
    return float(student.sf(slope / max(error, 1e-300), freedom - 1))
