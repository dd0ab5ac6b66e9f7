"""CDNOW: every purchase of 23,570 people who first bought CDs online in the first
quarter of 1997, to June 1998.

Posted by Peter Fader and Bruce Hardie (no explicit licence); the text file comes with
the lifetimes package and is read by path, because that package's own loader no longer
imports. One order per customer and day; a row is a line.
"""

from __future__ import annotations

import hashlib
import shutil
from importlib import util
from pathlib import Path

import duckdb

from playbook.errors import PlaybookError
from playbook.store.cache import cache_folder
from playbook.store.write import (
    connect,
    locked,
    publish,
    quoted,
    settle,
    staging,
    write_json,
    write_table,
)

GOLDEN = {
    "rows": 69_659,
    "customers": 23_570,
    "orders": 67_591,
    "units": 167_881,
    "amount": "2500315.630000",
}
SHA256 = "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"
FORMAT = "1"  # raised when the tables built from the same text change

SHOP_YAML = """\
name: cdnow
currency: USD
timezone: UTC
# its customers are first-ever buyers by design, so no earlier order can exist
log_starts_with_shop: true
"""


def text_file() -> Path:
    """The CDNOW master text inside the installed lifetimes package."""
    spec = util.find_spec("lifetimes")
    path = (
        Path(spec.origin).parent / "datasets" / "CDNOW_master.txt" if spec and spec.origin else None
    )
    if path is None or not path.exists():
        raise PlaybookError("sources.cdnow_missing", file="lifetimes/datasets/CDNOW_master.txt")
    return path


def store_folder() -> Path:
    """The CDNOW store, built from the package's text on first use; raises PlaybookError
    if the text is not the one.

    Unit prices keep six decimals, so a line's revenue equals the source's amount to the
    cent; what they leave over in sum (fractions of a cent) stands as `rounding` in the
    import ledger.
    """
    folder = cache_folder() / f"cdnow-{SHA256[:8]}-{FORMAT}"
    settle(folder)
    if (folder / "store.json").exists():
        return folder
    content = text_file().read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise PlaybookError("sources.cdnow_differs", file=text_file())
    with locked(folder):
        if not (folder / "store.json").exists():
            _build(folder, text_file())
    return folder


def _build(folder: Path, text: Path) -> None:
    stage = staging(folder)
    con = connect(scratch=stage / "scratch")
    _read(con, text)
    for table, query in TABLES_OF_LINES.items():
        write_table(con, table, query, stage / f"{table}.parquet")
    first, last = con.execute(
        "SELECT min(day_on)::VARCHAR, max(day_on)::VARCHAR FROM lines"
    ).fetchone()
    con.close()
    (stage / "shop.yaml").write_text(SHOP_YAML, encoding="utf-8")
    shutil.rmtree(stage / "scratch", ignore_errors=True)
    _write_log(stage, first, last)
    publish(folder)


def _read(con: duckdb.DuckDBPyConnection, text: Path) -> None:
    """`lines`: the published text, its golden numbers checked."""
    con.execute(f"""
        CREATE TABLE lines AS
        SELECT field[1] AS customer_id, CAST(strptime(field[2], '%Y%m%d') AS DATE) AS day_on,
               CAST(field[3] AS BIGINT) AS quantity, CAST(field[4] AS DECIMAL(18,6)) AS amount,
               field[1] || '-' || field[2] AS order_id,
               CAST(CAST(field[4] AS DECIMAL(18,6)) / CAST(field[3] AS BIGINT)
                    AS DECIMAL(18,6)) AS price
        FROM (SELECT string_split_regex(trim(line), '\\s+') AS field
              FROM read_csv({quoted(text)}, columns = {{'line': 'VARCHAR'}}, header = false,
                            auto_detect = false, delim = '\x01', quote = '', escape = ''))
        WHERE field[1] <> 'customer_id'""")
    found = con.execute(
        "SELECT count(*), count(DISTINCT customer_id), count(DISTINCT order_id),"
        " sum(quantity)::BIGINT, sum(amount)::VARCHAR FROM lines"
    ).fetchone()
    if dict(zip(GOLDEN, found, strict=True)) != GOLDEN:
        raise PlaybookError("sources.cdnow_golden", rule=str(GOLDEN), file=text)


def _write_log(stage: Path, first: str, last: str) -> None:
    observed = ("orders", "order_lines", "customers", "products")
    taken = {
        "import_id": SHA256[:12],
        "kind": "cdnow",
        "source_sha256": SHA256,
        "rows": GOLDEN["rows"],
    }
    log = {
        "observed_from": dict.fromkeys(observed, first),
        "observed_to": dict.fromkeys(observed, last),
        # public data with ids that name nobody: kept as published
        "salt_fingerprint": None,
        "imports": [taken],
    }
    write_json(stage / "store.json", log)


TABLES_OF_LINES = {
    "order_lines": """
        SELECT order_id, row_number() OVER (
                   PARTITION BY order_id ORDER BY amount DESC, quantity) AS line_no,
               'cd' AS sku, quantity, price, 0 AS discount, 'CD' AS title, true AS is_product
        FROM lines""",
    "orders": """
        SELECT order_id, CAST(day_on AS TIMESTAMP) AS ordered_at, day_on AS ordered_on,
               'done' AS status, customer_id, CAST(day_on AS TIMESTAMP) AS paid_at,
               'USD' AS currency, sum(quantity * price) AS gross, 0 AS discount, 0 AS shipping,
               0 AS tax, sum(amount) AS total
        FROM lines GROUP BY ALL""",
    "customers": "SELECT customer_id, min(day_on) AS first_seen_on FROM lines GROUP BY ALL",
    "products": """
        SELECT 'cd' AS sku, 'CD' AS title, min(day_on) AS launched_on, true AS is_active
        FROM lines""",
    "import_ledger": f"""
        SELECT '{SHA256[:12]}' AS import_id, '{SHA256}' AS source_sha256, 'kept' AS reason, day_on,
               false AS is_guest, count(*) AS n_rows, count(DISTINCT order_id) AS n_orders,
               sum(quantity * price) AS amount
        FROM lines GROUP BY day_on
        UNION ALL
        SELECT '{SHA256[:12]}', '{SHA256}', 'rounding', day_on, false, 0, 0,
               sum(amount) - sum(quantity * price)
        FROM lines GROUP BY day_on HAVING sum(amount) <> sum(quantity * price)""",
}
