"""What the exercises and the game read of a shop, as the chapters do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.assortment_pricing import assortment
from playbook.chapters.channel_roi import channels
from playbook.chapters.inventory_planning.supply import Supply, supply
from playbook.measures.ad_spend import read_extract
from playbook.measures.demand_panel import DemandLaw, DemandPanel, demand_law, demand_panel
from playbook.measures.metrics import monthly_sales
from playbook.messages import read_yaml
from playbook.store import Store
from playbook.tables import frame_of


def made_up(name: str) -> DataFrame:
    """The table `name` of `made_up.yaml`, the same for every shop."""
    rows = read_yaml(Path(__file__).with_name("made_up.yaml"))[name]
    return frame_of(f"training.{name}", rows)


def demand(shop: Store) -> tuple[DemandPanel, DemandLaw]:
    """The shop's demand by week and sku, and its law."""
    panel = demand_panel(shop.sku_days, as_of=shop.as_of, products=shop.get("products"))
    return panel, demand_law(panel)


def weeks_of_month(panel: DemandPanel, month: str) -> np.ndarray:
    """Places of the weeks that end in the month."""
    ends = panel.starts + pd.Timedelta(days=6)
    return np.flatnonzero(ends.strftime("%Y-%m") == month)


def held_stock(shop: Store) -> Supply:
    """Stock on hand and on its way; PlaybookError for a shop that keeps no stock."""
    return supply(
        shop.stock,
        as_of=shop.as_of,
        products=shop.get("products"),
        purchase_orders=shop.get("purchase_orders"),
    )


def channel_months(shop: Store) -> DataFrame:
    """Chapter 03's channels by month."""
    return channels.channel_months(
        shop.sales_orders,
        spend=read_extract(shop.ad_spend, as_of=shop.as_of),
        refunds=shop.booked_refunds,
        as_of=shop.as_of,
    )


@functools.cache
def sales_months(shop: Store) -> DataFrame:
    """The sales metrics of the dictionary by month, as chapter 00 reports them."""
    return monthly_sales(shop)


def sales_figure(metric: str) -> Callable[[Store], float]:
    """The dictionary's figure of the report month; missing where it is not known whole."""

    def figure(shop: Store) -> float:
        series = sales_months(shop)
        is_it = (series.metric == metric) & (series.month == shop.month)
        amounts = series.amount[is_it & (series.status == "complete")]
        return float(amounts.iloc[0]) if len(amounts) else float("nan")

    return figure


@functools.cache
def variable_share(shop: Store) -> float:
    """Chapter 10's variable costs as a share of sales; 0 where they are not known."""
    share = assortment.variable_cost_share(shop.sales_orders, as_of=shop.as_of)
    return share if np.isfinite(share) else 0.0


def sku_year(shop: Store) -> DataFrame:
    """Chapter 10's last year of every sku."""
    return assortment.sku_year(
        shop.sales_lines,
        shop.sales_orders,
        as_of=shop.as_of,
        products=shop.get("products"),
        variable_share=variable_share(shop),
    )
