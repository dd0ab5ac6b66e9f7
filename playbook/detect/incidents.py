"""The table of incidents: every detector's findings of the last months, in one shape.

A chapter that learns from the past reads it and leaves the days of an incident out
(`without_incidents`): a month with an outage teaches nothing about conversion.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.detect import after, buying, selling, tracking
from playbook.detect.finding import OVER_DAYS
from playbook.detect.panels import Panels
from playbook.given import dated
from playbook.messages import read_yaml, say
from playbook.store import Store
from playbook.store.remembered import remembered
from playbook.tables import empty, returns, schema

__all__ = [
    "DETECTORS",
    "KINDS",
    "found_in",
    "incidents",
    "lasting",
    "of_month",
    "told",
    "without_incidents",
]

#: kind of incident -> what its money is, which columns of a day it falsifies, whether a
#: person should act on it
KINDS: dict[str, dict[str, Any]] = read_yaml(Path(__file__).with_name("kinds.yaml"))
#: columns of start_here.daily that say what was sold; any other says what was counted beside
SOLD = {"orders", "units", "new_customers"} | {
    "revenue",
    "net_revenue",
    "gross",
    "discount",
    "paid",
    "margin",
}
#: how long after an incident began its refunds and tickets come in
ECHO_DAYS, ECHO_BEFORE = 75, 3
#: kinds that are told of a sku or of a category
PRICED = ("price_error", "category_price")
DAYS_A_MONTH = 365.25 / 12
#: files of the package that decide what the detectors find
MAKING = (
    "detect/*.py",
    "detect/*.yaml",
    "methods/shifts.py",
    "measures/revenue_days.py",
    "measures/sums.py",
)
DETECTORS = (
    tracking.days_without_orders,
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
    """What happened in the last `months`, the dearest first within each month; made once,
    whichever chapter asks first.

    Every table is read as of the store's day; a detector whose tables are missing says
    nothing. Thresholds stand beside each detector, those common to all in `finding`. Found
    once for the same inputs, day and code, and kept beside the derived tables.
    """

    def make() -> dict[str, DataFrame]:
        return {"found": DataFrame(_rows(Panels(shop, months=months)))}

    found = remembered(shop, f"incidents-{months}", MAKING, make)["found"]
    return told(found.to_dict("records"))


def found_in(panels: Panels) -> DataFrame:
    """The incidents of the months that the panels judge, as `incidents` gives them."""
    return told(_rows(panels))


def _rows(panels: Panels) -> list[dict[str, Any]]:
    return [row for detector in DETECTORS for row in detector(panels)]


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
    table["check"] = [_check(row) for row in table.to_dict("records")]
    by = ["month", "share_of_month", "kind", "subject", "starts_on"]
    table = table.sort_values(
        by,
        ascending=[True, False, True, True, True],
        ignore_index=True,
    )
    return table[schema("detect.incidents").names]


def _echoes(table: DataFrame) -> list[str]:
    """Of each finding the kind whose echo it is, where one of that kind began within
    the weeks before it; of a wrong price only the sku itself, or one of its category, echoes.
    """
    starts = pd.to_datetime(table.starts_on)
    names = []
    for row, start in zip(table.to_dict("records"), starts, strict=True):
        facts = KINDS[row["kind"]]
        age = (start - starts).dt.days
        is_near = age.between(-ECHO_BEFORE, facts.get("echo_days", ECHO_DAYS))
        is_cause = table.kind.isin(facts.get("follows", []))
        if row.get("category"):
            is_own = table.subject.isin([row["subject"], row["category"]])
            is_cause &= is_own | ~table.kind.isin(PRICED)
        near = table.kind[is_cause & is_near]
        names.append("" if near.empty else str(near.iloc[0]))
    return names


def _what(row: dict[str, Any]) -> str:
    """What happened, in a sentence; money is told beside it."""
    return say(
        f"detect.what_{row['kind']}", **{n: row[n] for n in ("subject", "n", "usual", "now")}
    )


def _check(row: dict[str, Any]) -> str:
    """What to do about it; of some kinds something else once it is over."""
    is_over = bool(row.get("is_over")) and KINDS[row["kind"]].get("has_end", False)
    return say(f"detect.check_{row['kind']}{'_over' if is_over else ''}")


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


@dated
def lasting(table: DataFrame, kinds: Sequence[str], *, as_of: dt.date) -> DataFrame:
    """The incidents of these kinds that a person should act on and that last until as-of,
    the dearest first, with `effect`: what one more month like their days costs (amount,
    low, high). What is over costs nothing more.
    """
    is_on = pd.to_datetime(table.ends_on) >= pd.Timestamp(as_of) - pd.Timedelta(days=OVER_DAYS)
    rows = table[is_on & table.is_alarm.astype(bool) & table.kind.isin(list(kinds))]
    a_month = DAYS_A_MONTH / rows.n_days.astype(float)
    ends = rows[["amount", "amount_low", "amount_high"]].mul(a_month, axis=0)
    rows = rows.assign(effect=list(map(tuple, ends.to_numpy(float))))
    return rows.sort_values("amount", ascending=False, kind="stable", ignore_index=True)


def without_incidents(days: DataFrame, table: DataFrame, *, before: str) -> DataFrame:
    """The days (start_here.daily) with what an incident falsified missing: references are
    learnt from what is left. What was miscounted is missing on all days of the incident,
    what was sold (SOLD) on those before the month or day `before`, which is held against them.
    """
    days = days.copy()
    day = pd.to_datetime(days.day_on)
    is_past = day < pd.Timestamp(before)
    for row in table.itertuples():
        is_hit = day.between(pd.Timestamp(row.starts_on), pd.Timestamp(row.ends_on))
        hides = KINDS[row.kind].get("hides", []) if row.kind in KINDS else []
        hidden = [name.format(subject=row.subject) for name in hides]
        for name in [name for name in hidden if name in days]:
            is_gone = is_hit & is_past if name in SOLD else is_hit
            days[name] = days[name].astype(float).mask(is_gone, np.nan)
    return days
