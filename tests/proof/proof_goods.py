"""Stock, prices and promotions of demo shops whose truth is known: one line of
proof/goods.jsonl per seed.

Each seed is a demo shop of its own (three years, all difficulties, 600 skus), read
through the store like any other.

game          the lost-sales game of proof_inventory.py over the eight weeks after the history; promotions and prices
              ahead are the shop's own plan, the oracle's law is the simulator's, from futures under fresh chance
uncensored    units of the last year of skus that were out of stock: sold, and with what stock-outs hid, over the truth
fill          the policy replayed on the last half year: fill reached against the aim
backtest      coverage of 80 % intervals of four weeks, what they should cover in whole units, WAPE beside naive
elasticity    intervals that hold the true elasticity, of those told and of all with enough prices; the rest refused
promotion     intervals of the incremental margin that hold the truth: the shop's margin less that of its twin without
              the promotion, under the same chance and the same advertising

Run: python tests/proof/proof_goods.py [--seeds 10] [--skus 600].
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from proof_inventory import DRAWS, LEAD, PLAYERS, WEEKS, Game, played, table

from playbook.chapters.assortment_pricing import assortment, pricing, promotion_review
from playbook.chapters.inventory_planning import inventory
from playbook.chapters.inventory_planning.forecast import demand_backtest
from playbook.chapters.inventory_planning.replay import policy_replay
from playbook.chapters.inventory_planning.supply import Supply, supply
from playbook.demo.habits import Plan
from playbook.demo.money import order_margin
from playbook.demo.presets import PRESETS
from playbook.demo.shop import Shop
from playbook.demo.simulate import Simulator
from playbook.measures.demand_panel import DemandPanel, demand_law, demand_panel, stockouts
from playbook.measures.price_moves import posted_prices, with_prices
from playbook.methods.elasticity import price_elasticity, regular_prices
from playbook.store import open_store

OUT = Path(__file__).resolve().parents[2] / "proof" / "goods.jsonl"
FUTURES, AFTER = 8, 14
MORE = (
    0.5,
    4.0,
)  # units beyond the first on a line, private and business buyers: floor of an exponential


def main() -> None:
    """Measures the seeds not measured yet and prints every figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--skus", type=int, default=600)
    asked = parser.parse_args()
    OUT.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in OUT.read_text().splitlines()] if OUT.exists() else []
    for seed in range(1, asked.seeds + 1):
        if not any((row["seed"], row["skus"]) == (seed, asked.skus) for row in rows):
            rows.append({"seed": seed, "skus": asked.skus, **measured(seed, asked.skus)})
            with OUT.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(
                {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()},
                flush=True,
            )
    summary([row for row in rows if row["skus"] == asked.skus])


def measured(seed: int, skus: int) -> dict:
    """Every figure of one shop."""
    started = time.process_time()
    PRESETS["goods"] = replace(PRESETS["demo"], name="goods", skus=skus)
    shop = Shop(preset="goods", seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(shop.store(Path(scratch) / "shop"), until=shop.month)
        products = store.get("products")
        panel = demand_panel(store.sku_days, as_of=store.as_of, products=products)
        panel = with_prices(panel, prices=store.prices, promotions=planned(shop, store))
        held = supply(
            store.get("stock"),
            as_of=store.as_of,
            products=products,
            purchase_orders=store.get("purchase_orders"),
        )
        kept = counted_share(shop)
        found = played(game(shop, panel, held, kept), seed)
        found |= (
            uncensored(shop, panel, kept)
            | fill(panel, held)
            | elasticity(shop, store, panel)
            | backtest(panel)
        )
        found |= promotions(shop, store, products)
    return found | {"cpu_seconds": time.process_time() - started}


def planned(shop: Shop, store: object) -> pd.DataFrame:
    """The shop's table of promotions and, after it, those of its plan for the weeks of
    the game.
    """
    world, past = shop._sim.world, store.promotions.to_pandas()
    ahead = [
        (
            p.promo_id,
            *(pd.Timestamp(world.day0 + day) for day in (p.first, p.last)),
            p.depth,
            " ".join(world.sku_ids[p.skus]),
        )
        for p in world.promotions(shop._sim.day + 7 * (WEEKS + LEAD + 1))
        if p.first >= shop._sim.day
    ]
    columns = ["promo_id", "starts_on", "ends_on", "depth_share", "skus"]
    past = past.assign(**{c: pd.to_datetime(past[c]) for c in columns[1:3]})
    return pd.concat([past[columns], pd.DataFrame(ahead, columns=columns)], ignore_index=True)


def counted_share(shop: Shop) -> float:
    """Share of units ordered that stay counted (paid, not cancelled): what a shop can
    see of the units wanted.
    """
    units = [
        np.bincount(np.repeat(np.isin(c["o_fate"], (0, 3)), c["o_lines"]), c["l_quantity"], 2)
        for c in shop._chunks
    ]
    return float(np.sum(units, axis=0)[1] / np.sum(units))


def by_week(panel: DemandPanel, days: pd.DataFrame, column: str) -> np.ndarray:
    """A column by sku and day as sums over the panel's weeks, (sku, week)."""
    week = (pd.to_datetime(days["day_on"]) - panel.starts[0]).dt.days // 7
    grid = days.assign(week=week).pivot_table(
        index="sku", columns="week", values=column, aggfunc="sum"
    )
    return grid.reindex(index=panel.sku, columns=range(len(panel.starts))).fillna(0).to_numpy(float)


def game(shop: Shop, panel: DemandPanel, held: Supply, kept: float) -> Game:
    """The weeks after the history: demand as it will be under the shop's own plan, the
    law from other futures.
    """
    place = pd.Index(shop._sim.world.sku_ids).get_indexer(panel.sku)
    weeks = WEEKS + LEAD + 1
    twin = shop._sim.copy()
    chunks = [twin.month() for _ in range(3)]
    wanted = in_weeks(np.concatenate([c["demand"] for c in chunks])[:, place], weeks)
    asked = np.concatenate([c["env"]["price"] for c in chunks])[3::7, place].T[:, :weeks] / 100
    futures = np.stack(
        [in_weeks(expected(shop, future)[:, :, place], weeks) for future in range(FUTURES)]
    )

    def law(k: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        lines = futures[rng.integers(0, FUTURES, DRAWS)][
            ..., k : k + LEAD + 1
        ]  # draw, kind, sku, week
        total = 0
        for kind, more in enumerate(MORE):
            n = rng.poisson(lines[:, kind])
            total = (
                total
                + n
                + np.where(n > 0, rng.negative_binomial(np.maximum(n, 1), 1 - np.exp(-1 / more)), 0)
            )
        return rng.binomial(total, kept).transpose(1, 0, 2).astype(float)

    ahead = pd.date_range(panel.starts[-1] + pd.Timedelta(days=7), periods=weeks, freq="7D")
    demand = np.random.default_rng(shop._sim.world.seed).binomial(
        wanted[:, :WEEKS].astype(int), kept
    )
    on_hand = held.goods.set_index("sku")["available"].reindex(panel.sku).fillna(0).to_numpy(float)
    price = np.where(np.isfinite(panel.price), panel.price, asked[:, :1])
    return Game(
        panel.units,
        panel.exposure,
        np.r_[panel.week, np.minimum((ahead.day_of_year - 1) // 7, 51)],
        panel.pull[:, : panel.units.shape[1] + weeks],
        pd.factorize(panel.category, sort=True)[0],
        on_hand,
        demand.astype(float),
        law,
        np.concatenate([price, asked], axis=1),
    )


def in_weeks(days: np.ndarray, weeks: int) -> np.ndarray:
    """(..., day, sku) as (..., sku, week)."""
    cut = days[..., : 7 * weeks, :]
    return np.moveaxis(cut.reshape(*cut.shape[:-2], weeks, 7, cut.shape[-1]).sum(axis=-2), -2, -1)


def expected(shop: Shop, future: int) -> np.ndarray:
    """Three months under another course of chance: expected order lines by kind of
    buyer, day and sku.
    """
    sim, seen = shop._sim.copy(), []
    sim.reseed(future)
    plain = sim._shop

    def watched(day: int, i: int, env: dict, at: dict, log: dict) -> None:
        weight, persona = at["basket"] * sim._checkout(day, at), at["persona"].astype(int)
        seen.append(
            [
                (
                    np.bincount(persona, weight * (at["is_business"] == kind), len(env["base"]))
                    * env["crowd"][i]
                )
                @ env["base"]
                * env["keen"][i]
                for kind in (False, True)
            ]
        )
        plain(day, i, env, at, log)

    sim._shop = watched
    for _ in range(3):
        sim.month()
    return np.moveaxis(np.array(seen), 1, 0)


def uncensored(shop: Shop, panel: DemandPanel, kept: float, weeks: int = 52) -> dict:
    """Over skus on sale all year that were out of stock for more than a twentieth of
    it.
    """
    wanted = by_week(panel, shop.truth["sku_demand"], "units_wanted")[:, -weeks:].sum(axis=1) * kept
    hurt = (panel.exposure[:, :-weeks] > 0).any(axis=1) & (
        (1 - panel.exposure)[:, -weeks:].mean(axis=1) > 0.05
    )
    lost = (
        stockouts(panel, n_weeks=weeks).set_index("sku")["lost_units"].reindex(panel.sku).fillna(0)
    )
    sold, truth = panel.units[hurt, -weeks:].sum(), wanted[hurt].sum()
    return {
        "n_out": int(hurt.sum()),
        "sold_share": float(sold / truth),
        "uncensored_share": float((sold + lost[hurt].sum()) / truth),
    }


def fill(panel: DemandPanel, held: Supply) -> dict:
    """Replayed policies: fill less aim of the playbook's, and total cost over that of
    doing as before.
    """
    classes = inventory.classes(panel, demand_law(panel))
    found = policy_replay(panel, held, classes=classes, holding_share=0.25).set_index("policy")
    ours = found.loc["playbook, by fill"]
    return {"aim": float(ours["aim_share"]), "fill": float(ours["fill_share"])} | {
        f"cost, {name}": float(cost) for name, cost in found["total_cost"].items()
    }


def backtest(panel: DemandPanel) -> dict:
    """The playbook's forecasts of the past half year."""
    found = demand_backtest(panel, classes=inventory.classes(panel, demand_law(panel)))
    row = found[(found["class"] == "all") & (found["model"] == "playbook")].iloc[0]
    return {name: float(row[name]) for name in ("coverage", "nominal", "wape", "naive_wape")}


def elasticity(shop: Shop, store: object, panel: DemandPanel) -> dict:
    """Coverage of 95 % intervals, of those told and with no limit on their width."""
    truth = shop.truth["skus"].set_index("sku")["elasticity"].reindex(panel.sku).to_numpy()
    found = pricing.elasticities(panel, prices=store.prices)
    regular = regular_prices(posted_prices(panel, store.prices), panel.promo)
    wide = price_elasticity(
        panel.units,
        panel.exposure,
        regular,
        panel.week,
        promo=panel.promo,
        group=pd.factorize(panel.category, sort=True)[0],
        widest=np.inf,
    )
    row = {}
    for name, part in (("told", found), ("any_width", wide)):
        good = part["is_identifiable"].to_numpy()
        hit = ((part["low"] <= truth) & (truth <= part["high"]))[good]
        row |= {f"n_{name}": int(good.sum()), f"hit_{name}": int(hit.sum())}
    blind = found.loc[~found["is_identifiable"], "estimate"].notna().sum()
    return row | {
        "refused": int((~found["is_identifiable"]).sum()),
        "told_though_refused": int(blind),
    }


@contextmanager
def without(world: object, promo_id: str):
    """The world's plan less one promotion."""
    plan = world.promotions
    world.promotions = lambda before: [p for p in plan(before) if p.promo_id != promo_id]
    try:
        yield
    finally:
        del world.promotions


def promotions(shop: Shop, store: object, products: object) -> dict:
    """Coverage of 90 % intervals over the promotions of the last year whose after-days
    are over.
    """
    share = assortment.variable_cost_share(store.sales_orders, as_of=store.as_of)
    review, _ = promotion_review.promotion_review(
        store.sku_days, store.promotions, as_of=store.as_of, products=products, variable_share=share
    )
    review = review[(review["status"] == "complete") & review["low"].notna()].set_index("promo_id")
    world = shop._sim.world
    plan = {p.promo_id: p for p in world.promotions(shop._sim.day) if p.promo_id in review.index}
    starts, sim = {}, Simulator(world)
    for chunk in shop._chunks:
        starts[sim.day] = sim.copy()
        sim.month(Plan(spend=np.moveaxis(chunk["planned"], 0, -1)))
    hit, off, size = [], [], []
    for name, promo in plan.items():
        on = (promo.first, promo.last + AFTER)
        with without(world, name):
            twin = starts[max(day for day in starts if day <= promo.first)].copy()
            months = [c for c in shop._chunks if c["last"] > twin.day and c["first"] <= on[1]]
            other = [twin.month(Plan(spend=np.moveaxis(c["planned"], 0, -1))) for c in months]
        truth = earned(months, on) - earned(other, on)
        row = review.loc[name]
        hit.append(bool(row["low"] <= truth <= row["high"]))
        off.append(float(row["incremental_margin"] - truth))
        size.append(float(truth))
    return {"n_promo": len(hit), "hit_promo": sum(hit), "promo_truth": size, "promo_off": off}


def earned(months: list[dict], days: tuple[int, int]) -> float:
    """EUR margin of the orders of these days."""
    return float(
        sum(
            order_margin(c)[(c["o_day"] >= days[0]) & (c["o_day"] <= days[1])].sum() for c in months
        )
        / 100
    )


def summary(rows: list[dict]) -> None:
    """Every figure over all seeds."""
    table(rows)
    for row in rows:
        print(
            f"seed {row['seed']}:",
            *(f"{player} {row[player] / row['oracle']:.3f}" for player in PLAYERS),
        )
    total = lambda name: sum(row[name] for row in rows)
    spread = lambda name: (np.mean(part := [row[name] for row in rows]), min(part), max(part))
    print(
        "uncensored demand over truth {:.3f} ({:.3f} to {:.3f})".format(
            *spread("uncensored_share")
        ),
        "naive sales {:.3f} ({:.3f} to {:.3f})".format(*spread("sold_share")),
        f"{total('n_out')} skus",
    )
    gaps = [row["fill"] - row["aim"] for row in rows]
    print(f"fill less aim, replay: mean {np.mean(gaps):+.4f}, {min(gaps):+.4f} to {max(gaps):+.4f}")
    print(
        "backtest: {:.3f} of 80 % intervals hold, {:.3f} should; wape {:.3f}, naive {:.3f}".format(
            *(
                np.mean([row[name] for row in rows])
                for name in ("coverage", "nominal", "wape", "naive_wape")
            )
        )
    )
    for name in ("textbook", "as before"):
        ratio = [row["cost, playbook, by cost"] / row[f"cost, {name}"] for row in rows]
        print(
            f"replayed cost over {name}: {np.mean(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f})"
        )
    for name, label in (("told", "told"), ("any_width", "told, were no width refused")):
        print(
            f"elasticity, {label}: {total('hit_' + name)} of {total('n_' + name)} 95 % intervals hold the truth "
            f"({total('hit_' + name) / max(total('n_' + name), 1):.1%})"
        )
    print(
        f"elasticity refused: {total('refused')}, with an estimate all the same: {total('told_though_refused')}"
    )
    print(
        f"promotions: {total('hit_promo')} of {total('n_promo')} 90 % intervals hold the true margin "
        f"({total('hit_promo') / max(total('n_promo'), 1):.1%})"
    )


if __name__ == "__main__":
    main()
