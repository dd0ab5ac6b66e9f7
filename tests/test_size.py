"""Small has a number: the count of code lines is printed, and a ceiling keeps it from
growing unseen.
"""

import ast
import io
import tokenize

CEILING = (
    15_000  # without demo, sources and training; docstrings, comments and blank lines not counted
)
STORY = 330
IGNORED = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.COMMENT,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> int:
    notes = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
            and body
            and isinstance(body[0], ast.Expr)
        ):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                notes |= set(range(body[0].lineno, body[0].end_lineno + 1))
    used = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in IGNORED:
            used |= set(range(token.start[0], token.end[0] + 1))
    return len(used - notes)


def test_the_package_stays_under_its_ceiling(root, capsys):
    counts = {
        p.relative_to(root / "playbook"): code_lines(p.read_text(encoding="utf-8"))
        for p in (root / "playbook").rglob("*.py")
    }
    ours = {p: n for p, n in counts.items() if p.parts[0] not in ("demo", "sources", "training")}
    with capsys.disabled():
        print(f"\n{sum(ours.values()):,} lines of code in {len(ours)} modules")
    assert sum(ours.values()) <= CEILING
    assert {
        str(p): n for p, n in ours.items() if n > STORY and p.parts[0] not in ("store", "runs")
    } == {}


def test_a_docstring_a_comment_and_a_blank_line_are_not_code():
    assert (
        code_lines(
            '"""Doc."""\n\n# note\nx = 1\n\n\ndef f():\n    """Doc\n    more."""\n    return x\n'
        )
        == 3
    )
