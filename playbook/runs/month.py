"""The monthly run: check, execute, gather, publish. A month is either there, whole, or
not there.

Work happens in `runs/<store>/.<month>.partial`, which is renamed at the end. What a
killed run had finished is kept and used again if its inputs, its code and its
parameters are still the same; so is what a published month holds.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.errors import PlaybookError
from playbook.runs.execute import Outcome, execute_notebook, stop_kernels
from playbook.runs.folders import (
    digest_of,
    digest_text,
    earlier_versions,
    figures_differ,
    next_version,
    only_one,
    published_months,
    read_json,
    remove,
    settle,
    shop_folder,
    step_aside,
    write_json,
)
from playbook.runs.plan import (
    OURS,
    Chapter,
    code_version,
    library_versions,
    plan_chapters,
    replacements,
)
from playbook.runs.progress import Progress
from playbook.store import open_store

__all__ = ["Run", "run_month"]

SLOWEST = "05_ltv_modelling"  # starts early in a first run, when no earlier one tells how long chapters take


@dataclass(frozen=True)
class Run:
    """One month's outcome: its folder, exit status (0 whole, 3 with a failed chapter),
    whether anything changed.
    """

    folder: Path
    status: int
    is_changed: bool
    record: dict[str, Any]


def run_month(
    store: str,
    *,
    month: str | None = None,
    until: str | None = None,
    only: tuple[str, ...] = (),
    jobs: int = 2,
    runs: str | Path = "runs",
    lang: str = "en",
    memory: str | None = None,
    allow_partial: bool = False,
    parameters: dict[str, str] | None = None,
    is_replay: bool = False,
    is_warm: bool = True,
    console: Any = None,
    notebooks: Path | None = None,
) -> Run:
    """Run one month of one store and publish it under `runs/<store>/<month>/`.

    `month` defaults to the last complete one; `until` (a day) looks at a running month
    and marks everything partial. `only` names the chapters to execute; the others are
    kept from the published month, which must come from the same inputs. `parameters`
    are name -> text for every chapter that declares the name. Raises PlaybookError when
    the run is refused or when 00 or 11 fails: nothing is published then.
    """
    if memory:
        if not re.fullmatch(r"\d+(\.\d+)?\s*([KMGT]i?B|%)", memory):
            raise PlaybookError(
                f"{memory!r} is not an amount of memory", do="write for example 2GB"
            )
        os.environ["PLAYBOOK_MEMORY"] = memory  # inherited by every kernel
    shop = open_store(store, until=until or month, memory=memory)
    if not shop.is_month_complete and not (allow_partial or until):
        raise PlaybookError(
            f"{shop.month} is not complete: the orders of {shop.name} end on {shop.observed_to}",
            table="orders",
            do="choose an earlier month, import the rest, or pass --allow-partial to see it marked partial throughout",
        )
    folder = shop_folder(runs, shop.name)
    final, partial = folder / shop.month, folder / f".{shop.month}.partial"
    chapters = plan_chapters(
        shop, store, out=partial, only=only, given=parameters, notebooks=notebooks, until=until
    )
    verdict = _verdict(shop)
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / f".{shop.month}.lock", shop.month):
        settle(final)
        hidden = replacements(shop, store, partial)
        work = _Work(shop, final, partial, chapters, lang, is_replay, verdict, bool(only), hidden)
        return work.go(jobs, console, is_warm)


@dataclass
class _Work:
    """One month at work: which chapters are still valid, which must run, and what is
    published in the end.
    """

    shop: Any
    final: Path
    partial: Path
    chapters: list[Chapter]
    lang: str
    is_replay: bool
    verdict: dict[str, Any]
    is_selection: bool
    replacements: dict[str, str]

    def go(self, jobs: int, console: Any, is_warm: bool) -> Run:
        """Execute what is missing, write the pack, publish."""
        before = read_json(self.final / "run.json")
        if self.is_selection and before and before.get("fingerprint") != self.shop.fingerprint:
            raise PlaybookError(
                f"{self.shop.month} was published from other inputs, so its chapters cannot be kept",
                file=self.final,
                do="run the whole month, without --only",
            )
        if before and not before.get(
            "is_partial"
        ):  # live or replayed: a month stays what it was first published as
            self.is_replay = bool(before.get("is_replay"))
        self.partial.mkdir(exist_ok=True)
        for left in self.partial.iterdir():  # of a killed run only finished chapters count
            if not (left / ".done.json").exists():
                remove(left)
        chosen = [c for c in self.chapters if c.is_chosen]
        usual = {
            n: v.get("seconds") or 0.0
            for n, v in (before or self._newest()).get("notebooks", {}).items()
        }
        title = f"{self.shop.name} {self.shop.month}"
        with Progress(console, title, [c.name for c in chosen], usual, jobs) as progress:
            todo = [c for c in chosen if not c.is_review and not self._is_kept(c, progress)]
            kernels = _Kernels([c.source for c in todo] if is_warm else [])
            try:
                if todo:
                    self._derive(console)
                todo.sort(
                    key=lambda c: (
                        not c.is_vital,
                        -usual.get(c.name, float(c.name == SLOWEST)),
                        c.name,
                    )
                )
                self._execute(todo, jobs, progress, kernels)
                self._keep_the_rest(before)
                self._write_record("running")
                for review in (c for c in chosen if c.is_review):
                    review.key = digest_text(review.key, self._read_by_review())
                    if not self._is_kept(review, progress):
                        self._execute([review], 1, progress, kernels)
            finally:
                kernels.close()
        return self._publish(before)

    def _is_kept(self, chapter: Chapter, progress: Progress) -> bool:
        """Use a finished chapter again if its key is the same: one of this run, else
        the published one.
        """
        here = self.partial / chapter.name
        for place in (here, self.final / chapter.name):
            done = read_json(place / ".done.json")
            # a server's rows may have changed since the month was published; --only is a wish to see it run
            may = place == here or (
                self.shop.content and (chapter.is_vital or not self.is_selection)
            )
            if done.get("key") == chapter.key and may:
                if place != here:
                    remove(here)
                    shutil.copytree(place, here)
                chapter.notes = done
                chapter.outcome = Outcome(chapter.name, "done", done.get("seconds", 0.0))
                progress.done(chapter.name, "kept", 0.0)
                return True
        remove(here)
        return False

    def _derive(self, console: Any) -> None:
        """Build the shared tables once, before the kernels start to ask for them."""
        from playbook.store.derived import DERIVED

        for name in DERIVED if self.shop.content and self.shop.get("orders") is not None else ():
            if console is not None and not (self.shop.cache / f"{name}.parquet").exists():
                console.print(f"  building {name}", highlight=False)
            with contextlib.suppress(
                PlaybookError
            ):  # a shop may lack what it is made of; sections are blocked then
                self.shop.derived(name)

    def _execute(
        self, chapters: list[Chapter], jobs: int, progress: Progress, kernels: _Kernels
    ) -> None:
        """Execute `chapters`, `jobs` at a time; start no more once 00 has failed, as
        nothing could be published.
        """
        stop = threading.Event()

        def one(chapter: Chapter) -> None:
            if stop.is_set():
                return
            target = self.partial / chapter.name
            outcome = chapter.outcome = execute_notebook(
                chapter.source,
                target / "notebook.ipynb",
                chapter.parameters,
                folder=chapter.source.parent,
                replacements=self.replacements,
                kernels=kernels.manager,
                on_cell=lambda index, count, section: progress.cell(
                    chapter.name, index, count, section
                ),
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
            elif chapter.is_vital:
                stop.set()
            progress.done(chapter.name, outcome.status, outcome.seconds)

        pool = ThreadPoolExecutor(max_workers=max(jobs, 1), thread_name_prefix="notebook")
        try:
            waiting = {pool.submit(one, chapter) for chapter in chapters}
            while waiting:
                ended, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for job in ended:
                    job.result()
        except KeyboardInterrupt:
            stop.set()
            stop_kernels()
            raise PlaybookError(
                f"{self.shop.month} was interrupted; nothing is published",
                do="run it again: chapters that had finished are kept",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for chapter in chapters:
            outcome = chapter.outcome
            if chapter.is_vital and outcome and outcome.status == "failed":
                told = f"{chapter.name} failed in cell {outcome.cell} ({outcome.section}): {outcome.error}"
                raise PlaybookError(
                    f"{told}\n{outcome.traceback}\nNothing is published",
                    do="mend the cause and run again; chapters that had finished are kept",
                )

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
        from playbook.runs.report import pack_version, write_pack

        record = self._write_record("complete") | {"pack": pack_version(self.final)}
        status = 3 if any(v["status"] == "failed" for v in record["notebooks"].values()) else 0
        if _plain(before) == _plain(record):
            remove(self.partial)
            return Run(self.final, status, False, before)
        if self.final.name in record["earlier_packs"]:  # it is about to be kept under another name
            record["earlier_packs"][-1] = next_version(self.final).name
        write_pack(self.partial, record, months=self.final.parent)
        write_json(self.partial / "run.json", record)
        if self.final.exists():
            os.rename(self.final, step_aside(self.final))
        os.rename(self.partial, self.final)
        settle(self.final)
        return Run(self.final, status, True, record)

    def _write_record(self, state: str) -> dict[str, Any]:
        """run.json: what was run, from which inputs, by which code, and what became of
        every chapter.
        """
        shop, listed = self.shop, {}
        for chapter in self.chapters:
            if chapter.outcome is None:
                continue
            outcome = chapter.outcome
            entry = {"status": outcome.status, "seconds": round(outcome.seconds, 2)}
            entry |= {
                k: chapter.notes.get(k, d)
                for k, d in (("rows", {}), ("blocked", []), ("digest", ""))
            }
            if outcome.status == "failed":
                entry |= {k: getattr(outcome, k) for k in ("cell", "section", "error", "traceback")}
            listed[chapter.name] = entry
        record = {
            "state": state,
            "store": shop.name,
            "month": shop.month,
            "as_of": str(shop.as_of),
            "currency": shop.currency,
            "margin_basis": shop.margin_basis,
            "is_partial": not shop.is_month_complete,
            "is_replay": self.is_replay,
            "lang": self.lang,
            "fingerprint": shop.fingerprint,
            "code": code_version(),
            "versions": library_versions(),
            "verdict": self.verdict,
            "parameters": {
                c.name: {k: v for k, v in c.parameters.items() if k not in OURS}
                for c in self.chapters
            },
            "earlier_packs": self._earlier_packs(listed),
            "notebooks": listed,
        }
        write_json(self.partial / "run.json", record)
        return record

    def _earlier_packs(self, listed: dict[str, Any]) -> list[str]:
        """This month's earlier versions, oldest first; the one standing is among them
        if its figures differ.
        """
        moved = figures_differ(read_json(self.final / "run.json"), {"notebooks": listed})
        return [p.name for p in earlier_versions(self.final)] + [self.final.name] * moved

    def _read_by_review(self) -> list[Any]:
        """What 11 reads besides its notebook: this month's chapters, earlier packs and
        months, people's answers.
        """
        record = read_json(self.partial / "run.json")
        folder = self.final.parent
        digests = {
            n: [v["status"], v["digest"]]
            for n, v in record["notebooks"].items()
            if not n.startswith("11_")
        }
        packs = [folder / name for name in record["earlier_packs"]]
        packs += [p for p in published_months(folder) if p.name[:7] < self.shop.month]
        known = [
            [
                {
                    n: [v.get("digest"), v.get("status")]
                    for n, v in found.get("notebooks", {}).items()
                },
                found.get("is_replay"),
            ]
            for found in (read_json(p / "run.json") for p in packs)
        ]
        answers = folder / "decisions_log.parquet"
        return [
            digests,
            known,
            self.is_replay,
            self.lang,
            digest_of(answers) if answers.exists() else "",
        ]

    def _newest(self) -> dict[str, Any]:
        """The newest published month's record, for how long each chapter usually takes."""
        months = published_months(self.final.parent)
        return read_json(months[-1] / "run.json") if months else {}


class _Kernels:
    """The kernel manager class of a run: warm forks where the system can, plain kernels
    elsewhere.
    """

    def __init__(self, notebooks: list[Path]) -> None:
        self.manager, self._close = None, None
        if (
            len(notebooks) > 1
            and sys.platform.startswith("linux")
            and os.environ.get("PLAYBOOK_WARM", "1") != "0"
        ):
            from playbook.runs.warm import imported_modules, warm_kernels

            with contextlib.suppress(OSError):
                self.manager, self._close = warm_kernels(imported_modules(notebooks))

    def close(self) -> None:
        if self._close:
            self._close()


def _verdict(shop: Any) -> dict[str, Any]:
    """The store's gates in plain values; one that stops refuses the run, unless a
    partial month was asked for.
    """
    if shop.get("orders") is None:
        return {"status": "go with exclusions", "reasons": ["there are no orders yet"], "gates": []}
    from playbook.store.readiness import verdict

    memo = shop.cache / f"verdict-{code_version()}.json" if shop.content else None
    if memo is not None and (kept := read_json(memo)):
        return kept
    found = verdict(shop)
    stops = found.gates[(found.gates.verdict == "stop") & (found.gates.gate != "month is complete")]
    if len(stops):
        told = "; ".join(
            f"{gate}: {amount}" for gate, amount in zip(stops.gate, stops.amount, strict=True)
        )
        raise PlaybookError(
            f"{shop.name} {shop.month} cannot carry a run: {told}", do="see `playbook check`"
        )
    gates = found.gates.astype(object).where(found.gates.notna(), None).to_dict("records")
    kept = {"status": found.status, "reasons": list(found.reasons), "gates": gates}
    if memo is not None:
        write_json(memo, kept)
        kept = read_json(memo)  # the same plain values whether it was computed or remembered
    return kept


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what may differ between two equal runs."""
    kept = {
        k: v
        for k, v in record.items()
        if k not in ("code", "versions", "earlier_packs", "state", "notebooks")
    }
    listed = record.get("notebooks", {}).items()
    return kept | {
        "notebooks": {n: {k: x for k, x in v.items() if k != "seconds"} for n, v in listed}
    }
