"""Pages for meetings, one for each role, cut from the pack: the week's page for the meeting
within seven days of the month's end, the month's for the review with the role.

Nothing here computes a figure. A role has a page when a figure of its own was appraised or
a decision is its own. Decisions the review left out stand on no page.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import opening
from playbook.detect.incidents import of_month
from playbook.messages import label, language
from playbook.runs.cells import TEMPLATES, Shown, decision_text, incident_table, table_of, word
from playbook.runs.pack import Pack, listed, title_of

__all__ = ["meeting_pages", "write_meetings"]

#: days from the month's end that the week's page looks ahead, and back
WEEK_DAYS = 7
ASKED = ["what", "how much", "by when", "expected", "why"]
FIGURES = [
    "name",
    "weight_share",
    "actual",
    "target",
    "expected",
    "verdict",
]
PARTS = ["n_kpis", "n_immature", "attained", "given", "own_part", "own_low", "own_high", "verdict"]
TESTS = [
    "subject",
    "action",
    "size",
    "unit",
    "starts_on",
    "ends_on",
]
RISKS = [
    "risk",
    "amount",
    "limit",
    "trend",
    "mitigation",
]


def write_meetings(pack: Pack, decisions: DataFrame) -> list[dict[str, str]]:
    """Write meetings/<role>.html into the pack's folder; gives the name and the link of each
    page, for the first page to name.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("meeting.html.j2")
    shutil.rmtree(pack.folder / "meetings", ignore_errors=True)
    links = []
    for number, page in enumerate(meeting_pages(pack, decisions), start=1):
        name = re.sub(r"[^a-z0-9]+", "-", page["role"].lower()).strip("-") or f"role-{number}"
        text = template.render(
            record=pack.record,
            lang=language(),
            w=word,
            css=(TEMPLATES / "pack.css").read_text(encoding="utf-8"),
            **page,
        )
        path = pack.folder / "meetings" / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        links.append({"name": page["title"], "link": f"meetings/{name}.html"})
    return links


def meeting_pages(pack: Pack, decisions: DataFrame) -> list[dict[str, Any]]:
    """One page per role, by name: role, title, week and month, each a list of tables that have
    a row.
    """
    shown, _counted = listed(pack, decisions) if len(decisions) else (decisions, [])
    figures = pack.reviewed("appraisal")
    roles = set() if figures is None else set(figures["role"])
    if len(shown):
        shown = shown[~shown["is_idle"].fillna(False).astype(bool)]
        roles |= set(shown["owner_role"].dropna()) - {""}
    return [
        {
            "role": role,
            "title": label("roles", role),
            "week": _week(pack, _of(shown, role)),
            "month": _month(pack, _of(shown, role), role),
        }
        for role in sorted(roles)
    ]


def _week(pack: Pack, mine: DataFrame) -> list[dict[str, Any]]:
    """What went wrong in the last week, and what is due within the next."""
    tables = []
    incidents = pack.table(opening().notebook, "incidents")
    if incidents is not None and len(incidents):
        here = of_month(incidents, pack.record["month"])
        since = _as_of(pack) - dt.timedelta(days=WEEK_DAYS)
        here = here[pd.to_datetime(here["ends_on"]).dt.date > since]
        if len(here):
            tables.append(incident_table(here) | {"title": word("incidents")})
    due = mine[_is_due(pack, mine)]
    return tables + _asked(due, "due this week")


def _month(pack: Pack, mine: DataFrame, role: str) -> list[dict[str, Any]]:
    """The role's figures, what it could influence of them, its later decisions, tests, risks."""
    tables = []
    for name, columns in (
        ("appraisal_roles", PARTS),
        ("appraisal", FIGURES),
    ):
        tables += _own(pack, name, role, columns)
    tables += _asked(mine[~_is_due(pack, mine)], "decisions")
    tables += _own(pack, "test_calendar", role, TESTS)
    risks = pack.reviewed("risks")
    if risks is not None and "is_over" in risks:
        over = _of(risks[risks["is_over"].fillna(False).astype(bool)], role)
        tables += _shown(over.reindex(columns=RISKS), "risks")
    return tables


def _own(pack: Pack, name: str, role: str, columns: list[str]) -> list[dict[str, Any]]:
    """The role's rows of a table of the review."""
    frame = pack.reviewed(name)
    if frame is None:
        return []
    column = "role" if "role" in frame else "owner_role"
    return _shown(_of(frame, role, column).reindex(columns=columns), name)


def _of(frame: DataFrame, role: str, column: str = "owner_role") -> DataFrame:
    return frame[frame[column] == role] if len(frame) else frame


def _shown(frame: DataFrame, name: str) -> list[dict[str, Any]]:
    return [table_of(frame, Shown(word(name), word(name)))] if len(frame) else []


def _asked(rows: DataFrame, name: str) -> list[dict[str, Any]]:
    """Decisions as people read them, without the owner, whose page it is."""
    told = [
        {column: text[column] for column in ASKED} | {"chapter": title_of(str(row["notebook"]))}
        for row in rows.to_dict("records")
        for text in [decision_text(row)]
    ]
    frame = DataFrame(told, columns=[*ASKED, "chapter"])
    frame = frame.rename(columns={column: word(column) for column in frame})
    return [table_of(frame, Shown(word(name), word(name), is_cards=True))] if len(frame) else []


def _is_due(pack: Pack, rows: DataFrame) -> pd.Series:
    """Due within a week of the month's end, or before."""
    if rows.empty:
        return pd.Series(False, index=rows.index)
    last = pd.Timestamp(_as_of(pack)) + pd.Timedelta(days=WEEK_DAYS)
    return pd.to_datetime(rows["due_on"], errors="coerce") <= last


def _as_of(pack: Pack) -> dt.date:
    return dt.date.fromisoformat(str(pack.record["as_of"])[:10])
