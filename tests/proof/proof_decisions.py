"""The pack's decisions held against the truth the demo shop knows.

For a seed and a month: the pack is made, each of its first ten rows is carried out alone
and all ten together, in futures of other chance than each other but common to every
decision, and the difference of true profit over the next three months is printed beside
the claim. Beside it: what the ten best decisions of somebody who knows the laws would
have brought, one lever at a time as the pack's rows are.

`python tests/proof/proof_decisions.py [SEEDS MONTHS] [--label NAME] [--code FOLDER]`, with
seeds as 401-410 and months as 2026-08,2026-10 (the default), adds to proof/decisions-NAME.jsonl what is
not there yet and prints the summary of all that is. `--code` names the folder whose
`playbook` makes the pack, so that another state of the code can be measured. A run that is
cut goes on where it was; `oracle` rows do not depend on the pack and are kept for all
labels.

Profit is that of `Shop.profit` in the three months; what people won in them are still to
bring within the year stands apart (`later`) and is not compared with a claim.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from proof.carry_out import STANDING, Pack, carried_out, together

HERE = ROOT / "proof"
PERIOD = 3  # months a decision is followed
FUTURES = 2
MOST = 10
#: months of the period per unit of the claim's own
OF_PERIOD = {"month": 3.0, "quarter": 1.0, "year": 0.25, "once": 1.0, "": 1.0}
#: chapters that claim a margin; the first and the last are always made
CHAPTERS = "03,06,07,08,10"


def main() -> None:
    """Prove what was asked for, then print everything the file holds."""
    asked = _arguments()
    HERE.mkdir(exist_ok=True)
    file = HERE / f"decisions-{asked.label}.jsonl"
    for seed in asked.seeds:
        for month in asked.months:
            known = {(row["seed"], row["month"]) for row in lines(file)}
            if (seed, month) not in known:
                began = time.time()
                rows = prove(seed, month, asked)
                with file.open("a", encoding="utf-8") as out:
                    out.writelines(json.dumps(row) + "\n" for row in rows)
                print(f"{seed} {month}: {time.time() - began:.0f} s", flush=True)
    summary(file)


def _arguments() -> argparse.Namespace:
    words = argparse.ArgumentParser()
    words.add_argument("seeds", type=_numbers, nargs="?", default=_numbers("401-410"))
    words.add_argument("months", type=_words, nargs="?", default=["2026-08", "2026-10"])
    words.add_argument("--label", default="now")
    words.add_argument("--code", type=Path, default=ROOT)
    words.add_argument("--work", type=Path, default=HERE / "decisions")
    return words.parse_args()


def _numbers(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _words(text: str) -> list[str]:
    return text.split(",")


def lines(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of results; none where there is no file yet."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def prove(seed: int, month: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per decision of the list, one for all together and one for the oracle's."""
    shop = played(seed, month, asked)
    folder = made_pack(shop, seed, month, asked)
    world = Futures(shop)
    about = {"seed": seed, "month": month}
    pack = Pack(folder)
    ranked = pack.ranked().head(MOST)
    rows, moves = [], []
    for place, row in enumerate(ranked.itertuples(), start=1):
        move, why = carried_out(row, pack, shop)
        try:
            effect = world.effect(move) if move else np.zeros((FUTURES, 2))
        except ValueError as refusal:
            move, why, effect = None, f"refused: {refusal}", np.zeros((FUTURES, 2))
        if move:
            moves.append(move)
        rows.append({**about, "row": str(place), **_claim(row), "why": why, **_told(effect)})
    claims = [row["claim"] for row in rows if row["claim"] is not None]
    joint = world.effect(together(moves)) if moves else np.zeros((FUTURES, 2))
    rows.append({**about, "row": "all", "claim": sum(claims), **_told(joint)})
    rows.append({**about, "row": "oracle", **oracles(world, seed, month)})
    return rows


def played(seed: int, month: str, asked: argparse.Namespace) -> Any:
    """The shop on the evening of the month; kept by its laws, as playing it takes a while."""
    import pickle

    from playbook.demo.presets import VERSION
    from playbook.demo.shop import Shop

    file = asked.work / "shops" / f"{seed}-{month}-{VERSION}.pickle"
    if file.exists():
        return pickle.loads(file.read_bytes())
    shop = Shop(preset="demo", seed=seed, until=month)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(shop))
    return shop


def _claim(row: Any) -> dict[str, Any]:
    """What a row says it brings in the period: `stated` by its chapter, `claim` as the
    review ranks it, after discount where it discounts; None where nothing is said of
    margin.
    """
    from playbook.decisions import effects

    share = OF_PERIOD[row.effect_period if isinstance(row.effect_period, str) else ""]
    facts = effects()["effects"].get(row.effect_kind if isinstance(row.effect_kind, str) else "")
    is_claim = bool(facts and facts["ranks"] is True and pd.notna(row.expected_effect))
    ends = [row.expected_effect, row.effect_low, row.effect_high]
    told = [float(end) * share if is_claim and pd.notna(end) else None for end in ends]
    if hasattr(row, "worth_low"):
        ends = [row.worth, row.worth_low, row.worth_high]
        told = [float(end) if pd.notna(end) else None for end in ends]
    kind = getattr(row, "kind", "")
    stated = float(row.expected_effect) * share if is_claim else None
    about = {"chapter": str(row.notebook)[:2], "action": row.action, "subject": row.subject}
    about |= {"kind": kind, "stated": stated}
    return about | dict(zip(("claim", "low", "high"), told, strict=True))


def _told(effect: np.ndarray) -> dict[str, float]:
    """Mean over futures, its standard error, and what comes later."""
    mean = effect.mean(axis=0)
    error = effect[:, 0].std(ddof=1) / np.sqrt(len(effect))
    return {"true": round(mean[0], 1), "se": round(error, 1), "later": round(mean[1], 1)}


def made_pack(shop: Any, seed: int, month: str, asked: argparse.Namespace) -> Path:
    """The month's pack of the shop, made by the code asked for; kept."""
    runs = asked.work / asked.label / str(seed)
    done = runs / "demo" / month
    if (done / "run.json").exists():
        return done
    store = asked.work / "stores" / f"{seed}-{month}" / "demo"
    if not (store / "orders.parquet").exists() or not any(store.iterdir()):
        shutil.rmtree(store, ignore_errors=True)
        shop.store(store)
    wanted = ["run", "--store", str(store), "--month", month, "--runs", str(runs)]
    words = [sys.executable, "-m", "playbook", *wanted, "--jobs", "1"]
    place = {**os.environ, "PYTHONPATH": str(asked.code)}
    only = ["--only", CHAPTERS]
    said = subprocess.run([*words, *only], env=place, capture_output=True, text=True, check=False)
    found = sorted(runs.glob(f"*/{month}/run.json"))
    if not found:
        raise SystemExit(said.stdout + said.stderr)
    return found[0].parent


class Futures:
    """A shop's next months under decisions, against the same months as before."""

    def __init__(self, shop: Any, futures: int = FUTURES) -> None:
        self.shop, self.futures = shop, futures
        self.before = [self._worth(None, f) for f in range(futures)]

    def effect(self, move: Any, futures: int | None = None) -> np.ndarray:
        """Futures x (profit of the period, later): the difference a decision makes."""
        many = range(futures or self.futures)
        return np.array([np.subtract(self._worth(move, f), self.before[f]) for f in many])

    def _worth(self, move: Any, future: int) -> tuple[float, float]:
        """A mapping is carried out in the first month, what stands in every one; a
        function of the shop is asked every month.
        """
        from playbook.demo.oracle import COMES_TRUE, still_to_come

        twin = self.shop.copy().reseed(9_000 + future)
        since = twin._sim.day
        for ahead in range(PERIOD):
            twin.advance(move(twin, ahead) if callable(move) else _of_month(move, ahead))
        months = twin.profit(twin._sim.world.month_of(since))
        each = float(months.margin.sum() / max(months.orders.sum(), 1))
        later = still_to_come(twin, since, 30.4 * (12 - PERIOD)) * each * COMES_TRUE
        return float(months.profit.sum()), float(later)


def _of_month(move: Any, ahead: int) -> Any:
    if move is None or ahead == 0:
        return move
    return {name: value for name, value in move.items() if name in STANDING} or None


def oracles(world: Futures, seed: int, month: str) -> dict[str, Any]:
    """What the ten best single decisions under known laws bring together; kept, as they
    do not depend on the pack.
    """
    from playbook.demo.oracle import single_decisions
    from playbook.demo.presets import VERSION

    kept = HERE / "decisions-oracle.jsonl"
    for row in lines(kept):
        if (row["seed"], row["month"], row["laws"]) == (seed, month, VERSION):
            return row["found"]
    options = single_decisions(world.shop, months=PERIOD)
    gain = {name: world.effect(move, 1)[:, 0].mean() for name, move in options.items()}
    best = sorted((name for name in gain if gain[name] > 0), key=lambda n: (-gain[n], n))[:MOST]

    def all_of(twin: Any, ahead: int) -> Any:
        moves = [options[name] for name in best]
        each = [m(twin, ahead) if callable(m) else _of_month(m, ahead) for m in moves]
        return together([m for m in each if m]) or None

    found = {"best": {n: round(gain[n]) for n in best}, **_told(world.effect(all_of))}
    with kept.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"seed": seed, "month": month, "laws": VERSION, "found": found}))
        out.write("\n")
    return found


def summary(file: Path) -> None:
    """Every seed and month, then what the issue asks for."""
    table = pd.DataFrame(lines(file))
    single = table[~table.row.isin(["all", "oracle"])]
    shown = ["seed", "month", "row", "chapter", "action", "subject"]
    money = ["claim", "low", "high", "true", "se", "later"]
    print(single[[*shown, *money, "why"]].round(0).to_string(index=False, max_colwidth=28))
    wide = table[table.row.isin(["all", "oracle"])].pivot(
        index=["seed", "month"], columns="row", values="true"
    )
    stated = single[single.claim.notna()]
    by = stated.groupby(["seed", "month"])
    wide = wide.assign(
        rows=single.groupby(["seed", "month"]).size(),
        above=single.assign(is_up=single.true > 0).groupby(["seed", "month"]).is_up.mean(),
        claims=by.claim.sum(),
        alone=by.true.sum(),
        share=wide["all"] / wide["oracle"],
    )
    print(wide.round(2).to_string())
    ranged = stated[stated.low.notna() & stated.high.notna()]
    held = (ranged.low <= ranged.true) & (ranged.true <= ranged.high)
    moves = stated[stated.action.str.contains("price", na=False)]
    inside = (moves.low <= moves.true) & (moves.true <= moves.high)
    told = {
        "rows of the lists": len(single),
        "of them with a true effect above 0": (single.true > 0).mean(),
        "claims over truth, rows alone": stated.claim.sum() / single.true.sum(),
        "claims over truth, all together": stated.claim.sum() / wide["all"].sum(),
        "truth inside the stated interval": held.mean(),
        "all together over the oracle's": wide["all"].sum() / wide["oracle"].sum(),
        "all together, EUR a shop": wide["all"].mean(),
        "price moves": len(moves),
        "of them with the right sign": (moves.true > 0).mean(),
        "of them inside their interval": inside.mean(),
    }
    for name, value in told.items():
        print(f"{name:45s} {value:12,.2f}")


if __name__ == "__main__":
    main()
