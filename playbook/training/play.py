"""The shop game: six months of one shop, your decisions against doing as before, the
playbook's and an oracle's.

    game = start_game("game", seed=1, months=6)      # the folder keeps it; the same call goes on with it
    game.figures()                                   # what the shop can know tonight
    game.month(1, {"budgets": {"search": 900}})      # plays the month and shows what the shop sees of it
    game.result()                                    # when all months are played

The state is the seed and the decisions, written after every month; the shop is played
again from them, so that a game taken up later is the game played in one go. A decision
that cannot be carried out is refused before anything is played. Headless: `python -m
playbook.training.play --seed 1 --preset tiny --decisions
FILE|as-before|playbook|oracle`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from playbook.demo.oracle import oracle, search
from playbook.demo.presets import VERSION
from playbook.demo.shop import Shop
from playbook.errors import PlaybookError
from playbook.training.decisions import AREAS, open_shop, playbook_decisions

__all__ = ["AS_BEFORE", "Game", "PLAYERS", "playbook_decisions", "play_on", "start_game"]

AS_BEFORE = "as before"  # what to write for a month in which nothing new is decided
PLAYERS = ("as-before", "playbook", "oracle")
FILE = "game.json"


def play_on(
    shop: Shop,
    player: str,
    months: int,
    *,
    areas: Sequence[str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Shop:
    """A twin of the shop, `months` further on, under one of PLAYERS; `areas` limits
    what the playbook decides. Chance is the same for every player. `tell` hears of each
    month. PlaybookError for another player.
    """
    if player not in PLAYERS:
        raise PlaybookError(
            f"There is no player {player!r}", do=f"choose from {', '.join(PLAYERS)}"
        )
    twin, scales = shop.copy(), search(shop, horizon=months) if player == "oracle" else None
    for ahead in range(months):
        decisions = None
        if player == "playbook":
            decisions = playbook_decisions(twin, areas=areas)
        elif player == "oracle":
            decisions = oracle(twin, horizon=months - ahead, scales=scales)
        twin.advance(decisions or None)
        if tell:
            tell(f"{player}: {twin.month} played")
    return twin


def start_game(
    folder: str | os.PathLike = "",
    *,
    seed: int = 1,
    preset: str = "tiny",
    months: int = 6,
    learner: str = "",
) -> Game:
    """The game kept in `folder`: begun where there is none, else taken up where it was
    left. An empty `folder` is `games/<learner>-<seed>` in the learners' folder.

    PlaybookError where the folder holds a game of another seed, preset or length, or
    one begun under other laws.
    """
    if isinstance(months, bool) or not isinstance(months, int) or not 1 <= months <= 24:
        raise PlaybookError(
            f"A game of {months!r} months cannot be played", do="choose a whole number from 1 to 24"
        )
    path = Path(folder) / FILE if str(folder) else _own_folder(learner, seed) / FILE
    asked = {"seed": seed, "preset": preset, "months": months, "laws": VERSION}
    if not path.exists():
        return Game(path.parent, {**asked, "decisions": []}).save()
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        known = {name: state[name] for name in asked} | {"decisions": list(state["decisions"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise PlaybookError(
            "The game cannot be read", file=path, do="name another folder, or delete it"
        ) from None
    for name, value in asked.items():
        if known[name] != value:
            what = (
                "begun under other laws of the demo shop"
                if name == "laws"
                else f"one of {name} {known[name]!r}"
            )
            raise PlaybookError(
                f"The game in this folder is {what}", file=path, do="name another folder"
            )
    return Game(path.parent, known)


def _own_folder(learner: str, seed: int) -> Path:
    from playbook.training.learners import learner_file

    file = learner_file(learner or "guest")
    return file.parent / "games" / f"{file.stem}-{seed}"


class Game:
    """One game: `shop` on the evening of the last month played, `n_played` months
    behind it, `n_months` in all.
    """

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        self.folder, self._state = folder, state
        self.n_months = state["months"]
        self._start = Shop(seed=state["seed"], preset=state["preset"])
        self.shop = self._start.copy()
        for decisions in state["decisions"]:
            self.shop.advance(decisions)

    @property
    def n_played(self) -> int:
        """Months played so far."""
        return len(self._state["decisions"])

    def save(self) -> Game:
        """Writes the state, whole or not at all; returns the game."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f".{FILE}.{os.getpid()}"
            part.write_text(
                json.dumps(self._state, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
                encoding="utf-8",
            )
            os.replace(part, self.folder / FILE)
        except OSError as error:
            raise PlaybookError(
                f"The game cannot be kept: {error.strerror}",
                file=self.folder,
                do="name a folder you may write to",
            ) from None
        return self

    def play(self, decisions: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Plays the next month under `decisions` (see `Shop.advance`; None: as before)
        and returns its true account, one row as in `Shop.profit`. PlaybookError, and
        nothing played, where the game is over or a decision cannot be carried out.
        """
        if self.n_played == self.n_months:
            raise PlaybookError(
                f"All {self.n_months} months are played",
                do="ask for the result, or start a new game",
            )
        plain = None if decisions is None else _plain(decisions)
        twin = self.shop.copy()
        try:
            twin.advance(plain)
        except PlaybookError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise PlaybookError(
                f"The decisions cannot be read: {error}", do="write them as the example does"
            ) from None
        before = self._state["decisions"]
        self._state["decisions"] = [*before, plain]
        try:
            self.save()
        except PlaybookError:
            self._state["decisions"] = before
            raise
        self.shop = twin
        return self.shop.profit(self.shop.month)

    def month(self, number: int, decisions: Any = ...) -> pd.DataFrame | None:
        """For a notebook's cell: plays month `number` and shows the last months as the
        shop sees them (see `figures`); `...` plays nothing and says so.

        `decisions` is a dict, or AS_BEFORE. Run again with the same decisions, the cell
        shows the month again; a month that is played cannot be taken back, and one
        whose turn it is not waits. A refusal is printed, the month stays.
        """
        if decisions is ...:
            print(
                f"Month {number}: not attempted. Write your decisions in place of the dots, or AS_BEFORE."
            )
            return None
        try:
            plain = None if decisions is None or decisions == AS_BEFORE else _plain(decisions)
            if number <= self.n_played:
                if plain != self._state["decisions"][number - 1]:
                    print(
                        f"Month {number} is played already, under other decisions; it cannot be taken back."
                    )
            elif number > self.n_played + 1:
                print(f"Month {number} waits: play month {self.n_played + 1} first.")
                return None
            else:
                self.play(plain)
        except PlaybookError as refusal:
            print(f"Refused, and nothing was played: {refusal}")
            return None
        with open_shop(self.shop) as seen:
            return _months(seen).tail(self.n_played + 1).reset_index(drop=True)

    def __str__(self) -> str:
        """How far the game is and where it is kept."""
        return (
            f"The shop on the evening of {self.shop.as_of}: {self.n_played} of {self.n_months} months played, "
            f"kept in {self.folder}"
        )

    __repr__ = __str__

    def account(self) -> pd.DataFrame:
        """The true account of the months played, one row each, as in `Shop.profit`."""
        return (
            self.shop.profit().tail(self.n_played).reset_index(drop=True)
            if self.n_played
            else (self.shop.profit().head(0))
        )

    # --- what the trainee sees ---------------------------------------------------------------------------------------

    def figures(self, *, months: int = 6, with_response: bool = False) -> dict[str, pd.DataFrame]:
        """What the shop can know tonight, by the chapters' own functions: `months`
        (orders, revenue, margin, spend of the last months), `channels` (chapter 03),
        `stock` (07: what to order, most worth first), `segments` (06), `campaigns`
        (their hold-outs), `prices` (10: where a price may move) and, slower, `response`
        (03: what more spend would return, and the plan).
        """
        from playbook.chapters.channel_roi import channels, media_plan
        from playbook.chapters.inventory_planning import inventory
        from playbook.chapters.inventory_planning.supply import supply
        from playbook.chapters.segmentation import campaigns, segments
        from playbook.measures.ad_spend import read_extract
        from playbook.training import decisions as chapters

        with open_shop(self.shop) as seen:
            found = {"months": _months(seen).tail(months)}
            spend = read_extract(seen.ad_spend, as_of=seen.as_of)
            pnl = channels.channel_pnl(
                channels.channel_months(
                    seen.sales_orders, spend=spend, refunds=seen.booked_refunds, as_of=seen.as_of
                )
            )
            found["channels"] = pnl[
                ["channel", "spend", "orders", "new_customers", "margin", "roas", "be_roas", "poas"]
            ]
            planned = chapters.stock_plan(seen)
            if planned is not None:
                found["stock"] = planned.sort_values(
                    ["expected_margin", "sku"], ascending=[False, True]
                )[
                    [
                        "sku",
                        "available",
                        "incoming",
                        "mean_day",
                        "rop",
                        "up_to",
                        "order_units",
                        "expected_margin",
                    ]
                ]
            if seen.has("stock"):
                panel, law = chapters._demand(seen)
                held = supply(
                    seen.stock,
                    as_of=seen.as_of,
                    products=seen.get("products"),
                    purchase_orders=seen.get("purchase_orders"),
                )
                found["too_much"] = inventory.overstock(panel, law, held, as_of=seen.as_of)
            found["segments"] = segments.segment_table(
                segments.rfm(seen.customer_days, as_of=seen.as_of, basis="margin")
            )
            if seen.has("treatments"):
                found["campaigns"] = campaigns.campaign_returns(
                    seen.treatments, seen.customer_days, as_of=seen.as_of
                )
            found["prices"] = chapters.price_moves(seen)
            if with_response:
                model, plan = chapters.budget_plan(seen)
                found["response"], found["plan"] = media_plan.response_table(model), plan.table
        return {name: table.reset_index(drop=True) for name, table in found.items()}

    def customers(self, segment: str) -> list[str]:
        """Ids of the contactable customers of one value segment tonight, for a
        treatment. PlaybookError for a segment nobody is in.
        """
        from playbook.chapters.segmentation import segments

        with open_shop(self.shop) as seen:
            people = segments.rfm(seen.customer_days, as_of=seen.as_of, basis="margin").customers
            may = (
                seen.customers.filter(seen.customers.is_contactable)
                .select("customer_id")
                .to_pandas()
                .customer_id
            )
        mine = people[people.segment == segment]
        if mine.empty:
            raise PlaybookError(
                f"Nobody is in segment {segment!r}",
                do=f"choose from {', '.join(sorted(set(people.segment)))}",
            )
        return sorted(set(mine.customer_id) & set(may))

    def store(self) -> Path:
        """Writes what the shop sees tonight as a store (no truth) into the game's
        folder and returns it, for the notebooks: `store=` this folder, `month=`
        `game.shop.month`.
        """
        return self.shop.store(self.folder / "shop")

    def pack(self, chapters: str = "", **options: Any) -> Path:
        """The month's pack on the stored shop (minutes); returns its index.html.
        `chapters` such as "00,03,11" makes only those; `options` go to the monthly run.
        Packs of earlier months stay beside it.
        """
        from playbook.runs.month import HowToRun, run_month
        from playbook.runs.plan import Wish

        only = tuple(name.strip() for name in chapters.split(",") if name.strip())
        done = run_month(
            str(self.store()),
            month=self.shop.month,
            wish=Wish(only),
            how=HowToRun(runs=self.folder / "runs", **options),
        )
        return Path(done.folder) / "index.html"

    # --- the end -----------------------------------------------------------------------------------------------------

    def result(
        self, *, learner: str | None = None, tell: Callable[[str], None] | None = None
    ) -> pd.DataFrame:
        """Four players over the same months: you, as before, the playbook, the oracle:
        player, profit, gain (against as before), share (gain over the oracle's; missing
        where the oracle gains nothing). EUR. The playbook's months take a minute the
        first time and are kept. With `learner` the grade is stored. PlaybookError
        before the end.
        """
        if self.n_played < self.n_months:
            raise PlaybookError(
                f"{self.n_played} of {self.n_months} months are played", do="play the others first"
            )
        others = self._others(tell)
        profit = {"you": float(self.account().profit.sum()), **others}
        gain = {name: value - others["as-before"] for name, value in profit.items()}
        room = gain["oracle"] if gain["oracle"] > 0 else np.nan
        frame = pd.DataFrame(
            {"player": list(profit), "profit": list(profit.values()), "gain": list(gain.values())}
        )
        frame["share"] = frame.gain / room
        if learner:
            from playbook.training.learners import record

            share = float(frame.share.iloc[0])
            score = float(np.clip(share, 0, 1)) if np.isfinite(share) else 0.0
            record(
                learner,
                f"game.shop-{self._state['seed']}",
                title="The shop game",
                chapter="11",
                level="L4",
                score=round(score, 4),
                store=self._state["preset"],
                month=self.shop.month,
                **{
                    f"profit_{name.replace('-', '_')}": round(value, 2)
                    for name, value in profit.items()
                },
                note="share of what an oracle gains over doing as before",
            )
        return frame

    def _others(self, tell: Callable[[str], None] | None) -> dict[str, float]:
        """Profit of the other players, played once and kept beside the game."""
        path, mark = (
            self.folder / "others.json",
            [self._state[n] for n in ("seed", "preset", "months", "laws")],
        )
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = {}
        if kept.get("of") != mark:
            ends = {p: play_on(self._start, p, self.n_months, tell=tell) for p in PLAYERS}
            profit = {
                p: float(end.profit().tail(self.n_months).profit.sum()) for p, end in ends.items()
            }
            kept = {"of": mark, "profit": profit}
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            os.replace(part, path)
        return {p: kept["profit"][p] for p in PLAYERS}


def _months(shop: Any) -> pd.DataFrame:
    """By month of order: orders, revenue, margin (before ads, refunds not yet known are
    not in it), spend.
    """
    t = shop.sales_orders
    sums = (
        t.group_by(month=t.ordered_on.strftime("%Y-%m"))
        .aggregate(
            orders=t.count(),
            revenue=t.revenue.sum().cast("float64"),
            margin=t.margin.sum().cast("float64"),
        )
        .to_pandas()
    )
    a = shop.ad_spend
    spend = (
        a.group_by(month=a.day_on.strftime("%Y-%m"))
        .aggregate(spend=a.spend.sum().cast("float64"))
        .to_pandas()
    )
    out = sums.merge(spend, on="month", how="left").sort_values("month", ignore_index=True)
    return out.assign(margin_after_ads=out.margin - out.spend)


def _plain(value: Any) -> Any:
    """Decisions as they come back from a file: dicts, lists, texts, numbers; frames are
    rows, days are texts.
    """
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray, pd.Series, pd.Index)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else list(value)
        return [_plain(v) for v in items]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (dt.date, pd.Timestamp)):
        return str(pd.Timestamp(value).date())
    raise PlaybookError(
        f"{type(value).__name__} is no decision", do="use texts, numbers, lists and dicts"
    )


def _decisions_of(path: Path, months: int) -> list[dict | None]:
    """The months' decisions in a JSON or YAML file: one entry a month (null: as
    before), or one dict for all.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yaml", ".yml"):
            import yaml

            found = yaml.safe_load(text)
        else:
            found = json.loads(text)
    except OSError:
        raise PlaybookError(
            "The decisions cannot be read", file=path, do=f"name a file, or {', '.join(PLAYERS)}"
        ) from None
    except Exception as error:
        raise PlaybookError(
            f"The decisions are not JSON or YAML: {error}", file=path, do="write a list of dicts"
        ) from None
    found = found if isinstance(found, list) else [found] * months
    if len(found) > months or not all(d is None or isinstance(d, dict) for d in found):
        raise PlaybookError(
            f"The file does not hold up to {months} dicts",
            file=path,
            do="write one dict for each month",
        )
    return [*found, *[None] * (months - len(found))]


def main(words: Sequence[str] | None = None) -> int:
    """Plays without a notebook and prints every month; exit status 0 done, 1 refused
    (said why), 2 wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="python -m playbook.training.play",
        description="Play the shop game.",
        epilog="example: python -m playbook.training.play --seed 1 --decisions oracle",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument(
        "--decisions",
        default="as-before",
        help="FILE (JSON or YAML), as-before, playbook or oracle",
    )
    parser.add_argument(
        "--areas", default=",".join(AREAS), help="what the playbook decides, separated by commas"
    )
    asked = parser.parse_args(words)
    try:
        start = Shop(seed=asked.seed, preset=asked.preset)
        if asked.decisions in PLAYERS:
            played = play_on(
                start,
                asked.decisions,
                asked.months,
                areas=asked.areas.split(","),
                tell=lambda line: print(line, file=sys.stderr, flush=True),
            )
        else:
            played = start.copy()
            for decisions in _decisions_of(Path(asked.decisions), asked.months):
                played.advance(decisions)
        account = played.profit().tail(asked.months)
        print(account.round(2).to_string(index=False))
        print(f"profit of {asked.months} months: {account.profit.sum():,.2f} EUR")
    except PlaybookError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
