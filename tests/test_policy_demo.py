"""The laws of the demo shop in figures: a constant that moves shows in a table it made.

The figures are those of one small shop; a hundredth of play is left for processors
that round otherwise.
"""

import pandas as pd
import pytest

from playbook.demo.make import make_demo

FIGURES = {
    "orders": {
        "rows": 463,
        "n cancelled_at": 20,
        "n delivered_at": 411,
        "n customer_id": 407,
        "n coupon": 31,
        "gross": 33832.66,
        "discount": 313.47,
        "shipping": 1579.6,
        "tax": 6222.04,
        "payment_fee": 673.86,
        "shipping_cost": 2509.17,
    },
    "order_lines": {"rows": 1002, "quantity": 1365.0, "price": 24762.79, "unit_cost": 10552.77},
    "refunds": {"rows": 102, "amount": 2885.96, "quantity": 75.0},
    "reviews": {"rows": 78, "stars": 338.0},
    "tickets": {"rows": 43, "csat": 57.0, "is_reopened": 4.0},
    "customers": {"rows": 284, "is_contactable": 192.0, "is_business": 9.0},
    "ad_spend": {
        "rows": 29387,
        "spend": 4295.75,
        "clicks": 10619.0,
        "impressions": 960558.0,
        "platform_orders": 478.41,
        "platform_value": 33725.35,
    },
    "traffic": {
        "rows": 77760,
        "sessions": 31599.0,
        "product_views": 15373.0,
        "add_to_carts": 1806.0,
        "checkouts": 559.0,
        "buyers": 460.0,
    },
    "stock": {"rows": 13215, "on_hand": 187819.0, "incoming": 20035.0},
    "purchase_orders": {"rows": 92, "n_ordered": 1497.0, "n_received": 1370.0, "n_defective": 14.0},
    "memberships": {"rows": 169, "points_delta": 9156.0},
    "experiments": {"rows": 1138, "is_converted": 51.0, "amount": 3602.62},
    "prices": {"rows": 269, "price": 6384.79},
    "promotions": {"rows": 6, "depth_share": 1.01, "cost": 23.04},
    "cost_rates": {"rows": 9, "value": 531.81},
    "targets": {"rows": 108, "value": 147388.47},
    "team": {"rows": 18, "weight_share": 9.0, "n_people": 27.5},
    "business_models": {"rows": 20, "value": 158.45},
    "competitors": {"rows": 288, "sales_low": 18304887.0, "price": 6371.82},
    "market_series": {"rows": 118, "value": 25985.91},
    "survey": {"rows": 600, "weight": 620.38},
    "events": {"rows": 14630, "amount": 10448.48},
    "touchpoints": {"rows": 964, "touch_no": 1249.0},
    "tiers": {"rows": 3, "threshold": 550.0, "benefit_cost": 15.5, "breakage_share": 0.75},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laws") / "shop"
    return make_demo(folder, preset="tiny", customers=400, months=9, with_truth=False)


def figures(folder, table):
    """Rows, filled cells, and the sum of every column that can be added."""
    frame = pd.read_parquet(folder / f"{table}.parquet")
    sums = {"rows": len(frame), **frame.notna().sum().add_prefix("n ")}
    for column in frame:
        numbers = pd.to_numeric(frame[column], errors="coerce").astype(float)
        if numbers.notna().any():
            sums[column] = float(numbers.sum())
    return sums


@pytest.mark.parametrize("table", list(FIGURES))
def test_the_tables_of_one_small_shop_are_as_its_laws_say(shop, table):
    stated, made = FIGURES[table], figures(shop, table)
    assert {name: made[name] for name in stated} == pytest.approx(stated, rel=0.01)
