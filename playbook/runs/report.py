"""The pack people open: one page first, then every chapter without code, a workbook,
the decisions as CSV.

Nothing here computes a figure: it shows what the chapters wrote. Whatever came from
outside (titles, names, reasons, errors) is escaped; the page needs no network, and no
script to be read.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from playbook.chapters.monthly_review.decisions import WEIGHT
from playbook.chapters.monthly_review.review import main_figures
from playbook.measures.metrics import months_back
from playbook.runs.answers import followup
from playbook.runs.chapters import drawn, lesson_figures, objective_of, write_chapter
from playbook.runs.folders import digest_text, published_months, write_text
from playbook.runs.results import escaped
from playbook.runs.track_record import restated, track_record
from playbook.runs.words import ABOUT_ONE_PERSON, TEMPLATES, Words, cell_of, plain_number, table_of

__all__ = [
    "Pack",
    "latest_figures",
    "pack_version",
    "sentences",
    "summary",
    "write_notice",
    "write_pack",
]

ACTIONS_SHOWN = 10
FOLLOWED = (
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
)
CARD = (
    "metric",
    "actual",
    "low",
    "high",
    "last_month",
    "last_year",
    "target",
    "gap",
    "lower",
    "upper",
    "band_low",
    "band_high",
    "flag",
    "status",
    "owner_role",
)  # what a manager reads first; the whole table is a download


class Pack:
    """A month's results as read from its folder: tables and figures by chapter,
    decisions, headline series.
    """

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder, self.record, self.words = folder, record, Words(record["lang"])
        self.chapters = list(record["notebooks"])
        self.done = [n for n in self.chapters if record["notebooks"][n]["status"] == "done"]
        self.review = next((n for n in self.done if n.startswith("11_")), "")
        self.lessons = {n: lesson_figures(folder / n / "notebook.ipynb") for n in self.done}

    def tables(self, chapter: str) -> list[str]:
        """Names of a chapter's result tables."""
        return sorted(p.stem for p in (self.folder / chapter / "tables").glob("*.parquet"))

    def table(self, chapter: str, name: str) -> pd.DataFrame | None:
        """A result table, or None when the chapter wrote none of that name."""
        path = self.folder / chapter / "tables" / f"{name}.parquet"
        return pd.read_parquet(path) if chapter and path.exists() else None

    def gathered(self, name: str) -> pd.DataFrame:
        """One file of every chapter (decisions, predictions, headline), stacked, with
        its notebook.
        """
        found = [(n, self.folder / n / f"{name}.parquet") for n in self.done]
        frames = [pd.read_parquet(path).assign(notebook=n) for n, path in found if path.exists()]
        frames = [f for f in frames if len(f)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def figure(self, chapter: str, name: str = "") -> dict[str, str] | None:
        """A chapter's figure as a data address with its alternative text; the first one
        when no name is given.
        """
        folder = self.folder / chapter / "figures"
        paths = [folder / f"{name}.svg"] if name else sorted(folder.glob("*.svg"))
        for path in paths:
            if path.exists() and path.stem not in self.lessons.get(chapter, set()):
                drawing, title = drawn(path, self.words)
                title = title or path.stem.replace("_", " ")
                return {
                    "src": f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}",
                    "alt": f"{self.words.chapter(chapter)['title']}: {title}",
                    "caption": title,
                }
        return None

    def decisions(self) -> pd.DataFrame:
        """All decisions of the month, best first: expected effect weighed by
        confidence, what costs after what is not known; blocked rows last.
        """
        found = self.gathered("decisions")
        if found.empty:
            return found
        effect = pd.to_numeric(found["expected_effect"], errors="coerce")
        worth = (effect * found["confidence"].map(WEIGHT).fillna(0.5)).fillna(0.0)
        order = found.assign(_blocked=found["action"].eq("blocked"), _worth=-worth)
        order = order.sort_values(["_blocked", "_worth", "due_on", "decision_id"], kind="stable")
        return order.drop(columns=["_blocked", "_worth"]).reset_index(drop=True)


def pack_version(final: Path) -> str:
    """Changes when the pack would look otherwise although no figure changed: its code,
    or the months it links to.
    """
    here = Path(__file__).parent
    files = [here / f"{name}.py" for name in ("report", "words", "workbook", "chapters")]
    files += sorted(p for p in TEMPLATES.rglob("*.*") if p.is_file())
    earlier = [p.name for p in published_months(final.parent) if p.name[:7] < final.name]
    return digest_text([p.read_text(encoding="utf-8") for p in files if p.exists()], earlier)[:16]


def write_pack(folder: Path, record: dict[str, Any], *, months: Path) -> None:
    """Write index.html, the chapters, playbook.xlsx, decisions.csv and
    predictions.parquet into `folder`.
    """
    from playbook.runs.workbook import write_workbook

    pack = Pack(folder, record)
    decisions = pack.decisions()
    public = decisions[[c for c in decisions if c not in ABOUT_ONE_PERSON]]
    escaped(public).to_csv(folder / "decisions.csv", index=False, encoding="utf-8-sig")
    predictions = pack.gathered("predictions")
    if len(predictions):
        predictions.assign(is_replay=record["is_replay"]).to_parquet(
            folder / "predictions.parquet", index=False
        )
    for chapter in pack.done:
        write_chapter(folder / chapter, record, pack.words, pack.tables(chapter))
    (folder / "index.html").write_text(_index(pack, decisions, months), encoding="utf-8")
    write_workbook(pack, decisions, folder / "playbook.xlsx")


def summary(run: Any) -> dict[str, Any]:
    """What a machine wants to know of a finished month."""
    pack = Pack(run.folder, run.record)
    decisions = pack.decisions()
    open_ones = decisions[decisions["action"] != "blocked"] if len(decisions) else decisions
    return {
        "store": run.record["store"],
        "month": run.record["month"],
        "status": run.status,
        "is_changed": run.is_changed,
        "folder": str(run.folder),
        "page": str(run.folder / "index.html"),
        "is_partial": run.record["is_partial"],
        "sentences": sentences(pack, decisions),
        "n_decisions": len(open_ones),
        "chapters": {n: v["status"] for n, v in run.record["notebooks"].items()},
        "failed": {
            n: {k: v.get(k) for k in ("cell", "section", "error")}
            for n, v in run.record["notebooks"].items()
            if v["status"] == "failed"
        },
        "decisions": [
            pack.words.decision(row) for row in _ranked(pack, decisions).head(3).to_dict("records")
        ]
        if len(open_ones)
        else [],
    }


def write_notice(path: Path, results: list[dict[str, Any]]) -> None:
    """A short summary for a mail or chat step: text at `path`, JSON beside it under the
    same name.
    """
    is_json = path.suffix == ".json"
    text_path, json_path = (
        (path.with_suffix(".txt"), path) if is_json else (path, path.with_suffix(".json"))
    )
    lines = []
    for one in results:
        if one["status"] == 1:
            lines += [
                f"{one['store']} {one['month'] or ''}: nothing published. {one['error']['message']}",
                "",
            ]
            continue
        lines += [
            f"{one['store']} {one['month']}" + (" (partial)" if one["is_partial"] else ""),
            *one["sentences"],
        ]
        lines += [f"Failed: {n}, cell {v['cell']}: {v['error']}" for n, v in one["failed"].items()]
        lines += [
            f"- {d['who']}: {d['what']} {d['how much']} {d['by when']}".rstrip()
            for d in one["decisions"]
        ]
        lines += [one["page"], ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, text in (
        (text_path, "\n".join(lines)),
        (json_path, json.dumps(results, indent=1, ensure_ascii=False)),
    ):
        write_text(target, text + "\n")


def _index(pack: Pack, decisions: pd.DataFrame, months: Path) -> str:
    from jinja2 import Environment, FileSystemLoader

    record, words = pack.record, pack.words
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    listed = record["notebooks"].items()
    failed = [
        {"title": words.chapter(n)["title"], **v} for n, v in listed if v["status"] == "failed"
    ]
    earlier = [
        {"name": p.name, "link": f"../{p.name}/index.html"}
        for p in reversed(published_months(months))
        if p.name[:7] < record["month"] or p.name in record.get("earlier_packs", [])
    ]
    return environment.get_template("index.html.j2").render(
        lang=record["lang"],
        w=words,
        shop=record["store"],
        month=record["month"],
        as_of=record["as_of"],
        currency=record["currency"],
        margin_basis=words.told(record["margin_basis"]),
        is_partial=record["is_partial"],
        is_replay=record["is_replay"],
        gate=record.get("verdict", {}).get("status", ""),
        failed=failed,
        sentences=sentences(pack, decisions),
        sections=_sections(pack, decisions),
        earlier=earlier,
        chapters=[_chapter_card(pack, n) for n in pack.chapters],
        css=(TEMPLATES / "pack.css").read_text(encoding="utf-8"),
        js=(TEMPLATES / "sort.js").read_text(encoding="utf-8"),
    )


def _sections(pack: Pack, decisions: pd.DataFrame) -> list[dict[str, Any]]:
    """The page's middle, in the order a manager reads: asks, headline, what changed,
    decisions, track record, care.
    """
    words, found = pack.words, []

    def section(
        title: str,
        *tables: dict | None,
        figures: tuple[str, ...] = (),
        notes: list[str] | None = None,
        folded: list[dict] | None = None,
    ) -> None:
        shown = [f for f in (pack.figure(pack.review, name) for name in figures) if f]
        kept = [t for t in tables if t]
        if shown or kept or notes or folded:
            found.append(
                {
                    "id": title.replace(" ", "-"),
                    "title": words(title),
                    "figures": shown,
                    "tables": kept,
                    "notes": notes or [],
                    "folded": folded or [],
                }
            )

    def reviewed(
        name: str, otherwise: Callable[[], pd.DataFrame] | None = None, **more: Any
    ) -> dict | None:
        """11's table of that name; where it wrote none, what the months on disk say."""
        frame = pack.table(pack.review, name)
        frame = otherwise() if frame is None and otherwise else frame
        return (
            table_of(frame, words, label=words(name), **more)
            if frame is not None and len(frame)
            else None
        )

    asks = pack.table(pack.review, "asks")
    if asks is not None and len(asks):
        if {"effect_low", "effect_high"} <= set(asks):
            ends = [
                " – ".join(map(plain_number, pair)) if pd.notna(sum(pair)) else ""
                for pair in zip(asks["effect_low"], asks["effect_high"], strict=True)
            ]
            asks = asks.drop(columns=["effect_low", "effect_high"]).assign(effect_range=ends)
        asks = asks.rename(
            columns={"money": (money := f"{words.column('money')}, {pack.record['currency']}")}
        )
        total = {asks.columns[0]: words("total"), money: asks[money].sum()}
        section("asks", table_of(asks, words, label=words("asks"), total=total))
    section(
        "headline",
        _scorecard(pack),
        figures=("sparkline_scorecard", "scorecard"),
        folded=[*_whole_scorecard(pack), *_definitions(pack)],
    )
    section(
        "changes",
        *(reviewed(n, title=words(n)) for n in ("drivers", "mix_rate", "anomalies")),
        figures=("driver_waterfall", "waterfall", "control_charts"),
    )
    section("restated", reviewed("restated", lambda: restated(pack.folder)))
    section(
        "decisions",
        *_decision_tables(pack, decisions)[:1],
        folded=_decision_tables(pack, decisions)[1:],
    )
    section("follow-up", *_followed_up(pack))
    section(
        "track record",
        reviewed("track_record", lambda: track_record(pack.folder).summary),
        figures=("track_record",),
    )
    section(
        "care",
        *(
            reviewed(n, title=words.column(n))
            for n in ("conflicts", "risks", "team_score", "caveats")
        ),
    )
    return found


def _followed_up(pack: Pack) -> list[dict[str, Any]]:
    """What people answered, and apart from it how many decisions nobody answered."""
    frame = pack.table(pack.review, "followup")
    frame = followup(pack.folder) if frame is None else frame
    shown = frame[[c for c in FOLLOWED if c in frame]]
    if "status" not in frame or frame.empty:
        return [table_of(shown, pack.words, label=pack.words("follow-up"))] if len(frame) else []
    open_ones = frame["status"].eq("unanswered")
    counted = frame.groupby(["month", "status"], sort=True).size().rename("decisions").reset_index()
    tables = (
        [table_of(shown[~open_ones], pack.words, label=pack.words("follow-up"))]
        if (~open_ones).any()
        else []
    )
    return [*tables, table_of(counted, pack.words, label=pack.words("follow-up"))]


def _scorecard(pack: Pack) -> dict[str, Any] | None:
    """The figures to read first; without 11's scorecard, the chapters' own: this month,
    last month, a year ago.
    """
    card = pack.table(pack.review, "scorecard")
    if card is None or card.empty:
        return _figures(latest_figures(pack), pack)
    shown = main_figures(card)
    ends = [
        " – ".join(cell_of(v, "", pack.words, r.unit).text for v in (r.lower, r.upper))
        if pd.notna(r.upper)
        else "–"
        for r in shown.itertuples()
    ]
    ripe = shown["actual"].where(
        shown["status"] == "complete"
    )  # a figure that is still filling is not compared
    return _figures(
        shown.assign(
            last_month_change=ripe / shown["last_month"] - 1,
            last_year_change=ripe / shown["last_year"] - 1,
            usual_range=ends,
        )[
            [
                "metric",
                "actual",
                "last_month_change",
                "last_year_change",
                "target",
                "usual_range",
                "flag",
                "owner_role",
            ]
        ],
        pack,
    )


def _whole_scorecard(pack: Pack) -> list[dict[str, Any]]:
    """Every figure with its interval and limits, folded."""
    card = pack.table(pack.review, "scorecard")
    if card is None or card.empty:
        return []
    title = f"{pack.words('all figures')} ({len(card)})"
    card = card[
        [
            c
            for c in CARD
            if c in card and (c == "metric" or card[c].replace("", pd.NA).notna().any())
        ]
    ]
    return [{"title": title, "table": _figures(card, pack), "lines": []}]


def _figures(card: pd.DataFrame, pack: Pack) -> dict[str, Any] | None:
    """A table with a metric in every row, its numbers written in the metric's unit."""
    from playbook.measures.metrics import METRICS

    if card.empty:
        return None
    units = {i: METRICS[m].unit for i, m in enumerate(card["metric"].astype(str)) if m in METRICS}
    return table_of(card, pack.words, label=pack.words("headline"), units=units)


def latest_figures(pack: Pack) -> pd.DataFrame:
    """One row per headline metric of the month: actual, last_month, last_year (missing
    where not known), status.
    """
    series = pack.gathered("headline")
    if series.empty:
        return series
    month = pack.record["month"]
    wide = series.drop_duplicates(["metric", "month"]).pivot(
        index="metric", columns="month", values="amount"
    )
    status = (
        series[series["month"] == month].drop_duplicates("metric").set_index("metric")["status"]
    )
    columns = {
        "actual": month,
        "last_month": months_back(month, 2)[0],
        "last_year": months_back(month, 13)[0],
    }
    none = pd.Series(float("nan"), index=wide.index)
    found = pd.DataFrame({name: wide.get(m, none) for name, m in columns.items()}, index=wide.index)
    return found.assign(status=status).dropna(subset=["actual"]).reset_index()


def _definitions(pack: Pack) -> list[dict[str, Any]]:
    """Each headline figure opens to what it is made of: formula, what is divided by
    what, the row of the ledger it stands in, maturity, trap, the orders behind it, the
    chapters it comes from.
    """
    from playbook.measures.metrics import METRICS

    series = pack.gathered("headline")
    if series.empty:
        return []
    here = series[(series["month"] == pack.record["month"]) & series["metric"].isin(list(METRICS))]
    amounts = {
        METRICS[m].name.lower(): a for m, a in zip(here["metric"], here["amount"], strict=True)
    }
    rows = [
        {
            "metric": m,
            "formula": METRICS[m].formula,
            **_parts(METRICS[m].formula, one["amount"].iloc[0], amounts),
            "ledger_row": pack.words(m, "ledger").removeprefix(m),
            "maturity": METRICS[m].maturity,
            "trap": METRICS[m].trap,
            "rows": one["n"].max(),
            "status": ", ".join(sorted(set(one["status"].dropna().astype(str)))),
            "chapter": ", ".join(sorted({n[:2] for n in one["notebook"]})),
        }
        for m, one in here.groupby("metric")
    ]
    rows.sort(key=lambda row: list(METRICS).index(row["metric"]))
    return [
        {
            "title": pack.words.metric(row["metric"]),
            "lines": [],
            "is_part": True,
            "table": table_of(
                pd.DataFrame(
                    [
                        (pack.words.column(k), pack.words(v) if k == "status" else v)
                        for k, v in row.items()
                        if v != "" and k != "metric"
                    ],
                    columns=["part", "meaning"],
                ),
                pack.words,
                label=pack.words.metric(row["metric"]),
            ),
        }
        for row in rows
    ]


def _parts(formula: str, amount: float, amounts: dict[str, float]) -> dict[str, str]:
    """Numerator and denominator of a formula that is one thing over another, with their
    amounts where a headline of that name, or the ratio with the other one, tells them.
    """
    found = re.fullmatch(r"([^/−]+|\(.+\)) / ([^/;]+)", formula)
    if not found:
        return {"numerator": "", "denominator": ""}
    top, bottom = found.groups()
    over, under = amounts.get(top), amounts.get(bottom)
    over = amount * under if over is None and under is not None else over
    under = over / amount if under is None and over is not None and amount else under
    return {
        name: words + ("" if size is None else f" = {plain_number(size)}")
        for name, words, size in (("numerator", top, over), ("denominator", bottom, under))
    }


def _ranked(pack: Pack, decisions: pd.DataFrame) -> pd.DataFrame:
    """11's ranked list; where it wrote none, every open decision in the pack's own
    order.
    """
    ranked = pack.table(pack.review, "ranked")
    if ranked is None or "decision_id" not in ranked:
        return decisions[decisions["action"] != "blocked"]
    return ranked[["decision_id"]].merge(decisions, on="decision_id")


def _decision_tables(pack: Pack, decisions: pd.DataFrame) -> list[dict[str, Any]]:
    """The ranked actions to read, then folded: all decisions, and what was blocked."""
    if decisions.empty:
        return []
    words = pack.words
    ranked = _ranked(pack, decisions)

    def readable(rows: pd.DataFrame) -> pd.DataFrame:
        told = [
            words.decision(r) | {"chapter": words.chapter(str(r["notebook"]))["title"]}
            for r in rows.to_dict("records")
        ]
        frame = pd.DataFrame(
            told, columns=["who", "what", "how much", "by when", "expected", "why", "chapter"]
        )
        return frame.rename(columns={c: words(c) for c in frame})

    shown = table_of(
        readable(ranked.head(ACTIONS_SHOWN)), words, label=words("decisions"), is_cards=True
    )
    everything = decisions[decisions["action"] != "blocked"]
    title = words("all decisions of the month")
    folded = [
        {
            "title": f"{title} ({len(everything)})",
            "lines": [],
            "table": table_of(readable(everything), words, label=title, rows_shown=200),
        }
    ]
    blocked = decisions[decisions["action"] == "blocked"]
    if len(blocked):
        told = blocked[["notebook", "subject", "reason"]].rename(
            columns={"subject": "section", "reason": "needs"}
        )
        told = told.assign(needs=told["needs"].str.removeprefix("needs "))
        folded.append(
            {
                "title": f"{words('what could not be answered')} ({len(blocked)})",
                "lines": [],
                "table": table_of(
                    told, words, label=words("what could not be answered"), rows_shown=200
                ),
            }
        )
    return ([shown] if len(ranked) else []) + folded if len(ranked) else [None, *folded]


def sentences(pack: Pack, decisions: pd.DataFrame) -> list[str]:
    """What happened, why, what to decide by when: three sentences from the figures 11
    gathered.
    """
    return [_what_happened(pack), _why(pack), _what_to_decide(pack, decisions)]


def _what_happened(pack: Pack) -> str:
    record, say = pack.record, pack.words.say
    latest = latest_figures(pack)
    row = latest[latest["metric"] == "net_revenue"] if len(latest) else latest
    if row.empty:
        return say("no revenue", month=record["month"])
    one = row.iloc[0]
    about = {"month": record["month"], "money": f"{plain_number(one.actual)} {record['currency']}"}
    if one.status != "complete":
        return say("still filling", as_of=record["as_of"], **about)
    changes = [
        (column, one.actual / one[column] - 1)
        for column in ("last_month", "last_year")
        if pd.notna(one[column]) and one[column]
    ]
    told = [
        say(f"{'more' if c >= 0 else 'less'} than {column}", change=f"{abs(c):.1%}")
        for column, c in changes
    ]
    return (
        say("revenue", **about)
        + (say("compared", changes=say("and").join(told)) if told else "")
        + _against_its_past(pack)
    )


def _against_its_past(pack: Pack) -> str:
    """Whether net revenue lies where its own past leads one to expect, as the end of a
    sentence.
    """
    say, card = pack.words.say, pack.table(pack.review, "scorecard")
    row = (
        card[card["metric"] == "net_revenue"]
        if card is not None and "upper" in card
        else pd.DataFrame()
    )
    if row.empty:
        return say("end")
    one = row.iloc[0]
    if pd.isna(one.upper):
        return say("too short a history")
    place = "above" if one.actual > one.upper else "below" if one.actual < one.lower else "within"
    return say(place, low=plain_number(round(one.lower)), high=plain_number(round(one.upper)))


def _why(pack: Pack) -> str:
    say, drivers = pack.words.say, pack.table(pack.review, "drivers")
    if drivers is None or drivers.empty or not {"driver", "contribution"} <= set(drivers):
        return say("no drivers")
    if pack.record["is_partial"]:
        return say("drivers later")
    sized = drivers.assign(size=drivers["contribution"].abs())
    top = sized.sort_values(["size", "driver"], ascending=[False, True]).head(2)
    news = (
        drivers["driver"][drivers["is_news"].astype(bool)]
        if "is_news" in drivers
        else drivers["driver"].head(0)
    )
    is_judged = "surprise" in drivers and drivers["surprise"].notna().any()
    parts = [
        f"{pack.words.metric(str(d))} ({c:+,.0f} {pack.record['currency']})"
        for d, c in zip(top["driver"], top["contribution"], strict=True)
    ]
    rest = (
        say("news", driver=pack.words.metric(str(news.iloc[0])))
        if len(news)
        else say("no news" if is_judged else "end")
    )
    return say("why", parts=say("and both").join(parts)) + rest


def _what_to_decide(pack: Pack, decisions: pd.DataFrame) -> str:
    say = pack.words.say
    open_ones = decisions[decisions["action"] != "blocked"] if len(decisions) else decisions
    if open_ones.empty:
        return say("nothing to decide")
    ranked = _ranked(pack, decisions).head(ACTIONS_SHOWN)
    ranked = ranked if len(ranked) else open_ones.head(ACTIONS_SHOWN)
    first = pack.words.decision(ranked.iloc[0].to_dict())
    due = sorted(d for d in ranked["due_on"].astype(str) if d and d != "None")
    asked = pack.table(pack.review, "asks")
    inside = [
        first["who"],
        first["by when"] and say("by", day=first["by when"]),
        first["expected"] and say("expected", effect=first["expected"]),
    ]
    inside = say("comma").join(filter(None, inside))
    return (
        say(
            "decide some" if len(open_ones) > len(ranked) else "decide all",
            shown=len(ranked),
            n=len(open_ones),
        )
        + (say("earliest", day=due[0]) if due else "")
        + say("on top", what=first["what"])
        + (say("inside", told=inside) if inside else "")
        + say("end")
        + (
            say("asked", money=f"{asked['money'].sum():,.0f} {pack.record['currency']}")
            if asked is not None and len(asked)
            else ""
        )
    )


def _chapter_card(pack: Pack, chapter: str) -> dict[str, Any]:
    entry, about = pack.record["notebooks"][chapter], pack.words.chapter(chapter)
    is_done = chapter in pack.done
    tables = (
        [
            {"name": n, "link": f"{chapter}/tables/{n}.csv", "rows": f"{entry['rows'].get(n, 0):,}"}
            for n in pack.tables(chapter)
        ]
        if is_done
        else []
    )
    objective = about["objective"] or objective_of(pack.folder / chapter / "notebook.ipynb")
    return {
        "title": about["title"],
        "status": entry["status"],
        "objective": objective,
        "cell": entry.get("cell"),
        "section": entry.get("section"),
        "error": entry.get("error"),
        "figure": pack.figure(chapter) if is_done else None,
        "link": f"{chapter}/notebook.html" if is_done else "",
        "blocked": ", ".join(sorted({str(b.get("section", "")) for b in entry.get("blocked", [])})),
        "tables": tables,
    }
