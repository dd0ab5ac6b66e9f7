"""By rule: the formatter and the linter have nothing to say, notebooks included."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids=["linter", "formatter"])
def test_code_and_notebooks_keep_the_projects_style(root, words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "--no-cache", "."],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
