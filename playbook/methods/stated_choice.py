"""What people choose when shown several things at once: choice tasks, and best-worst tasks
(MaxDiff) as two choices each.

Conditional logit (McFadden 1974), pooled over people; errors are those of people, each of
whom answers several tasks (sandwich by respondent, Liang & Zeger 1986). The best of what is
shown is one choice, the worst of what is left another, with the signs turned round (Marley &
Louviere 2005). Counts alone give the same in closed form where every item is shown alike
often: Lipovetsky & Conklin (2014), J. of Choice Modelling 10, 60-68, equations 7 to 13.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from playbook.methods.proportions import Z90

__all__ = ["ChoiceFit", "best_worst_choices", "choice_fit", "count_utilities", "shares_of"]

_STEPS, _NEAR = 50, 1e-10
#: a little ridge: a level nobody or everybody chose has no likeliest value
RIDGE = 1e-6


@dataclass(frozen=True)
class ChoiceFit:
    """Coefficients of a choice model, their covariance from the likelihood (`plain`) and by
    respondent (`robust`), and the log-likelihood at its top.
    """

    coefficients: ndarray
    plain: ndarray
    robust: ndarray
    log_likelihood: float


def choice_fit(design: ndarray, task: ndarray, is_chosen: ndarray, person: ndarray) -> ChoiceFit:
    """The conditional logit of `is_chosen` on `design`: one row per option, of which exactly
    one is chosen in each `task`. ValueError where a task has none or several.
    """
    _names, task = np.unique(task, return_inverse=True)
    if not (np.bincount(task, is_chosen) == 1).all():
        raise ValueError("a task has one choice")
    n_tasks, beta = task.max() + 1, np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance, log = _chances(design, task, n_tasks, beta)
        mean = _sums(task, n_tasks, chance[:, None] * design)
        off = design - mean[task]
        slope = design.T @ (is_chosen - chance) - RIDGE * beta
        bend = (off * chance[:, None]).T @ off + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(bend, slope)
        beta = beta + step
        if np.abs(step).max() < _NEAR:
            break
    chance, log = _chances(design, task, n_tasks, beta)
    plain = np.linalg.inv(bend)
    _people, whose = np.unique(person, return_inverse=True)
    score = _sums(whose, whose.max() + 1, (is_chosen - chance)[:, None] * design)
    return ChoiceFit(
        beta, plain, plain @ (score.T @ score) @ plain, float(log[is_chosen > 0].sum())
    )


def _chances(
    design: ndarray, task: ndarray, n_tasks: int, beta: ndarray
) -> tuple[ndarray, ndarray]:
    """The chance of every option within its task, and its logarithm."""
    worth = design @ beta
    most = np.full(n_tasks, -np.inf)
    np.maximum.at(most, task, worth)
    worth = worth - most[task]
    log = worth - np.log(np.bincount(task, np.exp(worth), n_tasks))[task]
    return np.exp(log), log


def _sums(group: ndarray, n: int, rows: ndarray) -> ndarray:
    return np.column_stack([np.bincount(group, column, n) for column in rows.T])


def best_worst_choices(
    design: ndarray, task: ndarray, is_best: ndarray, is_worst: ndarray, person: ndarray
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Best-worst tasks as choices for `choice_fit`: the best of all shown, then the worst of
    what is left, on the design with its signs turned round.
    """
    left = is_best < 1
    return (
        np.concatenate([design, -design[left]]),
        np.concatenate([2 * task, 2 * task[left] + 1]),
        np.concatenate([is_best, is_worst[left]]),
        np.concatenate([person, person[left]]),
    )


def count_utilities(shown: ndarray, best: ndarray, worst: ndarray) -> tuple[ndarray, ndarray]:
    """Utility of each item and its standard error from counts alone."""
    share = (1 + (best - worst) / shown) / 2
    return np.log(share / (1 - share)), 1 / np.sqrt(2 * shown * share * (1 - share))


def shares_of(utility: ndarray, covariance: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """The share of people who would choose each item of all, and the ends of its 90 %
    interval (delta method, on the logit of the share).
    """
    share = np.exp(utility - utility.max())
    share /= share.sum()
    slope = np.diag(share) - np.outer(share, share)
    error = np.sqrt(np.diag(slope @ covariance @ slope)) / (share * (1 - share))
    logit = np.log(share / (1 - share))
    low, high = (1 / (1 + np.exp(-(logit + z * error))) for z in (-Z90, Z90))
    return share, low, high
