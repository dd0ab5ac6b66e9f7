"""Tables that several chapters read are made by the first that asks."""

import datetime as dt
from types import SimpleNamespace

import pandas as pd

from playbook.store.remembered import remembered

FILES = ("store/remembered.py", "detect/*.py")


def asked(shop, calls, name="facts-0.8", files=FILES):
    def make():
        calls.append(name)
        frame = pd.DataFrame({"day_on": [dt.date(2026, 10, 31)], "n": [3]})
        return {"found": frame, "none": pd.DataFrame([])}

    return remembered(shop, name, files, make)


def test_tables_are_made_once_and_read_as_they_were_made(tmp_path):
    shop, calls = SimpleNamespace(content="abc", cache=tmp_path), []
    first, again = asked(shop, calls), asked(shop, calls)
    assert calls == ["facts-0.8"]
    for tables in (first, again):
        assert tables["found"].to_dict("records") == [{"day_on": dt.date(2026, 10, 31), "n": 3}]
        assert tables["none"].empty
    assert not list(tmp_path.glob("*.part"))


def test_another_name_or_other_code_makes_its_own(tmp_path):
    shop, calls = SimpleNamespace(content="abc", cache=tmp_path), []
    asked(shop, calls)
    asked(shop, calls, name="facts-0.9")
    asked(shop, calls, files=FILES[:1])
    assert len(calls) == 3


def test_a_shop_whose_content_is_not_known_is_asked_anew(tmp_path):
    shop, calls = SimpleNamespace(content="", cache=tmp_path), []
    asked(shop, calls)
    asked(shop, calls)
    assert len(calls) == 2 and not list(tmp_path.iterdir())
