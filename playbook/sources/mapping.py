"""A table nobody wrote an adapter for: a mapping file says which of its headers is
what.

`propose_mapping` writes a first version from the headers; a person corrects it; `import
generic FILE --mapping M` uses it.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery, value_kind
from playbook.sources.allocate import finish_orders
from playbook.sources.read import normalised, open_sheets
from playbook.store.contract import TABLES
from playbook.store.write import connect

__all__ = ["Proposal", "adapter_from_mapping", "propose_mapping"]

STATUSES = ("placed", "paid", "shipped", "done", "cancelled", "refunded")
# canonical column of an order file -> (type, words headers are made of, in several languages)
ORDER_COLUMNS: dict[str, tuple[str, str]] = {
    "order_id": (
        "id",
        "order id | order number | order no | order | bestellnummer | bestellung | auftragsnummer | commande | pedido | 订单号 | 订单编号 | invoice | invoice no",
    ),
    "ordered_at": (
        "time",
        "ordered at | order date | date | created at | created | purchase date | bestelldatum | datum | date de commande | fecha | 下单时间 | 创建时间 | invoice date | timestamp",
    ),
    "sku": (
        "id",
        "sku | item sku | product sku | article | artikelnummer | artikel nr | référence | product id | stock code | item id | 商家编码 | 商品编码",
    ),
    "title": (
        "text",
        "title | product | product name | item name | description | artikel | bezeichnung | désignation | nombre | 商品名称 | 标题",
    ),
    "quantity": ("count", "quantity | qty | units | menge | anzahl | quantité | cantidad | 数量"),
    "price": (
        "money",
        "price | unit price | einzelpreis | stückpreis | prix | prix unitaire | precio | 单价 | 价格",
    ),
    "amount": (
        "money",
        "amount | line total | item total | line amount | gesamtpreis | positionssumme | montant | importe | 金额 | 小计",
    ),
    "line_discount": (
        "money",
        "discount | line discount | item discount | rabatt | remise | descuento | 优惠",
    ),
    "list_price": ("money", "list price | compare at price | uvp | rrp"),
    "unit_cost": ("money", "unit cost | cost | cogs | einkaufspreis | ek | coût | costo | 成本"),
    "subtotal": ("money", "subtotal | zwischensumme | sous total"),
    "order_discount": ("money", "order discount | discount amount | cart discount"),
    "shipping": (
        "money",
        "shipping | shipping cost | shipping charged | freight | versand | versandkosten | frais de port | 运费",
    ),
    "tax": ("money", "tax | vat | taxes | mwst | ust | tva | iva | 税"),
    "total": (
        "money",
        "total | order total | grand total | gesamtsumme | gesamtbetrag | total ttc | 总金额 | 实付金额",
    ),
    "status": (
        "word",
        "status | order status | state | bestellstatus | statut | estado | 订单状态",
    ),
    "email": ("contact", "email | e mail | customer email | buyer email | mail | 邮箱"),
    "customer": (
        "contact",
        "customer id | customer | customer number | kundennummer | kunde | client | buyer | 会员名 | 客户",
    ),
    "currency": ("word", "currency | währung | devise | moneda | 币种"),
    "coupon": ("text", "coupon | coupon code | discount code | voucher | gutschein | 优惠券"),
    "source": ("text", "source | utm source | traffic source | quelle | 来源"),
    "medium": ("text", "medium | utm medium"),
    "campaign": ("text", "campaign | utm campaign | kampagne | 活动"),
    "region": ("word", "region | state | province | bundesland | 省份"),
    "country": ("word", "country | land | pays | país | 国家"),
    "device": ("word", "device | gerät"),
    "paid_at": ("time", "paid at | payment date | bezahlt am | 付款时间"),
    "shipped_at": ("time", "shipped at | shipping date | dispatch date | versanddatum | 发货时间"),
    "delivered_at": ("time", "delivered at | delivery date | lieferdatum"),
    "cancelled_at": ("time", "cancelled at | canceled at | storniert am"),
    "refunded": ("money", "refunded | refunded amount | refund | erstattet | 退款金额"),
}
PERSONAL = (
    "name",
    "phone",
    "address",
    "street",
    "zip",
    "postcode",
    "city",
    "telefon",
    "adresse",
    "strasse",
    "straße",
    "plz",
    "ort",
    "姓名",
    "电话",
    "手机",
    "地址",
    "notes",
    "comment",
    "bemerkung",
)
REQUIRED = ("order_id", "ordered_at")


@dataclass(frozen=True)
class Proposal:
    """A proposed mapping: `text` is the YAML to save and edit; `unmatched` are headers
    it found no use for.
    """

    table: str
    text: str
    columns: dict[str, str]
    unmatched: list[str]
    personal: list[str]

    def lines(self) -> list[str]:
        """The proposal in sentences, one a line."""
        out = [f"{self.table}.{name} <- {header}" for name, header in self.columns.items()]
        out += [f"personal, never read: {', '.join(self.personal)}"] if self.personal else []
        return out + ([f"no use found for: {', '.join(self.unmatched)}"] if self.unmatched else [])


def propose_mapping(file: str | os.PathLike) -> Proposal:
    """Reads the headers of `file` and proposes what each one is; raises PlaybookError
    if nothing can be made of them.
    """
    path = Path(file)
    with tempfile.TemporaryDirectory(prefix="playbook-import-") as scratch:
        con = connect(scratch=Path(scratch))
        sheets = open_sheets(
            con, path, Path(scratch), lambda names: sum(_nearest(n)[1] > 0.8 for n in names if n)
        )
        sheets = [s for s in sheets if s.scan] or sheets
        sheet = max(sheets, key=lambda s: len(s.headers))
    headers = [h for h in sheet.headers if h]
    if len(headers) < 2:
        raise PlaybookError(
            "no row of headers was found",
            file=path.name,
            do="put one row of column names above the rows",
        )
    table = _table_of({normalised(h) for h in headers})
    names = (
        dict(ORDER_COLUMNS)
        if table == "orders"
        else {
            c.name: (
                {
                    "int": "count",
                    "dec": "money",
                    "num": "number",
                    "ts": "time",
                    "date": "day",
                    "bool": "flag",
                }.get(c.type, "text"),
                c.name,
            )
            for c in TABLES[table].columns
        }
    )
    ranked = sorted(
        (
            (_likeness(normalised(h), words), name, h)
            for h in headers
            for name, (_, words) in names.items()
        ),
        reverse=True,
    )
    columns: dict[str, str] = {}
    for likeness, name, header in ranked:
        if likeness >= 0.8 and name not in columns and header not in columns.values():
            columns[name] = header
    columns = {name: columns[name] for name in names if name in columns}
    rest = [h for h in headers if h not in columns.values()]
    personal = [
        h
        for h in rest
        if any(
            p in normalised(h).split() or (len(p) > 1 and not p.isascii() and p in h)
            for p in PERSONAL
        )
    ]
    unmatched = [h for h in rest if h not in personal]
    needed = [
        n for n in (REQUIRED if table == "orders" else TABLES[table].required) if n not in columns
    ]
    text = [
        "# Which header is what. Correct it, then: playbook import generic FILE --mapping THIS --into FOLDER",
        f"table: {table}",
        f"name: {normalised(path.stem).replace(' ', '-') or 'shop'}",
        "# time zone of times without an offset; decimal_comma and day_first only where the file leaves it open",
        "zone:",
        "decimal_comma:",
        "day_first:",
        "columns:",
    ]
    text += [f"  {name}: {_yaml(header)}" for name, header in columns.items()]
    text += [f"  {name}:  # needed, and not found" for name in needed]
    if table == "orders":
        text += [
            "# words of the status column -> placed, paid, shipped, done, cancelled or refunded",
            "status: {}",
        ]
    text += [f"# no use found for: {h}" for h in unmatched] + [
        f"# personal, never read: {h}" for h in personal
    ]
    return Proposal(table, "\n".join(text) + "\n", columns, unmatched, personal)


def _yaml(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, default_style='"', width=10_000).strip()


def _likeness(name: str, words: str) -> float:
    aliases = [normalised(w) for w in words.split("|")]
    if name in aliases:
        return 1.5 - 0.01 * aliases.index(name)
    return max(difflib.SequenceMatcher(None, name, a).ratio() for a in aliases) if name else 0.0


def _nearest(name: str) -> tuple[str, float]:
    found = max(((_likeness(name, words), c) for c, (_, words) in ORDER_COLUMNS.items()))
    exact = max(
        (1.0 for t in TABLES.values() for c in t.columns if normalised(c.name) == name), default=0.0
    )
    return found[1], max(found[0], exact)


def _table_of(names: set[str]) -> str:
    """The contract table whose required columns are all there, else an order file."""
    fitting = [
        (len(names & {normalised(c.name) for c in t.columns}), t.name)
        for t in TABLES.values()
        if t.name not in ("orders", "order_lines", "refunds", "import_ledger", "survey")
        and {normalised(r) for r in t.required} <= names
    ]
    return max(fitting)[1] if fitting else "orders"


def adapter_from_mapping(mapping: Mapping[str, object] | str | os.PathLike | None) -> Adapter:
    """The adapter a mapping file describes; PlaybookError names the line that does not
    make sense.
    """
    if mapping is None:
        raise PlaybookError(
            "a mapping file is needed for the kind generic", do="make one with `playbook map FILE`"
        )
    told = mapping
    name = "mapping"
    if not isinstance(mapping, Mapping):
        name = Path(mapping).name
        try:
            told = yaml.safe_load(Path(mapping).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise PlaybookError(
                "the mapping cannot be read",
                file=name,
                rule=str(error).splitlines()[0][:120],
                do="start again from `playbook map FILE`",
            ) from None
    if not isinstance(told, Mapping) or not isinstance(told.get("columns"), Mapping):
        raise PlaybookError(
            "the mapping has no `columns:`", file=name, do="start again from `playbook map FILE`"
        )
    table = str(told.get("table") or "orders")
    known = (
        ORDER_COLUMNS
        if table == "orders"
        else {c.name: None for c in TABLES[table].columns}
        if table in TABLES
        else None
    )
    if known is None:
        raise PlaybookError(
            f"the mapping is for an unknown table {table!r}",
            file=name,
            rule=f"orders or one of {', '.join(TABLES)}",
            do="correct the line `table:`",
        )
    columns = {str(k): str(v) for k, v in told["columns"].items() if v not in (None, "")}
    odd = sorted(set(columns) - set(known))
    if odd:
        raise PlaybookError(
            f"the mapping names columns that {table} does not have: {', '.join(odd)}",
            file=name,
            rule=f"one of {', '.join(known)}",
            do="correct or remove these lines",
        )
    needed = [
        n for n in (REQUIRED if table == "orders" else TABLES[table].required) if n not in columns
    ]
    if needed or (table == "orders" and not {"price", "amount", "total"} & set(columns)):
        needed = needed or ["price, amount or total"]
        raise PlaybookError(
            f"the mapping leaves out what is needed: {', '.join(needed)}",
            file=name,
            do="name their headers",
        )
    statuses = {str(k).lower(): str(v) for k, v in (told.get("status") or {}).items()}
    wrong = sorted(set(statuses.values()) - set(STATUSES))
    if wrong:
        raise PlaybookError(
            f"statuses that are not known: {', '.join(wrong)}",
            file=name,
            rule=f"one of {', '.join(STATUSES)}",
            do="correct the lines under `status:`",
        )
    family = normalised(str(told.get("name") or "generic")).replace(" ", "-") or "generic"
    knobs = {
        "zone": str(told.get("zone") or ""),
        "day_first": told.get("day_first"),
        "is_decimal_comma": told.get("decimal_comma"),
        "version": repr(sorted(statuses.items())),
    }
    for knob in ("day_first", "decimal_comma"):
        if told.get(knob) not in (None, True, False):
            raise PlaybookError(
                f"{knob} is neither true nor false", file=name, do="write true, false or nothing"
            )
    if table != "orders":
        from playbook.sources.sheets import WORDS, shape_of

        lines = [
            f"{n}{'!' if n in TABLES[table].required else ''} {value_kind(TABLES[table].column(n), WORDS)} | {h}"
            for n, h in columns.items()
        ]
        return Adapter(
            f"generic-{table}",
            f"{family} (mapped)",
            (table,),
            "\n".join(lines),
            shape_of(table),
            **knobs,
        )
    lines = [
        f"{n}{'!' if n in REQUIRED else ''} {ORDER_COLUMNS[n][0]} | {h}" for n, h in columns.items()
    ]
    return Adapter(
        f"generic-orders-{family}",
        f"{family} (mapped)",
        ("orders", "order_lines"),
        "\n".join(lines),
        lambda d: _shape_orders(d, statuses, family),
        family=family,
        **knobs,
    )


def _shape_orders(d: Delivery, statuses: Mapping[str, str], family: str) -> None:
    """Lines with the order's fields on each of them, or on the first only, or one row
    per order.
    """
    said = d.word("status")
    by_word = " ".join(f"WHEN lower({said}) = {_sql(k)} THEN '{v}'" for k, v in statuses.items())
    plain = " ".join(f"WHEN lower({said}) = '{s}' THEN '{s}'" for s in STATUSES)
    status = f"CASE {by_word} {plain} END" if d.has("status") else "'done'"
    if d.has("status"):
        (n,) = d.con.execute(
            f"SELECT count(*) FROM raw WHERE status IS NOT NULL AND {status} IS NULL"
        ).fetchone()
        if n:
            words = d.con.execute(
                f"SELECT DISTINCT status FROM raw WHERE status IS NOT NULL AND {status} IS NULL ORDER BY 1 LIMIT 8"
            ).fetchall()
            raise PlaybookError(
                f"states of orders without a meaning: {', '.join(w for (w,) in words)}",
                file=d.sheet.path.name,
                column=d.header("status"),
                rows=n,
                rule="status",
                do="say under `status:` in the mapping what each one is",
            )
    has_lines = d.has("quantity") or d.has("price") or d.has("amount")
    quantity = d.count("quantity") if d.has("quantity") else "1"
    amount = d.money("amount")
    if d.has("price"):
        price = d.money("price")
    elif d.has("amount"):
        price = f"CAST({amount} / nullif({quantity}, 0) AS DECIMAL(18,6))"
    else:
        price = d.money("subtotal") if d.has("subtotal") else d.money("total")
    line_filled = (
        "price IS NOT NULL"
        if d.has("price")
        else "amount IS NOT NULL"
        if d.has("amount")
        else "true"
    )
    lines = f"""
        SELECT {d.id("order_id")} AS order_id, {d.id("sku")} AS sku, {d.text("title")} AS title, {quantity} AS quantity, {price} AS price,
               {d.money("line_discount")} AS discount, {d.money("list_price")} AS list_price, {d.money("unit_cost")} AS unit_cost
        FROM raw WHERE {line_filled}"""
    person = f"coalesce({d.contact('email')}, {d.contact('customer')})"
    fields = {
        "subtotal": d.money("subtotal"),
        "discount": d.money("order_discount"),
        "shipping": d.money("shipping"),
        "tax": d.money("tax"),
        "total": d.money("total"),
        "refunded": d.money("refunded"),
        "currency": f"upper({d.word('currency')})",
        "coupon": d.text("coupon"),
        "source": d.text("source"),
        "medium": d.text("medium"),
        "campaign": d.text("campaign"),
        "region": d.word("region"),
        "country": d.word("country"),
        "device": d.word("device"),
        "customer_id": person,
        "paid_at": d.utc("paid_at"),
        "shipped_at": d.utc("shipped_at"),
        "delivered_at": d.utc("delivered_at"),
        "cancelled_at": d.utc("cancelled_at"),
        "status": status,
    }
    d.require("order_id", "ordered_at", when="true")
    if d.has("quantity"):
        d.require("quantity", when=line_filled)
    d.refuse_unreadable("orders", budget=0.0)
    # an order's money stands on each of its rows or on one of them: either way it is taken once
    picks = ", ".join(f"max({e}) AS {n}" for n, e in fields.items())
    goods = f"sum({quantity} * {price} - coalesce({d.money('line_discount')}, 0)) FILTER ({line_filled})"
    total = (
        f"coalesce(max({d.money('total')}), {goods} - coalesce(max({d.money('order_discount')}), 0) + coalesce(max({d.money('shipping')}), 0) "
        f"+ coalesce(max({d.money('tax')}), 0))"
    )
    heads = f"""
        SELECT {d.id("order_id")} AS order_id, min({d.utc("ordered_at")}) AS ordered_at, min({d.day("ordered_at")}) AS ordered_on,
               '{family}' AS platform, {picks.replace(f"max({d.money('total')}) AS total", f"{total} AS total")}
        FROM raw GROUP BY 1"""
    if d.has("total"):
        differing = d.con.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM raw GROUP BY {d.id('order_id')} "
            f"HAVING count(DISTINCT {d.money('total')}) > 1)"
        ).fetchone()[0]
        if differing:
            raise PlaybookError(
                "orders whose rows tell different totals",
                file=d.sheet.path.name,
                column=d.header("total"),
                rows=differing,
                rule="one total per order",
                do="map this header as `amount` if it is the line's money",
            )
    if not has_lines:
        d.notes.append("the file has no lines: each order stands as one line without sku")
    finish_orders(
        d,
        heads.replace("max(CAST(NULL AS VARCHAR)) AS status", "'done' AS status"),
        lines,
        is_line=line_filled,
    )


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
