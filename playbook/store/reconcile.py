"""The walk from the source's total to the revenue the notebooks use.

Three words are kept apart. *Dropped*: a source row that could not be read. *Excluded*:
a row read, classified and left out of a measure for a named reason. *Repaired*: a value
changed by a cleaner. Every amount is an exact decimal; the walk is rounded once, when
it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import ibis
import pandas as pd
from ibis import _
from pandas import DataFrame

from playbook.errors import PlaybookError
from playbook.store.shop import Store
from playbook.store.write import KEPT, REASONS

__all__ = ["inflation", "ledger", "status_policy"]

LEFT_OUT = ("cancelled", "test", "unpaid")  # why an order does not count, in the walk's order
CENT = Decimal("0.01")
# what an order's total holds beside goods, in the walk's order
ADDED = ("tax", "shipping", "tip", "gift_card", "duties", "other_charges")


Sums = tuple[int, int, Decimal]  # rows, orders, amount
Step = tuple[str, str, int, int, Decimal]  # kind of step, reason, rows, orders, amount


def _exact(value: ibis.Value) -> ibis.Value:
    """The exact sum of money as text: no engine hands over 38 digits as they are."""
    return value.cast("decimal(38, 6)").sum().cast("string")


def _decimal(text: object) -> Decimal:
    return Decimal(text) if isinstance(text, str) else Decimal(0)


def _sums(shop: Store, table: ibis.Table, amount: str = "amount", rows: str = "n") -> Sums:
    columns = {
        "n": table.count() if rows == "n" else table[rows].sum(),
        "orders": table.order_id.nunique() if "order_id" in table.columns else ibis.literal(0),
        "amount": _exact(table[amount]),
    }
    row = shop.con.execute(table.aggregate(**columns)).iloc[0]
    return 0 if pd.isna(row.n) else int(row.n), int(row.orders), _decimal(row.amount)


def _less(reason: str, sums: Sums) -> Step:
    return ("less", reason, -sums[0], -sums[1], -sums[2])


def ledger(shop: Store) -> DataFrame:
    """The walk as a frame: step (total, less, sum, memo), reason, rows, orders, amount,
    running_amount.

    Amounts are Decimals with the sign they have in the walk. Raises PlaybookError where
    the walk does not tie to the cent with the tables the notebooks read.
    """
    if shop.walk is None:
        shop.walk = _ledger(shop)
    return shop.walk.copy()


def _ledger(shop: Store) -> DataFrame:
    by_reason = _by_reason(shop)
    lines = sum((sums[2] for sums in by_reason.values()), Decimal(0))
    steps = _imported(shop) if shop.has("import_ledger") else _platform_total(shop, by_reason)
    running = sum((step[4] for step in steps), Decimal(0))
    if abs(running - lines) >= CENT:
        raise PlaybookError(
            "store.walk_does_not_tie", source=running, lines=lines, table="order_lines"
        )
    steps += [_less(reason, by_reason[reason]) for reason in LEFT_OUT if by_reason[reason][0]]
    steps += _revenue_steps(shop, by_reason["counted"])
    other = _sums(shop, shop.sales_lines.filter(~_.is_product), "revenue")
    memos = [("memo", "not_a_product (stays inside)", *other), *_unbooked(shop)]
    walked = _walked([*steps, *memos])
    _tie_customer_days(shop, walked)
    return walked


def _revenue_steps(shop: Store, counted: Sums) -> list[Step]:
    """From counted sales to net revenue, of the shop and of known customers."""
    refunds, orders = shop.booked_refunds, shop.sales_orders
    booked = _sums(shop, refunds)
    guests = _sums(
        shop,
        orders.filter(_.customer_id.isnull()),
        "revenue",
        rows="n_lines",
    )
    known_refunds = _sums(shop, refunds.filter(_.customer_id.notnull()))
    rows, n_orders, amount = (a - b for a, b in zip(counted, guests, strict=True))
    return [
        ("sum", "shop sales before returns", *counted),
        ("less", "refunds booked", booked[0], booked[1], -booked[2]),
        ("sum", "shop net revenue", counted[0], counted[1], counted[2] - booked[2]),
        ("restart", "shop sales before returns", *counted),
        _less("guest", guests),
        ("sum", "known-customer sales before returns", rows, n_orders, amount),
        (
            "less",
            "refunds booked to known customers",
            known_refunds[0],
            known_refunds[1],
            -known_refunds[2],
        ),
        ("sum", "known-customer net revenue", rows, n_orders, amount - known_refunds[2]),
    ]


def _unbooked(shop: Store) -> Iterator[Step]:
    """Refunds that reach no revenue, by the reason: of an order nobody knows, of no day,
    of an order that does not count.
    """
    if shop.get("refunds") is None:
        return
    booked = shop.booked_refunds.select("refund_id")
    known = shop.orders.select("order_id", is_there=ibis.literal(True))
    left = shop.refunds.anti_join(booked, "refund_id").left_join(known, "order_id")
    reason = ibis.cases(
        (left.order_id.isnull(), "refunds without a day (not booked)"),
        (left.is_there.isnull(), "refunds of unknown orders (not booked)"),
        else_="refunds of orders that do not count (not booked)",
    )
    by_reason = left.group_by(reason=reason).aggregate(n=_.count(), amount=_exact(_.amount))
    for row in shop.con.execute(by_reason.order_by("reason")).itertuples():
        yield ("memo", row.reason, int(row.n), 0, _decimal(row.amount))


def _walked(steps: list[Step]) -> DataFrame:
    running, levels = Decimal(0), []
    for step, _reason, _rows, _orders, amount in steps:
        if step in ("less", "total"):
            running += amount
        elif step in ("sum", "restart"):
            if step == "sum" and abs(running - amount) >= CENT:
                raise PlaybookError(
                    "store.walk_misses_tables", walk=running, tables=amount, table="ledger"
                )
            running = amount
        levels.append(None if step == "memo" else running)
    columns = ["step", "reason", "rows", "orders", "amount"]
    return DataFrame(steps, columns=columns).assign(running_amount=levels)


def _by_reason(shop: Store) -> dict[str, Sums]:
    """Lines, orders and revenue of the shop's orders by the one reason they are left
    out for, or `counted`.
    """
    orders = shop.orders.select(
        "order_id",
        "status",
        is_test=_.is_test.fill_null(False),
    )
    held = orders.inner_join(shop.order_money, "order_id")
    reason = ibis.cases(
        (held.status == "cancelled", "cancelled"),
        (held.is_test, "test"),
        (held.status.notin(list(shop.counted_statuses)), "unpaid"),
        else_="counted",
    )
    grouped = held.group_by(reason=reason).aggregate(
        n=_.n_lines.sum().cast("float64"), orders=_.count(), amount=_exact(_.revenue)
    )
    sums = {
        row.reason: (int(row.n), int(row.orders), _decimal(row.amount))
        for row in shop.con.execute(grouped).itertuples()
    }
    return {reason: sums.get(reason, (0, 0, Decimal(0))) for reason in (*LEFT_OUT, "counted")}


def _imported(shop: Store) -> list[Step]:
    """The walk from what the imports read to the order lines, by the reasons they gave."""
    source = shop.import_ledger
    rows, _n, amount = _sums(shop, source, rows="n_rows")
    orders = int(shop.con.execute(source.n_orders.sum()) or 0)
    grouped = source.group_by("reason").aggregate(
        n=_.n_rows.sum().cast("float64"),
        orders=_.n_orders.sum().cast("float64"),
        amount=_exact(_.amount),
    )
    by_reason = shop.con.execute(grouped).set_index("reason")
    unknown = sorted(set(by_reason.index) - set(REASONS))
    steps: list[Step] = [("total", "source total as delivered", rows, orders, amount)]
    for reason in [*REASONS, *unknown]:
        if reason in by_reason.index and reason != KEPT:
            row = by_reason.loc[reason]
            n, n_orders = (0 if pd.isna(count) else int(count) for count in (row.n, row.orders))
            steps.append(_less(reason, (n, n_orders, _decimal(row.amount))))
    return steps


def _platform_total(shop: Store, by_reason: dict[str, Sums]) -> list[Step]:
    """Without an import ledger the walk starts at the totals the orders carry, tax and
    shipping inside. What is left of the totals is rounding up to a cent per line, and
    unexplained beyond.
    """
    rows = sum(sums[0] for sums in by_reason.values())
    lines = sum((sums[2] for sums in by_reason.values()), Decimal(0))
    orders = shop.orders
    sums = {column: _exact(orders[column]) for column in ("total", *ADDED)}
    told = shop.con.execute(orders.aggregate(placed=orders.count(), **sums)).iloc[0]
    total = _decimal(told.total)
    added = {column: _decimal(told[column]) for column in ADDED}
    steps: list[Step] = [("total", "source total as delivered", rows, int(told.placed), total)]
    steps += [("less", name, 0, 0, -amount) for name, amount in added.items() if amount]
    rest = total - sum(added.values()) - lines
    if rest:
        name = "rounding" if abs(rest) <= CENT * rows else "unexplained"
        steps.append(("less", name, 0, 0, -rest))
    return steps


def _tie_customer_days(shop: Store, walked: DataFrame) -> None:
    held = _decimal(shop.con.execute(_exact(shop.customer_days.revenue)))
    walk = walked.loc[walked.reason == "known-customer net revenue", "amount"].iloc[0]
    if abs(held - walk) >= CENT:
        raise PlaybookError(
            "store.customer_days_do_not_tie", held=held, walk=walk, table="customer_days"
        )


def status_policy(shop: Store) -> DataFrame:
    """One row per order status: status, orders, amount (total as delivered),
    is_counted.
    """
    table = shop.orders.group_by("status").aggregate(
        orders=_.count(), amount=_.total.sum().cast("float64")
    )
    frame = shop.con.execute(table.order_by("status"))
    return frame.assign(is_counted=frame.status.isin(shop.counted_statuses))


def inflation(shop: Store) -> DataFrame:
    """What naive joins would report as sales: measure, amount, factor (1 = right).
    Order money repeated on every line is the commonest double count in practice.
    """
    orders = shop.orders.select("order_id", "total", "n_payments")
    joined = orders.inner_join(shop.order_money, "order_id")
    by_line = (joined.total * joined.n_lines).cast("decimal(38, 6)")
    by_payment = by_line * ibis.greatest(joined.n_payments.fill_null(1), 1)
    measures = {
        "order totals, taken once": joined.total,
        "order totals joined to lines": by_line,
        "joined to lines and payments": by_payment,
    }
    if not shop.has("orders.n_payments"):
        measures.pop("joined to lines and payments")
    sums = {f"m{place}": _exact(measure) for place, measure in enumerate(measures.values())}
    amounts = [_decimal(text) for text in shop.con.execute(joined.aggregate(**sums)).iloc[0]]
    factors = [float(amount / amounts[0]) if amounts[0] else None for amount in amounts]
    return DataFrame({"measure": list(measures), "amount": amounts, "factor": factors})
