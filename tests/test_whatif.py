"""What if: an answer for any value, the chapter's own where the chapter says one, and
sliders only where they can be drawn.
"""

import sys
import types

import numpy as np
import pandas as pd
import pytest
from test_inventory import planned
from test_policy_channel_roi import NOW, model_of

from playbook.chapters.assortment_pricing.pricing import gain_at, price_list
from playbook.chapters.channel_roi.media_plan import plan_budget
from playbook.chapters.inventory_planning.inventory import service_cash
from playbook.errors import PlaybookError
from playbook.forecasting.series import reach
from playbook.whatif import questions, sliders
from playbook.whatif.questions import Question, budget_of, price_of, service_of, target


def elasticity(se=0.0, estimate=-2.0, known=True):
    return pd.DataFrame(
        {
            "sku": ["a", "b"],
            "estimate": [estimate, np.nan],
            "se": [se, np.nan],
            "is_identifiable": [known, False],
            "reason": ["", "no moves"],
            "price_now": [10.0, 20.0],
        }
    )


def year(margin=400.0):
    """100 units at 9 paid of a price of 10; a margin of 400 leaves a cost of 5 a unit."""
    return pd.DataFrame(
        {"sku": ["a", "b"], "units": [100, 50], "margin": [margin, 100.0], "price_paid": [9.0, 18]}
    )


def test_another_price_gains_what_the_elasticity_says_by_hand():
    asked = price_of(elasticity(), year(), sku="a", currency="EUR")
    row = asked.ask(11.0).iloc[0]
    # units x ((11/10)^-2 x (11 x 0.9 - 5) - (9 - 5)), and b sells a third of what a loses, at 2
    switched = (1 - 1.1**-2) / 3 * 2
    assert row.mid == pytest.approx(100 * (1.1**-2 * (11 * 0.9 - 5) - 4 + switched))
    # four in five of the shares from none to two thirds
    ends = [row.mid + side * 0.8 * 100 * switched for side in (-1, 1)]
    assert (row.low, row.high) == pytest.approx(tuple(ends), rel=0.01)
    assert asked.ask(10.0).mid[0] == pytest.approx(0.0)
    assert (asked.low, asked.now, asked.high) == pytest.approx((8.5, 10.0, 11.5))


def test_the_price_the_chapter_plans_gains_what_the_chapter_says():
    told = elasticity(se=0.3, estimate=-1.2)
    plan = price_list(told, year(), corridor=0.1).iloc[0]
    assert plan.action == "raise"
    row = price_of(told, year(), sku="a", currency="EUR").ask(plan.plan).iloc[0]
    assert (row.mid, row.low, row.high, row.chance) == pytest.approx(
        (plan.gain, plan.gain_low, plan.gain_high, plan.chance)
    )
    assert row.low < row.mid < row.high


def test_a_price_that_never_moved_or_earns_nobody_knows_what_is_refused():
    with pytest.raises(PlaybookError, match="never moved apart"):
        price_of(elasticity(), year(), sku="b", currency="EUR")
    with pytest.raises(PlaybookError, match="never moved apart"):
        price_of(elasticity(), year(), sku="c", currency="EUR")
    with pytest.raises(PlaybookError, match="margin of a is not known"):
        price_of(elasticity(), year(margin=np.nan), sku="a", currency="EUR")
    assert gain_at(elasticity(), year(), sku="b", price=1.0).size == 0


def test_a_budget_brings_what_the_chapters_plan_brings_and_all_of_it_is_spent():
    model = model_of([3.0] * 85 + [0.5] * 15)
    asked = budget_of(model, "EUR")
    assert asked.now == pytest.approx(NOW)
    assert (asked.low, asked.high) == pytest.approx((0.7 * NOW, 1.3 * NOW))
    more = asked.ask(1.2 * NOW).iloc[0]
    plan = plan_budget(model, total=1.2 * NOW, largest_step=0.3, largest_cut=0.3, spend_all=True)
    assert (more.mid, more.low, more.high, more.chance) == (
        plan.gain,
        plan.low,
        plan.high,
        plan.p_gain,
    )
    # 20 % more, each unit gaining 2 or losing a half
    assert more.mid == pytest.approx(0.2 * NOW * (0.85 * 2 - 0.15 * 0.5), rel=1e-3)
    assert asked.ask(0.8 * NOW).mid[0] < 0 < more.mid


class Foretold:
    """A forecast of 100 with twenty past errors."""

    is_log = False
    total = pd.DataFrame(
        {"mid": [100.0], "low": [90.0], "high": [110.0], "scale": [1.0], "status": ["complete"]}
    )
    origins = pd.DataFrame({"error": np.linspace(-10, 10, 21)})

    def forecast(self, metric, horizon):
        if metric == "unknown":
            raise KeyError(metric)
        return self


def test_a_higher_target_is_reached_less_often_and_the_forecast_stands_beside_it(monkeypatch):
    monkeypatch.setattr(questions, "outlook", lambda shop: Foretold())
    asked = target(None)
    rows = pd.concat([asked.ask(value) for value in (90.0, 100.0, 110.0)])
    assert rows.chance.is_monotonic_decreasing and rows.chance.iloc[0] > 0.8
    assert rows.chance.iloc[1] == reach(Foretold(), [100.0]).p_reach[0]
    assert set(rows.mid) == {100.0} and set(rows.low) == {90.0}
    with pytest.raises(PlaybookError, match="unknown is not forecast"):
        target(None, metric="unknown")


def test_a_higher_fill_rate_needs_more_stock_and_its_interval_holds_the_draws():
    panel, law, held, _ = planned()
    asked = service_of(panel, law, held, "EUR")
    low, high = asked.ask(0.85).iloc[0], asked.ask(0.98).iloc[0]
    assert high.mid > low.mid and high.chance > low.chance
    one = service_cash(panel, law, held, aims=(0.98,), seed=0).stock_value[0]
    assert high.low <= one <= high.high and high.low < high.high


def plain():
    def answers(value):
        return pd.DataFrame({"asked": [value], "mid": [2 * value]})

    return Question("knob", "EUR", 10.0, 5.0, 15.0, "03: total_budget", answers)


def test_a_slider_steps_by_a_round_twentieth_and_no_number_is_refused():
    assert plain().step == 0.5
    assert Question("k", "", 1.0, 1.0, 1.0, "", plain().answers).step == 1.0
    for value in (float("nan"), float("inf")):
        with pytest.raises(PlaybookError, match="no number"):
            plain().ask(value)


def test_without_ipywidgets_one_line_says_so_and_todays_answer_stands(monkeypatch, capsys):
    monkeypatch.setattr(sliders.importlib.util, "find_spec", lambda name: None)
    shown = sliders.slider(plain())
    assert shown.mid[0] == 20.0
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and "pip install ipywidgets" in told


class FakeWidget:
    def __init__(self, *children, **options):
        self.children, self.seen = children, []
        self.__dict__.update(options)

    def observe(self, function, names):
        self.seen.append(function)


def test_letting_a_slider_go_gives_the_answer_for_its_value(monkeypatch):
    names = ("FloatSlider", "HTML", "Label", "VBox")
    fake = types.SimpleNamespace(**dict.fromkeys(names, FakeWidget))
    monkeypatch.setitem(sys.modules, "ipywidgets", fake)
    monkeypatch.setattr(sliders.importlib.util, "find_spec", lambda name: True)
    knob, told, note = sliders.slider(plain()).children[0]
    assert (knob.min, knob.max, knob.value, knob.continuous_update) == (5.0, 15.0, 10.0, False)
    assert "20.00" in told.value and "total_budget" in note.children[0]
    knob.value = 12.0
    knob.seen[0]()
    assert "24.00" in told.value
    knob.value = float("nan")
    knob.seen[0]()
    assert "no number" in told.value


def test_no_run_and_no_import_of_the_package_needs_widgets(root):
    texts = [p.read_text(encoding="utf-8") for p in (root / "playbook").rglob("*.py")]
    assert sum("import ipywidgets" in text for text in texts) == 1
    notebooks = [p.read_text(encoding="utf-8") for p in (root / "notebooks").glob("*.ipynb")]
    assert not any("ipywidgets" in text for text in notebooks)
