"""What earning and burning rules of points cost: breakage by the age of the points, what is still
owed by age, and what another rule would change at most.

Points are used in the order they run out. What a member's account has let go by a day is what was
spent by then, plus the most by which lots that had run out were ever ahead of spending (the
reflection of a queue: Harrison 1985, *Brownian Motion and Stochastic Flow Systems*, chapter 1), so
each lot's fate is found without walking through the days. Breakage is read from points whose time
has run out; what is still open is held against what those still had open at the same part of
their time, and lapsed later. Quarters differ, and members grow older: a line through the quarters
that are over says what is expected of the next, its scatter and its length how surely (prediction
interval of a regression). What another rule saves is a bound: nobody can know here who would
hurry, or buy less.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
from ibis import _
from numpy import ndarray
from pandas import DataFrame, Timestamp

from playbook.decisions import decision_rows, propose
from playbook.given import dated, reads
from playbook.measures.customer_windows import Table
from playbook.messages import say
from playbook.methods.proportions import Z90
from playbook.store import expression
from playbook.tables import empty, frame_of, returns

__all__ = ["Lots", "point_cohorts", "point_lots", "point_rule_decisions", "point_rules"]

#: complete quarters that are needed, and at most read
LEAST_COHORTS, MOST_COHORTS = 3, 8
#: members a quarter needs to be read
LEAST_MEMBERS = 30
#: level of the intervals, and days of a year's points
LEVEL, A_YEAR = 0.9, 365
#: of the cost of points used, what a rule has to save at most to be worth a test
WORTH_TESTING = 0.1
#: how many points fewer the second rule gives
FEWER = 0.1
#: quarters from the last that is over to the middle of a year's points, a year of time given
AHEAD = 3
#: parts of a lot's time at which it is looked at
PARTS = np.arange(0, 12) / 12
NEVER = 10**6
DUE_DAYS, REVISIT_DAYS = 30, 190


@dataclass(frozen=True)
class Lots:
    """Points earned, a row each in the order they run out by member: who, on (day earned), until
    (day they run out; `NEVER`), points, is_earned (else given by hand), used (of them by as-of or
    their end), before (the member's points that run out earlier); days count from 1970. `spent`
    holds who, on and points of what left the accounts otherwise; `day` is as-of.
    """

    rows: DataFrame
    spent: DataFrame
    day: int

    def used_by(self, when: ndarray, *, includes_day: bool = True) -> ndarray:
        """Points of each lot used by a day of its own, or before it, and before it ran out."""
        side = "right" if includes_day else "left"
        when = np.minimum(when, self.rows.until.to_numpy() - includes_day)
        gone = self._spent_by(
            self.rows.who.to_numpy(),
            when,
            side,
        ) + self._ahead_of(when, side)
        return np.clip(
            gone - self.rows.before,
            0,
            self.rows.points,
        ).to_numpy()

    def _spent_by(self, who: ndarray, when: ndarray, side: str) -> ndarray:
        place = self.spent.who.to_numpy() * 2 * NEVER + self.spent.on.to_numpy()
        total = np.append(0, self.spent.points.cumsum())
        first = np.searchsorted(place, who * 2 * NEVER)
        return (
            total[
                np.searchsorted(
                    place,
                    who * 2 * NEVER + when,
                    side,
                )
            ]
            - total[first]
        )

    def _ahead_of(self, when: ndarray, side: str) -> ndarray:
        """The most by which lots of a member that had run out by a day were ahead of spending."""
        who, until = self.rows.who.to_numpy(), self.rows.until.to_numpy()
        lead = (
            self.rows.before
            + self.rows.points
            - self._spent_by(
                who,
                until,
                "left",
            )
        )
        most = lead.groupby(who).cummax().clip(lower=0).to_numpy()
        place = who * 2 * NEVER + until
        at = np.searchsorted(
            place,
            who * 2 * NEVER + when,
            side,
        )
        has_any = at > np.searchsorted(place, who * 2 * NEVER)
        return np.where(
            has_any,
            most[np.maximum(at - 1, 0)],
            0,
        )


@reads(memberships="customer_id changed_at change_no points_delta reason expires_on")
@dated
def point_lots(memberships: Table, *, as_of: dt.date) -> Lots:
    """Every lot of points up to `as_of`. Members whose account is under nothing are left out:
    their history is not whole.
    """
    rows = expression(memberships).mutate(on=_.changed_at.cast("date"))
    rows = rows.filter((rows.on <= ibis.literal(as_of)) & (_.points_delta != 0))
    rows = rows.select(
        "customer_id", "on", "change_no", "points_delta", "reason", "expires_on"
    ).order_by("customer_id", "on", "change_no")
    frame = rows.to_pandas()
    frame["who"] = frame.groupby("customer_id").ngroup()
    balance = frame.groupby("who").points_delta.transform("sum")
    frame = frame[(balance >= 0) & (frame.reason != "expire")]
    moved = DataFrame(
        {
            "who": frame.who.to_numpy(np.int64),
            "on": _days(frame.on).to_numpy(np.int64),
            "until": _days(frame.expires_on).fillna(NEVER).to_numpy(np.int64),
            "points": frame.points_delta.to_numpy(np.int64),
            "is_earned": (frame.reason == "earn").to_numpy(bool),
        }
    )
    lots = moved[moved.points > 0].sort_values(["who", "until", "on"], kind="stable")
    lots = lots.reset_index(drop=True)
    lots["before"] = lots.groupby("who").points.cumsum() - lots.points
    spent = moved[moved.points < 0].sort_values(["who", "on"], kind="stable")
    spent = spent.assign(points=-spent.points).reset_index(drop=True)
    made = Lots(
        lots,
        spent,
        int(_days(pd.Series([Timestamp(as_of)])).iloc[0]),
    )
    end = np.minimum(lots.until.to_numpy(), made.day + 1)
    return Lots(
        lots.assign(used=made.used_by(end, includes_day=False)),
        spent,
        made.day,
    )


def _days(days: pd.Series) -> pd.Series:
    """Days since 1970; missing stays missing."""
    return (pd.to_datetime(days) - Timestamp(0)).dt.days


@returns("segmentation.point_cohorts")
def point_cohorts(lots: Lots, *, point_value: float) -> DataFrame:
    """Each quarter's points, oldest first: breakage seen where all their time has run out
    (complete), expected with its interval where it has not (immature); under thirty members
    nothing is said. What is open of a quarter is owed less what of it will lapse. Empty where no
    points ever run out.
    """
    rows = _judged(lots)
    if rows.empty:
        return empty("segmentation.point_cohorts")
    complete = _complete(rows, lots.day)
    laps = _lapse_of_open(
        lots,
        rows,
        complete,
    )
    table = [
        _cohort(
            name,
            part,
            lots.day,
            laps,
            point_value,
        )
        for name, part in rows.groupby("quarter")
    ]
    return frame_of("segmentation.point_cohorts", table)


@returns("segmentation.point_rules")
def point_rules(lots: Lots, *, point_value: float) -> DataFrame:
    """What other rules would change at most in the value of points used a year, what saves most
    first. Half the time: what was used in the second half of its time would have lapsed; a tenth
    fewer points; no end: all that lapses would be used. Empty under three complete quarters.
    """
    rows = _judged(lots)
    quarters = _complete(rows, lots.day) if len(rows) else []
    if len(quarters) < LEAST_COHORTS:
        return empty("segmentation.point_rules")
    rows = rows[rows.quarter.isin(quarters)]
    sums = rows.groupby("quarter")[["points", "used", "late"]].sum()
    shares = {
        "half the time": sums.late / sums.points,
        "a tenth fewer": FEWER * sums.used / sums.points,
        "no end": -(1 - sums.used / sums.points),
    }
    mine = lots.rows[lots.rows.is_earned & (lots.rows.on > lots.day - A_YEAR)]
    a_year = float(mine.points.sum())
    used = float((sums.used / sums.points).mean()) * a_year * point_value
    table = []
    for rule, share in shares.items():
        ends = (0, 1) if rule != "no end" else (-1, 0)
        mean, low, high = _ahead(
            share,
            AHEAD,
            *ends,
        )
        money = {
            "money": mean,
            "money_low": low,
            "money_high": high,
        }
        row = {
            "rule": rule,
            "share": abs(mean),
            "n_cohorts": len(quarters),
            "used_cost": used,
        }
        row |= {"points_a_year": a_year}
        table.append(row | {name: end * a_year * point_value for name, end in money.items()})
    table = DataFrame(table).sort_values(["money", "rule"], ascending=[False, True])
    return frame_of("segmentation.point_rules", table.reset_index(drop=True))


@dated
def point_rule_decisions(
    rows: DataFrame, cohorts: DataFrame, rules: DataFrame, *, as_of: dt.date, currency: str
) -> DataFrame:
    """The chapter's rows with what points ask for. Where the age of what is open is known, what to
    set aside is what of it will be used; and the rule that saves most is worth a test where at
    most it surely saves a tenth of what points cost.
    """
    known = cohorts.liability.notna().all() and len(cohorts)
    if known and (at := rows.index[rows.kind == "segmentation.points"]).size:
        rows = rows.copy()
        money = cohorts[["liability", "liability_low", "liability_high"]].sum()
        text = {"low": money.liability_low, "high": money.liability_high}
        rows.loc[at, "size"] = money.liability
        rows.loc[at, "reason"] += say(
            "segmentation.owed_by_age",
            **text,
            currency=currency,
        )
    first = rules.iloc[:1]
    found = first[first.money_low > WORTH_TESTING * first.used_cost]
    asked = [_rule_row(row, currency) for row in found.itertuples()]
    due = str(as_of + dt.timedelta(days=DUE_DAYS)), str(as_of + dt.timedelta(days=REVISIT_DAYS))
    more = decision_rows(asked).assign(due_on=due[0], revisit_on=due[1])
    return pd.concat([rows, more], ignore_index=True) if asked else rows


def _rule_row(row: Any, currency: str) -> dict[str, Any]:
    return propose(
        "segmentation.point_rule",
        say(f"segmentation.rule_{row.rule.replace(' ', '_')}"),
        size=row.money,
        effect_high=row.money_high,
        evidence_value=row.share,
        threshold=WORTH_TESTING,
        low=row.money_low,
        high=row.money_high,
        used=row.used_cost,
        n_cohorts=int(row.n_cohorts),
        currency=currency,
    )


def _judged(lots: Lots) -> DataFrame:
    """The lots earned that run out one day, with quarter (of earning), late (used in the second
    half of their time), lapsed and open.
    """
    rows = lots.rows
    half = rows.on + (rows.until - rows.on) // 2
    rows = rows.assign(late=rows.used - lots.used_by(np.minimum(half, lots.day).to_numpy()))
    rows = rows[rows.is_earned & (rows.until < NEVER) & (rows.until > rows.on)].copy()
    is_over = rows.until <= lots.day
    rows["lapsed"] = (rows.points - rows.used).where(is_over, 0)
    rows["open"] = (rows.points - rows.used).where(~is_over, 0)
    days = pd.to_datetime(rows.on, unit="D")
    rows["quarter"] = days.dt.to_period("Q").astype(str)
    return rows


def _complete(rows: DataFrame, day: int) -> list[str]:
    """The quarters whose points have all run out, the newest eight with members enough."""
    by = rows.groupby("quarter").agg(last=("until", "max"), n=("who", "nunique"))
    return list(by.index[(by["last"] <= day) & (by.n >= LEAST_MEMBERS)])[-MOST_COHORTS:]


def _lapse_of_open(lots: Lots, rows: DataFrame, quarters: list[str]) -> DataFrame | None:
    """Of what complete quarters had open at each of `PARTS` of its time, the share that lapsed: a
    row per part, a column per quarter. None under three quarters.
    """
    if len(quarters) < LEAST_COHORTS:
        return None
    mine = rows[rows.quarter.isin(quarters)]
    table = {}
    for part in PARTS:
        when = lots.rows.on + ((lots.rows.until - lots.rows.on) * part).astype("int64")
        when = np.minimum(when, lots.day).to_numpy()
        used = pd.Series(lots.used_by(when), lots.rows.index)[mine.index]
        was_open = (mine.points - used).groupby(mine.quarter).sum()
        table[part] = mine.lapsed.groupby(mine.quarter).sum() / was_open.where(was_open > 0)
    return DataFrame(table).T


def _cohort(
    name: str, part: DataFrame, day: int, laps: DataFrame | None, value: float
) -> dict[str, Any]:
    points, n = part.points.sum(), part.who.nunique()
    lapsed, still = part.lapsed.sum(), part.open.sum()
    is_over, is_enough = part.until.max() <= day, n >= LEAST_MEMBERS
    row = {
        "quarter": name,
        "earned": points,
        "n_members": n,
        "used_share": part.used.sum() / points,
        "lapsed_share": lapsed / points,
        "open_share": still / points,
        "open_points": still,
    }
    names = ("breakage", "low", "high", "liability", "liability_low", "liability_high")
    row |= dict.fromkeys(names, np.nan)
    row["status"] = "complete" if is_over else "immature"
    if is_over:
        row |= dict.fromkeys(names[3:], 0.0)
        if is_enough:
            reach = Z90 * _error(part)
            ends = np.clip(
                [lapsed / points - reach, lapsed / points + reach],
                0,
                1,
            )
            row |= {
                "breakage": lapsed / points,
                "low": ends[0],
                "high": ends[1],
            }
        return row
    if laps is None:
        return row
    share, low, high = _lapse(
        name,
        part,
        day,
        laps,
    )
    owed = [still * (1 - end) * value for end in (share, high, low)]
    row |= dict(
        zip(
            names[3:],
            owed,
            strict=True,
        )
    )
    if is_enough:
        ends = [(lapsed + still * end) / points for end in (share, low, high)]
        row |= dict(
            zip(
                names[:3],
                ends,
                strict=True,
            )
        )
    return row


def _lapse(name: str, part: DataFrame, day: int, laps: DataFrame) -> tuple[float, float, float]:
    """Of a quarter's open points the share that will lapse, with its interval."""
    mine = part[part.open > 0]
    if mine.empty:
        return 0.0, 0.0, 0.0
    life = ((day - mine.on) / (mine.until - mine.on)).to_numpy()
    grid = laps.index.to_numpy(float)
    each = [
        np.interp(
            life,
            grid,
            laps[c].to_numpy(),
        )
        for c in laps
    ]
    seen = pd.Series(
        np.average(
            each,
            axis=1,
            weights=mine.open,
        ),
        laps.columns,
    )
    return _ahead(
        seen,
        _quarters(name) - _quarters(laps.columns[-1]),
        0,
        1,
    )


def _ahead(seen: pd.Series, ahead: float, least: float, most: float) -> tuple[float, float, float]:
    """What is expected so many quarters after the last of those seen, by a line through them, and
    between what it will lie (`seen` by the name of its quarter).
    """
    from scipy.stats import t as student

    at = np.array([_quarters(name) for name in seen.index], float)
    at -= at[-1]
    y, n = seen.to_numpy(float), len(seen)
    slope, level = np.polyfit(
        at,
        y,
        1,
    )
    error = np.sqrt(((y - level - slope * at) ** 2).sum() / (n - 2))
    far = (ahead - at.mean()) ** 2 / ((at - at.mean()) ** 2).sum()
    reach = student.ppf(0.5 + LEVEL / 2, n - 2) * error * np.sqrt(1 + 1 / n + far)
    mean = level + slope * ahead
    mean, low, high = np.clip(
        [mean, mean - reach, mean + reach],
        least,
        most,
    )
    return float(mean), float(low), float(high)


def _quarters(name: str) -> int:
    """The place of a quarter (2026Q1) among all."""
    return 4 * int(name[:4]) + int(name[5:])


def _error(part: DataFrame) -> float:
    """Standard error of the share lapsed, members drawn (a ratio of two sums; Cochran 1977)."""
    by = part.groupby("who")[["lapsed", "points"]].sum()
    share = by.lapsed.sum() / by.points.sum()
    left = ((by.lapsed - share * by.points) ** 2).sum()
    return float(np.sqrt(left * len(by) / max(len(by) - 1, 1)) / by.points.sum())
