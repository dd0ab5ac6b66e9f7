"""Where the project's own files lie: in a checkout beside the package, after `pip install` in
the environment's `share/playbook`.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

#: the folder of an installed wheel that `[tool.setuptools.data-files]` fills
INSTALLED = Path("share") / "playbook"


def project_folder() -> Path:
    """The checkout this package runs from, else the present folder."""
    beside = Path(__file__).resolve().parent.parent
    return beside if (beside / "pyproject.toml").is_file() else Path.cwd()


def shipped(*parts: str) -> Path:
    """A file or folder that comes with the project (`"notebooks"`, `"data",
    "glossary.csv"`): the checkout's, else the installed one, else the present folder's.
    The path of the present folder is given whether or not it exists.
    """
    beside = Path(__file__).resolve().parent.parent
    is_checkout = (beside / "pyproject.toml").is_file()
    home = beside if is_checkout else Path(sysconfig.get_path("data")) / INSTALLED
    found = home.joinpath(*parts)
    return found if found.exists() else Path.cwd().joinpath(*parts)
