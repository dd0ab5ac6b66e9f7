"""A day told: what a shop with known incidents says of its newest day, in both languages."""

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
from playbook.detect.day import day_figures
from playbook.detect.incidents import without_incidents
from playbook.detect.panels import Panels
from playbook.runs.digest import CHAT_LIMIT
from playbook.store import open_store
from playbook.tables import empty


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """October of test_detect: mobile checkouts fail from the 28th to the 30th."""
    folder = tmp_path_factory.mktemp("day") / "shop"
    tables = {"traffic": traffic(), "ad_spend": spend(), "stock": stock()}
    frames = {n: pd.DataFrame(list(rows)) for n, rows in tables.items()}
    return write_shop(folder, list(troubled_orders()), **frames)


def told(store, to, capsys, *words):
    status = main(["day", "--store", str(store), "--to", str(to), "--json", *words])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_day_with_a_failing_step_calls_and_says_what_to_check(troubled, tmp_path, capsys, lang):
    status, day = told(troubled, tmp_path, capsys, "--on", "2026-10-30", "--lang", lang)
    assert status == 4 and day["calls"]
    step = [s for s in day["sentences"] if "checkouts > buyers, mobile" in s]
    assert len(step) == 1
    message = Path(day["message"]).read_text(encoding="utf-8")
    page = Path(day["page"]).read_text(encoding="utf-8")
    assert len(message) <= CHAT_LIMIT and "2026-10-30" in message and "2026-10-30" in page
    assert "checkouts &gt; buyers, mobile" in page and "width=device-width" in page
    assert re.findall(r"""(?:src|href)="(?!data:|#)""", page) == []
    if lang == "zh":
        assert not re.search(
            r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", message.replace("checkouts > buyers", "")
        )


def test_days_after_an_incident_it_is_told_but_calls_no_more(troubled, tmp_path, capsys):
    """Fake orders of the 27th: told for a week, acted on for a day."""
    _status, day = told(troubled, tmp_path, capsys, "--on", "2026-10-31")
    assert any("f, r9" in s or " f " in s for s in day["sentences"])
    figures = {row["metric"]: row for row in day["figures"]}
    assert figures["orders"]["day"] == 24.0 and figures["orders"]["flag"] == "usual"


def test_a_quiet_shop_is_told_to_be_quiet(tmp_path, capsys):
    days = pd.date_range("2026-05-01", "2026-10-31")
    rng = np.random.default_rng(4)
    rows = [
        order(f"{d:%m%d}-{k}", f"{d:%Y-%m-%d}", f"c{k}", paid_at=d + pd.Timedelta(hours=11))
        for d in days
        for k in range(20 + int(rng.integers(0, 5)))
    ]
    shop = write_shop(tmp_path / "quiet", rows)
    status, day = told(shop, tmp_path / "days", capsys)
    assert status == 0 and not day["calls"] and day["day"] == "2026-10-31"


def test_a_day_the_orders_do_not_reach_is_refused(troubled, tmp_path, capsys):
    assert main(["day", "--store", str(troubled), "--to", str(tmp_path), "--on", "2026-12-24"]) == 1
    assert "2026-12-24" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_fall_by_half_is_outside_limits_and_an_incident_s_days_teach_nothing(troubled):
    shop = open_store(troubled, until="2026-10-08")
    panels = Panels(shop, months=2)
    figures = day_figures(panels, empty("detect.incidents")).set_index("metric")
    # 12 of 24 orders were never paid
    assert figures.day["orders"] == 12.0 and figures.flag["orders"] == "worse"
    assert figures.usual["orders"] == pytest.approx(24.0)
    assert figures.week["orders"] == 7 * 24 - 24


def test_references_end_at_a_day_as_well_as_at_a_month():
    days = pd.DataFrame({"day_on": pd.date_range("2026-10-01", "2026-10-10"), "orders": 24.0})
    row = {"kind": "step_fails", "subject": "x", "starts_on": "2026-10-04", "ends_on": "2026-10-06"}
    hidden = without_incidents(days, pd.DataFrame([row]), before="2026-10-06")
    assert hidden.orders.isna().to_list() == [False] * 3 + [True] * 2 + [False] * 5


def test_page_and_message_are_the_same_bytes_again(troubled, tmp_path, capsys):
    texts = []
    for name in ("one", "two"):
        _status, day = told(troubled, tmp_path / name, capsys, "--on", "2026-10-30")
        texts.append([Path(day[part]).read_text(encoding="utf-8") for part in ("page", "message")])
    assert texts[0] == texts[1]
