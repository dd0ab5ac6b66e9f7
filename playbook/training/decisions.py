"""What the playbook would decide next month: chapters 03, 06, 07 and 10 on what the
shop sees, never on its truth.

Each area is a function of an opened store and gives one key of `Shop.advance`. Where a
chapter decides nothing (hold, keep, no effect shown), the key or the entry is left out
and the shop goes on as before; a channel the chapter holds keeps the money it has.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.assortment_pricing import assortment
from playbook.chapters.channel_roi import channels
from playbook.chapters.inventory_planning import inventory
from playbook.chapters.inventory_planning.supply import supply
from playbook.chapters.ltv_modelling import ltv
from playbook.chapters.segmentation import segments
from playbook.demo.make import write_folder
from playbook.demo.shop import Shop
from playbook.errors import PlaybookError
from playbook.measures.demand_panel import demand_law, demand_panel
from playbook.store.open import (
    _open_folder,  # without the contract's checks: the simulator wrote these tables
)

__all__ = [
    "AREAS",
    "budget_plan",
    "budgets",
    "open_shop",
    "order_levels",
    "playbook_decisions",
    "price_moves",
    "prices",
    "stock_plan",
    "treatments",
]

NEEDED = (  # what the four chapters read; the other tables only cost time
    "orders",
    "order_lines",
    "refunds",
    "customers",
    "products",
    "stock",
    "purchase_orders",
    "ad_spend",
    "channels",
    "geo_tests",
    "promotions",
    "prices",
    "cost_rates",
    "treatments",
)
STANDS_WEEKS = 4  # levels stand until the next month's look


def playbook_decisions(shop: Shop, *, areas: Sequence[str] | None = None) -> dict[str, Any]:
    """The playbook's decisions for the month after `shop.month`, in the shape
    `Shop.advance` takes.

    `areas` are names of AREAS (default all). Reads the tables the shop sees tonight.
    PlaybookError for another area.
    """
    wanted = tuple(AREAS if areas is None else areas)
    unknown = sorted(set(wanted) - set(AREAS))
    if unknown:
        raise PlaybookError(
            f"The playbook decides nothing about {unknown[0]!r}",
            do=f"choose from {', '.join(AREAS)}",
        )
    with open_shop(shop) as seen:
        return {name: value for name in AREAS if name in wanted and (value := AREAS[name](seen))}


@contextmanager
def open_shop(shop: Shop) -> Iterator[Any]:
    """The shop's tables of tonight as an opened store, in a folder that is gone
    afterwards.
    """
    with (
        tempfile.TemporaryDirectory(prefix="playbook-game-") as scratch,
        _cache(Path(scratch) / "cache"),
    ):
        folder = Path(scratch) / "shop"
        folder.mkdir()
        tables = {name: rows for name, rows in shop.tables.items() if name in NEEDED}
        write_folder(folder, shop._sim.world, shop._sim.day - 1, tables)
        yield _open_folder(folder, None, None)


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Derived tables of a passing store go with it."""
    before = os.environ.get("PLAYBOOK_CACHE")
    os.environ["PLAYBOOK_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("PLAYBOOK_CACHE")
        if before is not None:
            os.environ["PLAYBOOK_CACHE"] = before


def budget_plan(shop: Any, *, largest_step: float = 0.2) -> tuple[Any, Any]:
    """Chapter 03's fitted response (fewer steps than the notebook: seconds count here)
    and the plan from it; (None, None) where margin or spend are not known or nothing
    can be told apart.
    """
    if not shop.has("ad_spend"):
        return None, None
    as_of, refunds = shop.as_of, shop.booked_refunds
    spend = channels.spend_log(shop.ad_spend, as_of=as_of)
    tests = None
    if shop.has("geo_tests"):
        tests = channels.geo_readings(
            shop.sales_orders,
            geo_tests=shop.geo_tests,
            ad_spend=shop.ad_spend,
            refunds=refunds,
            as_of=as_of,
        )
    model, basis = channels.channel_response(
        shop.sales_orders,
        spend=spend,
        channels=channels.budget_channels(spend, shop.get("channels")),
        refunds=refunds,
        promotions=shop.get("promotions"),
        readings=tests,
        as_of=as_of,
        steps=400,
    )
    if basis != "margin" or model.fit is None:
        return None, None
    return model, channels.plan_budget(model, largest_step=largest_step)


def budgets(shop: Any) -> dict[str, float]:
    """Chapter 03: EUR of next month by channel. Raised, lowered and paused as its
    decisions say; held channels keep what they spend now.
    """
    model, plan = budget_plan(shop)
    if plan is None:
        return {}
    as_of = shop.as_of
    spend = channels.spend_log(shop.ad_spend, as_of=as_of)
    months = channels.channel_months(
        shop.sales_orders, spend=spend, refunds=shop.booked_refunds, as_of=as_of
    )
    paid_back = ltv.payback(
        shop.customer_days, ltv.first_orders(shop.sales_orders), shop.ad_spend, as_of=as_of
    )
    rows = channels.channel_decisions(
        plan,
        channels.channel_pnl(months, payback=paid_back),
        months,
        channels.response_table(model),
        as_of=as_of,
        currency=shop.currency,
    )
    table, moved = plan.table.set_index("channel"), {"raise": "plan", "lower": "plan"}
    return {
        str(r.subject): 0.0
        if r.action == "pause"
        else round(float(table.loc[r.subject, moved.get(r.action, "now")]), 2)
        for r in rows.itertuples()
    }


def stock_plan(shop: Any, *, review_days: int = 7) -> pd.DataFrame | None:
    """Chapter 07's order table, weighing what stock costs against what a lost sale
    costs, for demand around the middle of the weeks the levels stand; None without
    stock or cost rates.
    """
    if not (shop.has("stock") and shop.has("cost_rates")):
        return None
    panel, law = _demand(shop)
    held = supply(
        shop.stock,
        as_of=shop.as_of,
        products=shop.get("products"),
        purchase_orders=shop.get("purchase_orders"),
    )
    law = replace(law, next_week=int((law.next_week + STANDS_WEEKS // 2) % 52))
    policy = inventory.order_policy(shop.cost_rates, held, aim_by="cost", review_days=review_days)
    return inventory.reorder(
        panel,
        law,
        held,
        as_of=shop.as_of,
        classes=inventory.classes(panel, law),
        policy=policy,
    ).orders


def order_levels(shop: Any) -> dict[str, tuple[int, int]]:
    """Chapter 07: (reorder at, order up to) by sku, to be looked at every Monday of the
    month.
    """
    found = stock_plan(shop)
    if found is None:
        return {}
    known = found[np.isfinite(found.rop) & np.isfinite(found.up_to)]
    point = np.maximum(np.ceil(known.rop) - 1, 0).astype(int)
    top = np.maximum(np.ceil(known.up_to), point + 1).astype(int)
    return {str(s): (int(a), int(b)) for s, a, b in zip(known.sku, point, top, strict=True)}


def price_moves(shop: Any) -> pd.DataFrame:
    """Chapter 10's price list: every sku with its corridor, plan, gain and why it moves
    or not.
    """
    panel, _law = _demand(shop)
    share = assortment.variable_cost_share(shop.sales_orders, as_of=shop.as_of)
    year = assortment.sku_year(
        shop.sales_lines,
        shop.sales_orders,
        as_of=shop.as_of,
        products=shop.get("products"),
        variable_share=share if np.isfinite(share) else 0.0,
    )
    posted = shop.get("prices")
    found = assortment.elasticities(
        panel, prices=posted, sales_lines=None if posted is not None else shop.sales_lines
    )
    gap = assortment.price_gap(posted, as_of=shop.as_of) if posted is not None else None
    return assortment.price_list(found, year, competitor=gap)


def prices(shop: Any) -> dict[str, float]:
    """Chapter 10: the new price of every sku that moves inside its corridor; the others
    keep theirs.
    """
    if not shop.has("products.unit_cost"):
        return {}
    moves = price_moves(shop)
    moves = moves[moves.action != "keep"]
    return {str(s): round(float(p), 2) for s, p in zip(moves.sku, moves.plan, strict=True)}


def treatments(shop: Any, *, rest_days: int = 60) -> list[dict]:
    """Chapter 06: campaigns of the last year whose own hold-out says that they paid (80
    % interval above 0), once more to the segment they reached most, again with their
    hold-out. Customers asked within `rest_days` are left alone. None where no campaign
    has shown that it pays.
    """
    if (
        not (shop.has("treatments") and shop.has("customers.is_contactable"))
        or shop.margin_basis == "revenue"
    ):
        return []
    as_of = pd.Timestamp(shop.as_of)
    found = segments.campaign_returns(shop.treatments, shop.customer_days, as_of=as_of)
    found = _pooled(
        found[(found.status == "complete") & (found.assigned_on > as_of - pd.DateOffset(years=1))]
    )
    if found.empty:
        return []
    now = segments.rfm(shop.customer_days, as_of=as_of, basis="margin").customers
    asked = shop.treatments.to_pandas()
    recent = set(
        asked.customer_id[
            pd.to_datetime(asked.assigned_at).dt.tz_localize(None)
            > as_of - pd.Timedelta(days=rest_days)
        ]
    )
    may = (
        shop.customers.to_pandas()
        .set_index("customer_id")
        .is_contactable.astype("boolean")
        .fillna(False)
    )
    open_to = now[
        now.customer_id.map(may).fillna(False).astype(bool) & ~now.customer_id.isin(recent)
    ]
    rows, taken = [], set()
    for one in found.sort_values(["net", "treatment_id"], ascending=[False, True]).itertuples():
        before = segments.rfm(shop.customer_days, as_of=one.assigned_on, basis="margin").customers
        mine = asked[asked.treatment_id == one.treatment_id]
        reached = before.segment[before.customer_id.isin(mine.customer_id)].mode()
        chosen = open_to[open_to.segment.isin(reached[:1]) & ~open_to.customer_id.isin(taken)]
        if chosen.empty:
            continue
        taken |= set(chosen.customer_id)
        rows.append(
            {
                "treatment_id": f"{one.kind}-{as_of + pd.Timedelta(days=1):%Y-%m}",
                "customers": sorted(chosen.customer_id),
                "cost": round(float(np.nan_to_num(one.cost)), 2),
                "depth_share": _depth(shop, mine, one.assigned_on),
                "holdout_share": round(one.n_holdout / (one.n_holdout + one.n_treated), 2),
            }
        )
    return rows


def _pooled(found: pd.DataFrame) -> pd.DataFrame:
    """The last campaign of every kind (its name without the month) whose hold-outs
    together show that it pays, with the pooled net per customer: campaigns weigh by the
    inverse of their variance.
    """
    found = found[np.isfinite(found.low)].assign(
        kind=lambda t: t.treatment_id.str.replace(r"-\d{4}-\d{2}$", "", regex=True),
        weight=lambda t: 1 / (t.high - t.low).clip(lower=1e-6) ** 2,
    )
    together = found.assign(net=found.net * found.weight).groupby("kind")[["net", "weight"]].sum()
    net = together.net / together.weight
    reach = 0.5 / np.sqrt(together.weight)
    last = found.groupby("kind").tail(1).assign(net=lambda t: t.kind.map(net))
    return last[last.kind.map(net - reach > 0).astype(bool)]


def _depth(shop: Any, asked: pd.DataFrame, since: pd.Timestamp, days: int = 30) -> float:
    """Discount a campaign's buyers took with the coupon they used most, as a share of
    the goods; 0 without a coupon.
    """
    orders = shop.orders.filter(shop.orders.coupon.notnull()).to_pandas()
    day = pd.to_datetime(orders.ordered_on)
    own = orders[
        orders.customer_id.isin(asked.customer_id[asked.arm == "treated"])
        & (day >= since)
        & (day < since + pd.Timedelta(days=days))
    ]
    if own.empty:
        return 0.0
    own = own[own.coupon == own.coupon.mode().iloc[0]]
    share = float(own.discount.astype(float).sum() / max(own.gross.astype(float).sum(), 1e-9))
    return float(np.clip(round(share, 2), 0.0, 0.5))


def _demand(shop: Any) -> tuple[Any, Any]:
    panel = demand_panel(shop.sku_days, as_of=shop.as_of, products=shop.get("products"))
    return panel, demand_law(panel)


AREAS = {
    "budgets": budgets,
    "treatments": treatments,
    "order_levels": order_levels,
    "prices": prices,
}
