"""Exercises x shops: every solution, hint and slip of every exercise, run in both languages.

    python tests/proof/proof_exercises.py demo:2026-10 stores/a ... --to table.csv

A cell is `ok`, `left out: why`, or what goes wrong. Shops already in the table are not run
again, so that a long run may be cut and taken up. Ends with 1 where anything goes wrong.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from exercise_runs import LEFT_OUT, run_shop

from playbook.store import open_store
from playbook.training.exercise import CHAPTERS


def column(shop, table, path):
    """The shop's column, chapter by chapter, written as it grows."""
    store, _, month = shop.partition(":")
    opened = open_store(store, until=month or None)
    name = f"{Path(store).name} {opened.month}"
    for chapter in CHAPTERS:
        rows = table[table.chapter == chapter] if len(table) else table
        if len(rows) and name in rows and rows[name].notna().all():
            continue
        found = run_shop(opened, (chapter,))
        told = {number: "; ".join(wrong) or "ok" for number, wrong in found.items()}
        mine = pd.DataFrame({"number": list(told), "chapter": chapter, name: list(told.values())})
        table = (
            mine
            if table.empty
            else table.set_index(["number", "chapter"])
            .combine_first(mine.set_index(["number", "chapter"]))
            .reset_index()
        )
        table.to_csv(path, index=False)
    return table


def main():
    """Run, write the table, print it and how it stands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shops", nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    table = pd.read_csv(asked.to, dtype=str) if asked.to.exists() else pd.DataFrame()
    for shop in asked.shops:
        table = column(shop, table, asked.to)
    cells = table.drop(columns="chapter").set_index("number").fillna("not run")
    print(cells.map(lambda told: told[:40]).to_string())
    stands = cells.map(stand)
    counts = stands.apply(lambda column: column.value_counts()).fillna(0).astype(int)
    print(counts.to_string())
    return int((stands == "wrong").any(axis=None))


def stand(told):
    """Of a cell: ok, left out, not run or wrong."""
    known = (name for name in ("ok", LEFT_OUT, "not run") if told.startswith(name))
    return next(known, "wrong")


if __name__ == "__main__":
    sys.exit(main())
