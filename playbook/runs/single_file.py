"""A published month as one page that can be mailed: the first page, every chapter below
it, the workbook and the decisions inside.

The page needs neither the folder nor a network. Links between pages become places of this
one; what lies in the folder only (result tables, earlier months) is left out.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

from playbook.errors import PlaybookError
from playbook.messages import speaking
from playbook.runs.cells import word
from playbook.runs.folders import read_record, require_place, write_text

__all__ = ["single_file", "write_single_file"]

#: files of the pack that travel inside the page -> their kind
INSIDE = {
    "playbook.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "decisions.csv": "text/csv",
}
#: parts of a page that say nothing without the folder around it
FOLDER_ONLY = re.compile(r"(?s)<!--folder-->.*?<!--/folder-->")
MAIN = re.compile(r"(?s)<main[^>]*>(.*)</main>")
LINK = re.compile(r'(<a\b[^>]*?) href="([^"]*)"')
KEPT_LINKS = ("#", "data:", "http:", "https:", "mailto:")
TOP = "main"


def write_single_file(month_folder: str | Path, to: str | Path | None = None) -> Path:
    """Write the month as one page, whole or not at all, and give its path; beside the pack
    as `<shop>-<month>.html` unless `to` names a file.
    """
    folder = Path(month_folder)
    page = single_file(folder)
    name = f"{folder.resolve().parent.name}-{folder.resolve().name}.html"
    path = folder / name if to is None else Path(to)
    require_place(path, is_folder=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def single_file(month_folder: str | Path) -> str:
    """The page of a published month's folder. PlaybookError where the folder is none."""
    folder = Path(month_folder)
    record, index = read_record(folder), folder / "index.html"
    if not record or not index.is_file():
        raise PlaybookError("runs.no_month_here", file=folder)
    pages = {
        f"{name}/notebook.html": name
        for name in record["notebooks"]
        if (folder / name / "notebook.html").is_file()
    }
    places = {page: f"#{_place(name)}" for page, name in pages.items()}
    places |= {"index.html": f"#{TOP}"} | {name: _as_data(folder / name) for name in INSIDE}
    with speaking(record.get("lang", "en")):
        back = word("back to the pack")
    chapters = [_chapter(folder / page, name, back) for page, name in pages.items()]
    first = FOLDER_ONLY.sub("", index.read_text(encoding="utf-8"))
    # the chapters stand inside <main>, before its end
    head, end, tail = first.rpartition("</main>")
    return _relinked("\n".join([head, *chapters, end + tail]), places)


def _place(notebook: str) -> str:
    return f"chapter-{notebook}"


def _as_data(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""
    return f"data:{INSIDE[path.name]};base64,{content}"


def _chapter(path: Path, notebook: str, back: str) -> str:
    """A chapter's page without its head, under a place of its own."""
    text = FOLDER_ONLY.sub("", path.read_text(encoding="utf-8"))
    found = MAIN.search(text)
    title = re.search(r"(?s)<header>.*?(<h1>.*?)</header>", text)
    body = (title[1] if title else "") + (found[1] if found else "")
    link = f'<p><a href="#{TOP}">← {back}</a></p>'
    return f'<article class="chapter" id="{_place(notebook)}">{link}\n{body}</article>'


def _relinked(page: str, places: dict[str, str]) -> str:
    """Links to other pages of the pack lead to their place in this one; a link that leads
    out of the pack's page without being an address is a link no more.
    """

    def replaced(found: re.Match[str]) -> str:
        target = found[2]
        if target.startswith(KEPT_LINKS):
            return found[0]
        file, _mark, _part = target.partition("#")
        place = places.get(re.sub(r"^(?:\.\.?/)+", "", file))
        return f'{found[1]} href="{place}"' if place else found[1]

    return LINK.sub(replaced, page)
