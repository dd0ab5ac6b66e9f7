"""A table of weekly spend and sales, as media teams keep it, as the weeks a response is
fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.channel_roi.media_model import MediaWeeks, RegionWeeks, scored_weeks
from playbook.errors import PlaybookError


def weekly_media(table: pd.DataFrame, mapping: Mapping[str, Any]) -> MediaWeeks:
    """Weeks from a table with one row a week and one column per channel, as media teams
    keep them.

    `mapping` names its columns: `week_on`, `response`, `spend` (channel: column) and,
    where wanted, `controls` (a list) and `region`: then there is one row a week and region,
    controls are averaged over regions, and the response is fitted over them. Weeks without a
    row, without a figure or with negative spend are not scored. PlaybookError for columns
    that are not there and rows that are not weeks.
    """
    paid, controls = dict(mapping.get("spend") or {}), list(mapping.get("controls") or [])
    named = [mapping.get("week_on"), mapping.get("response"), *paid.values(), *controls]
    region = mapping.get("region")
    absent = [str(name) for name in [*named, region or named[0]] if name not in table]
    if absent or not paid:
        columns = ", ".join(absent) or "spend"
        raise PlaybookError("sources.mapping_without_column", columns=columns)
    if not region:
        return _weeks(table, named, paid, controls)
    parts = [_numbers(part, named) for _name, part in table.groupby(region, sort=True)]
    names = tuple(map(str, sorted(table[region].dropna().unique())))
    span = min(part.index.min() for part in parts), max(part.index.max() for part in parts)
    weeks = pd.date_range(*span, freq="7D")
    # one day of the week for all regions, or a row would belong to no week
    n_off = sum(int((~part.index.isin(weeks)).sum()) for part in parts)
    if n_off:
        raise PlaybookError("sources.not_one_a_week", column=str(named[0]), rows=n_off)
    panel = np.stack([part.reindex(weeks).to_numpy(float) for part in parts], axis=1)
    # a figure of the country is known where it is in every region
    sums = panel.sum(axis=1)
    n_money = 1 + len(paid)
    sums[:, n_money:] = panel[:, :, n_money:].mean(axis=1)
    whole = pd.DataFrame(sums, columns=named[1:]).assign(**{named[0]: weeks})
    channels = sorted(paid)
    spend = panel[:, :, [1 + list(paid).index(channel) for channel in channels]]
    regions = RegionWeeks(names, panel[:, :, 0], np.maximum(np.nan_to_num(spend), 0.0))
    return replace(_weeks(whole, named, paid, controls), regions=regions)


def _numbers(table: pd.DataFrame, named: Sequence[Any]) -> pd.DataFrame:
    """The named columns as numbers by week; PlaybookError for rows that are not weeks."""
    week = pd.to_datetime(table[named[0]], errors="coerce")
    apart = week.sort_values().diff().dropna().dt.days
    n_wrong = int(week.isna().sum() + ((apart < 7) | (apart % 7 > 0)).sum())
    if n_wrong:
        raise PlaybookError("sources.not_one_a_week", column=str(named[0]), rows=n_wrong)
    return table[named[1:]].apply(pd.to_numeric, errors="coerce").set_axis(week)


def _weeks(
    table: pd.DataFrame, named: Sequence[Any], paid: Mapping[str, Any], controls: list[str]
) -> MediaWeeks:
    """Weeks of a table with one row a week."""
    numbers = _numbers(table, named)
    weeks = pd.date_range(numbers.index.min(), numbers.index.max(), freq="7D")
    numbers = numbers.reindex(weeks).astype(float).reset_index(drop=True)
    spend = pd.DataFrame({channel: numbers[paid[channel]] for channel in sorted(paid)})
    return scored_weeks(
        pd.DataFrame({"week_on": weeks, "response": numbers[named[1]]}),
        spend.fillna(spend.median()).fillna(0.0),
        spend.notna(),
        numbers[controls],
        numbers[controls].fillna(numbers[controls].mean()),
    )
