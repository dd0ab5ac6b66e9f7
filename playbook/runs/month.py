"""The monthly run: check, execute, gather, publish. A month is either there, whole, or
not there.

Work happens in `runs/<store>/.<month>.partial`, which is renamed at the end. What a
killed run had finished is kept and used again if its inputs, its code and its
parameters are still the same; so is what a published month holds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbook.chapters.registry import chapter as registered
from playbook.chapters.registry import place_of
from playbook.errors import PlaybookError
from playbook.messages import label, language, say, speaking
from playbook.runs.execute import Outcome, execute_notebook, stop_kernels
from playbook.runs.first_page import write_pack
from playbook.runs.folders import (
    digest_of,
    digest_text,
    earlier_versions,
    figures_differ,
    next_version,
    only_one,
    published_months,
    read_json,
    read_record,
    remove,
    require_place,
    settle,
    shop_folder,
    step_aside,
    write_json,
)
from playbook.runs.kept import broken_files
from playbook.runs.pack import pack_version
from playbook.runs.plan import (
    OURS,
    Chapter,
    Wish,
    code_version,
    library_versions,
    plan_chapters,
    replacements,
)
from playbook.runs.progress import Progress
from playbook.runs.same_shop import require_same_shop
from playbook.runs.titles import named_titles
from playbook.store import Store, open_store
from playbook.store.derived import DERIVED
from playbook.store.engine import memory_limit
from playbook.store.open import hand_over
from playbook.store.readiness import verdict
from playbook.store.state import state_of
from playbook.store.write import reading

__all__ = ["HowToRun", "Run", "run_month"]

MONTH_GATE = "month is complete"  # asked for by itself, before the verdict
# parts of a record that may differ between two equal runs
DIFFER = ("code", "versions", "earlier_packs", "state", "notebooks")


@dataclass(frozen=True)
class Run:
    """One month's outcome: its folder, exit status (0 whole, 3 with a failed chapter),
    whether anything changed.
    """

    folder: Path
    status: int
    is_changed: bool
    record: dict[str, Any]


@dataclass(frozen=True)
class HowToRun:
    """How a month is run: notebooks at a time, the folder of all months, the pack's
    language, the most memory of the engine, a month that is not complete allowed, a
    replay of the past, kernels that start warm, where progress is printed.
    """

    jobs: int = 2
    runs: str | Path = "runs"
    lang: str = "en"
    memory: str | None = None
    allow_partial: bool = False
    is_replay: bool = False
    is_warm: bool = True
    console: Any = None


def run_month(
    store: str,
    *,
    month: str | None = None,
    wish: Wish | None = None,
    how: HowToRun | None = None,
) -> Run:
    """Run one month of one store and publish it under `runs/<store>/<month>/`.

    `month` defaults to the last complete one. `wish` names the chapters to execute (the
    others are kept from the published month, which must come from the same inputs),
    parameters for every chapter that declares them, or a day of a running month to look
    at, all of it partial. Raises PlaybookError when the run is refused or when a
    chapter fails without which nothing is published.
    """
    wish, how = wish or Wish(), how or HowToRun()
    with speaking(how.lang):
        return _run(store, month, wish, how)


def _run(store: str, month: str | None, wish: Wish, how: HowToRun) -> Run:
    if how.memory:
        memory_limit(how.memory)  # refuses what is none
        os.environ["PLAYBOOK_MEMORY"] = how.memory  # inherited by every kernel
    shop = open_store(store, until=wish.until or month, memory=how.memory)
    store = hand_over(store)
    if not shop.is_month_complete and not (how.allow_partial or wish.until):
        raise PlaybookError(
            "runs.month_not_complete",
            month=shop.month,
            shop=shop.name,
            last=shop.observed_to,
            table="orders",
        )
    with reading(shop.folder):
        state = state_of(shop)
        if not shop.on_server and state != shop.content:
            # an import ended between the opening and the lock
            shop = open_store(store, until=wish.until or month, memory=how.memory)
            state = shop.content
        return _run_opened(shop, store, wish, how, state)


def _run_opened(shop: Store, store: str, wish: Wish, how: HowToRun, state: str) -> Run:
    folder = shop_folder(how.runs, shop.name)
    final, partial = folder / shop.month, folder / f".{shop.month}.partial"
    chapters = plan_chapters(
        shop,
        store,
        partial,
        wish,
    )
    identity = require_same_shop(folder, shop)
    verdict = _verdict(shop)
    for place in (folder, final, partial, step_aside(final)):
        require_place(place)
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".{shop.month}.lock"
    require_place(lock, is_folder=False)
    with only_one(lock, shop.month):
        settle(final)
        work = _Work(
            shop,
            final,
            partial,
            chapters,
            how,
            verdict,
            replacements(shop, partial),
        )
        work.is_selection, work.state = bool(wish.only), state
        work.identity = identity
        return work.go()


@dataclass
class _Work:
    """One month at work: which chapters are still valid, which must run, and what is
    published in the end.
    """

    shop: Store
    final: Path
    partial: Path
    chapters: list[Chapter]
    how: HowToRun
    verdict: dict[str, Any]
    replacements: dict[str, str]
    is_selection: bool = False
    state: str = ""
    identity: dict[str, Any] = field(default_factory=dict)

    def go(self) -> Run:
        """Execute what is missing, write the pack, publish."""
        before = read_record(self.final)
        self.set_aside = broken_files(self.final.parent, before=self.shop.month)
        if self.how.console is not None:
            for told in self.set_aside:
                self.how.console.print(say("runs.went_without", **told), highlight=False)
        if self.is_selection and before and before.get("fingerprint") != self.shop.fingerprint:
            raise PlaybookError(
                "runs.other_inputs",
                month=self.shop.month,
                file=self.final,
            )
        # live or replayed: a month stays what it was first published as
        is_first = not before or before.get("is_partial")
        self.is_replay = self.how.is_replay if is_first else bool(before.get("is_replay"))
        self.partial.mkdir(exist_ok=True)
        for left in self.partial.iterdir():  # of a killed run only finished chapters count
            if not (left / ".done.json").exists():
                remove(left)
        self._execute_chosen(before)
        return self._publish(before)

    def _execute_chosen(self, before: dict[str, Any]) -> None:
        """Execute the chosen chapters that are not still valid, the review last."""
        chosen = [chapter for chapter in self.chapters if chapter.is_chosen]
        past = (before or self._newest()).get("notebooks", {})
        usual = {name: outcome.get("seconds") or 0.0 for name, outcome in past.items()}
        title, names = f"{self.shop.name} {self.shop.month}", [c.name for c in chosen]
        with Progress(
            self.how.console,
            title,
            names,
            usual,
            self.how.jobs,
        ) as progress:
            todo = [c for c in chosen if not c.is_review and not self._is_kept(c, progress)]
            kernels = _Kernels([c.source for c in todo] if self.how.is_warm else [])
            try:
                if todo:
                    self._derive()
                todo.sort(key=lambda c: (not c.is_vital, -usual.get(c.name, _stated(c)), c.name))
                self._execute(todo, progress, kernels)
                self._keep_the_rest(before)
                self._write_record("running")
                for last in (c for c in chosen if c.is_review):
                    last.key = digest_text(last.key, self._read_by_review())
                    if not self._is_kept(last, progress):
                        self._execute([last], progress, kernels)
            finally:
                kernels.close()

    def _is_kept(self, chapter: Chapter, progress: Progress) -> bool:
        """Use a finished chapter again if its key is the same: one of this run, else
        the published one. A server's rows may have changed since the month was
        published, and --only is a wish to see a chapter run.
        """
        here = self.partial / chapter.name
        is_wanted = self.is_selection and not chapter.is_vital
        places = [here] if is_wanted or not self.shop.content else [here, self.final / chapter.name]
        for place in places:
            done = read_json(place / ".done.json")
            if done.get("key") == chapter.key:
                if place != here:
                    remove(here)
                    shutil.copytree(place, here)
                chapter.notes = done
                chapter.outcome = Outcome(chapter.name, "done", done.get("seconds", 0.0))
                progress.done(chapter.name, "kept", 0.0)
                return True
        remove(here)
        return False

    def _derive(self) -> None:
        """Build the shared tables once, before the kernels start to ask for them."""
        if not self.shop.content or self.shop.get("orders") is None:
            return
        console = self.how.console
        for name in DERIVED:
            if console is not None and not (self.shop.cache / f"{name}.parquet").exists():
                console.print(say("runs.building", name=name), highlight=False)
            # a shop may lack what it is made of; sections are blocked then
            with contextlib.suppress(PlaybookError):
                self.shop.derived(name)

    def _execute(self, chapters: list[Chapter], progress: Progress, kernels: _Kernels) -> None:
        """Execute chapters, some at a time; start no more once one has failed without
        which nothing could be published.
        """
        stop = threading.Event()

        def execute(chapter: Chapter) -> None:
            if not stop.is_set():
                status = self._outcome(chapter, progress, kernels)
                if status == "failed" and chapter.is_vital:
                    stop.set()

        workers = max(self.how.jobs, 1)
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="notebook")
        try:
            waiting = {pool.submit(execute, chapter) for chapter in chapters}
            while waiting:
                ended, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for job in ended:
                    job.result()
        except KeyboardInterrupt:
            stop.set()
            stop_kernels()
            raise PlaybookError("runs.interrupted", month=self.shop.month) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for chapter in chapters:
            outcome = chapter.outcome
            if chapter.is_vital and outcome and outcome.status == "failed":
                parts = ("cell", "section", "error", "traceback")
                told = {part: getattr(outcome, part) for part in parts}
                raise PlaybookError(
                    "runs.vital_chapter_failed",
                    name=chapter.name,
                    **told,
                )

    def _outcome(self, chapter: Chapter, progress: Progress, kernels: _Kernels) -> str:
        """Execute one chapter, note what it left, and say how it ended."""
        target = self.partial / chapter.name
        outcome = chapter.outcome = execute_notebook(
            chapter.source,
            target / "notebook.ipynb",
            chapter.parameters,
            folder=chapter.source.parent,
            replacements=self.replacements,
            kernels=kernels.manager,
            on_cell=functools.partial(progress.cell, chapter.name),
        )
        if outcome.status == "done":
            notes = read_json(target / "notes.json")
            chapter.notes = {
                "key": chapter.key,
                "digest": digest_of(target),
                "seconds": round(outcome.seconds, 2),
                "rows": notes.get("rows", {}),
                "blocked": notes.get("blocked", []),
            }
            write_json(target / ".done.json", chapter.notes)
        progress.done(chapter.name, outcome.status, outcome.seconds)
        return outcome.status

    def _keep_the_rest(self, before: dict[str, Any]) -> None:
        """With --only: the other chapters as published, their outcome as recorded."""
        for chapter in self.chapters:
            known = before.get("notebooks", {}).get(chapter.name)
            if chapter.is_chosen or not known:
                continue
            remove(self.partial / chapter.name)
            if (self.final / chapter.name).is_dir():
                shutil.copytree(self.final / chapter.name, self.partial / chapter.name)
            chapter.notes = read_json(self.final / chapter.name / ".done.json")
            chapter.parameters = before.get("parameters", {}).get(chapter.name, {})
            told = (known.get(k, "") for k in ("section", "error", "traceback"))
            chapter.outcome = Outcome(
                chapter.name, known["status"], known["seconds"], known.get("cell", 0), *told
            )
        for left in self.partial.iterdir():  # chapters that no longer exist
            if left.is_dir() and left.name not in {c.name for c in self.chapters if c.outcome}:
                remove(left)

    def _publish(self, before: dict[str, Any]) -> Run:
        """Write the pack and put the month in its place; a month that would be the same
        is left alone.
        """
        self._prove_state()
        titles = named_titles(self.shop, self.partial)
        record = self._write_record("complete") | {"pack": pack_version(self.final)}
        record["titles"] = titles
        status = 3 if any(v["status"] == "failed" for v in record["notebooks"].values()) else 0
        if _plain(before) == _plain(record):
            remove(self.partial)
            return Run(self.final, status, False, before)
        if self.final.name in record["earlier_packs"]:
            # it is about to be kept under another name
            record["earlier_packs"][-1] = next_version(self.final).name
        write_pack(self.partial, record, months=self.final.parent)
        write_json(self.partial / "run.json", record)
        if self.final.exists():
            os.rename(self.final, step_aside(self.final))
        os.rename(self.partial, self.final)
        settle(self.final)
        return Run(self.final, status, True, record)

    def _prove_state(self) -> None:
        """The store is what it was when the month began, and every chapter read that;
        PlaybookError else, and what was made from two states is thrown away.
        """
        what = ""
        for chapter in self.chapters:
            read = read_json(self.partial / chapter.name / "notes.json").get("content", "")
            if chapter.is_chosen and read and read != self.shop.content:
                what = say("runs.other_state", name=chapter.name)
        if not what and state_of(self.shop, anew=True) != self.state:
            what = say("runs.fingerprint_moved")
        if what:
            remove(self.partial)
            raise PlaybookError(
                "runs.store_changed",
                month=self.shop.month,
                what=what,
            )

    def _write_record(self, state: str) -> dict[str, Any]:
        """run.json: what was run, from which inputs, by which code, and what became of
        every chapter.
        """
        shop = self.shop
        outcomes = {c.name: _entry(c) for c in self.chapters if c.outcome is not None}
        record = {
            "state": state,
            "store": shop.name,
            "shop": self.identity,
            "month": shop.month,
            "as_of": str(shop.as_of),
            "currency": shop.currency,
            "margin_basis": shop.margin_basis,
            "is_partial": not shop.is_month_complete,
            "is_replay": self.is_replay,
            "lang": self.how.lang,
            "fingerprint": shop.fingerprint,
            "code": code_version(),
            "versions": library_versions(),
            "verdict": self.verdict,
            "parameters": {
                c.name: {k: v for k, v in c.parameters.items() if k not in OURS}
                for c in self.chapters
            },
            "earlier_packs": self._earlier_packs(outcomes),
            "notebooks": outcomes,
        }
        record |= {"set_aside": self.set_aside} if self.set_aside else {}
        write_json(self.partial / "run.json", record)
        return record

    def _earlier_packs(self, listed: dict[str, Any]) -> list[str]:
        """This month's earlier versions, oldest first; the one standing is among them
        if its figures differ.
        """
        moved = figures_differ(read_record(self.final), {"notebooks": listed})
        return [p.name for p in earlier_versions(self.final)] + [self.final.name] * moved

    def _read_by_review(self) -> list[Any]:
        """What 11 reads besides its notebook: this month's chapters, earlier packs and
        months, people's answers.
        """
        record = read_json(self.partial / "run.json")
        folder = self.final.parent
        digests = {
            name: [outcome["status"], outcome["digest"]]
            for name, outcome in record["notebooks"].items()
            if place_of(name) != "review"
        }
        packs = [folder / name for name in record["earlier_packs"]]
        packs += [p for p in published_months(folder) if p.name[:7] < self.shop.month]
        answered = folder / "decisions_log.parquet"
        answers = digest_of(answered) if answered.exists() else ""
        return [digests, [_known(p) for p in packs], self.is_replay, self.how.lang, answers]

    def _newest(self) -> dict[str, Any]:
        """The newest published month's record, for how long each chapter usually takes."""
        months = published_months(self.final.parent)
        return read_record(months[-1]) if months else {}


class _Kernels:
    """The kernel manager class of a run: warm forks where the system can, plain kernels
    elsewhere.
    """

    def __init__(self, notebooks: list[Path]) -> None:
        self.manager, self._close = None, None
        is_wished = os.environ.get("PLAYBOOK_WARM", "1") != "0"
        if is_wished and len(notebooks) > 1 and sys.platform.startswith("linux"):
            from playbook.runs.warm import imported_modules, warm_kernels

            with contextlib.suppress(OSError):
                self.manager, self._close = warm_kernels(imported_modules(notebooks))

    def close(self) -> None:
        if self._close:
            self._close()


def _stated(chapter: Chapter) -> float:
    """How long a chapter usually takes, where no earlier run tells."""
    facts = registered(chapter.name)
    return float(facts.seconds) if facts else 0.0


def _entry(chapter: Chapter) -> dict[str, Any]:
    """What the record says of a chapter."""
    outcome, notes = chapter.outcome, chapter.notes
    entry = {
        "status": outcome.status,
        "seconds": round(outcome.seconds, 2),
        "rows": notes.get("rows", {}),
        "blocked": notes.get("blocked", []),
        "digest": notes.get("digest", ""),
    }
    if outcome.status == "failed":
        parts = ("cell", "section", "error", "traceback")
        entry |= {part: getattr(outcome, part) for part in parts}
    return entry


def _known(month: Path) -> list[Any]:
    """What of a published month the review reads: digests and outcomes, and whether it
    was a replay.
    """
    record = read_record(month)
    outcomes = record.get("notebooks", {}).items()
    told = {name: [o.get("digest"), o.get("status")] for name, o in outcomes}
    return [told, record.get("is_replay")]


def _verdict(shop: Store) -> dict[str, Any]:
    """The store's gates in plain values; one that stops refuses the run, unless a
    partial month was asked for.
    """
    if shop.get("orders") is None:
        return {
            "status": "go with exclusions",
            "reasons": [say("runs.no_orders")],
            "gates": [],
        }
    name = f"verdict-{code_version()}-{language()}.json"
    memo = shop.cache / name if shop.content else None
    if memo is not None and (known := read_json(memo)):
        return known
    judged = verdict(shop)
    is_stop = (judged.gates.verdict == "stop") & (judged.gates.gate != MONTH_GATE)
    if is_stop.any():
        stops = judged.gates[is_stop]
        pairs = zip(stops.gate, stops.amount, strict=True)
        reasons = "; ".join(f"{label('gates', gate)}: {amount}" for gate, amount in pairs)
        raise PlaybookError(
            "runs.cannot_carry",
            shop=shop.name,
            month=shop.month,
            why=reasons,
        )
    gates = judged.gates.astype(object).where(judged.gates.notna(), None).to_dict("records")
    plain = {
        "status": judged.status,
        "reasons": list(judged.reasons),
        "gates": gates,
    }
    if memo is None:
        return plain
    write_json(memo, plain)
    return read_json(memo)  # the same plain values whether it was computed or remembered


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what may differ between two equal runs."""
    outcomes = {
        name: {part: value for part, value in outcome.items() if part != "seconds"}
        for name, outcome in record.get("notebooks", {}).items()
    }
    kept = {part: value for part, value in record.items() if part not in DIFFER}
    return kept | {"notebooks": outcomes}
