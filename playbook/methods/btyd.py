"""Fitting buy-till-you-die models (formulas and papers: btyd_models), with a verdict on
every fit.

Ages are days in every table here and weeks inside the models. Fits work on unique cells
of whole weeks with weights; predictions use the exact days. There are two ways to an
optimum: lifetimes' optimisers (0.11.3, archived upstream), and a bounded L-BFGS with
exact gradients. Neither is believed before its gradient has been looked at, and a
drop-out that the data cannot show is reported as not identified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.methods import btyd_models
from playbook.methods.btyd_models import MODELS, log_likelihood
from playbook.methods.lifetimes_fit import lifetimes_optimum

__all__ = [
    "MODELS",
    "PRIOR_SD",
    "CountFit",
    "fit_counts",
    "expected_purchases",
    "p_alive",
    "refit_resampled",
    "SLICE",
]

_LIFETIMES = {
    "bg_nbd": "BetaGeoFitter",
    "mbg_nbd": "ModifiedBetaGeoFitter",
    "pareto_nbd": "ParetoNBDFitter",
}
_BOUNDS = {
    "r": (1e-3, 1e3),
    "alpha": (1e-2, 1e5),
    "a": (1e-3, 1e3),
    "b": (1e-3, 1e4),
    "s": (1e-3, 1e2),
}
_BOUNDS["beta"] = _BOUNDS["alpha"]
PRIOR_SD = 3.0  # of each log parameter: a factor of 20 either way
SLICE = 50_000  # customers forecast at a time
_CLOSE = 0.01  # log-likelihood units: an optimum found to this is found


@dataclass(frozen=True)
class CountFit:
    """One fitted count model. `params` in weeks; None where nothing could be fitted.
    `reason`: empty when all is well.

    `is_converged`: the log-likelihood (with the weak prior, where `engine` names it) is
    within 0.01 of its optimum. `is_identified`: it converged, drop-out explains the
    data better than none (likelihood ratio past the 5 % point of chi-square, 2 degrees
    of freedom), and the rate and the drop-out are each known within a factor e.
    `engine`: who found it (lifetimes, own, own + prior).
    """

    model: str
    params: dict[str, float] | None
    log_likelihood: float
    n_customers: int
    engine: str
    is_converged: bool
    is_identified: bool
    reason: str = ""


def fit_counts(
    history: pd.DataFrame,
    *,
    model: str = "bg_nbd",
    engine: str = "auto",
    week_cells: bool = True,
    start: CountFit | None = None,
) -> CountFit:
    """Fit `model` to `history` (one row per customer: x, t_x, T in days; optional n =
    customers like this one).

    `engine`: auto (lifetimes where installed and converging, else own) or own.
    `week_cells=False` keeps exact days, as the published estimates do. `start`: an
    earlier fit of the same model. Raises PlaybookError for impossible rows.
    """
    if model not in MODELS:
        raise PlaybookError(
            f"there is no count model {model!r}", do=f"use one of {', '.join(MODELS)}"
        )
    x, t_x, age, n = cells = _cells(history, week_cells)
    size, repeaters = int(n.sum()), int(n[x > 0].sum())
    if repeaters == 0 or age.max() <= 0:
        reason = f"none of {size} customers has bought on a second day"
        return CountFit(model, None, np.nan, size, "none", False, False, reason)
    found, used, note = None, "own", ""
    if engine == "auto" and model in _LIFETIMES:
        found, note = _by_lifetimes(model, *cells)
        if found is not None:
            gap = _gap(model, found, *cells)[0]
            used = "lifetimes" if gap < _CLOSE else "own"
            note = (
                ""
                if gap < _CLOSE
                else f"lifetimes stopped {gap:.2g} log-likelihood units short of an optimum"
            )
        if used == "lifetimes":
            other = _by_gradient(model, *cells)
            one, two = (
                float(n @ log_likelihood(model, at, x, t_x, age)[0]) for at in (found, other)
            )
            used, note = (
                ("own", "lifetimes stopped at a lesser peak")
                if two > one + _CLOSE
                else (used, note)
            )
    if used == "own":
        found = _by_gradient(model, *cells, start=start)
        gap = _gap(model, found, *cells)[0]
        if not gap < _CLOSE:
            used, weak = (
                "own + prior",
                "the likelihood has no interior optimum, a weak prior decides",
            )
            found, note = (
                _by_gradient(model, *cells, precision=PRIOR_SD**-2),
                "; ".join(filter(None, [note, weak])),
            )
            gap = _gap(model, found, *cells, precision=PRIOR_SD**-2)[0]
    total = float(n @ log_likelihood(model, found, x, t_x, age)[0])
    why = _verdict(model, found, cells, total, gap, repeaters)
    params = dict(zip(MODELS[model], found.tolist(), strict=True))
    reason = "; ".join(why + [note] * bool(note))
    return CountFit(model, params, total, size, used, gap < _CLOSE, not why, reason)


def p_alive(fit: CountFit, history: pd.DataFrame) -> np.ndarray:
    """P(still buying) per row of `history` (x, t_x, T in days). BG/NBD gives 1 to every
    one-time buyer.
    """
    params, *cells = _known(fit, history)
    return np.concatenate(
        [btyd_models.p_alive(fit.model, params, *part) for part in _slices(*cells)]
    )


def expected_purchases(
    fit: CountFit, history: pd.DataFrame, *, days: float | np.ndarray
) -> np.ndarray:
    """Expected purchase days per row of `history` (x, t_x, T in days) within the next
    `days`: one number, one for each row, or a column of them, which gives a row of the
    result each.
    """
    params, *cells = _known(fit, history)
    weeks = np.asarray(days) / 7
    parts = (
        _slices(*cells, weeks) if weeks.ndim == 1 else [(*part, weeks) for part in _slices(*cells)]
    )
    return np.concatenate(
        [btyd_models.expected_purchases(fit.model, params, *part) for part in parts], axis=-1
    )


def _slices(*columns: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Some customers at a time: an integral over 24 points of millions would fit
    neither the cache nor the memory.
    """
    starts = range(0, max(len(columns[0]), 1), SLICE)
    return [tuple(column[k : k + SLICE] for column in columns) for k in starts]


def refit_resampled(
    fit: CountFit, history: pd.DataFrame, *, n: int = 60, seed: int = 0
) -> pd.DataFrame:
    """`n` bootstrap refits (customers resampled, started at the fit): one row per
    refit, parameters, is_converged.

    The spread tells how well the parameters are known; it is not an interval for
    purchases to come.
    """
    _known(fit, history.head(1))
    x, t_x, age, weights = _cells(history, True)
    rng, rows = np.random.default_rng(seed), []
    for k in range(n):
        drawn = rng.multinomial(int(weights.sum()), weights / weights.sum()).astype(float)
        kept = drawn > 0
        cells = x[kept], t_x[kept], age[kept], drawn[kept]
        found = _by_gradient(fit.model, *cells, start=fit)
        row = {"refit": k} | dict(zip(MODELS[fit.model], found.tolist(), strict=True))
        rows.append(row | {"is_converged": _gap(fit.model, found, *cells)[0] < _CLOSE})
    return pd.DataFrame(rows)


def _known(fit: CountFit, history: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Parameters and the history in weeks, or a refusal with the fit's own reason."""
    if fit.params is None:
        do = "use the cohort curve or the naive share instead"
        raise PlaybookError(f"{fit.model} was not fitted: {fit.reason}", do=do)
    x, t_x, age = (history[column].to_numpy(float) for column in ("x", "t_x", "T"))
    return np.array(list(fit.params.values())), x, t_x / 7, age / 7


def _cells(history: pd.DataFrame, week_cells: bool) -> tuple[np.ndarray, ...]:
    """Unique (x, t_x, T) in weeks with their numbers of customers, in sorted order
    whatever the order of the rows.
    """
    if len(history) == 0:
        do = "check the month and the customer ids"
        raise PlaybookError("there is no customer with a purchase", table="customer_days", do=do)
    x, t_x, age = (history[column].to_numpy(float) for column in ("x", "t_x", "T"))
    fine = (x >= 0) & (t_x >= 0) & (age >= t_x) & ((x > 0) | (t_x == 0)) & (x == np.floor(x))
    if not fine.all():
        message = (
            "purchase histories must have whole x >= 0, 0 <= t_x <= T, and t_x = 0 where x = 0"
        )
        raise PlaybookError(
            message, rule="purchase_history", rows=int((~fine).sum()), do="use ltv.purchase_history"
        )
    n = history["n"].to_numpy(float) if "n" in history else np.ones(len(x))
    if not week_cells:
        table = pd.DataFrame({"x": x, "t_x": t_x / 7, "T": age / 7, "n": n})
        table = table.groupby(["x", "t_x", "T"], as_index=False)["n"].sum()
        return tuple(table[column].to_numpy() for column in ("x", "t_x", "T", "n"))
    wide = np.floor(age.max() / 7 + 0.5) + 1
    key = (x * wide + np.floor(t_x / 7 + 0.5)) * wide + np.floor(
        age / 7 + 0.5
    )  # exact: far below 2^53
    keys, where = np.unique(key, return_inverse=True)
    x, rest = np.divmod(keys, wide * wide)
    return x, *np.divmod(rest, wide), np.bincount(where, weights=n)


def _verdict(
    model: str,
    found: np.ndarray,
    cells: tuple[np.ndarray, ...],
    total: float,
    gap: float,
    repeaters: int,
) -> list[str]:
    """Reasons not to trust a fit, empty where it is identified; how well its parameters
    are known counts the prior.
    """
    x, t_x, age, n = cells
    _, covariance = _gap(model, found, *cells, precision=PRIOR_SD**-2)
    why = [] if gap < _CLOSE else [f"did not converge ({gap:.2g} log-likelihood units short)"]
    if repeaters < 10:
        why.append(f"only {repeaters} customer{'s' * (repeaters > 1)} came back")
    rate = np.array([1, -1, 0, 0][: len(found)])
    if not rate @ covariance @ rate < 1:
        why.append("the purchase rate is not identified")
    if model != "nbd":
        share = found[3] / (found[2] + found[3])
        drop = np.array([0, 0, 1, -1] if model == "pareto_nbd" else [0, 0, share, -share])
        plain = _by_gradient("nbd", *cells)
        gain = 2 * (total - float(n @ log_likelihood("nbd", plain, x, t_x, age)[0]))
        if gain < 5.99:
            why.append(
                f"drop-out is not identified (likelihood ratio {max(gain, 0):.1f} against none)"
            )
        elif not drop @ covariance @ drop < 1:
            why.append("drop-out is not identified (unknown within a factor e)")
    return why


def _gap(
    model: str,
    params: np.ndarray,
    x: np.ndarray,
    t_x: np.ndarray,
    age: np.ndarray,
    n: np.ndarray,
    precision: float = 0,
) -> tuple[float, np.ndarray]:
    """Newton's estimate of the log-likelihood still to be gained (infinite off a
    maximum); covariance of the logs.
    """
    at, step = np.log(params), 1e-4

    def slope(point: np.ndarray) -> np.ndarray:
        return log_likelihood(model, np.exp(point), x, t_x, age)[1] @ n - precision * point

    curve = -np.array(
        [(slope(at + m) - slope(at - m)) / (2 * step) for m in np.eye(len(at)) * step]
    )
    if not np.isfinite(curve).all():
        return np.inf, np.full(curve.shape, np.inf)
    size, axes = np.linalg.eigh((curve + curve.T) / 2)
    inverse = axes @ np.diag(1 / np.maximum(size, 1e-12)) @ axes.T
    bounds = [_BOUNDS[name] for name in MODELS[model]]
    at_edge = any(
        not low * 1.01 < p < high / 1.01 for p, (low, high) in zip(params, bounds, strict=True)
    )
    if size.min() <= 1e-6 or at_edge:
        return np.inf, inverse
    return float(0.5 * slope(at) @ inverse @ slope(at)), inverse


def _by_gradient(
    model: str,
    x: np.ndarray,
    t_x: np.ndarray,
    age: np.ndarray,
    n: np.ndarray,
    *,
    start: CountFit | None = None,
    precision: float = 0.0,
) -> np.ndarray:
    """Bounded L-BFGS on the logs of the parameters; a second start where the first does
    not end at an optimum.
    """
    from scipy.optimize import minimize

    names, size = MODELS[model], n.sum()
    span = max(float(n @ age / size), 1.0)
    first = {"r": 0.5, "alpha": 0.5 * span, "a": 0.7, "b": 2.5, "s": 0.6, "beta": 0.5 * span}
    second = {"r": 1.5, "alpha": 2 * span, "a": 0.1, "b": 1.0, "s": 0.2, "beta": 2 * span}
    bounds = [tuple(np.log(_BOUNDS[name])) for name in names]

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = log_likelihood(model, np.exp(point), x, t_x, age)
        penalty = 0.5 * precision * point @ point
        return (-(value @ n) + penalty) / size, (-(grad @ n) + precision * point) / size

    best = None
    for guess in ([start.params] if start is not None and start.params else []) + [first, second]:
        at = np.log([guess[name] for name in names])
        options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}
        end = minimize(loss, at, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        best = end if best is None or end.fun < best.fun else best
        if _gap(model, np.exp(best.x), x, t_x, age, n, precision)[0] < _CLOSE:
            break
    return np.exp(best.x)


def _by_lifetimes(
    model: str, x: np.ndarray, t_x: np.ndarray, age: np.ndarray, n: np.ndarray
) -> tuple[np.ndarray | None, str]:
    """The optimum lifetimes finds, or None and why."""

    def fit() -> object:
        import lifetimes

        fitter = getattr(lifetimes, _LIFETIMES[model])(penalizer_coef=0.0)
        more = {}
        if (
            model == "pareto_nbd"
        ):  # left alone it starts at random, and wanders where scipy's 2F1 never returns
            more = {"tol": 1e-10, "maxiter": 4000, "initial_params": np.ones(4)}
            fitter._negative_log_likelihood = _bounded(fitter)
        return fitter.fit(x, t_x, age, weights=n, **more)

    return lifetimes_optimum(fit, MODELS[model])


def _bounded(fitter: object) -> object:
    """The likelihood of lifetimes' Pareto/NBD, infinitely bad outside the bounds of the
    own fit.
    """
    inside = type(fitter)._negative_log_likelihood
    low, high = np.array([_BOUNDS[name] for name in MODELS["pareto_nbd"]]).T

    def loss(params: np.ndarray, *data: object) -> float:
        weeks = params / [1, fitter._scale, 1, fitter._scale]
        return inside(params, *data) if ((weeks > low) & (weeks < high)).all() else np.inf

    return loss
