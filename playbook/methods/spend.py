"""Money per purchase day: gamma–gamma, and a credibility mean where gamma–gamma cannot
serve.

Papers: Fader & Hardie (2013), note 025, "The Gamma-Gamma Model of Monetary Value"
(likelihood: equation 1a; conditional mean: equation 5); Bühlmann (1967), ASTIN Bulletin
4(3) (credibility). Gamma–gamma needs positive money and q > 1 (with q <= 1 the
population mean does not exist and the printed formula turns negative); margins can be
negative; then the credibility mean is used, which only shrinks a customer's own mean
towards the shop's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from playbook.messages import say
from playbook.methods.optimum import curvature, lifetimes_optimum, newton_gap

__all__ = ["SpendFit", "fit_spend", "expected_spend"]

#: customers without a positive mean that gamma–gamma may leave out, share
_LEFT_OUT = 0.02
#: customers below which gamma–gamma is not tried
_FEW = 10
#: log-likelihood units: an optimum found to this is found
_CLOSE = 0.01
#: purchase days the shop's mean weighs for, least and most
_K_RANGE = (0.1, 50)


@dataclass(frozen=True)
class SpendFit:
    """One fitted spend model. `params`: p, q, v (gamma_gamma) or mean, k (credibility);
    None where no one has spent. `reason` says why gamma–gamma is not used, or what is
    wrong with its fit.
    """

    model: str
    params: dict[str, float] | None
    is_identified: bool
    reason: str


def fit_spend(table: DataFrame, *, model: str = "auto", engine: str = "auto") -> SpendFit:
    """Fit money per purchase day to `table`, one row per customer: n (purchase days so
    far), mean (money per such day).

    `model`: gamma_gamma, credibility, or auto (gamma–gamma where it is identified and
    leaves out under 2 % of the customers, else credibility). `engine`: auto (lifetimes
    where installed and converging, else own) or own. Rows with n = 0 or a missing mean
    are not used.
    """
    table = table.loc[(table.n > 0) & table["mean"].notna(), ["n", "mean"]]
    table = table.astype(float).sort_values(["n", "mean"])
    if model == "credibility":
        return _credibility(table, "")
    positive = table[table["mean"] > 0]
    fit = _gamma_gamma(
        positive.n.to_numpy(),
        positive["mean"].to_numpy(),
        engine,
    )
    if model == "gamma_gamma":
        return fit
    left_out = len(table) - len(positive)
    if fit.is_identified and left_out <= _LEFT_OUT * len(table):
        return fit
    why = fit.reason or say("methods.no_positive_mean", n=left_out, of=len(table))
    return _credibility(table, say("methods.gamma_not_used", why=why))


def expected_spend(fit: SpendFit, table: DataFrame) -> NDArray:
    """Expected money per future purchase day for each row of `table` (n, mean); the
    shop's mean where n is 0. Missing everywhere when the fit has no parameters.
    """
    n, mean = table.n.to_numpy(float), table["mean"].to_numpy(float)
    if fit.params is None:
        return np.full(len(n), np.nan)
    if fit.model == "gamma_gamma":
        p, q, v = (fit.params[name] for name in "pqv")
        shop, weight = p * v / (q - 1), p * n / (p * n + q - 1)
        mean = np.where(mean > 0, mean, np.nan)
    else:
        shop, k = fit.params["mean"], fit.params["k"]
        weight = n / (n + k)
    own = (1 - weight) * shop + weight * np.nan_to_num(mean)
    return np.where((n > 0) & np.isfinite(mean), own, shop)


def _gamma_gamma(n: NDArray, mean: NDArray, engine: str) -> SpendFit:
    if len(n) < _FEW or np.ptp(mean) == 0:
        return SpendFit(
            "gamma_gamma",
            None,
            False,
            say("methods.few_spenders", n=len(n)),
        )
    scale = float(np.exp(np.log(mean).mean()))
    units = [1, 1, scale]

    def is_optimum(params: NDArray) -> bool:
        return _gap(np.log(params / units), n, mean / scale) < _CLOSE

    params, note = None, ""
    if engine == "auto":
        params, note = _by_lifetimes(n, mean)
        if params is not None and not is_optimum(params):
            params, note = None, say("methods.spend_lifetimes_short")
    if params is None:
        params = np.exp(_own(n, mean / scale)) * units
    doubts = [] if is_optimum(params) else [say("methods.spend_not_converged")]
    if params[1] <= 1:
        doubts.append(say("methods.no_mean", q=params[1]))
    named = dict(zip("pqv", params.tolist(), strict=True))
    return SpendFit(
        "gamma_gamma",
        named,
        not doubts,
        "; ".join(doubts) or note,
    )


def _loss(point: NDArray, n: NDArray, mean: NDArray) -> tuple[float, NDArray]:
    """Mean negative log-likelihood (note 025, equation 1a) and its gradient in log p,
    log q, log v.
    """
    from scipy.special import digamma, gammaln

    p, q, v = np.exp(point)
    total, shape = np.log(v + n * mean), p * n + q
    value = gammaln(shape) - gammaln(p * n) - gammaln(q) + q * point[2] + (p * n - 1) * np.log(mean)
    value = value + p * n * np.log(n) - shape * total
    up = digamma(shape)
    d_p = n * (up - digamma(p * n) + np.log(mean) + np.log(n) - total)
    d_q = up - digamma(q) + point[2] - total
    d_v = q / v - shape / (v + n * mean)
    return -value.mean(), -np.array([p * d_p.mean(), q * d_q.mean(), v * d_v.mean()])


def _gap(point: NDArray, n: NDArray, mean: NDArray) -> float:
    """The log-likelihood still to be gained; infinite off a maximum."""

    def slope(at: NDArray) -> NDArray:
        return -len(n) * _loss(at, n, mean)[1]

    return newton_gap(*curvature(slope, point), flat=1e-9 * len(n))[0]


def _own(n: NDArray, mean: NDArray) -> NDArray:
    from scipy.optimize import minimize

    bounds = [(np.log(1e-2), np.log(1e4))] * 2 + [(np.log(1e-4), np.log(1e6))]
    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9}
    starts = ([1.5, 1.2, 0.5], [0.0, 0.5, 0.0], [3.0, 2.0, 0.0])
    ends = [
        minimize(
            _loss,
            s,
            (n, mean),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=options,
        )
        for s in starts
    ]
    return min(ends, key=lambda end: end.fun).x


def _by_lifetimes(n: NDArray, mean: NDArray) -> tuple[NDArray | None, str]:
    """The optimum lifetimes finds, or None and why."""

    def fit() -> Any:
        from lifetimes import GammaGammaFitter

        return GammaGammaFitter(penalizer_coef=0.0).fit(n, mean)

    return lifetimes_optimum(fit, "pqv")


def _credibility(table: DataFrame, reason: str) -> SpendFit:
    """Bühlmann's k = spread within customers / spread between them, from means and
    counts alone.

    The variance of a mean over n days is between + within / n; a weighted line of the
    squared deviations on 1 / n gives both. The top percent of deviations is capped, so
    that one huge order does not decide.
    """
    n, mean = table.n.to_numpy(), table["mean"].to_numpy()
    if len(n) == 0:
        return SpendFit(
            "credibility",
            None,
            False,
            reason or say("methods.nobody_spent"),
        )
    shop = float(np.average(mean, weights=n))
    off = (mean - shop) ** 2
    off, slant = np.minimum(off, np.quantile(off, 0.99)), 1 / n
    within, between = float(off.mean()), 0.0
    if len(n) >= _FEW and np.ptp(slant) > 0:
        within, between = np.polyfit(slant, off, 1)
    k = _K_RANGE[0]
    if within > 0:
        k = float(np.clip(within / between if between > 0 else np.inf, *_K_RANGE))
    return SpendFit(
        "credibility",
        {"mean": shop, "k": k},
        True,
        reason,
    )
