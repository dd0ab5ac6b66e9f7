"""Stock in the scorecard's terms, month by month, and what it cost to send the parcels.

Turn, days and GMROI use cost on both sides and the same average stock (metrics.md, trap
8): days = 365 / turn.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from pandas import Timestamp

from playbook.chapters.inventory_planning.supply import Supply
from playbook.given import dated
from playbook.measures.demand_panel import DemandPanel, hidden_demand
from playbook.store import expression, one_if
from playbook.tables import frame_of, returns

__all__ = ["stock_kpis", "logistics_cost"]

KPI_MONTHS, LOGISTICS_MONTHS = 25, 12  # months shown
TOP_SHARE = 5  # stock-outs are judged on every fifth sku, best sellers first


@dated
def stock_kpis(
    panel: DemandPanel,
    supply: Supply,
    *,
    as_of: dt.date,
) -> pd.DataFrame:
    """Monthly series in the scorecard's columns: turn, doi_days, gmroi, fill_rate,
    stockout_share. Weeks are booked to the month they end in; a month counts as
    complete when all its weeks are there. Stock and cost of goods are at the present
    unit cost, skus without one left out. `n` counts skus: those valued, those on sale,
    or those of the top list on sale.
    """
    month = (panel.starts + pd.Timedelta(days=6)).strftime("%Y-%m")
    cost = supply.of(panel).unit_cost.to_numpy(float)
    is_live = np.cumsum(panel.exposure > 0, axis=1) > 0
    hidden = np.where(is_live & (panel.on_hand < 1e9), hidden_demand(panel), 0.0)
    revenue = panel.revenue[:, -52:].sum(axis=1)
    top = np.argsort(-revenue, kind="stable")[: max(len(panel.sku) // TOP_SHARE, 1)]
    rows = []
    for name in sorted(set(month))[-KPI_MONTHS:]:
        weeks = np.flatnonzero(month == name)
        n_days = 7 * len(weeks)
        valued = np.nansum(panel.on_hand[:, weeks] * cost[:, None]) / len(weeks)
        goods_cost = np.nansum(panel.units[:, weeks] * cost[:, None]) * 365 / n_days
        margin = np.nansum(panel.margin[:, weeks]) * 365 / n_days
        units, on_sale = panel.units[:, weeks].sum(), is_live[np.ix_(top, weeks)]
        out = (1 - panel.exposure)[np.ix_(top, weeks)][on_sale].sum()
        n_valued = (np.isfinite(panel.on_hand[:, weeks]).any(axis=1) & np.isfinite(cost)).sum()
        n_live, n_top = is_live[:, weeks].any(axis=1).sum(), on_sale.any(axis=1).sum()
        figures = {
            "turn": (goods_cost, valued, n_valued),
            "doi_days": (365 * valued, goods_cost, n_valued),
            "gmroi": (margin, valued, n_valued),
            "fill_rate": (units, units + hidden[:, weeks].sum(), n_live),
            "stockout_share": (out, on_sale.sum(), n_top),
        }
        is_over = Timestamp(as_of) >= Timestamp(name) + pd.offsets.MonthEnd(0)
        status = "complete" if is_over else "partial"
        for metric, (part, whole, n_skus) in figures.items():
            amount = part / whole if whole > 0 and np.isfinite(part) else np.nan
            rows.append((metric, name, amount, np.nan, np.nan, float(n_skus), status))
    return frame_of("inventory_planning.kpis", rows)


@returns("inventory_planning.logistics")
def logistics_cost(orders: ibis.Table, *, as_of: dt.date) -> pd.DataFrame:
    """What it cost to send the parcels of the last twelve months. Orders without a
    recorded cost are not counted; cancelled ones neither.
    """
    parcels = expression(orders)
    month_start = Timestamp(as_of).replace(day=1)
    since = (month_start - pd.DateOffset(months=LOGISTICS_MONTHS - 1)).date()
    parcels = parcels.mutate(ordered_on=parcels.ordered_on.cast("date"))
    parcels = parcels.filter((parcels.ordered_on >= since) & (parcels.ordered_on <= as_of))
    parcels = parcels.filter(parcels.shipping_cost.notnull() & parcels.cancelled_at.isnull())
    month = parcels.ordered_on.strftime("%Y-%m")
    by_carrier = parcels.group_by(month=month, carrier=parcels.carrier.fill_null("not recorded"))
    cost = parcels.shipping_cost.cast("float64")
    costs = by_carrier.aggregate(
        n_orders=parcels.count(),
        shipping_cost=cost.sum(),
        cost_per_order=cost.mean(),
        charged_per_order=parcels.shipping.cast("float64").mean(),
        late_share=one_if(parcels.delivered_at > parcels.promised_at).mean(),
    )
    return costs.order_by("month", "carrier").to_pandas()
