"""The business behind the goals: fixed cost, value proposition, four models, product
and service plan.

All of it but the service plan runs before the first order: a model needs a basket and
its assumptions, a proposition somebody to make it to and what hurts them.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.store import expression

__all__ = [
    "monthly_fixed_cost",
    "own_basket",
    "typical_price",
    "order_rates",
    "value_proposition",
    "business_models",
    "model_break_even",
    "product_plan",
    "launch_plan",
    "service_plan",
]

_NEEDED = ("take_share", "stock_held", "cac", "cash_days", "gross_margin_share")

# words of a pain; what answers it; the metric that shows whether it did. The first line that matches counts.
_ANSWERS = tuple(
    tuple(part.strip() for part in line.split("|"))
    for line in """
shipping cost, postage, freight, 运费 | free delivery above a threshold set by the basket | aov
late, deliver, slow, long, where is, parcel, 物流, 发货 | a promised day kept, delays told unasked | late_share
damage, broken, defect, quality, stars, 质量, 破损 | packing and incoming checks on what comes back | return_share
picture, described, mind, size, fit, colour, 描述, 尺寸 | true pictures and sizes on the page | return_share
return, refund, exchange, 退 | returns in one step, money back within days of arrival | refund_share_booked
wrong, missing, incomplete, 少, 错 | a count at the packing table | odr
price, expensive, cheaper, 贵 | a reason for the price on the page: set, refill, care | gm_share
range, choice, stock, 缺 | the missing sizes and colours of what already sells | fill_rate
product, question, advice, use, 咨询 | answers on the page to what buyers ask | first_reply_hours
order, payment, invoice, 发票 | order status and invoice without asking | first_reply_hours
""".strip().splitlines()
)


def monthly_fixed_cost(
    cost_rates: Any, *, as_of: dt.date | str, ad_spend: Any = None, months: int = 3
) -> dict[str, float]:
    """Money a month that does not hang on orders: overhead (the newest
    overhead_per_month in force, scopes summed) and marketing (mean of the newest
    `months` months of ad_spend). Missing where the shop states none.
    """
    day = pd.Timestamp(as_of)
    t = expression(cost_rates)
    t = t.filter(
        (t.kind == "overhead_per_month") & (t.from_on <= ibis.literal(day.date()))
    ).to_pandas()
    t = t.sort_values(["scope", "from_on"]).drop_duplicates("scope", keep="last")
    found = {
        "overhead": float(t["value"].astype(float).sum()) if len(t) else np.nan,
        "marketing": np.nan,
    }
    if ad_spend is not None:
        start = (day + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date()
        a = expression(ad_spend)
        a = a.filter(a.day_on.between(ibis.literal(start), ibis.literal(day.date())))
        spent = a.aggregate(x=a.spend.sum().cast("float64"), n=a.count()).to_pandas().iloc[0]
        found["marketing"] = float(spent["x"]) / months if spent["n"] else np.nan
    return found


def own_basket(sales_orders: Any, *, as_of: dt.date | str, months: int = 12) -> dict[str, float]:
    """Mean order (revenue) and orders per known customer of the newest months; a basket
    of 0 and one order per customer while nothing is known.
    """
    found = {"basket": 0.0, "orders_per_customer": 1.0}
    if sales_orders is None:
        return found
    end = pd.Timestamp(as_of)
    start = (end + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date()
    t = expression(sales_orders)
    t = t.filter(t.ordered_on.between(ibis.literal(start), ibis.literal(end.date())))
    row = (
        t.aggregate(
            basket=t.revenue.cast("float64").mean(),
            known=t.customer_id.count(),
            buyers=t.customer_id.nunique(),
        )
        .to_pandas()
        .iloc[0]
    )
    found["basket"] = float(row["basket"]) if pd.notna(row["basket"]) else 0.0
    found["orders_per_customer"] = row["known"] / row["buyers"] if row["buyers"] else 1.0
    return found


def typical_price(competitors: Any) -> float:
    """The median price competitors ask in the newest month: a basket of one before
    launch. Raises PlaybookError where no competitor is known either.
    """
    t = None if competitors is None else expression(competitors).to_pandas()
    known = (
        pd.Series(dtype=float)
        if t is None
        else t.loc[t["month"] == t["month"].max(), "price"].dropna()
    )
    if known.empty:
        raise PlaybookError(
            "No basket is known: no orders and no competitors' prices",
            table="business_models",
            do="set the parameter basket",
        )
    return float(known.astype(float).median())


def order_rates(cost_rates: Any, *, as_of: dt.date | str) -> dict[str, float]:
    """payment_share, fulfilment (per order) and fixed (overhead a month) in force for
    the whole shop; 0 shares and a missing fixed cost where no rate is stated.
    """
    found = {"payment_share": 0.0, "fulfilment": 0.0, "fixed": np.nan}
    if cost_rates is None:
        return found
    t = expression(cost_rates)
    t = t.filter(
        (t.from_on <= ibis.literal(pd.Timestamp(as_of).date()))
        & (t.scope.fill_null("all") == "all")
    )
    t = (
        t.order_by("kind", "from_on")
        .to_pandas()
        .drop_duplicates("kind", keep="last")
        .set_index("kind")["value"]
    )
    for name, kind in (
        ("payment_share", "payment_share"),
        ("fulfilment", "fulfilment_per_order"),
        ("fixed", "overhead_per_month"),
    ):
        found[name] = float(t[kind]) if kind in t else found[name]
    return found


def value_proposition(
    personas: pd.DataFrame,
    *,
    gaps: pd.DataFrame | None = None,
    concentrated: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Who, their pain, our answer, and what competitors offer: persona, label,
    customers_share, pain, answer, evidence_metric, competitor_answer.

    `personas`: persona, label, customers_share, pain (before launch: one row per
    favourite category of the survey). The answer is looked up by the words of the pain;
    a pain nobody has an answer for says so, it is the next thing to find out. `gaps`
    (category, gap_share: own price against their median) and `concentrated` (category,
    n_sellers, cr5) speak for the competitors, matched on the first category of the
    label.
    """
    rows = []
    for r in personas.itertuples():
        pain = "" if pd.isna(r.pain) else str(r.pain)
        found = next(
            (
                (answer, metric)
                for words, answer, metric in _ANSWERS
                if any(word in pain.lower() for word in words.split(", "))
            ),
            ("not answered yet", ""),
        )
        category = str(r.label).split(" + ")[0]
        theirs = []
        gap = (
            np.nan if gaps is None else gaps.loc[gaps["category"] == category, "gap_share"].median()
        )
        if np.isfinite(gap):
            theirs.append(
                f"our price {abs(gap):.0%} {'above' if gap > 0 else 'below'} theirs on the same skus"
            )
        if concentrated is not None and category in set(concentrated["category"]):
            c = concentrated.set_index("category").loc[category]
            theirs.append(f"{int(c['n_sellers'])} sellers, the top five hold {c['cr5']:.0%}")
        rows.append(
            {
                "persona": r.persona,
                "label": r.label,
                "customers_share": r.customers_share,
                "pain": pain or "none known",
                "answer": found[0] if pain else "ask them: no pain on record",
                "evidence_metric": found[1],
                "competitor_answer": "; ".join(theirs) or "not known",
            }
        )
    return pd.DataFrame(rows)


def business_models(
    assumptions: Any,
    *,
    basket: float,
    payment_share: float = 0.0,
    fulfilment: float = 0.0,
    orders_per_customer: float = 1.0,
    fixed: float = np.nan,
) -> pd.DataFrame:
    """The same basket through each model: model, take_share, stock_held, cac,
    cash_days, gross_margin, platform_take, cm_before_cac, cm_per_order, cm_first_order,
    orders_needed, basket_needed, status; best cm_per_order first.

    `assumptions` (model, kind, value): gross_margin_share and take_share (kept by the
    platform, host or creator) of the basket, cac per new customer, cash_days from
    paying suppliers to being paid, stock_held 1 or 0; payment_share and
    fulfilment_per_order there override the ones given. cm_per_order spreads cac over
    `orders_per_customer`; cm_first_order bears it whole. orders_needed covers `fixed` a
    month; from basket_needed on an order earns. Money is missing, and status names the
    kinds, where an assumption is. Raises PlaybookError for a basket that is not above
    zero or an assumption stated twice.
    """
    if not basket > 0:
        raise PlaybookError(
            "The basket must be above zero",
            table="business_models",
            do="give the price of an order",
        )
    t = expression(assumptions).select("model", "kind", "value").to_pandas()
    twice = t[t.duplicated(["model", "kind"])]
    if len(twice):
        raise PlaybookError(
            f"{twice['model'].iloc[0]} states {twice['kind'].iloc[0]} twice",
            table="business_models",
            column="kind",
            rows=len(twice),
            do="keep one row per model and kind",
        )
    wide = t.pivot(index="model", columns="kind", values="value").astype(float)
    gone = {m: [k for k in _NEEDED if k not in wide or pd.isna(wide.at[m, k])] for m in wide.index}
    out = wide.reindex(columns=list(_NEEDED)).rename_axis(columns=None)
    for name, given in (("payment_share", payment_share), ("fulfilment_per_order", fulfilment)):
        out[name] = (wide[name] if name in wide else pd.Series(np.nan, index=wide.index)).fillna(
            given
        )
    out["gross_margin"], out["platform_take"] = (
        basket * out["gross_margin_share"],
        basket * out["take_share"],
    )
    out["cm_before_cac"] = (
        out["gross_margin"]
        - out["platform_take"]
        - basket * out["payment_share"]
        - out["fulfilment_per_order"]
    )
    out["cm_per_order"] = out["cm_before_cac"] - out["cac"] / max(orders_per_customer, 1.0)
    out["cm_first_order"] = out["cm_before_cac"] - out["cac"]
    out["orders_needed"] = (fixed / out["cm_per_order"]).where(out["cm_per_order"] > 0)
    kept = out["gross_margin_share"] - out["take_share"] - out["payment_share"]
    spent = out["fulfilment_per_order"] + out["cac"] / max(orders_per_customer, 1.0)
    out["basket_needed"] = (spent / kept).where(kept > 0)
    out["status"] = [f"needs {', '.join(gone[m])}" if gone[m] else "complete" for m in out.index]
    columns = [
        "model",
        "take_share",
        "stock_held",
        "cac",
        "cash_days",
        "gross_margin",
        "platform_take",
        "cm_before_cac",
        "cm_per_order",
        "cm_first_order",
        "orders_needed",
        "basket_needed",
        "status",
    ]
    return out.reset_index().sort_values(
        ["cm_per_order", "model"], ascending=[False, True], ignore_index=True
    )[columns]


def model_break_even(models: pd.DataFrame, *, fixed: float) -> pd.DataFrame:
    """Break-even before the first order, from the best model's assumptions: one row in
    the columns of `goals.break_even` that are known, status `assumed` (`never` where
    the basket does not earn).
    """
    best = models.dropna(subset=["cm_per_order"]).head(1)
    return pd.DataFrame(
        {
            "model": best["model"],
            "fixed": fixed,
            "cm_per_order": best["cm_per_order"],
            "orders_needed": best["orders_needed"],
            "basket_needed": best["basket_needed"],
            "n_orders": 0,
            "status": np.where(best["cm_per_order"] > 0, "assumed", "never"),
        }
    )


def launch_plan(concentrated: pd.DataFrame | None, people: pd.DataFrame | None) -> pd.DataFrame:
    """A first range before the first order: category, demand_share (of survey answers),
    market_sales (competitors, mid estimate), hhi, median_price, range_share.
    range_share follows demand (the market's sales without a survey), less where few
    sellers hold the category (times 1 - hhi), and sums to 1.
    """
    t = pd.DataFrame({"category": pd.Series(dtype=str), "hhi": pd.Series(dtype=float)})
    if concentrated is not None:
        t = concentrated[["category", "hhi", "median_price"]].assign(
            market_sales=(concentrated["sales_low"] + concentrated["sales_high"]) / 2
        )
    if people is not None:
        said = people.rename(columns={"label": "category", "customers_share": "demand_share"})
        t = t.merge(said[["category", "demand_share"]], on="category", how="outer")
    t = t.reindex(columns=["category", "demand_share", "market_sales", "hhi", "median_price"])
    pull = (
        t["demand_share"]
        if t["demand_share"].notna().any()
        else t["market_sales"] / t["market_sales"].sum()
    )
    weight = pull.astype(float).fillna(0.0) * (1 - t["hhi"].astype(float).fillna(0.0))
    t["range_share"] = weight / weight.sum() if weight.sum() > 0 else np.nan
    return t.sort_values(["range_share", "category"], ascending=[False, True], ignore_index=True)


def product_plan(
    growth: pd.DataFrame, *, goal_growth: float, verdicts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The goal by category: category, revenue, action, growth, target, change, share;
    the targets sum to the goal.

    A category is expected to keep half of its lead over the shop's growth (all of it
    where the market chapter says enter, none of a positive one where it says exit);
    then all are scaled to the goal, revenue x (1 + goal_growth). Growth that rests on
    few orders counts half, growth not known as the shop's.
    """
    t = growth[["category", "revenue", "revenue_before", "growth", "status"]].copy()
    shop = (
        t["revenue"].sum() / t["revenue_before"].sum() - 1 if t["revenue_before"].sum() > 0 else 0.0
    )
    own = np.select(
        [t["status"] == "complete", t["status"] == "few"],
        [t["growth"], (t["growth"] + shop) / 2],
        shop,
    )
    lead = np.log1p(np.nan_to_num(own.astype(float), nan=shop).clip(-0.9, 3.0)) - np.log1p(
        max(shop, -0.9)
    )
    t["action"] = "hold"
    if verdicts is not None:
        t["action"] = t["category"].map(verdicts.set_index("category")["action"]).fillna("hold")
    kept = np.select(
        [t["action"] == "enter", (t["action"] == "exit") & (lead > 0)], [1.0, 0.0], 0.5
    )
    raw = t["revenue"].to_numpy(float) * np.exp(kept * lead)
    total = t["revenue"].sum() * (1 + goal_growth)
    t["target"] = raw / raw.sum() * total
    t["change"], t["share"] = t["target"] / t["revenue"] - 1, t["target"] / total
    return t.drop(columns=["revenue_before", "status"]).sort_values(
        ["target", "category"], ascending=[False, True], ignore_index=True
    )


def service_plan(
    orders: Any, *, as_of: dt.date | str, tickets: Any = None, refunds: Any = None, months: int = 3
) -> pd.DataFrame:
    """What the shop can promise and how it does: promise, metric, now, n, can_promise,
    owner_role, status.

    Delivery: days from order to arrival that nine in ten orders of the newest `months`
    months met, and the share later than promised (overdue counts). Service: median
    hours to first reply of answered cases. Returns: median days from order to refund. A
    promise that cannot be measured is `unobserved`.
    """
    as_of = pd.Timestamp(as_of)
    start = ibis.literal((as_of + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date())
    t = expression(orders)
    t = t.filter((t.ordered_on >= start) & t.status.isin(["paid", "shipped", "done", "refunded"]))
    rows = []
    if {"delivered_at", "ordered_at"} <= set(t.columns):
        took = t.filter(t.delivered_at.notnull()).mutate(
            d=t.delivered_at.delta(t.ordered_at, unit="hour") / 24.0
        )
        n, p90 = (
            took.aggregate(n=_.count(), p=_.d.cast("float64").quantile(0.9)).to_pandas().iloc[0]
        )
        rows.append(
            (
                "delivered within, nine in ten (days)",
                "late_share",
                p90,
                n,
                np.ceil(p90) if n else np.nan,
                "supply-chain head",
            )
        )
    if {"delivered_at", "promised_at"} <= set(t.columns):
        due = t.filter(
            t.promised_at.notnull() & (t.promised_at.cast("date") <= ibis.literal(as_of.date()))
        )
        late = due.delivered_at.isnull() | (due.delivered_at > due.promised_at)
        n, share = due.aggregate(n=_.count(), share=late.cast("float64").mean()).to_pandas().iloc[0]
        rows.append(("late or overdue (share)", "late_share", share, n, share, "supply-chain head"))
    if tickets is not None:
        k = expression(tickets)
        k = k.filter((k.opened_at.cast("date") >= start) & k.first_reply_at.notnull())
        k = k.mutate(h=k.first_reply_at.delta(k.opened_at, unit="minute") / 60.0)
        n, mid, p90 = (
            k.aggregate(
                n=_.count(), m=_.h.cast("float64").median(), p=_.h.cast("float64").quantile(0.9)
            )
            .to_pandas()
            .iloc[0]
        )
        rows.append(
            (
                "first reply (median hours)",
                "first_reply_hours",
                mid,
                n,
                np.ceil(p90) if n else np.nan,
                "customer-service lead",
            )
        )
    if refunds is not None:
        r = expression(refunds)
        r = r.filter((r.refunded_on >= start) & r.ordered_on.notnull())
        r = r.mutate(d=r.refunded_on.delta(r.ordered_on, unit="day"))
        n, mid = r.aggregate(n=_.count(), m=_.d.cast("float64").median()).to_pandas().iloc[0]
        rows.append(
            (
                "order to refund (median days)",
                "refund_share_booked",
                mid,
                n,
                mid,
                "customer-service lead",
            )
        )
    out = pd.DataFrame(rows, columns=["promise", "metric", "now", "n", "can_promise", "owner_role"])
    out["n"] = out["n"].astype("int64")
    return out.assign(status=np.where(out["n"] > 0, "complete", "unobserved"))
