"""A function's source as a learner may paste it: what it uses is imported first, and the
last line calls it on the opened shop.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import ibis
import numpy as np
import pandas as pd


def runnable(function: Callable) -> str:
    """Imports, source and call of a function of a shop; only the call where there is no
    source to show.
    """
    plain = inspect.unwrap(function)
    call = f"{plain.__name__}(shop)"
    try:
        source = textwrap.dedent(inspect.getsource(plain)).rstrip()
    except (OSError, TypeError):
        return call
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    known = {name: plain.__globals__[name] for name in names if name in plain.__globals__}
    lines = sorted(_import(name, value, plain.__module__) for name, value in known.items())
    return "\n".join([*lines, "", source, "", call]).lstrip()


def _import(name: str, value: Any, module: str) -> str:
    if isinstance(value, ModuleType):
        return f"import {value.__name__}" + (f" as {name}" if name != value.__name__ else "")
    for library in (pd, np, ibis):
        if getattr(library, name, None) is value:
            return f"from {library.__name__} import {name}"
    home = getattr(value, "__module__", None)
    is_ours = isinstance(home, str) and home.startswith("playbook.")
    if not is_ours or not hasattr(sys.modules[home], name):
        home = module
    return f"from {home} import {name}"
