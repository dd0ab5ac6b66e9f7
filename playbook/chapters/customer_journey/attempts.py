"""Attempts to pay, one by one: with what message they fail, who tries again, what is lost for good.

A purchase is all attempts with one checkout. It is told by its first attempt: the way to pay, the
device, and the message where it failed; it is won back where a later attempt worked, whatever way
that took, and lost where none did. Not all that is lost could be had: banks refuse with reason.
So a message is held against its own usual share: on one device against the other devices in the
same months, on all devices together against the three months before.
"""

from __future__ import annotations

import datetime as dt

import ibis
import numpy as np
import pandas as pd
from ibis import Table, _
from pandas import DataFrame, Series

from playbook import tables
from playbook.chapters.customer_journey.paying import BEFORE, GRACE_DAYS, MONTHS
from playbook.chapters.customer_journey.visits import filled
from playbook.given import dated
from playbook.methods.proportions import Z90, adjusted_p, two_sided_p, wilson
from playbook.store import expression, one_if

__all__ = ["payment_messages", "purchases"]

ALL = "all"
#: purchases tried below which a share is not judged, here or where it is held against
LEAST_TRIED = 200
#: chance of any false alarm over all messages looked at
ALPHA = 0.05
CELL = ["method", "device", "message"]
COUNTS = [
    "n",
    "retried",
    "won",
    "other",
    "lost_n",
    "lost_amount",
    "lost_square",
]


@dated
def purchases(attempts: Table, *, as_of: dt.date, currency: str = "") -> Table:
    """One row per purchase tried in the last six months up to the day before as-of: checkout_id,
    method, device and message of its first attempt (message empty where that worked), is_now (the
    last three months), is_retried, is_paid, is_other (paid another way), amount (missing in other
    currencies). Purchases still open are left out.
    """
    first = pd.Timestamp(as_of) + pd.Timedelta(days=1) - pd.DateOffset(months=MONTHS + BEFORE)
    since = (first + pd.DateOffset(months=BEFORE)).to_pydatetime()
    last = as_of - dt.timedelta(days=GRACE_DAYS)
    rows = filled(
        expression(attempts),
        "device",
        "message",
        absent="unknown",
    )
    absent = {"amount": ibis.null("float64"), "currency": ibis.null("string")}
    rows = rows.mutate(**{c: v for c, v in absent.items() if c not in rows.columns})
    rows = rows.filter(_.attempted_at.date().between(first.date(), as_of))
    of = ibis.window(group_by="checkout_id")
    by_time = ibis.window(group_by="checkout_id", order_by=["attempted_at", "attempt_id"])
    is_own = rows.currency.isnull() | (rows.currency.upper() == currency.upper())
    paid_with = ibis.cases((rows.status == "paid", rows.payment_method))
    rows = rows.mutate(
        place=ibis.row_number().over(by_time),
        tries=rows.count().over(of),
        paid=one_if(rows.status == "paid").max().over(of),
        open=one_if(rows.status == "open").max().over(of),
        paid_with=paid_with.min().over(of),
        sum=ibis.cases((is_own, rows.amount.cast("float64"))),
    )
    rows = rows.filter((_.place == 0) & (_.attempted_at.date() <= last))
    rows = rows.filter((_.paid == 1) | (_.open == 0))
    rows = rows.filter(_.status != "open")
    return rows.select(
        "checkout_id",
        method=_.payment_method,
        device=_.device,
        message=ibis.cases((_.status == "failed", _.message), else_=""),
        is_now=_.attempted_at >= since,
        is_retried=_.tries > 1,
        is_paid=_.paid == 1,
        is_other=(_.paid_with != _.payment_method).fill_null(False),
        amount=_["sum"],
    )


@tables.returns("customer_journey.payment_messages")
def payment_messages(
    attempts: Table, *, as_of: dt.date | str, margin_per_order: float = np.nan, currency: str = ""
) -> DataFrame:
    """Messages with which first attempts failed in the last three months, by way to pay and
    device, what loses most beyond its usual share first. Money is margin: `margin_per_order`,
    times how much larger than a paid one a lost purchase is. Purchases of the last day may still
    be paid and are left out. Intervals are of 90 %; Holm's p over all messages judged.
    """
    cells, paid_mean = _cells(purchases(attempts, as_of=as_of, currency=currency))
    tried = cells.groupby(["is_now", "method", "device"])["n"].sum()
    failed = cells[cells.message != ""].set_index(["is_now", *CELL])
    if failed.empty or True not in failed.index.get_level_values(0):
        return tables.empty("customer_journey.payment_messages")
    table = failed.loc[True].reset_index()
    usual = _usual(table, tried, failed.lost_n)
    table = table.assign(tried=_at(tried, table, True), usual_n=usual.tried, usual_x=usual.lost)
    table = _beyond(table, paid_mean, margin_per_order)
    for name in ("retried", "won", "other"):
        table[f"{name}_share"] = table[name] / table["n"]
    table["won_low"], table["won_high"] = wilson(table.won, table["n"], 0.9)
    by = ["lost", "lost_orders", "n", *CELL]
    table = table.sort_values(by, ascending=[False] * 3 + [True] * 3, na_position="last")
    table = table.rename(columns={"n": "n_failed"})
    return tables.frame_of("customer_journey.payment_messages", table.reset_index(drop=True))


def _cells(bought: Table) -> tuple[DataFrame, float]:
    """Sums by period, way, device (`all` beside each) and message; mean amount paid now."""
    is_lost = ~bought.is_paid
    sums = bought.group_by("is_now", *CELL).aggregate(
        n=_.count(),
        retried=_.is_retried.sum(),
        won=_.is_paid.sum(),
        other=(_.is_paid & _.is_other).sum(),
        lost_n=is_lost.sum(),
        lost_amount=_.amount.sum(where=is_lost),
        lost_square=(_.amount * _.amount).sum(where=is_lost),
        paid_n=_.amount.count(where=bought.is_paid),
        paid_amount=_.amount.sum(where=bought.is_paid),
    )
    frame = sums.order_by("is_now", *CELL).to_pandas()
    frame = frame.fillna({"lost_amount": 0.0, "lost_square": 0.0, "paid_amount": 0.0})
    frame = frame.astype(dict.fromkeys((*COUNTS, "paid_n", "paid_amount"), float))
    now = frame[frame.is_now]
    mean = now.paid_amount.sum() / now.paid_n.sum() if now.paid_n.sum() > 0 else np.nan
    whole = frame.groupby(["is_now", "method", "message"], as_index=False)[COUNTS].sum()
    n_devices = now.groupby("method").device.nunique()
    parts = frame[frame.method.map(n_devices).gt(1)]
    return pd.concat([parts, whole.assign(device=ALL)], ignore_index=True), mean


def _at(counts: Series, table: DataFrame, is_now: bool, device: str = "") -> np.ndarray:
    """Counts by period and cell for each row of a table; 0 where there is none."""
    names = [name for name in counts.index.names if name != "is_now"]
    keys = table[names].assign(is_now=is_now, **({"device": device} if device else {}))
    keys = pd.MultiIndex.from_frame(keys[["is_now", *names]])
    return counts.reindex(keys).fillna(0.0).to_numpy()


def _usual(table: DataFrame, tried: Series, lost: Series) -> DataFrame:
    """What each row is held against: purchases tried and lost with that message on the other
    devices, or of all devices in the months before.
    """
    is_all = (table.device == ALL).to_numpy()
    parts = {}
    for name, counts in (("tried", tried), ("lost", lost)):
        others = _at(
            counts,
            table,
            True,
            ALL,
        ) - _at(counts, table, True)
        parts[name] = np.where(is_all, _at(counts, table, False), others)
    return DataFrame(parts, index=table.index)


def _beyond(table: DataFrame, paid_mean: float, margin: float) -> DataFrame:
    """Purchases lost beyond the usual share, with their margin and the chance of chance."""
    is_judged = (table.tried >= LEAST_TRIED) & (table.usual_n >= LEAST_TRIED)
    n, x, m = (table[c].where(is_judged) for c in ("tried", "lost_n", "usual_n"))
    usual = table.usual_x.where(is_judged) / m
    excess = x - n * usual
    # half a purchase more on either side, or none lost would be none for sure
    own, other = (x + 0.5) / (n + 1), (table.usual_x + 0.5) / (m + 1)
    variance = n * own * (1 - own) + n**2 * other * (1 - other) / m
    both = (x + table.usual_x + 0.5) / (n + m + 1)
    z = excess / n / np.sqrt(both * (1 - both) * (1 / n + 1 / m))
    each, each_var = _worth(table, paid_mean, margin)
    money, reach = excess * each, Z90 * np.sqrt(each**2 * variance + excess**2 * each_var)
    return table.assign(
        share=table.lost_n / table.tried,
        against=np.where(table.device == ALL, "months before", "other devices"),
        usual_share=usual,
        lost_orders=excess,
        lost=money,
        lost_low=money - reach,
        lost_high=money + reach,
        p_adjusted=adjusted_p(two_sided_p(z), method="holm"),
    )


def _worth(table: DataFrame, paid_mean: float, margin: float) -> tuple[Series, Series]:
    """Margin of a purchase lost and its variance: that of an order, times its amount over that
    of a paid one; that of an order where amounts are not told.
    """
    n = table.lost_n.where(table.lost_n > 0)
    mean = table.lost_amount / n
    spread = (table.lost_square / n - mean**2).clip(lower=0) / n
    scale = margin / paid_mean if paid_mean > 0 else np.nan
    is_told = (mean > 0) & (paid_mean > 0)
    return (mean * scale).where(is_told, margin), (spread * scale**2).where(is_told, 0.0)
