"""A picture for a phone: as narrow as the screen, nothing cut off, no word over another."""

import io
import itertools
import warnings

import matplotlib
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from playbook.pictures import use_style
from playbook.runs.narrow import WIDTH, narrow
from playbook.runs.results import Results

LONG = "A title of a picture that says in many words what there is to see in it, and more"


@pytest.fixture(autouse=True)
def style():
    use_style()
    yield
    plt.close("all")


def test_the_picture_itself_and_what_a_notebook_shows_stay_as_they_were():
    figure, ax = plt.subplots(figsize=(8, 4))
    ax.plot([1, 2], [3, 4], label="sales")
    ax.set_title(LONG)
    ax.legend()
    before = figure.get_size_inches().tolist(), plt.get_fignums()
    manager = figure.canvas.manager
    narrow(figure)
    assert (figure.get_size_inches().tolist(), plt.get_fignums()) == before
    assert figure.canvas.manager is manager and ax.get_title(loc="left") == LONG and ax.get_legend()


def test_panels_stand_below_each_other_and_titles_break_into_lines():
    figure, grid = plt.subplots(3, 3, figsize=(9, 5))
    for ax in grid.flat:
        ax.set_title("Net revenue per order and month", fontsize=8.5)
    grid.flat[8].set_visible(False)
    drawing = narrow(figure)
    assert drawing.get_figwidth() == WIDTH and len(drawing.axes) == 8
    specs = [ax.get_subplotspec() for ax in drawing.axes]
    assert {(s.get_gridspec().nrows, s.get_gridspec().ncols) for s in specs} == {(4, 2)}
    # each panel keeps about the height it had
    assert drawing.get_figheight() == pytest.approx(5 * 4 / 3)
    titles = [ax._left_title for ax in drawing.axes]
    assert all("\n" in t.get_text() and t.get_fontsize() == 8.5 for t in titles)


def test_names_under_bars_stand_upright_and_numbers_are_thinned_so_that_none_run_together():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    left.bar([f"a rather long name {n}" for n in range(8)], range(8))
    right.plot(range(30), range(30))
    right.set_xticks(range(30))
    right.xaxis.set_major_formatter("{x:.2f}")
    drawing = narrow(figure)
    drawing.draw_without_rendering()
    for ax in drawing.axes:
        boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
        boxes.sort(key=lambda box: box.x0)
        assert all(a.x1 <= b.x0 + 1 for a, b in itertools.pairwise(boxes))
    # every bar keeps its name
    assert len([t for t in drawing.axes[0].get_xticklabels() if t.get_text()]) == 8


def test_long_names_of_rows_break_into_lines_so_that_the_bars_have_room():
    figure, ax = plt.subplots(figsize=(8, 3))
    ax.barh(range(3), [1, 2, 3])
    ax.set_yticks(range(3), ["shop sales before returns and refunds"] * 3)
    drawing = narrow(figure)
    drawing.draw_without_rendering()
    assert all("\n" in t.get_text() for t in drawing.axes[0].get_yticklabels())
    # at least half of the width is for the bars
    assert drawing.axes[0].get_position().width > 0.5


def test_days_are_thinned_and_keep_their_form():
    figure, ax = plt.subplots(figsize=(8, 3))
    days = pd.date_range("2025-11-01", "2026-11-01")
    ax.plot(days, range(len(days)))
    ticks = pd.date_range("2025-11-01", "2026-11-01", freq="MS")
    ax.set_xticks(ticks, [f"{d:%Y-%m-%d}" for d in ticks])
    drawing = narrow(figure)
    drawing.draw_without_rendering()
    labels = [t for t in drawing.axes[0].get_xticklabels() if t.get_text()]
    boxes = [t.get_window_extent() for t in labels]
    assert 2 <= len(labels) < 13 and all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert labels[0].get_text() == "2025-11-01"


def test_a_legend_stands_below_the_panels_and_a_wide_sign_counts_twice():
    figure, ax = plt.subplots(figsize=(8, 4))
    ax.plot([1, 2], [3, 4], label="预测与实际")
    ax.set_title("渠道投入产出比与上月相比的变化及其主要原因说明" * 2)
    ax.legend()
    drawing = narrow(figure)
    assert [t.get_text() for t in drawing.legends[0].get_texts()] == ["预测与实际"]
    assert drawing.axes[0].get_legend() is None
    lines = drawing.axes[0].get_title(loc="left").split("\n")
    assert len(lines) >= 2 and max(map(len, lines)) * 12 <= WIDTH * 72


def test_a_figure_that_cannot_be_copied_has_no_picture_for_a_phone(tmp_path):
    figure, ax = plt.subplots()
    ax.plot([1, 2], [3, 4])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _place: f"{x}"))
    assert narrow(figure) is None
    results = Results("04_cohort_retention", str(tmp_path), month="2026-01", store="corner")
    results.figure("odd", ax)
    kept = sorted(p.name for p in (tmp_path / "04_cohort_retention" / "figures").iterdir())
    assert kept == ["odd.png", "odd.svg"]


def test_the_same_figure_gives_the_same_bytes_for_a_phone(tmp_path):
    texts = []
    for place in ("a", "b"):
        ax = plt.subplots()[1]
        ax.plot([1, 2], [3, 4])
        Results("04_cohort_retention", str(tmp_path / place), month="2026-01", store="c").figure(
            "line", ax
        )
        path = tmp_path / place / "04_cohort_retention" / "figures" / "narrow" / "line.svg"
        texts.append(path.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


NAME = "a rather long name of a category"


def one_bar():
    figure, ax = plt.subplots(figsize=(8, 1.2))
    ax.barh([NAME], [3])
    ax.set(title=LONG * 2, xlabel="net revenue less refunds, in thousands of the shop's currency")
    return figure


def names_below():
    figure, grid = plt.subplots(1, 3, figsize=(9, 2.2))
    for ax in grid:
        ax.bar([f"{NAME} {n}" for n in range(6)], range(6))
    return figure


def a_note_at_the_end():
    figure, ax = plt.subplots(figsize=(8, 4))
    ax.plot([1, 2], [3, 4])
    ax.text(2, 4, LONG * 2)
    return figure


def many_lines():
    figure, ax = plt.subplots(figsize=(8, 3))
    for n in range(14):
        ax.plot([1, 2], [3, n], label=f"{NAME} {n}")
    ax.legend()
    return figure


def low_rows():
    figure, grid = plt.subplots(3, 1, figsize=(8, 2))
    for ax in grid:
        ax.barh([f"{NAME} {n}" for n in range(4)], range(4))
    return figure


@pytest.mark.parametrize(
    "drawn",
    [one_bar, names_below, a_note_at_the_end, many_lines, low_rows],
    ids=lambda f: f.__name__,
)
def test_a_picture_is_laid_out_once_and_its_words_leave_every_panel_room(
    drawn, tmp_path, monkeypatch
):
    figure, made, execute = drawn(), [], ConstrainedLayoutEngine.execute
    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", lambda self, fig: (made.append(fig), execute(self, fig))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a layout that found no room
        drawing = narrow(figure)
        drawing.savefig(tmp_path / "narrow.svg", bbox_inches="tight")
    assert made == [drawing]
    inches = [ax.get_window_extent().height / drawing.dpi for ax in drawing.axes]
    assert min(inches) > 0.5


def test_the_names_of_low_rows_stand_clear_of_each_other():
    drawing = narrow(low_rows())
    drawing.draw_without_rendering()
    for ax in drawing.axes:
        boxes = sorted((t.get_window_extent() for t in ax.get_yticklabels()), key=lambda b: b.y0)
        assert all(a.y1 <= b.y0 + 2 for a, b in itertools.pairwise(boxes))


def test_a_title_beside_long_names_of_rows_keeps_within_the_screen():
    drawing = narrow(one_bar())
    drawing.draw_without_rendering()
    assert drawing.get_tightbbox().width <= WIDTH * 1.05


@pytest.mark.parametrize("words", [8, 12])
def test_no_title_runs_over_the_edge_of_its_figure(words):
    from playbook.runs.in_sight import titles_in_sight

    drawing, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    ax.barh(["a name of a row as long as rows have", "b"], [1, 2])
    ax.set_title(" ".join(["margin lost"] * words), loc="left")
    drawing.savefig(io.BytesIO(), format="svg")  # whose letters have another size
    title = ax._left_title
    before = title.get_text(), title.get_position()
    drawing.draw_without_rendering()
    assert title.get_window_extent().x1 > drawing.bbox.x1
    drawing.savefig(io.BytesIO(), format="svg")
    with titles_in_sight(drawing) as is_moved:
        drawing.draw_without_rendering()
        box = title.get_window_extent()
        assert is_moved and box.x1 <= drawing.bbox.x1 and box.x0 >= drawing.bbox.x0
    assert (title.get_text(), title.get_position()) == before
    ax.set_title("short", loc="left")
    with titles_in_sight(drawing) as is_moved:
        assert not is_moved
    plt.close(drawing)
