"""Are the result tables of two months the same, byte for byte?

    python tests/proof/proof_same_tables.py BEFORE AFTER [--only 04]

BEFORE and AFTER are month folders (`runs/<shop>/<month>`). Every parquet table, the
headline series and the predictions of each chapter are compared. A table that must
differ stands in `MUST_DIFFER` with its reason; of decisions the columns that both
months have are compared, but for the label made from fields.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

_YEAR = "errors of a shorter horizon say nothing of a year: limits missing until calibrated"
_ALIVE = "a VIP is more likely alive than not"
#: file (as chapter/name) -> why it differs from the month before the change
MUST_DIFFER: dict[str, str] = {
    **dict.fromkeys(
        (
            "00_start_here/tables/incidents.parquet",
            "11_monthly_review/tables/incidents.parquet",
            "11_monthly_review/tables/anomalies.parquet",
        ),
        "incidents are told, and days held against the card's own model",
    ),
    **dict.fromkeys(
        ("00_start_here/tables/control_walk.parquet", "00_start_here/tables/gates.parquet"),
        "a difference from the dashboard is told by its nearest steps, and gated",
    ),
    **dict.fromkeys(
        (
            "11_monthly_review/decisions.parquet",
            *(
                f"11_monthly_review/tables/{name}.parquet"
                for name in ("caveats", "decisions", "drivers", "ranked", "risks", "scorecard")
            ),
        ),
        "the review reads the tables of other chapters named here",
    ),
    **dict.fromkeys(
        (f"00_start_here/tables/{n}.parquet" for n in ("breakdown", "daily", "ledger")),
        "carriage and packing charges are no products",
    ),
    "05_ltv_modelling/tables/models.parquet": "a fit's reason holds no infinite number",
    **dict.fromkeys(
        (
            f"02_goal_setting/{name}.parquet"
            for name in (
                "decisions",
                "headline",
                "predictions",
                "tables/kpi_weights",
                "tables/okr",
                "tables/smart",
                "tables/target_rows",
            )
        ),
        "a proposed target lay below the forecast; reasons fit their row",
    ),
    "00_start_here/tables/indicators.parquet": "a parcel is late by shop days, as in 08",
    "01_market_research/tables/price_bands.parquet": "margins add up exactly (1e-14)",
    **dict.fromkeys(
        (
            "09_recommendations/decisions.parquet",
            "09_recommendations/tables/bundles.parquet",
            "09_recommendations/tables/pairs.parquet",
        ),
        "margins add up exactly (1e-11); pairs are the 10,000 strongest",
    ),
    **dict.fromkeys(
        (
            "07_inventory_planning/tables/service_cash.parquet",
            "07_inventory_planning/tables/policy_replay.parquet",
            "07_inventory_planning/tables/what_if_lead.parquet",
        ),
        "long lead times were taken for covered by the sales lost in them",
    ),
    "00_start_here/headline.parquet": "nobody can say who was new before the lookback",
    "05_ltv_modelling/tables/remaining.parquet": _YEAR,
    "05_ltv_modelling/tables/ltv.parquet": _YEAR,
    "05_ltv_modelling/tables/ltv_cohorts.parquet": _YEAR,
    "05_ltv_modelling/tables/caps.parquet": _YEAR,
    "05_ltv_modelling/tables/vip.parquet": _ALIVE,
    "05_ltv_modelling/decisions.parquet": _ALIVE,
    "06_segmentation/tables/actions.parquet": "no hold-out that could not see a doubling",
    "06_segmentation/tables/audience.parquet": "no hold-out that could not see a doubling",
    "06_segmentation/decisions.parquet": "no hold-out that could not see a doubling",
    **dict.fromkeys(
        (
            "07_inventory_planning/predictions.parquet",
            "07_inventory_planning/decisions.parquet",
            *(
                f"07_inventory_planning/tables/{name}.parquet"
                for name in ("backtest", "classes", "issues")
            ),
        ),
        "a closed Saturday is no stock-out: weeks count the days the shop trades",
    ),
    **dict.fromkeys(
        (
            "01_market_research/decisions.parquet",
            "10_assortment_pricing/headline.parquet",
            *(
                f"10_assortment_pricing/tables/{name}.parquet"
                for name in ("elasticity", "lifecycle", "quality", "roles")
            ),
            *(
                f"01_market_research/tables/{name}.parquet"
                for name in ("category_growth", "pains", "personas", "verdicts")
            ),
            *(
                f"09_recommendations/tables/{name}.parquet"
                for name in ("hit_curve", "leaderboard", "picks", "setting", "winner")
            ),
        ),
        "carriage and packing charges (skus 23444, 23574) are no products",
    ),
}
LABELS = ("effect_unit",)  # made from effect_kind and effect_period, see playbook/decisions.py
DECISIONS = ("decisions.parquet", "tables/decisions.parquet", "tables/ranked.parquet")


def compared(before: Path, after: Path) -> str:
    """What differs between two parquet files; empty when nothing does."""
    if before.read_bytes() == after.read_bytes():
        return ""
    one, other = pd.read_parquet(before), pd.read_parquet(after)
    if any(before.as_posix().endswith(name) for name in DECISIONS):
        shared = [c for c in one.columns if c in other.columns and c not in LABELS]
        one, other = one[shared], other[shared]
    if list(one.columns) != list(other.columns):
        return f"columns {sorted(set(one.columns) ^ set(other.columns)) or 'in another order'}"
    if len(one) != len(other):
        return f"{len(one)} rows before, {len(other)} after"
    return "" if one.equals(other) else f"values of {', '.join(_changed(one, other)) or 'a type'}"


def _changed(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    return [c for c in one.columns if not one[c].equals(other[c])]


def files_of(month: Path, only: str) -> dict[str, Path]:
    """Every table a month's chapters left, by its name within the month."""
    found = [p for p in month.rglob("*.parquet") if p.relative_to(month).parts[0][:1].isdigit()]
    return {
        p.relative_to(month).as_posix(): p
        for p in found
        if p.relative_to(month).parts[0].startswith(only)
    }


def main() -> int:
    """Print what differs; the exit status is the number of unexplained differences."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("before", type=Path)
    asked.add_argument("after", type=Path)
    asked.add_argument("--only", default="", help="the number of one chapter")
    given = asked.parse_args()
    before, after = files_of(given.before, given.only), files_of(given.after, given.only)
    wrong = 0
    for name in sorted(set(before) | set(after)):
        told = (
            "gone"
            if name not in after
            else "new"
            if name not in before
            else compared(before[name], after[name])
        )
        if told:
            reason = MUST_DIFFER.get(name, "")
            wrong += not reason
            print(f"{name}: {told}" + (f" (because {reason})" if reason else ""))
    print(f"{len(before)} tables before, {len(after)} after, {wrong} differ without a reason")
    return min(wrong, 100)


if __name__ == "__main__":
    sys.exit(main())
