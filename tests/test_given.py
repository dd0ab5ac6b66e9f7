"""What a caller gives: a day in any way of writing means one thing everywhere, and a frame
that lacks a column is told which ones are needed.
"""

import ast
import datetime as dt
import inspect
import re

import pandas as pd
import pytest

from playbook.chapters.assortment_pricing import assortment
from playbook.chapters.cohort_retention import cohorts
from playbook.chapters.inventory_planning.supply import supply
from playbook.chapters.market_research import market
from playbook.chapters.recommendations import pairs
from playbook.chapters.segmentation import membership, segments
from playbook.errors import PlaybookError
from playbook.given import dated, day_given, nearest, reads
from playbook.measures.customer_windows import purchase_history
from playbook.measures.demand_panel import demand_panel
from playbook.measures.price_moves import price_gap
from playbook.methods.pacing import pacing

DAYS = pd.DataFrame(
    {
        "customer_id": list("aabbcd"),
        "day_on": pd.to_datetime(
            ["2026-01-03", "2026-02-20", "2026-01-09", "2026-02-28", "2026-02-02", "2026-03-01"]
        ),
        "orders": 1,
        "units": 1,
        "revenue": [10.0, 5.0, 7.0, 8.0, 9.0, 4.0],
    }
)


@pytest.mark.parametrize(
    "text, day",
    [
        ("2026-02", "2026-02-28"),
        ("2024-02", "2024-02-29"),
        ("2026-12", "2026-12-31"),
        ("2026-02-03", "2026-02-03"),
        (" 2026-02-03 ", "2026-02-03"),
        ("2026-02-03 23:59", "2026-02-03"),
        ("2026-02-03T00:00:00", "2026-02-03"),
    ],
)
def test_a_text_means_its_day_and_a_month_its_end(text, day):
    assert day_given(text) == dt.date.fromisoformat(day)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-02-30", "03/04/2026", "now", "2026-2"]
)
def test_a_text_that_is_no_day_is_refused_with_what_to_write(text):
    with pytest.raises(PlaybookError, match=r"2026-10-31.*2026-10"):
        day_given(text)


def public_functions(root):
    for path in sorted((root / "playbook").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield path.relative_to(root), node


def test_every_public_function_with_an_as_of_takes_it_as_text(root):
    bare = []
    for path, node in public_functions(root):
        asked = [a for a in node.args.args + node.args.kwonlyargs if a.arg == "as_of"]
        ways = [ast.unparse(d) for d in node.decorator_list]
        # the cut of the store is made once, from a day that was read
        is_cut = asked and "AsOf" in ast.unparse(asked[0].annotation)
        is_read = any(w == "dated" or "returns(" in w for w in ways)
        if asked and not is_cut and not is_read:
            bare.append(f"{path}:{node.name}")
    assert bare == []


@pytest.mark.parametrize("as_of", ["2026-02", "2026-02-28", pd.Timestamp("2026-02-28 12:00")])
def test_a_month_a_day_and_a_moment_give_the_same_cohorts_and_segments(as_of):
    day = dt.date(2026, 2, 28)
    if isinstance(as_of, pd.Timestamp):
        as_of = as_of.date()
    pd.testing.assert_frame_equal(
        cohorts.cohort_retention(DAYS, as_of=as_of), cohorts.cohort_retention(DAYS, as_of=day)
    )
    one, other = segments.rfm(DAYS, as_of=as_of), segments.rfm(DAYS, as_of=day)
    pd.testing.assert_frame_equal(one.customers, other.customers)
    # the last purchase of February counts, the one of March does not
    assert set(one.customers.customer_id) == set("abc")


def test_pacing_as_of_a_month_is_pacing_as_of_its_end():
    days = pd.date_range("2024-10-01", "2026-10-31")
    daily = pd.DataFrame({"period_on": days, "amount": 100.0})
    at_end = pacing(daily, as_of=dt.date(2026, 9, 30), target=3000.0)
    pd.testing.assert_frame_equal(pacing(daily, as_of="2026-09", target=3000.0), at_end)


def test_a_day_given_by_place_is_read_too():
    @dated
    def said(table, as_of, *, more=0):
        return as_of, more

    assert said(None, "2026-02", more=1) == (dt.date(2026, 2, 28), 1)
    assert said(None, as_of=None) == (None, 0)


@reads(customer_days="customer_id day_on revenue")
def counted(customer_days, *, by=""):
    """Counts."""
    return len(customer_days)


def test_a_frame_is_told_all_columns_it_lacks_and_the_rename_that_is_near():
    frame = pd.DataFrame({"Customer ID": ["a"], "day on": ["2026-01-01"], "paid": [1.0]})
    with pytest.raises(PlaybookError) as refusal:
        counted(frame)
    told = str(refusal.value)
    assert "lacks customer_id, day_on, revenue" in told and "Customer ID, day on, paid" in told
    assert "'Customer ID': 'customer_id'" in told and "'day on': 'day_on'" in told
    assert counted(DAYS, by="x") == 6
    assert "Reads of `customer_days`: customer_id, day_on, revenue." in inspect.getdoc(counted)
    with pytest.raises(TypeError):
        counted(DAYS, unknown=1)


LINES = pd.DataFrame(
    {
        "order_id": [f"o{n}" for n in range(40) for _ in "ab"],
        "sku": ["x", "y"] * 40,
        "customer_id": [f"c{n % 7}" for n in range(40) for _ in "ab"],
        "category": ["mugs", "tea"] * 40,
        "ordered_on": [d for d in pd.date_range("2025-01-05", periods=40, freq="2W") for _ in "ab"],
        "quantity": 1,
        "revenue": [5.0, 7.0] * 40,
        "is_product": True,
    }
)
BACK = pd.DataFrame({"order_id": ["o1"], "sku": ["x"], "kind": ["return"], "quantity": [1]})
SHELF = pd.DataFrame({"sku": ["x"], "day_on": pd.to_datetime(["2026-07-01"]), "on_hand": [3]})
SKU_DAYS = pd.DataFrame(
    {
        "sku": "x",
        "day_on": pd.date_range("2025-01-01", "2026-07-31"),
        "units": 2,
        "revenue": 10.0,
        "margin": 4.0,
        "on_hand": 9,
        "is_stocked": True,
        "is_on_promo": False,
    }
)
POINTS = pd.DataFrame(
    {
        "customer_id": ["a"],
        "changed_at": pd.to_datetime(["2026-01-02"]),
        "points_delta": [50],
        "reason": ["earn"],
        "expires_on": pd.to_datetime(["2027-01-02"]),
    }
)
PRICES = pd.DataFrame(
    {
        "sku": ["x", "x"],
        "seller": ["own", "rival"],
        "price": [9.0, 10.0],
        "from_on": pd.to_datetime(["2026-01-01"] * 2),
    }
)
AT = {"as_of": "2026-07"}
OWN_FRAMES = [
    (cohorts.cohort_retention, [DAYS], {"as_of": "2026-03"}),
    (cohorts.second_order, [DAYS], {"as_of": "2026-03"}),
    (segments.rfm, [DAYS], {"as_of": "2026-03"}),
    (purchase_history, [DAYS], {"as_of": "2026-03"}),
    (membership.annual_amounts, [DAYS], {"as_of": "2026-03"}),
    (membership.points, [POINTS], {"point_value": 0.01, **AT}),
    (demand_panel, [SKU_DAYS], AT),
    (supply, [SHELF], AT),
    (market.growth_by, [LINES], {"by": "category", **AT}),
    (market.price_mix, [LINES], AT),
    (pairs.item_pairs, [LINES], {"min_n": 1, **AT}),
    (pairs.replenishment, [LINES], AT),
    (assortment.quality_hold, [LINES, BACK], AT),
    (price_gap, [PRICES], AT),
]


@pytest.mark.parametrize(
    "function, frames, asked", OWN_FRAMES, ids=[f.__name__ for f, *_ in OWN_FRAMES]
)
def test_a_function_works_on_the_columns_it_names_and_names_all_a_frame_lacks(
    function, frames, asked
):
    told = re.findall(r"Reads of `(\w+)`: (.+)\.", inspect.getdoc(function))
    needed = [columns.replace("{basis}", "revenue").split(", ") for _name, columns in told]
    assert len(needed) == len(frames)
    # a day to look from and the column asked for have refusals of their own
    more = {"ordered_on", asked.get("by", "ordered_on")}
    exact = [
        frame[[c for c in frame if c in cut or c in more]]
        for frame, cut in zip(frames, needed, strict=True)
    ]
    assert function(*exact, **asked) is not None
    strange = frames[0].rename(columns=str.upper).rename(columns={needed[0][0].upper(): "zzz"})
    with pytest.raises(PlaybookError) as refusal:
        function(strange, *frames[1:], **asked)
    assert f"lacks {', '.join(needed[0])}" in str(refusal.value)
    second = needed[0][1]
    assert f"'{second.upper()}': '{second}'" in str(refusal.value)


def test_a_name_is_near_whatever_its_capitals_and_marks():
    assert nearest("customer_id", ["CUSTOMER-ID", "id"]) == "CUSTOMER-ID"
    assert nearest("curency", ["currency", "name"]) == "currency"
    assert nearest("revenue", ["zzz"]) == ""


def test_near_names_are_looked_up_in_one_place(root):
    texts = {p: p.read_text(encoding="utf-8") for p in (root / "playbook").rglob("*.py")}
    users = sorted(p.name for p, text in texts.items() if "get_close_matches" in text)
    assert users == ["given.py"]
