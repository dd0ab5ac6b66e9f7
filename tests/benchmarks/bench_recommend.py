"""Online Retail: recommendations and pair rules, measured: `python bench_recommend.py
[interpreter with mlxtend]`.

Recall as the project defines it: rows with a quantity above 0 and a customer, the last
90 days held out, the customers on both sides, hits over min(10, distinct items bought
in the test). Rules: all invoices, rows with a quantity above 0. mlxtend is no
dependency: give the interpreter of an environment that has it, and the two are compared
rule by rule.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

THEIRS = """
import json, sys, time
import numpy as np, pandas as pd, scipy.sparse as sp
from mlxtend.frequent_patterns import association_rules, fpgrowth
lines = pd.read_parquet(sys.argv[1]).drop_duplicates()
seconds = {}
for support in (0.01, 0.005):
    start = time.process_time()
    basket = pd.factorize(lines["basket"])[0]
    item, names = pd.factorize(lines["item"])
    table = sp.csr_matrix((np.ones(len(basket), bool), (basket, item)))
    table = pd.DataFrame.sparse.from_spmatrix(table, columns=names)
    found = fpgrowth(table, min_support=support, use_colnames=True, max_len=2)
    rules = association_rules(found, metric="support", min_threshold=support)
    seconds[str(support)] = time.process_time() - start
    rules["a"] = rules.antecedents.map(lambda s: next(iter(s)))
    rules["b"] = rules.consequents.map(lambda s: next(iter(s)))
    rules[["a", "b", "support", "confidence", "lift"]].to_parquet(f"{sys.argv[1]}.{support}")
print(json.dumps(seconds))
"""


def online_retail() -> pd.DataFrame:
    """Raw lines of Online Retail under the contract's names, from the folder
    PLAYBOOK_SHARED names.
    """
    folder = os.environ.get("PLAYBOOK_SHARED")
    if not folder:
        sys.exit("set PLAYBOOK_SHARED to the folder of public data")
    raw = pd.read_parquet(Path(folder) / "online-retail" / "online_retail.parquet")
    raw = raw[raw["Quantity"] > 0]
    customer = raw["CustomerID"].astype("Int64").astype("string")
    return pd.DataFrame(
        {
            "order_id": raw["InvoiceNo"],
            "sku": raw["StockCode"],
            "customer_id": customer,
            "ordered_at": raw["InvoiceDate"],
        }
    )


def recommendations(lines: pd.DataFrame) -> None:
    """The leaderboard, with its whole cost: split, tuning on a validation stretch, five
    models.
    """
    from playbook.chapters.recommendations.recommend import leaderboard

    known = lines[lines["customer_id"].notna()]
    wall, cpu = time.perf_counter(), time.process_time()
    found = leaderboard(known, as_of=known["ordered_at"].max())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    shown = found.table[
        ["items", "model", "recall_k", "low", "high", "hit_k", "map_k", "coverage", "n_customers"]
    ]
    print(shown.round(4).to_string(index=False))
    print(found.setting.to_string(index=False))
    print(f"recommendations: {wall:.1f} s wall, {cpu:.1f} s CPU")


def pairs(lines: pd.DataFrame, python: str | None) -> None:
    """Pair rules at both supports; with mlxtend's interpreter, the same rules and the
    ratio of CPU times.
    """
    from playbook.methods.baskets import pair_rules

    table = lines[["order_id", "sku"]].rename(columns={"order_id": "basket", "sku": "item"})
    pair_rules(table.head(1000), min_support=0.5)  # the first call pays for imports
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.parquet"
        table.to_parquet(path, index=False)
        theirs = None
        if python:
            done = subprocess.run(
                [python, "-c", THEIRS, str(path)], capture_output=True, text=True, check=True
            )
            theirs = json.loads(done.stdout)
        for support in (0.01, 0.005):
            start = time.process_time()
            ours = pair_rules(table, min_support=support)
            cpu = time.process_time() - start
            print(f"pairs at support {support}: {len(ours):,} rules, {cpu:.2f} s CPU")
            if theirs:
                rules = pd.read_parquet(f"{path}.{support}").sort_values(
                    ["a", "b"], ignore_index=True
                )
                same = ours[["a", "b"]].astype(str).equals(rules[["a", "b"]].astype(str))
                off = max(
                    float((rules[t] - ours[o]).abs().max())
                    for t, o in (
                        ("support", "support"),
                        ("confidence", "confidence"),
                        ("lift", "pair_lift"),
                    )
                )
                print(
                    f"  mlxtend: same pairs {same}, largest difference {off:.1e}, {theirs[str(support)]:.2f} s CPU,"
                    f" {theirs[str(support)] / cpu:.0f} x ours"
                )


def main() -> None:
    """Both benchmarks, one after the other."""
    lines = online_retail()
    recommendations(lines)
    pairs(lines, sys.argv[1] if len(sys.argv) > 1 else None)


if __name__ == "__main__":
    main()
