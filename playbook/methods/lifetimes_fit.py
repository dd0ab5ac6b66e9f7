"""The one place that runs lifetimes (0.11.3, archived upstream): only its fitters, with
its pandas option and its warning filters put back.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from playbook.messages import say

__all__ = ["lifetimes_optimum"]


def lifetimes_optimum(
    fit: Callable[[], Any], names: Sequence[str]
) -> tuple[np.ndarray | None, str]:
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
