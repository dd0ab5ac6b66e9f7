"""Numbers along the axes of a picture."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pytest

from playbook.runs.narrow import narrow
from playbook.ticks import plain_numbers


@pytest.fixture(autouse=True)
def plain_minus():
    """A minus as the package's style writes it."""
    mpl.rcParams["axes.unicode_minus"] = False


def labels(figure):
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    return [text.get_text() for text in axis.get_ticklabels()], axis.get_offset_text().get_text()


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1_500_000, "1,000,000"),
        (1_461_700, 1_461_800, "1,461,750"),
        (-40_000, 0, "-40,000"),
        (2009, 2013, "2011"),
        (0.01, 0.03, "0.02"),
        (12_345.25, 12_346.25, "12,345.50"),
    ],
)
def test_thousands_stand_apart_and_no_power_of_ten_above_the_axis(low, high, wanted):
    figure, ax = plt.subplots()
    ax.plot([0, 1], [low, high])
    ax.set_yticks([low, float(wanted.replace(",", "")), high])
    plain_numbers(figure)
    shown, apart = labels(figure)
    assert wanted in shown
    assert apart == ""
    plt.close(figure)


def test_an_axis_with_a_format_of_its_own_keeps_it_and_a_phone_gets_the_same_numbers():
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1_500_000])
    ax.xaxis.set_major_formatter("{x:.0%}")
    plain_numbers(figure)
    drawn = narrow(figure)
    assert "1,000,000" in labels(drawn)[0]
    below = [text.get_text() for text in drawn.axes[0].get_xticklabels()]
    assert {"0%", "100%"} & set(below)
    assert all(text == "" or text.endswith("%") for text in below)
    plt.close(figure)
