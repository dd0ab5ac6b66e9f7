"""Online Retail under the headers of Online Retail II, by mapping alone: the proposal as it
stands, no line of it edited, gives the net revenue of the shop's own adapter to the cent.

Run: python tests/proof/proof_mapping.py ONLINE_RETAIL.parquet [LAST_DAY]

With LAST_DAY the log up to that day is taken as a workbook of two sheets that overlap by nine
days, as the sheets of Online Retail II do, and compared with the same rows in one file: nothing
of the days in both may double.
"""

import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb

from playbook.sources.importing import import_files
from playbook.sources.proposal import propose_mapping
from playbook.store import open_store
from playbook.store.reconcile import ledger

SALT = b"a salt for proofs only"
SHOP = "name: proof\ncurrency: GBP\ntimezone: Europe/London\n"
RENAMED = """SELECT InvoiceNo AS Invoice, StockCode, Description, Quantity, InvoiceDate,
    UnitPrice AS Price, CASE WHEN CustomerID IS NOT NULL THEN CustomerID || '.0' END AS "Customer ID",
    Country FROM '{}'"""


def net_revenue(store: Path, last: str) -> Decimal:
    steps = ledger(open_store(store, until=last or "2011-12-09"))
    return steps[steps.reason == "shop net revenue"].running_amount.iloc[0]


def imported(folder: Path, kind: str, file: Path, **knobs) -> Path:
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP, encoding="utf-8")
    import_files(kind, [file], folder, salt=SALT, **knobs)
    return folder


def two_sheets(source: Path, last: str, file: Path) -> Path:
    """The log up to a day as a workbook: both sheets hold its middle nine days."""
    import xlsxwriter

    rows = f"SELECT * FROM ({RENAMED.format(source)}) WHERE InvoiceDate < DATE '{last}' + 1"
    # as the mapped file: an invoice's rows stay together in the order they were written
    (middle,) = duckdb.execute(
        f"SELECT CAST(quantile_disc(CAST(InvoiceDate AS DATE), 0.5) AS DATE) FROM ({rows})"
    ).fetchone()
    book = xlsxwriter.Workbook(
        file, {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}
    )
    for name, when in (
        ("Year 2009-2010", f"InvoiceDate < DATE '{middle}' + 5"),
        ("Year 2010-2011", f"InvoiceDate >= DATE '{middle}' - 4"),
    ):
        sheet = book.add_worksheet(name)
        found = duckdb.execute(f"SELECT * FROM ({rows}) WHERE {when}")
        sheet.write_row(0, 0, [d[0] for d in found.description])
        for place, row in enumerate(found.fetchall(), start=1):
            sheet.write_row(place, 0, [float(v) if isinstance(v, Decimal) else v for v in row])
    book.close()
    return file


def main(source: Path, last: str = "") -> None:
    with tempfile.TemporaryDirectory() as room:
        room = Path(room)
        file = room / "renamed.csv"
        rows = RENAMED.format(source)
        if last:
            rows = f"SELECT * FROM ({rows}) WHERE InvoiceDate < DATE '{last}' + 1"
        duckdb.execute(f"COPY ({rows}) TO '{file}' (HEADER)")
        book = two_sheets(source, last, room / "online_retail_II.xlsx") if last else file
        (room / "mapping.yaml").write_text(propose_mapping(book).text, encoding="utf-8")
        mapped = imported(room / "mapped", "generic", book, mapping=room / "mapping.yaml")
        if last:
            own = imported(room / "own", "generic", file, mapping=room / "mapping.yaml")
        else:
            own = imported(room / "own", "online-retail", source)
        print(
            "mapped",
            net_revenue(mapped, last),
            "one file" if last else "own adapter",
            net_revenue(own, last),
        )
        assert net_revenue(mapped, last) == net_revenue(own, last)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
