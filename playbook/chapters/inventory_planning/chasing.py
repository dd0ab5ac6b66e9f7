"""Overdue order lines: what they cost until they come, and what can still be done."""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from pandas import DataFrame, Timestamp

from playbook.chapters.inventory_planning.supply import Supply
from playbook.measures.demand_panel import DemandPanel
from playbook.methods.demand import DemandLaw
from playbook.store import expression
from playbook.tables import frame_of, returns

__all__ = ["chase_list"]

SOON_DAYS = 2.0  # a line later than every receipt of its supplier is taken to come within days
NEXT_WEEKS = 4  # weeks of demand behind what is wanted a day
COLUMNS = ["po_id", "sku", "supplier_id", "ordered_on", "promised_on", "received_on", "n_ordered"]


@returns("inventory_planning.chase")
def chase_list(
    purchase_orders: ibis.Table | None,
    panel: DemandPanel,
    law: DemandLaw,
    supply: Supply,
    *,
    as_of: dt.date,
) -> DataFrame:
    """Lines past their promised day, the most at stake first.

    days_left is the mean of what the supplier's own receipts took beyond the days
    already waited. at_stake is the margin of what is wanted in these days beyond what
    can be sold from stock, and from the lines of the sku that come before it; advice is
    `chase` where that is above 0, `nothing` where stock lasts until then. Lines without a
    promised day are not overdue.
    """
    if purchase_orders is None:
        return frame_of("inventory_planning.chase", [])
    table = expression(purchase_orders)
    known = [name for name in COLUMNS if name in table.columns]
    lines = table.select(*known).to_pandas().reindex(columns=COLUMNS)
    for name in ("ordered_on", "promised_on", "received_on"):
        lines[name] = pd.to_datetime(lines[name])
    today = Timestamp(as_of)
    is_open = lines.received_on.isna() | (lines.received_on > today)
    late = lines[is_open & (lines.promised_on < today) & (lines.ordered_on <= today)]
    goods = supply.of(panel)
    goods = goods.assign(mean_day=law.mean(NEXT_WEEKS).mean(axis=1) / 7)
    own = goods[["available", "margin", "mean_day"]].astype(float).reindex(late.sku)
    late = late.reset_index(drop=True).join(own.reset_index(drop=True))
    waited = (today - late.ordered_on).dt.days
    left = [
        _days_left(supply.leads, supplier, days)
        for supplier, days in zip(late.supplier_id, waited, strict=True)
    ]
    late = late.assign(
        days_late=(today - late.promised_on).dt.days.astype(float),
        units=pd.to_numeric(late.n_ordered, errors="coerce").astype(float),
        days_left=np.array(left, float),
    )
    short = _short(late)
    late = late.assign(
        at_stake=(short * late.margin).clip(lower=0),
        advice=np.where(short > 0, "chase", "nothing"),
    )
    late = late.sort_values(["at_stake", "po_id", "sku"], ascending=[False, True, True])
    return frame_of("inventory_planning.chase", late.reset_index(drop=True))


def _short(lines: DataFrame) -> pd.Series:
    """Units wanted and not there until each line comes, counted once: a sku's lines come
    one after the other, and what one brings is sold before the next is missed.
    """
    short = pd.Series(np.nan, lines.index)
    for _sku, own in lines.sort_values(["days_left", "po_id"]).groupby("sku"):
        day, shelf = 0.0, float(own.available.fillna(0.0).clip(lower=0).iloc[0])
        for line in own.itertuples():
            wanted = line.mean_day * (line.days_left - day)
            short[line.Index] = max(wanted - shelf, 0.0)
            shelf = max(shelf - wanted, 0.0) + np.nan_to_num(line.units)
            day = line.days_left
    return short


def _days_left(leads: DataFrame, supplier: str, waited: int) -> float:
    """Days a line that has waited so long is still to take."""
    own = leads.lead_days[(leads.supplier_id == supplier) & (leads.lead_days > waited)]
    return float(own.mean() - waited) if len(own) else SOON_DAYS
