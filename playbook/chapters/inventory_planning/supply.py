"""What a shop holds, has on order and can buy, and how its suppliers have kept their
word.

Lead times are the shop's own receipts: mean, spread and every single one, to draw from.
On time in full counts an order line that came by the promised day (the stated lead time
where none was promised) with all its units; defects are a figure of their own. The
interval is Wilson's (1927).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from playbook.measures.demand_panel import ISSUES
from playbook.methods.proportions import wilson
from playbook.store import expression

__all__ = ["Supply", "supply", "lead_draws"]

RECENT_MONTHS = 24  # receipts older than this say little about a supplier now
STALE_DAYS = 35  # a stock figure older than five weeks is not the stock of today
PRODUCT_TERMS = {
    "supplier_id": None,
    "unit_cost": np.nan,
    "list_price": np.nan,
    "lead_time_days": np.nan,
    "min_order_units": np.nan,
    "pack_units": np.nan,
    "is_active": None,
    "launched_on": None,
}


@dataclass(frozen=True)
class Supply:
    """What the shop holds, has on order and can buy.

    `goods`: one row per sku with a stock or product record: on_hand, available,
    incoming, incoming_days, unit_cost, supplier_id, lead_days (mean), lead_sd,
    last_received_on, pack_units, min_order_units, yield_share. `suppliers`: one row per
    supplier with a receipt: n_orders, n_lines, lines_per_order, lead_mean, lead_sd,
    lead_p90, lead_cv, otif_share, low, high, n_judged, late_days, short_share,
    defect_share, yield_share, n_open, n_overdue (open past the promised day). `leads`:
    supplier_id, lead_days of every receipt used. `issues`: sku, problem, n,
    consequence.
    """

    goods: pd.DataFrame
    suppliers: pd.DataFrame
    leads: pd.DataFrame
    issues: pd.DataFrame


def supply(
    stock: Any,
    *,
    as_of: dt.date,
    products: Any = None,
    purchase_orders: Any = None,
    overdue_after: float = 2.0,
) -> Supply:
    """Stock, pipeline and suppliers as of a day; `stock`, `products`, `purchase_orders`
    are contract tables or None.

    Named and set aside: negative stock (the sku is not planned), receipts before their
    order (the row is left out), lead times of 0 days without a receipt that shows it,
    orders open for more than `overdue_after` times the supplier's 90th percentile (not
    counted as incoming).
    """
    issues: list[tuple] = []
    empty = pd.DataFrame(columns=["sku", "counted_on", "on_hand", "available"])
    held = _latest_stock(stock, as_of) if stock is not None else empty
    bad = held["on_hand"].fillna(0) < 0
    issues += [
        (s, "negative stock", 1, "not planned until counted") for s in sorted(held.loc[bad, "sku"])
    ]
    oldest = pd.Timestamp(as_of) - pd.Timedelta(days=STALE_DAYS)
    stale = held["counted_on"] < oldest if len(held) else bad
    issues += [
        (s, "stock not counted for weeks", 1, "not planned") for s in sorted(held.loc[stale, "sku"])
    ]
    held.loc[stale, ["on_hand", "available"]] = np.nan
    goods = _product_terms(products).merge(held[~bad], on="sku", how="outer")
    goods = goods[~goods["sku"].isin(held.loc[bad, "sku"])]
    orders = _purchase_rows(purchase_orders, as_of)
    early = orders["received_on"].notna() & (orders["received_on"] < orders["ordered_on"])
    issues += [
        (s, "received before it was ordered", int(n), "left out of lead times")
        for s, n in orders[early].groupby("sku").size().items()
    ]
    orders = orders[~early].reset_index(drop=True)
    orders["lead_days"] = (orders["received_on"] - orders["ordered_on"]).dt.days.astype(float)
    stated = goods.set_index("sku")["lead_time_days"].astype(float)
    table = _scorecard(orders, as_of, overdue_after, stated)
    recent = orders["received_on"] >= pd.Timestamp(as_of) - pd.DateOffset(months=RECENT_MONTHS)
    leads = orders.loc[recent, ["supplier_id", "lead_days"]].reset_index(drop=True)
    last = orders.sort_values(["sku", "ordered_on", "po_id"]).groupby("sku").last()
    known = set(goods["sku"]) | (set(orders["sku"]) - set(held.loc[bad, "sku"]))
    goods = goods.set_index("sku").reindex(sorted(known))
    goods["supplier_id"] = (
        goods["supplier_id"].astype(object).fillna(last["supplier_id"].reindex(goods.index))
    )
    goods["unit_cost"] = (
        last["unit_cost"].reindex(goods.index).astype(float).fillna(goods["unit_cost"])
    )
    by = table.set_index("supplier_id")
    for column, source in (
        ("lead_days", "lead_mean"),
        ("lead_sd", "lead_sd"),
        ("yield_share", "yield_share"),
    ):
        goods[column] = (
            by[source].reindex(goods["supplier_id"]).to_numpy(float) if len(by) else np.nan
        )
    stated = goods["lead_time_days"].astype(float)
    zero = goods["lead_days"].isna() & (stated <= 0)
    issues += [
        (s, "lead time of 0 days", 1, "not planned: no receipt shows it") for s in goods.index[zero]
    ]
    goods["lead_days"] = goods["lead_days"].fillna(stated.where(stated > 0))
    goods["lead_sd"] = (
        goods["lead_sd"]
        .fillna(goods["lead_days"] * (by["lead_sd"] / by["lead_mean"]).median() if len(by) else 0.0)
        .fillna(0.0)
    )
    goods["last_received_on"] = orders.groupby("sku")["received_on"].max().reindex(goods.index)
    goods["yield_share"] = goods["yield_share"].fillna(1.0)
    waiting = orders[orders["lead_days"].isna() & ~orders["is_overdue"]]
    lost = orders[orders["lead_days"].isna() & orders["is_overdue"]]
    issues += [
        (s, "order overdue beyond belief", int(n), "not counted as incoming")
        for s, n in lost.groupby("sku").size().items()
    ]
    due = (waiting["ordered_on"] - pd.Timestamp(as_of)).dt.days + by["lead_mean"].reindex(
        waiting["supplier_id"]
    ).to_numpy(float)
    waiting = waiting.assign(due=np.fmax(due, 2.0) * waiting["n_ordered"])
    sums = waiting.groupby("sku")[["n_ordered", "due"]].sum().reindex(goods.index).fillna(0.0)
    goods["incoming"], goods["incoming_days"] = (
        sums["n_ordered"],
        (sums["due"] / sums["n_ordered"]).fillna(0.0),
    )
    return Supply(
        goods.rename_axis("sku").reset_index(), table, leads, pd.DataFrame(issues, columns=ISSUES)
    )


def lead_draws(goods: pd.DataFrame, leads: pd.DataFrame, n_draws: int, seed: int) -> np.ndarray:
    """Lead times in days, (sku, draw): the supplier's own receipts resampled; a gamma
    law where it has under eight.
    """
    rng = np.random.default_rng(seed)
    mean, sd = (
        goods["lead_days"].to_numpy(float),
        np.maximum(goods["lead_sd"].to_numpy(float), 1e-3),
    )
    shape = np.clip((mean / sd) ** 2, 0.3, 1e6)[:, None]
    drawn = rng.standard_gamma(shape, (len(goods), n_draws)) * (mean[:, None] / shape)
    for name, own in leads.sort_values(["supplier_id", "lead_days"]).groupby("supplier_id")[
        "lead_days"
    ]:
        rows = np.flatnonzero((goods["supplier_id"] == name).to_numpy(bool))
        if len(own) >= 8 and len(rows):
            drawn[rows] = rng.choice(own.to_numpy(), (len(rows), n_draws))
    return drawn


def _latest_stock(stock: Any, as_of: dt.date) -> pd.DataFrame:
    """Closing position of each sku on its last day, over all locations; free units
    where the export has them.
    """
    t = expression(stock)
    t = t.mutate(day_on=t.day_on.cast("date"))
    t = t.filter(t.day_on <= as_of)
    columns = [
        c
        for c in ("sku", "day_on", "on_hand", "available", "committed", "unsellable")
        if c in t.columns
    ]
    t = t.select(*columns)
    last = t.group_by("sku").aggregate(last_on=t.day_on.max())
    t = t.inner_join(last, [t.sku == last.sku, t.day_on == last.last_on])
    sums = {c: t[c].sum().cast("float64") for c in columns[2:]}
    held = (
        t.group_by("sku").aggregate(counted_on=t.day_on.max(), **sums).order_by("sku").to_pandas()
    )
    free = held["on_hand"] - sum(
        held[c].fillna(0) for c in ("committed", "unsellable") if c in held
    )
    held["available"] = held["available"].fillna(free) if "available" in held else free
    held["available"] = held["available"].clip(lower=0)
    return held[["sku", "counted_on", "on_hand", "available"]]


def _product_terms(products: Any) -> pd.DataFrame:
    if products is None:
        return pd.DataFrame(
            {"sku": pd.Series(dtype=object)} | {c: pd.Series(dtype=object) for c in PRODUCT_TERMS}
        )
    t = expression(products)
    found = (
        t.select("sku", *[c for c in PRODUCT_TERMS if c in t.columns]).order_by("sku").to_pandas()
    )
    found = found.drop_duplicates("sku")
    for column, empty in PRODUCT_TERMS.items():
        if column not in found:
            found[column] = empty
        elif column not in ("supplier_id", "is_active", "launched_on"):
            found[column] = pd.to_numeric(found[column], errors="coerce").astype(float)
    return found


def _purchase_rows(purchase_orders: Any, as_of: dt.date) -> pd.DataFrame:
    columns = [
        "po_id",
        "sku",
        "supplier_id",
        "ordered_on",
        "promised_on",
        "received_on",
        "n_ordered",
        "n_received",
        "n_defective",
        "unit_cost",
    ]
    if purchase_orders is None:
        found = pd.DataFrame({c: pd.Series(dtype=object) for c in columns})
    else:
        t = expression(purchase_orders)
        t = t.filter(t.ordered_on.cast("date") <= as_of).select(
            *[c for c in columns if c in t.columns]
        )
        found = (
            t.to_pandas().reindex(columns=columns).sort_values(["po_id", "sku"], ignore_index=True)
        )
    for column in ("ordered_on", "promised_on", "received_on"):
        found[column] = pd.to_datetime(found[column])
    for column in ("n_ordered", "n_received", "n_defective", "unit_cost"):
        found[column] = pd.to_numeric(found[column], errors="coerce").astype(float)
    found.loc[
        found["received_on"] > pd.Timestamp(as_of), ["received_on", "n_received", "n_defective"]
    ] = None
    found["supplier_id"] = (
        found["supplier_id"].astype(object).where(found["supplier_id"].notna(), "unknown")
    )
    return found


def _scorecard(
    orders: pd.DataFrame, as_of: dt.date, overdue_after: float, stated: pd.Series
) -> pd.DataFrame:
    """One row per supplier; also marks in `orders` the lines that are overdue beyond
    belief.
    """
    since = pd.Timestamp(as_of) - pd.DateOffset(months=RECENT_MONTHS)
    done = orders[orders["lead_days"].notna() & (orders["received_on"] >= since)]
    whole = done["n_received"].fillna(done["n_ordered"]) >= done["n_ordered"]
    promised = orders["promised_on"].fillna(
        orders["ordered_on"] + pd.to_timedelta(orders["sku"].map(stated), unit="D")
    )
    overdue = orders["received_on"].isna() & (promised < pd.Timestamp(as_of))
    promised = promised[done.index]
    good = (whole & (done["received_on"] <= promised)).where(promised.notna())
    usable = done["n_received"].fillna(done["n_ordered"]) - done["n_defective"].fillna(0)
    done = done.assign(
        good=good.astype(float),
        usable=usable,
        arrived=done["n_received"].fillna(done["n_ordered"]),
        bad=done["n_defective"].fillna(0),
        late=(done["received_on"] - promised).dt.days.clip(lower=0),
    )
    table = done.groupby("supplier_id").agg(
        n_orders=("po_id", "nunique"),
        n_lines=("sku", "size"),
        lead_mean=("lead_days", "mean"),
        lead_sd=("lead_days", "std"),
        lead_p90=("lead_days", lambda d: d.quantile(0.9)),
        otif_share=("good", "mean"),
        n_good=("good", "sum"),
        n_judged=("good", "count"),
        late_days=("late", "mean"),
        asked=("n_ordered", "sum"),
        arrived=("arrived", "sum"),
        usable=("usable", "sum"),
        bad=("bad", "sum"),
    )
    table["low"], table["high"] = wilson(table["n_good"], table["n_judged"])
    table["lines_per_order"] = table["n_lines"] / table["n_orders"]
    table["lead_cv"] = table["lead_sd"] / table["lead_mean"].where(table["lead_mean"] > 0)
    table["short_share"] = 1 - (table["arrived"] / table["asked"]).clip(upper=1)
    table["defect_share"] = table["bad"] / table["arrived"].where(table["arrived"] > 0)
    table["yield_share"] = (table["usable"] / table["asked"]).clip(0.3, 1)
    waiting = orders[orders["received_on"].isna()]
    limit = waiting["supplier_id"].map(table["lead_p90"] * overdue_after).fillna(365)
    stale = (pd.Timestamp(as_of) - waiting["ordered_on"]).dt.days > np.maximum(limit, 30)
    orders["is_overdue"] = False
    orders.loc[waiting.index[stale], "is_overdue"] = True
    table["n_open"] = waiting.groupby("supplier_id").size()
    table["n_overdue"] = orders[overdue].groupby("supplier_id").size()
    table[["n_open", "n_overdue"]] = table[["n_open", "n_overdue"]].fillna(0).astype(int)
    return (
        table.drop(columns=["asked", "arrived", "usable", "bad", "n_good"])
        .sort_index()
        .reset_index()
    )
