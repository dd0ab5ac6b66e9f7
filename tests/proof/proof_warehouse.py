"""A month of a shop with every contract table, chapter by chapter, on DuckDB and on servers:
the same result tables, and the table chapter x engine.

    python tests/proof/proof_warehouse.py HOME [ENGINE ...] [--chapters 00,04] [--shop FOLDER]

Engines: owner, reader (no temporary tables), odd (views in a named schema, names in
capitals, a server in another time zone), spark. Results are kept under HOME and used again,
so that a run that was cut goes on; without --shop a small demo shop is made there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import pandas as pd
from chapters import run_chapter, tables_of
from servers import Server, postgres_server, spark_session

from playbook.demo.make import make_demo

MONTH = "2026-10"
CHAPTERS = [f"{n:02d}" for n in range(12)]
ENGINES = ["owner", "reader", "odd", "spark"]
#: of fits; counts are whole and money exact, so that both agree far closer
RELATIVE = ABSOLUTE = 1e-6


def difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """What two result tables differ in; empty where they are the same."""
    if list(ours.columns) != list(theirs.columns) or len(ours) != len(theirs):
        return f"{ours.shape} and {theirs.shape}"
    for column in ours:
        one, other = ours[column], theirs[column]
        try:
            left, right = pd.to_numeric(one), pd.to_numeric(other)
        except (ValueError, TypeError):
            off = one.astype(str).ne(other.astype(str)) & ~(one.isna() & other.isna())
        else:
            left, right = left.astype(float), right.astype(float)
            far = (left - right).abs() > ABSOLUTE + RELATIVE * left.abs()
            off = far | (left.isna() != right.isna())
        if off.any():
            at = off.idxmax()
            return f"{column}[{at}]: {one[at]} and {other[at]} ({int(off.sum())} rows)"
    return ""


def differences(ours: dict[str, pd.DataFrame], theirs: dict[str, pd.DataFrame]) -> list[str]:
    """Table and difference, of every table that is not the same in both."""
    told = [f"{name}: only on one side" for name in sorted(set(ours) ^ set(theirs))]
    both = sorted(set(ours) & set(theirs))
    return told + [f"{n}: {d}" for n in both if (d := difference(ours[n], theirs[n]))]


def store_of(home: Path, engine: str, shop: Path, server: Server | None) -> str:
    """A folder that names the engine's address, with the shop's settings beside it."""
    if engine == "spark":
        spark_session(shop, home / "spark")
        address = "pyspark://shop?spark.sql.session.timeZone=UTC"
    else:
        address = server.prepared(engine, shop)
    folder = home / f"store-{engine}"
    folder.mkdir(exist_ok=True)
    settings = (shop / "shop.yaml").read_text(encoding="utf-8")
    (folder / "shop.yaml").write_text(f"{settings}address: {address}\n", encoding="utf-8")
    shutil.copy(shop / "store.json", folder / "store.json")
    return str(folder)


def run(home: Path, engine: str, store: str, chapters: list[str]) -> dict[str, list[str]]:
    """Chapter -> what became of it on this engine: done, seconds, differences."""
    notes = home / f"{engine}.json"
    told = json.loads(notes.read_text()) if notes.exists() else {}
    for number in (n for n in chapters if n not in told):
        # the review reads every chapter's folder, its own of an earlier start too
        for left in (home / engine).glob(f"{number}_*"):
            shutil.rmtree(left)
        began = time.process_time()
        state = run_chapter(number, store, MONTH, home / engine)
        seconds = f"{time.process_time() - began:.0f} s"
        ours, theirs = ({k: v for k, v in tables_of(home / e).items() if k[:2] == number}
                        for e in ("duckdb", engine))  # fmt: skip
        told[number] = [state, seconds, *differences(ours, theirs)]
        print(
            engine,
            number,
            *told[number],
            sep="\n    " if len(told[number]) > 2 else " ",
            flush=True,
        )
        notes.write_text(json.dumps(told, indent=1))
    return told


def main() -> int:
    """Run what is asked for and print the table."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("home", type=Path)
    words.add_argument("engines", nargs="*", default=ENGINES)
    words.add_argument("--chapters", default=",".join(CHAPTERS))
    words.add_argument("--shop", type=Path)
    asked = words.parse_args()
    warnings.simplefilter("ignore")
    home, chapters = asked.home.resolve(), asked.chapters.split(",")
    home.mkdir(parents=True, exist_ok=True)
    shop = asked.shop or home / "shop"
    if not shop.exists():
        make_demo(shop, preset="tiny", months=26)
    told = {"duckdb": run(home, "duckdb", str(shop), chapters)}
    data = home / "pg"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    with postgres_server(data) as server:
        for engine in asked.engines:
            told[engine] = run(home, engine, store_of(home, engine, shop, server), chapters)
    frame = pd.DataFrame({e: {n: _short(t) for n, t in of.items()} for e, of in told.items()})
    print(frame.to_string())
    return int(frame.map(_is_bad).to_numpy().any())


def _short(told: list[str]) -> str:
    return f"{len(told) - 2} differ" if len(told) > 2 else told[0].split(":")[0]


def _is_bad(cell: object) -> bool:
    return cell not in ("done", "blocked")


if __name__ == "__main__":
    sys.exit(main())
