"""shop.yaml says what it may say, in one form only: everything else is refused by name."""

import re

import pytest
from small_month import write_shop

from playbook.cli import main
from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.sources.init import SHOP_YAML
from playbook.store import open_store
from playbook.store.settings import read_settings
from playbook.written import day_written, number_readings, numbers_written


@pytest.mark.parametrize(
    "line, told",
    [
        ("counted_statuses: paid", "counted_statuses cannot be paid"),
        ("counted_statuses: [payed]", "counted_statuses cannot be"),
        ("counted_statuses: []", "counted_statuses cannot be"),
        ("counted_status: [paid]", "perhaps counted_statuses is meant"),
        ("colour: red", "no setting 'colour'"),
        ("log_starts_with_shop: 'yes please'", "log_starts_with_shop cannot be"),
        ("lookback_days: '1.234'", "lookback_days cannot be 1.234"),
        ("lookback_days: -3", "lookback_days cannot be -3"),
        ("lookback_days: 0.5", "lookback_days cannot be 0.5"),
        ("lookback_days: many", "lookback_days cannot be many"),
        ("currency: euros", "currency cannot be euros"),
        ("timezone: Europe/Nowhere", "not a time zone"),
        ("products: mug", "products cannot be mug"),
        ("tables: [order]", "tables cannot be"),
        ("parameters: [1]", "parameters cannot be"),
        ("closed_weekdays: [funday]", "closed_weekdays cannot be"),
        ("holidays: [2026-02-30]", "out of range"),
        ("name: {a: b}", "name cannot be"),
        ("name: again", "name stands in it twice, line"),
        ("- a", "cannot be read|not `name: value`"),
        ("x: [", "cannot be read"),
    ],
)
def test_a_setting_that_is_not_what_it_must_be_is_refused_by_name(tmp_path, line, told):
    folder = write_shop(tmp_path / "s")
    text = "name: s\n" if line.startswith("name: again") else ""
    (folder / "shop.yaml").write_text(f"{text}{line}\n")
    with pytest.raises(PlaybookError, match=told) as refused:
        open_store(folder)
    assert "shop.yaml" in str(refused.value)


@pytest.mark.parametrize(
    "line, name, value",
    [
        ("lookback_days: '1 000'", "lookback_days", 1000),
        ("lookback_days: 90,0", "lookback_days", 90),
        ("lookback_days: 90", "lookback_days", 90),
        ("currency: eur", "currency", "EUR"),
        ("counted_statuses: [Paid, done]", "counted_statuses", ["paid", "done"]),
        ("name: 2026", "name", "2026"),
        ("about:", "about", None),
    ],
)
def test_a_setting_is_read_as_people_write_it(tmp_path, line, name, value):
    (tmp_path / "shop.yaml").write_text(line + "\n")
    assert read_settings(tmp_path / "shop.yaml") == {name: value}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_settings_are_read_in_the_encodings_that_name_themselves(tmp_path, encoding):
    (tmp_path / "shop.yaml").write_text("name: Käse & Brot\n", encoding=encoding)
    assert read_settings(tmp_path / "shop.yaml") == {"name": "Käse & Brot"}


@pytest.mark.parametrize("encoding", ["latin-1", "gb18030"])
def test_settings_in_another_encoding_are_refused_and_not_garbled(tmp_path, capsys, encoding):
    folder = write_shop(tmp_path / "s")
    name = "Käse" if encoding == "latin-1" else "小店"
    (folder / "shop.yaml").write_bytes(f"name: {name}\n".encode(encoding))
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr().err
    assert "not in UTF-8" in told and "shop.yaml" in told and "Traceback" not in told


def test_what_init_writes_is_what_may_be_said(tmp_path):
    text = SHOP_YAML.format(name="s", currency="EUR", timezone="Europe/Berlin")
    (tmp_path / "shop.yaml").write_text(text)
    found = read_settings(tmp_path / "shop.yaml")
    assert found["counted_statuses"] == ["paid", "shipped", "done", "refunded"]


def test_a_table_the_settings_promise_must_be_there(tmp_path):
    folder = write_shop(tmp_path / "s")
    (folder / "shop.yaml").write_text("name: s\ntables: [orders, order_lines, refunds]\n")
    with pytest.raises(PlaybookError, match="name the table refunds"):
        open_store(folder)


@pytest.mark.parametrize(
    "text, readings",
    [
        ("12,5", {12.5}),
        ("1.234,56", {1234.56}),
        ("1,234.56", {1234.56}),
        ("1 234,5", {1234.5}),
        ("1'234.5", {1234.5}),
        ("１２", {12.0}),
        ("−3", {-3.0}),
        ("1.234", {1.234, 1234.0}),
        ("1,234", {1.234, 1234.0}),
        ("0,123", {0.123}),
        ("1.234.567", {1234567.0}),
        ("12.34.5", set()),
        ("1,23,4", set()),
        ("a lot", set()),
        ("12 %", set()),
        ("1e999", set()),
        ("nan", set()),
        ("", set()),
    ],
)
def test_a_number_is_read_in_every_way_it_can_be_meant(text, readings):
    assert set(number_readings(text).values()) == readings


def test_one_number_of_a_column_tells_the_mark_of_the_others():
    assert numbers_written(["1.234", "2,5"]) == [1234.0, 2.5]
    assert numbers_written(["1.234", "2.5"]) == [1.234, 2.5]
    assert numbers_written(["1.234", "7"]) == [None, 7.0]
    assert numbers_written(["1.234", "2,5", "2.5"]) == [None, 2.5, 2.5]


@pytest.mark.parametrize(
    "text, day",
    [("2026-1-5", "2026-01-05"), ("2026/10/31", "2026-10-31"), ("2026-02-30", "None"), ("5.1.26", "None")],
)  # fmt: skip
def test_a_day_is_read_with_the_year_first(text, day):
    assert str(day_written(text)) == day


def test_every_setting_the_contract_names_is_known(root):
    """CONTRACT.md lists what shop.yaml may say, in one parenthesis after its name."""
    text = (root / "data/CONTRACT.md").read_text(encoding="utf-8")
    listed = text.partition("`shop.yaml` (")[2].partition(") and `store.json`")[0]
    named = {name.rstrip(":") for name in re.findall(r"`([a-z_]+:?)`", listed)}
    known = read_yaml(root / "playbook/store/settings.yaml")
    assert len(named) >= 6 and named <= set(known)
