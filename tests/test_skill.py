"""By running: what the skill, the README and the pages under docs tell people to type."""

import re
import shlex

import pytest
import typer

from playbook.cli import app, main
from playbook.skill import NAME, TEXT, install_skill

PAGES = ("README.md", "docs/index.md", "docs/share.md", "docs/schedule.md", "docs/release.md")


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_every_example_of_the_skill_gives_an_answer(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in python_blocks(TEXT.read_text(encoding="utf-8")):
        exec(compile(block, "SKILL.md", "exec"), names)
    assert len(names["mine"].customer_days.to_pandas()) == 3


def test_every_module_the_skill_names_is_there():
    import importlib

    text = TEXT.read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"`(playbook\.(?!xlsx)[a-z_.]+)`", text))):
        module, _dot, member = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), member), name


def commands(root):
    """Every `playbook ...` line of the pages, as words."""
    texts = [TEXT.read_text(encoding="utf-8")]
    texts += [(root / page).read_text(encoding="utf-8") for page in PAGES]
    for text in texts:
        lines = [*fenced(text), *re.findall(r"`(playbook [a-z][^`]*)`", text)]
        for part in (part.strip(" \\") for line in lines for part in re.split("&&|#|[|]", line)):
            if re.match(r"playbook [a-z]", part):
                yield shlex.split(part.partition("{{")[0])


def fenced(text):
    return [
        line for block in re.findall(r"(?s)```\w*\n(.*?)```", text) for line in block.split("\n")
    ]


def test_every_command_told_anywhere_exists_with_its_options(root):
    group = typer.main.get_command(app)
    told = list(commands(root))
    assert len(told) > 20
    for _playbook, name, *words in told:
        command = group.commands.get(name)
        assert command is not None, name
        if hasattr(command, "commands") and words:
            command = command.commands[words[0]]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        used = {w.partition("=")[0] for w in words if w.startswith("-")}
        assert used <= known, (name, used - known)


def test_the_skill_is_installed_by_a_command_and_another_file_is_not_overwritten(tmp_path, capsys):
    assert main(["skill", str(tmp_path)]) == 0
    path = tmp_path / NAME / "SKILL.md"
    assert str(path) in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == TEXT.read_text(encoding="utf-8")
    path.write_text(f"---\nname: {NAME}\n---\nwhat was told before", encoding="utf-8")
    assert install_skill(tmp_path) == path and "what was told before" not in path.read_text(
        encoding="utf-8"
    )
    path.write_text("my own notes", encoding="utf-8")
    assert main(["skill", str(tmp_path)]) == 1
    assert path.read_text(encoding="utf-8") == "my own notes"


def test_the_skill_says_what_it_is_for_in_its_head():
    head = TEXT.read_text(encoding="utf-8").split("---")[1]
    assert f"name: {NAME}" in head
    described = re.search(r"(?m)^description: (.+)$", head)[1]
    assert 60 < len(described) <= 1024 and re.fullmatch(r"[a-z0-9-]{1,64}", NAME)


def test_every_page_of_llms_txt_is_a_page_of_the_site(root):
    text = (root / "docs" / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith("# ") and "\n> " in text
    links = re.findall(r"\[[^\]]+\]\(([^)]+)\)", text)
    assert len(links) >= 6
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    pages = {p.name for p in (root / "docs").glob("*.md")}
    # every page written by hand is listed
    assert pages == set(links)


@pytest.mark.parametrize("name", ["devcontainer.json"])
def test_the_container_sets_up_what_the_makefile_does(root, name):
    import json

    facts = json.loads((root / ".devcontainer" / name).read_text(encoding="utf-8"))
    assert "playbook.bootstrap" in facts["postCreateCommand"]
    assert "playbook.bootstrap" in (root / "Makefile").read_text(encoding="utf-8")
