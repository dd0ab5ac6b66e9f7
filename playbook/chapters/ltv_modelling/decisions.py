"""What chapter 05 asks for: a cap per channel, the VIP list, or the baseline."""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame

from playbook.chapters.ltv_modelling.ltv_race import LtvBacktest
from playbook.decisions import decision_rows, propose
from playbook.messages import say

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
    """Decision rows: the caps (`caps`) as one row, the VIP list with its hold-out
    (`vip`), and the naive model where no other has beaten it.

    A cap bounds what is bid for a new customer; what a channel gets is signed for in
    chapter 03 alone, so that no channel has two rows that pull apart.
    """
    terms = {"currency": currency, "due_on": due_on, "revisit_on": revisit_on}
    rows = [] if cap is None else _caps(cap, ratio, terms)
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
        rows.append(
            propose(
                "ltv_modelling.baseline",
                "",
                reason=reason,
                **terms,
            )
        )
    return decision_rows(rows)


def _caps(cap: DataFrame, ratio: float, terms: dict[str, str]) -> list[dict]:
    """One row on all channels whose cost and cap are known; none where none is."""
    judged = cap[cap.ncac.notna() & cap.cap.notna()]
    if judged.empty:
        return []
    judged = judged.assign(paid=judged.next_ncac.fillna(judged.ncac))
    is_over = judged.paid > judged.cap
    over = [f"{c.channel} {c.paid:.2f} > {c.cap:.2f}" for c in judged[is_over].itertuples()]
    sure = [_sure(c.cap, c.cap_low, c.paid) for c in judged.itertuples()]
    row = propose(
        "ltv_modelling.caps_stated",
        "",
        size=len(judged),
        confidence="low" if "low" in sure else "high",
        evidence_value=judged.ltv_cac.min(),
        threshold=ratio,
        n_over=int(is_over.sum()),
        n=len(judged),
        over="; ".join(over) or say("ltv_modelling.none_over"),
        **terms,
    )
    return [row]


def _sure(cap: float, cap_low: float, paid: float) -> str:
    """Is the side of the cap on which the next customer's cost lies beyond doubt."""
    return "high" if pd.notna(cap_low) and (cap_low > paid) == (cap > paid) else "low"
