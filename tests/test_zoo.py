"""A handful of the zoo's shops run a short month, executed in this process; the whole zoo is
`tests/proof/proof_zoo.py`, and kernels are run by test_month and test_notebooks.
"""

import pandas as pd
import pytest
from in_process import execute_here
from zoo import KINDS, cases, write
from zoo_rules import broken_rules

from playbook.runs import month
from playbook.runs.month import HowToRun, run_month
from playbook.runs.plan import Wish
from playbook.store import open_store

QUICK = ["one order", "guests only"]


def test_the_zoo_is_large_and_the_same_every_time(tmp_path):
    assert len(KINDS) >= 40 and len(cases()) >= 20
    once, again = write("one sku", tmp_path / "a"), write("one sku", tmp_path / "b")
    for path in once.glob("*.parquet"):
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    other = write("one sku", tmp_path / "c", seed=1)
    assert (once / "orders.parquet").read_bytes() != (other / "orders.parquet").read_bytes()


@pytest.mark.parametrize("kind", ["dong", "dear", "bulk"])
def test_large_prices_and_quantities_reconcile_to_the_cent(kind, tmp_path):
    shop = open_store(str(write(kind, tmp_path / "shop")))
    lines = pd.read_parquet(tmp_path / "shop" / "order_lines.parquet")
    orders = pd.read_parquet(tmp_path / "shop" / "orders.parquet")
    done = lines[lines.order_id.isin(orders[orders.status == "done"].order_id)]
    held = float(shop.sales_orders.revenue.sum().to_pandas())
    assert held == pytest.approx((done.price * done.quantity).sum(), rel=1e-12)


@pytest.mark.parametrize("kind", QUICK)
def test_a_short_month_is_published_without_a_broken_rule(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(month, "execute_notebook", execute_here)
    store = write(kind, tmp_path / "shop")
    run = run_month(
        str(store), wish=Wish(only=("00", "04", "06")), how=HowToRun(jobs=1, runs=tmp_path / "runs")
    )
    assert run.status == 0
    assert broken_rules(run.folder) == []
    blocked = {s["needs"] for n in run.record["notebooks"].values() for s in n["blocked"]}
    assert ("orders.customer_id" in blocked) == (kind == "guests only")
