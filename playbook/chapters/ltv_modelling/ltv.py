"""Lifetime value: what a customer will still bring, what may be paid for one, and how
wrong the answer has been.

*Value* is contribution margin where the shop knows its costs, revenue where it does not; every table says which in
`basis`. *Lifetime value to h months* is the margin a newly won customer brings in the first h months, the first order
included: what ended cohorts brought, and the forecast for what has not happened yet. *Payback* is the first month of
age at which the margin of the customers acquired covers what they cost. The model that forecasts is chosen each month
by rolling-origin backtest (evidence.py), and its intervals come from its past errors.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.cohort_retention import cohorts
from playbook.chapters.ltv_modelling.ltv_race import (
    CustomerForecast,
    LtvBacktest,
    backtest_ltv,
    calibration,
    customer_forecast,
    interval_coverage,
    longest_intervals,
    model_table,
    played_windows,
    remaining_value,
)
from playbook.chapters.ltv_modelling.margin_curve import (
    MONTH_DAYS,
    margin_by_age,
    margin_curve,
    monthly_spend,
    pay_row,
)
from playbook.errors import PlaybookError
from playbook.measures.customer_windows import MONEY, month_names, purchase_history
from playbook.methods.btyd import MODELS, expected_purchases, fit_counts
from playbook.methods.hashing import hash_places
from playbook.store import expression

__all__ = [
    "LtvBacktest",
    "CustomerForecast",
    "purchase_history",
    "tempting_ltv",
    "first_orders",
    "model_fits",
    "backtest_ltv",
    "played_windows",
    "model_table",
    "interval_coverage",
    "calibration",
    "customer_forecast",
    "remaining_value",
    "ltv_table",
    "margin_by_age",
    "payback",
    "caps",
    "vip",
    "ltv_decisions",
    "ltv_predictions",
    "ltv_headline",
]


def first_orders(sales_orders: Any, *, sales_lines: Any = None, products: Any = None) -> ibis.Table:
    """One row per known customer: customer_id, acquired_on, channel, category,
    is_left_truncated (an Ibis table).

    Channel and category are those of the first order (category: of its largest product
    line by revenue, equal ones by name); missing where the tables are not given or do
    not know.
    """
    found = cohorts.first_orders(sales_orders, sales_lines, products, with_truncated=True)
    return found.rename(acquired_on="first_on")


def payback(
    customer_days: Any,
    acquisitions: Any,
    spend: Any,
    *,
    as_of: Any,
    max_months: int = 24,
    level: float = 0.8,
) -> pd.DataFrame:
    """Margin per newly won customer against what they cost, by channel and month of
    first order (cohort).

    `customer_days`: customer_id, day_on, margin. `acquisitions`: first_orders(...).
    `spend`: day_on, channel, spend. One row per channel and cohort (`YYYY-MM`), and one
    per channel with cohort `all`: n_customers, spend, ncac (spend per new customer of
    the same channel and months, missing without spend), months_observed (whole months
    every customer of the row has lived through; for `all` the longest),
    margin_per_customer (cumulative to then; low, high: `level` interval of the mean),
    payback_months (first month of age whose cumulative margin per customer reaches
    ncac), with payback_low and payback_high from the limits, and status: `paid back`,
    `not yet`, `unobserved` (no full month lived), `no spend`, `spend not covered`
    (months outside the spend table), `no new customers`. "Not yet" is missing, not 0.
    Customers who may have bought before the log began are left out. PlaybookError
    without any margin.
    """
    curve = margin_curve(customer_days, acquisitions, as_of=as_of, max_months=max_months)
    cost = monthly_spend(spend, as_of)
    rows = []
    for channel in sorted(set(curve["channel"]) | set(cost["channel"])):
        mine = curve[curve["channel"] == channel]
        paid = cost[cost["channel"] == channel].set_index("cohort")["spend"]
        covered = sorted(set(cost["cohort"]))
        inside = mine[mine["cohort"].isin(covered)]
        for cohort in [*sorted(set(mine["cohort"]) | set(paid.index)), "all"]:
            part = inside if cohort == "all" else mine[mine["cohort"] == cohort]
            total = float(paid.sum()) if cohort == "all" else float(paid.get(cohort, 0.0))
            rows.append(
                {"channel": channel, "cohort": cohort}
                | pay_row(part, total, cohort == "all" or cohort in covered, level)
            )
    return pd.DataFrame(rows)


def tempting_ltv(history: pd.DataFrame, *, life_years: float = 3.0) -> pd.DataFrame:
    """The usual sum, for the lesson: average order x orders a year x an assumed life,
    from everyone who ever bought.

    One row: average_order, orders_per_year (of customers older than a day), life_years,
    tempting_ltv.
    """
    days = history["x"] + 1
    order = history["amount"].sum() / days.sum()
    yearly = (days / history["T"].clip(lower=1) * 365.25)[history["T"] > 0].mean()
    return pd.DataFrame(
        {
            "average_order": [order],
            "orders_per_year": [yearly],
            "life_years": [life_years],
            "tempting_ltv": [order * yearly * life_years],
        }
    )


def model_fits(
    history: pd.DataFrame, *, models: tuple[str, ...] = tuple(MODELS), max_customers: int = 20_000
) -> pd.DataFrame:
    """One row per count model on the history (of `max_customers` fixed by the hash of
    the id, in a large shop): engine, n_customers, parameters (weeks), log_likelihood,
    is_converged, is_identified, agreement (largest relative difference from the own
    fit's parameters), reason. An estimate that is not identified is named as such; its
    parameters are missing, so that nobody reads them as an answer.
    """
    if len(history) > max_customers:
        history = history.iloc[
            np.argsort(hash_places(history["customer_id"]), kind="stable")[:max_customers]
        ]
    rows = []
    for model in models:
        fit, own = fit_counts(history, model=model), fit_counts(history, model=model, engine="own")
        shown = dict(fit.params) if fit.params and fit.is_identified else {}
        gap = max((abs(fit.params[k] / own.params[k] - 1) for k in shown), default=np.nan)
        rows.append(
            {
                "model": model,
                "engine": fit.engine,
                "n_customers": len(history),
                "log_likelihood": fit.log_likelihood if shown else np.nan,
                "is_converged": fit.is_converged,
                "is_identified": fit.is_identified,
                "agreement": gap,
                "parameters": ", ".join(f"{k} {v:.4g}" for k, v in shown.items()),
                "reason": fit.reason,
            }
        )
    return pd.DataFrame(rows)


def ltv_table(
    customer_days: Any,
    traits: Any,
    forecast: CustomerForecast,
    backtest: LtvBacktest,
    *,
    as_of: Any,
    months: int = 12,
    by: str = "channel",
    won_within_months: int = 24,
    level: float = 0.8,
) -> pd.DataFrame:
    """Lifetime value to `months` per newly won customer, by channel or cohort, first
    order included.

    Customers won in the last `won_within_months` and not left-truncated: what each
    brought up to that age, plus what is still expected of those who are younger. One
    row per group: n_customers, observed (money per customer so far), expected (still to
    come), ltv, low, high (`level`: errors of the expected part and the spread between
    customers), horizon_months, basis, status: `complete` (all of it has been lived),
    `partial`, `not yet calibrated`.
    """
    day, reach = pd.Timestamp(as_of), months * MONTH_DAYS
    lived = _lived(customer_days, traits, day, reach, backtest.basis)
    won = lived["acquired_on"] > day - pd.Timedelta(days=won_within_months * MONTH_DAYS)
    won &= ~lived["is_left_truncated"].fillna(False).astype(bool)
    mine, lived = (
        frame[won.to_numpy()].reset_index(drop=True) for frame in (forecast.customers, lived)
    )
    left = np.maximum(reach - mine["T"].to_numpy(), 0.0)
    mine = mine.assign(
        observed=lived["observed"],
        channel=lived["channel"].fillna("unknown"),
        cohort=month_names(lived["acquired_on"]),
        expected=_stretched(forecast, mine, left),
    )
    mine = mine.assign(per=mine["observed"] + mine["expected"], is_lived=left == 0)
    groups = (
        mine.groupby(by, sort=True)
        .agg(
            n_customers=("per", "size"),
            observed=("observed", "mean"),
            expected=("expected", "mean"),
            ltv=("per", "mean"),
            spread=("per", "std"),
            point=("expected", "sum"),
            is_lived=("is_lived", "all"),
        )
        .reset_index()
    )
    rows = pd.DataFrame(
        {
            "model": backtest.model,
            "measure": "money",
            "kind": by,
            "subject": groups[by],
            "point": groups["point"],
            "unit": max(float(mine["each"].mean()), 1e-9),
        }
    )
    band = longest_intervals(rows, backtest, int(reach), as_of, level) if len(rows) else rows
    band = groups.merge(band.drop(columns="point"), left_on=by, right_on="subject", how="left")
    n, mean, lived = band["n_customers"], band["ltv"], band["is_lived"].to_numpy(bool)
    spread = _norm_width(level) * band["spread"] / np.sqrt(n)
    down, up = (
        np.where(lived, 0.0, d / n)
        for d in (band["point"] - band["low"], band["high"] - band["point"])
    )
    partial = np.where(band["status"] == "complete", "partial", band["status"])
    return pd.DataFrame(
        {
            by: band[by],
            "n_customers": n,
            "observed": band["observed"],
            "expected": band["expected"],
            "ltv": mean,
            "low": mean - np.hypot(down, spread),
            "high": mean + np.hypot(up, spread),
            "horizon_months": months,
            "basis": backtest.basis,
            "status": np.where(lived, "complete", partial),
        }
    )


def _lived(
    customer_days: Any, traits: Any, day: pd.Timestamp, reach: float, basis: str
) -> pd.DataFrame:
    """acquired_on, is_left_truncated, channel, and `observed`, the money of the first
    `reach` days of age: one row per customer with a purchase, in the order of
    `purchase_history`.
    """
    t, born = expression(customer_days), expression(traits)
    t = t.select("customer_id", "orders", day_on=_.day_on.cast("date"), money=_[basis].cast(MONEY))
    t = t.filter(_.day_on <= ibis.literal(day.date()), _.customer_id.notnull())
    born = born.group_by("customer_id").aggregate(
        acquired_on=_.acquired_on.cast("date").min(),
        channel=_.channel.min(),
        is_left_truncated=_.is_left_truncated.any(),
    )
    t = t.left_join(born, "customer_id").drop("customer_id_right")
    age = t.day_on.delta(t.acquired_on, unit="day")
    t = (
        t.mutate(is_young=(age >= 0) & (age < reach))
        .group_by("customer_id")
        .aggregate(
            bought=(_.orders > 0).any(),
            acquired_on=_.acquired_on.min(),
            is_left_truncated=_.is_left_truncated.any(),
            channel=_.channel.min(),
            observed=_.money.sum(where=_.is_young).cast("float64"),
        )
    )
    out = t.filter(_.bought).order_by("customer_id").drop("customer_id", "bought").to_pandas()
    observed = out["observed"].astype(float).fillna(0.0)
    return out.assign(acquired_on=pd.to_datetime(out["acquired_on"]), observed=observed)


def _stretched(forecast: CustomerForecast, mine: pd.DataFrame, left: np.ndarray) -> np.ndarray:
    """Money expected within each customer's own number of days: the forecast, bent by
    the count model's curve.
    """
    curve, clock = forecast.curve, forecast.clock
    if curve.params is None:
        return mine["worth"].to_numpy() * left / forecast.days
    part, whole = (
        expected_purchases(curve, clock.history(mine), days=clock.ahead(d))
        for d in (left, forecast.days)
    )
    return mine["worth"].to_numpy() * np.divide(
        part, whole, out=np.zeros(len(mine)), where=whole > 0
    )


def _norm_width(level: float) -> float:
    """Standard errors either side that hold `level` of a normal."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))


def caps(ltv: pd.DataFrame, paid: pd.DataFrame, *, ratio: float = 3.0) -> pd.DataFrame:
    """The most one may pay for a new customer, by channel: ltv (of `ltv_table`, on
    margin), cap (ltv / `ratio`), cap_low (the same from the low end), ncac (of
    `payback`, cohort `all`), headroom (cap - ncac), ltv_cac, months to payback, status.
    Raises PlaybookError for values on revenue: a cap on revenue would be wrong by the
    cost of the goods.
    """
    if (ltv["basis"] != "margin").any():
        raise PlaybookError(
            "a cap needs contribution margin, and these values are revenue",
            column="basis",
            do="add unit_cost to products or order_lines",
        )
    every = paid.loc[paid["cohort"] == "all", ["channel", "ncac", "payback_months", "status"]]
    out = ltv[["channel", "n_customers", "ltv", "low", "high"]].merge(
        every, on="channel", how="left"
    )
    safe = out["low"].clip(lower=0) / ratio
    return out.assign(
        cap=out["ltv"] / ratio,
        cap_low=safe,
        ltv_cac=out["ltv"] / out["ncac"],
        headroom=out["ltv"] / ratio - out["ncac"],
        status=out["status"].fillna("no spend"),
    )


def vip(
    forecast: CustomerForecast, *, share: float = 0.02, holdout_share: float = 0.1
) -> pd.DataFrame:
    """The customers worth most in the next `days`: customer_id, worth, purchases with
    limits, p_alive, arm.

    At least `share` of all customers: those who tie with the last one are in; nobody
    who will cost money. `arm` is `holdout` for a fixed `holdout_share` of them, by the
    hash of the id, so that the effect of the treatment can be seen next month.
    """
    customers = forecast.customers
    n = max(int(np.ceil(share * len(customers))), 1)
    edge = customers["worth"].nlargest(n).min()
    top = customers[(customers["worth"] >= edge) & (customers["worth"] > 0)]
    top = top.sort_values(["worth", "customer_id"], ascending=[False, True])
    place = hash_places(top["customer_id"]) % 10_000
    top = top.assign(arm=np.where(place < holdout_share * 10_000, "holdout", "treat"))
    columns = [
        "customer_id",
        "channel",
        "worth",
        "purchases",
        "purchases_low",
        "purchases_high",
        "p_alive",
        "arm",
    ]
    return top[columns].reset_index(drop=True)


def ltv_decisions(
    cap: pd.DataFrame | None,
    top: pd.DataFrame,
    backtest: LtvBacktest,
    *,
    ratio: float,
    currency: str,
    due_on: str,
    revisit_on: str,
) -> pd.DataFrame:
    """Decision rows: one cap per channel that costs money, the VIP list with its
    hold-out, and the naive model where no other has beaten it.
    """
    days = {"due_on": due_on, "revisit_on": revisit_on}
    rows = []
    for c in () if cap is None else cap[cap["ncac"].notna()].itertuples(index=False):
        over = c.ncac > c.cap
        rows.append(
            {
                "subject_type": "channel",
                "subject": c.channel,
                "action": "lower to cap" if over else "keep under cap",
                "size": c.cap,
                "unit": f"{currency} per new customer",
                "expected_effect": c.headroom,
                "effect_low": c.cap_low - c.ncac,
                "effect_high": c.high / ratio - c.ncac,
                "effect_unit": f"{currency} per new customer below (+) or above (-) the cap",
                "confidence": "high" if (c.cap_low > c.ncac) == (c.cap > c.ncac) else "low",
                "evidence_metric": "ltv_cac",
                "evidence_value": c.ltv_cac,
                "threshold": ratio,
                "owner_role": "marketing head",
                "reason": f"{c.n_customers} customers judged; payback: {c.status}",
                "stop_rule": "payback of two matured cohorts differs from the forecast's interval",
            }
        )
    treated = top[top["arm"] == "treat"]
    rows += (
        []
        if len(treated) == 0
        else [
            {
                "subject_type": "segment",
                "subject": "VIP list",
                "action": "care, with hold-out",
                "size": len(treated),
                "unit": "customers",
                "expected_effect": treated["worth"].sum(),
                "effect_unit": f"{currency} of {backtest.basis} at stake",
                "confidence": "low" if backtest.caveat else "medium",
                "evidence_metric": "ltv_h",
                "evidence_value": top["worth"].mean(),
                "owner_role": "CRM manager",
                "reason": f"worth most to {backtest.model}; {len(top) - len(treated)} held out",
                "stop_rule": "no difference to the hold-out",
            }
        ]
    )
    if backtest.caveat or backtest.verdict["is_naive"].iloc[0]:
        rows.append(
            {
                "subject_type": "data",
                "subject": "forecast of value",
                "action": "use the baseline",
                "owner_role": "finance",
                "reason": backtest.caveat or "no model beats the naive one here",
                "stop_rule": "a model beats the baseline over three months",
            }
        )
    return pd.DataFrame(rows).assign(**days)


def ltv_predictions(
    backtest: LtvBacktest, forecast: CustomerForecast, *, as_of: Any, level: float = 0.8
) -> pd.DataFrame:
    """What this month says about the next 28, 56 and 91 days of today's known
    customers, to be scored when they end: one row per horizon: metric, subject,
    horizon, due_on, point, low, high, level, naive (every one keeps the rate so far),
    model. Limits are missing until calibrated.
    """
    customers, rows = forecast.customers, []
    rate = float(
        (customers["x"] / customers["T"].clip(lower=1)).mean() * customers["each"].mean()
    ) * len(customers)
    for days, worth in forecast.soon.items():
        point = pd.DataFrame(
            {
                "model": [backtest.model],
                "measure": "money",
                "kind": "total",
                "subject": "all",
                "point": worth,
                "unit": max(float(customers["each"].mean()), 1e-9),
            }
        )
        band = longest_intervals(point, backtest, days, as_of, level).iloc[0]
        rows.append(
            {
                "metric": f"known_customer_{backtest.basis}",
                "subject": "all",
                "horizon": f"{days} days",
                "due_on": (pd.Timestamp(as_of) + pd.Timedelta(days=days)).date(),
                "point": band["mid"],
                "low": band["low"],
                "high": band["high"],
                "level": level,
                "naive": rate * days,
                "model": backtest.model,
            }
        )
        rows[-1]["point"] = worth if pd.isna(band["mid"]) else band["mid"]
    return pd.DataFrame(rows)


def ltv_headline(
    customer_days: Any, traits: Any, *, as_of: Any, basis: str, months: int = 3, shown: int = 25
) -> pd.DataFrame:
    """Monthly series for the scorecard: ltv_h at `months` of age by month won: metric,
    month, amount (per customer), low, high (95 % of the mean), n, status (`partial`
    while any customer of the month is younger, then missing).
    """
    t = expression(customer_days).mutate(margin=_[basis])
    curve = margin_curve(t, traits, as_of=as_of, max_months=months)
    last = (
        curve[curve["k"] == months - 1]
        .groupby("cohort")
        .agg(
            n=("n", "sum"),
            margin=("margin", "sum"),
            square=("square", "sum"),
            done=("is_complete", "all"),
        )
    )
    mean = (last["margin"] / last["n"]).where(last["done"])
    error = 1.96 * np.sqrt(np.maximum(last["square"] / last["n"] - mean**2, 0) / last["n"])
    out = pd.DataFrame(
        {
            "metric": "ltv_h",
            "month": last.index,
            "amount": mean,
            "low": mean - error,
            "high": mean + error,
            "n": last["n"],
            "status": np.where(last["done"], "complete", "partial"),
        }
    )
    return out.tail(shown).reset_index(drop=True)
