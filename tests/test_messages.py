"""By rule: every sentence has both languages, the same values in both, and somebody who says it."""

import ast
import functools
import json
import re
import string

import pytest
import yaml

from playbook.messages import forms, label, read_yaml, rooms, say, use_language

SAID = re.compile(r"^[a-z][a-z_0-9]*\.[a-z][a-z_0-9]*$")


def values_of(text):
    return {
        name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name
    }


@functools.cache
def every_message():
    return {
        f"{room}.{name}": entry
        for room, path in rooms().items()
        for name, entry in (read_yaml(path) or {}).items()
    }


def sources(root):
    for path in sorted((root / "playbook").rglob("*.py")):
        yield path.read_text(encoding="utf-8")
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])
    for path in sorted((root / "playbook").rglob("*.yaml")):
        yield repr(path.read_text(encoding="utf-8"))


def texts_and_prefixes(root):
    """Every text in the code, and the fixed beginnings of texts that are put together."""
    texts, prefixes = set(), set()
    for source in sources(root):
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.JoinedStr)
                and node.values
                and isinstance(node.values[0], ast.Constant)
            ):
                prefixes.add(str(node.values[0].value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
                texts.update(re.findall(r"[a-z_0-9]+\.[a-z_0-9]+", node.value))
    return texts, {p for p in prefixes if re.match(r"^[a-z_]+\.[a-z_0-9]*$", p)}


@pytest.mark.parametrize("room", sorted(rooms()))
def test_every_sentence_has_both_languages_with_the_same_values(room):
    wrong = []
    for name, entry in every_message().items():
        if not name.startswith(f"{room}."):
            continue
        for kind in ("", "do_", "rule_"):
            english, chinese = entry.get(f"{kind}en"), entry.get(f"{kind}zh")
            if (english is None) != (chinese is None) or (not kind and english is None):
                wrong.append(f"{name}: only one language of {kind or 'the sentence'}")
            elif english is not None and values_of(english) != values_of(chinese):
                wrong.append(
                    f"{name}: {values_of(english)} in English, {values_of(chinese)} in Chinese"
                )
    assert wrong == []


def test_no_sentence_is_unused(root):
    """A section's title is named in its notebook as `section="name"`."""
    texts, prefixes = texts_and_prefixes(root)
    unused = [
        name
        for name in every_message()
        if name not in texts
        and not any(name.startswith(prefix) for prefix in prefixes)
        and name.split(".section_")[-1] not in texts
    ]
    assert unused == []


def test_every_sentence_that_is_said_exists(root):
    gone = []
    for source in sources(root):
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in ("say", "PlaybookError")
                and node.args
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant) and first.value not in every_message():
                    gone.append(first.value)
    assert gone == []


def test_a_sentence_is_made_in_the_language_in_use():
    use_language("zh")
    try:
        assert "数据合约" in say("playbook.no_table", name="orders")
        assert label("places", "file") == "文件"
    finally:
        use_language("en")
    assert say("playbook.no_table", name="orders") == "The contract has no table orders"


def test_a_message_nobody_wrote_is_named():
    with pytest.raises(KeyError, match="nothing_like_it"):
        forms("playbook.nothing_like_it")


def test_no_file_of_words_holds_a_name_twice(root):
    """A merge that keeps both sides does, and the reader takes the last without a word."""
    twice = []
    for path in sorted((root / "playbook").rglob("*.yaml")):
        open_maps = [yaml.compose(path.read_text(encoding="utf-8"))]
        while open_maps:
            node = open_maps.pop()
            if isinstance(node, yaml.MappingNode):
                names = [key.value for key, _value in node.value]
                twice += [
                    f"{path.name}: {n}" for n in sorted({n for n in names if names.count(n) > 1})
                ]
                open_maps += [value for _key, value in node.value]
            elif isinstance(node, yaml.SequenceNode):
                open_maps += node.value
    assert twice == []
