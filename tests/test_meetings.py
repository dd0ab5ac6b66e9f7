"""Meeting pages by role, cut from the pack: the week's and the month's, of this role only."""

import re

import pandas as pd
import pytest
from small_pack import EVIL, write_month

from playbook.decisions import Decision
from playbook.messages import speaking
from playbook.runs.folders import write_json
from playbook.runs.meetings import meeting_pages
from playbook.runs.pack import Pack


def asked(role, subject, due_on, **more):
    return Decision("kpi", subject, "find the cause", owner_role=role, due_on=due_on, **more)


def month_of(folder, *decisions, lang="en", **tables):
    """A month of the small pack with more decisions and, of the review, these tables."""
    path = write_month(folder, "2026-02", decisions=decisions, lang=lang, is_bare=True)
    for name, frame in tables.items():
        frame.to_parquet(path / "11_monthly_review" / "tables" / f"{name}.parquet")
    from playbook.runs.first_page import write_pack
    from playbook.runs.folders import read_record

    record = read_record(path)
    write_pack(path, record, months=folder)
    write_json(path / "run.json", record)
    return path


def appraised(*rows):
    names = ["role", "name", "weight_share", "actual", "target", "expected", "verdict"]
    return pd.DataFrame(rows, columns=names)


def pages_of(path):
    from playbook.runs.folders import read_record

    pack = Pack(path, read_record(path))
    with speaking("en"):
        return {page["role"]: page for page in meeting_pages(pack, pack.decisions())}


def subjects(tables):
    """The words of the first column of decisions in these tables."""
    return [row["cells"][0].text for t in tables if t["cards"] for row in t["rows"]]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return month_of(
        tmp_path_factory.mktemp("runs") / "corner",
        asked("marketing head", "soon", "2026-03-07"),
        asked("marketing head", "later", "2026-03-08"),
        asked("marketing head", "idle", "2026-03-01", is_idle=True),
        asked("general manager", "theirs", "2026-03-01"),
        appraisal=appraised(
            ("marketing head", "New customers", 0.6, 90.0, 100.0, 95.0, "as usual"),
            ("finance", "Margin", 1.0, 9.0, 10.0, 9.0, "as usual"),
        ),
        risks=pd.DataFrame(
            {
                "risk": ["one channel", "one sku"],
                "amount": [0.6, 0.1],
                "limit": [0.5, 0.2],
                "trend": ["rising", "steady"],
                "is_over": [True, False],
                "owner_role": ["marketing head", "marketing head"],
                "mitigation": ["spread", "none"],
            }
        ),
    )


def test_every_role_with_a_figure_or_a_decision_has_a_page(path):
    assert set(pages_of(path)) == {"marketing head", "finance", "general manager", "CRM manager"}
    names = {p.stem for p in (path / "meetings").glob("*.html")}
    assert names == {"marketing-head", "finance", "general-manager", "crm-manager"}


def test_a_week_from_the_months_end_parts_the_two_meetings_and_idle_rows_stand_in_neither(path):
    page = pages_of(path)["marketing head"]
    week, month = subjects(page["week"]), subjects(page["month"])
    assert [any(s in text for text in week) for s in ("soon", "later", "idle")] == [1, 0, 0]
    assert [any(s in text for text in month) for s in ("soon", "later", "idle")] == [0, 1, 0]


def test_a_page_holds_the_roles_own_figures_and_risks_over_their_limit_only(path):
    text = (path / "meetings" / "marketing-head.html").read_text(encoding="utf-8")
    assert "New customers" in text and "Margin" not in text and "theirs" not in text
    assert "one channel" in text and "one sku" not in text


def test_a_page_runs_nothing_of_what_came_from_outside_and_leads_back(path):
    text = (path / "meetings" / "marketing-head.html").read_text(encoding="utf-8")
    assert EVIL not in text and "<script" not in text and 'href="../index.html"' in text
    assert "&lt;script&gt;" in text


def test_the_first_page_names_the_pages_in_the_folder_and_not_in_the_single_file(path):
    from playbook.runs.single_file import single_file

    index = (path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'href="(meetings/[^"]+)"', index) == [
        "meetings/crm-manager.html",
        "meetings/finance.html",
        "meetings/general-manager.html",
        "meetings/marketing-head.html",
    ]
    assert "meetings/" not in single_file(path)


def test_pages_are_in_the_language_of_the_pack(tmp_path):
    path = month_of(tmp_path / "corner", asked("marketing head", "soon", "2026-03-07"), lang="zh")
    text = (path / "meetings" / "marketing-head.html").read_text(encoding="utf-8")
    assert (
        "周会" in text and "月会" in text and 'lang="zh-Hans"' in text and "Due within" not in text
    )
