"""A month for a mail and for a chat: short, in the pack's language, nothing of it runs."""

import json
import re
import shutil

import pandas as pd
import pytest
from small_pack import EVIL, write_month

from playbook.runs.digest import CHAT_LIMIT, FILES
from playbook.runs.first_page import write_pack


@pytest.fixture(scope="module", params=["en", "zh"])
def month(request, tmp_path_factory):
    months = tmp_path_factory.mktemp(request.param) / "corner"
    revenue = {"2026-01": 800.0, "2026-02": 1000.0}
    return write_month(months, "2026-02", lang=request.param, revenue=revenue)


def texts(month):
    return {name: (month / "digest" / name).read_text(encoding="utf-8") for name in FILES}


def test_the_digest_says_what_the_first_page_says(month):
    page = (month / "index.html").read_text(encoding="utf-8")
    first = re.findall(r"<li>([^<]*)</li>", page.split('<ol class="lead">')[1].split("</ol>")[0])
    found = texts(month)
    assert [s for s in first if s not in found["mail.html"]] == []
    assert "1,000.00" in found["mail.txt"] and "+25.0 %" in found["mail.txt"]
    assert "corner/2026-02/index.html" in found["mail.txt"]
    # who and by when
    assert "2026-02-20" in found["mail.txt"] and "2026-02-20" in found["chat.md"]


def test_a_chinese_digest_holds_no_english_sentence(month):
    if month.parent.parent.name.startswith("en"):
        pytest.skip("the English one")
    mail = texts(month)["mail.txt"].replace(EVIL, "").replace("one-time buyers", "")
    assert not re.search(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", mail), mail


def test_what_came_from_outside_neither_runs_in_a_mail_nor_marks_a_chat(month):
    found = texts(month)
    assert "<script" not in found["mail.html"] and "&lt;script&gt;" in found["mail.html"]
    outside = re.findall(r"""(?:src|href|action|url)\s*[=(]""", found["mail.html"])
    assert outside == []
    assert "\\<script\\>" in found["chat.md"]
    assert json.loads(found["webhook.json"]) == {"text": found["chat.md"].rstrip("\n")}


def test_a_chat_message_ends_at_the_last_line_that_fits(month, tmp_path):
    folder = shutil.copytree(month, tmp_path / "2026-02")
    path = folder / "04_cohort_retention" / "decisions.parquet"
    rows = pd.read_parquet(path)
    rows.assign(subject=rows.subject + " x" * 900).to_parquet(path)
    write_pack(folder, json.loads((folder / "run.json").read_text()), months=folder.parent)
    chat = texts(folder)["chat.md"].rstrip("\n")
    assert len(chat) <= CHAT_LIMIT
    assert chat.startswith("**corner 2026-02**\n") and not chat.endswith(" x")


def test_a_figure_that_is_still_filling_is_not_compared(tmp_path):
    revenue = {"2026-01": 800.0, "2026-02": 1000.0}
    folder = write_month(tmp_path / "corner", "2026-02", revenue=revenue)
    path = folder / "04_cohort_retention" / "headline.parquet"
    pd.read_parquet(path).assign(status="partial").to_parquet(path)
    write_pack(folder, json.loads((folder / "run.json").read_text()), months=folder.parent)
    assert "%" not in texts(folder)["mail.txt"].split("\n\n")[2]
