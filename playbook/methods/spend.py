"""Money per purchase day: gamma–gamma, and a credibility mean where gamma–gamma cannot
serve.

Papers: Fader & Hardie (2013), note 025, "The Gamma-Gamma Model of Monetary Value"
(likelihood: equation 1a; conditional mean: equation 5); Bühlmann (1967), ASTIN Bulletin
4(3) (credibility). Gamma–gamma needs positive money and q > 1 (with q <= 1 the
population mean does not exist and the printed formula turns negative); margins can be
negative, and then the credibility mean, which only shrinks a customer's own mean
towards the shop's, is used and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.methods.lifetimes_fit import lifetimes_optimum

__all__ = ["SpendFit", "fit_spend", "expected_spend"]


@dataclass(frozen=True)
class SpendFit:
    """One fitted spend model. `params`: p, q, v (gamma_gamma) or mean, k (credibility);
    None where no one has spent.

    `n_customers`: those the fit used; `n_left_out`: those whose mean was not positive
    (gamma–gamma only). `correlation`: of purchases with mean spend, which gamma–gamma
    assumes to be nil; missing under 3 customers.
    """

    model: str
    params: dict[str, float] | None
    n_customers: int
    n_left_out: int
    engine: str
    is_converged: bool
    is_identified: bool
    reason: str
    correlation: float


def fit_spend(table: pd.DataFrame, *, model: str = "auto", engine: str = "auto") -> SpendFit:
    """Fit money per purchase day to `table`, one row per customer: n (purchase days
    seen), mean (money per such day).

    `model`: gamma_gamma, credibility, or auto (gamma–gamma where it is identified and
    leaves out under 2 % of the customers, else credibility). Rows with n = 0 or a
    missing mean are not used.
    """
    table = (
        table.loc[(table["n"] > 0) & table["mean"].notna(), ["n", "mean"]]
        .astype(float)
        .sort_values(["n", "mean"])
    )
    used = table[table["mean"] > 0]
    enough = len(table) > 2 and table.nunique().min() > 1
    correlation = float(np.corrcoef(table["n"], table["mean"])[0, 1]) if enough else np.nan
    if model == "credibility":
        return _credibility(table, correlation, "")
    fit = _gamma_gamma(used, len(table) - len(used), engine, correlation)
    if model == "gamma_gamma":
        return fit
    if fit.is_identified and fit.n_left_out <= 0.02 * len(table):
        return fit
    left = f"{fit.n_left_out} of {len(table)} customers have no positive mean"
    return _credibility(table, correlation, f"gamma–gamma is not used: {fit.reason or left}")


def expected_spend(fit: SpendFit, table: pd.DataFrame) -> np.ndarray:
    """Expected money per future purchase day for each row of `table` (n, mean); the
    shop's mean where n is 0.

    Missing everywhere when the fit has no parameters.
    """
    n, mean = table["n"].to_numpy(float), table["mean"].to_numpy(float)
    if fit.params is None:
        return np.full(len(n), np.nan)
    if fit.model == "gamma_gamma":
        p, q, v = (fit.params[name] for name in "pqv")
        shop, weight = p * v / (q - 1), p * n / (p * n + q - 1)
        mean = np.where(mean > 0, mean, np.nan)
    else:
        shop, k = fit.params["mean"], fit.params["k"]
        weight = n / (n + k)
    return np.where(
        (n > 0) & np.isfinite(mean), (1 - weight) * shop + weight * np.nan_to_num(mean), shop
    )


def _gamma_gamma(used: pd.DataFrame, left_out: int, engine: str, correlation: float) -> SpendFit:
    n, mean = used["n"].to_numpy(), used["mean"].to_numpy()
    empty = SpendFit("gamma_gamma", None, len(n), left_out, "none", False, False, "", correlation)
    if len(n) < 10 or np.ptp(mean) == 0:
        return SpendFit(
            **vars(empty) | {"reason": f"only {len(n)} customers with money to learn from"}
        )
    scale = float(np.exp(np.log(mean).mean()))
    found, used_engine, reason = None, "own", ""
    if engine == "auto":
        found, reason = _by_lifetimes(n, mean)
        if found is not None and _gap(np.log(found / [1, 1, scale]), n, mean / scale) < 0.01:
            used_engine = "lifetimes"
        elif found is not None:
            found, reason = None, "lifetimes stopped short of an optimum: own fit"
    if found is None:
        found = np.exp(_own(n, mean / scale)) * [1, 1, scale]
    converged = _gap(np.log(found / [1, 1, scale]), n, mean / scale) < 0.01
    why = [] if converged else ["did not converge"]
    if found[1] <= 1:
        why.append(f"q is {found[1]:.2f}: the mean of the population does not exist")
    params = dict(zip("pqv", found.tolist(), strict=True))
    reason = "; ".join(why) or reason
    return SpendFit(
        "gamma_gamma",
        params,
        len(n),
        left_out,
        used_engine,
        converged,
        not why,
        reason,
        correlation,
    )


def _loss(point: np.ndarray, n: np.ndarray, mean: np.ndarray) -> tuple[float, np.ndarray]:
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


def _gap(point: np.ndarray, n: np.ndarray, mean: np.ndarray) -> float:
    """Newton's estimate of the log-likelihood still to be gained; infinite off a
    maximum.
    """
    moves = np.eye(3) * 1e-4
    curve = np.array(
        [(_loss(point + m, n, mean)[1] - _loss(point - m, n, mean)[1]) / 2e-4 for m in moves]
    )
    down = _loss(point, n, mean)[1]
    if not np.isfinite(curve).all() or np.linalg.eigvalsh((curve + curve.T) / 2).min() <= 1e-9:
        return np.inf
    return float(0.5 * len(n) * down @ np.linalg.solve(curve, down))


def _own(n: np.ndarray, mean: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize

    bounds = [(np.log(1e-2), np.log(1e4))] * 2 + [(np.log(1e-4), np.log(1e6))]
    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9}
    starts = ([1.5, 1.2, 0.5], [0.0, 0.5, 0.0], [3.0, 2.0, 0.0])
    ends = [
        minimize(_loss, s, (n, mean), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        for s in starts
    ]
    return min(ends, key=lambda end: end.fun).x


def _by_lifetimes(n: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray | None, str]:
    """The optimum lifetimes finds, or None and why."""

    def fit() -> object:
        from lifetimes import GammaGammaFitter

        return GammaGammaFitter(penalizer_coef=0.0).fit(n, mean)

    return lifetimes_optimum(fit, "pqv")


def _credibility(table: pd.DataFrame, correlation: float, reason: str) -> SpendFit:
    """Bühlmann's k = spread within customers / spread between them, from means and
    counts alone.

    The variance of a mean over n days is between + within / n; a weighted line of the
    squared deviations on 1 / n gives both. The top percent of deviations is capped, so
    that one huge order does not decide.
    """
    n, mean = table["n"].to_numpy(), table["mean"].to_numpy()
    if len(n) == 0:
        none = reason or "nobody has spent anything"
        return SpendFit("credibility", None, 0, 0, "own", False, False, none, correlation)
    shop = float(np.average(mean, weights=n))
    off = (mean - shop) ** 2
    off, slant = np.minimum(off, np.quantile(off, 0.99)), 1 / n
    if len(n) > 9 and np.ptp(slant) > 0:
        within, between = np.polyfit(slant, off, 1)
    else:
        within, between = float(off.mean()), 0.0
    k = float(np.clip(within / between if between > 0 else np.inf, 0.1, 50)) if within > 0 else 0.1
    return SpendFit(
        "credibility", {"mean": shop, "k": k}, len(n), 0, "own", True, True, reason, correlation
    )
