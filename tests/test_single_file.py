"""A month as one page: everything in it, every link inside it, nothing around it needed."""

import base64
import re
import shutil

import pytest
from small_pack import write_month

from playbook.cli import main
from playbook.errors import PlaybookError
from playbook.runs.single_file import single_file, write_single_file


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "corner"
    write_month(folder, "2026-01", revenue={"2026-01": 800.0})
    return write_month(folder, "2026-02", revenue={"2026-01": 800.0, "2026-02": 1000.0})


@pytest.fixture(scope="module")
def page(month):
    return single_file(month)


def addresses(page):
    return re.findall(r"""(?:href|src|action|poster)\s*=\s*["']?([^"'\s>]+)""", page)


def test_every_link_leads_to_a_place_of_the_page_or_to_a_file_inside_it(page):
    places = {*re.findall(r'\bid="([^"]+)"', page)}
    for address in addresses(page):
        assert address.startswith(("#", "data:")), address
        assert not address.startswith("#") or address[1:] in places, address
    chapters = ("04_cohort_retention", "07_inventory_planning", "11_monthly_review")
    assert {f"#chapter-{name}" for name in chapters} <= set(addresses(page))


def test_every_chapter_stands_in_the_page_with_its_pictures(page, month):
    for chapter in ("04_cohort_retention", "07_inventory_planning", "11_monthly_review"):
        alone = (month / chapter / "notebook.html").read_text(encoding="utf-8")
        inside = page.split(f'id="chapter-{chapter}"')[1].split("</article>")[0]
        assert alone.count("<img") == inside.count("<img")
        assert re.sub(r"<[^>]+>", "", alone.split("<main>")[1].split("<!--folder-->")[0]).strip()
    assert page.count("<!doctype html>") == page.count("</html>") == 1


def test_the_workbook_and_the_decisions_are_the_files_of_the_pack(page, month):
    for name in ("playbook.xlsx", "decisions.csv"):
        found = re.search(rf'href="data:[^"]*;base64,([^"]*)" download="{name}"', page)
        assert base64.b64decode(found[1]) == (month / name).read_bytes()


def test_the_page_is_the_same_wherever_it_is_read_from(month, page, tmp_path):
    moved = shutil.copytree(month, tmp_path / "moved")
    assert single_file(moved) == page


def test_a_month_is_written_as_one_page_by_a_command(month, tmp_path, capsys):
    to = tmp_path / "mail" / "month.html"
    assert main(["single-file", str(month), "--to", str(to)]) == 0
    assert to.read_text(encoding="utf-8") == single_file(month)
    assert str(to) in capsys.readouterr().out
    beside = write_single_file(month)
    assert beside.name == "corner-2026-02.html"
    beside.unlink()
    assert main(["single-file", str(tmp_path)]) == 1
    assert "no published month" in capsys.readouterr().err
    with pytest.raises(PlaybookError, match="no published month"):
        single_file(tmp_path / "nowhere")
