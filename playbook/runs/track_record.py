"""Were we right last time? Predictions scored when they come due, and figures that were
restated.

A prediction is scored once, as it was first published: a rerun of its month does not
get to forecast again. Replayed predictions (made after the fact, by `playbook run
--from`) are marked and summed apart from live ones.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.runs.folders import first_versions, read_json, read_record
from playbook.runs.kept import HEADLINE, READ_LATER, read_kept
from playbook.tables import empty, frame_of, returns, schema

__all__ = [
    "TrackRecord",
    "headline_of",
    "restated",
    "score_predictions",
    "summed_up",
    "track_record",
]

NUMBERS = ("point", "low", "high", "level", "naive", "actual")
# what of a run's record differs -> why a figure was restated
CAUSES = {
    "fingerprint": "inputs",
    "code": "method",
    "parameters": "parameters",
}
WHOLE = {"", "all", "shop", "total"}  # subjects whose actual is the headline series itself


@dataclass(frozen=True)
class TrackRecord:
    """The tables `runs.scored` (prediction by prediction) and `runs.track_record`."""

    scored: DataFrame
    summary: DataFrame


def track_record(month_folder: str | Path) -> TrackRecord:
    """The record up to the month in `month_folder` (published or still being made): all
    earlier months' predictions against what this month's chapters report. Empty frames
    when there is nothing to score.
    """
    folder = Path(month_folder)
    about = read_json(folder / "run.json")
    if not about:
        return TrackRecord(empty("runs.scored"), empty("runs.track_record"))
    made = _predictions(folder.parent, before=about["month"])
    scored = score_predictions(made, _actuals(folder), as_of=about["as_of"])
    return TrackRecord(scored, summed_up(scored))


@returns("runs.scored")
def score_predictions(
    predictions: DataFrame, actuals: DataFrame, *, as_of: str | dt.date
) -> DataFrame:
    """Predictions against what came. `actuals` has metric, subject, due_on (text),
    amount, status. A prediction is `scored`, `waiting` (not due, or the actual still
    fills) or has `no actual` (due, and nothing reports it); figures of rows that are not
    scored are missing.
    """
    if predictions.empty:
        return empty("runs.scored")
    key = ["metric", "subject", "due_on"]
    known = _keyed(actuals).drop_duplicates(key)[[*key, "amount", "status"]]
    known = known.rename(columns={"amount": "actual", "status": "maturity"})
    both = _keyed(predictions).merge(known, on=key, how="left")
    for column in NUMBERS:
        both[column] = pd.to_numeric(both[column], errors="coerce").astype(float)
    is_due = both["due_on"] <= str(as_of)[:10]
    is_scored = is_due & both["actual"].notna() & (both["maturity"] == "complete")
    states = [is_scored, is_due & both["maturity"].isna()]
    both["status"] = np.select(states, ["scored", "no actual"], "waiting")
    both["actual"] = both["actual"].where(is_scored)
    both["error"] = both["point"] - both["actual"]
    both["naive_error"] = both["naive"] - both["actual"]
    is_held = (both["low"] <= both["actual"]) & (both["actual"] <= both["high"])
    has_interval = is_scored & both["low"].notna() & both["high"].notna()
    both["is_inside"] = is_held.astype("boolean").where(has_interval, pd.NA)
    order = ["notebook", "metric", "subject", "horizon", "made_in", "due_on", "model"]
    columns = schema("runs.scored").names
    return both[columns].sort_values(
        order,
        kind="stable",
        ignore_index=True,
    )


def _keyed(frame: DataFrame) -> DataFrame:
    days = frame["due_on"].astype(str).str[:10]
    return frame.assign(subject=_whole(frame["subject"]), due_on=days)


@returns("runs.track_record")
def summed_up(scored: DataFrame) -> DataFrame:
    """Scored predictions by notebook, metric and live or replayed, beside naive."""
    rows = []
    for keys, group in scored.groupby(["notebook", "metric", "is_replay"], sort=True):
        notebook, metric, is_replay = keys
        ripe = group[group["status"] == "scored"]
        beside = ripe.dropna(subset=["naive_error"])
        ours, naive = beside["error"].abs().mean(), beside["naive_error"].abs().mean()
        rows.append(
            {
                "notebook": notebook,
                "metric": metric,
                "is_replay": bool(is_replay),
                "n": len(ripe),
                "waiting": int((group["status"] == "waiting").sum()),
                "level": ripe["level"].mean(),
                "coverage": ripe["is_inside"].dropna().astype(float).mean(),
                "mean_error": ripe["error"].mean(),
                "mean_abs_error": ripe["error"].abs().mean(),
                "naive_abs_error": naive,
                "is_better_than_naive": pd.NA if beside.empty else bool(ours < naive),
            }
        )
    return frame_of("runs.track_record", rows).astype({"is_better_than_naive": "boolean"})


@returns("runs.restated")
def restated(month_folder: str | Path) -> DataFrame:
    """What a republished month says differently from its first version. Empty for a
    month published once.
    """
    folder, rows = Path(month_folder), []
    now = read_json(folder / "run.json")
    here = headline_of(folder).set_index(["metric", "month"])["amount"]
    for name in now.get("earlier_packs", [])[:1]:
        then = read_json(folder.parent / name / "run.json")
        causes = [cause for key, cause in CAUSES.items() if then.get(key) != now.get(key)]
        before = headline_of(folder.parent / name).set_index(["metric", "month"])["amount"]
        for (metric, month), amount in before.items():
            other = here.get((metric, month), float("nan"))
            if not (amount == other or (pd.isna(amount) and pd.isna(other))):
                cause = " and ".join(causes) or "not known"
                rows.append((metric, month, amount, other, other - amount, cause))
    frame = frame_of("runs.restated", rows)
    order = {"by": ["month", "metric"], "ascending": [False, True]}
    return frame.sort_values(**order, kind="stable", ignore_index=True)


def _whole(subjects: pd.Series) -> pd.Series:
    text = subjects.fillna("").astype(str)
    return text.where(~text.str.lower().isin(WHOLE), "all")


def _predictions(months: Path, *, before: str) -> DataFrame:
    """Predictions as first published; a month looked at before its end predicts nothing."""
    frames = []
    for path in first_versions(months):
        record = read_record(path)
        if path.name[:7] >= before or not record or record.get("is_partial"):
            continue
        made = read_kept(path / "predictions.parquet", READ_LATER["predictions.parquet"])
        if made is not None:
            frames.append(made.assign(made_in=path.name[:7]))
    return pd.concat(frames, ignore_index=True) if frames else DataFrame()


def headline_of(folder: Path) -> DataFrame:
    """All chapters' headline series stacked, the first chapter that reports a metric
    and month winning.
    """
    found = (read_kept(f, HEADLINE) for f in sorted(folder.glob("*/headline.parquet")))
    frames = [frame for frame in found if frame is not None]
    if not frames:
        return DataFrame(columns=["metric", "month", "amount", "status"])
    return pd.concat(frames, ignore_index=True).drop_duplicates(["metric", "month"])


def _actuals(folder: Path) -> DataFrame:
    """What can be compared with a prediction: the headline series, and any chapter's
    table `actuals`.
    """
    series = headline_of(folder)
    months = pd.PeriodIndex(series["month"].astype(str), freq="M")
    found = [series.assign(subject="all", due_on=months.end_time.strftime("%Y-%m-%d"))]
    for path in sorted(folder.glob("*/tables/actuals.parquet")):
        more = pd.read_parquet(path)
        found.append(more if "status" in more else more.assign(status="complete"))
    columns = ["metric", "subject", "due_on", "amount", "status"]
    return pd.concat(
        [f[columns] for f in found if len(f)] or [DataFrame(columns=columns)], ignore_index=True
    )
