"""The pack's first page, in the order a manager reads: incidents, asks, headline, what changed,
decisions, track record, care; and all that lies beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.monthly_review.review import main_figures
from playbook.chapters.registry import chapter, opening
from playbook.detect.incidents import of_month
from playbook.measures.metrics import METRICS
from playbook.messages import label, language, speaking
from playbook.runs.answers import followup
from playbook.runs.cells import (
    ABOUT_ONE_PERSON,
    TEMPLATES,
    Shown,
    cell_of,
    decision_text,
    drill_table,
    incident_table,
    metric_name,
    plain_number,
    table_of,
    word,
)
from playbook.runs.chapter_page import objective_of, write_chapter
from playbook.runs.columns import heading
from playbook.runs.digest import write_digest
from playbook.runs.folders import published_months
from playbook.runs.meetings import write_meetings
from playbook.runs.pack import Pack, latest_figures, listed, ranked, title_of
from playbook.runs.results import escaped
from playbook.runs.sentences import ACTIONS_SHOWN, sentences
from playbook.runs.track_record import restated, track_record
from playbook.runs.workbook import write_workbook

__all__ = ["write_pack"]

FOLDED_ROWS = 200
FOLLOWED = [
    "month",
    "action",
    "subject",
    "owner_role",
    "status",
    "done_on",
    "expected",
    "metric",
    "before",
    "after",
    "verdict",
]
HEADLINE = [
    "metric",
    "actual",
    "last_month_change",
    "last_year_change",
    "target",
    "usual_range",
    "flag",
    "owner_role",
]
# what a manager may open; the whole table is a download
CARD = [
    "metric",
    "actual",
    "low",
    "high",
    "last_month",
    "last_year",
    "target",
    "gap",
    "expected",
    "usual_low",
    "usual_high",
    "lower",
    "upper",
    "band_low",
    "band_high",
    "flag",
    "status",
    "owner_role",
]
DECISION = ["who", "what", "how much", "by when", "expected", "why", "chapter"]


def write_pack(folder: Path, record: dict[str, Any], *, months: Path) -> None:
    """Write index.html, the chapters, meetings by role, playbook.xlsx, decisions.csv, the
    digest and predictions.parquet into `folder`, in the record's language.
    """
    with speaking(record["lang"]):
        _write(Pack(folder, record), months)


def _write(pack: Pack, months: Path) -> None:
    folder, record = pack.folder, pack.record
    decisions = pack.decisions()
    public = decisions[[c for c in decisions if c not in ABOUT_ONE_PERSON]]
    escaped(public).to_csv(
        folder / "decisions.csv",
        index=False,
        encoding="utf-8-sig",
    )
    predictions = pack.gathered("predictions")
    if len(predictions):
        marked = predictions.assign(is_replay=record["is_replay"])
        marked.to_parquet(folder / "predictions.parquet", index=False)
    for notebook in pack.done:
        write_chapter(
            folder / notebook,
            record,
            title_of(notebook),
            pack.tables(notebook),
        )
    (folder / "index.html").write_text(_index(pack, decisions, months), encoding="utf-8")
    write_workbook(pack, decisions, folder / "playbook.xlsx")
    write_digest(pack, decisions)


def _index(pack: Pack, decisions: DataFrame, months: Path) -> str:
    from jinja2 import Environment, FileSystemLoader

    record = pack.record
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    failed = [
        {"title": title_of(name), **outcome}
        for name, outcome in record["notebooks"].items()
        if outcome["status"] == "failed"
    ]
    earlier = [
        {"name": path.name, "link": f"../{path.name}/index.html"}
        for path in reversed(published_months(months))
        if path.name[:7] < record["month"] or path.name in record.get("earlier_packs", [])
    ]
    return environment.get_template("index.html.j2").render(
        record=record,
        lang=language(),
        w=word,
        gate=record.get("verdict", {}).get("status", ""),
        failed=failed,
        sentences=sentences(pack, decisions),
        sections=list(_sections(pack, decisions)),
        meetings=write_meetings(pack, decisions),
        earlier=earlier,
        chapters=[_chapter_card(pack, name) for name in pack.chapters],
        css=(TEMPLATES / "pack.css").read_text(encoding="utf-8"),
        js=(TEMPLATES / "sort.js").read_text(encoding="utf-8"),
    )


def _sections(pack: Pack, decisions: DataFrame) -> Iterator[dict[str, Any]]:
    """The page's sections that have something to show."""
    shown, folded = _decision_tables(pack, decisions)
    scores = track_record(pack.folder)
    sections = (
        _section(pack, "incidents", [_incidents(pack)]),
        _section(pack, "asks", [_asks(pack)]),
        _section(
            pack,
            "headline",
            [_scorecard(pack)],
            figures=("sparkline_scorecard", "scorecard"),
            folded=[*_whole_scorecard(pack), *_definitions(pack), *_drills(pack)],
        ),
        _section(
            pack,
            "changes",
            [_reviewed(pack, n, title=word(n)) for n in ("drivers", "mix_rate", "anomalies")],
            figures=("driver_waterfall", "waterfall", "control_charts"),
        ),
        _section(pack, "restated", [_reviewed(pack, "restated", lambda: restated(pack.folder))]),
        _section(pack, "decisions", [shown], folded=folded),
        _section(pack, "follow-up", _followed_up(pack)),
        _section(
            pack,
            "track record",
            [_reviewed(pack, "track_record", lambda: scores.summary)],
            figures=("track_record",),
        ),
        _section(
            pack,
            "care",
            [
                _reviewed(pack, n, title=heading(n))
                for n in ("conflicts", "risks", "team_score", "caveats")
            ],
        ),
    )
    return (section for section in sections if section is not None)


def _section(
    pack: Pack,
    name: str,
    tables: Sequence[dict[str, Any] | None],
    *,
    figures: Sequence[str] = (),
    folded: Sequence[dict[str, Any]] = (),
) -> dict[str, Any] | None:
    drawings = [figure for f in figures if (figure := pack.figure(pack.review, f))]
    shown = [table for table in tables if table]
    if not (drawings or shown or folded):
        return None
    about = {"id": name.replace(" ", "-"), "title": word(name)}
    return about | {"figures": drawings, "tables": shown, "folded": list(folded)}


def _reviewed(
    pack: Pack,
    name: str,
    otherwise: Callable[[], DataFrame] | None = None,
    *,
    title: str = "",
) -> dict[str, Any] | None:
    """The review's table of that name; where it wrote none, what the months on disk say."""
    frame = pack.table(pack.review, name)
    frame = otherwise() if frame is None and otherwise else frame
    if frame is None or frame.empty:
        return None
    return table_of(frame, Shown(word(name), title))


def _incidents(pack: Pack) -> dict[str, Any] | None:
    """What went wrong this month: when, what, what it cost, what to check."""
    table = pack.table(opening().notebook, "incidents")
    if table is None or table.empty:
        return None
    here = of_month(table, pack.record["month"])
    if here.empty:
        return None
    return incident_table(here)


def _asks(pack: Pack) -> dict[str, Any] | None:
    asks = pack.reviewed("asks")
    if asks is None:
        return None
    if {"effect_low", "effect_high"} <= set(asks):
        ends = [
            " – ".join(map(plain_number, pair)) if pd.notna(sum(pair)) else ""
            for pair in zip(asks["effect_low"], asks["effect_high"], strict=True)
        ]
        asks = asks.drop(columns=["effect_low", "effect_high"]).assign(effect_range=ends)
    money = f"{heading('money')}, {pack.record['currency']}"
    asks = asks.rename(columns={"money": money})
    total = {asks.columns[0]: word("total"), money: asks[money].sum()}
    return table_of(asks, Shown(word("asks"), total=total, is_cards=True))


def _followed_up(pack: Pack) -> list[dict[str, Any]]:
    """What people answered, and apart from it how many decisions nobody answered."""
    frame = pack.table(pack.review, "followup")
    frame = followup(pack.folder) if frame is None else frame
    if frame.empty:
        return []
    about = Shown(word("follow-up"))
    shown = frame[[c for c in FOLLOWED if c in frame]]
    if "status" not in frame:
        return [table_of(shown, about)]
    is_open = frame["status"].eq("unanswered")
    counted = frame.groupby(["month", "status"], sort=True).size().rename("decisions")
    answered = [table_of(shown[~is_open], about)] if (~is_open).any() else []
    return [*answered, table_of(counted.reset_index(), about)]


def _scorecard(pack: Pack) -> dict[str, Any] | None:
    """The figures to read first; without the review's scorecard, the chapters' own:
    this month, last month, a year ago. A figure that is still filling is not compared.
    """
    card = pack.reviewed("scorecard")
    if card is None:
        return _figures(latest_figures(pack))
    first = main_figures(card)
    complete = first["actual"].where(first["status"] == "complete")
    first = first.assign(
        last_month_change=complete / first["last_month"] - 1,
        last_year_change=complete / first["last_year"] - 1,
        usual_range=[_range(row.usual_low, row.usual_high, row.unit) for row in first.itertuples()],
    )
    return _figures(first[HEADLINE])


def _range(lower: float, upper: float, unit: str) -> str:
    if pd.isna(upper):
        return "–"
    return " – ".join(cell_of(end, "", unit).text for end in (lower, upper))


def _whole_scorecard(pack: Pack) -> list[dict[str, Any]]:
    """Every figure with its interval and limits, folded."""
    card = pack.reviewed("scorecard")
    if card is None:
        return []
    known = [c for c in CARD if c in card and card[c].replace("", pd.NA).notna().any()]
    return [_folded(f"{word('all figures')} ({len(card)})", _figures(card[known]))]


def _folded(title: str, table: dict[str, Any] | None) -> dict[str, Any]:
    return {"title": title, "table": table, "lines": []}


def _figures(card: DataFrame) -> dict[str, Any] | None:
    """A table with a metric in every row, its numbers written in the metric's unit."""
    if card.empty:
        return None
    names = enumerate(card["metric"].astype(str))
    units = {place: METRICS[name].unit for place, name in names if name in METRICS}
    return table_of(card, Shown(word("headline"), units=units))


def _definitions(pack: Pack) -> list[dict[str, Any]]:
    """Each headline figure opens to what it is made of: formula, what is divided by
    what, the row of the ledger it stands in, maturity, trap, the orders behind it, the
    chapters it comes from.
    """
    series = pack.gathered("headline")
    if series.empty:
        return []
    month = series[series["month"] == pack.record["month"]]
    here = month[month["metric"].isin(list(METRICS))]
    pairs = zip(here["metric"], here["amount"], strict=True)
    amounts = {METRICS[metric].name.lower(): amount for metric, amount in pairs}
    by_metric = dict(iter(here.groupby("metric")))
    return [_definition(METRICS[m], by_metric[m], amounts) for m in METRICS if m in by_metric]


def _drills(pack: Pack) -> list[dict[str, Any]]:
    """Each headline figure opens to its parts by every two dimensions, this month against
    the one before.
    """
    cuts = pack.table(opening().notebook, "drill")
    if cuts is None:
        return []
    return [
        _folded(f"{metric_name(metric)} · {word('drill')}", drill_table(part)) | {"is_part": True}
        for metric, part in cuts.groupby("metric", sort=False)
    ]


def _definition(metric: Any, rows: DataFrame, amounts: dict[str, float]) -> dict[str, Any]:
    states = ", ".join(sorted(set(rows["status"].dropna().astype(str))))
    parts = {
        "formula": metric.formula,
        **_parts(metric.formula, rows["amount"].iloc[0], amounts),
        "ledger_row": label("ledger", metric.id).removeprefix(metric.id),
        "maturity": metric.maturity,
        "trap": metric.trap,
        "rows": rows["n"].max(),
        "status": word(states),
        "chapter": ", ".join(sorted({notebook[:2] for notebook in rows["notebook"]})),
    }
    told = [(heading(name), part) for name, part in parts.items() if part != ""]
    name = metric_name(metric.id)
    table = table_of(DataFrame(told, columns=["part", "meaning"]), Shown(name))
    return _folded(name, table) | {"is_part": True}


def _parts(formula: str, amount: float, amounts: dict[str, float]) -> dict[str, str]:
    """Numerator and denominator of a formula that is one thing over another, each with
    its amount where a headline of that name tells it. What no chapter counted is not
    worked backwards.
    """
    ratio = re.fullmatch(r"([^/−]+|\(.+\)) / ([^/;]+)", formula)
    if not ratio:
        return {"numerator": "", "denominator": ""}
    told = {}
    for name, text in zip(("numerator", "denominator"), ratio.groups(), strict=True):
        size = amounts.get(text)
        told[name] = text if size is None else f"{text} = {plain_number(size)}"
    return told


def _decision_tables(
    pack: Pack, decisions: DataFrame
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The ranked actions to read; folded: all decisions, and what was blocked."""
    if decisions.empty:
        return None, []
    first_ones = ranked(pack, decisions)
    shown = None
    if len(first_ones):
        about = Shown(word("decisions"), is_cards=True)
        shown = table_of(_readable(first_ones.head(ACTIONS_SHOWN)), about)
    (proposals, counted), title = listed(pack, decisions), word("all decisions of the month")
    table = table_of(_readable(proposals), Shown(title, rows=FOLDED_ROWS))
    folded = [_folded(f"{title} ({len(proposals)})", table) | {"lines": counted}]
    blocked = decisions[decisions["action"] == "blocked"]
    if len(blocked):
        title = word("what could not be answered")
        names = {"subject": "section", "reason": "needs"}
        missing = blocked[["notebook", *names]].rename(columns=names)
        table = table_of(missing, Shown(title, rows=FOLDED_ROWS))
        folded.append(_folded(f"{title} ({len(blocked)})", table))
    return shown, folded


def _readable(rows: DataFrame) -> DataFrame:
    """Decisions as people read them, under headings in the language in use."""
    told = [
        decision_text(row) | {"chapter": title_of(str(row["notebook"]))}
        for row in rows.to_dict("records")
    ]
    return DataFrame(told, columns=DECISION).rename(columns={c: word(c) for c in DECISION})


def _chapter_card(pack: Pack, notebook: str) -> dict[str, Any]:
    entry, facts = pack.record["notebooks"][notebook], chapter(notebook)
    is_done = notebook in pack.done
    stated = facts.objective.get(language(), "") if facts else ""
    tables = [
        {
            "name": n,
            "link": f"{notebook}/tables/{n}.csv",
            "rows": f"{entry['rows'].get(n, 0):,}",
        }
        for n in (pack.tables(notebook) if is_done else [])
    ]
    sections = sorted({str(blocked.get("section", "")) for blocked in entry.get("blocked", [])})
    return {
        **{name: entry.get(name) for name in ("status", "cell", "section", "error")},
        "title": title_of(notebook),
        "objective": stated or objective_of(pack.folder / notebook / "notebook.ipynb"),
        "figure": pack.figure(notebook) if is_done else None,
        "link": f"{notebook}/notebook.html" if is_done else "",
        "blocked": ", ".join(sections),
        "tables": tables,
    }
