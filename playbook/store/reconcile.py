"""The walk from the source's total to the revenue the notebooks use.

Three words are kept apart. *Dropped*: a source row that could not be read. *Excluded*:
a row read, classified and left out of a measure for a named reason. *Repaired*: a value
changed by a cleaner. Every amount is an exact decimal; the walk is rounded once, when
it is shown.
"""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import TYPE_CHECKING

import ibis
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError

if TYPE_CHECKING:
    from playbook.store.open import Store

__all__ = ["inflation", "ledger", "status_policy"]

# reasons an import can give, in the order of the walk; `kept` and `credit_line` continue in the contract's tables
IMPORT_REASONS = (
    "unreadable",
    "overlap",
    "incomplete",
    "no_exchange_rate",
    "empty",
    "adjustment",
    "credit_line",
    "stock_write_off",
    "zero_or_negative_price",
    "test",
    "undated",
    "duplicate",
    "tax",
    "shipping",
    "discount",
    "tip",
    "gift_card",
    "duties",
    "rounding",
    "unexplained",
)
CENT = Decimal("0.01")


def _sums(
    shop: Store, table: ibis.Table, amount: str = "amount", rows: str = "n"
) -> tuple[int, int, Decimal]:
    columns = {
        "n": table.count() if rows == "n" else table[rows].sum(),
        "orders": table.order_id.nunique() if "order_id" in table.columns else ibis.literal(0),
        "amount": table[amount].cast("decimal(38, 6)").sum().cast("string"),
    }
    row = shop.con.execute(table.aggregate(**columns)).iloc[0]
    amount_sum = Decimal(row.amount) if isinstance(row.amount, str) else Decimal(0)
    return 0 if pd.isna(row.n) else int(row.n), int(row.orders), amount_sum


def ledger(shop: Store) -> pd.DataFrame:
    """One row per step of the walk: step (total, less, sum, memo), reason, rows,
    orders, amount, running_amount.

    Amounts are Decimals with the sign they have in the walk. Raises PlaybookError where
    the walk does not tie to the cent with the tables the notebooks read.
    """
    return _ledger(shop).copy()


@functools.cache
def _ledger(shop: Store) -> pd.DataFrame:
    steps: list[tuple[str, str, int, int, Decimal]] = []
    by_reason = _by_reason(shop)
    if shop.has("import_ledger"):
        steps += _imported(shop)
    else:
        steps += _platform_total(shop, by_reason)
    in_tables = [sum(found[i] for found in by_reason.values()) for i in range(3)]
    running = sum((s[4] for s in steps), Decimal(0))
    if abs(running - in_tables[2]) >= CENT:
        raise PlaybookError(
            f"The walk does not tie: the source less what was left out is {running:.2f}, the order lines hold "
            f"{in_tables[2]:.2f}",
            table="order_lines",
            rule="source total = rows left out + order lines",
            do="import the same extract again; if it stays, the extract and the tables are not from the same day",
        )
    steps += [
        ("less", reason, -n, -orders, -amount)
        for reason in ("cancelled", "test", "unpaid")
        for n, orders, amount in [by_reason[reason]]
        if n
    ]
    counted = by_reason["counted"]
    steps.append(("sum", "shop sales before returns", *counted))
    refunds = shop.booked_refunds
    booked = _sums(shop, refunds)
    guests = _sums(
        shop, shop.sales_orders.filter(_.customer_id.isnull()), "revenue", rows="n_lines"
    )
    known_refunds = _sums(shop, refunds.filter(_.customer_id.notnull()))
    steps += [
        ("less", "refunds booked", booked[0], booked[1], -booked[2]),
        ("sum", "shop net revenue", counted[0], counted[1], counted[2] - booked[2]),
        ("restart", "shop sales before returns", *counted),
        ("less", "guest", -guests[0], -guests[1], -guests[2]),
        (
            "sum",
            "known-customer sales before returns",
            *(a - b for a, b in zip(counted, guests, strict=True)),
        ),
        (
            "less",
            "refunds booked to known customers",
            known_refunds[0],
            known_refunds[1],
            -known_refunds[2],
        ),
        (
            "sum",
            "known-customer net revenue",
            counted[0] - guests[0],
            counted[1] - guests[1],
            counted[2] - guests[2] - known_refunds[2],
        ),
    ]
    other = _sums(shop, shop.sales_lines.filter(~_.is_product), "revenue")
    steps.append(("memo", "not_a_product (stays inside)", *other))
    walked = _walked(steps)
    _tie_customer_days(shop, walked)
    return walked


def _walked(steps: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(steps, columns=["step", "reason", "rows", "orders", "amount"])
    running, levels = Decimal(0), []
    for step, amount in zip(frame.step, frame.amount, strict=True):
        if step in ("less", "total"):
            running += amount
        elif step in ("sum", "restart"):
            if step == "sum" and abs(running - amount) >= CENT:
                raise PlaybookError(
                    f"The walk reaches {running:.2f} where the tables hold {amount:.2f}",
                    table="ledger",
                    rule="each sum equals what precedes it",
                )
            running = amount
        levels.append(None if step == "memo" else running)
    return frame.assign(running_amount=levels)


def _by_reason(shop: Store) -> dict[str, tuple[int, int, Decimal]]:
    """Lines, orders and revenue of the shop's orders by the one reason they are left
    out for, or `counted`.
    """
    orders = shop.orders.select("order_id", "status", is_test=_.is_test.fill_null(False))
    held = orders.inner_join(shop.order_money, "order_id")
    reason = ibis.cases(
        (held.status == "cancelled", "cancelled"),
        (held.is_test, "test"),
        (held.status.notin(list(shop.counted_statuses)), "unpaid"),
        else_="counted",
    )
    found = shop.con.execute(
        held.group_by(reason=reason).aggregate(
            n=_.n_lines.sum().cast("float64"),
            orders=_.count(),
            amount=_.revenue.cast("decimal(38, 6)").sum().cast("string"),
        )
    ).set_index("reason")
    return {
        reason: (int(found.n[reason]), int(found.orders[reason]), Decimal(found.amount[reason]))
        if reason in found.index
        else (0, 0, Decimal(0))
        for reason in ("cancelled", "test", "unpaid", "counted")
    }


def _imported(shop: Store) -> list[tuple]:
    source = shop.import_ledger
    total = _sums(shop, source, rows="n_rows")
    orders = int(shop.con.execute(source.n_orders.sum()) or 0)
    found = shop.con.execute(
        source.group_by("reason").aggregate(
            n=_.n_rows.sum().cast("float64"),
            orders=_.n_orders.sum().cast("float64"),
            amount=_.amount.cast("decimal(38, 6)").sum().cast("string"),
        )
    ).set_index("reason")
    unknown = sorted(set(found.index) - set(IMPORT_REASONS) - {"kept"})
    steps = [("total", "source total as delivered", total[0], orders, total[2])]
    for reason in [*IMPORT_REASONS, *unknown]:
        if reason in found.index:
            row = found.loc[reason]
            n, n_orders = (0 if pd.isna(v) else int(v) for v in (row.n, row.orders))
            steps.append(("less", reason, -n, -n_orders, -Decimal(row.amount)))
    return steps


def _platform_total(shop: Store, by_reason: dict[str, tuple[int, int, Decimal]]) -> list[tuple]:
    """Without an import ledger the walk starts at the totals the orders carry, tax and
    shipping inside.
    """
    n, line = (sum(found[i] for found in by_reason.values()) for i in (0, 2))
    columns = {
        c: shop.orders[c].cast("decimal(38, 6)").sum().cast("string")
        for c in ("total", "shipping", "tax")
    }
    found = shop.con.execute(shop.orders.aggregate(placed=shop.orders.count(), **columns)).iloc[0]
    parts = {c: Decimal(found[c]) if isinstance(found[c], str) else Decimal(0) for c in columns}
    placed = int(found.placed)
    steps = [("total", "source total as delivered", n, placed, parts["total"])]
    steps += [("less", c, 0, 0, -parts[c]) for c in ("tax", "shipping") if parts[c]]
    left = parts["total"] - parts["tax"] - parts["shipping"] - line
    if (
        left and abs(left) <= CENT * n
    ):  # every order kept its identity within a cent per line, or the check had stopped
        steps.append(("less", "rounding", 0, 0, -left))
    return steps


def _tie_customer_days(shop: Store, walked: pd.DataFrame) -> None:
    days = shop.customer_days
    held = shop.con.execute(days.revenue.cast("decimal(38, 6)").sum().cast("string"))
    held = Decimal(held) if isinstance(held, str) else Decimal(0)
    walk = walked.loc[walked.reason == "known-customer net revenue", "amount"].iloc[0]
    if abs(held - walk) >= CENT:
        raise PlaybookError(
            f"customer_days hold {held:.2f} where the ledger ends in {walk:.2f}",
            table="customer_days",
            rule="revenue ties to known-customer net revenue",
        )


def status_policy(shop: Store) -> pd.DataFrame:
    """One row per order status: status, orders, amount (total as delivered),
    is_counted.
    """
    table = shop.orders.group_by("status").aggregate(
        orders=_.count(), amount=_.total.sum().cast("float64")
    )
    frame = shop.con.execute(table.order_by("status"))
    return frame.assign(is_counted=frame.status.isin(shop.counted_statuses))


def inflation(shop: Store) -> pd.DataFrame:
    """What naive joins would report as sales: measure, amount, factor (1 = right).
    Order money repeated on every line is the commonest double count in practice.
    """
    joined = shop.orders.select("order_id", "total", "n_payments").inner_join(
        shop.order_money, "order_id"
    )
    by_line = (joined.total * joined.n_lines).cast("decimal(38, 6)")
    by_payment = (by_line * ibis.greatest(joined.n_payments.fill_null(1), 1)).cast("decimal(38, 6)")
    sums = [
        amount.sum().cast("string")
        for amount in (joined.total.cast("decimal(38, 6)"), by_line, by_payment)
    ]
    found = shop.con.execute(joined.aggregate(right=sums[0], naive=sums[1], paid=sums[2])).iloc[0]
    right, naive, paid = (Decimal(a) if isinstance(a, str) else Decimal(0) for a in found)
    rows = [("order totals, taken once", right), ("order totals joined to lines", naive)]
    rows += [("joined to lines and payments", paid)] if shop.has("orders.n_payments") else []
    frame = pd.DataFrame(rows, columns=["measure", "amount"])
    return frame.assign(factor=[float(a / right) if right else None for a in frame.amount])
