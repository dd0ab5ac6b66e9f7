"""Customers with vouchers, and products with siblings, whose truth is known: the generators
behind the tests of the voucher review and of the launch curves. Nothing is shared with the
methods.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MARGIN_SHARE = 0.4
#: code -> discount, and how many times as often its holders buy
CODES = {
    "NICE10": (0.10, 1.45),
    "MILD15": (0.15, 1.6),
    "DEAR30": (0.30, 1.05),
    "GOOD5": (0.05, 1.2),
}
WORTHLESS = "DEAR30"


def draw_vouchers(seed, *, people=6000, held=0.3, sent="2026-06-01", days=30):
    """Orders (as `sales_orders` has them) and treatments of four codes, each sent to its own
    customers of whom a share is held out; and what each code truly brought: the expected margin
    of its treated beyond the same customers without it.
    """
    rng = np.random.default_rng(seed)
    orders, asked, truth = [], [], {}
    for code, (depth, lift) in CODES.items():
        chance = np.clip(rng.gamma(2.0, 0.09, people), 0, 0.6)
        value = np.exp(rng.normal(4.0, 0.4, people))
        is_held = rng.random(people) < held
        with_it = np.clip(chance * lift, 0, 1)
        bought = rng.random(people) < np.where(is_held, chance, with_it)
        names = [f"{code}-{k}" for k in range(people)]
        day = pd.Timestamp(sent) + pd.to_timedelta(rng.integers(0, days, people), "D")
        off = np.where(is_held, 0.0, depth * value)
        margin = MARGIN_SHARE * value - off + rng.normal(0, 3, people)
        frame = {"customer_id": names, "ordered_on": day.date, "discount": off, "margin": margin}
        frame = pd.DataFrame(frame).assign(coupon=np.where(is_held, None, code), is_first=False)
        orders.append(frame[bought])
        arm = np.where(is_held, "holdout", "treated")
        asked.append(pd.DataFrame({"treatment_id": f"to-{code}", "customer_id": names, "arm": arm}))
        each = with_it * (MARGIN_SHARE - depth) * value - chance * MARGIN_SHARE * value
        truth[code] = float(each[~is_held].sum())
    bought = pd.concat(orders, ignore_index=True)
    bought.insert(0, "order_id", [f"o{k:06d}" for k in range(len(bought))])
    # a code nobody was held out from
    other = bought.head(60).assign(coupon="WELCOME", customer_id=[f"w{k}" for k in range(60)])
    other["order_id"] = [f"w{k:03d}" for k in range(60)]
    people_asked = pd.concat(asked, ignore_index=True)
    people_asked = people_asked.assign(assigned_at=pd.Timestamp(sent), cost=0.0)
    return pd.concat([bought, other], ignore_index=True), people_asked, truth


def draw_launches(seed, *, siblings=14, new=5, weeks=26, age=10, weak=0.25):
    """Products and their days (as `sku_days` has them): siblings that went the whole way, and
    new ones `age` weeks old, the first of which sells `weak` times what a usual sibling does,
    beside products of another category; and what each new one will truly have sold by the end of the curve, over what the
    middle sibling will.
    """
    rng = np.random.default_rng(seed)
    last = pd.Timestamp("2026-10-31")
    n_days = 7 * (130)
    calendar = pd.date_range(last - pd.Timedelta(days=n_days - 1), last)
    season = 1 + 0.3 * np.sin(2 * np.pi * np.arange(n_days) / 365)
    size = np.exp(rng.normal(0.0, 0.45, siblings + new))
    size[siblings] = weak
    size[siblings + 1 :] = np.clip(size[siblings + 1 :], 0.9, None)
    peak, fade = rng.uniform(3, 8, siblings + new), rng.uniform(0.0, 0.02, siblings + new)
    rows, products, ends = [], [], {}
    old = pd.DataFrame({"sku": "old", "day_on": calendar, "units": rng.poisson(400 * season)})
    for k in range(siblings + new):
        is_new = k >= siblings
        start = last - pd.Timedelta(days=7 * age - 1) if is_new else None
        start = start or calendar[int(rng.integers(0, n_days - 7 * weeks - 7 * age))]
        t = np.arange((last - start).days + 1) / 7
        curve = 3.0 * size[k] * (1 - np.exp(-(t + 0.3) / peak[k] * 2)) * np.exp(-fade[k] * t)
        at = (start - calendar[0]).days
        sold = rng.poisson(curve * season[at : at + len(t)])
        name = f"{'new' if is_new else 'sib'}{k}"
        days = {"sku": name, "day_on": pd.date_range(start, last), "units": sold}
        rows.append(pd.DataFrame(days))
        products.append({"sku": name, "category": "home", "launched_on": start.date()})
        w = np.arange(7 * weeks) / 7
        whole = size[k] * (1 - np.exp(-(w + 0.3) / peak[k] * 2)) * np.exp(-fade[k] * w)
        ends[name] = float(whole.sum())
    products.append({"sku": "old", "category": "rest", "launched_on": calendar[0].date()})
    days = pd.concat([*rows, old], ignore_index=True)
    days["margin"] = 5.0 * days.units
    days["day_on"] = days.day_on.dt.date
    middle = float(np.median([v for name, v in ends.items() if name.startswith("sib")]))
    truth = {name: v / middle for name, v in ends.items() if name.startswith("new")}
    return days, pd.DataFrame(products), truth
