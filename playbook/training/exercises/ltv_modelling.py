"""05 Lifetime value: margin not revenue, caps, payback that is not there yet, a model
that has to beat the baseline.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.ltv_modelling.ltv import first_orders, payback
from playbook.chapters.ltv_modelling.margin_curve import margin_curve
from playbook.store.shop import Store
from playbook.training.exercise import Answers, NotApplicable, bound

# months of age every customer of the exercise has lived
AGES = 6
NOT_YET = "not yet"


@cache
def value_by_age(shop: Store) -> DataFrame:
    """Customers won at least six months ago: age (30-day months since the first order,
    0 to 5), revenue and margin per customer *in* that month of age.
    """
    if shop.margin_basis == "revenue":
        raise NotApplicable("training.no_margin")
    columns = ["customer_id", "day_on", "orders", "revenue", "margin"]
    days = shop.customer_days.select(columns).to_pandas()
    days["day_on"] = pd.to_datetime(days.day_on)
    born = days[days.orders > 0].groupby("customer_id").day_on.min()
    old = born[born <= pd.Timestamp(shop.as_of) - pd.Timedelta(days=30 * AGES)]
    if shop.truncated_before is not None:
        old = old[old >= pd.Timestamp(shop.truncated_before)]
    if len(old) < 50:
        raise NotApplicable("training.few_old_customers")
    mine = days[days.customer_id.isin(old.index)].astype({"revenue": float, "margin": float})
    age = (mine.day_on - mine.customer_id.map(old)).dt.days // 30
    mine = mine[age.between(0, AGES - 1)].assign(age=age)
    sums = mine.groupby("age")[["revenue", "margin"]].sum().reindex(range(AGES), fill_value=0.0)
    return sums.div(len(old)).add_suffix("_per_customer").reset_index()


def revenue_over_margin(shop: Store) -> float:
    """Revenue value over margin value."""
    table = value_by_age(shop)
    return table.revenue_per_customer.sum() / table.margin_per_customer.sum()


def _revenue_over_discounted(shop: Store, column: str) -> float:
    table = value_by_age(shop)
    return table.revenue_per_customer.sum() / (table[column] / 1.1 ** (table.age / 12)).sum()


def _first_month_only(shop: Store) -> float:
    first = value_by_age(shop).iloc[0]
    return first.revenue_per_customer / first.margin_per_customer


def cap_at_three(shop: Store) -> float:
    """A third of the margin value."""
    table = value_by_age(shop)
    return table.margin_per_customer.sum() / 3


@cache
def _payback(shop: Store) -> DataFrame:
    return payback(
        shop.customer_days, first_orders(shop.sales_orders), shop.ad_spend, as_of=shop.as_of
    )


@cache
def payback_curves(shop: Store) -> DataFrame:
    """Customers won four months before the report month, by channel with spend:
    channel, ncac, and the cumulative margin per customer at each month of age so far
    (`1`, `2`, ...), refunds off.
    """
    rows = _cohort(shop)
    curve = margin_curve(
        shop.customer_days, first_orders(shop.sales_orders), as_of=shop.as_of, max_months=24
    )
    curve = curve[(curve.cohort == rows.cohort.iloc[0]) & curve.is_complete]
    curve = curve.assign(month=curve.k + 1, margin_per_customer=curve.margin / curve.n)
    wide = curve.pivot(index="channel", columns="month", values="margin_per_customer")
    return rows[["channel", "ncac"]].merge(wide.reset_index(), on="channel")


@cache
def _cohort(shop: Store) -> DataFrame:
    cohort = str(pd.Period(shop.month, freq="M") - 4)
    rows = _payback(shop)
    rows = rows[(rows.cohort == cohort) & rows.status.isin(["paid back", "not yet"])]
    if set(rows.status) != {"paid back", "not yet"}:
        raise NotApplicable("training.no_mixture", cohort=cohort)
    return rows.reset_index(drop=True)


def payback_months(shop: Store) -> dict[str, Any]:
    """Each channel's payback month, or that there is none yet."""
    rows = _cohort(shop)
    return {
        r.channel: int(r.payback_months) if r.status == "paid back" else "not yet"
        for r in rows.itertuples()
    }


def _average_payback(shop: Store) -> dict[str, Any]:
    """Every channel's mean over all its cohorts that have paid back."""
    mean = _payback(shop).query("cohort != 'all'").groupby("channel").payback_months.mean()
    return mean.reindex(list(payback_months(shop))).to_dict()


def _given_a_number(shop: Store) -> dict[str, Any]:
    rows = _cohort(shop)
    months = rows.payback_months.fillna(rows.months_observed)
    return dict(zip(rows.channel, months, strict=True))


def race(shop: Store) -> DataFrame:
    """Made up for the exercise: model, deviance on the data it was fitted to, then out
    of sample over three cut-offs: deviance, mean absolute error, bias (forecast over
    actual, less one).
    """
    rows = [
        ("Pareto/NBD", 1.02, 1.31, 0.62, -0.21),
        ("BG/NBD", 1.06, 1.24, 0.61, -0.14),
        ("last cohort's curve", 1.15, 1.12, 0.60, -0.03),
        ("zero for everybody", 2.40, 2.38, 0.55, -1.0),
    ]
    scores = "deviance_in_sample deviance_out_of_sample mae_out_of_sample bias_out_of_sample"
    return DataFrame(rows, columns=["model", *scores.split()])


def model_to_use(shop: Store) -> str:
    """The model with the least deviance out of sample."""
    table = race(shop).set_index("model")
    return table.deviance_out_of_sample.idxmin()


def _best_by(shop: Store, column: str) -> str:
    return race(shop).set_index("model")[column].idxmin()


EXERCISES = bound(
    "ltv_modelling",
    {
        "05.2": Answers(
            revenue_over_margin,
            slips={
                "discounting confused with margin": lambda shop: _revenue_over_discounted(
                    shop, "revenue_per_customer"
                ),
                "both at once": lambda shop: _revenue_over_discounted(shop, "margin_per_customer"),
                "upside down": lambda shop: 1 / revenue_over_margin(shop),
                "first month only": _first_month_only,
            },
            given=value_by_age,
        ),
        "05.3": Answers(
            cap_at_three,
            slips={
                "revenue value": lambda shop: value_by_age(shop).revenue_per_customer.sum() / 3,
                "times three": lambda shop: 9 * cap_at_three(shop),
                "one to one": lambda shop: 3 * cap_at_three(shop),
            },
        ),
        "05.4": Answers(
            payback_months,
            slips={
                "immature channel given a number": _given_a_number,
                "average month": _average_payback,
                "missing left out": lambda shop: {
                    c: m for c, m in payback_months(shop).items() if m != NOT_YET
                },
            },
            given=payback_curves,
        ),
        "05.5": Answers(
            model_to_use,
            slips={
                "in-sample": lambda shop: _best_by(shop, "deviance_in_sample"),
                "MAE only": lambda shop: _best_by(shop, "mae_out_of_sample"),
            },
            given=race,
        ),
    },
)
