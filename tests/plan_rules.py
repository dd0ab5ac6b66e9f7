"""Rules across chapters, on the result tables of one month: equal homes, sums, verbs."""

from pathlib import Path

import numpy as np
import pandas as pd

#: how far figures that have to be equal may lie apart, share of them
SAME = 1e-9
#: verbs on a subject that contradict each other
OPPOSITE = (
    {"raise", "enter", "widen", "care", "keep under cap", "push"},
    {"lower", "pause", "exit", "lower to cap", "delist", "do not run again"},
)
COLUMNS = ["rule", "said_here", "said_there", "n", "gap", "is_broken"]


def table(month: Path, chapter: str, name: str) -> pd.DataFrame | None:
    """A result table of a month; None where the chapter kept none."""
    folders = [f for f in sorted(month.glob(f"{chapter}_*")) if f.is_dir()]
    path = folders[0] / "tables" / f"{name}.parquet" if folders else month
    return pd.read_parquet(path) if path.suffix and path.exists() else None


def equal(rule: str, here: pd.Series, there: pd.Series, words: tuple[str, str]) -> tuple:
    """One row: the largest gap between figures of two homes, over those both know."""
    both = pd.concat([here, there], axis=1, keys=["here", "there"]).astype(float).dropna()
    gap = ((both.here - both.there).abs() / both.there.abs().clip(lower=1e-12)).max()
    gap = float(gap) if len(both) else np.nan
    return (rule, *words, len(both), gap, bool(gap > SAME))


def broken(month: Path) -> pd.DataFrame:
    """One row per rule that can be asked of the month: rule, the two places, n figures
    compared, the largest relative gap, is_broken.
    """
    rows = [*_goal_rules(month), *_forecast_rules(month), *_channel_rules(month), *_verbs(month)]
    rows += [*_verdict_rules(month), *_calendar_rules(month), *_people_rules(month)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _goal_rules(month: Path) -> list[tuple]:
    smart = table(month, "02", "smart")
    if smart is None:
        return []
    target = smart.set_index(["horizon", "metric"])["target"].astype(float)
    rows = []
    tree = table(month, "02", "tree")
    if tree is not None and "horizon" in tree:
        needed = tree.set_index(["horizon", "driver"])["needed"]
        rows.append(equal("driver needed is its target", needed, target, ("02 tree", "02 smart")))
        product = tree.groupby("horizon")["needed"].prod()
        goal = target.xs("net_revenue", level="metric")
        rows.append(equal("drivers multiply to the goal", product, goal, ("02 tree", "02 smart")))
    kept = table(month, "02", "target_rows")
    if kept is not None and len(kept):
        mine = kept.set_index("metric")["value"]
        rows.append(equal("exported target", mine, target["month"], ("02 target_rows", "02 smart")))
    weights = table(month, "02", "kpi_weights")
    if weights is not None:
        mine = weights.dropna(subset=["target"]).groupby("kpi")["target"].first()
        rows.append(
            equal("target of a role", mine, target["month"], ("02 kpi_weights", "02 smart"))
        )
    plan = table(month, "02", "product_plan")
    if plan is not None and "forecast" in plan:
        sums = pd.Series({("quarter", "net_revenue"): plan["target"].sum()})
        rows.append(equal("categories sum to the goal", sums, target, ("02 product_plan", "02")))
    known = smart.dropna(subset=["forecast", "target"])
    known = known[~known["metric"].isin(["refund_share_booked"])]
    is_below = (known["target"] < known["forecast"] * (1 - SAME)) & (known["action"] == "set")
    words = ("02 smart", "02 smart")
    rows.append(("no target below the forecast", *words, len(known), np.nan, bool(is_below.any())))
    out = table(month, "02", "scenarios")
    if out is not None:
        low, mid, high = out["revenue"]
        forecast = smart.set_index(["horizon", "metric"])["forecast"].get(
            ("month", "net_revenue"), np.nan
        )
        words = ("02 scenarios", "02 smart")
        is_out = not low < mid < high or abs(mid / forecast - 1) > SAME
        rows.append(("low < forecast < high", *words, 3, abs(mid / forecast - 1), bool(is_out)))
    return rows


def _forecast_rules(month: Path) -> list[tuple]:
    smart, back = table(month, "02", "smart"), table(month, "04", "returning")
    record = table(month, "02", "backtest")
    rows = []
    if record is not None and "metric" in record:
        mids = record.set_index(["horizon", "metric"])["mid"]
        forecast = smart.set_index(["horizon", "metric"])["forecast"].astype(float)
        rows.append(equal("forecast", mids, forecast, ("outlook", "02 smart")))
        if back is not None:
            here = pd.Series({("month", "returning_customers"): back["mid"].iloc[0]})
            rows.append(equal("returning customers", here, mids, ("04", "outlook")))
    verdicts, moves = table(month, "02", "product_plan"), decisions(month, "01")
    if verdicts is not None and "forecast" in verdicts and moves is not None:
        mine = moves[moves["subject"].isin(verdicts["category"])]
        claimed = mine["expected_effect"].astype(float).sum()
        year = smart[(smart["metric"] == "net_revenue") & (smart["horizon"] == "year")].iloc[0]
        most = max(year["forecast"] - year["base"], 0.0)
        is_more = bool(claimed > most + SAME * abs(most))
        words = ("01 decisions", "02 smart")
        rows.append(("categories claim no more", *words, len(mine), claimed - most, is_more))
    return rows


def _channel_rules(month: Path) -> list[tuple]:
    pnl, caps = table(month, "03", "channel_pnl"), table(month, "05", "caps")
    if pnl is None or caps is None:
        return []
    rows = []
    for column in ("ncac", "payback_months"):
        here, there = caps.set_index("channel")[column], pnl.set_index("channel")[column]
        rows.append(equal(f"{column} of a channel", here, there, ("05 caps", "03 channel_pnl")))
    models = table(month, "02", "models")
    if models is not None and "is_cac_measured" in models:
        own = models[models["is_cac_measured"].astype(bool)].set_index("model")["cac"]
        there = pnl.set_index("channel")["ncac"]
        rows.append(equal("cost of a customer in a model", own, there, ("02 models", "03")))
    paid = table(month, "05", "payback")
    whole = paid[paid["cohort"] == "all"].set_index("channel")["ncac"]
    rows.append(
        equal("cost behind payback", whole, pnl.set_index("channel")["ncac"], ("05 payback", "03"))
    )
    return rows


def _verdict_rules(month: Path) -> list[tuple]:
    """One row signs for a channel, and it follows the combined estimate."""
    both, rows = table(month, "03", "combined"), []
    signed = [part for n in range(12) if (part := decisions(month, f"{n:02d}")) is not None]
    signed = pd.concat([p for p in signed if len(p)], ignore_index=True) if signed else None
    if both is None or signed is None:
        return []
    own = signed[signed["subject_type"] == "channel"]
    is_twice = bool(own["subject"].duplicated().any())
    rows.append(("one row a channel", "all decisions", "", len(own), np.nan, is_twice))
    verdict = own["subject"].map(both.set_index("channel")["verdict"])
    is_against = (own["action"] == "pause") & (verdict != "loses")
    is_against |= (own["action"] == "raise") & verdict.isin(["loses", "not judged"])
    words = ("03 decisions", "03 combined")
    rows.append(("the combined verdict signs", *words, len(own), np.nan, bool(is_against.any())))
    cost = both.set_index("channel")["ncac"]
    there = table(month, "03", "channel_pnl").set_index("channel")["ncac"]
    rows.append(equal("cost of a customer, combined", cost, there, ("03 combined", "03")))
    return rows


def _calendar_rules(month: Path) -> list[tuple]:
    """The weeks ahead add up to the quarter's forecast."""
    weeks, smart = table(month, "02", "calendar_ahead"), table(month, "02", "smart")
    if weeks is None or smart is None or weeks.empty:
        return []
    quarter = smart[(smart["metric"] == "orders") & (smart["horizon"] == "quarter")]
    there = quarter.set_index("horizon")["forecast"].astype(float)
    here = pd.Series({"quarter": weeks["orders"].sum()})
    return [equal("weeks add up to the quarter", here, there, ("02 calendar_ahead", "02 smart"))]


def _people_rules(month: Path) -> list[tuple]:
    """No customer twice, and no list speaks to whom another holds out."""
    vip, audience = table(month, "05", "vip"), table(month, "06", "audience")
    reminder, people = table(month, "04", "nudge_list"), table(month, "11", "people")
    rows = []
    lists = {"05 vip": vip, "04 nudge_list": reminder, "06 audience": audience}
    known = {name: part for name, part in lists.items() if part is not None}
    if people is None:
        return rows
    is_twice = bool(people["customer_id"].duplicated().any())
    rows.append(("no customer twice", "11 people", "", len(people), np.nan, is_twice))
    arms = people.set_index("customer_id")
    n, is_broken = 0, False
    for name, part in known.items():
        mine = arms[arms["chapter"] == name[:2]].join(part.set_index("customer_id"), rsuffix="_own")
        n, is_broken = n + len(mine), is_broken or bool((mine["arm"] != mine["arm_own"]).any())
    everybody = set().union(*(set(part["customer_id"]) for part in known.values()))
    is_broken |= everybody != set(arms.index)
    rows.append(("hold-outs are kept", "11 people", "04, 05, 06", n, np.nan, is_broken))
    return rows


def decisions(month: Path, chapter: str) -> pd.DataFrame | None:
    """The decision rows of a chapter."""
    folders = [f for f in sorted(month.glob(f"{chapter}_*")) if f.is_dir()]
    path = folders[0] / "decisions.parquet" if folders else month
    return pd.read_parquet(path) if path.suffix and path.exists() else None


def _verbs(month: Path) -> list[tuple]:
    """Channels, categories and skus with verbs of both sides."""
    parts = [decisions(month, f"{number:02d}") for number in range(12)]
    found = [part for part in parts if part is not None and len(part)]
    if not found:
        return []
    rows = pd.concat(found, ignore_index=True)
    rows = rows[rows["subject_type"].isin(["channel", "category", "sku", "customer"])]
    sides = [rows["action"].isin(words).groupby(rows["subject"]).any() for words in OPPOSITE]
    both = sides[0] & sides[1]
    words = ("all decisions", "all decisions")
    return [("no opposite verbs on a subject", *words, len(both), np.nan, bool(both.any()))]
