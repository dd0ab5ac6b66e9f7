"""Whether the prices of a mapped order file hold the tax told beside them, where no total
tells: by the header, else by the rate that the money comes to.

A rate is set by law in whole or half per cents. 2.00 in 12.00 are 20 % of the 10.00 left
and no such rate of 12.00; 1.00 beside 10.00 is 10 %. Where both readings or neither give
such rates, the import asks.
"""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.sources.adapter import Delivery
from playbook.sources.mapped import Mapped, fields
from playbook.sources.read import normalised

STEPS = 200  # rates are multiples of half a per cent
HALF_CENT = "0.0051"  # each line of an order may be rounded by so much
ALMOST_ALL, FEW = 0.95, 0.5  # of the orders with tax: one reading explains these, the other not


def is_tax_inside(d: Delivery, told: Mapped) -> bool:
    """Whether prices hold the tax. Reads `order_sums`; PlaybookError where nothing tells."""
    if not d.has("tax") or d.has("total") or d.has("subtotal"):
        return False
    said = told.tax_inside if told.tax_inside is not None else _by_header(d)
    if said is not None:
        return said
    n, n_inside, n_on_top = d.con.execute(f"""
        WITH o AS (
            SELECT tax, goods - coalesce(order_discount, 0) - given AS goods, coalesce(shipping, 0) AS shipping, n_lines
            FROM order_sums JOIN (SELECT order_id, count(*) AS n_lines FROM classed GROUP BY 1) USING (order_id)
            WHERE is_sale AND tax > 0 AND goods > tax)
        SELECT count(*), count(*) FILTER ({_either(_inside)}), count(*) FILTER ({_either(_on_top)})
        FROM o""").fetchone()
    if (n_on_top >= ALMOST_ALL * n and n_inside < FEW * n) or not n:
        return False
    if n_inside >= ALMOST_ALL * n and n_on_top < FEW * n:
        return True
    raise PlaybookError(
        "sources.tax_inside_or_on_top",
        file=d.sheet.path.name,
        column=d.header("tax"),
        price=d.header("price") if d.has("price") else d.header("amount"),
        rows=n,
    )


def _by_header(d: Delivery) -> bool | None:
    """What the header of prices says: `price incl. VAT`, `Preis netto`; None where nothing."""
    words = {w for n in ("price", "amount") if d.has(n) for w in normalised(d.header(n)).split()}
    inside, outside = (
        bool(words & {w.strip() for w in fields()["taxed"][side].split("|")})
        for side in ("inside", "outside")
    )
    return inside if inside != outside else None


def _either(reading: object) -> str:
    """SQL: whether a reading gives a rate with the goods alone or with shipping taxed too."""
    return f"({reading('goods')}) OR ({reading('(goods + shipping)')})"


def _inside(base: str) -> str:
    rate = f"(round({STEPS} * CAST(tax AS DOUBLE) / nullif({base} - tax, 0)) / {STEPS})"
    return f"{rate} > 0 AND abs(tax - {base} * {rate} / (1 + {rate})) <= {HALF_CENT} * n_lines"


def _on_top(base: str) -> str:
    rate = f"(round({STEPS} * CAST(tax AS DOUBLE) / nullif({base}, 0)) / {STEPS})"
    return f"{rate} > 0 AND abs(tax - {base} * {rate}) <= {HALF_CENT} * n_lines"
