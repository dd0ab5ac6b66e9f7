"""The same shop on another engine gives the same tables: exact counts, and money to the
last digit stored.
"""

import re
from functools import partial
from pathlib import Path

import ibis
import pandas as pd
import pytest
from servers import postgres_server, spark_session
from shops import order, write_shop

from playbook.chapters.assortment_pricing.assortment import sku_year
from playbook.chapters.channel_roi.content import content_found, judged_pieces
from playbook.chapters.cohort_retention.cohorts import (
    cohort_retention,
    due_for_nudge,
    first_basket,
    first_orders,
    second_order,
)
from playbook.chapters.customer_journey.attempts import payment_messages
from playbook.chapters.customer_journey.page_speed import page_losses, page_speed
from playbook.chapters.ltv_modelling.ltv import first_orders as traits_of
from playbook.chapters.ltv_modelling.margin_curve import margin_curve
from playbook.chapters.market_research.rivals import rival_months
from playbook.chapters.recommendations.pairs import item_pairs
from playbook.chapters.recommendations.recommend import buyer_groups
from playbook.chapters.segmentation.benefits import benefit_members, with_points
from playbook.chapters.segmentation.membership import annual_amounts
from playbook.chapters.segmentation.segments import (
    rfm,
    segment_headline,
    segment_returns,
)
from playbook.chapters.start_here.facts import breakdown, daily, risk_indicators
from playbook.measures.customer_windows import purchase_history, purchase_log
from playbook.measures.metrics import monthly_sales
from playbook.methods.attribution import transition_counts
from playbook.store import open_store, seconds_between
from playbook.store.contract import TABLES
from playbook.store.derived import DERIVED
from playbook.store.reconcile import inflation, ledger, status_policy
from playbook.store.server import _lowered

UNTIL = "2026-09"


def shown_pages():
    """Attempts to pay, page loads and the events of their visits, some of what they tell missing."""
    n = 600
    at = pd.Timestamp("2026-09-10 10:00") + pd.to_timedelta([i % 7 for i in range(n)], "min")
    tries = pd.DataFrame({"attempt_id": [f"a{i}" for i in range(n)], "attempted_at": at})
    tries["checkout_id"] = [f"k{i // 2}" if i < 200 else f"k{i}" for i in range(n)]
    tries["payment_method"] = "card"
    tries["device"] = [["mobile", "desktop", None][i % 3] for i in range(n)]
    tries["status"] = ["failed" if i % 9 == 0 else "paid" for i in range(n)]
    tries["message"] = [["refused", None][i % 2] if i % 9 == 0 else None for i in range(n)]
    tries = tries.assign(amount=20.25, currency=["EUR", None] * (n // 2))
    loads = pd.DataFrame({"load_id": [f"l{i}" for i in range(n)], "loaded_at": at})
    loads["session_id"] = [f"s{i // 2}" if i < 100 else f"s{i}" for i in range(n)]
    loads = loads.assign(page="cart", device="mobile")
    loads["load_ms"] = [None if i % 50 == 0 else 900.5 + 7 * i for i in range(n)]
    loads["is_error"] = [None if i % 60 == 0 else i % 8 == 1 for i in range(n)]
    who = sorted(set(loads.session_id))
    events = pd.DataFrame({"event_id": [f"e{i}" for i in range(len(who))], "session_id": who})
    events["name"] = ["purchase" if i % 5 == 0 else "view_item" for i in range(len(who))]
    return tries, loads, events.assign(visitor_id=who, occurred_at=at[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty orders with everything that makes one hard: guests, refunds, cancellations,
    costs, stock and a promotion.
    """
    rows = []
    for i in range(60):
        day = pd.Timestamp("2026-06-01") + pd.Timedelta(days=2 * i)
        who = None if i % 9 == 0 else f"c{i % 13}"
        status = "cancelled" if i % 17 == 0 else "placed" if i % 23 == 0 else "done"
        rows.append(
            order(
                str(i),
                str(day.date()),
                who,
                price=1.37 * (i % 7) + 2,
                quantity=1 + i % 3,
                status=status,
                sku=f"s{i % 4}",
                unit_cost=None if i % 29 == 0 else 1.11,
                channel=["ads", "mail"][i % 2],
                promo_id="p" if i % 10 == 0 else None,
            )
        )
    refunds = pd.DataFrame(
        {
            "refund_id": ["r1", "r2", "r3"],
            "order_id": ["3", "4", None],
            "line_no": [1, None, None],
            "refunded_on": [pd.Timestamp("2026-07-15").date()] * 3,
            "amount": [2.5, 1.25, 3.0],
            "quantity": [1, None, None],
            "kind": ["return", "refund", "refund"],
            "customer_id": [None, None, "c1"],
            "sku": [None, None, "s1"],
        }
    )
    rates = pd.DataFrame(
        {
            "from_on": [pd.Timestamp("2026-01-01").date()] * 3,
            "kind": ["payment_share", "platform_share", "return_per_unit"],
            "value": [0.0145, 0.05, 1.8],
            "scope": ["all", "ads", "all"],
        }
    )
    stock = pd.DataFrame(
        [
            {"day_on": d.date(), "sku": s, "on_hand": (d.day + len(s)) % 5}
            for s in ("s0", "s1")
            for d in pd.date_range("2026-06-01", "2026-09-27")
        ]
    )
    promotions = pd.DataFrame(
        {
            "promo_id": ["p"],
            "starts_on": [pd.Timestamp("2026-07-01").date()],
            "ends_on": [pd.Timestamp("2026-07-05").date()],
            "skus": ["s0 s2"],
        }
    )
    touches = pd.DataFrame(
        [
            {
                "journey_id": f"j{i % 11}",
                "touch_no": 1 + i // 11,
                "is_conversion": i in (35, 40),
                "channel": ["web", "ads", "mail"][i % 3],
                "touched_at": pd.Timestamp("2026-08-01 10:00"),
            }
            for i in range(44)
        ]
    )
    people = [f"c{i}" for i in range(13)]
    benefits = pd.DataFrame({"benefit": "gift", "customer_id": people})
    benefits["from_on"] = pd.Timestamp("2026-06-20").date()
    benefits["arm"] = ["treated", "holdout", None] * 4 + ["treated"]
    uses = benefits[benefits.arm == "treated"].drop(columns=["arm", "from_on"])
    uses = uses.assign(used_on=pd.Timestamp("2026-08-01").date(), cost=1.37)
    uses["use_id"] = "u" + uses.customer_id
    points = pd.DataFrame({"customer_id": people[:4] * 2, "change_no": [1] * 4 + [2] * 4})
    points["changed_at"] = pd.to_datetime(["2026-07-01"] * 4 + ["2026-09-01"] * 4)
    points["points_delta"] = [120, 250, 400, 90, -100, -50, -400, -90]
    points["reason"] = ["earn"] * 4 + ["spend"] * 4
    points["expires_on"] = [pd.Timestamp("2026-08-20").date(), None] * 2 + [None] * 4
    pieces = [
        {
            "piece_id": f"p{i}",
            "kind": ("video", "live")[i % 2],
            "published_at": pd.Timestamp("2026-06-01 05:00") + pd.Timedelta(days=2 * i),
            "minutes": 90.0 if i % 2 else None,
            "code": None if i % 3 else f"code{i}",
            "cost": 1.5 + i,
        }
        for i in range(12)
    ]
    looks = [
        {
            "seen_on": day.date(),
            "seller": "another",
            "item": item,
            "price": 8.0 + day.day % 3,
            "regular_price": 12.0 if day.day % 2 else None,
            "is_in_stock": None if item == "b" else day.day % 4 > 0,
        }
        for day in pd.date_range("2026-06-02", "2026-09-20", freq="5D")
        for item in "abcd"
    ]
    attempts, loads, events = shown_pages()
    folder = write_shop(
        tmp_path_factory.mktemp("engine") / "shop",
        rows,
        refunds=refunds,
        touchpoints=touches,
        payment_attempts=attempts,
        page_loads=loads,
        events=events,
        cost_rates=rates,
        stock=stock,
        promotions=promotions,
        benefits=benefits,
        benefit_uses=uses,
        memberships=points,
        content_items=pd.DataFrame(pieces),
        content_orders=pd.DataFrame(
            {"order_id": [str(i) for i in range(1, 40, 2)], "piece_id": ["p0", "p1"] * 10}
        ),
        rival_offers=pd.DataFrame(looks),
        shop="name: shop\ncurrency: EUR\n",
        observed_to="2026-09-30",
    )
    lines = pd.read_parquet(
        folder / "order_lines.parquet"
    )  # a sample with every other order, so that there are pairs
    lines = pd.concat(
        [
            lines,
            lines.iloc[::2].assign(line_no=2, sku="s5", price=0.0, unit_cost=0.4, promo_id=None),
        ]
    )
    lines.to_parquet(folder / "order_lines.parquet", index=False)
    return folder


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    key = [
        c
        for c in frame
        if c in ("order_id", "line_no", "refund_id", "customer_id", "day_on", "sku")
    ]
    table = frame.sort_values(key, ignore_index=True).astype(object)
    return table.where(table.notna(), "missing").astype(str)


def bulk(s) -> dict:
    """Every analysis that runs over all customers, lines or touches on the engine, by
    name.
    """
    days, at = s.customer_days, {"as_of": s.as_of}
    first, traits = (
        find(s.sales_orders) for find in (partial(first_orders, with_truncated=True), traits_of)
    )
    traits = traits.mutate(is_left_truncated=False)
    return {
        "ledger": lambda: ledger(s),
        "status policy": lambda: status_policy(s),
        "inflation": lambda: inflation(s),
        "monthly sales": lambda: monthly_sales(s),
        "breakdown": lambda: breakdown(s),
        "daily": lambda: daily(s),
        "risks": lambda: risk_indicators(s),
        "cohorts": lambda: cohort_retention(days, **at, truncated_before=s.truncated_before),
        "second order": lambda: second_order(days, **at),
        "first basket": lambda: first_basket(first, days, **at, by="channel", least=2),
        "due for nudge": lambda: pd.DataFrame({"n": [due_for_nudge(first, days, **at, day=40)]}),
        "purchase history": lambda: purchase_history(days, **at, basis="margin", traits=traits),
        "purchase log": lambda: purchase_log(
            days, purchase_history(days, **at).customer_id[::2], **at, basis="margin"
        ),
        "segment returns": lambda: segment_returns(days, **at, windows=2),
        "segment headline": lambda: segment_headline(days, **at, basis="revenue"),
        "rfm": lambda: rfm(days, **at).customers,
        "rfm cuts": lambda: rfm(days, **at).cuts,
        "buyer groups": lambda: buyer_groups(days, **at),
        "annual amounts": lambda: annual_amounts(days, **at),
        "margin curve": lambda: margin_curve(days, traits, **at, max_months=12),
        "pairs": lambda: item_pairs(s.sales_lines, **at, min_n=1, min_support=0.001),
        "sku year": lambda: sku_year(s.sales_lines, s.sales_orders, **at),
        "benefits": lambda: _benefits(s),
        "content": lambda: judged_pieces(s)[0],
        "formats": lambda: content_found(s)["content_formats"],
        "competitors": lambda: rival_months(s.rival_offers, **at),
        "payment messages": lambda: payment_messages(s.payment_attempts, **at, currency="EUR"),
        "page speed": lambda: page_speed(s.page_loads, **at),
        "page losses": lambda: page_losses(s.page_loads, s.events, **at),
        "attribution": lambda: s.con.execute(transition_counts(s.touchpoints)),
    }


def _benefits(s) -> pd.DataFrame:
    given = with_points(s.benefits, s.benefit_uses, s.memberships, point_value=0.01)
    members = benefit_members(*given, s.customer_days, as_of=s.as_of)
    frame = s.con.execute(members.order_by("benefit", "customer_id"))
    return frame.astype(dict.fromkeys(("cost", "outside", "money"), float))


def same_everywhere(here, there):
    for name in DERIVED:
        ours, theirs = (plain(s.con.execute(getattr(s, name))) for s in (here, there))
        pd.testing.assert_frame_equal(ours, theirs[ours.columns], obj=name)
    for (name, ours), theirs in zip(bulk(here).items(), bulk(there).values(), strict=True):
        ours, theirs = ours(), theirs()
        assert len(ours), name
        # counts are compared as they are; a float that began as exact money may differ in its last bits
        pd.testing.assert_frame_equal(
            ours, theirs, check_dtype=False, rtol=1e-12, atol=1e-9, obj=name
        )


@pytest.fixture(scope="module")
def postgres(folder, tmp_path_factory):
    with postgres_server(Path(tmp_path_factory.mktemp("pg"))) as server:
        yield server.load("shop", folder)


def test_postgres_gives_the_same_tables_walk_and_cohorts(folder, postgres, tmp_path):
    (tmp_path / "shop.yaml").write_text(
        f"name: shop\ncurrency: EUR\naddress: {postgres}\n", encoding="utf-8"
    )
    there = open_store(tmp_path, until=UNTIL)
    same_everywhere(open_store(folder, until=str(there.as_of)), there)


@pytest.fixture(scope="module")
def spark(folder, tmp_path_factory):
    session = spark_session(folder, tmp_path_factory.mktemp("spark"))
    yield "pyspark://shop?spark.sql.session.timeZone=UTC"
    session.stop()


@pytest.mark.filterwarnings(
    "ignore:PySpark does not yet fully support pandas", "ignore:The copy keyword is deprecated"
)
def test_spark_gives_the_same_tables_walk_and_cohorts(folder, spark, tmp_path):
    (tmp_path / "shop.yaml").write_text(
        f"name: shop\ncurrency: EUR\naddress: {spark}\n", encoding="utf-8"
    )
    there = open_store(tmp_path, until=UNTIL)
    same_everywhere(open_store(folder, until=str(there.as_of)), there)


def test_time_between_two_moments_is_what_has_passed_on_every_engine():
    rows = {"opened": ["2026-03-01 10:59:30.9"] * 2, "closed": ["2026-03-01 11:00:10.1", None]}
    frame = pd.DataFrame(rows).apply(pd.to_datetime)
    moments = ibis.memtable(frame)
    passed = seconds_between(moments.opened, moments.closed)
    found = moments.select(passed=passed).to_pandas().passed
    # the clock struck once in these forty seconds
    assert found[0] == 40 and pd.isna(found[1])


def test_no_expression_counts_hours_the_way_its_engine_likes(root):
    finer = re.compile(r"unit=\"(?:hour|minute|second|week|month)\"")
    found = [
        f"{path.name}:{number}"
        for path in sorted((root / "playbook").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ".delta(" in line and finer.search(line)
    ]
    assert found == [], "use playbook.store.seconds_between"


def test_no_quantile_is_asked_under_a_condition(root):
    """Spark refuses a share that depends on a row: the values are chosen, not the question."""
    asked = re.compile(r"\.(quantile|median|approx_median)\([^()]*where=")
    found = [
        p.name for p in (root / "playbook").rglob("*.py") if asked.search(p.read_text("utf-8"))
    ]
    assert not found


def test_where_a_database_writes_all_names_in_capitals_the_shops_own_are_lowered_too():
    spec = TABLES["survey"]
    loud = {"RESPONDENT_ID": ["r1"], "BUYS_ONLINE": ["often"]}
    assert _lowered(ibis.memtable(loud), spec).columns == ("respondent_id", "buys_online")
    mixed = {"RESPONDENT_ID": ["r1"], "BuysOnline": ["often"]}
    assert _lowered(ibis.memtable(mixed), spec).columns == ("respondent_id", "BuysOnline")
