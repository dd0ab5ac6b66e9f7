"""The pack's decisions held against the truth the demo shop knows.

For a seed and a month: the pack is made, each of its first ten rows is carried out alone
and all ten together, in futures of other chance than each other but common to every
decision, and the difference of true profit over the next three months is printed beside
the claim. Beside it: what the ten best decisions of somebody who knows the laws would
have brought, one lever at a time as the pack's rows are.

`python tests/proof/proof_decisions.py [SEEDS MONTHS] [--label NAME] [--code FOLDER]
[--seconds S] [--every]`, with seeds as 401-410 and months as 2026-08,2026-10 (the
default), adds to proof/decisions-NAME.jsonl what is not there yet and prints the summary
of all that is. `--code` names the folder whose `playbook` makes the pack, so that another
state of the code can be measured; this folder's own notebooks run in this process,
without kernels and without drawings.

A run that is cut goes on where it was: the shop, its store, every chapter and every
future played are kept under proof/decisions, and after `--seconds` no new one is begun
(exit status 124). Futures depend on the shop, its laws and what was done only, so all
labels share them.

`--every` carries out all rows with a claim (at most ten of a kind) instead of the first
ten, and prints what claims of each kind came to, as `came_true.yaml` keeps it: for seeds
that nothing is reported on.

Profit is that of `Shop.profit` in the three months; what people won in them are still to
bring within the year stands apart (`later`) and is not compared with a claim.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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

from proof import by_law
from proof.carry_out import STANDING, Pack, carried_out, together

HERE = ROOT / "proof"
PERIOD = 3  # months a decision is followed
FUTURES = 2
FIRST = 9_000  # number of the first future
MOST = 10
UNFINISHED = 124  # exit status where futures are left to play
#: chapters that claim a margin; the first and the last are always made
CHAPTERS = "02,03,06,07,08,10"


class MoreToPlay(Exception):
    """The time is up; what was played is kept."""


def main() -> int:
    """Prove what was asked for, then print everything the file holds."""
    asked = _arguments()
    asked.work, asked.code = asked.work.resolve(), asked.code.resolve()
    HERE.mkdir(exist_ok=True)
    file = HERE / f"decisions-{asked.label}.jsonl"
    asked.until = time.monotonic() + asked.seconds
    for seed in asked.seeds:
        for month in asked.months:
            known = {(row["seed"], row["month"]) for row in lines(file)}
            if (seed, month) in known:
                continue
            began = time.time()
            try:
                rows = prove(seed, month, asked)
            except MoreToPlay:
                print(f"{seed} {month}: more to play, start again", flush=True)
                return UNFINISHED
            with file.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in rows)
            print(f"{seed} {month}: {time.time() - began:.0f} s", flush=True)
    summary(file)
    if asked.every:
        by_kind(file)
    return 0


def _arguments() -> argparse.Namespace:
    words = argparse.ArgumentParser()
    words.add_argument("seeds", type=_numbers, nargs="?", default=_numbers("401-410"))
    words.add_argument("months", type=_words, nargs="?", default=["2026-08", "2026-10"])
    words.add_argument("--label", default="now")
    words.add_argument("--code", type=Path, default=ROOT)
    words.add_argument("--work", type=Path, default=HERE / "decisions")
    words.add_argument("--seconds", type=float, default=1e9)
    words.add_argument("--every", action="store_true")
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
    world = Futures(shop, asked.work / "futures" / f"{seed}-{month}.jsonl", until=asked.until)
    about = {"seed": seed, "month": month}
    pack = Pack(folder)
    listed = claiming(pack) if asked.every else pack.ranked().head(MOST)
    stated = pack.stated(listed)
    rows, moves, beside = [], [], np.zeros(FUTURES)
    for place, row in enumerate(listed.itertuples(), start=1):
        move, why = carried_out(row, pack, shop)
        by_rule = by_law.gain(row, pack, world.quarters)
        if by_rule is not None:
            move, why, effect = None, "by its law", _now(by_rule)
            beside = beside + by_rule
        else:
            move, why, effect = _played(move, why, world)
        if move:
            moves.append(move)
        claim = _claim(row, stated.loc[row.Index])
        rows.append({**about, "row": str(place), **claim, "why": why, **_told(effect)})
    if asked.every:
        return rows
    claims = [row["claim"] for row in rows if row["claim"] is not None]
    joint = world.effect(together(moves)) if moves else np.zeros((FUTURES, 2))
    joint = joint + _now(beside)
    rows.append({**about, "row": "all", "claim": sum(claims), **_told(joint)})
    rows.append({**about, "row": "oracle", **oracles(world, pack)})
    return rows


def _now(amounts: np.ndarray) -> np.ndarray:
    """An effect of each future that brings nothing later."""
    return np.column_stack([amounts, np.zeros(FUTURES)])


def _played(move: Any, why: str, world: Futures) -> tuple[Any, str, np.ndarray]:
    """What a move brings; nothing where there is none, or where the shop refuses it."""
    try:
        effect = world.effect(move) if move else np.zeros((FUTURES, 2))
    except ValueError as refusal:
        return None, f"refused: {refusal}", np.zeros((FUTURES, 2))
    return move, why, effect


def claiming(pack: Pack) -> pd.DataFrame:
    """Every open proposal that claims a margin, at most ten of a kind, the first first."""
    from playbook.decisions import effects

    ranks = [name for name, facts in effects()["effects"].items() if facts["ranks"] is True]
    rows = pack.table("11", "decisions")
    is_claim = rows.effect_kind.isin(ranks) & rows.expected_effect.notna()
    rows = rows[is_claim & (rows.status == "proposed") & rows.is_idle.ne(True)]
    return rows.groupby("kind", sort=True).head(MOST).reset_index(drop=True)


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
    part = file.with_suffix(".part")
    part.write_bytes(pickle.dumps(shop))
    part.replace(file)
    return shop


def _claim(row: Any, said: Any) -> dict[str, Any]:
    """What a row says it brings in the period: `stated` by its chapter (`said`, at the orders
    of the quarter ahead), `claim` as the review ranks it, after discount where it discounts;
    None where nothing is said of margin.
    """
    ends = [said.claim, said.low, said.high]
    if hasattr(row, "worth_low"):
        ends = [row.worth, row.worth_low, row.worth_high]
    told = [float(end) if pd.notna(end) else None for end in ends]
    kind = getattr(row, "kind", "")
    stated = float(said.claim) if pd.notna(said.claim) else None
    about = {"chapter": str(row.notebook)[:2], "action": row.action, "subject": row.subject}
    about |= {"kind": kind, "stated": stated, "confidence": row.confidence}
    return about | dict(zip(("claim", "low", "high"), told, strict=True))


def _told(effect: np.ndarray) -> dict[str, float]:
    """Mean over futures, its standard error, and what comes later."""
    mean = effect.mean(axis=0)
    error = effect[:, 0].std(ddof=1) / np.sqrt(len(effect))
    return {"true": round(mean[0], 1), "se": round(error, 1), "later": round(mean[1], 1)}


def made_pack(shop: Any, seed: int, month: str, asked: argparse.Namespace) -> Path:
    """The month's pack of the shop, made by the code asked for; kept. What a cut run had
    finished of it is used again.
    """
    # a folder for each month: the shop of another month begins with other orders
    runs = asked.work / asked.label / f"{seed}-{month}"
    done = runs / "demo" / month
    if (done / "run.json").exists():
        return done
    store = asked.work / "stores" / f"{seed}-{month}" / "demo"
    if not (store.parent / "written").exists():
        shutil.rmtree(store, ignore_errors=True)
        shop.store(store)
        (store.parent / "written").touch()
    wanted = ["run", "--store", str(store), "--month", month, "--runs", str(runs)]
    words = [*wanted, "--jobs", "1", "--only", CHAPTERS]
    said = in_this_process(words) if asked.code == ROOT else by_command_line(words, asked.code)
    found = sorted(runs.glob(f"*/{month}/run.json"))
    if not found:
        raise SystemExit(said)
    return found[0].parent


def by_command_line(words: list[str], code: Path) -> str:
    """What `playbook` of a folder says; `-m` looks into the folder it is started in first."""
    asked = [sys.executable, "-m", "playbook", *words]
    said = subprocess.run(asked, cwd=code, capture_output=True, text=True, check=False)
    return said.stdout + said.stderr


def in_this_process(words: list[str]) -> str:
    """The same of this folder, its notebooks executed here and nothing drawn to a file."""
    from proof import proof_zoo

    from playbook.runs.results import Results

    Results.figure = proof_zoo._not_saved
    return proof_zoo.in_this_process(words)[1]


class Futures:
    """A shop's next months under decisions, against the same months as before. What was
    played is kept in `file`, by the laws, what was done and the number of the future.
    """

    def __init__(
        self, shop: Any, file: Path, *, until: float = np.inf, futures: int = FUTURES
    ) -> None:
        self.shop, self.file, self.until, self.futures = shop, file, until, futures
        self._quarters: list[by_law.Quarter] = []
        self.known = {row["of"]: row["worth"] for row in lines(file)}

    def quarters(self) -> list[by_law.Quarter]:
        """The months ahead as before, in every future, for what is told by a law."""
        if not self._quarters:
            many = range(self.futures)
            self._quarters = [by_law.Quarter(self.shop, FIRST + f, PERIOD) for f in many]
        return self._quarters

    def effect(self, move: Any, futures: int | None = None, name: str = "") -> np.ndarray:
        """Futures x (profit of the period, later): the difference a decision makes. A
        function of the shop needs a name.
        """
        many = range(futures or self.futures)
        pairs = [(self._worth(move, f, name), self._worth(None, f)) for f in many]
        return np.array([np.subtract(*pair) for pair in pairs])

    def _worth(self, move: Any, future: int, name: str = "") -> tuple[float, float]:
        from playbook.demo.presets import VERSION

        done = name or json.dumps(move, sort_keys=True, default=str)
        told = f"{VERSION}|{PERIOD}|{future}|{done}"
        key = hashlib.sha256(told.encode()).hexdigest()[:20]
        if key not in self.known:
            if time.monotonic() > self.until:
                raise MoreToPlay
            self.known[key] = self._play(move, future)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"of": key, "worth": self.known[key]}) + "\n")
        return self.known[key]

    def _play(self, move: Any, future: int) -> tuple[float, float]:
        """A mapping is carried out in the first month, what stands in every one; a
        function of the shop is asked every month.
        """
        from playbook.demo.oracle import COMES_TRUE, still_to_come

        twin = self.shop.copy().reseed(FIRST + future)
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


def oracles(world: Futures, pack: Pack) -> dict[str, Any]:
    """What the ten best single decisions under known laws bring together, those beside the
    simulated shop among them.
    """
    from playbook.demo.oracle import single_decisions

    options = single_decisions(world.shop, months=PERIOD)
    gain = {
        name: world.effect(move, 1, f"oracle: {name}")[:, 0].mean()
        for name, move in options.items()
    }
    each = [by_law.best(ahead, pack) for ahead in world.quarters()]
    beside = {name: np.array([of[name] for of in each]) for name in each[0]}
    gain |= {name: amounts.mean() for name, amounts in beside.items()}
    best = sorted((name for name in gain if gain[name] > 0), key=lambda n: (-gain[n], n))[:MOST]
    in_shop = [name for name in best if name not in beside]

    def all_of(twin: Any, ahead: int) -> Any:
        moves = [options[name] for name in in_shop]
        each = [m(twin, ahead) if callable(m) else _of_month(m, ahead) for m in moves]
        return together([m for m in each if m]) or None

    joint = world.effect(all_of, name=f"oracle: {', '.join(in_shop)}")
    joint = joint + _now(sum((beside[n] for n in best if n in beside), np.zeros(FUTURES)))
    return {"best": {n: round(gain[n]) for n in best}, **_told(joint)}


def summary(file: Path) -> None:
    """Every seed and month, then what the issue asks for."""
    table = pd.DataFrame(lines(file))
    single = table[~table.row.isin(["all", "oracle"])]
    shown = ["seed", "month", "row", "chapter", "action", "subject"]
    money = ["claim", "low", "high", "true", "se", "later"]
    print(single[[*shown, *money, "why"]].round(0).to_string(index=False, max_colwidth=28))
    stated = single[single.claim.notna()]
    told = {
        "rows of the lists": len(single),
        "of them with a true effect above 0": (single.true > 0).mean(),
        "claims over truth, rows alone": stated.claim.sum() / single.true.sum(),
        "truth inside the stated interval": _held(stated),
    }
    joint = table[table.row.isin(["all", "oracle"])]
    if len(joint):
        told |= _together(joint, single, stated)
    moves = stated[stated.kind.str.startswith("assortment_pricing.price_")]
    for name, part in {"all": moves, **dict(list(moves.groupby("kind")))}.items():
        about = f"price moves ({name.rpartition('_')[2]})"
        told |= {
            about: len(part),
            f"{about}: sign right": (part.true > 0).mean(),
            f"{about}: inside their interval": _held(part),
            f"{about}: claims over truth": part.claim.sum() / part.true.sum(),
        }
    for name, value in told.items():
        print(f"{name:45s} {value:12,.2f}")


def _held(rows: pd.DataFrame) -> float:
    """Share of rows whose truth lies in the stated interval, of those that state one."""
    ranged = rows[rows.low.notna() & rows.high.notna()]
    return ((ranged.low <= ranged.true) & (ranged.true <= ranged.high)).mean()


def _together(joint: pd.DataFrame, single: pd.DataFrame, stated: pd.DataFrame) -> dict[str, float]:
    """The first ten carried out together beside the oracle's; a line per seed and month."""
    wide = joint.pivot(index=["seed", "month"], columns="row", values="true")
    by = stated.groupby(["seed", "month"])
    wide = wide.assign(
        rows=single.groupby(["seed", "month"]).size(),
        above=single.assign(is_up=single.true > 0).groupby(["seed", "month"]).is_up.mean(),
        claims=by.claim.sum(),
        alone=by.true.sum(),
        share=wide["all"] / wide["oracle"],
    )
    print(wide.round(2).to_string())
    return {
        "claims over truth, all together": stated.claim.sum() / wide["all"].sum(),
        "all together over the oracle's": wide["all"].sum() / wide["oracle"].sum(),
        "all together, EUR a shop": wide["all"].mean(),
    }


def by_kind(file: Path) -> None:
    """What claims of each kind came to: `share` = (n x truth over claims + 1 x the weight
    of the stated confidence) / (n + 1), `spread` the standard deviation of a row's share
    around it, weighed by the claims; and `apart`, how far the shares of shops lie around
    their kind's, by moments: the mean of (shop's share - kind's)² - spread² / its rows.
    """
    from playbook.chapters.monthly_review.ranking import WEIGHT

    rows = pd.DataFrame(lines(file))
    rows = rows[rows.stated.notna() & (rows.stated > 0)]
    beyond = []
    for kind, part in rows.groupby("kind"):
        n, claims = len(part), part.stated
        weight = part.confidence.map(WEIGHT).astype(float).mean()
        share = (n * part.true.sum() / claims.sum() + weight) / (n + 1)
        spread = np.sqrt(np.average((part.true / claims - share) ** 2, weights=claims))
        shops = part.groupby(["seed", "month"]).agg(
            true=("true", "sum"), stated=("stated", "sum"), n=("true", "size")
        )
        if len(shops) > 1 and n > len(shops):
            off = shops.true / shops.stated - part.true.sum() / claims.sum()
            beyond += (off**2 - spread**2 / shops.n).tolist()
        print(
            f"  # {part.true.sum() / 1e3:.1f} k of {claims.sum() / 1e3:.1f} k claimed"
            f" in {len(shops)} shops\n"
            f"  {kind}: {{share: {share:.2f}, spread: {spread:.2f}, n: {n}}}"
        )
    print(f"apart: {np.sqrt(max(np.mean(beyond or [0.0]), 0.0)):.2f}")


if __name__ == "__main__":
    sys.exit(main())
