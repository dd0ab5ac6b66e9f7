"""Chapters run in this process, without a kernel, and every expression they ask an engine."""

from __future__ import annotations

import contextlib
import io
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import pandas as pd
import sqlglot
from ibis.backends.sql import compilers
from ibis.backends.sql.compilers.base import SQLGlotCompiler
from ibis.config import Config

from playbook.errors import Blocked


class SparkOptions(Config):
    """What Spark's compiler asks, and only its driver registers."""

    treat_nan_as_null: bool = False


ibis.options.pyspark = SparkOptions()

ROOT = Path(__file__).resolve().parent.parent
#: through which every question goes: not where one is asked
DOORS = ("engine.py", "cache.py", "shop.py")
#: dialect -> its compiler; no driver is needed to compile
DIALECTS = {
    "postgres": compilers.PostgresCompiler,
    "pyspark": compilers.PySparkCompiler,
    "bigquery": compilers.BigQueryCompiler,
    "snowflake": compilers.SnowflakeCompiler,
    "databricks": compilers.DatabricksCompiler,
}


def run_chapter(number: str, store: str, month: str, out: Path) -> str:
    """Execute one chapter's code cells on a store; gives `done`, `blocked`, or the error
    with the place in our code where it came up.
    """
    import matplotlib.pyplot as plt

    path = next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    names: dict[str, Any] = {"__name__": "__main__", "display": print}
    given = {"month": month, "store": store, "out": str(out)}
    given |= {"reviewed": str(out)} if number == "11" else {}
    with contextlib.chdir(path.parent), contextlib.redirect_stdout(io.StringIO()):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] != "code":
                continue
            try:
                exec(compile("".join(cell["source"]), path.stem, "exec"), names)
            except Blocked:
                return "blocked"
            except Exception as error:
                return f"{type(error).__name__}: {str(error)[:200]} at {_ours(error)}"
            if "parameters" in cell["metadata"].get("tags", []):
                names |= given
    plt.close("all")
    return "done"


def _ours(error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/playbook/" in f.filename]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-3:]))


@contextlib.contextmanager
def collected() -> Iterator[dict[ops.Node, str]]:
    """Every expression compiled inside -> the line of ours that asked for it."""
    found: dict[ops.Node, str] = {}
    plain = SQLGlotCompiler.to_sqlglot

    def noting(self: Any, expr: ibis.Expr, **given: Any) -> Any:
        # innermost first; no line of any file is read
        for frame, line in traceback.walk_stack(None):
            name = frame.f_code.co_filename
            if "/playbook/" in name and Path(name).name not in DOORS:
                found.setdefault(expr.unbind().op(), f"{Path(name).name}:{line}")
                break
        return plain(self, expr, **given)

    SQLGlotCompiler.to_sqlglot = noting
    try:
        yield found
    finally:
        SQLGlotCompiler.to_sqlglot = plain


def problems_of(expression: ops.Node) -> list[str]:
    """What keeps an expression from meaning the same elsewhere: a truth value taken for a
    number, and what a dialect cannot say or says over other columns.
    """
    told = []
    for cast in expression.find(ops.Cast):
        if cast.arg.dtype.is_boolean() and cast.to.is_numeric():
            told.append("a truth value is cast to a number")
    here = _distinct_columns(expression, compilers.DuckDBCompiler)
    for name, compiler in DIALECTS.items():
        try:
            there = _distinct_columns(expression, compiler)
        except Exception as error:
            told.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:150]}")
            continue
        if there != here:
            told.append(f"{name}: distinct over {there}, not {here}")
    return told


def _distinct_columns(expression: ops.Node, compiler: Any) -> list[list[str]]:
    """The columns of every SELECT DISTINCT, in the dialect's own SQL."""
    made = compiler()
    query = made.to_sqlglot(expression.to_expr())
    query.sql(dialect=made.dialect, unsupported_level=sqlglot.ErrorLevel.RAISE)
    selects = [s for s in query.find_all(sqlglot.exp.Select) if s.args.get("distinct")]
    return sorted(sorted(c.alias_or_name for c in s.expressions) for s in selects)


def tables_of(out: Path) -> dict[str, pd.DataFrame]:
    """Result tables, headline, predictions and decisions of chapters, by `chapter/table`."""
    paths = sorted([*out.glob("*/tables/*.parquet"), *out.glob("*/*.parquet")])
    return {
        path.relative_to(out).with_suffix("").as_posix(): pd.read_parquet(path) for path in paths
    }
