"""The pack: one page that needs nothing, chapters without code, a typed workbook, and
nothing from outside runs.
"""

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from small_pack import EVIL, write_month

from playbook.chapters.registry import opening
from playbook.messages import label, speaking
from playbook.runs.cells import TEMPLATES, cell_of, metric_name, plain_number, word
from playbook.runs.chapter_page import _parameters, objective_of
from playbook.runs.first_page import write_pack
from playbook.runs.notice import write_notice
from playbook.runs.pack import Pack
from playbook.runs.sentences import sentences
from playbook.tables import schema


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "corner"
    write_month(folder, "2026-01", revenue={"2026-01": 800.0})
    write_month(folder, "2026-02", revenue={"2025-02": 2000.0, "2026-01": 800.0, "2026-02": 1000.0})
    return folder


@pytest.fixture(scope="module")
def page(months):
    return (months / "2026-02" / "index.html").read_text(encoding="utf-8")


def visible(page):
    """What a reader sees before opening anything."""
    body = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", page)
    return re.sub(r"(?s)<details\b.*?</details>", "", body)


def test_the_page_says_first_what_happened_why_and_what_to_decide(page):
    first = re.findall(r"<li>([^<]*)</li>", page.split('<ol class="lead">')[1].split("</ol>")[0])
    assert first[0] == (
        "Net revenue in 2026-02 was 1,000 EUR: 25.0% more than the month before "
        "and 50.0% less than a year ago."
    )
    assert first[1] == (
        "Against the month before, most of the change comes from Orders (+120 EUR) "
        "and Average order value (-20 EUR)."
    )
    assert first[2].startswith(
        "Decide: 2 decisions are proposed, the earliest due on 2026-02-20; on top: raise "
    )
    assert first[2].endswith("Money asked for in all: 150 EUR.")
    order = [
        page.index(f'id="{name}"')
        for name in ("asks", "headline", "changes", "decisions", "chapters")
    ]
    assert order == sorted(order)


def test_the_sentences_say_whether_the_past_led_one_to_expect_it_and_compare_no_unfinished_month(
    months, tmp_path
):
    def told(card, drivers, lang="en", **more):
        folder = shutil.copytree(months / "2026-02", tmp_path / str(len(list(tmp_path.iterdir()))))
        for name, rows in (("scorecard", card), ("drivers", drivers)):
            pd.DataFrame(rows).to_parquet(
                folder / "11_monthly_review" / "tables" / f"{name}.parquet"
            )
        if more:
            head = pd.read_parquet(folder / "04_cohort_retention/headline.parquet").assign(
                status="partial"
            )
            head.to_parquet(folder / "04_cohort_retention/headline.parquet")
        pack = Pack(folder, json.loads((folder / "run.json").read_text()) | {"lang": lang} | more)
        with speaking(lang):
            return sentences(pack, pack.decisions())

    card = {"metric": ["net_revenue"], "actual": [1000.0]}
    card |= {"usual_low": [400.0], "usual_high": [900.0], "lower": [300.0], "upper": [1100.0]}
    why = {
        "driver": ["orders", "aov"],
        "contribution": [120.0, -20.0],
        "surprise": [5.0, 0.1],
        "is_news": [True, False],
    }
    first, second, _ = told(card, why)
    assert first.endswith("(400 to 900), no further than a month without news may lie.")
    assert second.endswith("; outside its limits: Orders.")
    assert told(card, why, "zh")[0].endswith("；高于通常范围（400 至 900），但平常月份也可能如此。")
    assert "further than a month without news lies" in told(card | {"upper": [950.0]}, why)[0]
    assert "too short" in told(card | {"usual_low": [None], "usual_high": [None]}, why)[0]
    short = card | {"usual_low": [None], "usual_high": [None], "foreseen": [800.0]}
    assert "the outlook had foreseen 800, and 25.0% more came." in told(short, why)[0]
    held = {"metric": ["net_revenue", "orders", "return_share"], "actual": [1000.0, 9.0, 0.02]}
    held |= {"target": [900.0, 10.0, 0.06], "unit": ["currency", "orders", "share"]}
    held |= {"status": ["complete", "complete", "partial"], "usual_high": [None] * 3}
    targets = told(held, why)[1]
    assert targets == (
        "Targets missed: Orders (9 against 10); targets beaten: Net revenue (1,000 against 900)."
    ), "an unripe figure is held against no target"
    first, second, _ = told(card, why, is_partial=True)
    assert "not compared" in first and "%" not in first and "when the month is over" in second


def test_a_chinese_pack_has_words_for_codes_and_keeps_what_it_has_none_for():
    with speaking("zh"):
        assert label("actions", "order") == "订货"
        assert word("decisions") == "决策" and metric_name("net_revenue") == "净销售额"
        assert word("a word of the shop's own") == "a word of the shop's own"


def test_a_headline_opens_to_what_it_is_made_of(months, tmp_path):
    folder = shutil.copytree(months / "2026-02", tmp_path / "m")
    rows = [("aov", 50.0, 20.0), ("orders", 20.0, 20.0), ("cvr_sessions", 0.04, 500.0)]
    head = pd.DataFrame(
        [(m, "2026-02", a, None, None, n, "complete") for m, a, n in rows],
        columns=["metric", "month", "amount", "low", "high", "n", "status"],
    )
    head.to_parquet(folder / "04_cohort_retention/headline.parquet")
    write_pack(folder, json.loads((folder / "run.json").read_text()), months=months)
    page = (folder / "index.html").read_text(encoding="utf-8")
    opened = dict(
        re.findall(r"(?s)<details class=part><summary>([^<]+)</summary>(.*?)</details>", page)
    )
    assert list(opened) == ["Orders", "Average order value", "Session conversion"]
    aov = re.sub(r"<[^>]+>", " ", opened["Average order value"])
    assert (
        "orders = 20" in aov
        and "net revenue =" not in aov  # no chapter counted it here, and none is worked backwards
        and "shop net revenue" in aov
        and " 04 " in aov
    )
    assert (
        "sessions =" not in opened["Session conversion"]
        and "as exported" in opened["Session conversion"]
    )


def test_the_money_asked_for_adds_up(page):
    asks = page.split('id="asks"')[1].split("</section>")[0]
    assert "150.5" in asks.split("class=total")[1]


def test_the_page_is_self_contained(page, months):
    outside = re.findall(r"""(?:src|href|action|data|poster)\s*=\s*["']?([^"'\s>]+)""", page)
    assert [a for a in outside if a.startswith(("http", "//"))] == []
    assert not re.search(r"@import|url\((?!data:)", page)
    local = {a for a in outside if not a.startswith(("data:", "#"))}
    assert "playbook.xlsx" in local and "../2026-01/index.html" in local
    assert [a for a in local if not (months / "2026-02" / a).exists()] == []


def test_whatever_came_from_outside_is_escaped(page, months):
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    chapter = (months / "2026-02/04_cohort_retention/notebook.html").read_text()
    assert "<script" not in chapter and "onclick" not in chapter and "javascript:" not in chapter
    assert "x.y/z.js" not in chapter and "example.org" not in chapter


def test_a_chapter_shows_no_code_and_folds_its_lessons(months):
    chapter = (months / "2026-02/04_cohort_retention/notebook.html").read_text()
    assert (
        "month = " not in chapter and "results.figure" not in chapter and "a warning" not in chapter
    )
    assert chapter.count('<details class="lesson">') == 1
    folded = chapter.split('<details class="lesson">')[1].split("</details>")[0]
    assert (
        "TEMPTING 99.9" in folded
        and "The tempting reading" in folded
        and "tempting, not used" in folded.lower()
    )
    assert "TEMPTING 99.9" not in chapter.replace(folded, "")


def test_a_parameter_is_told_by_what_it_means_with_its_value_and_its_name_last():
    declared = "ask: float = 0.4  # chance of a target, share\nmost: float = 1e12  # money"
    declared += '\nfloors: str = ""  # least <b>of a channel\nis_all: bool = False  # all of it'
    told = _parameters(declared, "ask = 0.55").split("\n")
    assert told == [
        "- Chance of a target, share: **0.55** (`ask`)",
        "- Money: **1,000,000,000,000** (`most`)",
        "- Least &lt;b&gt;of a channel: **–** (`floors`)",
        "- All of it: **no** (`is_all`)",
    ]
    with speaking("zh"):
        assert _parameters("seed: int = 1  # 随机种子", "") == "- 随机种子：**1**（`seed`）"


def test_what_every_parameter_means_can_be_read_without_its_name():
    for path in sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = next(c["source"] for c in cells if "parameters" in c["metadata"].get("tags", []))
        for line in source:
            meaning = line.partition("  # ")[2]
            assert not re.match(r"(of|it|they) ", meaning) and " it may " not in meaning, line


def test_figures_are_drawings_with_text_and_say_what_they_show(months, page):
    chapter = (months / "2026-02/04_cohort_retention/notebook.html").read_text()
    assert chapter.count(' src="data:image/svg+xml;base64,') == 2 and "image/png" not in chapter
    # and each once more, drawn for a phone
    assert chapter.count('srcset="data:image/svg+xml;base64,') == 2
    alternatives = re.findall(r'<img [^>]*alt="([^"]*)"', page + chapter)
    assert alternatives and all(alternatives)
    assert any("Share that ordered &amp; stayed" in alt for alt in alternatives)


def test_no_lesson_figure_is_on_the_page_or_in_the_workbook(months, page):
    folder = months / "2026-02"
    pack = Pack(folder, json.loads((folder / "run.json").read_text()))
    assert pack.figure("04_cohort_retention", "lesson_only") is None
    assert pack.figure("04_cohort_retention", "retention")["src"] in page
    assert "TEMPTING" not in page
    for frame in pd.read_excel(
        folder / "playbook.xlsx", sheet_name=None, header=None, engine="calamine"
    ).values():
        assert "TEMPTING" not in frame.to_csv()


def test_headings_do_not_skip_and_the_page_has_its_landmarks(page):
    levels = [int(n) for n in re.findall(r"<h([1-6])\b", page)]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    assert (
        "<main" in page and "<nav" in page and '<html lang="en">' in page and 'class="skip"' in page
    )
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", page))


def test_text_and_ground_differ_enough_to_be_read():
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    css = (TEMPLATES / "pack.css").read_text()
    named = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", css))
    for ink in (
        "ink",
        "soft",
        "blue",
        "red",
        "green",
    ):  # WCAG 2.1, level AA for body text: 4.5 to 1
        assert (light(named["back"]) + 0.05) / (light(named[ink]) + 0.05) >= 4.5, ink


def test_a_failed_chapter_is_said_first_and_has_no_link(tmp_path):
    folder = write_month(tmp_path / "corner", "2026-02", failed=("07_inventory_planning",))
    page = (folder / "index.html").read_text()
    head = page.split("<main")[0]
    assert "07 Inventory planning" in head and "7" in head and "&lt;script&gt;" in head
    assert "07_inventory_planning/notebook.html" not in page


def test_a_partial_month_and_a_replay_say_so_on_every_page(tmp_path):
    folder = write_month(tmp_path / "corner", "2026-02", is_partial=True)
    assert "every figure is partial" in (folder / "index.html").read_text()
    assert "every figure is partial" in (folder / "04_cohort_retention/notebook.html").read_text()
    folder = write_month(tmp_path / "other", "2026-02", is_replay=True)
    assert "replay of a past month" in (folder / "04_cohort_retention/notebook.html").read_text()


@pytest.mark.filterwarnings("ignore:Glyph")
def test_chinese_names_titles_objectives_metrics_and_decisions(tmp_path):
    folder = write_month(
        tmp_path / "corner",
        "2026-02",
        lang="zh",
        chinese_titles=True,
        revenue={"2026-01": 800.0, "2026-02": 1000.0},
    )
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert '<html lang="zh-Hans">' in page
    seen = visible(page)
    for said in (
        "同期群留存",
        "净销售额",
        "环比增长 25.0%",
        "核心指标",
        "市场负责人",
        "提高渠道：",
        "需要批准的款项",
    ):
        assert said in seen, said
    chapter = (folder / "04_cohort_retention/notebook.html").read_text(encoding="utf-8")
    assert "决定何时、对谁做复购提醒" in chapter and ">分析</h2>" in chapter
    drawn = (folder / "04_cohort_retention/figures/retention.svg").read_text(encoding="utf-8")
    assert "留存率按月龄" in drawn
    sheets = pd.read_excel(folder / "playbook.xlsx", sheet_name=None, engine="calamine")
    assert list(sheets["决策"].columns[:3]) == ["决策编号", "状态", "完成日期"]
    assert set(sheets["决策"]["状态"]) == {"待定"}


def test_the_workbook_has_types_no_formulas_and_no_person(months):
    path = months / "2026-02" / "playbook.xlsx"
    sheets = pd.read_excel(path, sheet_name=None, engine="calamine")
    assert list(sheets)[:5] == ["Summary", "Decisions", "Asks", "Targets", "Definitions"]
    decisions = sheets["Decisions"]
    assert decisions["How much"].tolist()[0] == 1000
    assert pd.Timestamp(decisions["Due on"][0]) == pd.Timestamp("2026-02-20")
    assert "blocked" not in set(decisions["Action"]) and set(decisions["Status"]) == {"proposed"}
    names = ["Decision ID", "Status", "Done on", "Done, how much", "What it brought", "Note"]
    assert list(decisions.columns[:6]) == names
    assert sheets["07 Inventory planning"]["SKU"].tolist() == [EVIL, "=A1", "b"]
    assert all("ustomer" not in head for frame in sheets.values() for head in map(str, frame))
    import zipfile

    with zipfile.ZipFile(path) as parts:
        xml = "".join(
            parts.read(n).decode() for n in parts.namelist() if n.startswith("xl/worksheets/sheet")
        )
    assert "<f>" not in xml and "dataValidation" in xml and xml.count("<pane ") >= 5


def test_the_same_month_gives_the_same_pack_byte_for_byte(tmp_path):
    first = write_month(tmp_path / "a", "2026-02")
    second = write_month(tmp_path / "b", "2026-02")
    for path in sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file()):
        assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_the_csv_holds_every_decision_and_nothing_that_a_spreadsheet_would_run(months):
    frame = pd.read_csv(months / "2026-02" / "decisions.csv", keep_default_na=False)
    assert len(frame) == 3 and set(frame["action"]) == {"raise", "wake", "blocked"}
    assert not any(str(v)[:1] in "=+@" for v in frame.to_numpy().ravel() if v != "")


def test_a_notice_is_short_text_with_json_beside_it(tmp_path):
    one = {
        "store": "corner",
        "month": "2026-02",
        "status": 3,
        "is_partial": False,
        "sentences": ["a.", "b.", "c."],
        "failed": {"07_inventory_planning": {"cell": 7, "error": "ValueError: x"}},
        "page": "runs/corner/index.html",
        "decisions": [
            {"who": "CRM manager", "what": "wake buyers", "how much": "", "by when": "2026-02-25"}
        ],
    }
    gone = {
        "store": "other",
        "month": None,
        "status": 1,
        "error": {"message": "There is no store other"},
    }
    write_notice(tmp_path / "note.txt", [one, gone])
    text = (tmp_path / "note.txt").read_text()
    assert (
        "a." in text and "cell 7" in text and "nothing published. There is no store other" in text
    )
    assert json.loads((tmp_path / "note.json").read_text())[0]["status"] == 3


def test_numbers_read_as_people_write_them():
    assert [
        plain_number(v) for v in (0, 7, 1234.5, 0.01234, 1.5, None, float("nan"), -2000000)
    ] == ["0", "7", "1,234", "0.0123", "1.50", "", "", "-2,000,000"]
    assert cell_of(0.256, "repeat_share").text == "25.6 %"
    assert cell_of(None, "amount").text == "–" and cell_of(True, "is_first").text == "yes"


@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not on this machine")
def test_libreoffice_opens_the_workbook_and_keeps_its_types(months, tmp_path):
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    subprocess.run(
        [
            "soffice",
            "--headless",
            profile,
            "--convert-to",
            "xlsx",
            "--outdir",
            str(tmp_path),
            str(months / "2026-02" / "playbook.xlsx"),
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )
    decisions = pd.read_excel(tmp_path / "playbook.xlsx", sheet_name="Decisions", engine="calamine")
    assert decisions["How much"].tolist()[0] == 1000
    assert pd.Timestamp(decisions["Due on"][0]) == pd.Timestamp("2026-02-20")
    stock = pd.read_excel(
        tmp_path / "playbook.xlsx", sheet_name="07 Inventory planning", engine="calamine"
    )
    assert stock["SKU"].tolist()[1] == "=A1" and stock["Cash needed"].tolist() == [
        10.5,
        20.0,
        30.25,
    ]


def test_the_objective_keeps_the_underscores_of_names_and_loses_those_of_emphasis(tmp_path):
    text = "## Objective\n\n**Tables** `order_lines` and _unit_cost_; see [here](x)."
    cell = {"cell_type": "markdown", "source": text}
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert objective_of(tmp_path / "one.ipynb") == "Tables order_lines and unit_cost; see here."


def test_a_figure_that_is_still_filling_does_not_say_that_every_figure_is():
    assert word("partial") == "Partial"
    with speaking("zh"):
        assert word("partial") == "尚不完整"


def test_a_month_tells_first_what_went_wrong_and_a_quiet_one_says_so(months, tmp_path):
    """The dearest four of those that are no echo, each with days, money and what to do."""
    folder = shutil.copytree(months / "2026-02", tmp_path / "m")
    record = json.loads((folder / "run.json").read_text())
    tables = folder / opening().notebook / "tables"
    tables.mkdir(parents=True, exist_ok=True)

    def told(rows, lang="en"):
        frame = pd.DataFrame(rows, columns=schema("detect.incidents").names)
        frame.to_parquet(tables / "incidents.parquet")
        pack = Pack(folder, record | {"lang": lang})
        with speaking(lang):
            return sentences(pack, pack.decisions())

    def row(kind, share, first="2026-02-03", last="2026-02-05", follows=""):
        about = {"month": first[:7], "kind": kind, "starts_on": first, "ends_on": last}
        money = {"amount": 1000.0 * share, "money_is": "margin lost", "share_of_month": share}
        words = {"what": f"{kind} came", "check": "look", "follows": follows, "n_days": 3}
        return about | money | words

    kinds = {"one": 0.1, "two": 0.4, "three": 0.3, "four": 0.2, "five": 0.05}
    rows = [row(kind, share) for kind, share in kinds.items()]
    said = told(
        [*rows, row("echo", 0.9, follows="two"), row("old", 0.9, "2026-01-01", "2026-01-09")]
    )
    assert len(said) == 7
    assert said[0].startswith("2026-02-03 to 2026-02-05: two came (400 ")
    assert said[0].endswith("margin lost); look.")
    assert [s.split(": ")[1].split()[0] for s in said[:4]] == ["two", "three", "four", "one"]
    assert said[3].endswith("1 more below.")
    assert told([row("old", 0.9, "2026-01-01", "2026-01-09")])[0] == (
        "Nothing went wrong in 2026-02 that the tables show."
    )
    assert told(rows, "zh")[0].startswith("2026-02-03 至 2026-02-05：two came（400 ")
