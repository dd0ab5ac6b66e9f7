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
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

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


EXERCISES = (
    Exercise(
        "08.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Which test may be read?"),
        prompt=Said(
            '`given("08.1")` shows three finished tests (made up). Of which one may you read the lift?'
        ),
        solve=readable_test,
        given=three_tests,
        choices={
            "a": Said("free returns"),
            "b": Said("short form"),
            "c": Said("new search"),
            "d": Said("all three"),
        },
        slips=(
            Slip(
                "reads the lift first",
                lambda shop: "a",
                Said(
                    "You read the lift first, and it is the nicest one. Half of the visitors were to be treated and "
                    "hundreds are missing: whoever vanished did not vanish by chance, so the arms are not alike."
                ),
            ),
            Slip(
                "equal arms assumed",
                lambda shop: "c",
                Said(
                    "Its arms are equal, but they were planned four to one. An equal split is as wrong here as a "
                    "lopsided one would be in a test planned half and half."
                ),
            ),
            Slip(
                "no check at all",
                lambda shop: "d",
                Said(
                    "Every one has an interval, and an interval knows nothing of how visitors were dealt. Check the "
                    "split against the plan before you look at any lift."
                ),
            ),
        ),
        hints=(
            Said("Which split was planned, and which one came out?"),
            Said("Expected in the treated arm: planned share × all visitors of the test."),
        ),
        reveal=Said(
            "Sample ratio first, then duration and size, and only then the lift. The test that may be read "
            "shows no difference: its verdict is stop. The other two have no verdict on the change at all; "
            "find out why the split went wrong and run them again."
        ),
        terms=("A/B test", "sample ratio"),
    ),
    Exercise(
        "08.2",
        level="L2",
        kind="fill",
        part="definitions",
        title=Said("Per session, per user"),
        prompt=Said(
            '`given("08.2")` has one row per session of the month. Give the share of sessions with a '
            'purchase and the share of *users* who bought in the month, as `{"session": ..., "user": '
            "...}`."
        ),
        solve=two_conversions,
        given=month_of_visits,
        slips=(
            Slip(
                "swapped",
                lambda shop: {
                    "session": two_conversions(shop)["user"],
                    "user": two_conversions(shop)["session"],
                },
                Said(
                    "The two are exchanged. Of the first, sessions stand below the line, however often the same "
                    "person came; of the second, visitor ids, each of them once."
                ),
            ),
            Slip(
                "adds daily visitors",
                lambda shop: two_conversions(shop) | {"user": _daily_visitors(shop)},
                Said(
                    "A user who came on five days is counted five times. Visitors of single days do not add up to "
                    "the visitors of a month: count each id once."
                ),
            ),
            Slip(
                "buyers over sessions",
                lambda shop: (
                    two_conversions(shop)
                    | {
                        "user": float(
                            month_of_visits(shop).query("bought").visitor_id.nunique()
                            / len(month_of_visits(shop))
                        )
                    }
                ),
                Said("Users above the line, sessions below it. Both have to count the same thing."),
            ),
        ),
        hints=(
            Said("Per session: `visits.bought.mean()`."),
            Said(
                "Per user: first one row per `visitor_id`, with whether any of the sessions bought."
            ),
            Said('`visits.groupby("visitor_id").bought.max().mean()`'),
        ),
        reveal=Said(
            "Both are right, of different questions. A published benchmark that does not say which one it "
            "means cannot be compared with."
        ),
        terms=("conversion", "denominator"),
    ),
    Exercise(
        "08.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("Visitors per arm"),
        prompt=Said(
            "The cell above sizes a test that finds a lift of 20 %. Change it to a relative lift of 10 % of "
            "the shop's own conversion per session: how many visitors does *each arm* need?"
        ),
        solve=visitors_per_arm,
        given=whole_funnel,
        slips=(
            Slip(
                "relative as absolute",
                _absolute,
                Said(
                    "That finds a rise by ten *points*, many times the present conversion. Ten per cent of the "
                    "conversion is a far smaller step."
                ),
                lambda shop, answer: (
                    same(_absolute(shop), answer) or same(2 * _absolute(shop), answer)
                ),
            ),
            Slip(
                "total for arm",
                lambda shop: float(sample_size(_share(shop), LIFT).n_total.iloc[0]),
                Said("That is the total of both arms. The question asks for one of them."),
            ),
            Slip(
                "twice the size for half the lift",
                lambda shop: 2 * float(sample_size(_share(shop), 2 * LIFT).n_per_arm.iloc[0]),
                Said(
                    "Half the lift does not take twice the visitors but about four times: the size goes with one "
                    "over the square of the lift."
                ),
            ),
        ),
        hints=(
            Said("`sample_size(share, 0.10)`: the lift is relative, as a share."),
            Said("Read the column `n_per_arm`."),
        ),
        reveal=Said(
            "Hold it against the sessions of a month: a test that needs a year is not a test. Test something "
            "bolder, or a step nearer to the purchase, where the share is higher."
        ),
        terms=("A/B test", "conversion"),
    ),
    Exercise(
        "08.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("What a late day costs"),
        prompt=Said(
            "The cell above has a fault. Repair it: by how many stars does the rating change with one more day "
            "late (below 0 when it falls)?"
        ),
        solve=stars_per_late_day,
        given=parcels,
        slips=(
            Slip(
                "unreviewed orders included",
                lambda shop: _slope(parcels(shop).fillna({"stars": 0.0})),
                Said(
                    "Orders without a review count as zero stars, on time or not, and drown the rating. No review "
                    "is not a bad review: leave those rows out."
                ),
            ),
            Slip(
                "average of averages",
                _average_of_averages,
                Said(
                    "The mean of each number of days late went in with equal weight, so one review of a parcel nine "
                    "days late weighs as much as all that were on time. One row per review."
                ),
            ),
        ),
        hints=(
            Said("What does `fillna(0)` say about customers who wrote nothing?"),
            Said(
                '`reviewed = rows.dropna(subset="stars")`, then the line through `late_days` and `stars`.'
            ),
            Said("`np.polyfit(reviewed.late_days, reviewed.stars, 1)[0]`"),
        ),
        reveal=Said(
            "A slope is no proof that lateness is the cause: the chapter sets it beside its interval and "
            "beside the next orders of those customers."
        ),
        terms=("delivery speed", "customer satisfaction"),
    ),
    Exercise(
        "08.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("Which leak first?"),
        prompt=Said(
            '`given("08.5")` shows steps by segment; `step_share` is made up, the rest is the shop\'s own. '
            "Every order earns the same here. Which row do you have mended first? Answer with its text in "
            "the column `where`."
        ),
        solve=biggest_leak,
        given=leak_table,
        slips=(
            Slip(
                "lowest rate",
                lambda shop: leak_table(shop)["where"][leak_table(shop).step_share.idxmin()],
                Said(
                    "That step has the lowest rate, and nearly always has: most visitors never meant to buy. A leak "
                    "is what is lost against the usual share."
                ),
            ),
            Slip(
                "segment too small",
                lambda shop: leak_table(shop)["where"][
                    (leak_table(shop).step_share / leak_table(shop).usual_share).idxmin()
                ],
                Said(
                    "It fell most, but hardly anybody is there. Count the orders it costs before you send people to "
                    "mend it."
                ),
            ),
        ),
        hints=(
            Said("Sessions lost at a step: n_previous × (usual_share − step_share)."),
            Said("Not everyone who passes a step buys: times `onward_share`."),
            Said("The row with most lost orders."),
        ),
        reveal=Said(
            "Lost orders rank the leaks, not rates. The chapter asks one more question first: is the fall more "
            "than chance, after all segments and steps were looked at?"
        ),
        terms=("funnel", "conversion barrier"),
    ),
    Exercise(
        "08.6",
        level="L4",
        kind="thought",
        part="communication",
        title=Said("To the product lead"),
        prompt=Said(
            "Write the message about one fix of this month: the step and segment, since when, the orders and "
            "margin lost as a range, who mends it by when, and how you will know that it worked."
        ),
        solve=None,
        hints=(
            Said(
                "The chapter's tables `leaks` and `step_trend` hold what you need; where they are empty, write the "
                "all-clear and what it rests on."
            ),
        ),
        reveal=Said(
            "Step, segment, first and last day; the share now and the usual one with the same denominator; "
            "lost orders and margin as a range; fault or gap said plainly; one owner and a day; judged by the "
            "step's control band, or by a test whose size is stated before it starts."
        ),
        terms=("decision",),
    ),
)
