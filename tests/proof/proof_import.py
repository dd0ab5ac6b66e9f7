"""Random damage to valid exports, and imports killed at random: no traceback, no silent
loss, the same bytes.

    python tests/proof/proof_import.py [damaged exports, default 20000] [kills, default 50]

Writes one line per finished seed to proof/import.jsonl and skips those already there,
so that it can be stopped and started again; stops by itself after 25 minutes. Prints
what failed, with its seed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from playbook.errors import PlaybookError
from playbook.sources.importing import import_files

SAMPLES = ROOT / "data" / "samples"
SALT = b"a salt for proofs only"
LIMIT_SECONDS = 25 * 60
#: an account's rows are bookings, of which only sales are in the ledger; a row of these orders holds
#: several lines, or heads them: their money is held, not yet the count of their rows
ROWS_ARE_NO_LINES = (
    "amazon-settlement",
    "amazon-transactions",
    "bigcommerce-orders",
    "ebay-orders",
)
HEADER = (SAMPLES / "shopify_orders.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
GARBAGE = (
    "",
    "-",
    "n/a",
    "abc",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "1e5",
    "1,5",
    "12..5",
    "-3",
    "9" * 30,
    "٣",
    "\U0001f600",
    '"',
    "''",
    "NaN",
    "1.23E+18",
    "  7 ",
    "0",
    "2026-02-30",
    "£5",
    "(5.00)",
    "Total",
    "a@b.example",
    "\t",
    "1 234,56",
)


def valid_export(rng: random.Random, first: int = 0) -> list[list[str]]:
    """A Shopify export whose orders add up, numbered from `first`: header and rows."""
    rows = [HEADER]
    at = {h: i for i, h in enumerate(HEADER)}
    for n in range(rng.randint(2, 7)):
        lines = [(rng.randint(1, 4), rng.randint(1, 9999)) for _ in range(rng.randint(1, 4))]
        goods, discount = sum(q * p for q, p in lines), 0
        if rng.random() < 0.4:
            discount = rng.randint(0, goods // 2)
        shipping = rng.choice((0, 495))
        inside = rng.random() < 0.6
        tax = (
            round((goods - discount + shipping) / (6 if inside else 5)) if rng.random() < 0.8 else 0
        )
        total = goods - discount + shipping + (0 if inside else tax)
        day = rng.randint(1, 28)
        for i, (q, p) in enumerate(lines):
            row = [""] * len(HEADER)

            def put(row: list[str], **values: object) -> None:
                for name, value in values.items():
                    row[at[name.replace("_", " ")]] = str(value)

            put(
                row,
                Name=f"#{first + n}",
                Email=f"b{n % 3}@example.com",
                Created_at=f"2026-10-{day:02d} 10:00:00 +0100",
                Lineitem_quantity=q,
                Lineitem_name=f"Thing {p % 7}",
                Lineitem_price=f"{p / 100:.2f}",
                Lineitem_sku=f"S{p % 5}" if p % 11 else "",
            )
            if i == 0:
                put(
                    row,
                    Financial_Status=rng.choice(("paid", "refunded", "voided", "pending")),
                    Currency="GBP",
                    Subtotal=f"{(goods - discount) / 100:.2f}",
                    Shipping=f"{shipping / 100:.2f}",
                    Taxes=f"{tax / 100:.2f}",
                    Total=f"{total / 100:.2f}",
                    Discount_Amount=f"{discount / 100:.2f}",
                    Refunded_Amount="0.00",
                )
            rows.append(row)
    return rows


def damage(rng: random.Random, rows: list[list[str]]) -> bytes:
    """One to three random injuries, then written in a random dialect."""
    rows = [list(r) for r in rows]
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(9)
        i = rng.randrange(1, len(rows)) if len(rows) > 1 else 0
        if kind == 0 and len(rows) > 2:
            del rows[i]
        elif kind == 1:
            rows.insert(rng.randrange(1, len(rows) + 1), list(rows[i]))
        elif kind == 2 and rows[i]:
            rows[i][rng.randrange(len(rows[i]))] = rng.choice(GARBAGE)
        elif kind == 3 and rows[0]:
            order = list(range(len(rows[0])))
            rng.shuffle(order)
            rows = [[r[j] if j < len(r) else "" for j in order] for r in rows]
        elif kind == 4 and rows[0]:
            j = rng.randrange(len(rows[0]))
            rows[0][j] = rng.choice(
                ("", "Column", rows[0][rng.randrange(len(rows[0]))], rows[0][j].upper())
            )
        elif kind == 5:
            body = rows[1:]
            rng.shuffle(body)
            rows[1:] = body
        elif kind == 6:
            rows[i] = (
                rows[i][: rng.randrange(len(rows[i]) + 1)]
                if rng.random() < 0.5
                else [*rows[i], "x"]
            )
        elif kind == 7:
            rows += [list(r) for r in rows[1:]]
        else:
            rows.insert(
                rng.randrange(len(rows) + 1),
                rng.choice(([], ["Total", "5"], ["note"], list(rows[0]))),
            )
    out = io.StringIO()
    csv.writer(
        out,
        delimiter=rng.choice(",,,;\t"),
        quoting=rng.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL)),
        lineterminator=rng.choice(("\n", "\r\n")),
    ).writerows(rows)
    raw = out.getvalue().encode(
        rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "gb18030")), errors="replace"
    )
    if rng.random() < 0.15:
        raw = raw[: rng.randrange(len(raw))]
    if rng.random() < 0.1:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 4))) + raw[at:]
    return raw


def examine(folder: Path, raw: bytes, kind: str, suffix: str = ".csv") -> str:
    """`refused` or `imported`; raises AssertionError on a traceback, a lost row or a
    lost cent.
    """
    duckdb.execute(
        "SET enable_external_file_cache = false"
    )  # the same path holds another store within the second
    path, store = folder / f"e{suffix}", folder / "store"
    path.write_bytes(raw)
    shutil.rmtree(store, ignore_errors=True)
    try:
        report = import_files(kind, [path], store, salt=SALT, observed_on="2026-09-30")
    except PlaybookError as error:
        said = str(error)
        assert not re.search(
            r"Binder Error|Catalog Error|Parser Error|INTERNAL|Traceback|/tmp/", said
        ), said
        assert not store.exists(), "a refused import left something behind"
        return "refused"
    if (store / "import_ledger.parquet").exists():
        n, money = duckdb.sql(
            f"SELECT sum(n_rows)::BIGINT, sum(amount) FROM '{store}/import_ledger.parquet'"
        ).fetchone()
        rows = report.files[0].n_rows
        are_lines = report.files[0].kind not in ROWS_ARE_NO_LINES
        assert n == rows or not are_lines, f"rows in {rows}, itemised {n}"
        kept = duckdb.sql(
            f"SELECT coalesce(sum(amount), 0) FROM '{store}/import_ledger.parquet' WHERE reason = 'kept'"
        ).fetchone()[0]
        lines = Decimal(0)
        if (store / "order_lines.parquet").exists():
            lines = duckdb.sql(
                f"SELECT sum(quantity * price - coalesce(discount, 0)) FROM '{store}/order_lines.parquet'"
            ).fetchone()[0]
        assert kept == lines, f"kept {kept}, lines {lines}"
        if kind == "shopify-orders":
            printed = _printed_total(path, report)
            assert printed is None or printed == money, (
                f"totals printed {printed}, itemised {money}"
            )
    return "imported"


def _printed_total(path: Path, report: object) -> Decimal | None:
    """The sum of the Total column as the standard library reads it; None where it is
    not a plain number or an order has no row with a total (its lines' money is itemised
    instead).
    """
    encoding = report.files[0].encoding
    text = path.read_bytes().decode("utf-8-sig" if encoding == "utf-8" else encoding)
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=report.files[0].delimiter))
    head = next(
        i
        for i, r in enumerate(table)
        if "TOTAL" in [c.strip().upper() for c in r] and "NAME" in [c.strip().upper() for c in r]
    )
    names = [c.strip().upper() for c in table[head]]
    at, name = names.index("TOTAL"), names.index("NAME")
    # a header cut short is filled up by the importer; this reader does not follow it there
    if any(len(row) > len(names) for row in table[head + 1 :]):
        return None
    totals, orders, headed = Decimal(0), set(), set()
    for row in table[head + 1 :]:
        if len(row) != len(names) or row == table[head] or not any(c.strip() for c in row):
            continue
        orders.add(row[name].strip())
        cell = row[at].strip()
        if cell in ("", "-", "n/a", "NaN"):
            continue
        if not re.fullmatch(r"-?\d{1,12}(\.\d{1,6})?", cell):
            return None
        headed.add(row[name].strip())
        totals += Decimal(cell)
    return (
        totals
        if orders == headed
        and report.currency == "GBP"
        and not any("exchange_rate" in n for n in report.notes)
        else None
    )


def damaged(seed: int, folder: Path) -> str:
    """One damaged export: of Shopify orders (two in three), else a damaged sample of
    another kind.
    """
    rng = random.Random(seed)
    if seed % 3:
        return examine(folder, damage(rng, valid_export(rng)), "shopify-orders")
    path = rng.choice(sorted(p for p in SAMPLES.iterdir() if p.suffix in (".csv", ".txt")))
    raw = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        how = rng.randrange(3)
        if how == 0:
            raw[at] = rng.randrange(256)
        elif how == 1:
            del raw[at : at + rng.randint(1, 30)]
        else:
            raw[at:at] = rng.choice(GARBAGE).encode()
    return examine(folder, bytes(raw), "auto", path.suffix)


def killed(seed: int, folder: Path) -> str:
    """One import killed after a random time; the next one must end in the bytes of an
    undisturbed one.
    """
    rng = random.Random(seed)
    # numbers of their own: one number for two orders is refused
    rows = valid_export(rng) + valid_export(random.Random(seed + 1), first=100)[1:]
    half = len(rows) // 2
    for name, part in (("a.csv", rows[: half + 3]), ("b.csv", [rows[0], *rows[half:]])):
        with open(folder / name, "w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows(part)
    stores = [folder / side / "shop" for side in ("calm", "killed")]
    for store in stores:
        import_files("auto", [folder / "a.csv"], store, salt=SALT)
    import_files("auto", [folder / "b.csv"], stores[0], salt=SALT)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom playbook.sources.importing import import_files\nprint('go', flush=True)\n"
        f"import_files('auto', [{str(folder / 'b.csv')!r}], {str(stores[1])!r}, salt={SALT!r})"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    child.stdout.readline()
    time.sleep(rng.random() * 1.2)
    state = "finished before the kill"
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        state = "killed"
    child.wait()
    child.stdout.close()
    import_files("auto", [folder / "b.csv"], stores[1], salt=SALT)
    calm, after = (
        {
            str(p.relative_to(s)): p.read_bytes()
            for p in s.rglob("*")
            if p.is_file() and p.name != ".lock"
        }
        for s in stores
    )
    assert calm == after, (
        f"files differ: {sorted(k for k in calm.keys() | after.keys() if calm.get(k) != after.get(k))}"
    )
    return state


def main() -> None:
    """Runs what is not yet in proof/import.jsonl and prints a summary."""
    wanted = {
        "damaged": int(sys.argv[1]) if len(sys.argv) > 1 else 20_000,
        "killed": int(sys.argv[2]) if len(sys.argv) > 2 else 50,
    }
    log = ROOT / "proof" / "import.jsonl"
    log.parent.mkdir(exist_ok=True)
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    seen = {(d["what"], d["seed"]) for d in done}
    started = time.monotonic()
    with open(log, "a", encoding="utf-8") as out:
        for what, run in (("killed", killed), ("damaged", damaged)):
            for seed in range(wanted[what]):
                if (what, seed) in seen:
                    continue
                if time.monotonic() - started > LIMIT_SECONDS:
                    break
                with tempfile.TemporaryDirectory(prefix="playbook-proof-") as folder:
                    try:
                        result = run(seed, Path(folder))
                    except (
                        Exception
                    ) as error:  # whatever comes out is what the proof is looking for
                        result = f"FAILED {type(error).__name__}: {str(error)[:300]}"
                done.append({"what": what, "seed": seed, "result": result})
                out.write(json.dumps(done[-1]) + "\n")
                out.flush()
    for what, n in wanted.items():
        mine = [d for d in done if d["what"] == what and d["seed"] < n]
        counts = {
            r: sum(d["result"] == r for d in mine)
            for r in sorted({d["result"] for d in mine if not d["result"].startswith("FAILED")})
        }
        failed = [d for d in mine if d["result"].startswith("FAILED")]
        print(f"{what}: {len(mine):,} of {n:,} done, {counts}, failed {len(failed)}")
        for d in failed[:20]:
            print(f"  seed {d['seed']}: {d['result']}")


if __name__ == "__main__":
    main()
