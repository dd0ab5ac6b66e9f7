"""Decisions live on: what people answered in the workbook is read back, and what was
done is followed up.

Only what was done is compared; without a hold-out that comparison is before against
after and says so.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import chapter
from playbook.errors import PlaybookError
from playbook.messages import read_yaml
from playbook.runs.folders import first_versions, published_months, read_json, shop_folder
from playbook.runs.track_record import headline_of
from playbook.tables import empty, returns, schema

__all__ = ["ANSWERS", "accepted_targets", "answers", "followup", "read_back", "targets_in_force"]

ANSWERS = ("proposed", "accepted", "changed", "declined", "done")
COLUMNS = ["decision_id", "status", "done_on", "done_size", "note"]
TAKEN = ("accepted", "changed", "done")
IDLE = ("blocked", "go")  # nobody can do or leave these
RENAMED = {
    "expected_effect": "expected",
    "effect_low": "expected_low",
    "effect_high": "expected_high",
    "evidence_metric": "metric",
}


def answers(months: str | Path) -> DataFrame:
    """What people answered, one row per decision: decision_id, status, done_on,
    done_size, note.
    """
    path = Path(months) / "decisions_log.parquet"
    return pd.read_parquet(path) if path.exists() else DataFrame(columns=COLUMNS)


@returns("runs.followup")
def followup(month_folder: str | Path) -> DataFrame:
    """Decisions of earlier months: what was answered, and for those done the metric
    before and after.

    Only what was done is compared, and without a hold-out the comparison is called
    `before/after, not causal`. Declined and unanswered decisions carry no figures.
    `after` is this month's complete figure, else missing.
    """
    folder = Path(month_folder)
    month = read_json(folder / "run.json").get("month", "")
    versions = [p for p in first_versions(folder.parent) if p.name[:7] < month]
    decisions = _decisions_of(versions)
    if decisions.empty:
        return empty("runs.followup")
    open_ones = decisions[~decisions["action"].isin(IDLE)]
    open_ones = open_ones.drop(columns=["status", "done_on", "note"])
    answered = open_ones.merge(answers(folder.parent)[COLUMNS], on="decision_id", how="left")
    answered["status"] = answered["status"].fillna("unanswered")
    compared = _before_and_after(answered, headline_of(folder), month).rename(columns=RENAMED)
    compared = compared[schema("runs.followup").names]
    return compared.sort_values(
        ["month", "decision_id"], ascending=[False, True], ignore_index=True
    )


def _decisions_of(months: list[Path], notebook: str = "*") -> DataFrame:
    """The decisions of these months as they were first published, stacked."""
    paths = [
        path for month in months for path in sorted(month.glob(f"{notebook}/decisions.parquet"))
    ]
    frames = [pd.read_parquet(path) for path in paths]
    frames = [frame for frame in frames if len(frame)] or frames
    return pd.concat(frames, ignore_index=True) if frames else DataFrame()


def _before_and_after(answered: DataFrame, headline: DataFrame, month: str) -> DataFrame:
    """The decisions' evidence in their month and in this one, for those that were done."""
    complete = headline[headline["status"] == "complete"]
    amounts = complete.set_index(["metric", "month"])["amount"]
    is_done = answered["status"] == "done"
    for name, months in (("before", answered["month"]), ("after", [month] * len(answered))):
        pairs = zip(answered["evidence_metric"], months, strict=True)
        answered[name] = [amounts.get(pair, np.nan) for pair in pairs]
        answered[name] = answered[name].where(is_done)
    change = answered["after"] - answered["before"]
    verdict = np.select(
        [~is_done & (answered["status"] != "unanswered"), ~is_done, change.notna()],
        [answered["status"], "unanswered", "before/after, not causal"],
        "done, not measured by a headline figure",
    )
    return answered.assign(change=change, verdict=verdict)


def accepted_targets(months: str | Path) -> DataFrame:
    """Targets of the chapter on goals that people accepted or changed: month, metric,
    value, owner_role (as in `targets`).
    """
    columns = ["month", "metric", "value", "owner_role"]
    goals = chapter("goal_setting").notebook
    decisions = _decisions_of(first_versions(Path(months)), goals)
    if decisions.empty:
        return DataFrame(columns=columns)
    answered = decisions.drop(columns=["status"]).merge(answers(months), on="decision_id")
    is_target = answered["subject_type"] == "kpi"
    taken = answered[answered["status"].isin(TAKEN) & is_target]
    written = pd.to_numeric(taken["done_size"], errors="coerce")
    targets = taken.assign(
        month=taken["due_on"].astype(str).str[:7],
        metric=taken["subject"],
        value=written.fillna(pd.to_numeric(taken["size"], errors="coerce")),
    )
    targets = targets.dropna(subset=["value"])[columns]
    return targets.drop_duplicates(["month", "metric"], keep="last", ignore_index=True)


def targets_in_force(stated: DataFrame | None, month_folder: str | Path | None) -> DataFrame | None:
    """The shop's own `targets` with those that people accepted or changed in their
    place (month and metric alike); None where there are neither. Without a month folder
    nobody has answered anything.
    """
    taken = accepted_targets(Path(month_folder).parent) if month_folder else DataFrame()
    if not len(taken):
        return stated
    both = taken if stated is None else pd.concat([stated, taken], ignore_index=True)
    return both.drop_duplicates(["month", "metric"], keep="last", ignore_index=True)


def read_back(file: Path, store: str, runs: str | Path = "runs") -> dict[str, Any]:
    """Take what people filled in (a pack's workbook, or CSV with the same columns) into
    the shop's decision log.

    Every row is checked first; one that is wrong refuses the whole file, and the log
    stays as it was. Rows left at `proposed` without a note count as unanswered. A later
    file wins over an earlier one, decision by decision.
    """
    from playbook.store import open_store

    shop = open_store(store).name
    folder = shop_folder(runs, shop)
    known = _published_ids(folder)
    if not known:
        raise PlaybookError("runs.no_decisions", store=shop, file=folder)
    filled = _checked_answers(_read_sheet(Path(file)), known, Path(file))
    is_answered = filled["status"].ne("proposed") | filled["note"].ne("") | filled["done_on"].ne("")
    given = filled[is_answered]
    earlier = answers(folder)
    earlier = earlier[~earlier["decision_id"].isin(given["decision_id"])]
    frames = [frame for frame in (earlier, given) if len(frame)] or [given]
    log = pd.concat(frames, ignore_index=True).sort_values("decision_id", ignore_index=True)
    part = folder / ".decisions_log.part"
    log.astype({"done_size": "float64"}).to_parquet(part, index=False)
    os.replace(part, folder / "decisions_log.parquet")
    return {
        "store": shop,
        "file": str(file),
        "read": len(given),
        "unanswered": len(filled) - len(given),
        "statuses": {s: int(n) for s, n in given["status"].value_counts().sort_index().items()},
    }


def _published_ids(folder: Path) -> set[str]:
    ids: set[str] = set()
    for month in published_months(folder):
        for path in month.glob("*/decisions.parquet"):
            ids |= set(pd.read_parquet(path, columns=["decision_id"])["decision_id"])
    return ids


def _read_sheet(path: Path) -> DataFrame:
    """The table that has a decision_id column, every cell as it was typed."""
    if not path.is_file():
        raise PlaybookError("runs.no_such_file", file=path)
    try:
        if path.suffix.lower() == ".csv":
            sheets = _read_csv(path)
        else:
            sheets = pd.read_excel(
                path,
                sheet_name=None,
                engine="calamine",
                dtype=object,
            )
    except Exception as error:  # calamine's own kinds have no common base
        reason = str(error).splitlines()[0]
        raise PlaybookError("runs.unreadable_answers", reason=reason, file=path) from None
    for frame in sheets.values():
        if {"decision_id", "status"} <= set(frame.columns):
            return frame
    raise PlaybookError("runs.no_answer_columns", file=path, column="decision_id")


def _read_csv(path: Path) -> dict[str, DataFrame]:
    try:
        return {
            "": pd.read_csv(
                path,
                dtype=str,
                encoding="utf-8-sig",
                keep_default_na=False,
            )
        }
    except UnicodeDecodeError:
        return {
            "": pd.read_csv(
                path,
                dtype=str,
                encoding="gb18030",
                keep_default_na=False,
            )
        }


def _checked_answers(frame: DataFrame, known: set[str], path: Path) -> DataFrame:
    """The answers in plain types; PlaybookError names the rows (as the sheet counts
    them) that are wrong. Rows of blocked sections, which decisions.csv lists too, are
    nobody's to answer.
    """
    rows = frame.reindex(columns=COLUMNS)
    rows = rows.assign(decision_id=rows["decision_id"].map(_text), row=np.arange(len(rows)) + 2)
    rows = rows[rows["decision_id"] != ""]
    status = rows["status"].map(_text).str.lower()
    sizes = rows["done_size"].map(_text).astype(str).str.replace(",", "")
    rows = rows.assign(
        status=status.map(_status_of).replace("", "proposed"),
        note=rows["note"].map(_text),
        done_on=rows["done_on"].map(_day),
        done_size=pd.to_numeric(sizes, errors="coerce").astype(float),
        sizes=sizes,
    )
    rows = rows[rows["status"] != "blocked"]
    is_done = rows["status"] == "done"
    rules = (
        ("decision_id", "answer_unknown", ~rows["decision_id"].isin(known)),
        ("decision_id", "answer_twice", rows.duplicated("decision_id", keep=False)),
        ("status", "answer_status", ~rows["status"].isin(ANSWERS)),
        ("done_on", "answer_day", rows["done_on"].isna()),
        ("done_on", "answer_done_without_day", is_done & (rows["done_on"] == "")),
        ("done_size", "answer_size", rows["done_size"].isna() & (rows["sizes"] != "")),
    )
    for column, rule, is_wrong in rules:
        if is_wrong.any():
            shown = ", ".join(map(str, rows.loc[is_wrong, "row"].head(5)))
            about = {
                "which": shown,
                "known": ", ".join(ANSWERS),
                "file": path,
                "column": column,
            }
            raise PlaybookError(f"runs.{rule}", rows=int(is_wrong.sum()), **about)
    return rows[COLUMNS].reset_index(drop=True)


def _status_of(text: str) -> str:
    """The status a cell names, in any language of the labels."""
    return answer_words().get(text, text)


@functools.cache
def answer_words() -> dict[str, str]:
    """What people write for a status -> the status."""
    stated = read_yaml(Path(__file__).with_name("answers.yaml"))
    return {text: status for status, texts in stated.items() for text in texts}


def _text(value: Any) -> str:
    is_missing = value is None or (pd.api.types.is_scalar(value) and pd.isna(value))
    return "" if is_missing else str(value).strip().lstrip("'")


def _day(value: Any) -> str | None:
    """A day as YYYY-MM-DD, empty when nothing was written, None when it is no day."""
    if isinstance(value, (dt.date, dt.datetime)):
        return str(value)[:10]
    text = _text(value)
    try:
        return dt.date.fromisoformat(text[:10].replace("/", "-")).isoformat() if text else ""
    except ValueError:
        return None
