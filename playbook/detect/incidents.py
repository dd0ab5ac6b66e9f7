"""The table of incidents: every detector's findings of the last months, in one shape.

A chapter that learns from the past reads it and leaves the days of an incident out
(`without_incidents`): a month with an outage teaches nothing about conversion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.detect import after, buying, selling, tracking
from playbook.detect.panels import Panels
from playbook.messages import read_yaml, say
from playbook.store import Store
from playbook.tables import empty, returns, schema

__all__ = [
    "DETECTORS",
    "KINDS",
    "found_in",
    "incidents",
    "of_month",
    "told",
    "without_incidents",
]

#: kind of incident -> what its money is, which columns of a day it falsifies, whether a
#: person should act on it
KINDS: dict[str, dict[str, Any]] = read_yaml(Path(__file__).with_name("kinds.yaml"))
#: how long after an incident began its refunds and tickets come in
ECHO_DAYS, ECHO_BEFORE = 75, 3
DETECTORS = (
    tracking.days_without_visits,
    tracking.spend_ended,
    tracking.spend_twice,
    tracking.clicks_dearer,
    tracking.claims_apart,
    selling.steps_fail,
    selling.payments_open,
    selling.best_seller_empty,
    selling.prices_wrong,
    selling.tests_ended,
    buying.bursts,
    buying.codes_out,
    after.carriers_late,
    after.goods_back,
    after.questions_rise,
    after.suppliers_late,
)


@returns("detect.incidents")
def incidents(shop: Store, *, months: int = 13) -> DataFrame:
    """What happened in the last `months`, the dearest first within each month.

    Every table is read as of the store's day; a detector whose tables are missing says
    nothing. Thresholds stand beside each detector, those common to all in `finding`.
    """
    return found_in(Panels(shop, months=months))


def found_in(panels: Panels) -> DataFrame:
    """The incidents of the months that the panels judge, as `incidents` gives them."""
    return told([row for detector in DETECTORS for row in detector(panels)])


@returns("detect.incidents")
def told(rows: list[dict[str, Any]]) -> DataFrame:
    """The detectors' rows (`finding.found`) in the words and the order of the table."""
    if not rows:
        return empty("detect.incidents")
    table = DataFrame(rows)
    table["follows"] = _echoes(table)
    facts = table.kind.map(KINDS)
    table["month"] = pd.to_datetime(table.starts_on).dt.strftime("%Y-%m")
    table["money_is"] = [fact["money_is"] for fact in facts]
    is_fault = np.array([bool(fact.get("is_alarm", True)) for fact in facts])
    table["is_alarm"] = is_fault & table.follows.eq("")
    table["what"] = [_what(row) for row in table.to_dict("records")]
    table["check"] = [say(f"detect.check_{kind}") for kind in table.kind]
    by = ["month", "share_of_month", "kind", "subject", "starts_on"]
    table = table.sort_values(
        by,
        ascending=[True, False, True, True, True],
        ignore_index=True,
    )
    return table[schema("detect.incidents").names]


def _echoes(table: DataFrame) -> list[str]:
    """Of each finding the kind whose echo it is, where one of that kind began within
    the weeks before it.
    """
    starts = pd.to_datetime(table.starts_on)
    names = []
    for kind, start in zip(table.kind, starts, strict=True):
        causes = KINDS[kind].get("follows", [])
        age = (start - starts).dt.days
        near = table.kind[table.kind.isin(causes) & age.between(-ECHO_BEFORE, ECHO_DAYS)]
        names.append("" if near.empty else str(near.iloc[0]))
    return names


def _what(row: dict[str, Any]) -> str:
    """What happened, in a sentence; money is told beside it."""
    return say(
        f"detect.what_{row['kind']}", **{n: row[n] for n in ("subject", "n", "usual", "now")}
    )


def of_month(table: DataFrame, month: str) -> DataFrame:
    """The incidents with a day in `month`, the dearest first."""
    if table.empty:
        return table
    starts, ends = (pd.to_datetime(table[c]).dt.strftime("%Y-%m") for c in ("starts_on", "ends_on"))
    here = table[(starts <= month) & (ends >= month)]
    return here.sort_values(
        "share_of_month",
        ascending=False,
        kind="stable",
        ignore_index=True,
    )


def without_incidents(days: DataFrame, table: DataFrame, *, before: str) -> DataFrame:
    """The days (start_here.daily) with what an incident falsified missing, on its days
    before the month or day `before`: references are learnt from what is left.
    """
    days = days.copy()
    day = pd.to_datetime(days.day_on)
    is_past = day < pd.Timestamp(before)
    for row in table.itertuples():
        is_hit = is_past & day.between(pd.Timestamp(row.starts_on), pd.Timestamp(row.ends_on))
        hides = KINDS[row.kind].get("hides", []) if row.kind in KINDS else []
        hidden = [name.format(subject=row.subject) for name in hides]
        for name in [name for name in hidden if name in days]:
            days[name] = days[name].astype(float).mask(is_hit, np.nan)
    return days
