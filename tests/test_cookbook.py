"""By running: every recipe of docs/cookbook.md answers its question on the demo shop."""

import re

import pandas as pd
import pytest

from playbook import open_frames, open_purchases, open_store
from playbook.chapters.cohort_retention import cohorts
from playbook.errors import PlaybookError
from playbook.measures.slices import sliced
from playbook.store.overview import overview


def blocks(root):
    text = (root / "docs" / "cookbook.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_thirty_questions_are_numbered_without_a_gap(root):
    text = (root / "docs" / "cookbook.md").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"^### (\d+)\.", text, flags=re.MULTILINE)] == [
        *range(1, 31)
    ]


def test_every_recipe_gives_an_answer(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(root):
        try:
            exec(compile(block, "cookbook", "exec"), names)
            value = last_value(block, names)
        except Exception as error:
            pytest.fail(f"{error!r} in\n{block}")
        assert value is not None, block
        if isinstance(value, pd.DataFrame) and "read_results" not in block:
            assert len(value), block


def last_value(block, names):
    """What the last expression of a block gives, as a notebook would show it."""
    import ast

    last = ast.parse(block).body[-1]
    if not isinstance(last, ast.Expr):
        return True
    return eval(compile(ast.Expression(last.value), "cookbook", "eval"), names)


PURCHASES = pd.DataFrame(
    {
        "client": ["a", "b", "a", "c", "b", None, None],
        "when": ["2026-01-03", "2026-01-05", "2026-02-01", "2026-02-09", "2026-03-01"]
        + ["2026-03-31"] * 2,
        "paid": [10, 20.5, 30, 11, -5, 7, 8],
    }
)


def test_one_frame_of_purchases_becomes_a_shop_whose_money_adds_up(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path))
    shop = open_purchases(PURCHASES, customer="client", day="when", amount="paid")
    orders = shop.sales_orders.to_pandas()
    # two guests on one day are two orders; a row below nought is a refund
    assert len(orders) == 6
    assert float(orders.revenue.sum()) == 86.5
    assert float(shop.booked_refunds.amount.sum().to_pandas()) == 5.0
    found = cohorts.cohort_retention(shop.customer_days, as_of=shop.as_of)
    january = found[found.cohort == "2026-01"].set_index("k")
    assert (january.n.loc[0], january.active.loc[1]) == (2, 1)


def test_equal_frames_open_the_same_shop_whatever_their_index(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path))
    asked = {"customer": "client", "day": "when", "amount": "paid"}
    one = open_purchases(PURCHASES, **asked)
    other = open_purchases(PURCHASES.set_axis(range(7, 14)), **asked)
    assert one.fingerprint == other.fingerprint


def test_a_missing_column_is_named_with_the_rename_that_may_be_meant():
    frame = pd.DataFrame({"Order ID": ["1"], "ordered at": ["2026-01-01"]})
    with pytest.raises(PlaybookError) as refusal:
        open_frames(orders=frame)
    assert "'Order ID': 'order_id'" in str(refusal.value)
    assert "ordered_on, status, gross, total" in str(refusal.value)
    with pytest.raises(PlaybookError, match="no table order"):
        open_frames(order=frame)
    for day in ("soon", "03/04/2026"):  # the second has two readings
        odd = PURCHASES.assign(when=[day, *PURCHASES.when[1:]])
        with pytest.raises(PlaybookError, match=f"1 rows.*'{day}'"):
            open_purchases(odd, customer="client", day="when", amount="paid")
        assert 'pd.to_datetime(frame["when"], dayfirst=True)' in str(refusal_of(odd, amount="paid"))


def refusal_of(frame, **named):
    with pytest.raises(PlaybookError) as refusal:
        open_purchases(frame, **{"customer": "client", "day": "when", "amount": "paid"} | named)
    return refusal.value


def test_a_column_named_wrongly_and_a_comma_in_money_are_told_how_to_be_written():
    told = str(refusal_of(PURCHASES, customer="Client"))
    assert "no column Client" in told and "customer='client'" in told
    euros = PURCHASES.assign(paid=["9,90", *PURCHASES.paid[1:].astype(str)])
    told = str(refusal_of(euros))
    assert "1 rows" in told and "'9,90'" in told and 'decimal=","' in told


def test_a_shop_shows_its_tables_and_offers_them_to_tab():
    shop = open_store("demo", until="2026-10")
    assert {"orders", "customer_days"} <= set(dir(shop))
    seen = overview(shop).set_index("table")
    assert seen["rows"]["orders"] == shop.orders.count().to_pandas()
    assert seen.last_day["orders"] == "2026-10-31"
    assert "<table" in shop._repr_html_()


def test_slices_add_up_to_the_whole_and_name_what_they_leave_out():
    shop = open_store("demo", until="2026-10")
    people = shop.customers.select("customer_id", "country")
    asked = {"by": "country", "as_of": shop.as_of}
    parts = sliced(cohorts.cohort_retention, shop.customer_days, people, least=1, **asked)
    whole = cohorts.cohort_retention(shop.customer_days, as_of=shop.as_of)
    at_start = parts[parts.k == 0].n.sum(), whole[whole.k == 0].n.sum()
    assert at_start[0] == at_start[1] > 0
    few = sliced(cohorts.cohort_retention, shop.customer_days, people, least=10**9, **asked)
    assert len(few) == 0
    assert sum(few.attrs["left_out"].values()) == at_start[1]
    with pytest.raises(PlaybookError, match="cannot be cut by planet"):
        sliced(cohorts.cohort_retention, shop.customer_days, people, by="planet")
