"""Price ladders: steps, gaps and thin steps; what moved when products came or went.

Nothing was tuned on made ladders: limits stand as first written, seen on the default shop only;
seeds 1 to 10 report.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from playbook.chapters.assortment_pricing.ladders import (
    LEAST_UNITS,
    ladder_decisions,
    ladder_moves,
    price_ladder,
)
from playbook.measures.demand_panel import DemandPanel

AS_OF = dt.date(2026, 10, 31)
REPORTED = range(1, 11)


def panel_of(price, category, units, *, exposure=None, margin_share=0.4):
    """A panel of skus with one regular price each and their weekly units."""
    units = np.asarray(units, float)
    n, weeks = units.shape
    price = np.asarray(price, float)
    grid = np.repeat(price[:, None], weeks, axis=1)
    exposure = np.ones((n, weeks)) if exposure is None else np.asarray(exposure, float)
    ends = pd.Timestamp(AS_OF) - pd.Timedelta(days=6)
    return DemandPanel(
        sku=np.array([f"s{i:03d}" for i in range(n)], object),
        category=np.array(category, object),
        units=units,
        exposure=exposure,
        promo=np.zeros((n, weeks)),
        revenue=units * grid,
        margin=units * grid * margin_share,
        on_hand=np.full((n, weeks), 9.0),
        week=np.arange(weeks) % 52,
        starts=pd.date_range(end=ends, periods=weeks, freq="7D"),
        is_stock_known=True,
        issues=pd.DataFrame(),
        counts=(),
        price=grid,
        pull=np.zeros((n, weeks)),
    )


def steady(rates, weeks=13):
    return np.repeat(np.asarray(rates, float)[:, None], weeks, axis=1)


def test_prices_within_a_quarter_of_the_lowest_stand_on_one_step():
    """10, 11 and 12 on one step; 12.5 starts the next; shares by units, margin by money a year."""
    table = price_ladder(panel_of([10, 11, 12, 12.5], ["tea"] * 4, steady([5, 5, 5, 15])))
    assert table.n_skus.tolist() == [3, 1] and table.units_share.tolist() == [0.5, 0.5]
    assert table.price_high[0] == 12 and table.next_ratio[0] == pytest.approx(12.5 / 12)
    assert table.margin[1] == pytest.approx(15 * 52 * 12.5 * 0.4)


PRICES = [10, 12.6, 16, 32, 40]


def test_a_gap_is_far_and_further_than_usual_and_both_sides_sell():
    """Distances of 1.26, 1.27, 2 and 1.25: the third is a gap, at 13 weeks of 10 a sku."""
    table = price_ladder(panel_of(PRICES, ["tea"] * 5, steady([10] * 5)))
    assert (table.step[0], table.verdict[0]) == (3, "gap above")
    assert table.next_ratio[0] == 2 and table.usual_ratio[0] == pytest.approx(1.26, abs=0.01)
    assert table.stake[0] == pytest.approx((16 + 32) * 10 * 52 * 0.4)
    one_side = price_ladder(panel_of(PRICES, ["tea"] * 5, steady([10, 10, 10, 1, 10])))
    assert "gap above" not in set(one_side.verdict)
    wide = price_ladder(panel_of([10, 20, 40, 80, 160], ["tea"] * 5, steady([10] * 5)))
    assert "gap above" not in set(wide.verdict), "usual here"


def test_a_thin_step_stands_between_two_and_is_neither_bought_nor_earned_on():
    rates = [30, 30, 0.2, 30]
    table = price_ladder(panel_of([10, 13, 17, 22], ["tea"] * 4, steady(rates)))
    assert (table.step[0], table.verdict[0]) == (3, "thin")
    ends = price_ladder(panel_of([10, 13, 17, 22], ["tea"] * 4, steady([0.2, 30, 30, 0.2])))
    assert set(ends.verdict) == {"fine"}, "an end of the ladder is there for others"
    dear = panel_of([10, 13, 17, 22], ["tea"] * 4, steady([30, 30, 0.8, 30]), margin_share=0.4)
    dear.margin[2] *= 9
    assert set(price_ladder(dear).verdict) == {"fine"}, "more than 3 % of the margin"


def test_without_costs_steps_are_judged_by_units_and_nothing_is_said_to_be_at_stake():
    panel = panel_of([10, 13, 17, 22], ["tea"] * 4, steady([30, 30, 0.2, 30]))
    panel.margin[:] = np.nan
    table = price_ladder(panel)
    assert table.verdict[0] == "thin" and table.margin.isna().all() and table.stake.isna().all()
    rows = ladder_decisions(table, ladder_moves(panel), as_of=AS_OF, currency="EUR")
    assert pd.isna(rows.effect_high[0])


def test_a_category_that_hardly_sells_is_not_judged():
    few = steady([LEAST_UNITS / 13 / 5 * 0.99] * 5)
    assert set(price_ladder(panel_of(PRICES, ["tea"] * 5, few)).verdict) == {"too few"}
    three = panel_of([10, 20, 40], ["tea"] * 3, steady([10] * 3))
    assert set(price_ladder(three).verdict) == {"too few"}


def test_products_off_sale_without_a_category_or_a_price_are_on_no_ladder():
    off = np.ones((4, 13))
    off[3, -4:] = 0
    panel = panel_of([10, 11, 12, 30], ["tea", None, "tea", "tea"], steady([5] * 4), exposure=off)
    assert price_ladder(panel).n_skus.tolist() == [2]
    nobody = panel_of([10.0], [None], steady([5]))
    assert price_ladder(nobody).empty and len(ladder_moves(nobody)) == 2


def test_where_no_price_is_told_what_was_paid_is_the_price():
    panel = panel_of([10, 20], ["tea"] * 2, steady([5, 5]))
    panel.price[:] = np.nan
    assert price_ladder(panel).price_low.tolist() == [10, 20]


def test_without_products_that_came_or_went_nothing_is_known_to_move():
    moves = ladder_moves(panel_of(PRICES, ["tea"] * 5, steady([10] * 5, weeks=52)))
    assert moves.verdict.tolist() == ["not known"] * 2 and (moves.n_products == 0).all()
    ladder = price_ladder(panel_of(PRICES, ["tea"] * 5, steady([10] * 5)))
    rows = ladder_decisions(ladder, moves, as_of=AS_OF, currency="EUR")
    assert rows.action.tolist() == ["test a price point"] and "%" not in rows.reason[0]
    assert rows["size"][0] == pytest.approx(np.sqrt(16 * 32), abs=0.01)
    assert pd.isna(rows.expected_effect[0]) and pd.isna(rows.effect_high[0])


def test_a_thin_step_may_cost_its_margin_at_most():
    table = price_ladder(panel_of([10, 13, 17, 22], ["tea"] * 4, steady([30, 30, 0.2, 30])))
    rows = ladder_decisions(table, table[:0], as_of=AS_OF, currency="EUR")
    assert rows.action.tolist() == ["merge steps"] and rows["size"][0] == 1
    assert rows.effect_high[0] == pytest.approx(0.2 * 17 * 0.4 * 52)
    assert pd.isna(rows.expected_effect[0])


# --- ladders whose truth is known ---------------------------------------------------------

CATEGORIES, WEEKS, NEW = 8, 156, 40
SAME, OTHER = 0.5, 0.2
GAP, THIN = "c3", "c5"


def made_shop(seed):
    """Eight categories of five steps. In `GAP` the fourth step lies twice as far off; in `THIN` the
    third is hardly bought. Forty products come: half of what each sells is taken from its step, a
    fifth from the category's other steps.
    """
    draw = np.random.default_rng(seed)
    price, category, rate, step = [], [], [], []
    for c in range(CATEGORIES):
        at = 8 * np.exp(0.2 * draw.normal())
        for k in range(5):
            at *= 1.32 * np.exp(0.02 * draw.normal()) * (1.7 if f"c{c}" == GAP and k == 3 else 1)
            for _sku in range(4):
                price.append(at * (1 + 0.03 * draw.random()))
                category.append(f"c{c}")
                is_thin = f"c{c}" == THIN and k == 2
                rate.append((0.15 if is_thin else 12.0) * np.exp(0.4 * draw.normal()))
                step.append((c, k))
    season = 1 + 0.3 * np.sin(np.arange(WEEKS) / 52 * 2 * np.pi)
    sway = np.exp(0.03 * draw.normal(size=(CATEGORIES, WEEKS)))
    of = np.array([c for c, _k in step])
    law = np.array(rate)[:, None] * season * sway[of]
    on = np.ones_like(law)
    free = [(c, k) for c in range(CATEGORIES) for k in range(5) if (f"c{c}", k) != (THIN, 2)]
    steps = np.array(step)
    for n in range(NEW):
        c, k = free[n * 7 % len(free)]
        start = int(draw.integers(14, WEEKS - 14))
        sold = np.where(np.arange(WEEKS) >= start, 6.0, 0.0) * season * sway[c]
        old = np.arange(len(of))
        for mine, share in (
            ((of == c) & (steps[:, 1] == k), SAME),
            ((of == c) & (steps[:, 1] != k), OTHER),
        ):
            who = old[mine]
            law[who] -= share * sold * law[who] / law[who].sum(axis=0)
        price.append(np.mean([p for p, s in zip(price, step, strict=False) if s == (c, k)]))
        category.append(f"c{c}")
        law = np.vstack([law, sold])
        on = np.vstack([on, sold > 0])
        of, steps = np.append(of, c), np.vstack([steps, [(c, k)]])
    return panel_of(price, category, draw.poisson(np.maximum(law, 0.01)) * (on > 0), exposure=on)


@pytest.fixture(scope="module")
def ten_shops():
    panels = [made_shop(seed) for seed in REPORTED]
    return [(price_ladder(p), ladder_moves(p)) for p in panels]


def test_the_planted_gap_is_first_and_the_planted_thin_step_the_first_of_its_kind(ten_shops):
    gap = [t.category[0] == GAP and t.verdict[0] == "gap above" for t, _m in ten_shops]
    thin = [t[t.verdict == "thin"].category.tolist()[:1] == [THIN] for t, _m in ten_shops]
    assert sum(gap) >= 8 and sum(thin) >= 8


def test_what_newcomers_took_lies_within_its_interval_at_its_level(ten_shops):
    """Of 90 %, two shares on ten seeds."""
    inside = [
        moves.low[i] <= true <= moves.high[i]
        for _t, moves in ten_shops
        for i, true in enumerate((SAME, OTHER))
    ]
    assert np.mean(inside) >= 0.75
    assert sum(moves.verdict[0] == "moves" for _t, moves in ten_shops) >= 8
