"""08 Customer journey: sample ratio first, users and sessions, visitors per arm, what a
late day costs, the leak.
"""

from __future__ import annotations

import functools
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.chapters.customer_journey.journey import funnel
from playbook.chapters.customer_journey.parcels import late_slope
from playbook.chapters.customer_journey.visits import event_steps, traffic_steps
from playbook.methods.experiment import sample_ratio_p, sample_size
from playbook.training.compare import same
from playbook.training.exercise import Answers, NotApplicable, Pattern, bound

LIFT = 0.10  # smallest relative lift worth finding
FALLS = {"leak": 0.80, "small": 0.60, "other": 0.97}  # made up: what is left of the usual share


def three_tests(shop: Any) -> pd.DataFrame:
    """Made up for the exercise, one row per finished test: planned share of the treated
    arm, visitors dealt to each arm, relative lift of conversion with its 95 % interval.
    """
    rows = [
        ("free returns", 0.5, 10_000, 9_300, 0.09, 0.05, 0.13),
        ("short form", 0.2, 16_080, 3_920, 0.015, -0.03, 0.06),
        ("new search", 0.2, 10_020, 9_980, 0.04, 0.01, 0.07),
    ]
    return pd.DataFrame(
        rows, columns=["test", "planned_treated", "n_control", "n_treated", "lift", "low", "high"]
    )


def readable_test(shop: Any) -> str:
    table = three_tests(shop)
    dealt = zip(table.n_control, table.n_treated, table.planned_treated, strict=True)
    p = np.array(
        [
            sample_ratio_p([control, treated], [1 - share, share])
            for control, treated, share in dealt
        ]
    )
    return "abc"[int(np.flatnonzero(p >= 0.001)[0])]


@functools.cache
def month_of_visits(shop: Any) -> pd.DataFrame:
    """One row per session that began in the report month: visitor_id, session_id,
    day_on, bought.
    """
    events = shop.events.filter(_.occurred_at.date() <= ibis.literal(shop.as_of))
    visits = events.group_by("visitor_id", "session_id").aggregate(
        at=_.occurred_at.min(), bought=(_.name == "purchase").any()
    )
    visits = visits.filter(_.at.strftime("%Y-%m") == shop.month)
    table = shop.con.execute(visits.order_by("at", "session_id"))
    if table.session_id.isna().any():
        raise NotApplicable("This log does not name its sessions.")
    if not table.bought.any():
        raise NotApplicable("No purchase is in the log of this month.")
    return table.assign(day_on=table["at"].dt.date)[
        ["visitor_id", "session_id", "day_on", "bought"]
    ]


def two_conversions(shop: Any) -> dict[str, float]:
    visits = month_of_visits(shop)
    by_user = visits.groupby("visitor_id").bought.max()
    return {"session": visits.bought.mean(), "user": by_user.mean()}


def _daily_visitors(shop: Any) -> float:
    """Buyers of each day over visitors of each day, the days added up."""
    return float(month_of_visits(shop).groupby(["visitor_id", "day_on"]).bought.max().mean())


@functools.cache
def _funnel(shop: Any) -> pd.DataFrame:
    """The chapter's funnel, from whatever counts the shop's visits."""
    for name, read in (("traffic", traffic_steps), ("events", event_steps)):
        if shop.has(name):
            return funnel(read(shop.table(name), as_of=shop.as_of).daily, as_of=shop.as_of)
    raise NotApplicable("Nothing counts the visits of this shop.")


@functools.cache
def whole_funnel(shop: Any) -> pd.DataFrame:
    """The shop's funnel of the report month, all sessions together: step, n_sessions,
    reached, share.
    """
    table = _funnel(shop)
    whole = table[(table[["device", "channel", "visitor"]] == "all").all(axis=1)]
    table = whole[["step", "n_sessions", "reached", "share"]].reset_index(drop=True)
    if not (table[table.step == "purchase"].reached > 0).any():
        raise NotApplicable("Nobody bought in a counted session.")
    return table


def _share(shop: Any) -> float:
    return float(whole_funnel(shop).set_index("step").share["purchase"])


def visitors_per_arm(shop: Any) -> float:
    share = whole_funnel(shop).set_index("step").share["purchase"]
    return sample_size(share, 0.10).n_per_arm.iloc[0]


def _absolute(shop: Any) -> float:
    return float(sample_size(_share(shop), LIFT / _share(shop)).n_per_arm.iloc[0])


@functools.cache
def parcels(shop: Any) -> pd.DataFrame:
    """One row per delivered order with a promised day: order_id, late_days (0 when on
    time), stars (missing where there is no review).
    """
    for column in ("promised_at", "delivered_at"):
        if not shop.has(f"orders.{column}"):
            raise NotApplicable(
                "The shop does not record when a parcel was promised and when it came."
            )
    orders = shop.orders.filter(_.delivered_at.notnull() & _.promised_at.notnull())
    orders = orders.filter(_.delivered_at.date() <= ibis.literal(shop.as_of))
    late = ibis.greatest(orders.delivered_at.date().delta(orders.promised_at.date(), unit="day"), 0)
    stars = shop.reviews.filter(_.order_id.notnull()).select(
        "order_id", stars=_.stars.cast("float64")
    )
    rows = (
        orders.select("order_id", late_days=late)
        .left_join(stars, "order_id")
        .drop("order_id_right")
    )
    return shop.con.execute(rows.order_by("order_id", "stars"))


def stars_per_late_day(shop: Any) -> float:
    found = late_slope(shop.orders, shop.reviews, as_of=shop.as_of)
    return found.stars_per_day.iloc[0]


def _slope(table: pd.DataFrame) -> float:
    """Least squares of stars on days late."""
    if table.late_days.nunique() < 2:
        raise NotApplicable("No reviewed parcel was late.")
    return float(np.polyfit(table.late_days, table.stars, 1)[0])


def _average_of_averages(shop: Any) -> float:
    return _slope(
        parcels(shop).dropna(subset="stars").groupby("late_days", as_index=False).stars.mean()
    )


@functools.cache
def leak_table(shop: Any) -> pd.DataFrame:
    """Steps by segment: where, n_previous (sessions at the step before), usual_share
    (of them, this shop's own last months), step_share (this month; made up for the
    exercise), onward_share (of those who pass, how many buy).
    """
    table = _funnel(shop)
    split = next((name for name in ("device", "channel") if table[name].nunique() > 1), None)
    if split is None:
        raise NotApplicable("The visits are not split by device or channel.")
    others = [name for name in ("device", "channel", "visitor") if name != split]
    table = table[(table[split] != "all") & (table[others] == "all").all(axis=1)]
    buys = (
        table[table.step == "purchase"]
        .set_index(split)
        .reached.reindex(table[split])
        .to_numpy(float)
    )
    table = table.assign(onward_share=buys / table.reached, where=table.step + ", " + table[split])
    table = table.dropna(subset=["usual_share", "onward_share"])
    table = table[table.usual_share.between(0.01, 0.99) & (table.onward_share > 0)].reset_index(
        drop=True
    )
    worth = table.n_previous * table.usual_share * table.onward_share
    late, crowd = (
        worth[table.step.isin(["checkout", "purchase"])],
        table.groupby(split).n_previous.max(),
    )
    if late.empty or len(crowd) < 2:
        raise NotApplicable("Too few segments have a usual share.")
    leak, small = late.idxmax(), table.usual_share[table[split] == crowd.idxmin()].idxmax()
    if (
        leak == small
        or (1 - FALLS["small"]) * worth[small] > 0.8 * (1 - FALLS["leak"]) * worth[leak]
    ):
        raise NotApplicable("The segments of this month are too much alike.")
    left = pd.Series(FALLS["other"], index=table.index)
    left[leak], left[small] = FALLS["leak"], FALLS["small"]
    table = table.assign(
        step_share=(left * table.usual_share).round(4),
        usual_share=table.usual_share.round(4),
        onward_share=table.onward_share.round(4),
    )
    return table[["where", "n_previous", "usual_share", "step_share", "onward_share"]]


def biggest_leak(shop: Any) -> str:
    table = leak_table(shop)
    lost = table.n_previous * (table.usual_share - table.step_share) * table.onward_share
    return table["where"][lost.idxmax()]


EXERCISES = bound(
    "customer_journey",
    {
        "08.1": Answers(readable_test, given=three_tests),
        "08.2": Answers(
            two_conversions,
            slips={
                "swapped": lambda shop: {
                    "session": two_conversions(shop)["user"],
                    "user": two_conversions(shop)["session"],
                },
                "adds daily visitors": lambda shop: (
                    two_conversions(shop) | {"user": _daily_visitors(shop)}
                ),
                "buyers over sessions": lambda shop: (
                    two_conversions(shop)
                    | {
                        "user": float(
                            month_of_visits(shop).query("bought").visitor_id.nunique()
                            / len(month_of_visits(shop))
                        )
                    }
                ),
            },
            given=month_of_visits,
        ),
        "08.3": Answers(
            visitors_per_arm,
            slips={
                "relative as absolute": Pattern(
                    _absolute,
                    lambda shop, answer: (
                        same(_absolute(shop), answer) or same(2 * _absolute(shop), answer)
                    ),
                ),
                "total for arm": lambda shop: float(
                    sample_size(_share(shop), LIFT).n_total.iloc[0]
                ),
                "twice the size for half the lift": lambda shop: (
                    2 * float(sample_size(_share(shop), 2 * LIFT).n_per_arm.iloc[0])
                ),
            },
            given=whole_funnel,
        ),
        "08.4": Answers(
            stars_per_late_day,
            slips={
                "unreviewed orders included": lambda shop: _slope(
                    parcels(shop).fillna({"stars": 0.0})
                ),
                "average of averages": _average_of_averages,
            },
            given=parcels,
        ),
        "08.5": Answers(
            biggest_leak,
            slips={
                "lowest rate": lambda shop: leak_table(shop)["where"][
                    leak_table(shop).step_share.idxmin()
                ],
                "segment too small": lambda shop: leak_table(shop)["where"][
                    (leak_table(shop).step_share / leak_table(shop).usual_share).idxmin()
                ],
            },
            given=leak_table,
        ),
    },
)
