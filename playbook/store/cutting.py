"""A contract table as it could be known at the end of a day: typed, cut and masked.

Rows that happened later are gone; later moments inside earlier rows (a delivery, a
cancellation) are missing; an order's status is the one it had.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import ibis
from ibis import Value

from playbook.store.contract import PLANNED, Table, ibis_type

__all__ = ["AsOf", "masked", "rows_by", "typed"]

DEFAULTS = {"location": "main", "scope": "all"}  # what a missing value of these columns means
FILLED_SCOPE_TABLE = "cost_rates"
# columns of names that the shop gives, and the name of a total in result tables
NAMED, TOTAL = ("channel", "device", "category", "topic"), "all"
#: what of an invitation is known from a later moment on
FOLLOWS = {"accepted_at": ("customer_id",), "ordered_at": ("order_id", "reward")}
DATES_MASKED = ("received_on", "delivered_on")


@dataclass(frozen=True)
class AsOf:
    """The last day that is known: its month (YYYY-MM), and the UTC moment it ends."""

    day: dt.date
    month: str
    end: dt.datetime


def typed(spec: Table, table: ibis.Table) -> ibis.Table:
    """Every contract column in its contract type; values that do not convert become
    missing here and are counted by `check`; columns beyond the contract are kept only
    for `survey`, whose questions are columns.
    """
    columns = {}
    for column in spec.columns:
        wanted = ibis_type(column)
        if column.name not in table.columns:
            columns[column.name] = ibis.null(wanted)
            continue
        values = table[column.name]
        if column.name == "location" or (
            column.name == "scope" and spec.name == FILLED_SCOPE_TABLE
        ):
            values = values.fill_null(DEFAULTS[column.name])
        is_right = str(values.type()).lstrip("!") == wanted
        values = values if is_right else _converted(values, wanted)
        columns[column.name] = _as_named(values) if column.name in NAMED else values
    if spec.name == "survey":
        columns |= {c: table[c] for c in table.columns if c not in columns}
    return table.select(**columns)


def _as_named(values: Value) -> Value:
    """A name without a letter is none, and one that tables use for the sum of all is
    put in quotes.
    """
    return (values == TOTAL).ifelse(f"“{TOTAL}”", values).nullif("")


def _converted(values: Value, wanted: str) -> Value:
    kind = values.type()
    if wanted == "timestamp" and kind.is_timestamp() and kind.timezone:
        return values.cast("timestamp('UTC')").cast("timestamp")
    if wanted == "int64" and kind.is_string():
        return values.try_cast("float64").try_cast("int64")
    if wanted == "string" and kind.is_floating():
        # an id column read as numbers: 17850.0 is the id 17850
        return values.try_cast("int64").cast("string")
    return values.cast(wanted) if kind.is_null() else values.try_cast(wanted)


def rows_by(spec: Table, table: ibis.Table, as_of: AsOf) -> ibis.Table:
    """The rows that had happened by as-of; a table without a `cut` column keeps all. Of
    a published series, values published later are not known yet.
    """
    if not spec.cut:
        return table
    cut, column = spec.column(spec.cut), table[spec.cut]
    ends = {"month": as_of.month, "date": ibis.literal(as_of.day)}
    is_past = column <= ends[cut.type] if cut.type in ends else column < ibis.literal(as_of.end)
    if spec.name == "market_series":
        published = table.published_on
        is_past &= published.isnull() | (published <= ibis.literal(as_of.day))
    return table.filter(is_past if cut.required else (is_past | column.isnull()))


def masked(spec: Table, table: ibis.Table, as_of: AsOf) -> ibis.Table:
    """The table with everything that happened after as-of missing inside its rows."""
    if spec.name == "orders":
        table = table.mutate(status=_status_then(table, as_of))
    end, day = ibis.literal(as_of.end), ibis.literal(as_of.day)
    hidden = {}
    for column in spec.columns:
        name = column.name
        if name in PLANNED or name == spec.cut or name not in table.columns:
            continue
        if column.type == "ts":
            hidden[name] = (table[name] < end).ifelse(table[name], ibis.null("timestamp"))
        elif name in DATES_MASKED:
            hidden[name] = (table[name] <= day).ifelse(table[name], ibis.null("date"))
    if spec.name == "purchase_orders":
        has_arrived = table.received_on <= day
        for name in ("n_received", "n_defective"):
            hidden[name] = has_arrived.ifelse(table[name], ibis.null("int64"))
    if spec.name == "parcels":
        has_come = table.delivered_on <= day
        hidden["is_damaged"] = has_come.ifelse(table.is_damaged, ibis.null("boolean"))
    if spec.name == "invitations":
        for moment, told in FOLLOWS.items():
            is_known = table[moment] < end
            hidden |= {n: is_known.ifelse(table[n], ibis.null(table[n].type())) for n in told}
    return table.mutate(**hidden) if hidden else table


def _status_then(orders: ibis.Table, as_of: AsOf) -> Value:
    """The status an order had at the end of as-of, told from its later moments."""
    status, end = orders.status, ibis.literal(as_of.end)
    is_cancelled_later = (status == "cancelled") & (orders.cancelled_at >= end)
    return ibis.cases(
        (is_cancelled_later & (orders.paid_at < end), "paid"),
        (is_cancelled_later, "placed"),
        ((status != "cancelled") & (orders.paid_at >= end), "placed"),
        (status.isin(["shipped", "done"]) & (orders.shipped_at >= end), "paid"),
        ((status == "done") & (orders.delivered_at >= end), "shipped"),
        else_=status,
    )
