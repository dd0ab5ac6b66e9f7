"""Where a likelihood is largest: how near a point is to it (Newton's estimate; Nocedal &
Wright 2006, Numerical Optimization, ch. 3.3), and what the fitters of lifetimes find.

This is the one place that runs lifetimes (0.11.3, archived upstream): only its fitters,
with its pandas option and its warning filters put back.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from playbook.messages import say

__all__ = ["curvature", "lifetimes_optimum", "newton_gap"]


def curvature(slope: Callable[[NDArray], NDArray], at: NDArray) -> tuple[NDArray, NDArray]:
    """The gradient at a point, and minus its derivatives there (central differences)."""
    step = 1e-4
    moves = np.eye(len(at)) * step
    curve = -np.array([(slope(at + m) - slope(at - m)) / (2 * step) for m in moves])
    return slope(at), curve


def newton_gap(gradient: NDArray, curve: NDArray, *, flat: float) -> tuple[float, NDArray]:
    """What a log-likelihood of this gradient and curvature at a point still gains beyond
    it, and the inverse of the curvature. Infinite where the curvature is not above
    `flat`.
    """
    if not np.isfinite(curve).all():
        return np.inf, np.full(curve.shape, np.inf)
    size, axes = np.linalg.eigh((curve + curve.T) / 2)
    inverse = axes @ np.diag(1 / np.maximum(size, 1e-12)) @ axes.T
    if size.min() <= flat:
        return np.inf, inverse
    return float(0.5 * gradient @ inverse @ gradient), inverse


def lifetimes_optimum(fit: Callable[[], Any], names: Sequence[str]) -> tuple[NDArray | None, str]:
    """The parameters `names` of the fitter that `fit` imports, fits and returns; or
    None and why there are none.
    """
    # a failed fit prints its optimiser's report, and reading the option warns
    quiet = contextlib.redirect_stdout(io.StringIO())
    with quiet, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        before = pd.get_option("mode.chained_assignment")
        try:
            fitter = fit()
        except ImportError:
            return None, say("methods.lifetimes_missing")
        # lifetimes raises bare errors of several kinds; each means "no fit"
        except Exception as problem:
            return None, say("methods.lifetimes_failed", error=type(problem).__name__)
        finally:
            pd.set_option("mode.chained_assignment", before)
    params = fitter.params_[list(names)].to_numpy(float)
    if np.isfinite(params).all() and (params > 0).all():
        return params, ""
    return None, say("methods.lifetimes_no_estimate")
