"""The first sentences of a month: what went wrong, what it cost and what to do; then what
came of the month, why, and what to decide by when.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from playbook.chapters.monthly_review.review import against_targets
from playbook.chapters.registry import opening
from playbook.detect.incidents import of_month
from playbook.measures.metrics import months_back
from playbook.messages import label, say
from playbook.runs.cells import cell_of, decision_text, metric_name, plain_number, word
from playbook.runs.pack import Pack, latest_figures, open_decisions, ranked

__all__ = ["ACTIONS_SHOWN", "incident_sentence", "sentences"]

ACTIONS_SHOWN = 10
DRIVERS_NAMED = 2
MOST_HELD = 0.5  # share of the change above which one segment is named
INCIDENTS_NAMED = 4


def sentences(pack: Pack, decisions: DataFrame) -> list[str]:
    """What went wrong (or that nothing did), the month, its targets, why, what to decide by
    when, from what the opening chapter and the review left.
    """
    month = [_what_happened(pack), *_targets(pack), _why(pack), _what_to_decide(pack, decisions)]
    return [*_incidents(pack), *month]


def _incidents(pack: Pack) -> list[str]:
    """A sentence for each of the dearest incidents of the month; one for a quiet month;
    none where nobody looked.
    """
    table = pack.table(opening().notebook, "incidents")
    if table is None or "follows" not in table:
        return []
    here = of_month(table, pack.record["month"])
    here = here[here.follows == ""] if len(here) else here
    if here.empty:
        return [say("runs.quiet_month", month=pack.record["month"]) + _over_limit(pack)]
    told = [
        incident_sentence(row, pack.record["currency"])
        for row in here.head(INCIDENTS_NAMED).to_dict("records")
    ]
    if len(here) > INCIDENTS_NAMED:
        told[-1] += say("runs.more_incidents", n=len(here) - INCIDENTS_NAMED)
    return told


def _over_limit(pack: Pack) -> str:
    """The measured risks over their limit, as a sentence after a quiet month."""
    risks = pack.reviewed("risks")
    if risks is None or not {"is_over", "amount"} <= set(risks):
        return ""
    over = risks.loc[risks["is_over"].eq(True) & risks["amount"].notna(), "risk"]
    names = say("runs.listed").join(label("levels", name) for name in over)
    return say("runs.over_limit", names=names) if names else ""


def incident_sentence(row: dict[str, Any], currency: str) -> str:
    """What happened, when, what it cost, what to do."""
    days = str(row["starts_on"])
    if row["n_days"] > 1:
        days = say("runs.from_to", first=days, last=row["ends_on"])
    told = say("runs.incident", days=days, what=row["what"])
    if pd.notna(row["amount"]):
        money = f"{plain_number(round(row['amount']))} {currency}"
        told += say(
            "runs.incident_money",
            money=money,
            kind=label("money_is", row["money_is"]),
        )
    return told + say("runs.incident_check", check=row["check"])


def _what_happened(pack: Pack) -> str:
    record = pack.record
    latest = latest_figures(pack)
    row = latest[latest["metric"] == "net_revenue"] if len(latest) else latest
    if row.empty:
        return say("runs.no_revenue", month=record["month"])
    figure = row.iloc[0]
    money = f"{plain_number(figure.actual)} {record['currency']}"
    if figure.status != "complete":
        return say(
            "runs.still_filling",
            as_of=record["as_of"],
            month=record["month"],
            money=money,
        )
    changes = []
    for column in ("last_month", "last_year"):
        if pd.notna(figure[column]) and figure[column]:
            change = figure.actual / figure[column] - 1
            direction = "more" if change >= 0 else "less"
            changes.append(say(f"runs.{direction}_than_{column}", change=f"{abs(change):.1%}"))
    told = say("runs.revenue", month=record["month"], money=money)
    if changes:
        told += say("runs.compared", changes=say("runs.and").join(changes))
    return told + _against_its_past(pack)


def _against_its_past(pack: Pack) -> str:
    """Whether net revenue lies in its usual range or within its limits, as the end of a
    sentence.
    """
    card = pack.table(pack.review, "scorecard")
    is_there = card is not None and "usual_high" in card
    row = card[card["metric"] == "net_revenue"] if is_there else DataFrame()
    if row.empty:
        return say("runs.end")
    figure = row.iloc[0]
    if pd.isna(figure.usual_high):
        foreseen = figure.get("foreseen")
        if pd.isna(foreseen) or not foreseen:
            return say("runs.too_short_a_history")
        miss = figure.actual / foreseen - 1
        return say(
            f"runs.{'more' if miss >= 0 else 'less'}_than_foreseen",
            money=plain_number(round(foreseen)),
            miss=f"{abs(miss):.1%}",
        )
    limits = {name: plain_number(round(figure[end])) for name, end in LIMITS.items()}
    if figure.usual_low <= figure.actual <= figure.usual_high:
        return say("runs.within", **limits)
    side = "above" if figure.actual > figure.usual_high else "below"
    is_far = figure.actual > figure.upper or figure.actual < figure.lower
    return say(f"runs.far_{side}" if is_far else f"runs.{side}", **limits)


LIMITS = {"low": "usual_low", "high": "usual_high"}


def _targets(pack: Pack) -> list[str]:
    """One sentence on the targets missed and beaten, of complete figures only; none where
    none is held against a target.
    """
    card = pack.reviewed("scorecard")
    if card is None or not {"target", "status", "unit"} <= set(card):
        return []
    parts = []
    for name, rows in zip(("missed", "beaten"), against_targets(card), strict=True):
        each = [
            say("runs.of_target", name=metric_name(row.metric), **_ends(row))
            for row in rows.itertuples()
        ]
        if each:
            parts.append(say(f"runs.targets_{name}", each=say("runs.listed").join(each)))
    told = say("runs.comma").join(parts) + say("runs.end")
    return [told[:1].upper() + told[1:]] if parts else []


def _ends(row: Any) -> dict[str, str]:
    """A figure and its target as people read them."""
    pair = {"actual": row.actual, "target": row.target}
    return {name: cell_of(amount, "", row.unit).text for name, amount in pair.items()}


def _why(pack: Pack) -> str:
    drivers = pack.reviewed("drivers")
    if drivers is None or not {"driver", "contribution"} <= set(drivers):
        return say("runs.no_drivers")
    if pack.record["is_partial"]:
        return say("runs.drivers_later")
    sized = drivers.assign(size=drivers["contribution"].abs())
    largest = sized.sort_values(["size", "driver"], ascending=[False, True]).head(DRIVERS_NAMED)
    parts = [
        f"{metric_name(str(driver))} ({money:+,.0f} {pack.record['currency']})"
        for driver, money in zip(largest["driver"], largest["contribution"], strict=True)
    ]
    told = say("runs.why", parts=say("runs.and_both").join(parts)) + _news(drivers)
    return told + _where(pack)


def _where(pack: Pack) -> str:
    """The one segment of a dimension that holds most of the change of sales against the
    month before, as a sentence; the most concentrated one, none where none does. It holds
    most where it moved to the side of the whole, by more than all the others together
    moved to either side, and by more than twice its share of the sales before.
    """
    table = pack.table(opening().notebook, "breakdown")
    if table is None or not {"dimension", "segment", "month", "revenue"} <= set(table):
        return ""
    before, now = months_back(pack.record["month"], 2)
    wide = table.assign(revenue=table["revenue"].astype(float)).pivot_table(
        index=["dimension", "segment"], columns="month", values="revenue", aggfunc="sum"
    )
    wide = wide.reindex(columns=[before, now]).fillna(0.0)
    change = wide[now] - wide[before]
    whole = change.groupby("dimension").transform("sum")
    moved = change.abs().groupby("dimension").transform("sum")
    held = change * np.sign(whole) / moved.where(moved > 0)
    share = wide[before] / wide[before].groupby("dimension").transform("sum")
    found = (held / share.where(share > 0))[(held > MOST_HELD) & (held > 2 * share)]
    if found.empty:
        return ""
    place = found.sort_index().idxmax()
    return say(
        "runs.where",
        segment=label("levels", str(place[1])),
        dimension=word(place[0]),
        money=f"{change[place]:+,.0f} {pack.record['currency']}",
        whole=f"{whole[place]:+,.0f}",
    )


def _news(drivers: DataFrame) -> str:
    """The driver that moved further than its past, as the end of a sentence."""
    if "is_news" in drivers and drivers["is_news"].astype(bool).any():
        driver = drivers["driver"][drivers["is_news"].astype(bool)].iloc[0]
        return say("runs.news", driver=metric_name(str(driver)))
    is_judged = "surprise" in drivers and drivers["surprise"].notna().any()
    return say("runs.no_news" if is_judged else "runs.end")


def _what_to_decide(pack: Pack, decisions: DataFrame) -> str:
    proposals = open_decisions(decisions)
    if proposals.empty:
        return say("runs.nothing_to_decide")
    first_ones = ranked(pack, decisions).head(ACTIONS_SHOWN)
    first_ones = first_ones if len(first_ones) else proposals.head(ACTIONS_SHOWN)
    first = decision_text(first_ones.iloc[0].to_dict())
    due = sorted(day for day in first_ones["due_on"].astype(str) if day and day != "None")
    is_cut = len(proposals) > len(first_ones)
    told = say(
        "runs.decide_some" if is_cut else "runs.decide_all",
        shown=len(first_ones),
        n=len(proposals),
    )
    told += say("runs.earliest", day=due[0]) if due else ""
    told += say("runs.on_top", what=first["what"]) + _about(first) + say("runs.end")
    asked = pack.reviewed("asks")
    if asked is None:
        return told
    return told + say("runs.asked", money=f"{asked['money'].sum():,.0f} {pack.record['currency']}")


def _about(decision: dict[str, str]) -> str:
    """Who, by when and what is expected of a decision, in brackets."""
    parts = [decision["who"]]
    if decision["by when"]:
        parts.append(say("runs.by", day=decision["by when"]))
    if decision["expected"]:
        parts.append(say("runs.expected", effect=decision["expected"]))
    told = say("runs.comma").join(filter(None, parts))
    return say("runs.inside", told=told) if told else ""
