"""Every solution, hint and slip of every exercise runs, in both languages, on shops of the zoo: an
exercise that cannot be asked of a shop is left out with a reason.
"""

import pytest
from exercise_runs import LEFT_OUT, pasted, run_shop
from zoo import write

from playbook.store import open_store
from playbook.training.exercise import every_exercise

# further shops of the zoo, as guests only and yen: tests/proof/proof_exercises.py
SHOPS = ("no cost", "one order")


@pytest.mark.parametrize("kind", SHOPS)
def test_every_exercise_runs_or_is_left_out_with_a_reason(kind, tmp_path):
    found = run_shop(open_store(str(write(kind, tmp_path / "shop"))))
    assert set(found) == set(every_exercise())
    wrong = {
        number: told
        for number, told in found.items()
        if told and not (len(told) == 1 and told[0].startswith(LEFT_OUT))
    }
    assert not wrong, wrong
    asked = [number for number, told in found.items() if not told]
    assert len(asked) >= 14, "thoughts and what is made up or general are asked of any shop"


def test_code_of_a_hint_is_told_from_a_name():
    assert list(pasted("`a.b`, `set(...)`, `x = 1`, `import y` and `a > 0`")) == [
        "x = 1",
        "import y",
        "a > 0",
    ]
