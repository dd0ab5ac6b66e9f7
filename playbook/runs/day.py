"""A day at a shop, every day: one page to open on a telephone, and one message.

No notebook runs: the detectors of `detect`, the day's figures beside what such a day
usually brings, and where the week moved.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.detect.day import day_figures
from playbook.detect.incidents import found_in
from playbook.detect.panels import Panels
from playbook.errors import PlaybookError
from playbook.measures.drill import drill_cells, drill_pairs, week_before
from playbook.measures.metrics import METRICS
from playbook.messages import label, language, say
from playbook.runs.cells import (
    TEMPLATES,
    Shown,
    by_words,
    cell_of,
    drill_table,
    incident_table,
    metric_name,
    part_words,
    table_of,
    word,
)
from playbook.runs.digest import chat_text
from playbook.runs.folders import require_place, shop_folder, write_text
from playbook.runs.sentences import incident_sentence
from playbook.store import Store, open_store
from playbook.store.shop import NEWEST

__all__ = ["Day", "day_of", "write_day"]

#: days up to the one told within which an incident is told, and within which it calls
TOLD_DAYS, CALLS_DAYS = 7, 2
SHOWN = ["metric", "day", "usual_range", "flag", "week", "week_change"]
OUT = ("better", "worse", "outside limits")


@dataclass(frozen=True)
class Day:
    """A day told: `figures` (detect.day_figures), `incidents` of the week up to it
    (detect.incidents), `moved` (measures.drill of net revenue, this week against the one
    before), and the `sentences` a person reads first.
    """

    store: str
    currency: str
    on: dt.date
    figures: DataFrame
    incidents: DataFrame
    moved: DataFrame
    sentences: list[str]

    @property
    def calls(self) -> bool:
        """Is there something to act on: an alarm whose last day is this one or the one
        before, or a figure outside its limits on the worse side.
        """
        since = self.on - dt.timedelta(days=CALLS_DAYS - 1)
        alarms = self.incidents[self.incidents.is_alarm.astype(bool)]
        return bool((alarms.ends_on >= since).any() or (self.figures.flag == "worse").any())


def day_of(store: str, *, on: str | None = None) -> Day:
    """The day `on` (YYYY-MM-DD; the newest one that is known when left out), in the
    language in use. PlaybookError where the data do not reach that day.
    """
    shop = open_store(store, until=on or NEWEST)
    if on and str(shop.as_of) != on:
        raise PlaybookError("runs.day_not_reached", day=on, last=shop.as_of, table="orders")
    # the week up to the day may reach into the month before
    panels = Panels(shop, months=1 + (shop.as_of.day < TOLD_DAYS))
    found = found_in(panels)
    figures = day_figures(panels, found)
    since = shop.as_of - dt.timedelta(days=TOLD_DAYS - 1)
    here = found[(found.ends_on >= since) & found.follows.eq("")] if len(found) else found
    here = here.sort_values("share_of_month", ascending=False, kind="stable", ignore_index=True)
    moved = _moved(shop)
    told = _sentences(shop, figures, here, moved)
    return Day(shop.name, shop.currency, shop.as_of, figures, here, moved, told)


def _moved(shop: Store) -> DataFrame:
    """The cut of net revenue whose largest part holds most of what moved this week."""
    cells = drill_cells(shop, **week_before(shop.as_of))
    pairs = drill_pairs(cells, ["net_revenue"])
    if pairs.empty:
        return pairs
    share = pairs[pairs.part != "all"].contribution.abs()
    largest = share.groupby(pairs.by).max() / share.groupby(pairs.by).sum()
    if largest.isna().all():
        return pairs.iloc[:0]
    return pairs[pairs.by == largest.idxmax()].reset_index(drop=True)


def _sentences(
    shop: Store, figures: DataFrame, incidents: DataFrame, moved: DataFrame
) -> list[str]:
    rows = incidents.to_dict("records")
    told = [incident_sentence(row, shop.currency) for row in rows]
    told = told or [say("runs.quiet_week", day=shop.as_of)]
    for row in figures[figures.flag.isin(OUT)].to_dict("records"):
        about = {"name": metric_name(row["metric"]), "amount": _amount(row, "day")}
        told.append(say("runs.day_out", **about, usual=_range(row)))
    net = figures[figures.metric == "net_revenue"].to_dict("records")
    for row in net:
        about = {"day": shop.as_of, "money": _amount(row, "day"), "currency": shop.currency}
        told.append(say("runs.day_revenue", **about) + _week(row, shop.currency))
    parts = moved[~moved.part.isin(["all"]) & moved.before.notna()]
    if len(parts):
        first = parts.loc[parts.contribution.abs().idxmax()]
        money = f"{first.contribution:+,.0f} {shop.currency}"
        told.append(
            say("runs.week_moved", by=by_words(first.by), part=part_words(first.part), money=money)
        )
    return told


def _week(row: dict[str, Any], currency: str) -> str:
    if pd.isna(row["week_change"]):
        return say("runs.end")
    change = f"{row['week_change']:+.1%}"
    return say("runs.day_week", money=f"{_amount(row, 'week')} {currency}", change=change)


def _amount(row: dict[str, Any], column: str) -> str:
    unit = METRICS[row["metric"]].unit
    value = round(row[column]) if unit == "count" and pd.notna(row[column]) else row[column]
    return cell_of(value, "", unit).text


def _range(row: dict[str, Any]) -> str:
    ends = ("usual_low", "usual_high")
    return "–" if pd.isna(row["usual_high"]) else " – ".join(_amount(row, end) for end in ends)


def message(day: Day) -> str:
    """The day for a chat: Markdown, no longer than a chat shows."""
    points = [
        say(
            "runs.day_figure",
            name=metric_name(row["metric"]),
            amount=_amount(row, "day"),
            usual=_range(row),
        )
        for row in day.figures.to_dict("records")
    ]
    return chat_text(_title(day), day.sentences, points, [])


def _title(day: Day) -> str:
    return f"{day.store} {day.on} ({label('levels', f'{day.on:%A}')})"


def page(day: Day) -> str:
    """The day as one page that needs no network."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("day.html.j2").render(
        day=day,
        title=_title(day),
        lang=language(),
        w=word,
        tables=_tables(day),
        css=(TEMPLATES / "pack.css").read_text(encoding="utf-8"),
        js=(TEMPLATES / "sort.js").read_text(encoding="utf-8"),
    )


def _tables(day: Day) -> list[dict[str, Any]]:
    happened = [incident_table(day.incidents)] if len(day.incidents) else []
    parts = [drill_table(day.moved)] if len(day.moved) else []
    shown = [*happened, _figures(day), *parts]
    return [table | {"title": table["title"] or table["label"]} for table in shown]


def _figures(day: Day) -> dict[str, Any]:
    rows = day.figures.to_dict("records")
    shown = day.figures.assign(usual_range=[_range(row) for row in rows])
    units = {place: METRICS[row["metric"]].unit for place, row in enumerate(rows)}
    return table_of(shown[SHOWN], Shown(word("headline"), word("headline"), units, is_cards=True))


def write_day(day: Day, to: Path) -> tuple[Path, Path]:
    """The page and the message in the shop's folder under `to`, named by the day; each is
    written whole or not at all. Gives both paths.
    """
    folder = shop_folder(to, day.store)
    require_place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{day.on}.html", folder / f"{day.on}.md"
    for path, text in zip(paths, (page(day), message(day)), strict=True):
        write_text(path, text + "\n")
    return paths
