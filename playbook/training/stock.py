"""What the exercises and the game read of a shop's demand and stock, as chapter 07 does."""

from __future__ import annotations

from playbook.chapters.inventory_planning.supply import Supply, supply
from playbook.measures.demand_panel import DemandLaw, DemandPanel, demand_law, demand_panel
from playbook.store import Store


def demand(shop: Store) -> tuple[DemandPanel, DemandLaw]:
    """The shop's demand by week and sku, and its law."""
    panel = demand_panel(shop.sku_days, as_of=shop.as_of, products=shop.get("products"))
    return panel, demand_law(panel)


def held_stock(shop: Store) -> Supply:
    """Stock on hand and on its way; PlaybookError for a shop that keeps no stock."""
    return supply(
        shop.stock,
        as_of=shop.as_of,
        products=shop.get("products"),
        purchase_orders=shop.get("purchase_orders"),
    )
