"""From a fitted response to a budget, and from a budget to decisions.

The plan is searched on the posterior's mean curves (`budget`), within bounds and within
the spend seen, and judged on every draw, channel by channel: a step whose own gain is
not sure enough is held and tested, the others are taken. A step is small and can be
taken back, so it is held to the sureness of a price move, not to that of a proof: four
draws in five. The intervals of gains are those of this rule, so that one that straddles
zero always means "hold and test".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from playbook.chapters.channel_roi.budget import allocate, gain_draws
from playbook.errors import PlaybookError
from playbook.methods.media_model import MediaModel
from playbook.methods.response import adstock, hill

__all__ = [
    "BudgetPlan",
    "budget_bounds",
    "channel_decisions",
    "plan_budget",
    "response_curves",
    "response_table",
]

WEEKS_A_MONTH = 365.25 / 12 / 7
MOVES = ("raise", "lower")
ROUGH = 1.5  # R-hat of single walkers from which some hundred of them no longer make up for their memory


def response_table(model: MediaModel, *, level: float = 0.9) -> pd.DataFrame:
    """One row per channel: what spend returned and what a little more would.

    channel, spend_now (a week, mean of what is known of the last four; missing: no
    advice), seen_low, seen_high (range of carried-over weekly spend the fit has seen),
    average_return with average_low and average_high (response per unit of spend, all
    weeks), marginal_return with low and high (of one more unit a week at spend_now),
    carry_over, r_hat (1: the draws agree; above 1.5 their intervals are rough),
    verdict, note. Not identifiable: missing. A channel fitted together with others
    carries their joint figures under verdict `not identifiable`.
    """
    weeks = model.weeks
    table = model.verdicts.copy()
    table["spend_now"] = table.channel.map(weeks.today())
    names = [
        "seen_low",
        "seen_high",
        "average_return",
        "average_low",
        "average_high",
        "marginal_return",
        "low",
        "high",
        "carry_over",
        "r_hat",
    ]
    table[names] = np.nan
    if model.fit is not None:
        fit, tail = model.fit, (1 - level) / 2
        now = _now(model)
        stock = adstock(fit.spend, fit.carry.mean(0))
        marginal = fit.marginal(now)
        inside = (now >= stock.min(0)) & (now <= stock.max(0))
        marginal = np.where(inside, marginal, np.nan)
        both = [
            fit.roi.mean(0),
            *np.quantile(fit.roi, [tail, 1 - tail], axis=0),
            marginal.mean(0),
            *np.quantile(marginal, [tail, 1 - tail], axis=0),
            fit.carry.mean(0),
            fit.mixing,
        ]
        figures = pd.DataFrame(
            np.column_stack([stock.min(0), stock.max(0), *both]), index=fit.channels, columns=names
        )
        table[names] = figures.reindex(table.fitted_as).to_numpy()
        outside = table.fitted_as.isin(
            [c for c, ok in zip(fit.channels, inside, strict=True) if not ok]
        )
        gone = table.spend_now.isna()
        for where, note in (
            (gone, "spend of the last four weeks is not known: no advice"),
            (outside, "today's spend lies outside the range seen: no advice"),
        ):
            table.loc[where & (table.note == ""), "note"] = note
    order = ["channel", "fitted_as", "spend_now", *names, "verdict", "note"]
    return table[order].sort_values("channel", ignore_index=True)


def response_curves(model: MediaModel, *, level: float = 0.9, points: int = 40) -> pd.DataFrame:
    """Weekly response against a steady weekly spend, for drawing: channel, spend,
    response, low, high, is_seen (inside the range of carried-over spend), now (today's
    weekly spend). No rows where nothing was fitted.
    """
    if model.fit is None:
        return pd.DataFrame(
            columns=["channel", "spend", "response", "low", "high", "is_seen", "now"]
        )
    fit, tail, parts = model.fit, (1 - level) / 2, []
    stock, now = adstock(fit.spend, fit.carry.mean(0)), _now(model)
    grid = np.linspace(0, 1.25, points)[:, None] * np.fmax(stock.max(0), now)
    drawn = fit.size[::10, None] * hill(grid, fit.half[::10, None], fit.slope[::10, None])
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    for i, channel in enumerate(fit.channels):
        seen = (grid[:, i] >= stock[:, i].min()) & (grid[:, i] <= stock[:, i].max())
        parts.append(
            pd.DataFrame(
                {
                    "channel": channel,
                    "spend": grid[:, i],
                    "response": drawn.mean(0)[:, i],
                    "low": low[:, i],
                    "high": high[:, i],
                    "is_seen": seen,
                    "now": now[i],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _now(model: MediaModel) -> np.ndarray:
    """Today's weekly spend of each fitted channel or group; missing where that of a
    member is.
    """
    spent = (
        model.verdicts.assign(now=model.verdicts.channel.map(model.weeks.today()))
        .groupby("fitted_as")
        .now
    )
    return spent.agg(lambda s: s.sum(skipna=False)).reindex(model.fit.channels).to_numpy(float)


@dataclass(frozen=True)
class BudgetPlan:
    """`table`: channel, now, plan, change (money a month), floor, cap, marginal_return,
    gain of the step net of spend with gain_low and gain_high, action; the row `(not
    spent)` closes the sum. `gain` a month of the whole plan over today's split, with
    `low`, `high`, and `p_gain`, the share of draws in which it pays. `verdict`: `move`
    (some steps are sure enough; the table holds these), `hold and test` (none is, its
    interval straddles zero; the table shows what would be tried), `hold` (nothing to
    gain) or `must move` (not sure, but the bounds forbid today's split).
    """

    table: pd.DataFrame
    gain: float
    low: float
    high: float
    p_gain: float
    verdict: str


def budget_bounds(text: str) -> dict[str, float]:
    """Amounts by channel from a parameter's text, `search: 500, social: 120`;
    PlaybookError where it cannot be read.
    """
    try:
        told = [part.rpartition(":") for part in text.split(",") if part.strip()]
        found = {name.strip(): float(amount) for name, _colon, amount in told}
    except ValueError:
        found = {"": -1.0}
    if "" in found or not all(0 <= amount < np.inf for amount in found.values()):
        raise PlaybookError(
            f"{text!r} does not say which channel may spend how much",
            rule="floors and caps",
            do="write channel and money a month, as in search: 500, social: 120",
        )
    return found


def plan_budget(
    model: MediaModel,
    *,
    total: float | None = None,
    floors: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    largest_step: float = 0.2,
    spend_all: bool = False,
    sure: float = 0.8,
) -> BudgetPlan:
    """Next month's budget: the split with the most expected margin less spend, each
    channel within its bounds.

    A channel's step is taken where it gains in at least `sure` of the draws, whatever
    the others do, and held where its interval straddles zero: the same thing, for each
    end of an interval is passed in `sure` of the draws (.8: the middle 60 %). Where
    steps depend on one another (`spend_all`, floors, caps or a total that force them),
    the plan is judged as a whole.

    `total` (a month; default: what is spent now) is a ceiling, or an exact sum with
    `spend_all`. A channel moves at most `largest_step` of today's spend, never below
    its floor nor above its cap, and never out of the range of spend seen; one that is
    not identifiable stays. PlaybookError where floors and caps cannot be met.
    """
    table = response_table(model)
    spent = table.set_index("channel").spend_now * WEEKS_A_MONTH
    now = spent.fillna(
        0.0
    )  # a channel whose spend is not known has no advice: it stays out of the sums
    total = float(now.sum()) if total is None else float(total)
    table = table.set_index("channel")
    low, high = now * (1 - largest_step), now * (1 + largest_step)
    free = (table.verdict == "identified") & (table.note == "")
    low = np.maximum(low, np.minimum(table.seen_low * WEEKS_A_MONTH, now)).where(free, now)
    high = np.minimum(high, np.maximum(table.seen_high * WEEKS_A_MONTH, now)).where(free, now)
    for bound, given in ((low, floors or {}), (high, caps or {})):
        unknown = set(given) - set(now.index)
        if unknown:
            raise PlaybookError(
                f"No spend is known for {', '.join(sorted(unknown))}",
                rule="floors and caps",
                do="name channels of the response table",
            )
        for channel, amount in given.items():
            bound[channel] = (
                max(bound[channel], amount) if bound is low else min(bound[channel], amount)
            )
    low = np.minimum(
        low, np.maximum(high, low.where(pd.Series(low.index.isin(floors or {}), low.index), 0))
    )
    try:
        plan, draws = _search(model, now, low, high, total, free, spend_all)
    except ValueError as error:
        raise PlaybookError(
            f"No split meets the bounds: {error}",
            rule="total, floors, caps, largest step",
            do="raise the total, lower a floor, or allow a larger step",
        ) from None
    moved = _is_moved(plan, now)
    held = moved & (draws.quantile(1 - sure) <= 0)
    kept = plan.where(~held, now)
    alone = not spend_all and bool(((kept >= low - 1e-9) & (kept <= high + 1e-9)).all())
    if alone and kept.sum() <= total * (1 + 1e-9):
        plan, draws = (kept, draws.mul(~held, axis=1)) if (moved & ~held).any() else (plan, draws)
    else:
        held &= False
    whole = draws.sum(axis=1)
    low_gain, high_gain = np.quantile(whole, [1 - sure, sure])
    is_sure = low_gain > 0 and bool((moved & ~held).any())
    stands = (
        bool(((now >= low - 1e-9) & (now <= high + 1e-9)).all())
        and now.sum() <= total * (1 + 1e-9)
        and not (spend_all and now.sum() < total * (1 - 1e-9))
    )
    verdict = (
        "hold"
        if not moved.any()
        else "move"
        if is_sure
        else "hold and test"
        if stands
        else "must move"
    )
    out = pd.DataFrame(
        {
            "now": now,
            "plan": plan,
            "change": plan - now,
            "floor": low,
            "cap": high,
            "marginal_return": table.marginal_return,
            "gain": draws.mean(),
            "gain_low": draws.quantile(1 - sure),
            "gain_high": draws.quantile(sure),
        }
    )
    out["action"] = np.select(
        [~free, moved & (held | (verdict == "hold and test")), ~_is_moved(plan, now), plan > now],
        ["hold: no advice", "hold and test", "hold", "raise"],
        "lower",
    )
    out.loc[spent.isna(), ["now", "plan", "change", "floor", "cap"]] = np.nan
    rest = total - plan.sum()
    out.loc["(not spent)"] = [
        total - now.sum(),
        rest,
        rest - (total - now.sum()),
        *[np.nan] * 6,
        "",
    ]
    return BudgetPlan(
        out.rename_axis("channel").reset_index(),
        float(whole.mean()),
        float(low_gain),
        float(high_gain),
        float((whole > 0).mean()),
        verdict,
    )


def _is_moved(plan: pd.Series, now: pd.Series) -> pd.Series:
    return np.abs(plan - now) > 0.01 * now.clip(lower=1e-9)


def channel_decisions(
    plan: BudgetPlan,
    pnl: pd.DataFrame,
    months: pd.DataFrame,
    response: pd.DataFrame,
    *,
    as_of: Any,
    currency: str,
    is_flagged: bool = False,
    payback_cap: float = 12.0,
    strategic: Collection[str] = (),
    tests: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The decision rows of the budget, in the fields of `Decision`: one per channel of
    `response`.

    raise or lower as the plan says where its gain is sure enough; hold where it is not,
    and test the channel whose return is least known for the money it takes; pause where
    ROAS lay below break-even in the last two complete months and the response does not
    contradict (lower or test where it does: tracking may miss what a channel causes),
    but never a `strategic` channel; hold instead of raise where payback takes more than
    `payback_cap` months. `tests` (`geo_plan`) say where and how long to test, or that
    no test could tell. The evidence is marginal ROAS (marginal margin per unit of spend
    times break-even ROAS) against break-even ROAS.
    """
    day = pd.Timestamp(as_of)
    rows = []
    book, table = pnl.set_index("channel"), plan.table.set_index("channel")
    width = ((response.high - response.low) * response.spend_now).where(
        response.verdict == "identified"
    )
    least_known = response.channel[width.idxmax()] if width.notna().any() else None
    for r in response.itertuples():
        step, own = table.loc[r.channel], book.loc[r.channel] if r.channel in book.index else None
        be = float(own.be_roas) if own is not None else np.nan
        weak = months[
            (months.channel == r.channel) & (months.status == "complete") & (months.spend > 0)
        ].tail(2)
        is_weak = len(weak) == 2 and bool((weak.margin < weak.spend).all())
        slow = own is not None and own.payback_months > payback_cap
        action, why = _choice(plan, step, r, is_weak, slow, r.channel == least_known)
        if action == "pause" and r.channel in strategic:
            action, why = "hold", f"strategic, though: {why}"
        if action == "test":
            why += _how_to_test(tests, r.channel)
        rows.append(
            {
                "subject_type": "channel",
                "subject": r.channel,
                "action": action,
                "size": float(step.change)
                if action in MOVES
                else float(-step.now)
                if action == "pause"
                else None,
                "unit": f"{currency}/month",
                **{
                    name: float(step[of]) if action in MOVES else None
                    for name, of in (
                        ("expected_effect", "gain"),
                        ("effect_low", "gain_low"),
                        ("effect_high", "gain_high"),
                    )
                },
                "effect_unit": f"{currency} margin/month net of spend" if action in MOVES else "",
                "confidence": _confidence(plan, r, is_flagged),
                "evidence_metric": "mroas",
                "evidence_value": r.marginal_return * be,
                "threshold": be,
                "reason": why,
                "owner_role": "marketing head",
                "due_on": str((day + pd.Timedelta(days=7)).date()),
                "revisit_on": str((day + pd.Timedelta(days=35)).date()),
                "stop_rule": "marginal return below one in the next fit, or a geo test that contradicts it",
            }
        )
    return pd.DataFrame(rows)


def _choice(
    plan: BudgetPlan, step: pd.Series, r: Any, is_weak: bool, slow: bool, is_least_known: bool
) -> tuple:
    below = "ROAS below break-even in two complete months"
    if r.verdict != "identified":
        return (
            ("pause", f"{below}; response not identifiable: {r.note}")
            if is_weak
            else ("hold", f"not identifiable: {r.note}")
        )
    if is_weak and r.average_return < 1:
        return "pause", f"{below}, and the response shows no more than tracking sees"
    if is_weak and (plan.verdict, step.action) != ("move", "lower"):
        return (
            "test",
            f"{below}, yet the whole shop's sales follow its spend: tracking may miss what it causes",
        )
    if r.note:
        return "hold", r.note
    if "hold and test" in (plan.verdict, step.action):
        return (
            (
                "test",
                "the gain is not sure enough, and this return is the least known for its money",
            )
            if (is_least_known)
            else ("hold", "the gain is not sure enough")
        )
    if step.action == "raise" and slow:
        return "hold", "pays back later than the cap allows"
    if step.action in ("raise", "lower"):
        more = "more" if step.action == "raise" else "less"
        return (
            step.action,
            f"one more unit spent here returns {more} than it costs, or than elsewhere",
        )
    return "hold", "today's spend is about right"


def _how_to_test(tests: pd.DataFrame | None, channel: str) -> str:
    mine = tests[tests.channel == channel] if tests is not None else None
    if mine is None or mine.empty:
        return ""
    good = mine[mine.is_worthwhile]
    if good.empty:
        return (
            f"; no geo test of up to {mine.days.max()} days would tell more than is known: vary its spend week by "
            "week instead"
        )
    t = good.iloc[0]
    return f"; {t.days} days without it in {t.regions} would show a return from {t.smallest_return:.2g} on"


def _confidence(plan: BudgetPlan, r: Any, is_flagged: bool) -> str:
    if (
        r.verdict != "identified"
        or r.r_hat > ROUGH
        or is_flagged
        or plan.verdict in ("hold and test", "must move")
    ):
        return "low"
    return "high" if r.low > 1 or r.high < 1 else "medium"


def _search(
    model: MediaModel,
    now: pd.Series,
    low: pd.Series,
    high: pd.Series,
    total: float,
    free: pd.Series,
    spend_all: bool,
) -> tuple[pd.Series, pd.DataFrame]:
    """The plan, and per draw what each channel's step gains net of spend (0 where it
    stays).
    """
    plan = now.copy()
    chosen = [c for c in now.index if free[c]]
    held = [c for c in now.index if not free[c]]
    plan[held] = np.clip(now[held], low[held], high[held])
    if model.fit is None or not chosen:
        if plan.sum() > total * (1 + 1e-9):
            raise ValueError("what must stay exceeds the total")
        return plan, pd.DataFrame(0.0, index=[0], columns=now.index)
    fit = model.fit
    at = [fit.channels.index(c) for c in chosen]
    every = max(len(fit.roi) // 300, 1)

    def returns(monthly: np.ndarray) -> np.ndarray:
        weekly = np.zeros((*monthly.shape[:-1], len(fit.channels)))
        weekly[..., at] = monthly / WEEKS_A_MONTH
        return fit.steady(weekly)[..., at] * WEEKS_A_MONTH

    def mean_returns(levels: np.ndarray) -> np.ndarray:
        weekly = np.zeros((len(levels), len(fit.channels)))
        weekly[:, at] = levels / WEEKS_A_MONTH
        kept = slice(None, None, every)
        stock = np.maximum(weekly[None], 1e-12)
        shape = 1 / (1 + (fit.half[kept, None] / stock) ** fit.slope[kept, None])
        return (fit.size[kept, None] * shape).mean(0)[:, at] * WEEKS_A_MONTH

    plan[chosen] = allocate(
        mean_returns,
        low[chosen].to_numpy(),
        high[chosen].to_numpy(),
        total - plan[held].sum(),
        spend_all=spend_all,
    )
    gains = gain_draws(returns, now[chosen].to_numpy(), plan[chosen].to_numpy())
    return plan, pd.DataFrame(gains, columns=chosen).reindex(columns=now.index, fill_value=0.0)
