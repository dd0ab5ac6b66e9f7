"""The pack in a real browser: no error, no request, links and downloads that work, a
phone, paper, a keyboard.
"""

import os
import re
from pathlib import Path

import pytest
from browser import Browser, chromium
from small_pack import write_month

pytestmark = [
    pytest.mark.skipif(
        not chromium(), reason="no Chromium on this machine (apt-get install chromium)"
    ),
    pytest.mark.filterwarnings("ignore:Glyph"),
]
PICTURES = os.environ.get("PLAYBOOK_SCREENSHOTS", "")  # a folder that keeps the screenshots
PACKS = [
    p for p in os.environ.get("PLAYBOOK_PACKS", "").split(os.pathsep) if p
]  # months really run, looked at as well


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    with Browser() as one:
        yield one


@pytest.fixture(scope="module", params=["en", "zh", *PACKS])
def month(request, tmp_path_factory):
    """A month with an earlier one; once in English, once in Chinese with Chinese titles
    in its figures.
    """
    if request.param in PACKS:
        return Path(request.param).resolve()
    months = tmp_path_factory.mktemp(request.param) / "corner"
    write_month(months, "2026-01", lang=request.param)
    return write_month(
        months,
        "2026-02",
        lang=request.param,
        chinese_titles=request.param == "zh",
        revenue={"2026-01": 900.0, "2026-02": 1000.0},
        failed=("07_inventory_planning",),
    )


def made_here(month):
    if str(month) in {str(Path(p).resolve()) for p in PACKS}:
        pytest.skip("what is looked for stands in the month the test made")


def pages(month):
    return [month / "index.html", *sorted(month.glob("*/notebook.html"))]


def test_no_page_has_an_error_or_asks_for_anything_but_itself(browser, month):
    for page in pages(month):
        browser.open(page)
        assert browser.errors == [], page
        assert browser.requests == [page.as_uri()]


def test_the_browser_would_have_told_of_an_error_and_of_a_request(browser, tmp_path):
    script = "<script>console.error(1); nothing()</script>"
    (tmp_path / "bad.html").write_text(f"<img src='https://127.0.0.1:9/p.png'>{script}")
    browser.open(tmp_path / "bad.html")
    assert len(browser.errors) >= 2 and "https://127.0.0.1:9/p.png" in browser.requests


def test_every_link_and_download_leads_somewhere(browser, month):
    for page in pages(month):
        browser.open(page)
        links = browser.js("[...document.links].map(a => a.href)")
        here = [
            re.sub(r"#.*", "", link).removeprefix("file://")
            for link in links
            if link.startswith("file:")
        ]
        assert here and [name for name in here if not Path(name).exists()] == []
        anchors = [link.split("#")[1] for link in links if link.startswith(page.as_uri() + "#")]
        assert [
            name for name in anchors if not browser.js(f"!!document.getElementById({name!r})")
        ] == []


def test_a_table_sorts_by_click_and_by_keyboard(browser, month):
    made_here(month)
    browser.open(month / "index.html")
    body = "[...document.querySelectorAll('#asks ~ .scroll tbody tr:not(.total)')]"
    column = f"{body}.map(r => r.cells[1].textContent.trim())"
    rows = browser.js(column)
    browser.click("#asks ~ .scroll thead th:nth-child(2) button")
    assert browser.js(column) == sorted(rows, key=lambda v: float(v.replace(",", "")))
    assert (
        browser.js("document.querySelector('#asks ~ .scroll th:nth-child(2)').ariaSort")
        == "ascending"
    )
    browser.js("document.querySelector('#asks ~ .scroll th:nth-child(2) button').focus()")
    browser.key("Enter")
    assert browser.js(column) == sorted(rows, key=lambda v: float(v.replace(",", "")), reverse=True)
    total = browser.js("document.querySelector('#asks ~ .scroll tbody tr:last-child').className")
    assert total == "total"


def test_the_page_fits_a_phone(browser, month):
    for page in pages(month):
        browser.open(page, width=390, height=844)
        wide = browser.js("document.documentElement.scrollWidth")
        assert wide <= 390, f"{page.name} is {wide} px wide"
        if PICTURES:
            browser.picture(
                Path(PICTURES) / f"{month.parent.parent.name}-{page.parent.name}-390.png"
            )


def test_the_page_reads_without_scripts(browser, month):
    browser.open(month / "index.html", scripts=False)
    root = browser.call("DOM.getDocument", depth=-1)["root"]
    text = browser.call("DOM.getOuterHTML", nodeId=root["nodeId"])["outerHTML"]
    assert (
        "<ol" in text and text.count("<tr") > 5 and "<th scope=" in text and "<button" not in text
    )


def test_the_page_prints_on_paper_without_cutting_tables(browser, month):
    browser.open(month / "index.html")
    paper = browser.printed()
    assert (
        paper.startswith(b"%PDF")
        and 1 <= paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") <= 24
    )
    browser.call("Emulation.setEmulatedMedia", media="print")
    # a button in a header is left out where the header comes again on the next page
    boxes = "[...document.querySelectorAll('th button')].map(b => getComputedStyle(b).display)"
    assert set(browser.js(boxes)) == {"contents"}
    assert browser.js("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.call("Emulation.setEmulatedMedia", media="")


def test_figures_are_drawn_and_hold_their_words_as_text(browser, month):
    made_here(month)
    browser.open(month / "04_cohort_retention" / "notebook.html")
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    measure = "i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])"
    sizes = browser.js(f"Promise.all([...document.images].map({measure}))")
    assert len(sizes) == 2 and all(w > 100 and h > 100 for w, h in sizes)
    drawn = (month / "04_cohort_retention" / "figures" / "retention.svg").read_text(
        encoding="utf-8"
    )
    wanted = (
        "留存率按月龄"
        if month.parent.parent.name.startswith("zh")
        else "Share that ordered &amp; stayed"
    )
    assert wanted in "".join(re.findall(r"<text[^>]*>([^<]*)</text>", drawn))
    if PICTURES:
        browser.picture(Path(PICTURES) / f"{month.parent.parent.name}-chapter.png")


def test_lessons_are_folded_until_somebody_opens_them(browser, month):
    made_here(month)
    browser.open(month / "04_cohort_retention" / "notebook.html")
    seen = (
        "document.querySelector('details.lesson b').checkVisibility({contentVisibilityAuto: true})"
    )
    assert browser.js(seen) is False
    browser.click("details.lesson summary")
    assert browser.js(seen) is True


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser, month):
    browser.open(month / "index.html")
    reached = set()
    for _ in range(browser.js("document.querySelectorAll('a[href], button, summary').length") + 30):
        browser.key("Tab")
        reached.add(
            browser.js(
                "(e => e.tagName + ':' + e.textContent.trim().slice(0, 30) + ':' "
                "+ getComputedStyle(e).outlineStyle)(document.activeElement)"
            )
        )
    assert any(r.startswith("A:") and "playbook.xlsx" in r for r in reached)
    assert any(r.startswith("BUTTON:") for r in reached) and any(
        r.startswith("SUMMARY:") for r in reached
    )
    assert not [
        r for r in reached if r.split(":")[0] in ("A", "BUTTON", "SUMMARY") and r.endswith(":none")
    ]


def test_images_and_tables_are_named_for_those_who_cannot_see_them(browser, month):
    for page in pages(month):
        browser.open(page)
        assert browser.js("[...document.images].filter(i => !i.alt.trim()).length") == 0
        assert (
            browser.js(
                "[...document.querySelectorAll('[role=region]')].filter(r => !r.ariaLabel).length"
            )
            == 0
        )
