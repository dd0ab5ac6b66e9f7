"""A day told: what a shop with known incidents says of a day, in both languages."""

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shops import order, write_shop
from test_detect import orders as troubled_orders
from test_detect import spend, stock, traffic

from playbook.cli import main
from playbook.detect.day import _judged, day_figures
from playbook.detect.incidents import without_incidents
from playbook.detect.panels import Panels
from playbook.messages import speaking
from playbook.runs import day as days_told
from playbook.runs.digest import CHAT_LIMIT
from playbook.store.open import open_folder
from playbook.tables import empty

ON = dt.date(2026, 10, 30)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """October of test_detect: mobile checkouts fail from the 28th to the 30th, orders nobody
    means to keep come on the 27th.
    """
    folder = tmp_path_factory.mktemp("day") / "shop"
    tables = {"traffic": traffic(), "ad_spend": spend(), "stock": stock()}
    frames = {n: pd.DataFrame(list(rows)) for n, rows in tables.items()}
    return write_shop(folder, list(troubled_orders()), **frames)


@pytest.fixture(scope="module", params=["en", "zh"])
def told(request, troubled, tmp_path_factory):
    """The day, its page and its message in one language."""
    with speaking(request.param):
        day = days_told.day_of(str(troubled), on=str(ON))
        paths = days_told.write_day(day, tmp_path_factory.mktemp(request.param))
    return day, *(path.read_text(encoding="utf-8") for path in paths), request.param


def test_a_failing_step_is_told_with_what_to_check_and_calls(told):
    day, page, message, _lang = told
    assert len([s for s in day.sentences if "checkouts > buyers, mobile" in s]) == 1
    assert day.calls
    assert "checkouts &gt; buyers, mobile" in page and str(ON) in page
    assert str(ON) in message and len(message) <= CHAT_LIMIT


def test_what_happened_within_the_week_is_told_and_nothing_older(told):
    day, _page, _message, _lang = told
    kinds = set(day.incidents.kind)
    assert "fake_orders" in kinds and "payment_down" not in kinds
    assert (day.incidents.ends_on >= ON - dt.timedelta(days=6)).all()


def test_the_page_needs_no_network_and_fits_a_telephone(told):
    _day, page, _message, _lang = told
    assert re.findall(r"""(?:src|href)="(?!data:|#)""", page) == []
    assert "width=device-width" in page and "default-src 'none'" in page


def test_a_chinese_message_holds_no_english_sentence(told):
    _day, _page, message, lang = told
    if lang == "en":
        pytest.skip("the English one")
    assert not re.search(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", message.replace(" > ", ""))


def test_the_exit_status_says_whether_there_is_something_to_act_on(
    told, tmp_path, capsys, monkeypatch
):
    day = told[0]
    quiet = day.figures.assign(flag="usual")
    calm = dataclasses.replace(day, incidents=day.incidents.iloc[:0], figures=quiet)
    for one, status in ((day, 4), (calm, 0)):
        monkeypatch.setattr(days_told, "day_of", lambda store, on, one=one: one)
        assert main(["day", "--to", str(tmp_path), "--json"]) == status
        said = json.loads(capsys.readouterr().out)
        assert said["calls"] == bool(status) and Path(said["page"]).exists()
        assert said["figures"][0]["metric"] == "net_revenue"


def test_an_incident_that_ended_days_ago_calls_nobody(told):
    day = told[0]
    ended = day.incidents.assign(ends_on=ON - dt.timedelta(days=2), is_alarm=True)
    quiet = day.figures.assign(flag="usual")
    assert not dataclasses.replace(day, incidents=ended, figures=quiet).calls
    on_time = ended.assign(ends_on=ON - dt.timedelta(days=1))
    assert dataclasses.replace(day, incidents=on_time, figures=quiet).calls
    worse = day.figures.assign(flag="worse")
    assert dataclasses.replace(day, incidents=ended, figures=worse).calls


def test_a_day_the_orders_do_not_reach_is_refused(troubled, tmp_path, capsys):
    assert main(["day", "--store", str(troubled), "--to", str(tmp_path), "--on", "2026-12-24"]) == 1
    assert "2026-12-24" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_newest_day_is_the_last_one_known(troubled):
    assert open_folder(troubled, "newest").as_of == dt.date(2026, 10, 31)


def test_a_fall_by_half_is_outside_limits(troubled):
    panels = Panels(open_folder(troubled, "2026-10-08"), months=2)
    figures = day_figures(panels, empty("detect.incidents")).set_index("metric")
    # 12 of 24 orders were never paid on the 7th and the 8th
    assert figures.day["orders"] == 12.0 and figures.flag["orders"] == "worse"
    assert figures.usual["orders"] == pytest.approx(24.0)
    assert figures.week["orders"] == 7 * 24 - 24


def test_a_quiet_day_lies_within_its_limits(tmp_path):
    rng, n_inside, n = np.random.default_rng(4), 0, 0
    days = pd.date_range("2026-04-01", "2026-10-31")
    rows = [
        order(f"{d:%m%d}-{k}", f"{d:%Y-%m-%d}", f"c{k}")
        for d in days
        for k in range(int(rng.poisson(20)))
    ]
    folder = write_shop(tmp_path / "quiet", rows)
    for until in ("2026-10-15", "2026-10-31"):
        panels = Panels(open_folder(folder, until), months=2)
        table = day_figures(panels, empty("detect.incidents")).set_index("metric")
        row = table.loc["orders"]
        n, n_inside = n + 1, n_inside + (row.lower <= row.day <= row.upper)
        assert 5 < row.usual_low < row.usual < row.usual_high < 45
    assert n_inside == n


def test_references_end_at_a_day_as_well_as_at_a_month():
    days = pd.DataFrame({"day_on": pd.date_range("2026-10-01", "2026-10-10"), "orders": 24.0})
    row = {"kind": "step_fails", "subject": "x", "starts_on": "2026-10-04", "ends_on": "2026-10-06"}
    hidden = without_incidents(days, pd.DataFrame([row]), before="2026-10-06")
    assert hidden.orders.isna().to_list() == [False] * 3 + [True] * 2 + [False] * 5


@pytest.mark.parametrize(
    "usual, now, flag",
    [(0.0, 0.0, "usual"), (20.0, 20.0, "usual"), (20.0, 28.0, "unusual"), (20.0, 60.0, "better")],
)
def test_counts_are_no_steadier_than_poisson_s_and_zero_is_a_count(usual, now, flag):
    counts = pd.Series(usual, pd.date_range("2026-06-01", periods=150))
    counts.iloc[-1] = now
    row = _judged(counts, counts, "new_customers")
    assert row["flag"] == flag and row["usual"] == pytest.approx(usual)
    assert row["usual_low"] >= 0
