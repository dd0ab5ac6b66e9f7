"""Decisions live on: what people answered in the workbook is read back, and what was
done is followed up.

Only what was done is compared; without a hold-out that comparison is before against
after and says so.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError
from playbook.runs.folders import first_versions, published_months, read_json, shop_folder
from playbook.runs.track_record import headline_of

__all__ = ["ANSWERS", "accepted_targets", "answers", "followup", "read_back", "targets_in_force"]

ANSWERS = ("proposed", "accepted", "changed", "declined", "done")
CHINESE = {
    "待定": "proposed",
    "接受": "accepted",
    "已接受": "accepted",
    "修改": "changed",
    "已修改": "changed",
    "拒绝": "declined",
    "已拒绝": "declined",
    "完成": "done",
    "已完成": "done",
}
COLUMNS = ["decision_id", "status", "done_on", "done_size", "note"]


def answers(months: str | Path) -> pd.DataFrame:
    """What people answered, one row per decision: decision_id, status, done_on,
    done_size, note.
    """
    path = Path(months) / "decisions_log.parquet"
    return pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=COLUMNS)


def followup(month_folder: str | Path) -> pd.DataFrame:
    """One row per decision of earlier months: what was answered, and for those done the
    metric before and after.

    Only what was done is compared, and without a hold-out the comparison is called
    `before/after, not causal`. Declined and unanswered decisions carry no figures.
    `after` is this month's complete figure, else missing.
    """
    folder = Path(month_folder)
    about = read_json(folder / "run.json")
    earlier = [p for p in first_versions(folder.parent) if p.name[:7] < about.get("month", "")]
    found = [pd.read_parquet(f) for p in earlier for f in sorted(p.glob("*/decisions.parquet"))]
    columns = [
        "decision_id",
        "month",
        "notebook",
        "subject",
        "action",
        "owner_role",
        "status",
        "done_on",
        "expected",
        "expected_low",
        "expected_high",
        "effect_unit",
        "metric",
        "before",
        "after",
        "change",
        "verdict",
    ]
    if not found:
        return pd.DataFrame(columns=columns)
    every = pd.concat([f for f in found if len(f)] or found, ignore_index=True)
    every = every[~every["action"].isin(["blocked", "go"])].drop(
        columns=["status", "done_on", "note"]
    )
    every = every.merge(answers(folder.parent)[COLUMNS], on="decision_id", how="left")
    every["status"] = every["status"].fillna("unanswered")
    now = headline_of(folder)
    complete = now[now["status"] == "complete"].set_index(["metric", "month"])["amount"]
    month = about["month"]
    then = zip(every["evidence_metric"], every["month"], strict=True)
    every["before"] = [complete.get(at, np.nan) for at in then]
    every["after"] = [complete.get((m, month), np.nan) for m in every["evidence_metric"]]
    is_done = every["status"] == "done"
    every[["before", "after"]] = every[["before", "after"]].where(is_done)
    every["change"] = every["after"] - every["before"]
    every["verdict"] = np.select(
        [~is_done & (every["status"] != "unanswered"), ~is_done, every["change"].notna()],
        [every["status"], "unanswered", "before/after, not causal"],
        "done, not measured by a headline figure",
    )
    every = every.rename(
        columns={
            "expected_effect": "expected",
            "effect_low": "expected_low",
            "effect_high": "expected_high",
            "evidence_metric": "metric",
        }
    )
    return (
        every[columns]
        .sort_values(["month", "decision_id"], ascending=[False, True])
        .reset_index(drop=True)
    )


def accepted_targets(months: str | Path) -> pd.DataFrame:
    """Targets of chapter 02 that people accepted or changed: month, metric, value,
    owner_role (as in `targets`).
    """
    found = [
        pd.read_parquet(f)
        for p in first_versions(Path(months))
        for f in sorted(p.glob("02_*/decisions.parquet"))
    ]
    columns = ["month", "metric", "value", "owner_role"]
    if not found:
        return pd.DataFrame(columns=columns)
    every = (
        pd.concat(found, ignore_index=True)
        .drop(columns=["status"])
        .merge(answers(months), on="decision_id")
    )
    taken = every[
        every["status"].isin(["accepted", "changed", "done"]) & (every["subject_type"] == "kpi")
    ]
    value = pd.to_numeric(taken["done_size"], errors="coerce").fillna(
        pd.to_numeric(taken["size"], errors="coerce")
    )
    frame = taken.assign(
        month=taken["due_on"].astype(str).str[:7], metric=taken["subject"], value=value
    )
    frame = frame.dropna(subset=["value"])[columns]
    return frame.drop_duplicates(["month", "metric"], keep="last").reset_index(drop=True)


def targets_in_force(
    stated: pd.DataFrame | None, month_folder: str | Path | None
) -> pd.DataFrame | None:
    """The shop's own `targets` with those that people accepted or changed in their
    place (month and metric alike); None where there are neither. Without a month folder
    nobody has answered anything.
    """
    taken = accepted_targets(Path(month_folder).parent) if month_folder else pd.DataFrame()
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

    folder = shop_folder(runs, open_store(store).name)
    known: set[str] = set()
    for path in published_months(folder):
        for part in path.glob("*/decisions.parquet"):
            known |= set(pd.read_parquet(part, columns=["decision_id"])["decision_id"])
    if not known:
        raise PlaybookError(
            f"No published month of {store} holds decisions", file=folder, do="run a month first"
        )
    filled = _checked_answers(_read_sheet(Path(file)), known, Path(file))
    given = filled[
        (filled["status"] != "proposed") | filled["note"].ne("") | filled["done_on"].ne("")
    ]
    kept = answers(folder)
    kept = kept[~kept["decision_id"].isin(given["decision_id"])]
    log = pd.concat([f for f in (kept, given) if len(f)] or [given], ignore_index=True).sort_values(
        "decision_id"
    )
    part = folder / ".decisions_log.part"
    log.astype({"done_size": "float64"}).reset_index(drop=True).to_parquet(part, index=False)
    os.replace(part, folder / "decisions_log.parquet")
    return {
        "store": store,
        "file": str(file),
        "read": len(given),
        "unanswered": len(filled) - len(given),
        "statuses": {s: int(n) for s, n in given["status"].value_counts().sort_index().items()},
    }


def _read_sheet(path: Path) -> pd.DataFrame:
    """The table that has a decision_id column, every cell as it was typed."""
    if not path.is_file():
        raise PlaybookError(
            "There is no such file", file=path, do="name the workbook or the CSV that was filled in"
        )
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
        sheets = pd.read_excel(path, sheet_name=None, engine="calamine", dtype=object)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise PlaybookError(
            f"The file cannot be read: {str(error).splitlines()[0]}",
            file=path,
            do="save it as .xlsx or .csv",
        ) from None
    except Exception as error:  # calamine's own kinds have no common base
        raise PlaybookError(
            f"The file is no workbook: {str(error).splitlines()[0]}",
            file=path,
            do="save it as .xlsx or .csv",
        ) from None
    for frame in sheets.values():
        if "decision_id" in frame.columns and "status" in frame.columns:
            return frame
    raise PlaybookError(
        "No sheet has the columns decision_id and status",
        file=path,
        column="decision_id",
        do="fill in the sheet Decisions of the pack's playbook.xlsx",
    )


def _read_csv(path: Path) -> pd.DataFrame:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            frame = pd.read_csv(path, dtype=str, encoding=encoding, keep_default_na=False)
        except UnicodeDecodeError:
            continue
        if {"decision_id", "status"} <= set(frame.columns):
            return frame
        break
    raise PlaybookError(
        "The file has no columns decision_id and status",
        file=path,
        column="decision_id",
        do="fill in the pack's decisions.csv or workbook",
    )


def _checked_answers(frame: pd.DataFrame, known: set[str], path: Path) -> pd.DataFrame:
    """The answers in plain types; PlaybookError names the rows (as the sheet counts
    them) that are wrong.
    """
    kept = frame.reindex(columns=COLUMNS)
    kept = kept.assign(decision_id=kept["decision_id"].map(_text), row=np.arange(len(kept)) + 2)
    kept = kept[kept["decision_id"] != ""]
    status = kept["status"].map(_text).str.lower()
    status = status.map(lambda s: CHINESE.get(s, s)).replace("", "proposed")
    sizes = kept["done_size"].map(_text).astype(str).str.replace(",", "")
    checked = kept.assign(
        status=status,
        note=kept["note"].map(_text),
        done_on=kept["done_on"].map(_day),
        done_size=pd.to_numeric(sizes, errors="coerce").astype(float),
        sizes=sizes,
    )
    checked = checked[
        checked["status"] != "blocked"
    ]  # decisions.csv lists them too; nobody can answer them

    def refuse(bad: pd.Series, column: str, told: str, do: str) -> None:
        if bad.any():
            rows = ", ".join(map(str, checked.loc[bad, "row"].head(5)))
            raise PlaybookError(
                f"{told} in row {rows}", file=path, column=column, rows=int(bad.sum()), do=do
            )

    refuse(
        ~checked["decision_id"].isin(known),
        "decision_id",
        "This store never published the decision",
        "use the workbook of a month of this store",
    )
    twice = checked.duplicated("decision_id", keep=False)
    refuse(twice, "decision_id", "A decision stands twice", "keep one row of it")
    unknown = ~checked["status"].isin(ANSWERS)
    refuse(
        unknown, "status", "The status is none of the five", f"write one of {', '.join(ANSWERS)}"
    )
    refuse(
        checked["done_on"].isna(),
        "done_on",
        "There is no day",
        "write a day as 2026-10-31, or leave it empty",
    )
    refuse(
        (checked["status"] == "done") & (checked["done_on"] == ""),
        "done_on",
        "A done decision has no day",
        "write the day on which it was done",
    )
    no_number = checked["done_size"].isna() & (checked["sizes"] != "")
    refuse(no_number, "done_size", "There is no number", "write a number only")
    return checked[COLUMNS].reset_index(drop=True)


def _text(value: Any) -> str:
    return (
        ""
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value))
        else str(value).strip().lstrip("'")
    )


def _day(value: Any) -> str | None:
    """A day as YYYY-MM-DD, empty when nothing was written, None when it is no day."""
    if isinstance(value, (dt.date, dt.datetime)):
        return str(value)[:10]
    text = _text(value)
    try:
        return dt.date.fromisoformat(text[:10].replace("/", "-")).isoformat() if text else ""
    except ValueError:
        return None
