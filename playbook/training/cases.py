"""Case files: six months of one shop, something went wrong in each; find it, size it,
file a decision.

    case = open_case(1)          # the store is built once, in seconds, and kept in the cache
    print(case)                  # the memo, what to size, what may be decided
    shop = case.shop             # the opened store, as any chapter opens it
    case.file(find="...", day="2026-03-01", size=0, decision="...")

`cases.yaml` tells the cases, in both languages. One simulated shop that opened in March
2025, with every planted incident switched off but the case's own. The truth is never in
the store: where it cannot be counted from what was planted, the same months are played
once without the incident under the same chance, and the difference is the size.
Grading: finding (what and since when), sizing (within a stated share of the truth),
decision (what a careful colleague would do); each 0, half or 1.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from pandas import DataFrame, Series, Timestamp

from playbook.demo.make import play, write_folder
from playbook.demo.presets import VERSION, plan
from playbook.demo.shop import Shop
from playbook.demo.simulate import Simulator
from playbook.demo.state import FAKE
from playbook.demo.streams import key, uniform
from playbook.demo.world import World
from playbook.detect.incidents import incidents, of_month
from playbook.errors import PlaybookError
from playbook.messages import forms, label, language, read_yaml, say
from playbook.store import Store, cache_folder, open_store
from playbook.store.write import locked
from playbook.training.form import Form, NotThisKind, read
from playbook.training.learners import record
from playbook.training.typed import Unclear

TOLD = Path(__file__).with_name("cases.yaml")
#: a day this far from the true one still counts as the right day
NEAR_DAYS = 2
#: findings whose size is what the month lost by them
LOSSES = ("checkout fault", "price error")
#: months the detectors look at for a case
CASE_MONTHS = 3
Sentence = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One case: a size within `full` of the truth (a share) counts whole, within `half`
    half; each of `choices` has its mark and why, the choices of other cases have none.
    `switch` is the simulator's incident, which needs a plan `later_months` longer.
    """

    number: int
    month: str
    chapter: str
    finding: str
    day: str
    memo: Sentence
    full: float
    half: float
    choices: tuple[dict[str, Any], ...]
    later_months: int
    switch: str = ""

    @property
    def decisions(self) -> dict[str, tuple[float, str]]:
        """What may be decided, the same in every case -> its mark and why, in the
        language in use.
        """
        return {_said(c["choice"]): (c["mark"], _said(c["why"])) for c in _choices_of(self)}


@functools.cache
def _told() -> dict[str, Any]:
    return read_yaml(TOLD)


def _said(sentence: Sentence) -> str:
    return sentence[language()]


def findings() -> dict[str, str]:
    """What might have happened -> how one would see it, in the language in use."""
    return {name: _said(finding["looks"]) for name, finding in _told()["findings"].items()}


def _choices_of(case: Case) -> list[dict[str, Any]]:
    """The case's own choices and, without a mark, everybody else's; in the order of
    their English text, so that none stands beside those of its case.
    """
    own = {choice["choice"]["en"]: choice for choice in case.choices}
    why = forms("training.case_other_decision")
    others = [c["choice"] for told in _told()["cases"] for c in told["choices"]]
    for choice in [*others, *_told()["other_choices"]]:
        own.setdefault(choice["en"], {"choice": choice, "mark": 0.0, "why": why})
    return [own[text] for text in sorted(own)]


CASES = {case["number"]: Case(**case) for case in _told()["cases"]}


@dataclass(frozen=True)
class Grade:
    """Marks in [0, 1] for finding, sizing and decision, their mean, and what to say
    about each.
    """

    finding: float
    sizing: float
    decision: float
    advice: tuple[str, ...]

    @property
    def parts(self) -> dict[str, float]:
        """The three marks by name."""
        return {name: getattr(self, name) for name in ("finding", "sizing", "decision")}

    @property
    def score(self) -> float:
        """Mean of the three marks."""
        return round(sum(self.parts.values()) / 3, 4)

    def __str__(self) -> str:
        """The marks and the advice, a line each."""
        marks = say("training.case_marks", score=self.score, **self.parts)
        return "\n".join([marks, *self.advice])


class CaseFile:
    """A case with its store: `store` (folder), `month`, `shop` (opened as of the
    month's end).
    """

    def __init__(self, case: Case, store: Path, size: float) -> None:
        self.case, self.store, self.month, self._size = case, store, case.month, size

    @functools.cached_property
    def shop(self) -> Store:
        """The opened store; opened once."""
        return open_store(self.store, until=self.month)

    def __str__(self) -> str:
        """The memo and what is asked."""
        case, line = self.case, "\n  "
        return say(
            "training.case",
            number=case.number,
            month=case.month,
            memo=_said(case.memo),
            findings=line + line.join(_findings_to_size()),
            decisions=line + line.join(case.decisions),
        )

    __repr__ = __str__

    def file(
        self,
        find: object = ...,
        day: object = ...,
        size: object = ...,
        decision: object = ...,
        *,
        learner: str | None = None,
    ) -> Grade | None:
        """Hand the case in: prints marks and advice and returns the grade; with
        `learner` the grade is stored. `...` anywhere is "not attempted", and nothing is
        graded. What cannot be graded is said in one line.
        """
        if any(part is ... for part in (find, day, size, decision)):
            print(say("training.case_not_attempted", number=self.case.number))
            return None
        try:
            grade = self.grade(find=find, day=day, size=size, decision=decision)
        except PlaybookError as refusal:
            print(say("training.case_not_graded", refusal=refusal))
            return None
        if learner:
            self._keep(learner, grade)
        print(grade)
        print(self._as_told())
        return grade

    @functools.cached_property
    def incidents(self) -> DataFrame:
        """What the detectors find in the month: the table every chapter reads."""
        return of_month(incidents(self.shop, months=CASE_MONTHS), self.month)

    def _as_told(self) -> str:
        """The row of the table of incidents that tells this case; that there is none."""
        kind = _told()["findings"][self.case.finding].get("told_as", "")
        rows = self.incidents[self.incidents.kind == kind]
        if rows.empty:
            return say("training.case_not_told")
        row = rows.iloc[0]
        return say(
            "training.case_told",
            what=row.what,
            first=row.starts_on,
            last=row.ends_on,
            amount=row.amount,
            kind=label("money_is", row.money_is),
            check=row.check,
        )

    def _keep(self, learner: str, grade: Grade) -> None:
        number = self.case.number
        record(
            learner,
            f"case.{number}",
            title=say("training.case_title", number=number),
            level="L4",
            chapter=self.case.chapter,
            score=grade.score,
            store="case files",
            month=self.month,
            note=" ".join(grade.advice),
            parts=grade.parts,
        )

    def grade(self, *, find: object, day: object, size: object, decision: object) -> Grade:
        """The marks. `find` and `decision` are texts of the lists (case does not
        matter), `day` the first day it was so (YYYY-MM-DD), `size` a number in the unit
        asked for. PlaybookError for anything else.

        Finding: half for the right thing on a wrong day (more than two days off).
        Decision: the mark of the choice, but nothing for a decision on a wrong find.
        """
        case = self.case
        what = _finding_of(find)
        choice = _choice_of(decision, case)
        since, amount = _day_and_size(day, size)
        is_right = what == case.finding
        is_near = abs((since - Timestamp(case.day)).days) <= NEAR_DAYS
        advice = []
        if not is_right:
            advice.append(say("training.case_wrong_find", what=what, looks=findings()[what]))
        elif not is_near:
            advice.append(say("training.case_wrong_day"))
        mark = self._size_mark(amount)
        if mark < 1:
            advice.append(self._size_advice(amount, mark))
        decided = say("training.case_decision", why=_said(choice["why"]))
        advice.append(decided if is_right else say("training.case_decide_again"))
        finding = 1.0 if is_right and is_near else 0.5 * is_right
        return Grade(finding, mark, choice["mark"] * is_right, tuple(advice))

    def _size_mark(self, amount: float) -> float:
        off = abs(amount - self._size) / max(abs(self._size), 1e-9)
        if off <= self.case.full:
            return 1.0
        return 0.5 if off <= self.case.half else 0.0

    def _size_advice(self, amount: float, mark: float) -> str:
        way = "large" if abs(amount) > abs(self._size) else "small"
        if amount * self._size < 0:
            way = "sign"
        told = say(f"training.case_size_{way}")
        if mark == 0:
            return told
        low, high = sorted(self._size * (1 + side * self.case.full) for side in (-1, 1))
        return told + say("training.case_full_marks", low=low, high=high)


def _plain(text: object) -> str:
    return " ".join(str(text).split()).casefold()


def _finding_names() -> list[str]:
    """The findings as they are listed: the code, and its Chinese name where that is read."""
    names = {"en": "{code}", "zh": "{code}（{zh}）"}[language()]
    known = _told()["findings"].items()
    return [names.format(code=code, zh=finding["zh"]) for code, finding in known]


def _findings_to_size() -> list[str]:
    """Every finding as it is listed, with what is sized then."""
    sizes = [_said(finding["size_of"]) for finding in _told()["findings"].values()]
    return [f"{name}: {size}" for name, size in zip(_finding_names(), sizes, strict=True)]


def _finding_of(find: object) -> str:
    for (code, finding), listed in zip(_told()["findings"].items(), _finding_names(), strict=True):
        if _plain(find) in {_plain(name) for name in (code, finding["zh"], listed)}:
            return code
    raise PlaybookError("training.no_such_find", given=find)


def _choice_of(decision: object, case: Case) -> dict[str, Any]:
    for choice in _choices_of(case):
        if _plain(decision) in {_plain(text) for text in choice["choice"].values()}:
            return choice
    raise PlaybookError("training.no_such_decision", given=decision)


def _day_and_size(day: object, size: object) -> tuple[Timestamp, float]:
    try:
        since, amount = read(Form("date"), day), read(Form("money"), size)
    except (NotThisKind, Unclear):
        raise PlaybookError("training.not_a_day_and_a_number", day=day, size=size) from None
    if since is None or amount is None or not np.isfinite(amount):
        raise PlaybookError("training.day_or_size_missing")
    return Timestamp(since), amount


def open_case(number: int) -> CaseFile:
    """Case `number` (1 to 6) with its store, built on first use and kept in the cache.
    PlaybookError for another.
    """
    if number not in CASES:
        known = ", ".join(map(str, CASES))
        raise PlaybookError("training.no_such_case", number=number, known=known)
    laws = VERSION + "".join(p.read_text(encoding="utf-8") for p in (Path(__file__), TOLD))
    mark = hashlib.sha256(laws.encode()).hexdigest()[:10]
    folder = cache_folder() / "cases" / f"{number}-{mark}"
    truth = folder / "size.json"
    if not truth.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f".making-{number}", wait_seconds=600.0):
            if not truth.exists():
                _build_beside(CASES[number], folder)
    size = json.loads(truth.read_text(encoding="utf-8"))["size"]
    return CaseFile(CASES[number], folder / "store", float(size))


def by_day(table: ibis.Table, column: str, *, day: str = "ordered_on", last: int = 35) -> DataFrame:
    """Rows of a table per day, one column for each value of `column`; the `last` days
    that have any.
    """
    frame = table.select(day, column).to_pandas()
    days = pd.to_datetime(frame[day]).dt.date
    return pd.crosstab(days, frame[column].fillna("(missing)")).tail(last)


def _build_beside(case: Case, folder: Path) -> None:
    """Builds in a passing folder and puts it in its place whole."""
    with tempfile.TemporaryDirectory(prefix=f".{case.number}.", dir=folder.parent) as scratch:
        part = Path(scratch) / "case"
        _build(case, part)
        with contextlib.suppress(OSError):
            part.rename(folder)


def _build(case: Case, folder: Path) -> None:
    """Writes the store of a case and its true size."""
    shop = _played(case, with_incident=True)
    tables = dict(shop.tables)
    if case.finding == "late carrier":
        tables, size = _with_late_parcels(tables)
    else:
        size = _true_size(case, shop)
    store = folder / "store"
    store.mkdir(parents=True)
    write_folder(store, shop._sim.world, shop._sim.day - 1, tables)
    truth = json.dumps({"size": round(size, 2)})
    (folder / "size.json").write_text(truth + "\n", encoding="utf-8")


def _true_size(case: Case, shop: Shop) -> float:
    """Counted from what was planted, or the month played again without it."""
    if case.finding == "double load":
        ads = shop.tables["ad_spend"].to_pandas()
        is_doubled = (ads.region == "all") & (ads.channel == "search")
        return float(ads[is_doubled].spend.astype(float).sum())
    if case.finding == "fake orders":
        return float((shop._chunks[-1]["o_cause"] == FAKE).sum())
    column = "orders" if case.finding == "checkout fault" else "margin"
    without = _played(case, with_incident=False)
    change = shop.profit(case.month)[column] - without.profit(case.month)[column]
    return float(change.iloc[0]) * (-1 if case.finding in LOSSES else 1)


def _played(case: Case, *, with_incident: bool) -> Shop:
    """The shop on the last evening of the case's month, its incident on or off, chance
    the same.
    """
    told = _told()["shop"]
    until = pd.Period(case.month, "M") + case.later_months
    months = (until - pd.Period(told["opened"], "M")).n + 1
    switches = {"incidents": False}
    if case.switch and with_incident:
        switches[case.switch] = True
    asked, last, on = plan(
        "tiny",
        customers=told["customers"],
        months=months,
        until=str(until),
        seed=told["seed"],
        switches=switches,
    )
    # as Shop makes itself, but stopped in the month of the case
    shop = object.__new__(Shop)
    shop._sim = Simulator(World(asked, last, told["seed"], on))
    is_sale = case.finding == "promotion lost money"
    shop._chunks = [play(shop._sim) for _ in range(months - case.later_months - is_sale)]
    shop._forget()
    if is_sale:
        shop.advance({"promotions": [_sale(shop)]} if with_incident else None)
    return shop


def _sale(shop: Shop) -> dict[str, Any]:
    """The May sale on the first skus by name of those that are launched."""
    sale = dict(_told()["sale"])
    world = shop._sim.world
    skus = sorted(world.sku_ids[world.launched < shop._sim.day].tolist())
    on_sale = skus[: round(len(skus) * sale.pop("share_of_skus"))]
    return {**sale, "skus": on_sale, "promo_id": "2026-05-may-week"}


def _with_late_parcels(tables: dict[str, pa.Table]) -> tuple[dict[str, pa.Table], float]:
    """One carrier a week late for parcels shipped in a fortnight: later deliveries,
    tickets, fewer stars. Also the number of parcels late (or still under way past their
    day) that would not have been.
    """
    late = _told()["late"]
    orders = tables["orders"].to_pandas()
    end = Timestamp(CASES[4].month) + pd.offsets.MonthEnd(0) + pd.Timedelta(days=1)
    shipped = orders.shipped_at.dt.normalize()
    hit = (orders.carrier == late["carrier"]) & shipped.between(late["first"], late["last"])
    was_late = hit & (orders.delivered_at.fillna(end) > orders.promised_at)
    later = orders.delivered_at + pd.Timedelta(days=late["days"])
    arrives = orders.delivered_at.where(~hit, later.where(later < end))
    is_made_late = hit & (arrives.fillna(end) > orders.promised_at) & ~was_late
    tickets = pd.concat(
        [tables["tickets"].to_pandas(), _tickets_about(orders[is_made_late], end)]
    ).sort_values(["opened_at", "ticket_id"])
    schema = tables["tickets"].schema
    reviews = tables["reviews"].to_pandas()
    is_sad = reviews.order_id.isin(orders.order_id[is_made_late])
    stars = (reviews.stars - late["stars_lost"] * is_sad).clip(lower=1)
    changed = {
        "orders": _replaced(tables["orders"], "delivered_at", arrives),
        "tickets": pa.Table.from_pandas(tickets, schema=schema, preserve_index=False),
        "reviews": _replaced(tables["reviews"], "stars", stars),
    }
    return {**tables, **changed}, float(is_made_late.sum())


def _tickets_about(orders: DataFrame, end: Timestamp) -> DataFrame:
    """Tickets of the buyers who ask where their parcel is, opened and answered before
    `end`.
    """
    late = _told()["late"]
    digests = [hashlib.sha256(name.encode()).hexdigest()[:12] for name in orders.order_id]
    named = key(_told()["shop"]["seed"], "late", np.array([int(d, 16) for d in digests]))
    opened_at = orders.promised_at + pd.Timedelta(hours=late["ticket_after_hours"])
    asks = (uniform(named, "ticket") < late["ticket_share"]) & (opened_at < end)
    opened_at, order_id = opened_at[asks], orders.order_id[asks]
    replied_at = opened_at + pd.Timedelta(hours=late["reply_after_hours"])
    return DataFrame(
        {
            "ticket_id": "TL" + order_id.str[-10:],
            "opened_at": opened_at,
            "first_reply_at": replied_at.where(replied_at < end),
            "topic": late["topic"],
            "order_id": order_id,
            "is_reopened": False,
        }
    )


def _replaced(table: pa.Table, column: str, values: Series) -> pa.Table:
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.Array.from_pandas(values).cast(field.type, safe=False))
