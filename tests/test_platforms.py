"""Exports of further platforms: each recognised as its own kind, to the cent, and tried on a
file with the traps of public bug reports.

Every folder of tests/cases/platforms holds small invented files, the addresses of the
reports they follow (`source`) and what is right, worked out by hand (`right`).
"""

import json
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from test_import import KIND_OF, SAMPLES

from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.sources import columns, kinds
from playbook.sources.adapter import found_columns, header_list
from playbook.sources.importing import ImportReport, import_files
from playbook.sources.read import _encoding, normalised, open_sheets
from playbook.store import open_store
from playbook.store.reconcile import ledger
from playbook.store.write import connect

CASES = Path(__file__).resolve().parent / "cases" / "platforms"
NAMES = sorted(p.parent.name for p in CASES.glob("*/expected.json"))
SALT = b"a salt for tests only"
WALK = {
    "sales": "shop sales before returns",
    "tax": "tax",
    "shipping": "shipping",
    "tip": "tip",
    "gift_card": "gift_card",
}


def told(name: str) -> dict:
    case = json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))
    return {"name": name, **case}


def files_of(name: str) -> list[Path]:
    return sorted(
        p for p in (CASES / name).iterdir() if p.suffix.lower() in (".csv", ".txt", ".xlsx")
    )


def read(store: Path, files: list[Path], case: dict, **knobs: object) -> ImportReport:
    settings = case.get("shop")
    if settings and not store.exists():
        store.mkdir()
        lines = [f"{key}: {value}" for key, value in {"name": "shop", **settings}.items()]
        (store / "shop.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    knobs = {**(case.get("knobs") or {}), **knobs}
    if "mapping" in case:
        knobs["mapping"] = CASES / case["name"] / case["mapping"]
    kind = "mapping" if "mapping" in case else "auto"
    return import_files(kind, files, store, salt=SALT, **knobs)


def asked(store: Path, query: str) -> list[tuple]:
    return duckdb.sql(query.replace("@", f"{store}/")).fetchall()


def sums(store: Path) -> dict[str, object]:
    """What the store says of everything a case may ask for."""
    said: dict[str, object] = {"fees_linked": {}, "fees_apart": {}, "fees_waiting": Decimal(0)}
    if (store / "fees.parquet").exists():
        for kind, is_linked, is_named, amount in asked(
            store,
            "SELECT kind, order_id IS NOT NULL, order_named IS NOT NULL, sum(amount) "
            "FROM '@fees.parquet' GROUP BY ALL",
        ):
            if is_linked or not is_named:
                said["fees_linked" if is_linked else "fees_apart"][kind] = amount
            else:
                said["fees_waiting"] += amount
    if (store / "touchpoints.parquet").exists():
        names = ("n", "conversions", "journeys", "amount")
        found = asked(
            store,
            "SELECT count(*), sum(n_journeys) FILTER (is_conversion), sum(n_journeys)::INT, "
            "sum(amount) FROM '@touchpoints.parquet'",
        )
        said["touchpoints"] = dict(zip(names, found[0], strict=True))
    if (store / "search_terms.parquet").exists():
        names = ("rows", "clicks", "impressions", "last")
        found = asked(
            store,
            "SELECT count(*), sum(clicks), sum(impressions), CAST(max(until_on) AS VARCHAR) "
            "FROM '@search_terms.parquet'",
        )
        said["search"] = dict(zip(names, found[0], strict=True))
    if not (store / "orders.parquet").exists():
        return said
    last = asked(store, "SELECT max(ordered_on) FROM '@orders.parquet'")[0][0]
    back = Decimal(0)
    if (store / "refunds.parquet").exists():
        days = asked(
            store, "SELECT DISTINCT refunded_on FROM '@refunds.parquet' ORDER BY 1 NULLS LAST"
        )
        said["refund_days"] = [None if day is None else str(day) for (day,) in days]
        back = asked(store, "SELECT sum(amount) FROM '@refunds.parquet'")[0][0]
    shop = open_store(store, until=f"{last:%Y-%m}")
    walk = ledger(shop).drop_duplicates("reason").set_index("reason").amount
    said |= {name: abs(walk.get(reason, Decimal(0))) for name, reason in WALK.items()}
    said |= {"refunds": back, "net": said["sales"] - back}
    said["orders"] = asked(store, "SELECT count(*) FROM '@orders.parquet'")[0][0]
    said["statuses"] = dict(
        asked(store, "SELECT status, count(*) FROM '@orders.parquet' GROUP BY 1")
    )
    said["units"] = dict(
        asked(store, "SELECT sku, sum(quantity)::INT FROM '@order_lines.parquet' GROUP BY 1")
    )
    said["sku_revenue"] = dict(
        asked(
            store,
            "SELECT sku, sum(quantity * price - coalesce(discount, 0)) "
            "FROM '@order_lines.parquet' GROUP BY 1",
        )
    )
    said["days"] = {
        n: str(day) for n, day in asked(store, "SELECT order_id, ordered_on FROM '@orders.parquet'")
    }
    said["currencies"] = sorted(
        c for (c,) in asked(store, "SELECT DISTINCT currency FROM '@orders.parquet'") if c
    )
    return said


def off(said: object, right: object, name: str = "") -> list[str]:
    """Where the store says otherwise than the case."""
    if isinstance(right, dict):
        said = said or {}
        keys = right if name in ("", "days", "units", "sku_revenue") else {**said, **right}
        return [
            t for k in keys for t in off(said.get(k), right.get(k), f"{name}.{k}" if name else k)
        ]
    if (
        isinstance(right, str)
        and right.replace(".", "").replace("-", "").isdigit()
        and "." in right
    ):
        is_right = said is not None and abs(Decimal(said) - Decimal(right)) < Decimal("0.005")
    else:
        is_right = said == right or (right is None and not said)
    return [] if is_right else [f"{name} is {said}, not {right}"]


READ = [n for n in NAMES if "refused" not in told(n)]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The store of a case and the report of its import, made once."""
    made: dict[str, tuple[Path, ImportReport]] = {}

    def store_of(name: str) -> tuple[Path, ImportReport]:
        if name not in made:
            store = tmp_path_factory.mktemp("platform") / "s"
            made[name] = store, read(store, files_of(name), told(name))
        return made[name]

    return store_of


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(READ)))
def test_what_cannot_be_known_is_refused_by_name(name, tmp_path):
    case = told(name)
    with pytest.raises(PlaybookError) as refusal:
        read(tmp_path / "s", files_of(name), case)
    assert refusal.value.id == case["refused"] and refusal.value.do


@pytest.mark.parametrize("name", READ)
def test_the_sums_worked_out_by_hand_come_out_of_the_traps(name, imported):
    case = told(name)
    store, report = imported(name)
    assert sorted(f.kind for f in report.files) == sorted(case["kinds"])
    assert not report.skipped
    assert off(sums(store), case["right"]) == [], "\n".join(report.lines())
    for text in case.get("says", []):
        assert any(text in line for line in report.lines()), "\n".join(report.lines())


PERSONAL = ("@", "A Buyer", "J. DOE", "收件人", "jd_buyer", "1******6198", "密文", "i***")


@pytest.mark.parametrize("name", READ)
def test_nobody_is_named_in_the_store(name, imported):
    for table in imported(name)[0].glob("*.parquet"):
        kinds_of = duckdb.sql(f"DESCRIBE SELECT * FROM '{table}'").fetchall()
        texts = [column for column, kind, *_ in kinds_of if kind == "VARCHAR"]
        for column in texts:
            values = duckdb.sql(f"SELECT DISTINCT \"{column}\" FROM '{table}'").fetchall()
            found = [v for (v,) in values if v and any(word in v for word in PERSONAL)]
            assert not found, (table.name, column, found)


@pytest.mark.parametrize("name", READ)
def test_imported_one_by_one_backwards_and_once_more_the_store_is_the_same(
    name, imported, tmp_path
):
    case = told(name)
    files = files_of(name)
    for file in [*reversed(files), files[-1]]:
        read(tmp_path / "t", [file], case)
    for table in imported(name)[0].glob("*.parquet"):
        assert table.read_bytes() == (tmp_path / "t" / table.name).read_bytes(), table.name


def headers_of(path: Path, kind: str) -> list[str]:
    con = connect()
    with tempfile.TemporaryDirectory() as scratch:
        one = kinds.adapter(kind)
        sheets = open_sheets(
            con, path, Path(scratch), lambda names: kinds.score(one, names, is_named=True)
        )
        return next(s.names for s in sheets if s.scan)


def test_no_other_kind_recognises_a_sample():
    """Kinds told from each other by their headers alone: the cross table of all samples."""
    wrong = {}
    for name, kind in KIND_OF.items():
        if kinds.adapter(kind).beside or kind.startswith("table-"):
            continue
        names = headers_of(SAMPLES / name, kind)
        fits = {
            other.kind
            for other in kinds.adapters().values()
            if kinds.score(other, names)
            and not other.kind.startswith("table-")
            and not other.beside
        }
        if fits != {kind}:
            wrong[name] = fits
    assert not wrong


JAPANESE = (
    "処理区分,件数\r\n1,2\r\n",
    "注文番号,ステータス,商品名\n1,発送済み,マグカップ\n",
    "order,title\n1,赤い茶筒\n2,マグカップ（大）\n3,丸いランプ\n",
)
CHINESE = ("订单编号,买家会员名,总金额\n1,买家甲,19.90\n", "日期,花费,展现量\n2026-10-01,1.00,5\n")
WESTERN = (
    "Bestellnummer;Größe;Maß\n1;für Süßes;groß\n",
    "Numéro,Désignation\n1,Thé à la crème brûlée\n",
    "order,title\n1,it’s a mug\n2,the shop’s “best”\n",
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(t, "cp932") for t in JAPANESE]
    + [(t, "gb18030") for t in CHINESE]
    + [(t, "cp1252") for t in WESTERN]
    + [(JAPANESE[1], "euc_jp")],
)
def test_japanese_chinese_and_western_bytes_are_told_apart(text, encoding, tmp_path):
    file = tmp_path / "f.csv"
    file.write_bytes(text.encode(encoding))
    assert _encoding(file) == (encoding, False)


@pytest.mark.parametrize("text", ["点検連番,型式\r\n1,2\r\n", "title\n赤い缶\n"])
def test_a_few_japanese_signs_without_a_word_of_headers_are_refused_not_guessed(text, tmp_path):
    (tmp_path / "f.csv").write_bytes(text.encode("cp932"))
    with pytest.raises(PlaybookError) as refusal:
        _encoding(tmp_path / "f.csv")
    assert refusal.value.id == "sources.encoding_unsure"


# --- fees and refunds beside the orders ------------------------------------------------------


def fees_of(store: Path, month: str) -> dict[str, Decimal]:
    """What each counted order of the month's view pays in fees and freight."""
    shop = open_store(store, until=month)
    found = shop.sales_orders.select("order_id", "fees", "fulfilment").execute()
    return {r.order_id: (r.fees, r.fulfilment) for r in found.itertuples()}


def test_booked_fees_are_costs_of_their_orders_and_none_is_known_before_its_day(tmp_path):
    case = told("amazon-settlement")
    read(tmp_path / "s", files_of("amazon-settlement"), case)
    fees = fees_of(tmp_path / "s", "2026-10")
    # commission 17.86 and 3.57; what Amazon takes for fulfilment, less the postage charged
    assert fees["302-0000001-0000001"] == (Decimal("17.86"), Decimal("5.20"))
    assert fees["302-0000002-0000002"] == (Decimal("3.57"), Decimal("3.10"))


def test_a_fee_of_the_next_month_is_not_known_at_the_end_of_this_one(tmp_path):
    case = told("shopify-payouts")
    late = (CASES / "shopify-payouts" / "orders_export.csv").read_text(encoding="utf-8")
    row = late.splitlines()[-1].replace("2026-10-05", "2026-10-31").replace("1005", "1006")
    (tmp_path / "orders_export.csv").write_text(f"{late}{row}\n", encoding="utf-8")
    files = [f for f in files_of("shopify-payouts") if f.name != "orders_export.csv"]
    read(tmp_path / "s", [*files, tmp_path / "orders_export.csv"], case)
    # the chargeback's fee of 15.00 came back in November
    assert fees_of(tmp_path / "s", "2026-10")["#1003"][0] == Decimal("16.74")


@pytest.mark.parametrize("name", ["amazon-settlement", "shopify-payouts", "stripe", "paypal"])
def test_fees_imported_before_their_orders_wait_for_them_by_name(name, tmp_path):
    case = told(name)
    first = {"amazon-settlement": "sett", "shopify-payouts": "paym", "stripe": "item"}
    accounts = [f for f in files_of(name) if f.name.startswith(first.get(name, "Down"))]
    if name == "amazon-settlement":
        (tmp_path / "other").mkdir()
        orders = (CASES / name / "orders.txt").read_text(encoding="utf-8").splitlines()
        one = "\n".join([orders[0], orders[1].replace("302-", "999-")]) + "\n"
        (tmp_path / "other" / "orders.txt").write_text(one, encoding="utf-8")
        read(tmp_path / "s", [tmp_path / "other" / "orders.txt"], case)
    report = read(tmp_path / "s", accounts, case)
    assert any("not in the store" in line for line in report.lines())
    assert sums(tmp_path / "s")["fees_linked"] == {}
    read(tmp_path / "s", files_of(name), case)
    assert off(sums(tmp_path / "s")["fees_linked"], case["right"]["fees_linked"], "fees") == []


def test_orders_of_a_settlement_give_way_to_the_order_file(tmp_path):
    case = told("amazon-settlement")
    files = files_of("amazon-settlement")
    settlements = [f for f in files if f.name.startswith("sett")]
    report = read(tmp_path / "s", settlements, case)
    assert any("day of posting" in line for line in report.lines())
    read(tmp_path / "s", files, case)
    assert off(sums(tmp_path / "s"), case["right"]) == []


def changed(name: str, file: str, old: str, new: str, to: Path) -> Path:
    """A case's file with one thing changed."""
    text = (CASES / name / file).read_text(encoding="utf-8")
    assert old in text
    (to / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return to / file


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "refused"),
    [
        (
            "amazon-settlement",
            "settlement-1.txt",
            "Commission\t-8,93",
            "Commission\t-9,93",
            "sources.settlement_cut_off",
        ),
        ("amazon-settlement", "settlement-1.txt", "\tEUR\t", "\t\t", "sources.currency_not_told"),
        ("stripe", "itemized_1.csv", "45.91,0.94", "46.91,0.94", "sources.row_does_not_add_up"),
        ("paypal", "Download.CSV", '"-1,75"', '"-1,85"', "sources.row_does_not_add_up"),
        (
            "amazon-transactions",
            "month.csv",
            "fba fees",
            "fba fees net",
            "sources.no_file_recognised",
        ),
        (
            "amazon-transactions",
            "month.csv",
            "other transaction fees",
            "further fees",
            "sources.row_does_not_add_up",
        ),
        (
            "tiktok-shop",
            "All order.csv",
            "SKU Seller Discount",
            "Seller gave",
            "sources.row_does_not_add_up",
        ),
        ("etsy", "EtsySoldOrderItems2026-9.csv", "68.00", "69.00", "sources.row_does_not_add_up"),
        (
            "etsy",
            "EtsySoldOrderItems2026-9.csv",
            "online_cc,,,,MUG",
            "online_cc,5.00,,,MUG",
            "sources.money_not_understood",
        ),
    ],
)
def test_an_account_that_does_not_add_up_or_names_no_currency_is_refused(
    name, file, old, new, refused, tmp_path
):
    damaged = changed(name, file, old, new, tmp_path)
    with pytest.raises(PlaybookError) as refusal:
        read(tmp_path / "s", [damaged], {"name": name})
    assert refusal.value.id == refused and refusal.value.do
    assert not (tmp_path / "s").exists()


MONEY_WORDS = ("amount", "total", "fee", "price", "discount", "tax", "金额", "优惠", "实付", "元")
# headers with such a word in them that hold none
NO_MONEY = {
    "feedback left",
    "feedback received",
    "tax status",
    "tax city",
    "tax state",
    "tax zip",
    "tax country",
    "ebay collect and remit tax type",
    "sold for",
    "手续费承担方",
    "price designation",
    "lineitem taxable",
    # known to nobody, so that a file where it is filled is refused
    "inperson discount",
}


def reasons_of(kind: str) -> set[str]:
    """The columns a kind names as irrelevant or as parts of others, normalised."""
    stated = read_yaml(Path(columns.__file__).with_name("columns.yaml")).get(kind, {})
    parts = [h for whole in stated.get("parts", {}).values() for h in whole]
    return {normalised(h) for h in [*stated.get("irrelevant", {}), *parts]}


@pytest.mark.parametrize("name", sorted(n for n in KIND_OF if reasons_of(KIND_OF[n])))
def test_every_money_column_of_a_sample_is_read_or_irrelevant_with_a_reason(name):
    """The account of columns, by the headers: none is passed over because it was expected."""
    one = kinds.adapter(KIND_OF[name])
    names = headers_of(SAMPLES / name, one.kind)
    read_columns = {names[at] for at in found_columns(one, names).values()}
    reasons = reasons_of(one.kind)
    personal = header_list(one.personal)
    left = {
        n
        for n in names
        if any(word in n for word in MONEY_WORDS)
        and n not in read_columns | reasons | personal
        and not n.endswith((" id", " type", " name", " status", " date", " currency", " method"))
    }
    assert left <= NO_MONEY, left
