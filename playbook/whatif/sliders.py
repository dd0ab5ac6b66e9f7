"""A question as a slider in JupyterLab; its answer is made anew whenever it is let go.

ipywidgets is optional: without it one line says so, and the answer for today's value stands.
"""

from __future__ import annotations

import html
import importlib.util
from typing import Any

from playbook.errors import PlaybookError
from playbook.messages import say
from playbook.whatif.questions import Question

__all__ = ["slider"]


def slider(question: Question) -> Any:
    """The question as a slider with its answer below; where ipywidgets is not installed,
    the answer for today's value.
    """
    if importlib.util.find_spec("ipywidgets") is None:
        print(say("whatif.no_widgets"))
        return question.ask(question.now)
    import ipywidgets

    knob = ipywidgets.FloatSlider(
        value=question.now,
        min=question.low,
        max=question.high,
        step=question.step,
        description=question.name,
        continuous_update=False,
        readout_format=".2f" if question.high < 1000 else ",.0f",
        style={"description_width": "initial"},
        layout={"width": "38em"},
    )
    told = ipywidgets.HTML()

    def answer(_change: object = None) -> None:
        told.value = _as_text(question, knob.value)

    knob.observe(answer, names="value")
    answer()
    note = ipywidgets.Label(say("whatif.same_in_a_run", parameter=question.parameter))
    return ipywidgets.VBox([knob, told, note])


def _as_text(question: Question, value: float) -> str:
    try:
        return question.ask(value).to_html(index=False, float_format="{:,.2f}".format)
    except PlaybookError as refusal:
        return html.escape(str(refusal))
