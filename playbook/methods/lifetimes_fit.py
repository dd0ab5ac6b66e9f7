"""The one place that runs lifetimes: only its fitters, with its pandas option and its
warning filters put back.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["lifetimes_optimum"]


def lifetimes_optimum(
    fit: Callable[[], Any], names: Sequence[str]
) -> tuple[np.ndarray | None, str]:
    """The parameters `names` of the fitter that `fit` imports, fits and returns; or
    None and why there are none.
    """
    quiet = contextlib.redirect_stdout(io.StringIO())  # a failed fit prints its optimiser's report
    with quiet, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # reading the option warns too
        before = pd.get_option("mode.chained_assignment")
        try:
            fitter = fit()
        except ImportError:
            return None, "lifetimes is not installed: own fit"
        except (
            Exception
        ) as problem:  # lifetimes raises bare errors of several kinds; each means "no fit"
            return None, f"lifetimes failed ({type(problem).__name__}): own fit"
        finally:
            pd.set_option("mode.chained_assignment", before)
    found = fitter.params_[list(names)].to_numpy(float)
    good = np.isfinite(found).all() and (found > 0).all()
    return (found, "") if good else (None, "lifetimes gave no finite estimate: own fit")
