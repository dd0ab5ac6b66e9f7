"""What the adapters of settlements, payouts and payment accounts share: each row of such a
file is one movement of money, and each movement is of one sort.

A *fee* is a cost of the shop, a *refund* money given back to a buyer; *sales* are told by
the orders' own export, *moved* money only changes its place (payouts, reserves,
conversions), *not done* never happened. The account of the file says what each sort comes
to, and that nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.sources.adapter import Delivery
from playbook.sources.fees import KINDS

SORTS = ("sale", "refund", "chargeback", "moved", "withheld", "not_done", *KINDS)


@dataclass(frozen=True)
class Account:
    """Whose account a file is: the provider's name, the family of orders it speaks of
    (empty: any), and whether it is the marketplace's own account of the orders it sold.
    """

    provider: str
    family: str = ""
    is_books: bool = False
    is_fine: bool = False


def numbered(content: str, provider: str) -> str:
    """SQL: a name for a booking by its content, equal ones numbered."""
    text = f"md5(concat_ws('|', {content}))"
    return (
        f"'{provider}-' || left({text}, 16) || '-' || "
        f"row_number() OVER (PARTITION BY {text} ORDER BY 1)"
    )


def check_sums(d: Delivery, whole: str, parts: list[str], *, table: str = "raw") -> None:
    """The account of a row: the parts come to the whole in every row of it. PlaybookError
    naming the rows where they do not: a column of money would then be one nobody read.
    """
    total = " + ".join(f"coalesce({p}, 0)" for p in parts)
    rows, amount = d.con.execute(
        f"SELECT count(*), coalesce(sum({whole} - ({total})), 0) FROM {table} "
        f"WHERE abs({whole} - ({total})) > 0.011"
    ).fetchone()
    if rows:
        raise PlaybookError(
            "sources.row_does_not_add_up",
            amount=amount,
            file=d.sheet.path.name,
            rows=rows,
        )


def emit_bookings(d: Delivery, account: Account) -> None:
    """Hands over fees and refunds from the table `moves`: order_ref, moved_at, booked_on,
    currency, what, content (what names the booking), sort, amount (as the account grows),
    and where told fee (a cost within the movement), fee_kind, goods, tax, sku, quantity,
    settlement.
    """
    con = d.con
    have = {row[0] for row in con.execute("DESCRIBE moves").fetchall()}
    for column, kind in {
        "fee": "DECIMAL(18,6)",
        "fee_kind": "VARCHAR",
        "goods": "DECIMAL(18,6)",
        "tax": "DECIMAL(18,6)",
        "sku": "VARCHAR",
        "quantity": "BIGINT",
        "settlement": "VARCHAR",
    }.items():
        if column not in have:
            con.execute(f"ALTER TABLE moves ADD COLUMN {column} {kind}")
    # a reference may be anything a plug-in writes: no person's address is kept
    con.execute("UPDATE moves SET order_ref = NULL WHERE contains(order_ref, '@')")
    family = f"'{account.family}'" if account.family else "CAST(NULL AS VARCHAR)"
    same = (
        f"order_ref, booked_on, currency, '{account.provider}' AS provider, {family} AS family, "
        f"settlement, {str(account.is_fine).lower()} AS is_fine"
    )
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    con.execute(f"""CREATE OR REPLACE TABLE fee_rows AS
        SELECT {same}, what, sort AS kind, -amount AS amount, content || '|own' AS content
        FROM moves WHERE sort IN ({kinds}) AND amount <> 0
        UNION ALL
        SELECT {same}, what, coalesce(fee_kind, 'payment'), fee, content || '|fee' FROM moves
        WHERE fee <> 0 AND sort <> 'not_done'""")
    (n_fees,) = con.execute("SELECT count(*) FROM fee_rows").fetchone()
    if n_fees:
        name = numbered("content, kind, what, amount", account.provider)
        d.emit(
            "fees",
            f"SELECT {name} AS fee_id, * EXCLUDE (content) FROM fee_rows",
        )
    (n_back,) = con.execute(
        "SELECT count(*) FROM moves WHERE sort IN ('refund', 'chargeback') AND amount <> 0"
    ).fetchone()
    if n_back:
        name = numbered("content, amount", account.provider)
        d.emit(
            "provider_refunds",
            f"""SELECT {name} AS refund_id, {same}, booked_on AS refunded_on, moved_at AS refunded_at,
                       sort AS kind, what AS reason, -amount AS total, -goods AS goods,
                       -tax AS tax, sku, abs(quantity) AS quantity,
                       {str(account.is_books).lower()} AS is_books
                FROM moves WHERE sort IN ('refund', 'chargeback') AND amount <> 0""",
        )
    _say_account(d)
    d.is_checked = True


def _say_account(d: Delivery) -> None:
    """One line per sort: rows, money of the account, and what all of them come to."""
    found = d.con.execute(
        "SELECT sort, count(*), coalesce(sum(amount), 0), coalesce(sum(fee), 0) FROM moves GROUP BY 1"
    ).fetchall()
    by_sort = {sort: (n, amount, fee) for sort, n, amount, fee in found}
    for sort in SORTS:
        if sort in by_sort:
            n, amount, fee = by_sort[sort]
            name = say(f"sources.sort_{sort}")
            d.notes.append(say("sources.moves_of_sort", sort=name, n=n, amount=amount, fee=fee))
    total = sum((amount - fee for _, amount, fee in by_sort.values()), Decimal(0))
    d.notes.append(
        say("sources.moves_in_all", n=sum(n for n, _, _ in by_sort.values()), total=total)
    )


def currency_is_named(d: Delivery, column: str = "currency") -> str:
    """SQL: the currency of each row in upper case; PlaybookError where the file has rows
    that name none and the shop's is not told either.
    """
    (unnamed,) = d.con.execute(
        f"SELECT count(*) FROM raw WHERE {d.word(column)} IS NULL"
    ).fetchone()
    if unnamed and not d.settings.currency:
        raise PlaybookError(
            "sources.currency_not_told", file=d.sheet.path.name, rows=unnamed, column=column
        )
    told = f"'{d.settings.currency}'" if d.settings.currency else "CAST(NULL AS VARCHAR)"
    return f"upper(coalesce({d.word(column)}, {told}))"


def emit_once(d: Delivery, account: Account, *, fees: str, refunds: str) -> None:
    """Hands over bookings of which an order has one of a name, whichever file tells it:
    `fees` yields order_ref, booked_on, currency, what, name, kind, amount, and `refunds`
    order_ref, currency, total (without a day).
    """
    who = f"'{account.provider}' AS provider, '{account.family}' AS family"
    d.emit(
        "fees",
        f"""SELECT '{account.provider}-' || name || '-' || order_ref AS fee_id, {who}, * EXCLUDE (name)
            FROM ({fees}) WHERE amount <> 0""",
    )
    d.emit(
        "provider_refunds",
        f"""SELECT '{account.provider}-refund-' || order_ref AS refund_id, {who}, order_ref, currency, total,
                   'refund' AS kind, {str(account.is_books).lower()} AS is_books FROM ({refunds}) WHERE total > 0""",
    )
