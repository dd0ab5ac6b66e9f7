"""Is a month that went wrong told, and is a quiet one left quiet?

    python tests/proof/proof_awake.py cards [first seed] [last seed]
    python tests/proof/proof_awake.py incidents [first seed] [last seed]
    python tests/proof/proof_awake.py print [first seed] [last seed]
    python tests/proof/proof_awake.py real

Settings were chosen on seeds 501 to 510; the figures reported are of 601 to 620, and, since the
incidents of these had been looked at, of 621 to 640 for incidents. A seed's
shops are made once and its verdicts kept in proof/awake/, so that a cut run goes on where
it stopped.

cards      every third of the last twenty months of the default demo shop without its
incidents: the card's expectation of each headline figure from its days, beside that of
the months alone (the card's rule before), the share of months in the usual range, months
with any flag, and a driver of the month moved by 10 and 20 % up and down.
incidents  a smaller shop with all twelve kinds planted in months, on days and in sizes
drawn by the seed, and its twin without any: what was found, within two days, with money
within a third of the truth (what the twin did without), in the pack's first sentences;
and what was found in the twin.
real       the card of the two public shops (cdnow, and online-retail from PLAYBOOK_SHARED,
its holidays stated as the calendar of England has them): every month, beside the months
alone; as the card is, which speaks from eight misses on, and as it would be from the
first one on, because their logs are short. Then what the detectors tell of the months.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.chapters.monthly_review import usual
from playbook.chapters.start_here.facts import daily
from playbook.demo.make import play, tables_of, write_folder
from playbook.demo.presets import INCIDENTS, PLANTED
from playbook.demo.simulate import Simulator
from playbook.demo.world import World, drawn
from playbook.detect.incidents import incidents
from playbook.measures.metrics import monthly_sales, months_back
from playbook.runs.sentences import INCIDENTS_NAMED
from playbook.sources.importing import import_files
from playbook.store import open_store

HOME = Path(__file__).resolve().parents[2] / "proof" / "awake"
LAST = "2026-10"
#: of the last twenty months every so many are judged
STEP = 3
#: a call ends before a turn of nine minutes does
SECONDS = 480.0
FIGURES = [
    "net_revenue", "orders", "sessions", "cvr_sessions", "cm", "aov", "units_per_order",
    "new_customers", "refund_share_booked",
]  # fmt: skip
JUDGED = FIGURES[:5]
#: driver -> the figures of the card that move with it
MOVED = {
    "sessions": ["sessions", "orders", "net_revenue", "cm", "new_customers"],
    "cvr_sessions": ["cvr_sessions", "orders", "net_revenue", "cm", "new_customers"],
    "units_per_order": ["units_per_order", "aov", "net_revenue", "cm"],
    "revenue_per_unit": ["aov", "net_revenue", "cm"],
}
FACTORS = (0.8, 0.9, 1.1, 1.2)
#: the tables the card's figures are made from
READ = (
    "orders", "order_lines", "refunds", "customers", "products", "promotions", "traffic",
    "ad_spend", "stock", "cost_rates", "channels",
)  # fmt: skip


# --- the card ------------------------------------------------------------


def series(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A quiet seed's monthly figures and its days; made once. Only the tables they are
    made from are written.
    """
    paths = [HOME / "series" / f"{seed}-{name}.parquet" for name in ("months", "daily")]
    if not all(path.exists() for path in paths):
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "s"
            world = drawn(seed=seed, switches={"incidents": False})
            world.preset = replace(world.preset, events_months=0)
            write_shop(folder, world, names=READ)
            shop = open_store(folder, until=LAST)
            monthly_sales(shop, months=60).to_parquet(paths[0])
            daily(shop, months=60).to_parquet(paths[1])
    return tuple(pd.read_parquet(path) for path in paths)


def write_shop(folder: Path, world: World, names: tuple[str, ...] = ()) -> None:
    """Write the store of a world, all its tables or those named."""
    sim = Simulator(world)
    chunks = [play(sim) for _ in range(world.preset.months)]
    tables = tables_of(sim, chunks)
    tables = {name: rows for name, rows in tables.items() if not names or name in names}
    folder.mkdir(parents=True)
    write_folder(folder, world, sim.day - 1, tables)


def judged_card(
    months: pd.DataFrame, days: pd.DataFrame, last: str, n: int, *, step: int = STEP
) -> pd.DataFrame:
    """One row per month and figure: actual, before (expected by its months alone), and
    what `control_limits` gives, `gmv` standing for all figures that are no headline.
    """
    months = months[months.metric.isin([*FIGURES, "gmv"])]
    rows = []
    for month in months_back(last, n)[::-step]:
        since = months_back(month, 37)[0]
        seen = months[(months.month <= month) & (months.month >= since)]
        alone = {}
        plain = usual._from_months

        def kept(past, month, store=alone, plain=plain):
            store[len(store)] = found = plain(past, month)
            return found

        usual._from_months = kept
        try:
            told = days[days.day_on >= since]
            limits = usual.control_limits(seen, month=month, days=told)
        finally:
            usual._from_months = plain
        actual = seen[seen.month == month].set_index("metric").amount
        before = [found["centre"] for found in alone.values()]
        rows.append(limits.assign(month=month, before=before, actual=limits.metric.map(actual)))
    return pd.concat(rows, ignore_index=True)


def shocked(card: pd.DataFrame) -> pd.DataFrame:
    """Every month with one driver moved: month, driver, factor, is_flagged."""
    rows = []
    for month, part in card.groupby("month"):
        at = part.set_index("metric")
        for driver, figures in MOVED.items():
            for factor in FACTORS:
                hit = at.reindex(figures)
                moved = hit.actual * factor
                is_out = (moved > hit.upper) | (moved < hit.lower)
                rows.append((month, driver, factor, bool(is_out.any())))
    return pd.DataFrame(rows, columns=["month", "driver", "factor", "is_flagged"])


def cards(seeds: range) -> None:
    """Judge the cards of the seeds that are missing."""
    began = time.monotonic()
    for seed in seeds:
        path = HOME / "cards" / f"{seed}.parquet"
        if path.exists() or time.monotonic() - began > SECONDS:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        judged_card(*series(seed), LAST, 20).assign(seed=seed).to_parquet(path)
        print("card", seed, flush=True)


def told_cards(card: pd.DataFrame) -> None:
    """Print what the cards were worth."""
    known = card[card.metric.isin(FIGURES) & card.centre.notna() & card.before.notna()]
    miss, was = np.log(known.actual / known.centre), np.log(known.actual / known.before)
    known = known.assign(
        square=miss**2,
        was_square=was**2,
        held=known.actual.between(known.low, known.high).where(known.low.notna()),
        is_flagged=(known.actual > known.upper) | (known.actual < known.lower),
    )
    table = known.groupby("metric").agg(
        n=("square", "size"),
        rmse=("square", lambda s: s.mean() ** 0.5),
        rmse_before=("was_square", lambda s: s.mean() ** 0.5),
        held=("held", lambda s: s.dropna().astype(float).mean()),
        flags=("is_flagged", "mean"),
    )
    table["ratio"] = table.rmse / table.rmse_before
    print(table.reindex(FIGURES).round(3).to_string())
    judged = known[known.metric.isin(JUDGED)]
    print(f"usual ranges held {judged.held.dropna().astype(float).mean():.1%} of {len(judged)}")
    flagged = known.groupby(["seed", "month"]).is_flagged.any()
    print(f"quiet months with any flag {flagged.mean():.1%} of {len(flagged)}")
    shocks = pd.concat([shocked(part) for _seed, part in card.groupby("seed")])
    shocks["size"] = (shocks.factor - 1).abs().round(2)
    print(shocks.groupby(["size", "driver"]).is_flagged.mean().unstack().round(3).to_string())
    print(shocks.groupby("size").is_flagged.mean().round(3).to_string())


# --- incidents ------------------------------------------------------------

ASKED = {"customers": 9_000, "months": 17, "skus": 120}
#: days and sizes between which a seed draws
DAYS = {
    "fake_orders": (1, 4), "price_error": (1, 4), "ad_extract_ends": (5, 16),
    "tracking_outage": (1, 6), "double_load": (3, 10), "checkout_fault": (2, 8),
    "best_seller_stockout": (8, 25), "payment_method_down": (2, 8), "carrier_late": (5, 12),
    "coupon_leaked": (3, 9), "category_mispriced": (2, 7), "ad_double_billed": (5, 15),
}  # fmt: skip
SIZES = {
    "fake_orders": (0.6, 3.0), "price_error": (0.1, 0.4), "checkout_fault": (0.1, 0.6),
    "payment_method_down": (0.2, 0.6), "carrier_late": (5, 12), "coupon_leaked": (0.2, 0.5),
    "category_mispriced": (0.3, 0.7), "ad_double_billed": (1.6, 2.2),
}  # fmt: skip
#: what the shop calls it -> what the detectors call it
FOUND_AS = {
    "fake_orders": "fake_orders", "price_error": "price_error",
    "ad_extract_ends": "spend_missing", "tracking_outage": "tracking_outage",
    "double_load": "double_load", "checkout_fault": "step_fails",
    "best_seller_stockout": "best_seller_empty", "payment_method_down": "payment_down",
    "carrier_late": "carrier_late", "coupon_leaked": "code_out",
    "category_mispriced": "category_price", "ad_double_billed": "billed_twice",
}  # fmt: skip
MOVED_SHARE, NEAR_DAYS, NEAR_MONEY = 0.03, 2, 1 / 3


def planned(seed: int, world: World) -> dict[str, tuple[int, int, float]]:
    """Each kind in a month of its own among the last twelve: first day, last day, size."""
    rng = np.random.default_rng(seed * 7 + 1)
    plan = {}
    for kind, back in zip([*INCIDENTS, *PLANTED], rng.permutation(12), strict=True):
        least, most = DAYS[kind]
        n = int(rng.integers(least, most + 1))
        first = world.first_of_month(int(back)) + int(rng.integers(2, 28 - min(n, 24)))
        low, high = SIZES.get(kind, (1.0, 1.0))
        plan[kind] = first, first + n - 1, float(rng.uniform(low, high))
    return plan


def shop_of(seed: int, folder: Path, *, is_planted: bool) -> World:
    """Write the store of a seed, with all its incidents or with none."""
    world = drawn(seed=seed, switches={"incidents": False}, **ASKED)
    if is_planted:
        for kind, (first, last, size) in planned(seed, world).items():
            world.incidents[kind], world.size[kind] = (first, last), size
    write_shop(folder, world)
    return world


def looked(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """What the detectors find, and the sums by day that tell the truth apart."""
    shop = open_store(folder, until=LAST)
    found = incidents(shop, months=12)
    ads = pd.read_parquet(folder / "ad_spend.parquet", columns=["day_on", "channel", "spend"])
    ads["spend"] = ads.spend.astype(float)
    columns = ["ordered_on", "sku", "revenue", "cost", "quantity"]
    lines = shop.sales_lines.select(columns).to_pandas()
    shelf = shop.sku_days.select("day_on", "sku", "on_hand").to_pandas()
    shelf["day_on"] = pd.to_datetime(shelf.day_on)
    lines["goods"] = lines.revenue.astype(float) - lines.cost.astype(float)
    orders = pd.read_parquet(
        folder / "orders.parquet",
        columns=["ordered_on", "gross", "discount", "delivered_at", "promised_at", "shipped_at"],
    )
    sold = shop.sales_orders.select("ordered_on", "margin", "revenue").to_pandas()
    sold[["margin", "revenue"]] = sold[["margin", "revenue"]].astype(float)
    return found, {
        "ads": ads.groupby(["day_on", "channel"]).spend.sum(),
        "goods": lines.groupby(["ordered_on", "sku"]).goods.sum(),
        "units": lines.groupby(["ordered_on", "sku"]).quantity.sum(),
        "shelf": shelf.set_index("day_on"),
        "margin": sold.groupby("ordered_on")[["margin", "revenue"]].sum(),
        "orders": orders,
    }


def _of_shop(seed: int, name: str) -> tuple[World, pd.DataFrame, dict[str, pd.DataFrame]]:
    """A seed's world, and what was `looked` at in its shop, which is kept until then."""
    folder = HOME / "shops" / f"{seed}-{name}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        shop_of(seed, part, is_planted=name == "planted")
        part.rename(folder)
    world = drawn(seed=seed, switches={"incidents": False}, **ASKED)
    return world, *looked(folder)


def truth(kind: str, days: tuple[str, str], planted: dict, quiet: dict, world: World) -> float:
    """The money an incident moved, in the meaning of its detector's `money_is`."""
    first, last = (pd.Timestamp(day) for day in days)

    def within(sums: pd.Series) -> pd.Series:
        day = pd.to_datetime(sums.index.get_level_values(0))
        return sums[(day >= first) & (day <= last)]

    if kind in ("ad_extract_ends", "double_load", "ad_double_billed"):
        return abs(float(within(planted["ads"]).sum() - within(quiet["ads"]).sum()))
    if kind == "tracking_outage":
        return float(within(planted["margin"].revenue).sum())
    if kind == "best_seller_stockout":
        best = str(world.sku_ids[world.best_seller])
        both = [within(one["goods"].xs(best, level="sku")).sum() for one in (quiet, planted)]
        return float(both[0] - both[1])
    if kind == "fake_orders":
        gap = within(planted["margin"].revenue) - within(quiet["margin"].revenue)
        return float(gap.sum())
    if kind == "coupon_leaked":
        off = [one["orders"].groupby("ordered_on").discount.sum() for one in (planted, quiet)]
        return float(
            sum(s * within(one.astype(float)).sum() for s, one in zip((1, -1), off, strict=True))
        )
    if kind == "carrier_late":
        return _late_money(planted["orders"], first, last) - _late_money(
            quiet["orders"], first, last
        )
    gap = within(quiet["margin"].margin) - within(planted["margin"].margin)
    return float(gap.sum())


def _empty_days(best: str, days: tuple[str, str], planted: dict, quiet: dict) -> tuple[str, str]:
    """The days on which the shelf was empty in truth: those planted, and those beside them on
    which it held less than a usual day sells (what earlier incidents took, and the wait for
    the next delivery).
    """
    first, last = (pd.Timestamp(day) for day in days)
    sold = quiet["units"].xs(best, level="sku")
    day = pd.to_datetime(sold.index)
    usual = float(sold[(day >= first - pd.Timedelta(days=56)) & (day < first)].sum()) / 56
    shelf = planted["shelf"][planted["shelf"].sku == best].on_hand.sort_index()
    is_low = shelf < usual
    before, after = is_low[: first - pd.Timedelta(days=1)][::-1], is_low[last:].iloc[1:]
    first -= pd.Timedelta(days=int(before.cummin().sum()))
    last += pd.Timedelta(days=int(after.cummin().sum()))
    return str(first.date()), str(last.date())


def _late_money(orders: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> float:
    sent = orders.shipped_at.dt.floor("D")
    end = pd.Timestamp(LAST) + pd.offsets.MonthEnd(1)
    is_due = orders.promised_at < end
    came = orders.delivered_at.fillna(end + pd.Timedelta(days=40)).dt.date
    is_late = is_due & (came > orders.promised_at.dt.date)
    return float(orders.gross[is_late & (sent >= first) & (sent <= last)].astype(float).sum())


def judged_shop(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per planted incident, and what was found in the twin."""
    world, found, planted = _of_shop(seed, "planted")
    _world, calm, quiet = _of_shop(seed, "quiet")
    month = quiet["margin"].margin.sum() / (len(quiet["margin"]) / 30.4)
    best, rows = str(world.sku_ids[world.best_seller]), []
    for kind, (a, b, size) in planned(seed, world).items():
        days = str(world.day0 + a), str(world.day0 + b)
        if kind == "best_seller_stockout":
            days = _empty_days(best, days, planted, quiet)
        money = truth(kind, days, planted, quiet, world)
        rows.append(
            {"seed": seed, "kind": kind, "first": days[0], "last": days[1], "size": size}
            | {"money": money, "share": money / month}
            | _match(kind, days, money, found, best)
        )
    return pd.DataFrame(rows), calm.assign(seed=seed)


def _match(kind: str, days: tuple[str, str], money: float, found: pd.DataFrame, best: str) -> dict:
    """How the detectors told an incident: of two findings of its kind that share a day with
    it, the one that begins nearer to it; an empty shelf is that of the `best` seller.
    """
    first, last = (pd.Timestamp(day) for day in days)
    starts, ends = pd.to_datetime(found.starts_on), pd.to_datetime(found.ends_on)
    is_same = (found.kind == FOUND_AS[kind]) & (starts <= last) & (ends >= first)
    if kind == "best_seller_stockout":
        is_same &= found.subject == best
    same = found[is_same]
    if same.empty:
        return {"is_found": False, "is_dated": False, "is_sized": False, "is_named": False}
    apart = (pd.to_datetime(same.starts_on) - first).abs()
    row = same.loc[apart.sort_values(kind="stable").index[0]]
    here = found[(found.month <= row.month) & (ends.dt.strftime("%Y-%m") >= row.month)]
    here = here[here.follows == ""].sort_values("share_of_month", ascending=False, kind="stable")
    return {
        "is_found": True,
        "is_dated": abs((pd.Timestamp(row.starts_on) - first).days) <= NEAR_DAYS,
        "is_sized": abs(row.amount - money) <= NEAR_MONEY * abs(money),
        "is_named": row.name in here.index[:INCIDENTS_NAMED],
        "amount": row.amount,
        "starts": str(row.starts_on),
    }


def shops(seeds: range) -> None:
    """Judge the shops of the seeds that are missing."""
    began = time.monotonic()
    folder = HOME / "incidents"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        path = folder / f"{seed}.parquet"
        if path.exists() or time.monotonic() - began > SECONDS:
            continue
        rows, calm = judged_shop(seed)
        calm.to_parquet(folder / f"{seed}-quiet.parquet")
        rows.to_parquet(path)
        print("shop", seed, flush=True)


def told_shops(rows: pd.DataFrame, calm: pd.DataFrame) -> None:
    """Print what was found."""
    marks = ["is_found", "is_dated", "is_sized", "is_named"]
    rows = rows.assign(**{m: rows[m].astype(float) for m in marks})
    large = rows[rows.share >= MOVED_SHARE]
    table = large.groupby("kind")[marks].mean().round(2)
    table.insert(0, "n", large.groupby("kind").size())
    print(table.to_string())
    print(f"all {len(large)} that moved {MOVED_SHARE:.0%}:", large[marks].mean().round(3).to_dict())
    n_months = 12 * calm.seed.nunique() if len(calm) else 12 * rows.seed.nunique()
    alarms = calm[calm.is_alarm.astype(bool)]
    is_true = alarms.kind == "best_seller_empty"
    print(f"in {n_months} quiet months, by detector:")
    print((calm.groupby("kind").size() / n_months).round(3).to_string())
    print(
        f"alarms a month {len(alarms[~is_true]) / n_months:.2f}, and "
        f"{is_true.sum() / n_months:.2f} best sellers whose shelf was in truth empty"
    )


# --- the public shops --------------------------------------------------------

#: shop -> last month, whole months
REAL = {"cdnow": ("1998-06", 18), "online-retail": ("2011-11", 12)}
#: days on which the wholesaler was closed: Christmas to New Year, Easter, the royal
#: wedding, the bank holidays
HOLIDAYS = [
    *pd.date_range("2010-12-24", "2011-01-03"),
    *pd.to_datetime([
        "2011-04-22", "2011-04-24", "2011-04-25", "2011-04-29", "2011-05-02", "2011-05-30",
        "2011-08-29",
    ]),
]  # fmt: skip


def real_store(name: str) -> str | Path:
    """A public shop; the second one is imported once."""
    if name == "cdnow":
        return name
    folder = HOME / "real" / name
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        source = Path(os.environ["PLAYBOOK_SHARED"]) / name / "online_retail.parquet"
        import_files(name, [source], part)
        stated = ", ".join(f"{day:%Y-%m-%d}" for day in HOLIDAYS)
        with (part / "shop.yaml").open("a", encoding="utf-8") as settings:
            settings.write(f"holidays: [{stated}]\n")
        part.rename(folder)
    return folder


def real_card(name: str) -> pd.DataFrame:
    """The card of each month of a public shop, by how many misses it waits for."""
    last, n = REAL[name]
    shop = open_store(real_store(name), until=last)
    months, days = monthly_sales(shop, months=60), daily(shop, months=60)
    months = months[months.metric.isin(JUDGED[:2])]
    cards, whole = [], (usual.LEAST_MONTHS, usual.PRODUCTS)
    try:
        usual.PRODUCTS = {figure: usual.PRODUCTS[figure] for figure in JUDGED[:2]}
        for usual.LEAST_MONTHS in (whole[0], 1):
            card = judged_card(months, days, last, n, step=1)
            cards.append(card.assign(least=usual.LEAST_MONTHS))
    finally:
        usual.LEAST_MONTHS, usual.PRODUCTS = whole
    return pd.concat(cards, ignore_index=True).assign(shop=name)


def told_real(card: pd.DataFrame) -> None:
    """Print what the cards of the public shops were worth, and the months behind it."""
    known = card[card.metric.isin(["orders", "net_revenue"]) & (card.actual > 0)]
    known = known[known.centre.notna() & known.before.notna()]
    known = known.assign(
        miss=np.log(known.actual / known.centre) ** 2,
        was=np.log(known.actual / known.before) ** 2,
        held=known.actual.between(known.low, known.high).where(known.low.notna()),
    )
    table = known.groupby(["shop", "least", "metric"]).agg(
        n=("miss", "size"),
        rmse=("miss", lambda s: s.mean() ** 0.5),
        rmse_before=("was", lambda s: s.mean() ** 0.5),
        n_ranges=("held", "count"),
        held=("held", lambda s: s.dropna().astype(float).mean()),
    )
    table["ratio"] = table.rmse / table.rmse_before
    print(table.round(3).to_string())


def real() -> None:
    """Both public shops: their cards and their months."""
    (HOME / "real").mkdir(parents=True, exist_ok=True)
    for name, (last, n) in REAL.items():
        path = HOME / "real" / f"{name}-card.parquet"
        if not path.exists():
            real_card(name).to_parquet(path)
        found = incidents(open_store(real_store(name), until=last), months=n)
        print(f"{name}: {n} months looked at, {len(found)} incidents")
        print(found[["month", "kind", "what", "starts_on", "amount", "z"]].to_string())
    kept = (HOME / "real" / f"{name}-card.parquet" for name in REAL)
    told_real(pd.concat(map(pd.read_parquet, kept)))


def main(words: list[str]) -> int:
    """Judge what is missing or print what is there; returns the exit status."""
    part = words[0] if words else "print"
    if part == "real":
        real()
        return 0
    first, last = (
        (int(w) for w in [*words[1:3], "601", "620"][:2])
        if len(words) < 3
        else map(int, words[1:3])
    )
    seeds = range(first, last + 1)
    if part == "cards":
        cards(seeds)
    elif part == "incidents":
        shops(seeds)
    kept = [HOME / "cards" / f"{seed}.parquet" for seed in seeds]
    if part != "incidents" and any(p.exists() for p in kept):
        told_cards(pd.concat(pd.read_parquet(p) for p in kept if p.exists()))
    kept = [HOME / "incidents" / f"{seed}.parquet" for seed in seeds]
    kept = [p for p in kept if p.exists()]
    if part != "cards" and kept:
        quiet = [pd.read_parquet(p.with_name(f"{p.stem}-quiet.parquet")) for p in kept]
        told_shops(pd.concat(pd.read_parquet(p) for p in kept), pd.concat(quiet, ignore_index=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
