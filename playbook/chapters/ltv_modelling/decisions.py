"""What chapter 05 asks for: a cap per channel, the VIP list, or the baseline."""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame

from playbook.chapters.ltv_modelling.ltv_race import LtvBacktest
from playbook.decisions import decision_rows, propose
from playbook.messages import label, say

__all__ = ["ltv_decisions"]


def ltv_decisions(
    cap: DataFrame | None,
    top: DataFrame,
    backtest: LtvBacktest,
    *,
    ratio: float,
    currency: str,
    due_on: str,
    revisit_on: str,
) -> DataFrame:
    """Decision rows: one cap per channel that costs money (`caps`), the VIP list with
    its hold-out (`vip`), and the naive model where no other has beaten it.
    """
    terms = {"currency": currency, "due_on": due_on, "revisit_on": revisit_on}
    paid = [] if cap is None else cap[cap.ncac.notna() & cap.cap.notna()].itertuples(index=False)
    rows = [
        propose(
            "ltv_modelling.lower_to_cap" if c.ncac > c.cap else "ltv_modelling.keep_under_cap",
            c.channel,
            size=c.cap,
            effect=(c.headroom, c.cap_low - c.ncac, c.high / ratio - c.ncac),
            confidence=_sure(c.cap, c.cap_low, c.ncac),
            evidence_value=c.ltv_cac,
            threshold=ratio,
            n_customers=c.n_customers,
            payback=label("status", c.status),
            **terms,
        )
        for c in paid
    ]
    treated = top[top.arm == "treat"]
    if len(treated):
        vip = propose(
            "ltv_modelling.vip_care",
            "VIP list",
            size=len(treated),
            effect=(treated.worth.sum(),),
            effect_kind=f"{backtest.basis}_at_stake",
            confidence="low" if backtest.caveat else "medium",
            evidence_value=top.worth.mean(),
            model=backtest.model,
            n_held_out=len(top) - len(treated),
            **terms,
        )
        rows.append(vip)
    if backtest.caveat or backtest.verdict.is_naive.iloc[0]:
        reason = backtest.caveat or say("ltv_modelling.naive_unbeaten")
        rows.append(propose("ltv_modelling.baseline", "", reason=reason, **terms))
    return decision_rows(rows)


def _sure(cap: float, cap_low: float, ncac: float) -> str:
    """Is the side of the cap on which a channel's cost lies beyond doubt."""
    return "high" if pd.notna(cap_low) and (cap_low > ncac) == (cap > ncac) else "low"
