"""Who gets the credit of a journey: five rules, all read off one table of transition
counts.

First, last, linear and position (40/20/40) are sums over touches. Markov is the removal
effect of Anderl, Becker, von Wangenheim & Schumann (2016), *Mapping the customer
journey*, Int. J. of Research in Marketing 33(3), eq. 4, here in closed form: with N =
(I - Q)^-1 of the absorbing chain (Kemeny & Snell 1960, th. 3.2.4), a journey passes
channel i with probability N[start, i] / N[i, i], and converts from there with
probability B[i]; without the channel just these conversions are lost. Many channels are
solved as a sparse system, some columns at a time, so that memory grows with the steps
seen. None of the five measures what a channel *caused*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import numpy as np
import pandas as pd
from numpy import ndarray
from pandas import DataFrame

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "RULES",
    "markov_removal",
    "rule_credits",
    "transition_counts",
]

RULES = ("first", "last", "linear", "position", "markov")
START, CONVERSION, NOTHING = "(start)", "(conversion)", "(null)"
# cells of the chains worked on at once: 16 MB an array
MOST_CELLS = 2_000_000
# more channels than this are solved sparse: columns of the inverse worked on at once, most draws
MANY_CHANNELS, COLUMNS, DRAWS_OF_MANY = 400, 128, 50
# position rule: the share of the first and of the last touch
SIDE = 0.4


def transition_counts(touchpoints: ibis.Table) -> ibis.Table:
    """One row per step between channels: from_channel, to_channel, n_steps, and the
    credits of the channel left.

    `touchpoints` is the contract's table (one row per touch; `n_journeys` makes
    aggregated paths weigh what they should, default 1; a touch without channel is
    "unknown"). A journey converts where any of its touches does; it starts in (start)
    and ends in (conversion) or (null). first, last, linear, position are conversions
    credited.
    """
    touches = touchpoints
    weight = (
        touches.n_journeys.cast("float64").fill_null(1.0)
        if "n_journeys" in touches.columns
        else ibis.literal(1.0)
    )
    touches = touches.select(
        "journey_id",
        "touch_no",
        channel=touches.channel.fill_null("unknown"),
        weight=weight,
        hit=touches.is_conversion.cast("boolean").fill_null(False).ifelse(1, 0),
    )
    whole = ibis.window(group_by="journey_id")
    walk = ibis.window(group_by="journey_id", order_by="touch_no")
    touches = touches.mutate(
        is_won=touches.hit.max().over(whole),
        n=touches.hit.count().over(whole),
        place=ibis.row_number().over(walk),
        after=touches.channel.lead(1).over(walk),
    )
    won = touches.weight * touches.is_won
    is_first, is_last = touches.place == 0, touches.after.isnull()
    ends = ibis.cases(
        (touches.n == 1, 1.0),
        (touches.n == 2, 0.5),
        (is_first | is_last, SIDE),
        else_=(1 - 2 * SIDE) / (touches.n - 2),
    )
    touches = touches.mutate(
        after=ibis.coalesce(touches.after, ibis.ifelse(touches.is_won == 1, CONVERSION, NOTHING)),
        first=ibis.ifelse(is_first, won, 0.0),
        last=ibis.ifelse(is_last, won, 0.0),
        linear=won / touches.n,
        position=won * ends,
        entered=ibis.ifelse(is_first, touches.weight, 0.0),
    )
    steps = touches.group_by(from_channel="channel", to_channel="after").agg(
        n_steps=touches.weight.sum(),
        entered=touches.entered.sum(),
        # as decimals, whose sum does not depend on the order in which the engine's threads add
        **{rule: touches[rule].cast("decimal(28, 15)").sum().cast("float64") for rule in RULES[:4]},
    )
    return steps.order_by("from_channel", "to_channel")


def rule_credits(steps: DataFrame) -> DataFrame:
    """Conversions by channel under the four touch rules, from the collected
    `transition_counts`; index channel.
    """
    return steps.groupby("from_channel")[list(RULES[:4])].sum().rename_axis("channel")


def markov_removal(steps: DataFrame, *, draws: int = 0, seed: int = 0) -> DataFrame:
    """Conversions by channel under the removal effect, from the collected
    `transition_counts`; index channel.

    `markov` adds up to the conversions observed; `removal_share` is the share of
    conversions lost without the channel. With `draws`, low and high hold 90 % of what
    the same journeys drawn anew would give (rows of the chain drawn from their
    Dirichlet posterior; at most 50 draws of more than 400 channels). Nothing converted:
    credits are 0 and shares missing.
    """
    channels = sorted(set(steps.from_channel))
    is_many = len(channels) > MANY_CHANNELS
    counts = (_sparse_counts if is_many else _counts)(steps, channels)
    entered = steps.groupby("from_channel").entered.sum().reindex(channels).to_numpy()
    total = float(steps.loc[steps.to_channel == CONVERSION, "n_steps"].sum())
    removal = (
        _sparse_removal(entered, counts) if is_many else _removal(entered[None], counts[None])[0]
    )
    share = removal / removal.sum() if removal.sum() > 0 else np.zeros(len(channels))
    credits = DataFrame(
        {
            "markov": share * total,
            "removal_share": removal if total > 0 else np.nan,
        },
        index=pd.Index(channels, name="channel"),
    )
    if draws:
        drawer = _drawn_sparse if is_many else _drawn_removal
        drawn = drawer(
            entered,
            counts,
            draws,
            np.random.default_rng(seed),
        )
        size = drawn.sum(1, keepdims=True)
        credit = (
            np.divide(
                drawn,
                size,
                where=size > 0,
                out=np.zeros_like(drawn),
            )
            * total
        )
        credits["low"], credits["high"] = np.quantile(credit, [0.05, 0.95], axis=0)
    return credits


def _counts(steps: DataFrame, channels: list[str]) -> ndarray:
    """Steps from each channel to each channel, to (conversion) and to (null)."""
    wide = steps.pivot_table(
        index="from_channel",
        columns="to_channel",
        values="n_steps",
        aggfunc="sum",
    )
    ends = [*channels, CONVERSION, NOTHING]
    return wide.reindex(index=channels, columns=ends).fillna(0.0).to_numpy()


def _sparse_counts(steps: DataFrame, channels: list[str]) -> csr_array:
    """The same, holding only the steps that were seen."""
    from scipy.sparse import csr_array

    ends = pd.Index([*channels, CONVERSION, NOTHING])
    at = ends.get_indexer(steps.from_channel), ends.get_indexer(steps.to_channel)
    known = at[1] >= 0
    return csr_array(
        (steps.n_steps.to_numpy(float)[known], (at[0][known], at[1][known])),
        shape=(len(channels), len(ends)),
    )


def _drawn_sparse(
    entered: ndarray, counts: csr_array, draws: int, rng: np.random.Generator
) -> ndarray:
    """Removal effects of sparse chains drawn anew, draws x n, one chain at a time."""
    drawn = []
    for _ in range(min(draws, DRAWS_OF_MANY)):
        again = counts.copy()
        again.data = rng.gamma(np.maximum(counts.data, 1e-9))
        drawn.append(_sparse_removal(rng.gamma(np.maximum(entered, 1e-9)), again))
    return np.array(drawn)


def _sparse_removal(entered: ndarray, counts: csr_array) -> ndarray:
    """Removal effect of each channel of one chain of many channels."""
    from scipy.sparse import csc_array, diags_array, eye_array
    from scipy.sparse.linalg import splu

    n = counts.shape[0]
    rows = np.asarray(counts.sum(axis=1))
    chain = diags_array(np.divide(1, rows, out=np.zeros(n), where=rows > 0)) @ counts
    start = entered / max(entered.sum(), 1e-300)
    solver = splu(csc_array(eye_array(n) - chain[:, :n]))
    visits = solver.solve(start, trans="T")
    converts = solver.solve(chain[:, [n]].toarray()[:, 0])
    returns = np.empty(n)
    for first in range(0, n, COLUMNS):
        columns = np.arange(first, min(first + COLUMNS, n))
        unit = np.zeros((n, len(columns)))
        unit[columns, columns - first] = 1.0
        returns[columns] = solver.solve(unit)[columns, columns - first]
    won = float(start @ converts)
    return visits / returns * converts / won if won > 0 else np.zeros(n)


def _drawn_removal(
    entered: ndarray, counts: ndarray, draws: int, rng: np.random.Generator
) -> ndarray:
    """Removal effects of chains drawn anew, draws x n: so many at a time as memory may
    hold, which changes no number.
    """
    starts = rng.gamma(np.broadcast_to(np.maximum(entered, 1e-9), (draws, *entered.shape)))
    parts, n_parts = [], min(max(1, draws * counts.size // MOST_CELLS), draws)
    for part in np.array_split(starts, n_parts):
        shape = (len(part), *counts.shape)
        parts.append(_removal(part, rng.gamma(np.broadcast_to(np.maximum(counts, 1e-9), shape))))
    return np.concatenate(parts)


def _removal(entered: ndarray, counts: ndarray) -> ndarray:
    """Removal effect of each channel, for many chains at once: entered is chains x n,
    counts chains x n x (n + 2).
    """
    n = counts.shape[1]
    rows = counts.sum(2, keepdims=True)
    chain = np.divide(
        counts,
        rows,
        where=rows > 0,
        out=np.zeros_like(counts),
    )
    start = entered / np.maximum(entered.sum(1, keepdims=True), 1e-300)
    # a chain never left (a loop on itself only) cannot happen: every journey ends
    fundamental = np.linalg.inv(np.eye(n) - chain[:, :, :n])
    visits = np.einsum("ki,kij->kj", start, fundamental)
    converts = np.einsum("kij,kj->ki", fundamental, chain[:, :, n])
    passed = visits / np.einsum("kii->ki", fundamental)
    won = (start * converts).sum(1, keepdims=True)
    return np.divide(
        passed * converts,
        won,
        where=won > 0,
        out=np.zeros_like(passed),
    )
