"""Online Retail under the headers of Online Retail II, by mapping alone: the proposal as it
stands, no line of it edited, gives the net revenue of the shop's own adapter to the cent.

Run: python tests/proof/proof_mapping.py ONLINE_RETAIL.parquet
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


def net_revenue(store: Path) -> Decimal:
    steps = ledger(open_store(store, until="2011-12-09"))
    return steps[steps.reason == "shop net revenue"].running_amount.iloc[0]


def imported(folder: Path, kind: str, file: Path, **knobs) -> Path:
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP, encoding="utf-8")
    import_files(kind, [file], folder, salt=SALT, **knobs)
    return folder


def main(source: Path) -> None:
    with tempfile.TemporaryDirectory() as room:
        room = Path(room)
        file = room / "renamed.csv"
        duckdb.execute(f"COPY ({RENAMED.format(source)}) TO '{file}' (HEADER)")
        (room / "mapping.yaml").write_text(propose_mapping(file).text, encoding="utf-8")
        mapped = imported(room / "mapped", "generic", file, mapping=room / "mapping.yaml")
        own = imported(room / "own", "online-retail", source)
        print("mapped", net_revenue(mapped), "own adapter", net_revenue(own))
        assert net_revenue(mapped) == net_revenue(own)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
