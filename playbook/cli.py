"""The commands, and nothing else: each reads its words, calls one function, prints what
came out.

Exit status: 0 done, 1 refused or nothing published (with the reason), 2 wrong usage, 3
published with a failed chapter, 4 a day with something to act on.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from playbook.errors import PlaybookError
from playbook.hidden import hidden, is_address, keep_secret, name_of

if TYPE_CHECKING:
    from playbook.runs.month import Run

__all__ = ["app", "main"]

DEFAULT_STORE = "demo"

app = typer.Typer(
    name="playbook",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help="An online shop's operations, month by month: data in, decisions out.",
)


class Lang(StrEnum):
    """Languages of the pack."""

    en = "en"
    zh = "zh"


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        "-s",
        help="demo, cdnow, a folder, or an address",
    ),
]
MonthOption = Annotated[
    str | None, typer.Option(help="YYYY-MM; the last complete month when left out")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
LangOption = Annotated[Lang, typer.Option(help="language of all that is said")]
RunsOption = Annotated[Path, typer.Option(help="the folder that holds all months")]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. A refusal is printed as one message,
    without a traceback.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        # a console that cannot show a sign shows another, and the run goes on
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    _keep_addresses(words)
    try:
        app(words, prog_name="playbook")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except PlaybookError as refusal:
        if "--json" in words:
            print(_json({"error": _reason(refusal)}))
        print(f"Refused: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
    except Exception as problem:
        # a disk that is full, or a folder that may not be written: nothing a traceback explains
        if (refusal := _cannot_write(problem, words)) is not None:
            print(f"Refused: {refusal}", file=sys.stderr)
            return 1
        # a mistake of ours is shown as it is, but for an address in it
        told = traceback.format_exc()
        if (shown := hidden(told, is_error=True)) == told:
            raise
        print(shown, file=sys.stderr)
        return 1
    return 0


def _cannot_write(problem: Exception, words: list[str]) -> PlaybookError | None:
    """What a person is told of a place that cannot be written; None for another problem."""
    from playbook.store.disk import NO_SPACE, full_folder, unwritable

    place = unwritable(problem)
    if place is None:
        return None
    if place.errno in NO_SPACE:
        paths = [word for word in words if not is_address(word)]
        folder = full_folder(place, paths)
        return PlaybookError("store.disk_full", reason=place.strerror, folder=folder)
    return PlaybookError("playbook.unwritable", reason=place.strerror, file=place.filename)


def _keep_addresses(words: list[str]) -> None:
    """Addresses among the words are secret before anything can fail with them."""
    for word in words:
        address = word.partition("=")[2] if word.startswith("-") else word
        if "://" in address and is_address(address):
            keep_secret(address)


def takes(options: type) -> Callable[[Callable[[Any], None]], Callable[..., None]]:
    """A command whose options are the fields of a dataclass: it is called with one."""

    def decorate(function: Callable[[Any], None]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)

        @functools.wraps(function)
        def command(**given: Any) -> None:
            function(options(**given))

        command.__signature__ = inspect.Signature(
            [_parameter(field, hints[field.name]) for field in dataclasses.fields(options)]
        )
        command.__annotations__ = hints
        del command.__wrapped__
        return command

    return decorate


def _parameter(field: dataclasses.Field, hint: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(
        field.name,
        kind,
        default=field.default,
        annotation=hint,
    )


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What `playbook run` can be told."""

    store: Annotated[
        list[str] | None,
        typer.Option(
            "--store",
            "-s",
            help="a store; repeat for several shops",
        ),
    ] = None
    month: MonthOption = None
    first: Annotated[str | None, typer.Option("--from", help="YYYY-MM; replay since then")] = None
    until: Annotated[
        str | None, typer.Option(help="YYYY-MM-DD; look at a running month, all of it partial")
    ] = None
    only: Annotated[
        list[str] | None, typer.Option(help="chapters to run, such as 04,05; the others stay")
    ] = None
    jobs: Annotated[int, typer.Option(min=1, help="notebooks at a time")] = 2
    runs: RunsOption = Path("runs")
    lang: Annotated[Lang, typer.Option(help="language of all that is said in the pack")] = Lang.en
    memory: Annotated[
        str | None, typer.Option(help="most memory for the engine in each notebook, such as 2GB")
    ] = None
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="run a month that is not complete")
    ] = False
    notify: Annotated[
        Path | None, typer.Option(help="write a short summary here, JSON beside it")
    ] = None
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="name=value; repeatable")
    ] = None
    single_file: Annotated[
        bool, typer.Option("--single-file", help="also one page to mail, all chapters inside")
    ] = False
    as_json: JsonOption = False


@app.command()
@takes(RunOptions)
def run(asked: RunOptions) -> None:
    """Run a month, end to end, and publish its pack.

    Example: playbook run --store stores/shop --month 2026-10 -p months_shown=18
    """
    if asked.until and (asked.month or asked.first):
        raise typer.BadParameter("--until looks at one running month: leave out --month and --from")
    if asked.until and not re.fullmatch(r"\d{4}-\d\d-\d\d", asked.until):
        told = f"{asked.until} is not a day: write YYYY-MM-DD"
        raise typer.BadParameter(told, param_hint="--until")
    if asked.first and asked.only:
        raise typer.BadParameter("--from replays whole months: leave out --only")
    parameters = dict(_named(word) for word in asked.parameter or [])
    results = [
        entry
        for store in asked.store or [DEFAULT_STORE]
        for entry in _run_store(store, asked, parameters)
    ]
    if asked.notify:
        from playbook.runs.notice import write_notice

        write_notice(asked.notify, results)
    if asked.as_json:
        print(hidden(_json({"runs": results}, indent=1)))
    statuses = {result["status"] for result in results}
    raise typer.Exit(1 if 1 in statuses else max(statuses, default=0))


@app.command()
def day(
    store: StoreOption = None,
    on: Annotated[
        str | None, typer.Option(help="YYYY-MM-DD; the newest day that is known when left out")
    ] = None,
    to: Annotated[Path, typer.Option(help="where the page and the message go")] = Path("days"),
    lang: LangOption = Lang.en,
    as_json: JsonOption = False,
) -> None:
    """Yesterday and the week: one page and one message, in seconds; status 4 when there is
    something to act on.

    Example: playbook day --store stores/shop --on 2026-10-14
    """
    from playbook.runs.day import day_of, message, write_day

    with _speaking(lang):
        told = day_of(store or DEFAULT_STORE, on=on)
        page, file = write_day(told, to)
        answer = {"store": told.store, "day": told.on, "calls": told.calls}
        answer |= {"sentences": told.sentences, "page": page, "message": file}
        answer["figures"] = told.figures.astype(object).where(told.figures.notna(), None)
        answer["figures"] = answer["figures"].to_dict("records")
        _say(answer, as_json, f"{message(told)}\n\n{page}")
    raise typer.Exit(4 * told.calls)


@app.command("single-file")
def single_file(
    month: Annotated[Path, typer.Argument(help="a month's folder, such as runs/shop/2026-10")],
    to: Annotated[
        Path | None, typer.Option(help="the page; SHOP-MONTH.html in the folder when left out")
    ] = None,
) -> None:
    """A published month as one page that can be mailed: all chapters inside, opens offline.

    Example: playbook single-file runs/shop/2026-10 --to month.html
    """
    from playbook.runs.single_file import write_single_file

    print(write_single_file(month, to))


@app.command("open")
def open_notebook(
    chapter: Annotated[str, typer.Argument(help="a chapter's number or name, such as 04")],
    store: StoreOption = None,
    month: MonthOption = None,
    into: Annotated[Path, typer.Option(help="where the copy goes")] = Path("work"),
) -> None:
    """Copy a notebook with its parameters filled in, to work in by hand.

    Example: playbook open 04 --store stores/shop --month 2026-10
    """
    from playbook.runs.plan import working_copy

    where = store or DEFAULT_STORE
    path = working_copy(
        chapter,
        where,
        month,
        into,
    )
    print(f"{path}\n{_needs_address(where)}Open it with: python -m jupyterlab {path}")


@app.command()
def decisions(
    file: Annotated[
        Path,
        typer.Argument(help="the workbook (or CSV) with status, done on, size and note filled in"),
    ],
    store: StoreOption = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Read back what people decided and did; the next run follows it up.

    Example: playbook decisions runs/shop/2026-10/playbook.xlsx --store stores/shop
    """
    from playbook.runs.answers import read_back

    answers = read_back(file, store or DEFAULT_STORE, runs)
    statuses = ", ".join(f"{n} {status}" for status, n in answers["statuses"].items())
    left = ", ".join(f"{answers[kind]} {kind}" for kind in ("unanswered", "blocked", "empty"))
    aside = f"\nthe damaged log was set aside as {answers['set_aside']}" * bool(
        answers["set_aside"]
    )
    _say(
        answers,
        as_json,
        f"{answers['read']} decisions read: {statuses} ({left}){aside}",
    )


@app.command()
def contract(
    table: Annotated[
        str | None, typer.Argument(help="one table; all of them when left out")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="write empty tables to fill into this folder")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The data contract: every table, its grain, its columns.

    Example: playbook contract orders --template my-tables
    """
    from playbook.store.contract import TABLES, contract_markdown

    if table is not None and table not in TABLES:
        raise PlaybookError(
            "playbook.no_table",
            name=table,
            known=", ".join(TABLES),
        )
    names = [table] if table else list(TABLES)
    if template:
        template.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = template / f"{name}.csv"
            if path.exists():
                raise PlaybookError("playbook.file_is_there", file=path)
            path.write_text(",".join(c.name for c in TABLES[name].columns) + "\n", encoding="utf-8")
        print(f"{len(names)} empty tables in {template}")
    elif as_json:
        tables = {}
        for name in names:
            spec = TABLES[name]
            columns = [vars(column) for column in spec.columns]
            tables[name] = {"grain": spec.grain, "key": spec.key, "columns": columns}
        print(_json(tables, indent=1))
    else:
        print(contract_markdown(names))


@app.command()
def check(
    store: Annotated[str, typer.Argument(help="demo, cdnow, a folder of tables, or an address")],
    month: MonthOption = None,
    as_json: JsonOption = False,
) -> None:
    """Contract, reconciliation, gates and warnings of a store; status 1 when it cannot
    carry a run.

    Example: playbook check stores/shop --month 2026-10
    """
    from playbook.store import open_store
    from playbook.store.readiness import verdict
    from playbook.store.reconcile import ledger

    shop = open_store(store, until=month)
    judged = verdict(shop)
    # before the first order there is nothing to walk
    walk = None if shop.get("orders") is None else ledger(shop)
    answer = {
        "store": shop.name,
        "month": shop.month,
        "currency": shop.currency,
        "verdict": judged.status,
        "reasons": list(judged.reasons),
        "gates": judged.gates.to_dict("records"),
        "ledger": [] if walk is None else walk.to_dict("records"),
        "missing_tables": shop.missing,
    }
    lines = [
        f"{shop.name} {shop.month} ({shop.currency}): {judged.status}",
        *(f"  {reason}" for reason in judged.reasons),
        "",
        "no orders yet" if walk is None else walk.to_string(index=False),
        "",
        judged.gates.to_string(index=False),
        "",
        f"tables not there: {', '.join(shop.missing) or 'none'}",
    ]
    _say(answer, as_json, "\n".join(lines))
    raise typer.Exit(int(judged.status == "stop"))


@app.command("import")
def import_(
    kind: Annotated[
        str, typer.Argument(help="the kind of export; auto recognises each file by its header")
    ],
    files: Annotated[list[Path], typer.Argument(help="the exports, in any order")],
    into: Annotated[Path, typer.Option(help="the store's folder")],
    mapping: Annotated[
        Path | None, typer.Option(help="a mapping file, for the kind generic")
    ] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="if dates leave it open")
    ] = None,
    decimal_comma: Annotated[
        bool | None, typer.Option("--decimal-comma/--decimal-point", help="likewise")
    ] = None,
    observed_on: Annotated[
        str | None, typer.Option(help="YYYY-MM-DD; the day of the extract, if it says none")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take exports into a store: all of them, or none and the reason.

    Example: playbook import auto exports/* --into stores/shop
    """
    from playbook.sources.importing import import_files

    report = import_files(
        kind,
        files,
        into,
        day_first=day_first,
        is_decimal_comma=decimal_comma,
        observed_on=observed_on,
        mapping=mapping,
    )
    _say(report.as_dict(), as_json, "\n".join(report.lines()))


@app.command()
def undo(
    store: Annotated[Path, typer.Argument(help="the store's folder")],
    as_json: JsonOption = False,
) -> None:
    """Take the last import back: the store is what it was before it.

    Example: playbook undo stores/shop
    """
    from playbook.store.write import undo as take_back

    if not store.is_dir():
        raise PlaybookError(
            "store.no_store",
            where=store,
            known="demo, cdnow",
            file=store,
        )
    told = take_back(store)
    text = f"taken back: {len(told['restored'])} files restored, {len(told['removed'])} removed"
    _say(told, as_json, text)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="cdnow, online-retail or market-series")],
    into: Annotated[
        Path | None, typer.Option(help="the store's folder; one in the cache when left out")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A public data set from its publisher, checked and imported; resumes where it
    broke off.

    Example: playbook fetch online-retail --into stores/online-retail
    """
    from playbook.sources.fetch import fetch as fetch_data

    console = _console(as_json)

    def progress(file: str, done: int, whole: int) -> None:
        if console and console.is_terminal:
            console.print(f"{file}: {done / 1e6:.1f} of {whole / 1e6:.1f} MB", end="\r")

    report = fetch_data(name, into, progress=progress)
    _say(report.as_dict(), as_json, "\n".join(report.lines()))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="a new or an empty folder")],
    currency: Annotated[str, typer.Option(help="three letters, such as EUR")] = "",
    timezone: Annotated[str, typer.Option(help="such as Europe/Berlin")] = "",
    as_json: JsonOption = False,
) -> None:
    """A new store: its settings, and a workbook of sheets for what no export holds.

    Example: playbook init stores/shop --currency EUR --timezone Europe/Berlin
    """
    from playbook.sources.init import init_store

    report = init_store(folder, currency=currency, timezone=timezone)
    _say(report.as_dict(), as_json, "\n".join(report.lines()))


@app.command("map")
def map_(
    file: Annotated[Path, typer.Argument(help="an export that no adapter knows")],
    to: Annotated[
        Path | None, typer.Option(help="write the proposal here instead of printing it")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a mapping for an unknown export, to correct and import with.

    Example: playbook map orders.csv --to orders.yaml
    """
    from playbook.sources.proposal import propose_mapping

    proposal = propose_mapping(file)
    text = proposal.text.rstrip()
    if to:
        if to.exists():
            raise PlaybookError("playbook.file_is_there", file=to)
        to.write_text(proposal.text, encoding="utf-8")
        text = "\n".join([*proposal.lines(), f"written to {to}"])
    _say(vars(proposal), as_json, text)


@app.command()
def audience(
    segment: Annotated[
        str, typer.Argument(help="a segment of chapter 06, or 'next products' of chapter 09")
    ],
    contacts: Annotated[Path, typer.Option(help="the shop's own contact file: e-mail and consent")],
    to: Annotated[Path, typer.Option(help="the list to write, outside of stores and runs")],
    store: StoreOption = None,
    month: MonthOption = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """A segment's list, or each customer's next products, matched on this machine with the
    shop's own contact file; hold-outs are left out.

    Example: playbook audience "at risk" --contacts crm.csv --to campaign.csv --store stores/shop
    """
    from playbook.runs.plan import NEXT_PRODUCTS, listed_members, segment_members
    from playbook.sources.audience import write_audience

    where = store or DEFAULT_STORE
    find = listed_members if segment == NEXT_PRODUCTS else segment_members
    folder, members, elsewhere = find(where, month, runs)
    report = write_audience(
        segment,
        contacts,
        to,
        store=folder,
        members=members,
        held_out=elsewhere,
    )
    _say(report.as_dict(), as_json, "\n".join(report.lines()))


@app.command()
def demo(
    preset: Annotated[
        str, typer.Option(help="a ready-made shop; see the README for their names")
    ] = "demo",
    into: Annotated[
        Path | None, typer.Option(help="a new folder; the cached demo shop when nothing is said")
    ] = None,
    months: Annotated[int | None, typer.Option(min=1, help="length of the log")] = None,
    customers: Annotated[int | None, typer.Option(min=1, help="size of the shop")] = None,
    skus: Annotated[int | None, typer.Option(min=1, help="size of its range")] = None,
    seed: Annotated[int | None, typer.Option(help="another shop of the same kind")] = None,
    until: Annotated[str | None, typer.Option(help="YYYY-MM; the last month")] = None,
    as_json: JsonOption = False,
) -> None:
    """The simulated shop, whose truth is known; the same seed gives the same bytes.

    Example: playbook demo --preset tiny --months 24 --into stores/small
    """
    from playbook.demo.make import ensure_demo, make_demo

    given = {
        "months": months,
        "customers": customers,
        "skus": skus,
        "seed": seed,
        "until": until,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if into is None and not given:
        folder = ensure_demo(preset)
    else:
        folder = make_demo(
            into or Path("stores") / preset,
            preset=preset,
            **given,
        )
    _say(
        {"store": str(folder), "preset": preset},
        as_json,
        f"{folder}\nRun it with: playbook run --store {folder}",
    )


@app.command()
def skill(
    folder: Annotated[Path, typer.Argument(help="where the assistant looks for its skills")],
) -> None:
    """A skill for coding assistants: how to work with a shop's data by this package.

    Example: playbook skill ~/.skills
    """
    from playbook.skill import install_skill

    print(install_skill(folder))


learn = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Training: start a course, see progress, mark answers, print a record.",
)
app.add_typer(learn, name="learn")
LearnerArgument = Annotated[str, typer.Argument(help="the learner's name, as in the notebooks")]
LearnLangOption = Annotated[
    Lang | None, typer.Option("--lang", help="en or zh; left out, the language in use")
]


@learn.command("start")
def learn_start(
    learner: LearnerArgument,
    store: StoreOption = None,
    month: MonthOption = None,
    lang: Annotated[str, typer.Option(help="language of hints and advice: en, zh or both")] = "en",
    into: Annotated[Path, typer.Option(help="where the learner's own notebooks go")] = Path("work"),
) -> None:
    """Copy the training notebooks for one learner, with name, store and month filled
    in; copies that are there stay.

    Example: playbook learn start ann --store stores/shop --month 2026-10 --lang zh
    """
    from playbook.messages import say
    from playbook.training.course import start_course

    folder, names = start_course(
        learner,
        store or DEFAULT_STORE,
        month,
        into,
        lang=lang,
    )
    with _speaking(Lang.zh if lang == "zh" else Lang.en):
        print(say("training.course_ready", n=len(names), folder=folder))
        print(say("training.pace"))
        opening = say("training.open_the_first", first=folder / names[0])
    print(f"{_needs_address(store or DEFAULT_STORE)}{opening}")


@learn.command("status")
def learn_status(
    learner: LearnerArgument, as_json: JsonOption = False, lang: LearnLangOption = None
) -> None:
    """How far a learner is: competency by chapter and level, points, what comes next.

    Example: playbook learn status ann
    """
    from playbook.training.progress import status, status_text

    with _speaking(lang):
        _say(
            status(learner) if as_json else {},
            as_json,
            "" if as_json else status_text(learner),
        )


@learn.command("report")
def learn_report(
    learner: LearnerArgument,
    to: Annotated[
        Path | None, typer.Option(help="the page to write; NAME-record.html when left out")
    ] = None,
    lang: LearnLangOption = None,
) -> None:
    """A page to print for the mentor: competency, rubric with room for the mentor's
    points, answers to mark, exercises, cases, games.

    Example: playbook learn report ann --to ann.html
    """
    from playbook.training.progress import record_page

    with _speaking(lang):
        _write_page(learner, to, "record", record_page(learner))


@learn.command("progress")
def learn_progress(
    learner: LearnerArgument,
    to: Annotated[
        Path | None, typer.Option(help="the page to write; NAME-progress.html when left out")
    ] = None,
    lang: LearnLangOption = None,
) -> None:
    """The learner's own page: how far, what comes next, what the mentor said, tries.

    Example: playbook learn progress ann --lang zh
    """
    from playbook.training.progress import progress_page

    with _speaking(lang):
        _write_page(learner, to, "progress", progress_page(learner))


@learn.command("mark")
def learn_mark(
    learner: LearnerArgument,
    number: Annotated[str, typer.Argument(help="the thought question, such as 06.6")],
    given: Annotated[str, typer.Argument(metavar="MARK", help="passed or again")],
    words: Annotated[str, typer.Option(help="what was good, or what is missing")] = "",
    mentor: Annotated[str, typer.Option(help="who marks it")] = "",
    lang: LearnLangOption = None,
) -> None:
    """A mentor's mark of an answer in words: passed, or again with what is missing.

    Example: playbook learn mark ann 06.6 again --words "no stop rule" --mentor Bo
    """
    from playbook.messages import label, say
    from playbook.training.progress import mark

    with _speaking(lang):
        mark(learner, number, given, words=words, mentor=mentor)
        told = label("record", given)
        print(say("training.marked", learner=learner, number=number, given=told))


def _write_page(learner: str, to: Path | None, name: str, page: str) -> None:
    from playbook.training.learners import learner_file

    path = to or Path(f"{learner_file(learner).stem}-{name}.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    print(path)


def _speaking(lang: Lang | None) -> AbstractContextManager[None]:
    """Speak this language for a while; the one in use where none is named."""
    from playbook.messages import speaking

    return speaking(lang.value) if lang else nullcontext()


def _run_store(store: str, asked: RunOptions, parameters: dict[str, str]) -> list[dict[str, Any]]:
    """Every month asked for of one store, in order; a refusal is told and ends this
    store, not the others.
    """
    from playbook.runs.month import HowToRun, run_month
    from playbook.runs.notice import summary
    from playbook.runs.plan import Wish

    results: list[dict[str, Any]] = []
    console = _console(asked.as_json)
    wish = Wish(tuple(asked.only or ()), parameters, asked.until)
    how = HowToRun(
        jobs=asked.jobs,
        runs=asked.runs,
        lang=asked.lang.value,
        memory=asked.memory,
        allow_partial=asked.allow_partial,
        console=console,
    )
    try:
        if console and store.split(":")[0] == "demo":
            told = "opening the simulated shop (made on first use: about half a minute)"
            console.print(told, highlight=False)
        for month, is_replay in _months(store, asked):
            ran = run_month(
                store, month=month, wish=wish, how=dataclasses.replace(how, is_replay=is_replay)
            )
            results.append(summary(ran) | _one_page(ran, asked.single_file))
            if console:
                console.print(
                    _outcome(ran),
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
    except PlaybookError as refusal:
        is_one_of_several = len(asked.store or ()) > 1
        title = f"{_told(store)}: refused" if is_one_of_several else "Refused"
        print(f"{title}: {refusal}", file=sys.stderr)
        about = {"store": _told(store), "month": asked.month, "status": 1}
        results.append(about | {"error": _reason(refusal)})
    return results


def _one_page(ran: Run, is_wanted: bool) -> dict[str, str]:
    """The month as one page beside its pack, where that was asked for, and its place."""
    if not is_wanted:
        return {}
    from playbook.runs.single_file import write_single_file

    return {"single_file": str(write_single_file(ran.folder))}


def _months(store: str, asked: RunOptions) -> list[tuple[str | None, bool]]:
    """The months to run, each with whether it is a replay of the past."""
    if not asked.first:
        return [(asked.month, False)]
    from playbook.runs.folders import months_between
    from playbook.store import open_store

    newest = open_store(store).month
    return [(month, month < newest) for month in months_between(asked.first, asked.month or newest)]


def _outcome(ran: Run) -> str:
    """What became of a month, a line for each chapter that failed."""
    outcomes = ran.record["notebooks"].items()
    lines = [
        f"  ✗ {name} failed in cell {o['cell']} ({o['section']}): {o['error']}"
        for name, o in outcomes
        if o["status"] == "failed"
    ]
    state = "published with a failed chapter" if lines else "published"
    state = state if ran.is_changed else "unchanged"
    page = _shown(ran.folder / "index.html")
    return "\n".join([*lines, f"{ran.record['store']} {ran.record['month']}: {state}: {page}"])


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _needs_address(store: str) -> str:
    """A copy names no address: what to do before it is opened."""
    if "://" not in store:
        return ""
    from playbook.messages import say
    from playbook.store.open import ADDRESS_VARIABLE

    return say("playbook.set_address", name=ADDRESS_VARIABLE) + "\n"


def _told(store: str) -> str:
    """A store as it may be named: of an address, the name alone."""
    return name_of(store) if "://" in store else store


def _reason(refusal: PlaybookError) -> dict[str, Any]:
    return {
        "message": refusal.message,
        "table": refusal.table,
        "column": refusal.column,
        "rule": refusal.rule,
        "file": hidden(str(refusal.file), is_error=True) if refusal.file else None,
        "rows": refusal.rows,
        "do": refusal.do,
    }


def _named(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name.strip().isidentifier():
        raise typer.BadParameter(f"{word!r} is not name=value", param_hint="-p")
    return name.strip(), text.strip()


def _console(is_quiet: bool) -> Any:
    from rich.console import Console

    return None if is_quiet else Console()


def _say(answer: Any, as_json: bool, text: str) -> None:
    print(hidden(_json(answer, indent=1) if as_json else text))


def _json(answer: Any, indent: int | None = None) -> str:
    """JSON that the console can show whole: signs it does not know are written as numbers."""
    is_any_sign = (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16")
    return json.dumps(
        answer,
        indent=indent,
        ensure_ascii=not is_any_sign,
        default=str,
    )
