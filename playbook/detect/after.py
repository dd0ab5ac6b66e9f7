"""What went wrong after the sale: parcels late, goods that come back, questions, goods
that a supplier did not bring.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.detect.finding import LEAST_Z, found, ratio_findings
from playbook.detect.panels import Panels
from playbook.measures.sums import sums_by

__all__ = ["carriers_late", "goods_back", "questions_rise", "suppliers_late"]

Finding = dict[str, Any]

#: of a carrier's parcels due, how many more late than its own past and the others say
LATE_MORE = 1.0
#: how far the others' lateness may move what is expected of one, up or down
MOST_OTHERS = 4.0
#: refunds of a sku are held against its sales of four to twelve weeks before
LAG, SPAN = 28, 56
#: times as many refunds or tickets of one kind as before
BACK_MORE, ASK_MORE = 1.4, 1.4
#: least refunds of one reason or sku, and least tickets, beyond the usual
LEAST_BACK, LEAST_ASKED = 8, 15
#: a supplier's lines of a month against its own past: standard errors, and days
SUPPLIER_Z, SUPPLIER_DAYS, SUPPLIER_ORDERS = 4.0, 7.0, 6


def carriers_late(panels: Panels) -> list[Finding]:
    """A carrier whose parcels come late more often than before and than the others'."""
    parcels = panels.parcels
    if parcels is None or parcels.empty:
        return []
    due, late, money = (panels.wide(parcels, "carrier", c) for c in ("due", "late", "money"))
    rows = []
    for carrier in due:
        others = due.columns.drop(carrier)
        expected = _others_late(due, late, others) if len(others) else 1.0
        base = (due[carrier] * expected).where(due[carrier] > 0).to_numpy()
        each = (money[carrier] / late[carrier].where(late[carrier] > 0)).ffill().bfill()
        rows += ratio_findings(
            panels,
            "carrier_late",
            str(carrier),
            late[carrier].to_numpy(),
            base,
            side=1,
            worth=each.to_numpy(),
            least_change=LATE_MORE,
        )
    return rows


def _others_late(due: DataFrame, late: DataFrame, others: pd.Index) -> pd.Series:
    """How much more or less often the others' parcels are late in these weeks, about 1."""
    n, of = late[others].sum(axis=1), due[others].sum(axis=1)
    share = n.rolling(21, 1, center=True).sum() / of.rolling(21, 1, center=True).sum()
    usual = n.sum() / max(of.sum(), 1)
    return (share / max(usual, 1e-9)).fillna(1.0).clip(1 / MOST_OTHERS, MOST_OTHERS)


def goods_back(panels: Panels) -> list[Finding]:
    """Refunds of one reason beside those of the others, and of one sku beside its sales of
    four to twelve weeks before, beyond their pattern.
    """
    refunds = panels.refunds
    if refunds is None or refunds.empty:
        return []
    n, money = (panels.wide(refunds, "reason", column) for column in ("n", "amount"))
    rows = []
    for reason in n.columns.drop("unknown", errors="ignore"):
        rows += _rise(
            panels,
            "reason_rises",
            reason,
            n[reason],
            _rest(n, reason),
            money[reason],
        )
    n, money = (panels.wide(refunds, "sku", column) for column in ("n", "amount"))
    often = n.columns[(n.rolling(30, 1).sum().max() >= LEAST_BACK).to_numpy()]
    sold = panels.wide(panels.sales, "sku", "units").shift(LAG).rolling(SPAN, 14).mean()
    for sku in often.intersection(sold.columns):
        rows += _rise(
            panels,
            "sku_comes_back",
            sku,
            n[sku],
            sold[sku],
            money[sku],
        )
    return rows


def _rest(n: DataFrame, one: object) -> pd.Series:
    """What all others bring on a usual day of these weeks."""
    return n.drop(columns=one).sum(axis=1).rolling(14, min_periods=1).mean()


def _rise(
    panels: Panels, kind: str, one: object, n: pd.Series, base: pd.Series, money: pd.Series
) -> list[Finding]:
    """The stretches of one reason or sku on which at least so many more came back."""
    if not n.sum() >= LEAST_BACK:
        return []
    found_ones = ratio_findings(
        panels,
        kind,
        str(one),
        n.to_numpy(),
        base.to_numpy(),
        side=1,
        worth=float(money.sum() / n.sum()),
        least_change=BACK_MORE - 1,
        least_z=LEAST_Z + 1,
    )
    return [row for row in found_ones if row["n"] >= LEAST_BACK]


def questions_rise(panels: Panels) -> list[Finding]:
    """Tickets of one topic beside all others; what they cost is not known."""
    tickets = panels.tickets
    if tickets is None or tickets.empty:
        return []
    wide = panels.wide(tickets, "topic", "n")
    rows = []
    for topic, n in wide.items():
        found_ones = ratio_findings(
            panels,
            "questions_rise",
            str(topic),
            n.to_numpy(),
            _rest(wide, topic).to_numpy() if len(wide.columns) > 1 else np.ones(len(n)),
            side=1,
            worth=np.nan,
            least_change=ASK_MORE - 1,
            least_z=LEAST_Z + 1,
            lengths=(5, 7, 10, 14, 21, 30),
        )
        rows += [row for row in found_ones if row["n"] >= LEAST_ASKED]
    return rows


def suppliers_late(panels: Panels) -> list[Finding]:
    """A supplier whose orders of one month come later than those of the year before;
    `amount` is the cost of the goods that came late.
    """
    shop = panels.shop
    names = ("supplier_id", "promised_on", "received_on")
    if not all(shop.has(f"purchase_orders.{name}") for name in names):
        return []
    lines = shop.purchase_orders
    sums = {"promised": lines.promised_on.min(), "received": lines.received_on.max()}
    if shop.has("purchase_orders.unit_cost"):
        sums["money"] = (lines.n_ordered * lines.unit_cost).sum().cast("float64")
    orders = sums_by(
        lines,
        "supplier_id",
        "ordered_on",
        **sums,
    )
    promised = pd.to_datetime(orders.promised)
    came = pd.to_datetime(orders.received).fillna(panels.days[-1])
    orders = orders.assign(late=(came - promised).dt.days, month=promised.dt.strftime("%Y-%m"))
    orders = orders.assign(promised=promised)[promised <= panels.days[-1]]
    return [row for _name, part in orders.groupby("supplier_id") for row in _late(panels, part)]


def _late(panels: Panels, orders: DataFrame) -> list[Finding]:
    rows = []
    for month, now in orders.groupby("month"):
        past = orders[orders.month < month].tail(52)
        if len(past) < SUPPLIER_ORDERS or month < f"{panels.first:%Y-%m}":
            continue
        gap = now.late.mean() - past.late.mean()
        z = gap / (past.late.std() * np.sqrt(1 / len(now) + 1 / len(past)) + 1e-9)
        if z < SUPPLIER_Z or gap < SUPPLIER_DAYS:
            continue
        facts = {
            "amount": now.money.sum() if "money" in now else np.nan,
            "n": len(now),
            "z": z,
        }
        facts |= {"usual": past.late.mean(), "now": now.late.mean()}
        days = (now.promised.min(), now.promised.max())
        rows.append(
            found(
                panels,
                "supplier_late",
                str(now.supplier_id.iloc[0]),
                days,
                **facts,
            )
        )
    return rows
