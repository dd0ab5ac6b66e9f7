"""Rows of a report that are sums of its other rows, found by their arithmetic: whatever
they are called, and wherever they stand.

A sum is known by its word, or by having fewer filled cells than any other row, or by coming
to the others of its day in several measures or on days that differ. A label that does so
with one measure and one value only may as well be a campaign: the import asks.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.messages import read_yaml, say

CLOSE = "0.015"
LEAST_OTHERS = 2  # a row that equals one other row is no sum
LEAST_SKUS = 3  # so many skus, of different units, whose one place is the sum of the others
ALL_PLACES = ("all", "alle", "tous", "todos", "全部")


@functools.cache
def total_words() -> tuple[str, ...]:
    """The words by which rows call themselves a sum."""
    return tuple(read_yaml(Path(__file__).parent / "words.yaml")["total"])


def take_off_daily_sums(d: Any, day: str, number: dict[str, str]) -> int:
    """Takes rows off `raw` that are the sum of the others of their day; returns how many.

    `number`: column of a measure -> its value in SQL. `raw` holds `_named` (a cell consists
    of a word for a sum) and `_filled` (how many cells hold something). PlaybookError where
    one label may be a sum or a campaign and nothing tells.
    """
    labels = [n for n in d.at if d.wanted[n].type in ("word", "text", "id")]
    if not number or not labels:
        return 0
    label = f"concat_ws(' / ', {', '.join(labels)})"
    values = ", ".join(f"{value} AS m_{name}" for name, value in number.items())
    d.con.execute(f"""CREATE OR REPLACE TEMP TABLE measured AS
        SELECT rowid AS row, {day} AS day, {label} AS label, _named, _filled, {values} FROM raw
        WHERE {day} IS NOT NULL""")
    # a sum is as much as all others of its day together: half of what the day comes to
    ties = " AND ".join(
        f"(coalesce(m_{n}, 0) = 0 OR abs(2 * m_{n} - sum(m_{n}) OVER w) < {CLOSE})" for n in number
    )
    n_measures = " + ".join(f"CAST(coalesce(m_{n}, 0) <> 0 AS INTEGER)" for n in number)
    first = next(iter(number))
    d.con.execute(f"""CREATE OR REPLACE TEMP TABLE suspects AS
        WITH t AS (
            SELECT *, {ties} AS is_tied, count(*) OVER w - 1 AS n_others, {n_measures} AS n_measures
            FROM measured WINDOW w AS (PARTITION BY day)),
        l AS (
            SELECT label, bool_and(_named) AS is_named, count(DISTINCT day) AS n_days, count(*) AS n_rows,
                   count(DISTINCT m_{first}) AS n_values, min(n_measures) AS n_measures, max(_filled) AS filled
            FROM t WHERE coalesce(m_{first}, 0) <> 0 GROUP BY label
            HAVING bool_and(is_tied) AND min(n_others) >= {LEAST_OTHERS} AND min(n_measures) > 0)
        SELECT *, filled < (SELECT min(_filled) FROM measured WHERE label <> l.label) AS is_bare FROM l""")
    _refuse_open_ones(d)
    sums = "SELECT label FROM suspects WHERE is_named OR is_bare OR n_days >= 2"
    (n,) = d.con.execute(f"SELECT count(*) FROM measured WHERE label IN ({sums})").fetchone()
    if n:
        (names,) = d.con.execute(
            f"SELECT string_agg(label, ', ' ORDER BY label) FROM ({sums})"
        ).fetchone()
        d.notes.append(say("sources.daily_sums", names=names[:80], n=n))
        d.con.execute(
            f"DELETE FROM raw WHERE rowid IN (SELECT row FROM measured WHERE label IN ({sums}))"
        )
    return n


def take_off_all_places(d: Any) -> None:
    """Takes the rows of `All locations` off a stock table that holds the places too: units
    of which each stands in both. A place called so that does not come to the others, and one
    of another name that does for several skus, are asked about.
    """
    if not (d.has("location") and d.has("on_hand")):
        return
    day = d.day("day_on") if d.has("day_on") else "1"
    words = "|".join((*total_words(), *ALL_PLACES))
    d.con.execute(f"""CREATE OR REPLACE TEMP TABLE places AS
        WITH s AS (SELECT location, {d.count("on_hand")} AS units, sum({d.count("on_hand")}) OVER w AS in_all,
                          count(DISTINCT location) OVER w - 1 AS n_others, sku
                   FROM raw WINDOW w AS (PARTITION BY sku, {day}))
        SELECT location, regexp_matches(lower(location), '^({words})($|[^a-z])') AS is_named,
               bool_and(2 * units = in_all) FILTER (units <> 0 OR in_all <> 0) AS is_sum,
               min(n_others) AS n_others, count(DISTINCT sku) FILTER (units <> 0) AS n_skus,
               count(DISTINCT units) AS n_values, count(*) AS n, sum(units) AS units
        FROM s GROUP BY 1""")
    open_ones = d.con.execute(f"""SELECT location, n FROM places
        WHERE n_others > 0 AND (is_named AND NOT is_sum OR NOT is_named AND is_sum
              AND n_others >= {LEAST_OTHERS} AND n_skus >= {LEAST_SKUS} AND n_values >= {LEAST_SKUS})
        ORDER BY 1""").fetchall()
    _refuse_first(d, "sources.sum_or_place", open_ones)
    for place, n, units in d.con.execute(
        "SELECT location, n, units FROM places WHERE is_named AND is_sum AND n_others > 0 ORDER BY 1"
    ).fetchall():
        d.con.execute("DELETE FROM raw WHERE location = ?", [place])
        d.n_footers += n
        d.n_rows -= n
        d.notes.append(say("sources.places_summed", label=place, n=n, units=units))


def _refuse_open_ones(d: Any) -> None:
    """One measure, always the same: three budgets spent in full look like two and a sum."""
    meant = [str(name).lower() for name in d.settings.options.get("known_campaigns") or ()]
    d.con.execute("DELETE FROM suspects WHERE lower(label) IN (SELECT unnest(?))", [meant])
    open_ones = d.con.execute(
        "SELECT label, n_rows FROM suspects WHERE NOT is_named AND NOT is_bare AND n_days >= 2 "
        "AND (n_values = 1 OR n_values < n_days / 4) AND n_measures < 3 ORDER BY label"
    ).fetchall()
    _refuse_first(d, "sources.sum_or_campaign", open_ones)


def _refuse_first(d: Any, message: str, open_ones: list[tuple[str, int]]) -> None:
    """PlaybookError naming the first of the labels (with its rows) that may be a sum or not."""
    for label, rows in open_ones[:1]:
        raise PlaybookError(message, label=label, file=d.sheet.path.name, rows=rows)
