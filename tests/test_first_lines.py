"""By running: what the start page shows works, and is as short as it says."""

import re

import pandas as pd
import pytest


def blocks(root):
    text = (root / "docs" / "index.md").read_text(encoding="utf-8")
    own = text.split("## Your own frame")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", own, flags=re.S), re.findall(
        r"```\n(.*?)```", own, flags=re.S
    )


def test_from_install_to_the_first_cohort_of_an_own_frame_takes_less_than_ten_lines(
    root, monkeypatch, tmp_path
):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path))
    (code,), (install,) = blocks(root)
    lines = [line for line in (install + code).splitlines() if line.strip()]
    assert install.startswith("pip install") and len(lines) == 8
    *before, last = code.strip().splitlines()
    names = {}
    exec(compile("\n".join(before), "index.md", "exec"), names)
    found = eval(last, names)
    assert isinstance(found, pd.DataFrame)
    january = found[found.cohort == "2026-01"].set_index("k")
    # two bought first in January; one came back in February, the other in March
    assert january.n[0] == 2 and january.active[1] == january.active[2] == 1


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_links_between_pages_lead_somewhere(root, page):
    text = (root / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        file, _mark, part = link.partition("#")
        target = (root / page).parent / file
        if file.startswith(("chapters/", "reference/")):
            continue  # made by the builder
        assert target.exists(), link
        if part:
            heads = re.findall(r"(?m)^#+ (.+)$", target.read_text(encoding="utf-8"))
            assert part in {re.sub(r"[^a-z0-9]+", "-", h.lower()).strip("-") for h in heads}, link
