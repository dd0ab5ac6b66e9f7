"""What the playbook would decide next month: chapters 03, 06, 07 and 10 on what the
shop sees, never on its truth.

Each area is a function of an opened store and gives one key of `Shop.advance`. Where a
chapter decides nothing (hold, keep, no effect shown), the key or the entry is left out
and the shop goes on as before; a channel the chapter holds keeps the money it has.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, DateOffset, Series, Timedelta, Timestamp

from playbook.chapters.assortment_pricing import pricing
from playbook.chapters.channel_roi import (
    channels,
    combined,
    decisions,
    geo_tests,
    media_days,
    media_model,
    media_plan,
)
from playbook.chapters.channel_roi.media_model import MediaModel
from playbook.chapters.channel_roi.media_of_shop import one_estimate
from playbook.chapters.channel_roi.media_plan import BudgetPlan
from playbook.chapters.inventory_planning import inventory
from playbook.chapters.ltv_modelling import ltv
from playbook.chapters.segmentation import campaigns, segments
from playbook.demo.make import write_folder
from playbook.demo.shop import Shop
from playbook.errors import PlaybookError
from playbook.measures import acquisition
from playbook.measures.ad_spend import read_extract
from playbook.measures.price_moves import price_gap
from playbook.messages import read_yaml
from playbook.store import Store
from playbook.store.open import open_folder
from playbook.training.reading import channel_months, demand, held_stock, sku_year

#: what the four chapters read; the other tables only cost time
NEEDED = read_yaml(Path(__file__).with_name("game.yaml"))["tables"]
#: levels stand until the next month's look
STANDS_WEEKS = 4
#: fewer steps of the fit than the notebook takes: seconds count here
FIT_STEPS = 400
LARGEST_BUDGET_STEP, LARGEST_BUDGET_CUT = 0.2, 0.5
REVIEW_DAYS = 7
#: customers asked within these days are left alone
REST_DAYS = 60
COUPON_DAYS = 30
DEEPEST_COUPON = 0.5


def playbook_decisions(shop: Shop, *, areas: Sequence[str] | None = None) -> dict[str, Any]:
    """The playbook's decisions for the month after `shop.month`, in the shape
    `Shop.advance` takes.

    `areas` are names of AREAS (default all). Reads the tables the shop sees tonight.
    PlaybookError for another area.
    """
    wanted = set(AREAS if areas is None else areas)
    unknown = sorted(wanted - set(AREAS))
    if unknown:
        raise PlaybookError("training.no_area", area=unknown[0], known=", ".join(AREAS))
    with open_shop(shop) as store:
        made = {area: decide(store) for area, decide in AREAS.items() if area in wanted}
    return {area: decided for area, decided in made.items() if decided}


@contextmanager
def open_shop(shop: Shop) -> Iterator[Store]:
    """The shop's tables of tonight as an opened store, in a folder that is gone
    afterwards. The simulator wrote these tables: they are not checked.
    """
    with tempfile.TemporaryDirectory(prefix="playbook-game-") as scratch:
        folder = Path(scratch) / "shop"
        folder.mkdir()
        tables = {name: rows for name, rows in shop.tables.items() if name in NEEDED}
        write_folder(folder, shop._sim.world, shop._sim.day - 1, tables)
        with _cache(Path(scratch) / "cache"):
            yield open_folder(folder, None, None)


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


def budget_plan(store: Store) -> tuple[MediaModel | None, BudgetPlan | None]:
    """Chapter 03's fitted response and the plan from it; (None, None) where margin or
    spend are not known or nothing can be told apart.
    """
    if not store.has("ad_spend"):
        return None, None
    log = {"refunds": store.booked_refunds, "as_of": store.as_of}
    spend = read_extract(store.ad_spend, as_of=store.as_of)
    tests = None
    if store.has("geo_tests"):
        tests = geo_tests.geo_readings(
            store.sales_orders, geo_tests=store.geo_tests, ad_spend=store.ad_spend, **log
        )
    weeks, basis = media_days.media_frame(
        store.sales_orders,
        spend=spend,
        channels=channels.budget_channels(spend, store.get("channels")),
        promotions=store.get("promotions"),
        **log,
    )
    evidence = geo_tests.geo_evidence(tests, weeks)
    model = media_model.fit_media(weeks, tests=evidence, steps=FIT_STEPS)
    if basis != "margin" or model.fit is None:
        return None, None
    steps = {"largest_step": LARGEST_BUDGET_STEP, "largest_cut": LARGEST_BUDGET_CUT}
    both = one_estimate(store, spend, media_plan.response_table(model))
    return model, media_plan.plan_budget(model, combined=both, **steps)


def budgets(store: Store) -> dict[str, float]:
    """Chapter 03: EUR of next month by channel. Raised, lowered and paused as its
    decisions say; held channels keep what they spend now.
    """
    model, plan = budget_plan(store)
    if plan is None:
        return {}
    as_of = store.as_of
    months = channel_months(store)
    shares = acquisition.caused_shares(store)
    first_orders = ltv.first_orders(store.sales_orders)
    paid_back = ltv.payback(
        store.customer_days,
        first_orders,
        store.ad_spend,
        as_of=as_of,
        recent=acquisition.recent_cost(months, shares=shares),
    )
    pnl = channels.channel_pnl(months, payback=paid_back, shares=shares)
    response = media_plan.response_table(model)
    both = combined.combined(pnl, response)
    findings = decisions.Findings(plan, pnl, months, response, combined=both)
    rows = decisions.channel_decisions(findings, as_of=as_of, currency=store.currency)
    table = plan.table.set_index("channel")
    money = {}
    for row in rows.itertuples():
        column = "plan" if row.action in ("raise", "lower") else "now"
        planned = round(float(table.loc[row.subject, column]), 2)
        money[str(row.subject)] = 0.0 if row.action == "pause" else planned
    return money


def stock_plan(store: Store) -> DataFrame | None:
    """Chapter 07's order table, weighing what stock costs against what a lost sale
    costs, for demand around the middle of the weeks the levels stand; None without
    stock or cost rates.
    """
    if not (store.has("stock") and store.has("cost_rates")):
        return None
    panel, law = demand(store)
    held = held_stock(store)
    law = replace(law, next_week=int((law.next_week + STANDS_WEEKS // 2) % 52))
    policy = inventory.order_policy(store.cost_rates, held, aim_by="cost", review_days=REVIEW_DAYS)
    return inventory.reorder(
        panel,
        law,
        held,
        as_of=store.as_of,
        classes=inventory.classes(panel, law),
        policy=policy,
    ).orders


def order_levels(store: Store) -> dict[str, tuple[int, int]]:
    """Chapter 07: (reorder at, order up to) by sku, to be looked at every Monday of the
    month.
    """
    orders = stock_plan(store)
    if orders is None:
        return {}
    orders = orders[np.isfinite(orders.rop) & np.isfinite(orders.up_to)]
    point = np.maximum(np.ceil(orders.rop) - 1, 0).astype(int)
    top = np.maximum(np.ceil(orders.up_to), point + 1).astype(int)
    levels = zip(point.tolist(), top.tolist(), strict=True)
    return dict(zip(orders.sku.astype(str), levels, strict=True))


def price_moves(store: Store) -> DataFrame:
    """Chapter 10's price list: every sku with its corridor, plan, gain and why it moves
    or not.
    """
    panel, _ = demand(store)
    posted = store.get("prices")
    lines, gap = store.sales_lines, None
    if posted is not None:
        lines, gap = None, price_gap(posted, as_of=store.as_of)
    elasticities = pricing.elasticities(panel, prices=posted, sales_lines=lines)
    return pricing.price_list(elasticities, sku_year(store), competitor=gap)


def prices(store: Store) -> dict[str, float]:
    """Chapter 10: the new price of every sku that moves inside its corridor; the others
    keep theirs.
    """
    if not store.has("products.unit_cost"):
        return {}
    moves = price_moves(store)
    moves = moves[moves.action != "keep"]
    return dict(zip(moves.sku.astype(str), moves.plan.astype(float).round(2), strict=True))


def treatments(store: Store) -> list[dict]:
    """Chapter 06: campaigns of the last year whose own hold-out says that they paid (80
    % interval above 0), once more to the segment they reached most, again with their
    hold-out. None where no campaign has shown that it pays.
    """
    may_ask = store.has("treatments") and store.has("customers.is_contactable")
    if not may_ask or store.margin_basis == "revenue":
        return []
    as_of = Timestamp(store.as_of)
    returns = campaigns.campaign_returns(store.treatments, store.customer_days, as_of=as_of)
    is_recent = returns.assigned_on > as_of - DateOffset(years=1)
    paying = _pooled(returns[(returns.status == "complete") & is_recent])
    if paying.empty:
        return []
    asked = store.treatments.to_pandas()
    free = _free_customers(store, asked)
    rows, taken = [], set()
    ranked = paying.sort_values(["net", "treatment_id"], ascending=[False, True])
    for campaign in ranked.itertuples():
        mine = asked[asked.treatment_id == campaign.treatment_id]
        segment = _segments(store, campaign.assigned_on)
        reached = segment[segment.index.isin(mine.customer_id)].mode()
        is_chosen = free.isin(reached[:1]) & ~free.index.isin(taken)
        chosen = sorted(free.index[is_chosen])
        if chosen:
            taken |= set(chosen)
            rows.append(_treatment(store, campaign, mine, chosen))
    return rows


def _segments(store: Store, day: Any) -> Series:
    """Customer -> value segment on a day."""
    people = segments.rfm(store.customer_days, as_of=day, basis="margin").customers
    return people.set_index("customer_id").segment


def _free_customers(store: Store, asked: DataFrame) -> Series:
    """Customer -> value segment now, of those who may be asked and were not of late."""
    since = Timestamp(store.as_of) - Timedelta(days=REST_DAYS)
    asked_on = pd.to_datetime(asked.assigned_at).dt.tz_localize(None)
    people = store.customers.to_pandas()
    is_contactable = people.is_contactable.astype("boolean").fillna(False)
    contactable = set(people.customer_id[is_contactable])
    segment = _segments(store, Timestamp(store.as_of))
    allowed = contactable - set(asked.customer_id[asked_on > since])
    return segment[segment.index.isin(allowed)]


def _treatment(
    store: Store, campaign: Any, asked: DataFrame, customers: list[str]
) -> dict[str, Any]:
    """The campaign once more, in the shape `Shop.advance` takes."""
    starts = Timestamp(store.as_of) + Timedelta(days=1)
    n_asked = campaign.n_holdout + campaign.n_treated
    return {
        "treatment_id": f"{campaign.kind}-{starts:%Y-%m}",
        "customers": customers,
        "cost": round(float(np.nan_to_num(campaign.cost)), 2),
        "depth_share": _depth(store, asked, campaign.assigned_on),
        "holdout_share": round(campaign.n_holdout / n_asked, 2),
    }


def _pooled(returns: DataFrame) -> DataFrame:
    """The last campaign of every kind (its name without the month) whose hold-outs
    together show that it pays, with the pooled net per customer: campaigns weigh by the
    inverse of their variance.
    """
    returns = returns[np.isfinite(returns.low)]
    kind = returns.treatment_id.str.replace(r"-\d{4}-\d{2}$", "", regex=True)
    weight = 1 / (returns.high - returns.low).clip(lower=1e-6) ** 2
    total = weight.groupby(kind).sum()
    net = (returns.net * weight).groupby(kind).sum() / total
    reach = 0.5 / np.sqrt(total)
    last = returns.assign(kind=kind, net=kind.map(net)).groupby("kind").tail(1)
    return last[last.kind.map(net - reach > 0).astype(bool)]


def _depth(store: Store, asked: DataFrame, since: Timestamp) -> float:
    """Discount a campaign's buyers took with the coupon they used most, as a share of
    the goods; 0 without a coupon.
    """
    orders = store.orders.filter(store.orders.coupon.notnull()).to_pandas()
    day = pd.to_datetime(orders.ordered_on)
    is_theirs = orders.customer_id.isin(asked.customer_id[asked.arm == "treated"])
    is_in_time = (day >= since) & (day < since + Timedelta(days=COUPON_DAYS))
    own = orders[is_theirs & is_in_time]
    if own.empty:
        return 0.0
    own = own[own.coupon == own.coupon.mode().iloc[0]]
    goods = max(own.gross.astype(float).sum(), 1e-9)
    share = round(float(own.discount.astype(float).sum() / goods), 2)
    return float(np.clip(share, 0.0, DEEPEST_COUPON))


AREAS: dict[str, Callable[[Store], Any]] = {
    "budgets": budgets,
    "treatments": treatments,
    "order_levels": order_levels,
    "prices": prices,
}
