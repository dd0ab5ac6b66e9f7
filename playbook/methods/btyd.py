"""Fitting buy-till-you-die models (formulas and papers: btyd_models), with a verdict on
every fit.

Ages are days in every table here and weeks inside the models. Fits work on unique
histories in whole weeks, with the number of customers that share each; forecasts use
the exact days. There are two ways to an optimum: the optimisers of lifetimes, and a
bounded L-BFGS with exact gradients. Neither is believed before its gradient has been
looked at. A drop-out that the data cannot show is reported as not identified.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.messages import read_yaml, say
from playbook.methods import btyd_models
from playbook.methods.btyd_models import MODELS, Histories, log_likelihood
from playbook.methods.optimum import curvature, lifetimes_optimum, newton_gap

__all__ = ["PRIOR_SD", "CountFit", "fit_counts", "expected_purchases", "p_alive", "slices"]

#: of each log parameter: a factor of 20 either way
PRIOR_SD = 3.0
#: customers forecast at a time
SLICE = 50_000
_PRECISION = PRIOR_SD**-2
#: log-likelihood units: an optimum found to this is found
_CLOSE = 0.01
#: the 5 % point of chi-square with 2 degrees of freedom
_SURE_GAIN = 5.99
_FEW_REPEATERS = 10
#: the fitters of lifetimes; bounds and two starts of the parameters (weeks)
_FACTS = read_yaml(Path(__file__).with_name("btyd.yaml"))
_BOUNDS = {model: np.array([_FACTS["bounds"][n] for n in MODELS[model]]) for model in MODELS}


@dataclass(frozen=True)
class CountFit:
    """One fitted count model. `params` are in weeks, None where nothing could be
    fitted. `reason` says what is wrong; it is empty when all is well.

    `is_converged`: the log-likelihood (with the weak prior, where `engine` names it) is
    within 0.01 of its optimum. `is_identified`: it converged, drop-out explains the
    data better than none (likelihood ratio past the 5 % point of chi-square, 2 degrees
    of freedom), and the rate and the drop-out are each known within a factor e.
    `engine`: what gave the parameters (lifetimes, own, own + prior).
    """

    model: str
    params: dict[str, float] | None
    log_likelihood: float
    engine: str
    is_converged: bool
    is_identified: bool
    reason: str = ""


def fit_counts(
    history: DataFrame,
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
        raise PlaybookError("methods.no_count_model", model=model, known=", ".join(MODELS))
    sample = _Sample(model, *_cells(history, week_cells))
    repeaters = int(sample.n[sample.histories.x > 0].sum())
    if repeaters == 0 or sample.histories.age.max() <= 0:
        reason = say("methods.nobody_back", n=int(sample.n.sum()))
        return CountFit(model, None, np.nan, "none", False, False, reason)
    point, notes, used = None, [], "lifetimes"
    if engine == "auto" and model in _FACTS["lifetimes"]:
        point, note = sample.lifetimes_optimum()
        notes = [note] * bool(note)
    if point is None:
        point, used = sample.optimum(start=start), "own"
    gap, _ = sample.gap(point)
    if not gap < _CLOSE:
        used = "own + prior"
        notes.append(say("methods.weak_prior"))
        point = sample.optimum(precision=_PRECISION)
        gap, _ = sample.gap(point, _PRECISION)
    total = sample.total(point)
    doubts = _doubts(sample, point, total, gap, repeaters)
    params = dict(zip(MODELS[model], point.tolist(), strict=True))
    reason = "; ".join(doubts + notes)
    return CountFit(model, params, total, used, gap < _CLOSE, not doubts, reason)


def p_alive(fit: CountFit, history: DataFrame) -> NDArray:
    """P(still buying) per row of `history` (x, t_x, T in days). BG/NBD gives 1 to every
    one-time buyer.
    """
    params, histories = _known(fit, history)
    parts = [histories.part(rows) for rows in slices(len(history))]
    return np.concatenate([btyd_models.p_alive(fit.model, params, part) for part in parts])


def expected_purchases(fit: CountFit, history: DataFrame, *, days: float | NDArray) -> NDArray:
    """Expected purchase days per row of `history` (x, t_x, T in days) within the next
    `days`: one number, one for each row, or a column of them, which gives a row of the
    result each.
    """
    params, histories = _known(fit, history)
    weeks, forecasts = np.asarray(days) / 7, []
    for rows in slices(len(history)):
        ahead = weeks[rows] if weeks.ndim == 1 else weeks
        part = histories.part(rows)
        forecasts.append(
            btyd_models.expected_purchases(
                fit.model,
                params,
                part,
                ahead,
            )
        )
    return np.concatenate(forecasts, axis=-1)


def slices(n: int) -> list[slice]:
    """Some customers at a time: an integral over 24 points of millions would fit
    neither the cache nor the memory.
    """
    return [slice(k, k + SLICE) for k in range(0, max(n, 1), SLICE)]


def _known(fit: CountFit, history: DataFrame) -> tuple[NDArray, Histories]:
    """Parameters and the history in weeks, or a refusal with the fit's own reason."""
    if fit.params is None:
        raise PlaybookError(
            "methods.not_fitted",
            model=fit.model,
            reason=fit.reason,
        )
    x, t_x, age = _columns(history)
    return np.array(list(fit.params.values())), Histories(x, t_x / 7, age / 7)


def _columns(history: DataFrame) -> list[NDArray]:
    return [history[column].to_numpy(float) for column in ("x", "t_x", "T")]


def _cells(history: DataFrame, week_cells: bool) -> tuple[Histories, NDArray]:
    """Unique histories in weeks with their numbers of customers, in sorted order
    whatever the order of the rows.
    """
    if len(history) == 0:
        raise PlaybookError("methods.no_history", table="customer_days")
    x, t_x, age = _columns(history)
    fine = (x >= 0) & (t_x >= 0) & (age >= t_x) & ((x > 0) | (t_x == 0)) & (x == np.floor(x))
    if not fine.all():
        raise PlaybookError(
            "methods.bad_history",
            rule="purchase_history",
            rows=int((~fine).sum()),
        )
    n = history["n"].to_numpy(float) if "n" in history else np.ones(len(x))
    unit = 7 if week_cells else 1
    t_x, age = np.floor(t_x / unit + 0.5), np.floor(age / unit + 0.5)
    wide = age.max() + 1
    # one exact number per history: far below 2^53
    keys, where = np.unique((x * wide + t_x) * wide + age, return_inverse=True)
    x, rest = np.divmod(keys, wide * wide)
    t_x, age = np.divmod(rest, wide)
    return Histories(x, t_x * unit / 7, age * unit / 7), np.bincount(where, weights=n)


@dataclass(frozen=True)
class _Sample:
    """What a model is fitted to: unique histories, and how many customers have each."""

    model: str
    histories: Histories
    n: NDArray
    known: dict = field(default_factory=dict, repr=False)

    def total(self, params: NDArray) -> float:
        """Log-likelihood of all customers."""
        return float(self.n @ log_likelihood(self.model, params, self.histories)[0])

    def gap(self, params: NDArray, precision: float = 0.0) -> tuple[float, NDArray]:
        """Newton's estimate of the log-likelihood still to be gained (infinite off a
        maximum), and the covariance of the logs.
        """
        point = np.log(params)
        gradient, curve = self._curvature(point)
        gap, covariance = newton_gap(
            gradient - precision * point, curve + precision * np.eye(len(point)), flat=1e-6
        )
        low, high = _BOUNDS[self.model].T
        is_inside = ((low * 1.01 < params) & (params < high / 1.01)).all()
        return gap if is_inside else np.inf, covariance

    def _curvature(self, point: NDArray) -> tuple[NDArray, NDArray]:
        """Gradient and curvature without the prior at a point, worked out once: the
        prior adds a known part to each.
        """

        def slope(at: NDArray) -> NDArray:
            return log_likelihood(self.model, np.exp(at), self.histories)[1] @ self.n

        key = point.tobytes()
        if key not in self.known:
            self.known[key] = curvature(slope, point)
        return self.known[key]

    def optimum(self, *, start: CountFit | None = None, precision: float = 0.0) -> NDArray:
        """Bounded L-BFGS on the logs of the parameters; a second start where the first
        does not end at an optimum.
        """
        from scipy.optimize import minimize

        names, size = MODELS[self.model], self.n.sum()
        span = max(float(self.n @ self.histories.age / size), 1.0)
        of_span = {"alpha": span, "beta": span}
        starts = [
            [guess[name] * of_span.get(name, 1) for name in names] for guess in _FACTS["starts"]
        ]
        if start is not None and start.params:
            starts.insert(0, list(start.params.values()))
        bounds = np.log(_BOUNDS[self.model])
        options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}

        def loss(point: NDArray) -> tuple[float, NDArray]:
            value, grad = log_likelihood(self.model, np.exp(point), self.histories)
            penalty = 0.5 * precision * point @ point
            slope = -(grad @ self.n) + precision * point
            return (-(value @ self.n) + penalty) / size, slope / size

        best = None
        for at in np.log(starts):
            end = minimize(
                loss,
                at,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options=options,
            )
            best = end if best is None or end.fun < best.fun else best
            if self.gap(np.exp(best.x), precision)[0] < _CLOSE:
                break
        return np.exp(best.x)

    def lifetimes_optimum(self) -> tuple[NDArray | None, str]:
        """The optimum lifetimes finds, or None and why it is not one."""

        def fit() -> Any:
            import lifetimes

            fitter = getattr(lifetimes, _FACTS["lifetimes"][self.model])(penalizer_coef=0.0)
            options = {}
            # left alone it starts at random, and wanders where scipy's 2F1 never returns
            if self.model == "pareto_nbd":
                options = {"tol": 1e-10, "maxiter": 4000, "initial_params": np.ones(4)}
                fitter._negative_log_likelihood = _bounded(fitter)
            return fitter.fit(*self.histories, weights=self.n, **options)

        point, note = lifetimes_optimum(fit, MODELS[self.model])
        if point is None:
            return None, note
        gap, _ = self.gap(point)
        if not gap < _CLOSE:
            is_near = np.isfinite(gap)
            return None, say(
                "methods.lifetimes_short" if is_near else "methods.lifetimes_off_peak", gap=gap
            )
        if self.total(self.optimum()) > self.total(point) + _CLOSE:
            return None, say("methods.lifetimes_lesser_peak")
        return point, ""


def _bounded(fitter: Any) -> Any:
    """The likelihood of lifetimes' Pareto/NBD, infinitely bad outside the bounds of the
    own fit.
    """
    inside = type(fitter)._negative_log_likelihood
    low, high = _BOUNDS["pareto_nbd"].T

    def loss(params: NDArray, *data: object) -> float:
        weeks = params / [1, fitter._scale, 1, fitter._scale]
        return inside(params, *data) if ((weeks > low) & (weeks < high)).all() else np.inf

    return loss


def _doubts(sample: _Sample, point: NDArray, total: float, gap: float, repeaters: int) -> list[str]:
    """Reasons not to trust a fit, empty where it is identified. How well its parameters
    are known counts the prior.
    """
    _, covariance = sample.gap(point, _PRECISION)
    doubts = []
    if not gap < _CLOSE:
        is_near = np.isfinite(gap)
        doubts.append(say("methods.not_converged" if is_near else "methods.no_optimum", gap=gap))
    if repeaters < _FEW_REPEATERS:
        few = "methods.one_back" if repeaters == 1 else "methods.few_back"
        doubts.append(say(few, n=repeaters))
    rate = np.array([1, -1, 0, 0][: len(point)])
    if not rate @ covariance @ rate < 1:
        doubts.append(say("methods.rate_unknown"))
    if sample.model == "nbd":
        return doubts
    share = point[3] / (point[2] + point[3])
    is_pareto = sample.model == "pareto_nbd"
    drop = np.array([0, 0, 1, -1] if is_pareto else [0, 0, share, -share])
    immortal = _Sample("nbd", sample.histories, sample.n)
    gain = 2 * (total - immortal.total(immortal.optimum()))
    if gain < _SURE_GAIN:
        doubts.append(say("methods.drop_out_not_shown", ratio=max(gain, 0)))
    elif not drop @ covariance @ drop < 1:
        doubts.append(say("methods.drop_out_vague"))
    return doubts
