"""The people who buy: what hurts them, what they answer, how they buy, and which kinds
of buyers there are.

A *pain* is counted where it was said: return reasons, ticket topics, one- and two-star
reviews, each over everything it could have been said about. A *persona* is a described
class of buyers, found from what they bought and not from a story: its share of the
customers, its value, and how surely it would be found again. A person known from one
order belongs to several personas in part; nobody is forced into one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _

from playbook.errors import PlaybookError
from playbook.methods.latent_class import class_stability, memberships, number_of_classes
from playbook.methods.proportions import wilson
from playbook.store import expression

__all__ = [
    "PAINS",
    "Personas",
    "bought_together",
    "habits",
    "net_promoter",
    "pains",
    "persona_pains",
    "personas",
    "survey_answers",
    "survey_personas",
    "with_price_band",
]

PAINS = ["source", "category", "pain", "n", "n_base", "share", "low", "high", "base", "status"]
CLEARLY = 10.0  # a BIC lower by this is very strong evidence (Kass & Raftery 1995): less buys no further persona
MIN_ANSWERS = 30  # under this many a share is shown and marked, never decided on


def pains(
    lines: Any,
    *,
    as_of: dt.date | str,
    refunds: Any = None,
    tickets: Any = None,
    reviews: Any = None,
    months: int = 12,
    level: float = 0.95,
) -> pd.DataFrame:
    """What goes wrong, largest share first within each source and category: PAINS
    (share = n / n_base, Wilson).

    `lines`: order_id, line_no, sku, category, ordered_on. Return reasons are over lines
    sold, ticket topics over orders (category `all`: a ticket names an order, not a
    product), low reviews (1 or 2 stars) over reviews of the category. Counts the newest
    `months`; a source that is not there gives no rows. Status `few` under thirty in the
    base.
    """
    as_of = pd.Timestamp(as_of)
    start = (as_of + pd.Timedelta(days=1) - pd.DateOffset(months=months)).date()
    end = ibis.literal(as_of.date())
    t = expression(lines)
    t = t.filter(t.ordered_on.between(ibis.literal(start), end))
    sold = (
        t.group_by("category")
        .aggregate(n_base=_.count(), n_orders=_.order_id.nunique())
        .order_by("category")
    )
    sold = sold.to_pandas()
    of_sku = t.filter(t.sku.notnull()).group_by("sku").aggregate(category=_.category.min())
    parts = []
    if refunds is not None:
        r = expression(refunds)
        r = r.filter(r.refunded_on.between(ibis.literal(start), end))
        by_line = t.select("order_id", "line_no", line_category=t.category)
        r = r.left_join(by_line, ["order_id", "line_no"]).left_join(of_sku, "sku")
        known = r.mutate(
            category=r.line_category.fill_null(r.category), pain=r.reason.fill_null("(no reason)")
        )
        counted = (
            known.filter(known.category.notnull())
            .group_by("category", "pain")
            .aggregate(n=_.refund_id.nunique())
            .order_by("category", "pain")
            .to_pandas()
        )
        parts.append(
            counted.merge(sold[["category", "n_base"]], on="category").assign(
                source="return reason", base="lines sold"
            )
        )
    if tickets is not None:
        k = expression(tickets)
        k = k.filter(k.opened_at.cast("date").between(ibis.literal(start), end))
        counted = (
            k.group_by(pain=k.topic.fill_null("(no topic)"))
            .aggregate(n=_.count())
            .order_by("pain")
            .to_pandas()
        )
        n_orders = int(t.order_id.nunique().to_pandas())
        parts.append(
            counted.assign(source="ticket topic", category="all", n_base=n_orders, base="orders")
        )
    if reviews is not None:
        v = expression(reviews)
        v = v.filter(v.created_at.cast("date").between(ibis.literal(start), end))
        if "sku" in v.columns:
            v = v.left_join(of_sku, "sku").mutate(category=_.category.fill_null("all"))
        else:
            v = v.mutate(category=ibis.literal("all"))
        counted = v.group_by("category").aggregate(n=(v.stars <= 2).sum(), n_base=v.count())
        parts.append(
            counted.order_by("category")
            .to_pandas()
            .assign(source="review", pain="1 or 2 stars", base="reviews")
        )
    out = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PAINS)
    out = out.reindex(columns=PAINS)
    n, base = (
        out["n"].to_numpy(float),
        np.maximum(out["n_base"].to_numpy(float), out["n"].to_numpy(float)),
    )
    out["share"] = np.divide(n, base, out=np.full(len(n), np.nan), where=base > 0)
    out["low"], out["high"] = wilson(n, base, level)
    out["status"] = np.where(base < MIN_ANSWERS, "few", "complete")
    return out.sort_values(
        ["source", "category", "share", "pain"],
        ascending=[True, True, False, True],
        ignore_index=True,
    )


def persona_pains(profile: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """The pain each persona meets most, for what it buys: persona, pain, source,
    expected_share.

    expected_share sums a pain's share over categories by the persona's share of lines
    in them. Return reasons say what hurt and come before low stars, which only say that
    something did. Pains on fewer than thirty cases are left out.
    """
    enough = found[(found["status"] == "complete") & (found["n"] > 0)]
    reasons = enough[enough["source"] == "return reason"]
    enough = reasons if len(reasons) else enough
    t = profile.merge(enough, left_on="level", right_on="category", suffixes=("", "_pain"))
    t["expected_share"] = t["share"] * t["share_pain"]
    out = t.groupby(["persona", "pain", "source"], as_index=False)["expected_share"].sum()
    out = out.sort_values(["persona", "expected_share", "pain"], ascending=[True, False, True])
    return out.drop_duplicates("persona").reset_index(drop=True)


def survey_answers(
    survey: Any, *, questions: tuple[str, ...] = (), level: float = 0.95
) -> pd.DataFrame:
    """Weighted shares of the answers: question, answer, share, low, high, n,
    n_effective, status.

    One column per question; all but respondent_id, answered_on and weight when
    `questions` is empty. n is how many answered the question, n_effective what
    weighting leaves of it ((sum w)^2 / sum w^2, Kish 1965); Wilson's interval is taken
    on n_effective. Status `few` under thirty answers: a survey of twelve is shown and
    decides nothing. Raises PlaybookError for a question that is not there, no question
    at all, or a weight below zero.
    """
    t = expression(survey).to_pandas()
    asked = [c for c in t.columns if c not in ("respondent_id", "answered_on", "weight")]
    gone = [q for q in questions if q not in asked]
    if gone or not asked:
        raise PlaybookError(
            f"The survey has no question {', '.join(gone) or 'at all'}",
            table="survey",
            do=f"choose from {', '.join(asked)}" if asked else "give one column per question",
        )
    weight = (
        t["weight"].astype(float).fillna(1.0)
        if "weight" in t and t["weight"].notna().any()
        else t.index * 0 + 1.0
    )
    if (np.asarray(weight) < 0).any():
        raise PlaybookError("A respondent's weight is below zero", table="survey", column="weight")
    rows = []
    for question in questions or asked:
        told = pd.DataFrame({"answer": t[question], "w": np.asarray(weight, dtype=float)}).dropna(
            subset=["answer"]
        )
        told["answer"] = told["answer"].map(lambda v: f"{v:g}" if isinstance(v, float) else str(v))
        total, squares = (
            np.sort(told["w"].to_numpy()).sum(),
            np.sort(told["w"].to_numpy() ** 2).sum(),
        )
        n_effective = total**2 / squares if squares > 0 else 0.0
        sums = told.groupby("answer")["w"].agg(lambda w: np.sort(w.to_numpy()).sum())
        share = sums / total if total > 0 else sums * np.nan
        low, high = wilson(share.to_numpy() * n_effective, np.full(len(share), n_effective), level)
        rows.append(
            pd.DataFrame(
                {
                    "question": question,
                    "answer": share.index,
                    "share": share.to_numpy(),
                    "low": low,
                    "high": high,
                    "n": len(told),
                    "n_effective": n_effective,
                    "status": "few" if len(told) < MIN_ANSWERS else "complete",
                }
            )
        )
    out = pd.concat(rows, ignore_index=True)
    return out.sort_values(
        ["question", "share", "answer"], ascending=[True, False, True], ignore_index=True
    )


def net_promoter(survey: Any, *, question: str, level: float = 0.95) -> pd.DataFrame:
    """Net promoter score: one row of nps (points: promoters 9-10 less detractors 0-6),
    low, high, n, status. Weighted as in `survey_answers`; the interval is normal, from
    the variance of a score of 1, 0 or -1.
    """
    from statistics import NormalDist

    told = survey_answers(survey, questions=(question,), level=level)
    answer = told["answer"].astype(float)
    each = np.where(answer >= 9, 1.0, np.where(answer <= 6, -1.0, 0.0))
    score = float((each * told["share"]).sum())
    n = float(told["n_effective"].iloc[0]) if len(told) else 0.0
    spread = max((each**2 * told["share"]).sum() - score**2, 0.0)
    half = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(spread / n) if n else np.nan
    return pd.DataFrame(
        [
            {
                "nps": 100 * score,
                "low": 100 * max(score - half, -1),
                "high": 100 * min(score + half, 1),
                "n": int(told["n"].iloc[0]) if n else 0,
                "status": told["status"].iloc[0] if n else "few",
            }
        ]
    )


def survey_personas(
    survey: Any, *, by: str, pain: str, min_answers: int = MIN_ANSWERS
) -> pd.DataFrame:
    """Kinds of people before the first order: persona, label (answer to `by`),
    customers_share (weighted), pain (their commonest answer to `pain`, "none" left
    out), n, status (`few` under thirty); most first.

    Raises PlaybookError for a question the survey does not have.
    """
    size = survey_answers(survey, questions=(by,))
    t = expression(survey).to_pandas()
    if pain not in t:
        raise PlaybookError(
            f"The survey has no question {pain}", table="survey", do="name one of its questions"
        )
    t = t[~t[pain].astype(str).str.lower().isin(["none", "nan", "no"])]
    rows = []
    for i, r in enumerate(size.itertuples(), start=1):
        said = t[t[by].astype(str) == r.answer]
        found = survey_answers(said, questions=(pain,)) if len(said) else size.head(0)
        rows.append(
            {
                "persona": f"S{i}",
                "label": r.answer,
                "customers_share": r.share,
                "n": len(said),
                "pain": found["answer"].iloc[0] if len(found) else "",
                "status": "few" if len(said) < min_answers else "complete",
            }
        )
    return pd.DataFrame(rows)


def habits(orders: Any, *, level: float = 0.95) -> pd.DataFrame:
    """When and where people buy: dimension (weekday, part of the day, device, channel,
    basket), level, share, low, high, n, n_base.

    `orders`: ordered_at, ordered_on and, where known, device, channel, n_lines. The
    part of the day is that of the stored clock (UTC). Orders without the fact are left
    out of its base; Wilson's interval.
    """
    t = expression(orders)
    hour, weekday = t.ordered_at.hour(), t.ordered_on.day_of_week.index()
    facts = {
        "part of the day": ibis.cases(
            (hour < 6, "00-06"), (hour < 12, "06-12"), (hour < 18, "12-18"), else_="18-24"
        )
    }
    if int(t.ordered_at.cast("time").nunique().to_pandas()) < 2:
        facts = {}  # a log of days has no hours: all orders stand at midnight
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    facts["weekday"] = ibis.cases(
        *((weekday == i, f"{i + 1} {name}") for i, name in enumerate(names))
    )
    facts |= {name: t[name].cast("string") for name in ("device", "channel") if name in t.columns}
    if "n_lines" in t.columns:
        facts["basket"] = (t.n_lines == 1).ifelse(
            "one line", (t.n_lines <= 3).ifelse("2-3 lines", "4 or more")
        )
    parts = [
        t.filter(fact.notnull())
        .group_by(level=fact)
        .aggregate(n=_.count())
        .order_by("level")
        .to_pandas()
        .assign(dimension=name)
        for name, fact in facts.items()
    ]
    out = pd.concat([part for part in parts if len(part)], ignore_index=True)
    out["n_base"] = out.groupby("dimension")["n"].transform("sum")
    out["share"] = out["n"] / out["n_base"]
    out["low"], out["high"] = wilson(out["n"].to_numpy(), out["n_base"].to_numpy(), level)
    return out[["dimension", "level", "share", "low", "high", "n", "n_base"]].sort_values(
        ["dimension", "level"], ignore_index=True
    )


def bought_together(lines: Any, *, min_orders: int = 20) -> pd.DataFrame:
    """What is bought with what, by category: category, with_category, n_orders, share
    (of the first's orders), lift.

    lift = P(both) / (P(one) P(other)) among orders; pairs of fewer than `min_orders`
    orders are left out.
    """
    t = expression(lines).select("order_id", "category").distinct()
    each = (
        t.group_by("category")
        .aggregate(n=_.count())
        .order_by("category")
        .to_pandas()
        .set_index("category")["n"]
    )
    other = t.select("order_id", with_category=t.category)
    pairs = (
        t.inner_join(other, "order_id")
        .filter(_.category != _.with_category)
        .group_by("category", "with_category")
        .aggregate(n_orders=_.count())
        .order_by("category", "with_category")
        .to_pandas()
    )
    pairs = pairs[pairs["n_orders"] >= min_orders].reset_index(drop=True)
    if pairs.empty:
        return pairs.assign(share=pd.Series(dtype=float), lift=pd.Series(dtype=float))
    pairs["share"] = pairs["n_orders"] / pairs["category"].map(each)
    pairs["lift"] = pairs["share"] / (
        pairs["with_category"].map(each) / int(t.order_id.nunique().to_pandas())
    )
    return pairs.sort_values(
        ["lift", "category", "with_category"], ascending=[False, True, True], ignore_index=True
    )


def with_price_band(lines: Any, *, n_bands: int = 5) -> ibis.Table:
    """Sales lines with `price_band`: which fifth of all lines sold their unit price
    lies in (1 is the cheapest), with its edges; the ground for personas where products
    have no category.
    """
    t = expression(lines)
    price = t.price.cast("float64")
    edges = sorted(
        {round(float(price.quantile(k / n_bands).to_pandas()), 2) for k in range(1, n_bands)}
    )
    ends = [0.0, *edges]
    names = [f"{i + 1}: up to {edge:.2f}" for i, edge in enumerate(edges)]
    last = f"{len(edges) + 1}: above {ends[-1]:.2f}"
    return t.mutate(
        price_band=ibis.cases(
            *((price <= e, n) for e, n in zip(edges, names, strict=True)), else_=last
        )
    )


@dataclass(frozen=True)
class Personas:
    """`described`: one row per persona. `members`: one row per customer and persona
    with p_member. `choice`: one row per number of classes tried: k, bic, is_chosen.
    `profile`: one row per persona and level of a block: share, lift.
    """

    described: pd.DataFrame
    members: pd.DataFrame
    choice: pd.DataFrame
    profile: pd.DataFrame


def personas(
    lines: Any,
    orders: Any,
    *,
    by: str = "category",
    most: int = 8,
    min_customers: int = 200,
    n_resamples: int = 6,
    level: float = 0.9,
    seed: int = 0,
) -> Personas:
    """Kinds of buyers by what they buy (`by`, a column of `lines`), as classes of a
    multinomial mixture.

    described: persona (P1 is the largest), label (the levels it favours most),
    customers_share, low, high (over resamples), customers, stability (Jaccard, 1 is
    certain), cm_share, revenue_share, recency_days, frequency, basket, channel, region,
    evidence. Known customers only; cm_share is missing where a margin is. The number of
    personas is the smallest that BIC does not clearly reject, so the answer may be one:
    no kinds can be told apart. Raises PlaybookError under `min_customers` known
    customers.
    """
    lines, orders = expression(lines), expression(orders)
    known = lines.filter(lines.customer_id.notnull() & lines[by].notnull())
    counts = (
        known.group_by("customer_id", block=known[by])
        .aggregate(n=_.count())
        .order_by("customer_id", "block")
    )
    wide = counts.to_pandas().pivot(index="customer_id", columns="block", values="n").fillna(0.0)
    if len(wide) < min_customers:
        raise PlaybookError(
            f"{len(wide)} known customers are too few to tell kinds of buyers apart",
            table="orders",
            rule=f"at least {min_customers}",
            rows=len(wide),
            do="wait, or ask in a survey",
        )
    distinct, which, n_people = np.unique(
        wide.to_numpy(), axis=0, return_inverse=True, return_counts=True
    )
    blocks, n_people = (slice(0, wide.shape[1]),), n_people.astype(float)
    fits = number_of_classes(distinct, n_people, blocks, most=min(most, wide.shape[1]), seed=seed)
    bic = np.array([fit.bic for fit in fits])
    best = int(np.flatnonzero(bic < bic.min() + CLEARLY)[0])
    classes = fits[best]
    stable, drawn = np.full(best + 1, np.nan), np.full((1, best + 1), np.nan)
    if n_resamples:
        stable, drawn = class_stability(
            distinct, n_people, classes, blocks, seed=seed, n_resamples=n_resamples
        )
    names = [f"P{i + 1}" for i in range(best + 1)]
    part = pd.DataFrame(
        memberships(distinct, classes)[which.ravel()], index=wide.index, columns=names
    )
    mean = n_people @ distinct / (n_people @ distinct).sum()
    profile = pd.DataFrame(
        {
            "persona": np.repeat(names, wide.shape[1]),
            "level": np.tile(wide.columns, best + 1),
            "share": classes.chances.ravel(),
            "lift": (classes.chances / mean).ravel(),
        }
    )
    described = _described(part, orders, classes.shares, profile)
    described["stability"] = stable
    described["low"], described["high"] = np.quantile(
        drawn, [(1 - level) / 2, (1 + level) / 2], axis=0
    )
    members = part.rename_axis("customer_id").reset_index()
    members = members.melt("customer_id", var_name="persona", value_name="p_member")
    columns = [
        "persona",
        "label",
        "customers_share",
        "low",
        "high",
        "customers",
        "stability",
        "cm_share",
        "revenue_share",
        "recency_days",
        "frequency",
        "basket",
        "channel",
        "region",
        "evidence",
    ]
    choice = pd.DataFrame({"k": range(1, len(fits) + 1), "bic": [fit.bic for fit in fits]})
    return Personas(
        described[columns],
        members.sort_values(["customer_id", "persona"], ignore_index=True),
        choice.assign(is_chosen=choice["k"] == best + 1),
        profile,
    )


def _described(
    part: pd.DataFrame, orders: ibis.Table, shares: np.ndarray, profile: pd.DataFrame
) -> pd.DataFrame:
    """Size, value and habits of each persona, every customer counted by the share in
    which it belongs.
    """
    t = orders.filter(orders.customer_id.notnull())
    last = t.ordered_on.max()
    unknown = t.margin.isnull().sum() if "margin" in t.columns else ibis.literal(1)
    money = t.margin.sum().cast("float64") if "margin" in t.columns else ibis.null("float64")
    each = (
        t.group_by("customer_id")
        .aggregate(
            orders=t.count(),
            revenue=t.revenue.sum().cast("float64"),
            last_on=last,
            margin=(unknown == 0).ifelse(money, ibis.null("float64")),
        )
        .order_by("customer_id")
        .to_pandas()
    )
    each = each.set_index("customer_id").reindex(part.index)
    end = pd.Timestamp(t.aggregate(last=last).to_pandas()["last"].iloc[0])
    recency = (end - pd.to_datetime(each["last_on"])).dt.days
    rows = []
    for k, name in enumerate(part.columns):
        w = part[name]
        own = profile[profile["persona"] == name].sort_values(
            ["lift", "level"], ascending=[False, True]
        )
        top = own[(own["lift"] > 1.15) & (own["share"] > 0.02)].head(2)
        orders_made, revenue = (w * each["orders"]).sum(), (w * each["revenue"]).sum()
        rows.append(
            {
                "persona": name,
                "label": " + ".join(map(str, top["level"])) or "everything",
                "customers_share": shares[k],
                "customers": w.sum(),
                "revenue_share": revenue / each["revenue"].sum(),
                "cm_share": (w * each["margin"]).sum() / each["margin"].sum()
                if each["margin"].notna().all()
                else np.nan,
                "recency_days": (w * recency).sum() / w.sum(),
                "frequency": orders_made / w.sum(),
                "basket": revenue / orders_made,
                "evidence": ", ".join(
                    f"{r.level}: {r.share:.0%} of lines, {r.lift:.1f}x the average"
                    for r in top.itertuples()
                ),
            }
        )
    out = pd.DataFrame(rows)
    for column in ("channel", "region"):
        out[column] = None
        if column not in t.columns or int(t[column].count().to_pandas()) == 0:
            continue
        seen = (
            t.filter(t[column].notnull())
            .group_by("customer_id", level=t[column])
            .aggregate(n=_.count())
        )
        seen = seen.order_by("customer_id", "level").to_pandas()
        weight = part.reindex(seen["customer_id"]).to_numpy() * seen["n"].to_numpy()[:, None]
        sums = pd.DataFrame(weight, columns=part.columns).groupby(seen["level"].to_numpy()).sum()
        lift = (sums / sums.sum()).div(sums.sum(axis=1) / sums.to_numpy().sum(), axis=0)
        # The level people of this persona favour most against everybody; naming the commonest would name one for all.
        out[column] = [str(lift[name].idxmax()) for name in part.columns]
    return out
