"""A skill for coding assistants: how to work with a shop's data by this package, as a
folder with a SKILL.md that a command installs.
"""

from __future__ import annotations

from pathlib import Path

from playbook.errors import PlaybookError

__all__ = ["NAME", "install_skill"]

NAME = "ecommerce-playbook"
TEXT = Path(__file__).with_name("SKILL.md")


def install_skill(folder: str | Path) -> Path:
    """Write the skill into `folder/ecommerce-playbook` and give its SKILL.md. One of another
    version of this package is replaced; PlaybookError where a file of something else is
    in its place.
    """
    path = Path(folder) / NAME / TEXT.name
    text = TEXT.read_text(encoding="utf-8")
    is_ours = not path.exists() or f"name: {NAME}\n" in path.read_text(encoding="utf-8")
    if not is_ours:
        raise PlaybookError("playbook.file_is_there", file=path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
