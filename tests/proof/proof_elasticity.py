"""Elasticities whose truth is known: four made designs, demo shops, and today's against the pooled.

`python tests/proof/proof_elasticity.py [panels|demo|designs] [first seed] [how many]` adds to
proof/elasticity.jsonl what is not there yet and prints every figure the file holds. Seeds 701 and
up were tuned on, 801 and up are reported. `panels` makes the demo shops' weekly panels
(proof/panels/SEED.npz), which `demo` reads.

The designs, each 156 weeks with season, life cycles, weeks of the shop and of the category, stock
and promotions that shout:

independent  every sku moves at dates of its own
variants     30 variants of one product move together, the rest of the category on its own
category     all skus of a category move together
promotions   prices move where promotions begin and end, and at no other time
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
FILE, PANELS = ROOT / "proof" / "elasticity.jsonl", ROOT / "proof" / "panels"
WEEK = np.arange(156) % 52
DESIGNS = ("independent", "variants", "category", "promotions")
VARIANTS = 30


def main() -> None:
    """Run what was asked for, then print what the file holds."""
    part, first, many = (sys.argv[1:] + ["", "801", "5"][len(sys.argv) - 1 :])[:3]
    known = {(row["part"], row["seed"]) for row in rows()}
    for seed in range(int(first), int(first) + int(many)):
        if part == "panels" and not (PANELS / f"{seed}.npz").exists():
            keep_panel(seed)
        for name, run in (("demo", demo), ("designs", designs)):
            if part in ("", name) and (name, seed) not in known:
                found = {"part": name, "seed": seed, **run(seed)}
                FILE.parent.mkdir(exist_ok=True)
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
    summary(pd.json_normalize(rows()))


def rows() -> list[dict]:
    """What is already proven."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    return [json.loads(line) for line in lines]


def keep_panel(seed: int) -> None:
    """The weekly panel of a demo shop, read through the store, with its true elasticities."""
    from playbook.demo.presets import PRESETS
    from playbook.demo.shop import Shop
    from playbook.measures.demand_panel import demand_panel
    from playbook.measures.price_moves import posted_prices, with_prices
    from playbook.methods.elasticity import regular_prices
    from playbook.store import open_store

    PRESETS["goods"] = replace(PRESETS["demo"], name="goods")
    shop = Shop(preset="goods", seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(shop.store(Path(scratch) / "shop"), until=shop.month)
        panel = demand_panel(store.sku_days, as_of=store.as_of, products=store.get("products"))
        panel = with_prices(panel, prices=store.prices)
        regular = regular_prices(posted_prices(panel, store.prices), panel.promo)
    truth = shop.truth["skus"].set_index("sku")["elasticity"].reindex(panel.sku)
    PANELS.mkdir(parents=True, exist_ok=True)
    np.savez(
        PANELS / f"{seed}.npz", units=panel.units, exposure=panel.exposure, price=regular,
        week=panel.week, group=pd.factorize(panel.category, sort=True)[0], promo=panel.promo,
        truth=truth.to_numpy(float),
    )  # fmt: skip


def before() -> ModuleType | None:
    """The module as it was before, named by PLAYBOOK_BEFORE; None where it is not given."""
    if not os.environ.get("PLAYBOOK_BEFORE"):
        return None
    spec = importlib.util.spec_from_file_location("before", os.environ["PLAYBOOK_BEFORE"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scored(found: pd.DataFrame, truth: np.ndarray, among: np.ndarray | None = None) -> dict:
    """How many are told, how many intervals hold the truth, and how far off they are."""
    told = found.is_identifiable.to_numpy() & np.isfinite(truth)
    use = told if among is None else told & among
    inside = (found.low <= truth) & (truth <= found.high)
    miss = (found.estimate - truth)[use]
    return {
        "n": len(truth),
        "told": int(told.sum()),
        "held": float(inside[told].mean()) if told.any() else None,
        "rmse": float(np.sqrt((miss**2).mean())) if use.any() else None,
        "bias": float(miss.mean()) if use.any() else None,
    }


def demo(seed: int) -> dict:
    """One demo shop: today's and the former estimates, and both over the skus both tell."""
    from playbook.methods.elasticity import price_elasticity

    panel = np.load(PANELS / f"{seed}.npz")
    given = {k: panel[k] for k in ("units", "exposure", "price", "week", "group", "promo")}
    found = price_elasticity(**given)
    told = {"now": scored(found, panel["truth"])}
    if former := before():
        old = former.price_elasticity(**given)
        both = (old.is_identifiable & found.is_identifiable).to_numpy()
        told["before"] = scored(old, panel["truth"])
        # the former estimates of all skus told now, however wide their intervals were
        wide = former.price_elasticity(**given, widest=np.inf)
        among = found.is_identifiable.to_numpy()
        told["before_any_width"] = scored(wide, panel["truth"], among)
        told["now_same"] = scored(found, panel["truth"], wide.is_identifiable.to_numpy())
        told["now_both"] = scored(found, panel["truth"], both)
        told["before_both"] = scored(old, panel["truth"], both)
    return told


def design(name: str, seed: int, n: int = 240) -> tuple[dict, np.ndarray]:
    """A made market: what `price_elasticity` is given, and the true elasticities."""
    rng = np.random.default_rng([seed, DESIGNS.index(name)])
    group = np.repeat(np.arange(3), n // 3)
    truth = -np.clip(2.2 * np.exp(rng.normal(0, 0.3, n)), 0.8, 4.5)
    level = rng.lognormal(2.3, 0.9, n)[:, None]
    season = 1 + 0.4 * np.cos(2 * np.pi * (WEEK[None, :] - 8 * group[:, None]) / 52)
    weeks = np.exp(0.08 * rng.normal(size=156) + 0.06 * rng.normal(size=(3, 156))[group])
    life = np.exp(rng.normal(0, 0.3, n)[:, None] * np.linspace(-1, 1, 156))
    promo = np.zeros((n, 156))
    for i, start in zip(*np.nonzero(rng.random((n, 156)) < 1 / 40), strict=True):
        promo[i, start : start + rng.integers(1, 3)] = 1.0
    exposure = np.where(rng.random((n, 156)) < 0.05, rng.uniform(0, 0.9, (n, 156)), 1.0)
    moves = np.where(rng.random((n, 156)) < 1 / 26, rng.normal(0, 0.1, (n, 156)), 0)
    if name == "variants":
        moves[:VARIANTS] = moves[0]
    if name == "category":
        moves = np.where(rng.random((3, 156)) < 1 / 20, rng.normal(0, 0.1, (3, 156)), 0)[group]
    if name == "promotions":
        # a lower price for as long as the promotion lasts, which itself draws
        promo = np.zeros((n, 156))
        depth = np.zeros((n, 156))
        for i, start in zip(*np.nonzero(rng.random((n, 156)) < 1 / 30), strict=True):
            length = rng.integers(3, 9)
            promo[i, start : start + length] = 1.0
            depth[i, start : start + length] = rng.uniform(0.05, 0.2)
        price = 20 * (1 - depth)
    else:
        path = np.cumsum(moves, axis=1)
        price = 20 * np.exp(path - path.mean(axis=1, keepdims=True))
    paid = price * (1 if name == "promotions" else 1 - 0.2 * promo)
    mean = level * life * season * weeks * (paid / 20) ** truth[:, None] * (1 + 0.5 * promo)
    noise = rng.gamma(1 / 0.12, 0.12, mean.shape)
    units = rng.poisson(mean * exposure * noise).astype(float)
    given = {"units": units, "exposure": exposure, "price": price, "week": WEEK}
    return given | {"group": group, "promo": promo}, truth


def designs(seed: int) -> dict:
    """The four designs of one seed, today's way and as before."""
    from playbook.methods.elasticity import price_elasticity

    told, former = {}, before()
    for name in DESIGNS:
        given, truth = design(name, seed)
        found = price_elasticity(**given)
        told[name] = scored(found, truth)
        if name == "variants":
            told["the 30"] = scored(found.head(VARIANTS), truth[:VARIANTS])
        if former:
            told[f"{name} before"] = scored(former.price_elasticity(**given), truth)
    return told


def summary(found: pd.DataFrame) -> None:
    """Means over seeds, tuned and reported apart."""
    for (part, reported), some in found.groupby(["part", found.seed > 800]) if len(found) else ():
        label = "reported" if reported else "tuned on"
        print(part, f"{label}, {len(some)} seeds")
        figures = some.drop(columns=["part", "seed"]).dropna(axis=1, how="all").mean()
        table = figures.rename_axis("name").reset_index(name="mean")
        table[["what", "figure"]] = table["name"].str.rsplit(".", n=1, expand=True)
        print(table.pivot(index="what", columns="figure", values="mean").round(3).to_string())


if __name__ == "__main__":
    main()
