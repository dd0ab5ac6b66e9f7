"""A table of weekly spend and sales, as media teams keep it, as the weeks a response is
fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from playbook.chapters.channel_roi.media_model import MediaWeeks, scored_weeks
from playbook.errors import PlaybookError


def weekly_media(table: pd.DataFrame, mapping: Mapping[str, Any]) -> MediaWeeks:
    """Weeks from a table with one row a week and one column per channel, as media teams
    keep them.

    `mapping` names its columns: `week_on`, `response`, `spend` (channel: column) and,
    where wanted, `controls` (a list). Weeks without a row, without a figure or with
    negative spend are not scored. PlaybookError for columns that are not there and rows
    that are not weeks.
    """
    paid, controls = dict(mapping.get("spend") or {}), list(mapping.get("controls") or [])
    named = [mapping.get("week_on"), mapping.get("response"), *paid.values(), *controls]
    absent = [str(name) for name in named if name not in table]
    if absent or not paid:
        columns = ", ".join(absent) or "spend"
        raise PlaybookError("sources.mapping_without_column", columns=columns)
    week = pd.to_datetime(table[named[0]], errors="coerce")
    apart = week.sort_values().diff().dropna().dt.days
    n_wrong = int(week.isna().sum() + ((apart < 7) | (apart % 7 > 0)).sum())
    if n_wrong:
        raise PlaybookError("sources.not_one_a_week", column=str(named[0]), rows=n_wrong)
    weeks = pd.date_range(week.min(), week.max(), freq="7D")
    numbers = table[named[1:]].apply(pd.to_numeric, errors="coerce").set_axis(week)
    numbers = numbers.reindex(weeks).astype(float).reset_index(drop=True)
    spend = pd.DataFrame({channel: numbers[paid[channel]] for channel in sorted(paid)})
    return scored_weeks(
        pd.DataFrame({"week_on": weeks, "response": numbers[named[1]]}),
        spend.fillna(spend.median()).fillna(0.0),
        spend.notna(),
        numbers[controls],
        numbers[controls].fillna(numbers[controls].mean()),
    )
