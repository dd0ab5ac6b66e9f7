"""A chapter as people read it: no code, lessons folded, figures as SVG with text as
text, nothing from the network.
"""

from __future__ import annotations

import copy
import functools
import html
import itertools
import re
from pathlib import Path
from typing import Any

from playbook.runs.execute import skip_iri_grammars
from playbook.runs.folders import read_json
from playbook.runs.words import TEMPLATES, Words

__all__ = ["drawn", "figure_title", "lesson_figures", "objective_of", "write_chapter"]

SAFE_TAGS = {
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
}
SAFE_ATTRIBUTES = {"a": ["href"], "*": ["colspan", "rowspan", "scope", "class", "lang"]}
FIGURE_CALL = re.compile(r"\w\.figure\(\s*[\"'](\w+)[\"']")


def write_chapter(folder: Path, record: dict[str, Any], words: Words, tables: list[str]) -> None:
    """Write `notebook.html` beside the executed notebook in `folder`; `tables` are
    offered for download.
    """
    skip_iri_grammars()
    import nbformat

    about = words.chapter(folder.name)
    notebook = _for_reading(
        nbformat.read(folder / "notebook.ipynb", as_version=4), words, folder / "figures"
    )
    banner = (
        words("partial month")
        if record["is_partial"]
        else words("replay")
        if record["is_replay"]
        else ""
    )
    page = {
        "lang": "zh-Hans" if words.lang == "zh" else "en",
        "css": (TEMPLATES / "pack.css").read_text(encoding="utf-8"),
        "title": f"{about['title']} · {record['store']} {record['month']}",
        "intro": about["objective"],
        "back": f"← {words('back to the pack')}",
        "banner": banner,
        "lesson": words("lesson"),
        "tables": tables,
        "tables_title": words("tables"),
    }
    body, _ = _exporter().from_notebook_node(notebook, resources={"page": page})
    (folder / "notebook.html").write_text(body, encoding="utf-8")


@functools.cache
def _exporter() -> Any:
    """One exporter for all chapters: its template is compiled once."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(
        config=Config(
            {
                "HTMLExporter": {
                    "template_name": "chapter",
                    "extra_template_basedirs": [str(TEMPLATES)],
                    "exclude_input": True,
                    "exclude_input_prompt": True,
                    "exclude_output_prompt": True,
                    "exclude_anchor_links": True,
                    "embed_images": False,
                    "sanitize_html": False,
                }
            }
        )
    )
    exporter.register_filter("clean_html", _clean)
    return exporter


def _for_reading(notebook: Any, words: Words, figures: Path) -> Any:
    """Mark runs of lesson cells to fold, drop the parameter cells, put saved SVG in the
    place of raster figures.
    """
    import nbformat

    notebook, heading, was_lesson = copy.deepcopy(notebook), "", None
    kept = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    given = next(
        (c.source for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])),
        "",
    )
    headings = words.known.get("headings", {})
    for place, cell in enumerate(kept):
        if cell.cell_type == "markdown":
            found = re.findall(r"(?m)^#+ +(.+)$", cell.source)
            heading = found[-1] if found else heading
            for english, other in headings.items():
                cell.source = re.sub(rf"(?m)^## {english}\s*$", f"## {other}", cell.source)
        lesson = "lesson" in cell.metadata.get("tags", [])
        if lesson and was_lesson is None:
            cell.metadata["pack_open"] = True
        if not lesson and was_lesson is not None:
            was_lesson.metadata["pack_close"] = True
        was_lesson = cell if lesson else None
        if "parameters" in cell.metadata.get("tags", []):
            cell = kept[place] = nbformat.v4.new_markdown_cell(_parameters(cell.source, given))
        if cell.cell_type == "code":
            _use_svg(cell, figures, heading, words)
    if was_lesson is not None:
        was_lesson.metadata["pack_close"] = True
    notebook.cells = kept
    return notebook


def _parameters(declared: str, given: str) -> str:
    """The parameters with the values this run used and what they mean, as a Markdown
    list.
    """
    used = dict(re.findall(r"(?m)^(\w+) = (.+)$", given))
    lines = re.findall(r"(?m)^(\w+): [^=]+= (.*?)(?:  # *(.*))?$", declared)
    told = [
        f"- `{name}` = `{used.get(name, value)}`" + (f": {html.escape(meaning)}" if meaning else "")
        for name, value, meaning in lines
        if name not in ("month", "store", "out", "reviewed")
    ]
    return "\n".join(told)


def _use_svg(cell: Any, figures: Path, heading: str, words: Words) -> None:
    """Put the saved SVG in the place of the raster image that the kernel showed, or
    last if it showed none.
    """
    import nbformat

    paths = (figures / f"{n}.svg" for n in FIGURE_CALL.findall(cell.source))
    svgs = [drawn(p, words) for p in paths if p.exists()]
    cell.metadata["pack_alt"] = f"{heading}: {svgs[0][1] if svgs else ''}".strip(": ") or "figure"
    images = [
        o
        for o in cell.outputs
        if o.output_type in ("display_data", "execute_result") and "image/png" in o.data
    ]
    for output, (text, _) in itertools.zip_longest(images[: len(svgs)], svgs):
        drawing = {"image/svg+xml": text}
        if (
            output is None
        ):  # the kernel had closed the figure, and only the saved one is left to show
            cell.outputs.append(nbformat.v4.new_output("display_data", drawing))
        else:
            output.data = drawing
    for output in cell.outputs:  # a figure's repr beside its picture says nothing
        if "data" in output and any(k.startswith("image/") for k in output.data):
            output.data.pop("text/plain", None)


def _clean(text: str) -> str:
    """HTML from outputs and markdown with scripts, styles, forms and outside addresses
    taken out.
    """
    import bleach

    body = re.sub(r"(?is)<(style|script|iframe|object)\b.*?</\1>", "", str(text))
    return bleach.clean(
        body,
        tags=SAFE_TAGS,
        attributes=SAFE_ATTRIBUTES,
        protocols=["http", "https", "mailto"],
        strip=True,
    )


def lesson_figures(path: Path) -> set[str]:
    """Names of figures drawn in lesson cells: the pack shows them folded, never on its
    first page.
    """
    cells = read_json(path).get("cells", [])
    sources = [
        "".join(c["source"]) for c in cells if "lesson" in c.get("metadata", {}).get("tags", [])
    ]
    return {name for source in sources for name in FIGURE_CALL.findall(source)}


def objective_of(path: Path) -> str:
    """The first sentence under a notebook's Objective."""
    for cell in read_json(path).get("cells", []):
        text = "".join(cell.get("source", ""))
        found = re.search(r"(?ms)^#+ Objective\s*\n+(.+?)(?:\n\s*\n|\Z)", text)
        if cell.get("cell_type") == "markdown" and found:
            return (
                re.sub(r"[*`#]|\b_|_\b|\[([^\]]*)\]\([^)]*\)", r"\1", found[1])
                .replace("\n", " ")
                .strip()
            )
    return ""


def drawn(path: Path, words: Words) -> tuple[str, str]:
    """A saved figure as SVG and its title, what it says in the pack's language as far
    as that has words for it.
    """

    def told(found: re.Match) -> str:
        return f">{html.escape(words.told(html.unescape(found[1])), quote=False)}</text>"

    return re.sub(r">([^<>]+)</text>", told, path.read_text(encoding="utf-8")), words.told(
        figure_title(path)
    )


def figure_title(path: Path) -> str:
    """The title of a saved figure: its largest text, the boldest and first of those; a
    mark is no title.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"<text[^>]*style=\"([^\"]*)\"[^>]*>([^<]{4,})</text>", text)
    sized = [
        (
            float((re.search(r"([\d.]+)px", style) or [0, 0])[1]),
            bool(re.search("bold|700", style)),
            words,
        )
        for style, words in found
    ]
    best = max(sized, key=lambda one: one[:2], default=(0.0, False, ""))
    return html.unescape(best[2]).strip()
