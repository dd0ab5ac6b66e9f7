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

from playbook.runs.folders import first_versions, read_json

__all__ = [
    "TrackRecord",
    "headline_of",
    "restated",
    "score_predictions",
    "summed_up",
    "track_record",
]

WHOLE = {"", "all", "shop", "total"}  # subjects whose actual is the headline series itself
SCORED = [
    "notebook",
    "metric",
    "subject",
    "horizon",
    "model",
    "made_in",
    "due_on",
    "level",
    "point",
    "low",
    "high",
    "naive",
    "actual",
    "error",
    "naive_error",
    "is_inside",
    "is_replay",
    "status",
]
SUMMED = [
    "notebook",
    "metric",
    "is_replay",
    "n",
    "waiting",
    "level",
    "coverage",
    "mean_error",
    "mean_abs_error",
    "naive_abs_error",
    "is_better_than_naive",
]


@dataclass(frozen=True)
class TrackRecord:
    """`scored`: one row per prediction made before this month; `summary`: one row per
    notebook, metric and kind.
    """

    scored: pd.DataFrame
    summary: pd.DataFrame


def track_record(month_folder: str | Path) -> TrackRecord:
    """The record up to the month in `month_folder` (published or still being made): all
    earlier months' predictions against what this month's chapters report. Empty frames
    when there is nothing to score.
    """
    folder = Path(month_folder)
    about = read_json(folder / "run.json")
    if not about:
        return TrackRecord(pd.DataFrame(columns=SCORED), pd.DataFrame(columns=SUMMED))
    made = _predictions(folder.parent, before=about["month"])
    scored = score_predictions(made, _actuals(folder), as_of=about["as_of"])
    return TrackRecord(scored, summed_up(scored))


def score_predictions(
    predictions: pd.DataFrame, actuals: pd.DataFrame, *, as_of: str | dt.date
) -> pd.DataFrame:
    """One row per prediction: error = point - actual, whether the interval held it, the
    naive forecast's error.

    `actuals` has metric, subject, due_on (text), amount, status. Status of a row:
    `scored`; `waiting` (not due, or the actual still fills); `no actual` (due, and
    nothing reports it). Figures of rows that are not scored are missing.
    """
    if predictions.empty:
        return pd.DataFrame(columns=SCORED)
    left = predictions.assign(
        subject=_whole(predictions["subject"]), due_on=predictions["due_on"].astype(str).str[:10]
    )
    right = actuals.assign(
        subject=_whole(actuals["subject"]), due_on=actuals["due_on"].astype(str).str[:10]
    )
    right = right.drop_duplicates(["metric", "subject", "due_on"])[
        ["metric", "subject", "due_on", "amount", "status"]
    ]
    both = left.merge(
        right.rename(columns={"amount": "actual", "status": "maturity"}),
        on=["metric", "subject", "due_on"],
        how="left",
    )
    numbers = {
        c: pd.to_numeric(both[c], errors="coerce").astype(float)
        for c in ("point", "low", "high", "level", "naive", "actual")
    }
    both = both.assign(**numbers)
    is_due = both["due_on"] <= str(as_of)[:10]
    is_known = both["actual"].notna() & (both["maturity"] == "complete")
    is_scored = is_due & is_known
    both["status"] = np.select(
        [is_scored, is_due & both["maturity"].isna()], ["scored", "no actual"], "waiting"
    )
    both["actual"] = both["actual"].where(is_scored)
    both["error"] = both["point"] - both["actual"]
    both["naive_error"] = both["naive"] - both["actual"]
    held = (both["low"] <= both["actual"]) & (both["actual"] <= both["high"])
    has_interval = is_scored & both["low"].notna() & both["high"].notna()
    both["is_inside"] = held.astype("boolean").where(has_interval, pd.NA)
    order = ["notebook", "metric", "subject", "horizon", "made_in", "due_on", "model"]
    return both[SCORED].sort_values(order, kind="stable").reset_index(drop=True)


def summed_up(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per notebook, metric and live or replayed: n scored, waiting, stated
    level, coverage (share of intervals that held the actual), mean error, mean absolute
    error of the prediction and of naive.
    """
    rows = []
    for (notebook, metric, is_replay), all_of_it in scored.groupby(
        ["notebook", "metric", "is_replay"], sort=True
    ):
        one = all_of_it[all_of_it["status"] == "scored"]
        with_naive = one.dropna(subset=["naive_error"])
        ours, naive = with_naive["error"].abs().mean(), with_naive["naive_error"].abs().mean()
        inside = one["is_inside"].dropna().astype(float)
        rows.append(
            (
                notebook,
                metric,
                bool(is_replay),
                len(one),
                int((all_of_it["status"] == "waiting").sum()),
                one["level"].mean(),
                inside.mean(),
                one["error"].mean(),
                one["error"].abs().mean(),
                naive,
                pd.NA if with_naive.empty else bool(ours < naive),
            )
        )
    return pd.DataFrame(rows, columns=SUMMED).astype({"is_better_than_naive": "boolean"})


def restated(month_folder: str | Path) -> pd.DataFrame:
    """What a republished month says differently: metric, month, first_reported, now,
    change, cause; one row per figure of the headline series. Empty for a month
    published once.
    """
    folder, rows = Path(month_folder), []
    now = read_json(folder / "run.json")
    here = headline_of(folder).set_index(["metric", "month"])["amount"]
    for name in now.get("earlier_packs", [])[:1]:
        then = read_json(folder.parent / name / "run.json")
        causes = [
            word
            for key, word in (
                ("fingerprint", "inputs"),
                ("code", "method"),
                ("parameters", "parameters"),
            )
            if then.get(key) != now.get(key)
        ]
        before = headline_of(folder.parent / name).set_index(["metric", "month"])["amount"]
        for (metric, month), amount in before.items():
            other = here.get((metric, month), float("nan"))
            if not (amount == other or (pd.isna(amount) and pd.isna(other))):
                rows.append(
                    (
                        metric,
                        month,
                        amount,
                        other,
                        other - amount,
                        " and ".join(causes) or "not known",
                    )
                )
    frame = pd.DataFrame(
        rows, columns=["metric", "month", "first_reported", "now", "change", "cause"]
    )
    return frame.sort_values(
        ["month", "metric"], ascending=[False, True], kind="stable"
    ).reset_index(drop=True)


def _whole(subjects: pd.Series) -> pd.Series:
    text = subjects.fillna("").astype(str)
    return text.where(~text.str.lower().isin(WHOLE), "all")


def _predictions(months: Path, *, before: str) -> pd.DataFrame:
    frames = []
    for path in first_versions(months):
        if path.name[:7] >= before or not (path / "predictions.parquet").exists():
            continue
        if not read_json(path / "run.json").get(
            "is_partial"
        ):  # a month looked at before its end predicts nothing
            frames.append(
                pd.read_parquet(path / "predictions.parquet").assign(made_in=path.name[:7])
            )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def headline_of(folder: Path) -> pd.DataFrame:
    """All chapters' headline series stacked, the first chapter that reports a metric
    and month winning.
    """
    frames = [pd.read_parquet(f) for f in sorted(folder.glob("*/headline.parquet"))]
    if not frames:
        return pd.DataFrame(columns=["metric", "month", "amount", "status"])
    return pd.concat(frames, ignore_index=True).drop_duplicates(["metric", "month"])


def _actuals(folder: Path) -> pd.DataFrame:
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
        [f[columns] for f in found if len(f)] or [pd.DataFrame(columns=columns)], ignore_index=True
    )
