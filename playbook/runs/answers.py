"""Decisions live on: what people answered in the workbook is read back, and what was
done is followed up.

Only what was done is compared; without a hold-out that comparison is before against
after and says so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.registry import chapter
from playbook.errors import PlaybookError
from playbook.runs.answer_sheet import COLUMNS, NUMBERS, checked_answers, read_sheet
from playbook.runs.folders import (
    first_versions,
    published_months,
    read_json,
    shop_folder,
)
from playbook.runs.kept import LOG, LOG_COLUMNS, READ_LATER, read_kept
from playbook.runs.same_shop import require_same_shop
from playbook.runs.track_record import headline_of
from playbook.store.write import held
from playbook.tables import empty, returns, schema

__all__ = [
    "accepted_targets",
    "answers",
    "followup",
    "own_results",
    "read_back",
    "targets_in_force",
]

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
    done_size, brought (what it brought in the period of its effect, where somebody
    measured it), note.
    """
    found = read_kept(Path(months) / LOG, LOG_COLUMNS)
    return DataFrame(columns=COLUMNS) if found is None else found.reindex(columns=COLUMNS)


@returns("runs.own_results")
def own_results(month_folder: str | Path) -> DataFrame:
    """What decisions of earlier months claimed, as first published, and what people say
    they brought; only those done whose result somebody wrote down.
    """
    folder = Path(month_folder)
    month = read_json(folder / "run.json").get("month", "")
    versions = [p for p in first_versions(folder.parent) if p.name[:7] < month]
    made = _decisions_of(versions)
    if made.empty or "kind" not in made:
        return empty("runs.own_results")
    log = answers(folder.parent)
    told = log.loc[(log.status == "done") & log.brought.notna(), ["decision_id", "brought"]]
    rows = made.merge(told, on="decision_id").rename(columns={"expected_effect": "claim"})
    rows = rows[rows.kind.fillna("").ne("") & rows.claim.notna()]
    return rows[schema("runs.own_results").names].reset_index(drop=True)


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
    answered = open_ones.merge(
        answers(folder.parent)[COLUMNS],
        on="decision_id",
        how="left",
    )
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
    needed = READ_LATER["*/decisions.parquet"]
    frames = [frame for path in paths if (frame := read_kept(path, needed)) is not None]
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
    return targets.drop_duplicates(
        ["month", "metric"],
        keep="last",
        ignore_index=True,
    )


def targets_in_force(stated: DataFrame | None, month_folder: str | Path | None) -> DataFrame | None:
    """The shop's own `targets` with those that people accepted or changed in their
    place (month and metric alike); None where there are neither. Without a month folder
    nobody has answered anything.
    """
    taken = accepted_targets(Path(month_folder).parent) if month_folder else DataFrame()
    if not len(taken):
        return stated
    both = taken if stated is None else pd.concat([stated, taken], ignore_index=True)
    return both.drop_duplicates(
        ["month", "metric"],
        keep="last",
        ignore_index=True,
    )


def read_back(file: Path, store: str, runs: str | Path = "runs") -> dict[str, Any]:
    """Take what people filled in (a pack's workbook, or CSV with the same columns) into
    the shop's decision log.

    Every row is checked first; one that is wrong refuses the whole file, and the log
    stays as it was. Rows left at `proposed` without a note count as unanswered. A later
    file wins over an earlier one, decision by decision. Gives the counts of rows: read,
    unanswered, blocked, empty, which add up to `rows`.
    """
    from playbook.store import open_store

    opened = open_store(store)
    shop, folder = opened.name, shop_folder(runs, opened.name)
    require_same_shop(folder, opened)
    known = _published(folder)
    if not known:
        raise PlaybookError("runs.no_decisions", store=shop, file=folder)
    sheet = read_sheet(Path(file))
    filled, left = checked_answers(sheet, known, Path(file))
    is_answered = filled["status"].ne("proposed") | filled["note"].ne("") | filled["done_on"].ne("")
    given = filled[is_answered | filled[list(NUMBERS)].notna().any(axis=1)]
    with held(
        folder / ".decisions_log.lock",
        "runs.answers_at_work",
        wait_seconds=30,
    ):
        set_aside = _set_log_aside(folder)
        _add_to_log(folder, given)
    return {
        "store": shop,
        "file": str(file),
        "rows": len(sheet),
        "read": len(given),
        "unanswered": len(filled) - len(given),
        **left,
        "statuses": {s: int(n) for s, n in given["status"].value_counts().sort_index().items()},
        "set_aside": set_aside,
    }


def _add_to_log(folder: Path, given: DataFrame) -> None:
    earlier = answers(folder)
    earlier = earlier[~earlier["decision_id"].isin(given["decision_id"])]
    frames = [frame for frame in (earlier, given) if len(frame)] or [given]
    log = pd.concat(frames, ignore_index=True).sort_values("decision_id", ignore_index=True)
    part = folder / ".decisions_log.part"
    log[COLUMNS].astype(dict.fromkeys(NUMBERS, "float64")).to_parquet(part, index=False)
    os.replace(part, folder / LOG)


def _set_log_aside(folder: Path) -> str:
    """A log that cannot be read is kept under another name before a new one is written;
    gives that name, empty where nothing was wrong.
    """
    path = folder / LOG
    if not path.exists() or read_kept(path, LOG_COLUMNS) is not None:
        return ""
    number = 1
    while (aside := folder / f"decisions_log.damaged{number}.parquet").exists():
        number += 1
    os.replace(path, aside)
    return aside.name


def _published(folder: Path) -> dict[str, str]:
    """Every decision ever published -> its action."""
    known: dict[str, str] = {}
    for month in published_months(folder):
        for path in sorted(month.glob("*/decisions.parquet")):
            found = read_kept(path, ["decision_id", "action"])
            if found is not None:
                known |= dict(zip(found["decision_id"], found["action"], strict=True))
    return known
