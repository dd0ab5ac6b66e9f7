"""Published series: a day and a value a row, under whatever header; and Google Trends
exports, one series a column.

Statistical offices revise history, so a vintage (the day of publication) is part of a
row's key where it is told.
"""

from __future__ import annotations

import datetime as dt

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.registry import FRED_SERIES
from playbook.store.write import quoted

WRITTEN_OUT = r"""CASE
    WHEN regexp_matches(period_on, '^\s*\d{4}[ -]?Q[1-4]\s*$') THEN
        regexp_extract(period_on, '\d{4}') || '-' || lpad((3 * regexp_extract(period_on, 'Q(\d)', 1)::INT - 2)::VARCHAR, 2, '0') || '-01'
    WHEN regexp_matches(period_on, '^\s*Q[1-4][ -/]?\d{4}\s*$') THEN
        regexp_extract(period_on, '\d{4}') || '-' || lpad((3 * regexp_extract(period_on, 'Q(\d)', 1)::INT - 2)::VARCHAR, 2, '0') || '-01'
    WHEN regexp_matches(period_on, '^\s*\d{4}-\d{2}-\d{2}\s*[-–/]\s*\d{4}-\d{2}-\d{2}\s*$') THEN regexp_extract(period_on, '\d{4}-\d{2}-\d{2}')
    ELSE period_on END"""  # a quarter by its name, or a week from day to day: its first day


def shape(d: Delivery) -> None:
    """Every column beside the date is one series; its header is its name unless the
    caller names it.
    """
    d.con.execute(f"UPDATE raw SET period_on = {WRITTEN_OUT}")
    day = d.day("period_on")
    rows, many = [], len(d.beside) > 1
    d.series_of = {}
    for column, header in d.beside.items():
        name = header if many else str(d.settings.options.get("series") or header)
        d.series_of[column] = name
        unit, frequency, _ = FRED_SERIES.get(
            name.upper(), (d.settings.options.get("unit"), None, "")
        )
        d.read_as(
            column, "<1", "0.5"
        )  # Google Trends says no more than that it was below one and not zero
        value = d.number(column)
        rows.append(
            f"SELECT {day} AS period_on, {quoted(name)} AS series, {value} AS value, "
            f"{quoted(unit) if unit else 'CAST(NULL AS VARCHAR)'} AS unit, "
            f"{quoted(frequency) if frequency else 'CAST(NULL AS VARCHAR)'} AS frequency FROM raw WHERE {value} IS NOT NULL"
        )
    d.refuse_unreadable("market_series", budget=0.0)
    if d.beside:
        d.leave_out(
            "periods without a value",
            f"count(*) FILTER ({' AND '.join(f'{d.number(c)} IS NULL' for c in d.beside)})",
        )
    if not rows:
        raise PlaybookError("sources.series_without_values", file=d.sheet.path.name)
    union = " UNION ALL ".join(rows)
    (twice,) = d.con.execute(
        f"SELECT count(*) FROM (SELECT period_on, series FROM ({union}) GROUP BY ALL HAVING count(*) > 1)"
    ).fetchone()
    if twice:
        raise PlaybookError("sources.period_twice", file=d.sheet.path.name, rows=twice)
    published = _published(d)
    source = d.settings.options.get("source")
    d.emit(
        "market_series",
        f"""
        WITH s AS ({union}), steps AS (SELECT series, period_on - lag(period_on) OVER (PARTITION BY series ORDER BY period_on) AS step FROM s),
        f AS (SELECT series, CASE WHEN quantile_disc(step, 0.5) <= 1 THEN 'day' WHEN quantile_disc(step, 0.5) <= 8 THEN 'week' WHEN quantile_disc(step, 0.5) <= 32 THEN 'month'
              WHEN quantile_disc(step, 0.5) <= 95 THEN 'quarter' WHEN quantile_disc(step, 0.5) <= 370 THEN 'year' END AS found FROM steps GROUP BY series)
        SELECT s.period_on, s.series, s.value, s.unit, coalesce(s.frequency, f.found) AS frequency,
               {quoted(source) if source else "CAST(NULL AS VARCHAR)"} AS source, {published} AS published_on
        FROM s JOIN f USING (series)""",
    )


def _published(d: Delivery) -> str:
    told = d.settings.observed_on
    if not told:
        return "CAST(NULL AS DATE)"
    try:
        return f"DATE '{dt.date.fromisoformat(str(told)):%Y-%m-%d}'"
    except ValueError:
        raise PlaybookError("sources.no_day", given=told) from None


ADAPTERS = (
    Adapter(
        kind="series",
        title="a published series",
        gives=("market_series",),
        columns="""
            period_on! day | date | observation date | observation_date | period | time period | time | day | week | month | quarter | year | 日期 | 月份 | 时间 | datum | fecha | data
        """,
        shape=shape,
        beside=1,
    ),
    Adapter(
        kind="google-trends",
        title="Google Trends › Interest over time",
        gives=("market_series",),
        columns="""
            period_on! day | day | week | month | time | 天 | 周 | 月 | tag | woche | monat
        """,
        shape=shape,
        beside=5,
    ),
)
