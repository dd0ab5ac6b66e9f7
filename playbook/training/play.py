"""The shop game: six months of one shop, your decisions against doing as before, the
playbook's and an oracle's.

    game = start_game("game", seed=1, months=6)   # the same call goes on with it
    game.figures()                                # what the shop can know tonight
    game.month(1, {"budgets": {"search": 900}})   # plays it, shows what the shop sees
    game.result()                                 # when all months are played

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
import yaml
from pandas import DataFrame, Index, Series, Timestamp

from playbook.chapters.channel_roi import channels, media_plan
from playbook.chapters.inventory_planning import inventory
from playbook.chapters.segmentation import campaigns, segments
from playbook.demo.oracle import oracle, search
from playbook.demo.presets import VERSION
from playbook.demo.shop import Shop
from playbook.errors import PlaybookError
from playbook.measures.ad_spend import read_extract
from playbook.messages import say
from playbook.runs.month import HowToRun, run_month
from playbook.runs.plan import Wish
from playbook.store import Store
from playbook.store.write import write_json
from playbook.tables import frame_of
from playbook.training import decisions as chapters
from playbook.training.learners import learner_file, record
from playbook.training.stock import demand, held_stock

#: what to write for a month in which nothing new is decided
AS_BEFORE = "as before"
PLAYERS = ("as-before", "playbook", "oracle")
FILE = "game.json"
MOST_MONTHS = 24
Tell = Callable[[str], None]


def play_on(
    shop: Shop,
    player: str,
    months: int,
    *,
    areas: Sequence[str] | None = None,
    tell: Tell | None = None,
) -> Shop:
    """A twin of the shop, `months` further on, under one of PLAYERS; `areas` limits
    what the playbook decides. Chance is the same for every player. `tell` hears of each
    month. PlaybookError for another player.
    """
    if player not in PLAYERS:
        raise PlaybookError("training.no_player", player=player, known=", ".join(PLAYERS))
    twin = shop.copy()
    scales = search(shop, horizon=months) if player == "oracle" else None
    for ahead in range(months):
        decisions = None
        if player == "playbook":
            decisions = chapters.playbook_decisions(twin, areas=areas)
        elif player == "oracle":
            decisions = oracle(twin, horizon=months - ahead, scales=scales)
        twin.advance(decisions or None)
        if tell:
            tell(say("training.month_played", player=player, month=twin.month))
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
    is_whole = isinstance(months, int) and not isinstance(months, bool)
    if not is_whole or not 1 <= months <= MOST_MONTHS:
        raise PlaybookError("training.no_such_length", months=months, most=MOST_MONTHS)
    path = Path(folder) / FILE if str(folder) else _own_folder(learner, seed) / FILE
    asked = {"seed": seed, "preset": preset, "months": months, "laws": VERSION}
    if not path.exists():
        return Game(path.parent, {**asked, "decisions": []}).save()
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        known = {name: state[name] for name in asked} | {"decisions": list(state["decisions"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise PlaybookError("training.game_unreadable", file=path) from None
    if known["laws"] != VERSION:
        raise PlaybookError("training.game_of_other_laws", file=path)
    for name, value in asked.items():
        if known[name] != value:
            raise PlaybookError("training.another_game", name=name, value=known[name], file=path)
    return Game(path.parent, known)


def _own_folder(learner: str, seed: int) -> Path:
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
            write_json(self.folder / FILE, self._state)
        except OSError as error:
            raise PlaybookError(
                "training.game_not_kept", why=error.strerror, file=self.folder
            ) from None
        return self

    def play(self, decisions: Mapping[str, Any] | None = None) -> DataFrame:
        """Plays the next month under `decisions` (see `Shop.advance`; None: as before)
        and returns its true account, one row as in `Shop.profit`. PlaybookError, and
        nothing played, where the game is over or a decision cannot be carried out.
        """
        if self.n_played == self.n_months:
            raise PlaybookError("training.game_is_over", months=self.n_months)
        plain = None if decisions is None else _plain(decisions)
        twin = self.shop.copy()
        try:
            twin.advance(plain)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise PlaybookError("training.decisions_unreadable", why=error) from None
        before = self._state["decisions"]
        self._state["decisions"] = [*before, plain]
        try:
            self.save()
        except PlaybookError:
            self._state["decisions"] = before
            raise
        self.shop = twin
        return self.shop.profit(self.shop.month)

    def month(self, number: int, decisions: Any = ...) -> DataFrame | None:
        """For a notebook's cell: plays month `number` and shows the last months as the
        shop sees them (see `figures`); `...` plays nothing and says so.

        `decisions` is a dict, or AS_BEFORE. Run again with the same decisions, the cell
        shows the month again; a month that is played cannot be taken back, and one
        whose turn it is not waits. A refusal is printed, the month stays.
        """
        if decisions is ...:
            print(say("training.month_not_attempted", month=number))
            return None
        if number > self.n_played + 1:
            print(say("training.month_waits", month=number, before=self.n_played + 1))
            return None
        try:
            self._play_or_compare(number, decisions)
        except PlaybookError as refusal:
            print(say("training.month_refused", refusal=refusal))
            return None
        with chapters.open_shop(self.shop) as store:
            return _months(store).tail(self.n_played + 1).reset_index(drop=True)

    def _play_or_compare(self, number: int, decisions: Any) -> None:
        is_as_before = decisions is None or decisions == AS_BEFORE
        plain = None if is_as_before else _plain(decisions)
        if number > self.n_played:
            self.play(plain)
        elif plain != self._state["decisions"][number - 1]:
            print(say("training.month_cannot_be_taken_back", month=number))

    def __str__(self) -> str:
        """How far the game is and where it is kept."""
        return say(
            "training.game",
            day=self.shop.as_of,
            played=self.n_played,
            months=self.n_months,
            folder=self.folder,
        )

    __repr__ = __str__

    def account(self) -> DataFrame:
        """The true account of the months played, one row each, as in `Shop.profit`."""
        account = self.shop.profit()
        return account.tail(self.n_played).reset_index(drop=True)

    def figures(self, *, months: int = 6, with_response: bool = False) -> dict[str, DataFrame]:
        """What the shop can know tonight, by the chapters' own functions: `months`
        (orders, revenue, margin, spend of the last months), `channels` (chapter 03),
        `stock` (07: what to order, most worth first) and `too_much` (07), `segments`
        (06), `campaigns` (their hold-outs), `prices` (10: where a price may move) and,
        slower, `response` (03: what more spend would return) and `plan`.
        """
        with chapters.open_shop(self.shop) as store:
            figures = {"months": _months(store).tail(months), "channels": _channels(store)}
            figures |= _stock(store)
            figures["segments"] = segments.segment_table(_rfm(store))
            if store.has("treatments"):
                figures["campaigns"] = campaigns.campaign_returns(
                    store.treatments, store.customer_days, as_of=store.as_of
                )
            figures["prices"] = chapters.price_moves(store)
            if with_response:
                model, plan = chapters.budget_plan(store)
                figures["response"] = media_plan.response_table(model)
                figures["plan"] = plan.table
        return {name: table.reset_index(drop=True) for name, table in figures.items()}

    def customers(self, segment: str) -> list[str]:
        """Ids of the contactable customers of one value segment tonight, for a
        treatment. PlaybookError for a segment nobody is in.
        """
        with chapters.open_shop(self.shop) as store:
            people = _rfm(store).customers
            contactable = store.customers.filter(store.customers.is_contactable)
            may_be_asked = set(contactable.select("customer_id").to_pandas().customer_id)
        mine = people[people.segment == segment]
        if mine.empty:
            known = ", ".join(sorted(set(people.segment)))
            raise PlaybookError("training.nobody_in_segment", segment=segment, known=known)
        return sorted(set(mine.customer_id) & may_be_asked)

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
        only = tuple(name.strip() for name in chapters.split(",") if name.strip())
        done = run_month(
            str(self.store()),
            month=self.shop.month,
            wish=Wish(only),
            how=HowToRun(runs=self.folder / "runs", **options),
        )
        return Path(done.folder) / "index.html"

    def result(self, *, learner: str | None = None, tell: Tell | None = None) -> DataFrame:
        """Four players over the same months: you, as before, the playbook, the oracle:
        player, profit, gain (against as before), share (gain over the oracle's; missing
        where the oracle gains nothing). EUR. The playbook's months take a minute the
        first time and are kept. With `learner` the grade is stored. PlaybookError
        before the end.
        """
        if self.n_played < self.n_months:
            raise PlaybookError(
                "training.game_not_over", played=self.n_played, months=self.n_months
            )
        others = self._others(tell)
        profit = Series({"you": float(self.account().profit.sum()), **others})
        gain = profit - profit["as-before"]
        most = gain["oracle"] if gain["oracle"] > 0 else np.nan
        result = DataFrame({"profit": profit, "gain": gain, "share": gain / most})
        if learner:
            self._keep_grade(learner, result)
        return result.rename_axis("player").reset_index()

    def _keep_grade(self, learner: str, result: DataFrame) -> None:
        share = result.share["you"]
        score = float(np.clip(share, 0, 1)) if np.isfinite(share) else 0.0
        profits = {
            f"profit_{name.replace('-', '_')}": round(float(value), 2)
            for name, value in result.profit.items()
        }
        record(
            learner,
            f"game.shop-{self._state['seed']}",
            title=say("training.game_title"),
            chapter="11",
            level="L4",
            score=round(score, 4),
            store=self._state["preset"],
            month=self.shop.month,
            note=say("training.game_note"),
            **profits,
        )

    def _others(self, tell: Tell | None) -> dict[str, float]:
        """Profit of the other players, played once and kept beside the game."""
        path = self.folder / "others.json"
        mark = [self._state[name] for name in ("seed", "preset", "months", "laws")]
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        if known.get("of") != mark:
            profit = {}
            for player in PLAYERS:
                end = play_on(self._start, player, self.n_months, tell=tell)
                profit[player] = float(end.profit().tail(self.n_months).profit.sum())
            known = {"of": mark, "profit": profit}
            write_json(path, known)
        return {player: known["profit"][player] for player in PLAYERS}


def _rfm(store: Store) -> segments.RfmResult:
    return segments.rfm(store.customer_days, as_of=store.as_of, basis="margin")


def _channels(store: Store) -> DataFrame:
    months = channels.channel_months(
        store.sales_orders,
        spend=read_extract(store.ad_spend, as_of=store.as_of),
        refunds=store.booked_refunds,
        as_of=store.as_of,
    )
    return frame_of("training.game_channels", channels.channel_pnl(months))


def _stock(store: Store) -> dict[str, DataFrame]:
    """`stock`, what to order, and `too_much`, as far as the shop knows them."""
    tables = {}
    orders = chapters.stock_plan(store)
    if orders is not None:
        ranked = orders.sort_values(["expected_margin", "sku"], ascending=[False, True])
        tables["stock"] = frame_of("training.game_stock", ranked)
    if store.has("stock"):
        panel, law = demand(store)
        held = held_stock(store)
        tables["too_much"] = inventory.overstock(panel, law, held, as_of=store.as_of)
    return tables


def _months(store: Store) -> DataFrame:
    """By month of order: orders, revenue, margin (before ads, refunds not yet known are
    not in it), spend, margin after ads.
    """
    orders, ads = store.sales_orders, store.ad_spend
    by_month = orders.group_by(month=orders.ordered_on.strftime("%Y-%m"))
    sums = by_month.aggregate(
        orders=orders.count(),
        revenue=orders.revenue.sum().cast("float64"),
        margin=orders.margin.sum().cast("float64"),
    )
    spend = ads.group_by(month=ads.day_on.strftime("%Y-%m")).aggregate(
        spend=ads.spend.sum().cast("float64")
    )
    months = sums.to_pandas().merge(spend.to_pandas(), on="month", how="left")
    months["margin_after_ads"] = months.margin - months.spend
    return months.sort_values("month", ignore_index=True)


def _plain(value: Any) -> Any:
    """Decisions as they come back from a file: dicts, lists, texts, numbers; frames are
    rows, days are texts.
    """
    if isinstance(value, DataFrame):
        value = value.to_dict("records")
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (list, tuple, np.ndarray, Series, Index)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dt.date):
        return str(Timestamp(value).date())
    raise PlaybookError("training.no_decision", kind=type(value).__name__)


def _decisions_of(path: Path, months: int) -> list[dict | None]:
    """The months' decisions in a JSON or YAML file: one entry a month (null: as
    before), or one dict for all.
    """
    read = yaml.safe_load if path.suffix in (".yaml", ".yml") else json.loads
    try:
        decisions = read(path.read_text(encoding="utf-8"))
    except OSError:
        known = ", ".join(PLAYERS)
        raise PlaybookError("training.no_decisions_file", file=path, known=known) from None
    except (ValueError, yaml.YAMLError) as error:
        raise PlaybookError("training.not_json_or_yaml", why=error, file=path) from None
    if not isinstance(decisions, list):
        decisions = [decisions] * months
    are_dicts = all(one is None or isinstance(one, dict) for one in decisions)
    if len(decisions) > months or not are_dicts:
        raise PlaybookError("training.not_a_dict_a_month", months=months, file=path)
    return [*decisions, *[None] * (months - len(decisions))]


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m playbook.training.play",
        description=say("training.play_help"),
        epilog=say("training.play_example"),
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--decisions", default=PLAYERS[0], help=say("training.play_decisions_help"))
    parser.add_argument(
        "--areas", default=",".join(chapters.AREAS), help=say("training.play_areas_help")
    )
    return parser.parse_args(words)


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _played(asked: argparse.Namespace) -> Shop:
    start = Shop(seed=asked.seed, preset=asked.preset)
    if asked.decisions in PLAYERS:
        areas = asked.areas.split(",")
        return play_on(start, asked.decisions, asked.months, areas=areas, tell=_told)
    shop = start.copy()
    for decisions in _decisions_of(Path(asked.decisions), asked.months):
        shop.advance(decisions)
    return shop


def main(words: Sequence[str] | None = None) -> int:
    """Plays without a notebook and prints every month; exit status 0 done, 1 refused
    (said why), 2 wrong usage.
    """
    asked = _arguments(words)
    try:
        account = _played(asked).profit().tail(asked.months)
    except PlaybookError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print(account.round(2).to_string(index=False))
    print(say("training.play_profit", months=asked.months, profit=account.profit.sum()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
