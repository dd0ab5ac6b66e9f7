"""How long a large Shopify export takes to import, and how much memory.

    python tests/benchmarks/bench_import.py [rows]

Writes an export of that many rows (default 5,000,000) with the true header into a
temporary folder, imports it in a fresh process, and prints rows, size, wall and
processor seconds, peak memory, and what the ledger says.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import duckdb

HEADER = Path(__file__).resolve().parents[2] / "data" / "samples" / "shopify_orders.csv"

CHILD = """
import json, resource, sys, time
from playbook.sources.importing import import_files
wall, cpu = time.perf_counter(), time.process_time()
report = import_files("shopify-orders", [sys.argv[1]], sys.argv[2], salt=b"a salt for a benchmark")
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "rows_in": sum(f.n_rows for f in report.files), "rows_out": int(report.ledger.n_rows.sum()),
    "money": str(report.ledger.amount.sum())}))
"""


def write_export(path: Path, n_rows: int) -> str:
    """An export of `n_rows` rows, two and a half lines an order; returns the sum of the
    orders' totals.
    """
    header = HEADER.read_text(encoding="utf-8").splitlines()[0].split(",")
    con = duckdb.connect()
    con.execute(f"""CREATE TABLE rows AS
        SELECT i, i // 5 * 2 + CASE WHEN i % 5 < 3 THEN 0 ELSE 1 END AS n, i % 5 IN (0, 3) AS is_head,
               CASE WHEN i % 5 < 3 THEN 3 ELSE 2 END AS size,
               1 + hash(i) % 3 AS q, (500 + hash(i * 7) % 9500) AS pence, hash(i * 13) % 2000 AS sku FROM range({n_rows}) t(i)""")
    con.execute(
        """CREATE TABLE heads AS SELECT n, sum(q * pence) AS goods, min(i) AS first FROM rows GROUP BY n"""
    )
    fields = {
        "Name": "'#' || (100000 + r.n)",
        "Email": "'buyer' || (hash(r.n) % 900000) || '@example.com'",
        "Financial Status": "CASE WHEN is_head THEN CASE WHEN r.n % 20 = 0 THEN 'partially_refunded' ELSE 'paid' END END",
        "Paid at": "CASE WHEN is_head THEN strftime(t + INTERVAL 3 SECOND, '%Y-%m-%d %H:%M:%S') || ' +0100' END",
        "Fulfillment Status": "CASE WHEN is_head THEN 'fulfilled' END",
        "Fulfilled at": "CASE WHEN is_head THEN strftime(t + INTERVAL 1 DAY, '%Y-%m-%d %H:%M:%S') || ' +0100' END",
        "Accepts Marketing": "CASE WHEN is_head THEN 'no' END",
        "Currency": "CASE WHEN is_head THEN 'GBP' END",
        "Subtotal": "CASE WHEN is_head THEN printf('%.2f', goods / 100.0) END",
        "Shipping": "CASE WHEN is_head THEN '4.95' END",
        "Taxes": "CASE WHEN is_head THEN printf('%.2f', round((goods + 495) / 6.0) / 100.0) END",
        "Total": "CASE WHEN is_head THEN printf('%.2f', (goods + 495) / 100.0) END",
        "Discount Amount": "CASE WHEN is_head THEN '0.00' END",
        "Created at": "strftime(t, '%Y-%m-%d %H:%M:%S') || ' +0100'",
        "Lineitem quantity": "q",
        "Lineitem name": "'Thing number ' || sku",
        "Lineitem price": "printf('%.2f', pence / 100.0)",
        "Lineitem sku": "'SKU-' || sku",
        "Lineitem discount": "'0.00'",
        "Lineitem requires shipping": "'true'",
        "Shipping Country": "CASE WHEN is_head THEN 'GB' END",
        "Source": "CASE WHEN is_head THEN 'web' END",
        "Refunded Amount": "CASE WHEN is_head THEN CASE WHEN r.n % 20 = 0 THEN '5.00' ELSE '0.00' END END",
        "Vendor": "'Example Ltd'",
        "Id": "CASE WHEN is_head THEN 900000000 + r.n END",
    }
    chosen = ", ".join(f'{fields.get(h, "NULL")} AS "{h}"' for h in header)
    con.execute(f"""COPY (SELECT {chosen} FROM rows r JOIN heads h USING (n),
        LATERAL (SELECT TIMESTAMP '2024-01-01' + to_seconds(CAST(r.n * 15 AS BIGINT)) AS t) ORDER BY i) TO '{path}' (HEADER)""")
    return str(con.execute("SELECT sum(goods + 495) / 100.0 FROM heads").fetchone()[0])


def main() -> None:
    """Prints one row of figures."""
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.csv"
        # in a process of its own: a child's peak starts at what its parent holds when it is started
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
            total = apart.submit(write_export, path, n_rows).result()
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(path), str(Path(folder) / "store")],
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode:
            print(child.stderr[-3000:])
            raise SystemExit(1)
        found = json.loads(child.stdout.splitlines()[-1])
        print(
            f"{n_rows:,} rows, {path.stat().st_size / 1e9:.2f} GB: {found['wall']:.1f} s wall, {found['cpu']:.1f} s processor, "
            f"{found['peak_gb']:.2f} GB peak; rows in {found['rows_in']:,}, out {found['rows_out']:,}; "
            f"money delivered {total}, itemised {found['money']}"
        )


if __name__ == "__main__":
    main()
