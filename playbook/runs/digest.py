"""A month in a minute, as files of its pack: for a mail (text, and HTML that mail programs
show), for a chat (short Markdown), and the same as the body of an incoming webhook.

Nothing is sent: a mailer or a chat step of the shop's own takes the files from here.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from pandas import DataFrame

from playbook.chapters.monthly_review.review import main_figures
from playbook.measures.metrics import METRICS
from playbook.messages import language, say
from playbook.runs.cells import TEMPLATES, cell_of, decision_text, metric_name, word
from playbook.runs.pack import Pack, latest_figures, open_decisions, ranked
from playbook.runs.sentences import sentences

__all__ = ["CHAT_LIMIT", "chat_text", "write_digest"]

FIGURES_TOLD, DECISIONS_TOLD = 8, 5
CHAT_DECISIONS = 3
CHAT_LIMIT = 2000  # signs: what chats show without folding a message
FILES = ("mail.txt", "mail.html", "chat.md", "webhook.json")


def write_digest(pack: Pack, decisions: DataFrame) -> None:
    """Write the four files into the pack's `digest` folder, in the language in use."""
    folder = pack.folder / "digest"
    folder.mkdir(exist_ok=True)
    told = _told(pack, decisions)
    chat = _chat(told)
    body = json.dumps({"text": chat}, ensure_ascii=False)
    texts = (_mail(told), _mail_page(told), chat, body)
    for name, text in zip(FILES, texts, strict=True):
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _told(pack: Pack, decisions: DataFrame) -> dict[str, Any]:
    """What all four say: title, sentences, figures and decisions in words."""
    record = pack.record
    title = f"{record['store']} {record['month']}"
    proposals = open_decisions(decisions)
    first_ones = ranked(pack, decisions).head(DECISIONS_TOLD) if len(proposals) else proposals
    return {
        "title": say("runs.partial_title", title=title) if record["is_partial"] else title,
        "sentences": sentences(pack, decisions),
        "figures": _figures(pack),
        "decisions": [_decision(row) for row in first_ones.to_dict("records")],
        "page": say("runs.digest_page", file=f"{record['store']}/{record['month']}/index.html"),
    }


def _figures(pack: Pack) -> list[dict[str, str]]:
    """The figures to read first: name, amount in its unit, change against last month where
    both are there and the month's is complete.
    """
    card = pack.reviewed("scorecard")
    figures = latest_figures(pack) if card is None else main_figures(card)
    told = []
    for row in figures.head(FIGURES_TOLD).to_dict("records"):
        metric, actual, before = METRICS.get(row["metric"]), row["actual"], row["last_month"]
        unit = metric.unit if metric else ""
        is_compared = row["status"] == "complete" and pd.notna(before) and before != 0
        change = float(actual) / float(before) - 1 if is_compared else None
        told.append(
            {
                "name": metric_name(row["metric"]),
                "amount": cell_of(actual, "", unit).text,
                "change": "" if change is None else cell_of(change, "last_month_change").text,
            }
        )
    return told


def _decision(row: dict[str, Any]) -> dict[str, str]:
    text = decision_text(row)
    what = " ".join(filter(None, (text["what"], text["how much"])))
    return {"who": text["who"], "what": what, "due": text["by when"], "expected": text["expected"]}


def _line(decision: dict[str, str]) -> str:
    about = say("runs.comma").join(filter(None, (decision["who"], decision["due"])))
    return say("runs.digest_decision", what=decision["what"], about=about)


def _figure_line(figure: dict[str, str]) -> str:
    change = f" ({figure['change']})" if figure["change"] else ""
    return f"{figure['name']}: {figure['amount']}{change}"


def _mail(told: dict[str, Any]) -> str:
    blocks = [[told["title"]], told["sentences"]]
    blocks.append([word("headline"), *(f"- {_figure_line(one)}" for one in told["figures"])])
    blocks.append([word("decisions"), *(f"- {_line(one)}" for one in told["decisions"])])
    blocks.append([told["page"]])
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _mail_page(told: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("mail.html.j2").render(told, lang=language(), w=word)


def _chat(told: dict[str, Any]) -> str:
    """Bold title, the sentences, the first decisions."""
    decisions = [_line(one) for one in told["decisions"][:CHAT_DECISIONS]]
    return chat_text(told["title"], told["sentences"], decisions, [told["page"]])


def chat_text(title: str, sentences: list[str], points: list[str], end: list[str]) -> str:
    """Bold title, sentences, points as a list, last lines, none of which a chat takes for
    marks; what is too long for a chat ends at the last line that fits.
    """
    lines = [f"**{_plain(title)}**", *map(_plain, sentences)]
    lines += [*(f"- {_plain(point)}" for point in points), *map(_plain, end)]
    kept, size = [], 0
    for line in lines:
        size += len(line) + 1
        if size > CHAT_LIMIT:
            break
        kept.append(line)
    return "\n".join(kept)


def _plain(text: str) -> str:
    """Text whose signs a chat does not take for marks, mentions or links."""
    for sign in "\\`*_[]<>@":
        text = text.replace(sign, f"\\{sign}")
    return text
