"""11 Monthly review: signal or noise, contributions that add up, top drivers, immature
figures, ranked decisions.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.channel_roi.channels import channel_headline, channel_months
from playbook.chapters.customer_journey.aftersales import returns
from playbook.chapters.customer_journey.journey import journey_headline
from playbook.chapters.monthly_review.decisions import WEIGHT, ranked_decisions
from playbook.chapters.monthly_review.review import control_limits, drivers, scorecard
from playbook.chapters.start_here.facts import breakdown
from playbook.measures.ad_spend import read_extract
from playbook.measures.metrics import METRICS, monthly_sales, months_back
from playbook.tables import schema
from playbook.training.exercise import Exercise, NotApplicable, Said, Slip

__all__ = ["EXERCISES"]

SALES = ("net_revenue", "orders", "aov", "units_per_order", "new_customers", "sessions")
CARD = (
    "net_revenue",
    "orders",
    "aov",
    "discount_share",
    "refund_share_booked",
    "new_customers",
    "poas",
    "return_share",
)  # whose maturity the dictionary states


@functools.cache
def headline(shop: Any) -> pd.DataFrame:
    """The monthly series that chapters 00, 03 and 08 leave for the review, made from
    the store.
    """
    frames = [monthly_sales(shop)]
    if shop.has("ad_spend"):
        months = channel_months(
            shop.sales_orders,
            spend=read_extract(shop.ad_spend, as_of=shop.as_of),
            refunds=shop.booked_refunds,
            as_of=shop.as_of,
        )
        frames.append(channel_headline(months))
    if shop.has("refunds"):
        back = returns(shop.sales_lines, shop.booked_refunds, as_of=shop.as_of, months=22)
        frames.append(journey_headline(back=back))
    return pd.concat(frames, ignore_index=True).assign(notebook="")


@functools.cache
def moved_most(shop: Any) -> pd.DataFrame:
    """The sales figure that moved most against last month: metric, actual, last_month,
    change_share, mean_of_months_before, last_year, lower, upper.
    """
    card = scorecard(headline(shop), month=shop.month)
    card = card[card.metric.isin(SALES) & (card.status == "complete")].dropna(
        subset=["last_month", "lower", "upper"]
    )
    if card.empty:
        raise NotApplicable("No sales figure has eight complete months and a last month behind it.")
    past = headline(shop)
    past = (
        past[(past.month < shop.month) & (past.status == "complete")]
        .groupby("metric")
        .amount.mean()
    )
    card = card.assign(
        change_share=card.actual / card.last_month - 1, mean_of_months_before=card.metric.map(past)
    )
    card = card.sort_values("change_share", key=lambda s: -s.abs(), kind="stable")
    return (
        card[
            [
                "metric",
                "actual",
                "last_month",
                "change_share",
                "mean_of_months_before",
                "last_year",
                "lower",
                "upper",
            ]
        ]
        .head(1)
        .reset_index(drop=True)
    )


def signal_or_noise(shop: Any) -> str:
    metric = moved_most(shop).metric.iloc[0]
    limits = control_limits(headline(shop), month=shop.month).set_index("metric").loc[metric]
    actual = moved_most(shop).actual.iloc[0]
    return "b" if limits.lower <= actual <= limits.upper else "c"


@functools.cache
def driver_table(shop: Any) -> pd.DataFrame:
    """The drivers of net revenue, last month and this: driver, before, after; their
    product is net revenue.
    """
    found = drivers(headline(shop), month=shop.month)
    if found.empty or np.isclose(found.before.prod(), found.after.prod(), rtol=1e-6):
        raise NotApplicable(
            "Net revenue did not move against last month, or a driver was not observed."
        )
    if (found[["before", "after"]] <= 0).any(axis=None):
        raise NotApplicable(
            "A driver is zero or negative, so logarithms cannot share the change out."
        )
    return found[["driver", "before", "after"]]


def contributions(shop: Any) -> dict[str, float]:
    found = drivers(headline(shop), month=shop.month)
    return dict(zip(found.driver, found.contribution, strict=True))


def _one_at_a_time(shop: Any, *, keep: bool) -> dict[str, float]:
    """Each driver changed alone from last month's figures, or (keep) one after the
    other.
    """
    table = driver_table(shop)
    state, found = table.before.to_numpy(), {}
    for place, (driver, after) in enumerate(zip(table.driver, table.after, strict=True)):
        changed = state.copy()
        changed[place] = after
        found[driver] = float(changed.prod() - state.prod())
        state = changed if keep else state
    return found


def _shares(shop: Any) -> dict[str, float]:
    table = driver_table(shop)
    growth = np.log(table.after / table.before)
    return dict(zip(table.driver, growth, strict=True))


@functools.cache
def segment_table(shop: Any) -> pd.DataFrame:
    """Sales before returns of this month and the last by channel, category, region or
    customer type, whichever tells most apart who moved most money, who moved most in
    percent, and who is largest: dimension, segment, before, after.
    """
    rows = breakdown(shop)
    months = [months_back(shop.month, 2)[0], shop.month]
    found = {}
    for dimension in ("channel", "category", "region", "customer_type"):
        mine = rows[(rows.dimension == dimension) & rows.month.isin(months)]
        wide = (
            mine.pivot(index="segment", columns="month", values="revenue")
            .reindex(columns=months)
            .fillna(0.0)
        )
        wide = wide[wide[months[0]] > 0]
        if len(wide) > 1 and wide[months[1]].sum() > 0:
            wide = wide.set_axis(["before", "after"], axis=1).reset_index()
            found[dimension] = wide.assign(dimension=dimension)[
                ["dimension", "segment", "before", "after"]
            ]
    if not found:
        raise NotApplicable("No dimension has two segments with sales last month.")
    return max(found.values(), key=_told_apart)  # the first of those that tell most


def _told_apart(table: pd.DataFrame) -> int:
    """How many segments the three ways of looking name: by money moved, by percent, by
    size.
    """
    return len(
        {
            _largest(table, percent=True),
            _largest(table, percent=False),
            table.segment[table.after.idxmax()],
        }
    )


def _largest(table: pd.DataFrame, *, percent: bool) -> str:
    moved = (table.after - table.before).abs()
    return table.segment[(moved / table.before if percent else moved).idxmax()]


def top_driver(shop: Any) -> str:
    table = segment_table(shop)
    contribution = table.after - table.before
    return table.segment[contribution.abs().idxmax()]


@functools.cache
def arrows(shop: Any) -> pd.DataFrame:
    """The card as a dashboard shows it on the last evening of the month: metric, name,
    formula, settles (days after the month's end until the figure stands, as the metric
    dictionary has it), actual, last_month, arrow.
    """
    series = headline(shop)
    card = scorecard(series, month=shop.month).set_index("metric")
    card = card.loc[[m for m in CARD if m in card.index]].reset_index()
    last = series[series.month == months_back(shop.month, 2)[0]].set_index("metric").amount
    card["last_month"] = card.metric.map(last)
    card = card.dropna(subset=["actual", "last_month"])
    if card.empty or (card.status == "complete").all():
        raise NotApplicable("Every figure of this card stands at the end of the month.")
    is_up = card.actual > card.last_month
    better = is_up == ~card.metric.map(lambda m: METRICS[m].direction == "↓").astype(bool)
    card["arrow"] = np.where(
        card.metric.map(lambda m: METRICS[m].direction == "↔"),
        np.where(is_up, "up", "down"),
        np.where(better, "better", "worse"),
    )
    card["formula"] = card.metric.map(lambda m: METRICS[m].formula)
    card["settles"] = card.metric.map(lambda m: METRICS[m].maturity)
    return card[
        ["metric", "name", "formula", "settles", "actual", "last_month", "arrow"]
    ].reset_index(drop=True)


def still_filling(shop: Any) -> set[str]:
    card = scorecard(headline(shop), month=shop.month)
    card = card[card.metric.isin(arrows(shop).metric)]
    return set(card.metric[card.status != "complete"])


def _acts_on_some(shop: Any, answer: Any) -> bool:
    """Some of the immature ones are left out, none that stands is in."""
    named = {answer} if isinstance(answer, str) else {str(one).strip().casefold() for one in answer}
    return named < still_filling(shop)


#: decision, effect and cost in hundredths of the month's margin
PROPOSALS = (
    ("raise the search budget", 6.0, "month", 0.0, "low"),
    ("mend the payment step", 3.0, "month", 0.5, "high"),
    ("free returns for members", 5.0, "month", 3.5, "high"),
    ("delist the tail", 12.0, "year", 0.0, "high"),
    ("repeat the promotion", 4.5, "month", 1.2, "medium"),
)


@functools.cache
def proposals(shop: Any) -> pd.DataFrame:
    """Five proposals made up from the shop's own margin of the month: decision, effect
    (margin), unit (per month or year), cost (a month), confidence.
    """
    series = headline(shop)
    margin = series[(series.metric == "cm") & (series.month == shop.month)].amount.abs()
    if margin.empty or not margin.iloc[0] > 0:
        raise NotApplicable("This shop knows no margin for the month.")
    table = pd.DataFrame(PROPOSALS, columns=["decision", "effect", "unit", "cost", "confidence"])
    scale = margin.iloc[0] / 100
    return table.assign(
        effect=(table.effect * scale).round(2),
        cost=(table.cost * scale).round(2),
        unit=f"{shop.currency} margin a " + table.unit,
    )


def ranking(shop: Any) -> list[str]:
    table = proposals(shop)
    rows = table.assign(
        expected_effect=table.effect - table.cost,
        effect_kind="margin",
        effect_period=[period for _, _, period, _, _ in PROPOSALS],
        decision_id=table.decision,
        status="proposed",
        due_on="",
    )
    rows = rows.reindex(columns=schema("monthly_review.decisions").names)
    return list(ranked_decisions(rows).decision_id)


def _ranking(
    shop: Any, *, cost: bool = True, confidence: bool = True, year: bool = True
) -> list[str]:
    table = proposals(shop)
    worth = (
        table.effect / np.where(table.unit.str.endswith("year") & year, 12, 1) - table.cost * cost
    )
    worth = worth * (table.confidence.map(WEIGHT) if confidence else 1)
    return list(table.decision[worth.sort_values(ascending=False, kind="stable").index])


EXERCISES = (
    Exercise(
        "11.1",
        level="L1",
        kind="predict",
        part="definitions",
        title=Said("Signal or noise?"),
        prompt=Said(
            "Guess first, then run the cell above. It shows the sales figure that moved most against last "
            "month; `lower` and `upper` are the limits its own past sets for this month. Is its change a "
            "signal?"
        ),
        solve=signal_or_noise,
        given=moved_most,
        choices={
            "a": Said("yes: it moved a lot against last month"),
            "b": Said("no: it lies inside the limits, no story is asked for"),
            "c": Said("yes: it lies outside the limits, now ask why"),
            "d": Said("yes: it lies far from the mean of the months before"),
        },
        slips=(
            Slip(
                "last month only",
                lambda shop: "a",
                Said(
                    "One month beside another always moves. Ask how far this figure usually moves: that is what "
                    "lower and upper say."
                ),
            ),
            Slip(
                "seasonal month",
                lambda shop: "d",
                Said(
                    "A December lies far from the mean every year and surprises nobody. Where the log is long enough "
                    "the limits run on the ratio to the same month a year earlier; look at them, and at last_year."
                ),
            ),
            Slip(
                "limits misread",
                lambda shop: "c" if signal_or_noise(shop) == "b" else "b",
                Said(
                    "Right place to look, wrong way round: is the figure between lower and upper?"
                ),
            ),
        ),
        hints=(
            Said("Two columns hold what this figure's own past allows for this month."),
            Said("Is `actual` between `lower` and `upper`?"),
        ),
        reveal=Said(
            "Something always moves most. Inside its limits a figure asks for no story; outside, look for the "
            "cause before you look for words."
        ),
        terms=("control limits", "anomaly"),
    ),
    Exercise(
        "11.2",
        level="L2",
        kind="fill",
        part="computation",
        title=Said("Contributions that add up"),
        prompt=Said(
            '`given("11.2")` holds the drivers of net revenue, last month and this; their product is net '
            "revenue. Share its change out so that the contributions add up to it without a rest, whatever the "
            "order of the drivers: L × ln(after / before), with L the logarithmic mean of the two revenues. "
            "Answer as a dict, driver to contribution."
        ),
        solve=contributions,
        given=driver_table,
        slips=(
            Slip(
                "one at a time",
                lambda shop: _one_at_a_time(shop, keep=False),
                Said(
                    "Each driver was changed alone. Add the parts up: they miss the change, because what drivers do "
                    "together belongs to none of them. The logarithmic mean leaves no rest."
                ),
            ),
            Slip(
                "one after the other",
                lambda shop: _one_at_a_time(shop, keep=True),
                Said(
                    "That adds up, but the parts depend on which driver you changed first. Another order, other "
                    "contributions, same month."
                ),
            ),
            Slip(
                "not scaled",
                _shares,
                Said(
                    "Those are the logarithms alone. Multiply each by L, the change of revenue over the sum of the "
                    "logarithms, and they are money."
                ),
            ),
        ),
        hints=(
            Said("`before, after = table.before.prod(), table.after.prod()` are the two revenues."),
            Said("`L = (after - before) / np.log(after / before)`, with `import numpy as np`."),
            Said("`dict(zip(table.driver, L * np.log(table.after / table.before)))`"),
        ),
        reveal=Said("Check it in the meeting: the bars must end where the month ends."),
        terms=("decomposition", "net revenue"),
    ),
    Exercise(
        "11.3",
        level="L2",
        kind="tweak",
        part="computation",
        title=Said("The top driver"),
        prompt=Said(
            "The cell above ranks segments by percentage change. Change it so that it ranks them by what they "
            "contributed to the change of all sales, up or down. Which segment comes first? Answer with its "
            "name."
        ),
        solve=top_driver,
        given=segment_table,
        slips=(
            Slip(
                "largest percentage change",
                lambda shop: _largest(segment_table(shop), percent=True),
                Said(
                    "It changed most in percent, from a small base. The shop's sales moved by money: take after less "
                    "before."
                ),
            ),
            Slip(
                "largest segment",
                lambda shop: segment_table(shop).set_index("segment").after.idxmax(),
                Said(
                    "That is the largest segment. Large and steady moves nothing: take after less before."
                ),
            ),
        ),
        hints=(
            Said("A contribution to the change of sales is an amount of money."),
            Said('`table["moved"] = table.after - table.before`, and sort by its size: `.abs()`.'),
        ),
        reveal=Said("A percentage without its base is a headline, not a driver."),
        terms=("multi-dimensional analysis", "decomposition"),
    ),
    Exercise(
        "11.4",
        level="L3",
        kind="hunt",
        part="interpretation",
        title=Said("Arrows that come too early"),
        prompt=Said(
            '`given("11.4")` is a dashboard on the last evening of the month. It draws an arrow for every '
            "figure against last month's. `settles` says how many days after the month's end a figure stands "
            "(`win` is the advertising platform's own window). Which metrics are still filling, so that nobody "
            "may act on their arrow yet? Answer as a set of metric ids."
        ),
        solve=still_filling,
        given=arrows,
        slips=(
            Slip(
                "booked for ordered",
                lambda shop: still_filling(shop) | {"refund_share_booked"},
                Said(
                    "Refunds *booked* in the month are all there on its last evening: it is cash, it only belongs to "
                    "earlier orders. What is still to come belongs to the returns of this month's orders."
                ),
            ),
            Slip(
                "acts on it",
                lambda shop: set(sorted(still_filling(shop))[:-1]),
                Said(
                    "One figure you left out is still filling too, and you would act on its arrow. Compare the "
                    "month's end with what `settles` asks for, row by row."
                ),
                matches=_acts_on_some,
            ),
            Slip(
                "bad news only",
                lambda shop: set(arrows(shop).metric[arrows(shop).arrow == "worse"]),
                Said(
                    "Those are the bad arrows. Whether a figure is ripe has nothing to do with its direction; "
                    "a fresh return share even looks good, because the parcels are not back yet."
                ),
            ),
            Slip(
                "everything",
                lambda shop: set(arrows(shop).metric),
                Said(
                    "Orders and revenue of the month are complete on its last evening. If nothing may be read, "
                    "nobody reads."
                ),
            ),
        ),
        hints=(
            Said("The month ended today: which figures need more than 0 days?"),
            Said("The column `settles`: 0 stands at once, anything else waits."),
        ),
        reveal=Said(
            "Compare an immature figure only with the same figure at the same age; the chapter leaves it out "
            "of the comparison."
        ),
        terms=("immature cell", "return / refund"),
    ),
    Exercise(
        "11.5",
        level="L4",
        kind="decide",
        part="decision",
        title=Said("Rank the decisions"),
        prompt=Said(
            '`given("11.5")` holds five proposals. Rank them by expected margin a month after their cost, '
            "times confidence (high 1, medium 0.6, low 0.3). Answer as a list of the decisions, best first."
        ),
        solve=ranking,
        given=proposals,
        slips=(
            Slip(
                "unweighted by confidence",
                lambda shop: _ranking(shop, confidence=False),
                Said(
                    "A large effect that nobody is sure of stands too high. Multiply by confidence."
                ),
            ),
            Slip(
                "ignores cost",
                lambda shop: _ranking(shop, cost=False),
                Said("The cost is not taken off. What is spent to get the effect is not earned."),
            ),
            Slip(
                "a year for a month",
                lambda shop: _ranking(shop, year=False),
                Said(
                    "One effect is a year's. Divide it by twelve before it stands beside the others."
                ),
            ),
            Slip(
                "effect alone",
                lambda shop: _ranking(shop, cost=False, confidence=False, year=False),
                Said(
                    "Sorted by the column as it stands: mixed periods, cost and confidence left out."
                ),
            ),
        ),
        hints=(
            Said("Bring every effect to a month."),
            Said(
                '`table.confidence.map({"high": 1, "medium": 0.6, "low": 0.3})` gives the weights.'
            ),
            Said("Worth = (effect a month − cost) × weight; sort it downwards."),
        ),
        reveal=Said(
            "Then give each an owner, a day and a stop rule: a ranked list without them is a wish list."
        ),
        terms=("decision", "monthly review"),
    ),
    Exercise(
        "11.6",
        level="L4",
        kind="thought",
        part="communication",
        title=Said("Three compliance cases"),
        prompt=Said(
            "Three things turn up while you prepare the review. (1) A seller asks you to count forty orders "
            "that went to one address and were refunded outside the platform. (2) The export for an agency "
            "holds names and telephone numbers. (3) A product page says *the best tea in the country, cures "
            "sleeplessness*. For each: what do you do today, whom do you tell, and what do you not do? Answer "
            "in your own words, as a text."
        ),
        solve=None,
        hints=(
            Said(
                "Each case has an owner who is not you. Who answers for orders, for personal data, for claims?"
            ),
            Said("What would make it worse if you did it quietly?"),
        ),
        reveal=Said(
            "(1) Fake orders: out of every figure, kept as evidence, reported to the general manager and the "
            "platform's rules desk; nobody pays for reviews or counts them as sales. Inventing sales or "
            "reviews is unlawful (E-commerce Law, art. 17). (2) Personal data: stop the transfer, delete the "
            "copy, tell whoever answers for personal data the same day, send a hashed or summed table instead; "
            "giving data on needs a purpose and a legal ground (Personal Information Protection Law). (3) The "
            "claim: page off or text out today; superlatives and cures may not be claimed (Advertising Law, "
            "arts. 9 and 17); ask whoever approves claims, look for the same words elsewhere. In all three: no "
            "quiet repair, a dated note, an owner, a day to check. This is training, not legal advice."
        ),
        terms=("compliance", "fake orders", "Personal Information Protection Law"),
    ),
)
