"""Stock in the scorecard's terms, month by month, and what it cost to send the parcels.

Turn, days and GMROI use cost on both sides and the same average stock (metrics.md, trap
8): days = 365 / turn.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.inventory_planning.supply import Supply
from playbook.measures.demand_panel import DemandPanel
from playbook.methods.uncensored import level_around
from playbook.store import expression

__all__ = ["stock_kpis", "logistics_cost"]


def stock_kpis(
    panel: DemandPanel, supply: Supply, *, as_of: dt.date, months: int = 25
) -> pd.DataFrame:
    """Monthly series in the scorecard's columns (metric, month, amount, low, high, n,
    status): turn, doi_days, gmroi, fill_rate, stockout_share. Weeks are booked to the
    month they end in; a month counts as complete when all its weeks are there. Stock
    and cost of goods are at the present unit cost, skus without one left out.
    """
    ends = panel.starts + pd.Timedelta(days=6)
    month = ends.strftime("%Y-%m")
    cost = supply.goods.set_index("sku")["unit_cost"].reindex(panel.sku).to_numpy(float)
    top = np.argsort(-panel.revenue[:, -52:].sum(axis=1), kind="stable")[
        : max(len(panel.sku) // 5, 1)
    ]
    hidden = level_around(panel.units, panel.exposure, half_width=8) * (1 - panel.exposure)
    live = np.cumsum(panel.exposure > 0, axis=1) > 0
    hidden = np.where(live & (panel.on_hand < 1e9), hidden, 0.0)
    rows = []
    for name in sorted(set(month))[-months:]:
        at = np.flatnonzero(month == name)
        valued = np.nansum(panel.on_hand[:, at] * cost[:, None]) / len(at)
        goods_cost = np.nansum(panel.units[:, at] * cost[:, None]) * 365 / (7 * len(at))
        gain = np.nansum(panel.margin[:, at]) * 365 / (7 * len(at))
        units = panel.units[:, at].sum()
        pieces = {
            "turn": (goods_cost, valued),
            "doi_days": (365 * valued, goods_cost),
            "gmroi": (gain, valued),
            "fill_rate": (units, units + hidden[:, at].sum()),
            "stockout_share": (
                (1 - panel.exposure)[np.ix_(top, at)][live[np.ix_(top, at)]].sum(),
                live[np.ix_(top, at)].sum(),
            ),
        }
        status = (
            "complete"
            if pd.Timestamp(as_of) >= pd.Timestamp(name) + pd.offsets.MonthEnd(0)
            else "partial"
        )
        rows += [
            (
                metric,
                name,
                a / b if b > 0 and np.isfinite(a) else np.nan,
                np.nan,
                np.nan,
                float(len(at)),
                status,
            )
            for metric, (a, b) in pieces.items()
        ]
    return pd.DataFrame(rows, columns=["metric", "month", "amount", "low", "high", "n", "status"])


def logistics_cost(orders: Any, *, as_of: dt.date, months: int = 12) -> pd.DataFrame:
    """One row per month and carrier: n_orders, shipping_cost, cost_per_order,
    charged_per_order, late_share (of delivered orders with a promise). Orders without a
    recorded cost are not counted; cancelled ones neither.
    """
    t = expression(orders)
    since = (pd.Timestamp(as_of).replace(day=1) - pd.DateOffset(months=months - 1)).date()
    t = t.mutate(ordered_on=t.ordered_on.cast("date"))
    t = t.filter((t.ordered_on >= since) & (t.ordered_on <= as_of))
    t = t.filter(t.shipping_cost.notnull() & t.cancelled_at.isnull())
    late = (t.delivered_at > t.promised_at).cast("float64").mean()
    return (
        t.group_by(
            month=t.ordered_on.strftime("%Y-%m"), carrier=t.carrier.fill_null("not recorded")
        )
        .aggregate(
            n_orders=t.count(),
            shipping_cost=t.shipping_cost.cast("float64").sum(),
            cost_per_order=t.shipping_cost.cast("float64").mean(),
            charged_per_order=t.shipping.cast("float64").mean(),
            late_share=late,
        )
        .order_by("month", "carrier")
        .to_pandas()
    )
