"""Columns of words that the mapping leaves out and that say of rows that they are no sale:
a second status, the kind of a booking, a mark of tests. Such rows are not counted in
silence.
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.sources import clean
from playbook.sources.adapter import Delivery
from playbook.sources.column_account import number_at
from playbook.sources.mapped import Mapped, fields
from playbook.sources.read import normalised
from playbook.store.write import quoted

MOST_WORDS = 24  # a column with more different values is a text, and no list of kinds
YES = ("true", "yes", "y", "1", "x", "ja", "oui", "是")
SHOWN = 5


def refuse_rows_said_no_sale(d: Delivery, told: Mapped, kind: str) -> None:
    """PlaybookError for a column read by no line of the mapping that says of rows with money
    that they are no sale (`kind` sale), or no refund (`kind` refund).
    """
    ignored = {normalised(header) for header in told.ignored}
    money = next((n for n in ("total", "amount", "price") if d.has(n)), None)
    if money is None:
        return
    counted = _counted(d, told, money)
    for at, header in enumerate(d.sheet.headers):
        if at in d.at.values() or not header or normalised(header) in ignored:
            continue
        words = _words_of_none(d, at, kind)
        if not words:
            continue
        listed = ", ".join(quoted(w) for w in words)
        n, total = d.con.execute(
            f"SELECT count(*), coalesce(sum({number_at(d, d.at[money])}), 0) FROM {d.sheet.scan} "
            f"WHERE {_bare(at)} IN ({listed}) AND {counted}"
        ).fetchone()
        if n:
            raise PlaybookError(
                f"sources.rows_said_no_{kind}",
                words=", ".join(words[:SHOWN]),
                total=total,
                file=d.sheet.path.name,
                column=header,
                rows=n,
            )


def _words_of_none(d: Delivery, at: int, kind: str) -> list[str]:
    """The values of a column that say so, as they are compared."""
    found = d.con.execute(
        f"SELECT DISTINCT {_bare(at)} FROM {d.sheet.scan} WHERE trim(c{at}) <> '' LIMIT {MOST_WORDS + 1}"
    ).fetchall()
    if len(found) > MOST_WORDS:
        return []
    told = fields()["no_" + kind]
    words = {w.strip() for w in told["words"].split("|")}
    for meaning in told["statuses"].split("|"):
        words |= {w.strip() for w in fields()["status"][meaning.strip()].split("|")}
    marks = {w.strip() for w in told["marks"].split("|")}
    if marks & set(normalised(d.sheet.headers[at]).split()):
        words |= set(YES)
    return sorted(word for (word,) in found if word in words)


def _bare(at: int) -> str:
    """A cell as its words are compared: lower case, its signs as blanks."""
    return f"trim(regexp_replace(lower(c{at}), '[_\\-\\s]+', ' ', 'g'))"


def _counted(d: Delivery, told: Mapped, money: str) -> str:
    """SQL: whether a row of the file counts as a sale, by what the mapping does read."""
    tests = [f"{number_at(d, d.at[money])} > 0"]
    if d.has("quantity"):
        tests.append(f"coalesce({number_at(d, d.at['quantity'])}, 1) >= 0")
    if d.has("refunded"):
        tests.append(f"coalesce({number_at(d, d.at['refunded'])}, 0) = 0")
    for pattern in (told.credit_notes, told.adjustments):
        if pattern:
            tests.append(
                f"NOT regexp_matches(coalesce(c{d.at['order_id']}, ''), {quoted(pattern)})"
            )
    if d.has("status"):
        none = [word for word, means in told.status.items() if means in ("cancelled", "refunded")]
        listed = ", ".join(quoted(w) for w in (*none, "cancelled", "refunded"))
        text = clean.plain_text(f"c{d.at['status']}")
        tests.append(f"coalesce(lower({text}), '') NOT IN ({listed})")
    return " AND ".join(tests)
