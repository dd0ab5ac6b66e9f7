"""By rule: every text of every notebook has its Chinese, none is left over, and a course or a
working copy asked for in Chinese is Chinese.
"""

import json
import re

import pytest

from playbook.messages import speaking
from playbook.runs.plan import working_copy
from playbook.training.course import start_course
from playbook.translation import (
    account,
    comments,
    digest,
    in_language,
    notebooks,
    printed,
    translations,
)


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_text_has_its_chinese_and_no_chinese_is_left_over(path):
    missing, left_over = account(path)
    assert not missing, f"python -m playbook.translation prints what to fill in: {missing[:1]}"
    assert not left_over
    for chinese in translations(path).values():
        assert re.search(r"[\u4e00-\u9fff]", chinese), chinese


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_translation_keeps_the_code_and_the_links_of_its_text(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    english = {digest("".join(c["source"])): "".join(c["source"]) for c in cells}
    for of, chinese in translations(path).items():
        if of in english:
            links = re.findall(r"\]\(([^)]+)\)", english[of])
            assert sorted(links) == sorted(re.findall(r"\]\(([^)]+)\)", chinese)), chinese
            told = set(re.findall(r"`([^`]+)`", english[of]))
            kept = set(re.findall(r"`([^`]+)`", chinese))
            unsaid = {code for code in told - kept if re.fullmatch(r"[a-z_]+", code)}
            assert not unsaid, (unsaid, chinese)


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_comment_of_a_parameter_has_its_chinese(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        is_told = "parameters" in cell["metadata"].get("tags", []) or "# Take away" in source
        for said in re.findall(r"(?m)(?<!\S)# (.+)$", source) if is_told else []:
            if not re.match(r"\w+\(", said):
                assert re.search(r"[一-鿿]", comments().get(said, "")), said


def test_what_a_training_page_prints_is_chinese_and_its_code_stays():
    everything = ""
    for path in (path for path in notebooks() if path.parent.name == "training"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [c for c in cells if c["cell_type"] == "code"]
        before = ["".join(c["source"]) for c in code]
        with speaking("zh"):
            after = ["".join(c["source"]) for c in in_language(code, path)]
        for english, chinese in zip(before, after, strict=True):
            compile(chinese, path.name, "exec")
            assert len(english.splitlines()) == len(chinese.splitlines())
        everything += "\n".join(before)
    left_over = [text for text in printed(path) if f'"{text}"' not in everything]
    assert printed(path) and not left_over


def test_a_changed_text_stays_english_until_its_chinese_follows():
    path = next(p for p in notebooks() if p.stem == "00_welcome")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [c for c in cells if c["cell_type"] == "markdown"]
    texts[0]["source"] = [*texts[0]["source"], "\nOne sentence more."]
    with speaking("zh"):
        shown = in_language(cells, path)
    assert "One sentence more." in "".join(shown[0]["source"])
    other = "".join(texts[2]["source"])
    assert not re.search(r"[a-z]{4,} [a-z]{4,} [a-z]{4,}", re.sub(r"`[^`]*`", "", other))
    with speaking("en"):
        assert in_language(texts[:1], path) == texts[:1]


def test_a_course_in_chinese_asks_in_chinese(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYBOOK_LEARNER_DIR", str(tmp_path / "learners"))
    folder, names = start_course("Mei", "demo", "2026-10", tmp_path, lang="zh")
    for name in names:
        cells = json.loads((folder / name).read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "markdown":
                assert re.search(r"[\u4e00-\u9fff]", "".join(cell["source"])), cell["source"]
    assert "**练习 00.1 · " in (folder / "00_start_here.ipynb").read_text(encoding="utf-8")


def test_a_working_copy_is_in_the_language_in_use(tmp_path):
    with speaking("zh"):
        path = working_copy("00", "demo", "2026-10", tmp_path)
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert re.search(r"[\u4e00-\u9fff]", "".join(first["source"]))
