"""A chapter as people read it: no code, lessons folded, figures as SVG with text as
text, nothing from the network.
"""

from __future__ import annotations

import ast
import base64
import copy
import functools
import html
import itertools
import re
from pathlib import Path
from typing import Any

from playbook.chapters.registry import chapter
from playbook.messages import label, language, say
from playbook.runs.cells import TEMPLATES, word
from playbook.runs.columns import heading
from playbook.runs.execute import skip_iri_grammars
from playbook.runs.folders import read_json
from playbook.runs.page_tables import PrintedTable, as_read, printed, read_html, table_html
from playbook.store.contract import TABLES

__all__ = ["as_address", "drawn", "for_a_phone", "lesson_figures", "objective_of", "write_chapter"]

SAFE_TAGS = frozenset(
    [
        "a",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "div",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "hr",
        "i",
        "li",
        "ol",
        "p",
        "pre",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
SAFE_ATTRIBUTES = {"a": ["href"], "*": ["colspan", "rowspan", "scope", "class", "lang"]}
# `draw` is how chapter 02 keeps a picture; tests hold every such helper to this
FIGURE_CALL = re.compile(r"(?:\w\.figure\(|\bdraw\(\s*results,)\s*[\"'](\w+)[\"']")
SECTIONS = ("Objective", "Parameters", "Question", "Data", "Analysis", "Decision", "Sources")
SET_BY_RUN = ("month", "store", "out", "reviewed")


def write_chapter(folder: Path, record: dict[str, Any], title: str, tables: list[str]) -> None:
    """Write `notebook.html` beside the executed notebook in `folder`; `tables` are
    offered for download.
    """
    skip_iri_grammars()
    import nbformat

    facts = chapter(folder.name)
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
    states = [name for name in ("partial month", "replay") if record[BANNERS[name]]]
    page = {
        "lang": "zh-Hans" if language() == "zh" else "en",
        "css": (TEMPLATES / "pack.css").read_text(encoding="utf-8"),
        "title": f"{title} · {record['store']} {record['month']}",
        "intro": facts.objective.get(language(), "") if facts else "",
        "back": f"← {word('back to the pack')}",
        "banner": word(states[0]) if states else "",
        "lesson": word("lesson"),
        "tables": tables,
        "tables_title": word("tables"),
    }
    shown = _for_reading(notebook, folder / "figures")
    body, _resources = _exporter().from_notebook_node(shown, resources={"page": page})
    (folder / "notebook.html").write_text(body, encoding="utf-8")


BANNERS = {"partial month": "is_partial", "replay": "is_replay"}


@functools.cache
def _exporter() -> Any:
    """One exporter for all chapters: its template is compiled once."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    options = {
        "template_name": "chapter",
        "extra_template_basedirs": [str(TEMPLATES)],
        "embed_images": False,
        "sanitize_html": False,
    }
    hidden = ("input", "input_prompt", "output_prompt", "anchor_links")
    options |= {f"exclude_{name}": True for name in hidden}
    exporter = HTMLExporter(config=Config({"HTMLExporter": options}))
    exporter.register_filter("clean_html", _clean)
    return exporter


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def _for_reading(notebook: Any, figures: Path) -> Any:
    """Mark runs of lesson cells to fold, drop the parameter cells, put saved SVG in the
    place of raster figures.
    """
    import nbformat

    notebook = copy.deepcopy(notebook)
    injected = [c.source for c in notebook.cells if "injected-parameters" in _tags(c)]
    cells = [c for c in notebook.cells if "injected-parameters" not in _tags(c)]
    _fold_lessons(cells)
    title, columns = "", set()
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            heads = re.findall(r"(?m)^#+ +(.+)$", cell.source)
            title = heads[-1] if heads else title
            cell.source = _headed(cell.source)
        elif "parameters" in _tags(cell):
            used = _parameters(cell.source, "".join(injected[:1]))
            cells[place] = nbformat.v4.new_markdown_cell(used, metadata={"tags": ["parameters"]})
        elif cell.cell_type == "code":
            _use_svg(cell, figures, title)
            columns |= _use_tables(cell)
    for cell in cells:
        if cell.cell_type == "markdown" and "parameters" not in _tags(cell):
            cell.source = _named_columns(cell.source, columns - set(TABLES))
    notebook.cells = cells
    return notebook


def _use_tables(cell: Any) -> set[str]:
    """Tables that were printed or shown as tables of the page; gives their columns."""
    import nbformat

    outputs, columns = [], set()
    for output in cell.outputs:
        text = output.get("text", "") if output.get("name") == "stdout" else ""
        shown = read_html(output.get("data", {}).get("text/html", ""))
        for part in printed(text.rstrip("\n")) if text else [shown or output]:
            if isinstance(part, PrintedTable):
                columns |= set(part.columns)
                part = nbformat.v4.new_output("display_data", {"text/html": table_html(part)})
            elif isinstance(part, str):
                part = nbformat.v4.new_output("stream", name="stdout", text=part)
            outputs.append(part)
    cell.outputs = outputs
    return columns


def _named_columns(source: str, columns: set[str]) -> str:
    """Columns of the chapter's tables by the headings they have there, in its text."""
    return re.sub(
        r"`(\w+)`", lambda one: f"“{as_read(one[1])}”" if one[1] in columns else one[0], source
    )


def _fold_lessons(cells: list[Any]) -> None:
    """Mark where a run of lesson cells begins and where it ends."""
    is_lesson = [False, *("lesson" in _tags(cell) for cell in cells), False]
    for place, cell in enumerate(cells, start=1):
        if is_lesson[place] and not is_lesson[place - 1]:
            cell.metadata["pack_open"] = True
        if is_lesson[place] and not is_lesson[place + 1]:
            cell.metadata["pack_close"] = True


def _headed(source: str) -> str:
    """The headings every notebook has, in the language in use."""
    for name in SECTIONS:
        source = re.sub(
            rf"(?m)^## {name}\s*$",
            f"## {label('headings', name)}",
            source,
        )
    return source


def _parameters(declared: str, given: str) -> str:
    """The parameters as a Markdown list: what each means, the value this run used, and
    the name by which a run sets it.
    """
    used = dict(re.findall(r"(?m)^(\w+) = (.+)$", given))
    lines = re.findall(r"(?m)^(\w+): [^=]+= (.*?)(?:  # *(.*))?$", declared)
    return "\n".join(
        "- " + say("runs.parameter", meaning=_capital(meaning) or name, value=told, name=name)
        for name, value, meaning in lines
        if name not in SET_BY_RUN and (told := _value(used.get(name, value)))
    )


def _capital(text: str) -> str:
    return html.escape(text[:1].upper() + text[1:], quote=False)


def _value(literal: str) -> str:
    """A parameter's value as people write it; a dash where it is empty."""
    try:
        value = ast.literal_eval(literal)
    except (SyntaxError, ValueError):
        value = literal
    if isinstance(value, bool):
        return heading("yes" if value else "no")
    told = f"{value:,.15g}" if isinstance(value, (int, float)) else str(value)
    return html.escape(told, quote=False) or "–"


def _use_svg(cell: Any, figures: Path, heading: str) -> None:
    """Put the saved SVG in the place of the raster image that the kernel showed, or
    last if it showed none (the kernel had closed the figure).
    """
    import nbformat

    paths = [figures / f"{name}.svg" for name in FIGURE_CALL.findall(cell.source)]
    paths = [path for path in paths if path.exists()]
    drawings = [drawn(path) for path in paths]
    title = drawings[0][1] if drawings else ""
    cell.metadata["pack_alt"] = f"{heading}: {title}".strip(": ") or "figure"
    images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    shown = zip(paths, drawings, strict=True)
    for output, (path, found) in itertools.zip_longest(images[: len(drawings)], shown):
        drawing = {"image/svg+xml": found[0]}
        if output is None:
            output = nbformat.v4.new_output("display_data", drawing)
            cell.outputs.append(output)
        output.data = drawing
        output.metadata["pack_narrow"] = for_a_phone(path)
    for output in cell.outputs:  # a figure's repr beside its picture says nothing
        if any(kind.startswith("image/") for kind in output.get("data", {})):
            output.data.pop("text/plain", None)


def _clean(text: str) -> str:
    """HTML from outputs and markdown with scripts, styles, forms and outside addresses
    taken out.
    """
    import bleach

    body = re.sub(
        r"(?is)<(style|script|iframe|object)\b.*?</\1>",
        "",
        str(text),
    )
    return bleach.clean(
        body,
        tags=SAFE_TAGS,
        attributes=SAFE_ATTRIBUTES,
        protocols=["http", "https", "mailto"],
        strip=True,
    )


def for_a_phone(path: Path) -> str:
    """The same figure drawn narrow, as a data address; empty where there is none."""
    narrow = path.parent / "narrow" / path.name
    return as_address(narrow.read_text(encoding="utf-8")) if narrow.is_file() else ""


def as_address(drawing: str) -> str:
    """SVG as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def lesson_figures(path: Path) -> set[str]:
    """Names of figures drawn in lesson cells: the pack shows them folded, never on its
    first page.
    """
    cells = read_json(path).get("cells", [])
    lessons = [c for c in cells if "lesson" in c.get("metadata", {}).get("tags", [])]
    sources = ["".join(cell["source"]) for cell in lessons]
    return {name for source in sources for name in FIGURE_CALL.findall(source)}


def objective_of(path: Path) -> str:
    """The first sentence under a notebook's Objective."""
    for cell in read_json(path).get("cells", []):
        text = "".join(cell.get("source", ""))
        stated = re.search(r"(?ms)^#+ Objective\s*\n+(.+?)(?:\n\s*\n|\Z)", text)
        if cell.get("cell_type") == "markdown" and stated:
            plain = re.sub(r"[*`#]|\b_|_\b|\[([^\]]*)\]\([^)]*\)", r"\1", stated[1])
            return plain.replace("\n", " ").strip()
    return ""


def drawn(path: Path) -> tuple[str, str]:
    """A saved figure as SVG, and its title: its largest text, the boldest and first of
    those; a mark is no title.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    texts = re.findall(r"<text[^>]*style=\"([^\"]*)\"[^>]*>([^<]{4,})</text>", text)
    largest = max(
        texts,
        key=lambda found: _prominence(found[0]),
        default=("", ""),
    )
    return text, html.unescape(largest[1]).strip()


def _prominence(style: str) -> tuple[float, bool]:
    size = re.search(r"([\d.]+)px", style)
    return float(size[1]) if size else 0.0, bool(re.search("bold|700", style))
