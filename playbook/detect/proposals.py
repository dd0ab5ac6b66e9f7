"""What is wrong and lasts becomes rows of the decision schema, whichever chapter owns it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pandas import DataFrame

from playbook.decisions import propose
from playbook.detect.incidents import lasting
from playbook.given import dated

__all__ = ["lasting_rows"]


@dated
def lasting_rows(
    room: str, happened: DataFrame, kinds: Sequence[str], *, as_of: dt.date, **common: Any
) -> list[dict[str, Any]]:
    """One row per incident of these kinds that lasts until as-of, the dearest first: the
    decision `<room>.<kind>` at what one more month of it costs. `happened` is the table of
    incidents; `common`: due_on, revisit_on, currency.
    """
    return [
        propose(
            f"{room}.{one.kind}",
            one.subject,
            size=one.n,
            effect=one.effect,
            evidence_value=one.now,
            threshold=one.usual,
            what=one.what,
            **common,
        )
        for one in lasting(happened, kinds, as_of=as_of).itertuples()
    ]
