"""The customer's way in stages, each with the one or two figures that tell how it goes,
its pain, owner and remedy.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["journey_map"]

MAP = (  # stage, touchpoint, metric, whether more is better, pain, owner, fix
    (
        "consider",
        "product page",
        "view",
        1,
        "nothing of interest on landing",
        "marketing head",
        "match ad and page",
    ),
    (
        "consider",
        "basket",
        "cart",
        1,
        "price, doubt or stock",
        "merchandising lead",
        "price, proof, stock on the page",
    ),
    (
        "buy",
        "checkout",
        "checkout",
        1,
        "costs that appear late",
        "product lead",
        "show delivery cost in the basket",
    ),
    (
        "buy",
        "checkout",
        "purchase",
        1,
        "the checkout fails or asks too much",
        "product lead",
        "mend and shorten it",
    ),
    (
        "buy",
        "payment",
        "unpaid_share",
        -1,
        "payment refused or forgotten",
        "product lead",
        "offer another way to pay",
    ),
    (
        "receive",
        "parcel",
        "late_share",
        -1,
        "later than promised",
        "logistics lead",
        "promise what is kept",
    ),
    (
        "receive",
        "review",
        "stars",
        1,
        "late or not as shown",
        "logistics lead",
        "warn before it is late",
    ),
    (
        "return",
        "return",
        "return_share",
        -1,
        "not as described",
        "category head",
        "show what it is",
    ),
    (
        "ask",
        "ticket",
        "first_reply_hours",
        -1,
        "waiting for an answer",
        "service lead",
        "staff the peaks",
    ),
    (
        "ask",
        "ticket",
        "reopened_share",
        -1,
        "answered but not solved",
        "service lead",
        "let the first one solve it",
    ),
    (
        "come back",
        "next order",
        "next_order_share",
        1,
        "no reason to return",
        "customer lead",
        "segments and picks",
    ),
)


def journey_map(
    *,
    funnel: pd.DataFrame | None = None,
    parcels: pd.DataFrame | None = None,
    late: pd.DataFrame | None = None,
    back: pd.DataFrame | None = None,
    desk: pd.DataFrame | None = None,
    unpaid: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per stage and measure: stage, touchpoint, metric, amount, usual, gap, n,
    pain, owner_role, fix.

    From the frames of `funnel`, `delivery`, `late_months`, `returns`, `service` and
    `payments`; what is not given stays in the map with amount missing. `usual` is the
    shop's own three periods before (of returns: the matured ones), `gap` is amount less
    usual, signed so that a positive gap is good.
    """
    found: dict[str, tuple[float, float, float]] = {}
    if funnel is not None:
        whole = funnel[
            (funnel[["device", "channel", "visitor"]] == "all").all(axis=1)
        ].drop_duplicates("step")
        found |= {r.step: (r.step_share, r.usual_share, r.n_previous) for r in whole.itertuples()}
    if unpaid is not None:
        found["unpaid_share"] = _latest(unpaid[unpaid["device"] == "all"], "unpaid", "orders")
    if late is not None:
        found["late_share"] = _latest(late, "late", "due")
    if back is not None:
        months = back[
            (back["view"] == "month") & (back["basis"] == "order") & (back["status"] == "complete")
        ]
        if len(months):
            found["return_share"] = (
                *_latest(months, "returned", "sold")[:2],
                float(months["n_lines"].tail(1).sum()),
            )
    if parcels is not None:
        seen, ripe = parcels[parcels["n_reviews"] > 0], parcels[parcels["n_ripe"] > 0]
        found["stars"] = (
            _weighted(seen["stars"], seen["n_reviews"]),
            np.nan,
            float(seen["n_reviews"].sum()),
        )
        found["next_order_share"] = (
            _weighted(ripe["next_order_share"], ripe["n_ripe"]),
            np.nan,
            float(ripe["n_ripe"].sum()),
        )
    if desk is not None and (desk["topic"] == "all").any():
        whole = desk.set_index("topic").loc["all"]
        found |= {
            m: (whole[m], np.nan, whole["tickets"]) for m in ("first_reply_hours", "reopened_share")
        }
    table = pd.DataFrame(
        MAP, columns=["stage", "touchpoint", "metric", "sign", "pain", "owner_role", "fix"]
    )
    facts = [found.get(metric, (np.nan, np.nan, np.nan)) for metric in table["metric"]]
    table[["amount", "usual", "n"]] = pd.DataFrame(facts, index=table.index).astype(float)
    table["gap"] = (table["amount"] - table["usual"]) * table.pop("sign")
    return table[
        [
            "stage",
            "touchpoint",
            "metric",
            "amount",
            "usual",
            "gap",
            "n",
            "pain",
            "owner_role",
            "fix",
        ]
    ]


def _latest(months: pd.DataFrame, top: str, bottom: str) -> tuple[float, float, float]:
    """Share of the last month, of the three before it, and the last month's bottom."""
    months = months.sort_values("month" if "month" in months else "key")
    last, before = months.tail(1), months.iloc[-4:-1]
    share = [
        part[top].sum() / part[bottom].sum() if part[bottom].sum() > 0 else np.nan
        for part in (last, before)
    ]
    return float(share[0]), float(share[1]), float(last[bottom].sum())


def _weighted(amounts: pd.Series, n: pd.Series) -> float:
    return float((amounts * n).sum() / n.sum()) if n.sum() > 0 else np.nan
