"""Rules across chapters, on the result tables of one month: equal homes, sums, verbs."""

from pathlib import Path

import numpy as np
import pandas as pd

from playbook.chapters.goal_setting.decisions import LEAST_PEOPLE
from playbook.chapters.goal_setting.offer import OWN_STOCK
from playbook.measures.acquisition import LEAST_NEW
from playbook.measures.metrics import METRICS

#: what a key result is called -> its metric
IDS = {entry.name: metric for metric, entry in METRICS.items()}
#: how far figures that have to be equal may lie apart, share of them
SAME = 1e-9
#: verbs on a subject that contradict each other
OPPOSITE = (
    {"raise", "widen", "care", "push", "raise price", "buy traffic", "fix page and price"},
    {"lower", "pause", "exit", "delist", "quality hold", "take off"},
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
    parts = (_goal_rules, _base_rules, _forecast_rules, _market_rules, _channel_rules, _cap_rules)
    parts += (_verdict_rules, _calendar_rules, _capacity_rules, _later_rules, _people_rules, _verbs)
    rows = [row for part in parts for row in part(month)]
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


def _base_rules(month: Path) -> list[tuple]:
    """What else repeats a figure of the sheet: its forecast, its base, its ends."""
    smart = table(month, "02", "smart")
    if smart is None:
        return []
    sheet = smart.set_index(["horizon", "metric"])[["base", "forecast", "low", "high", "target"]]
    sheet, rows = sheet.astype(float), []
    tree, okr = table(month, "02", "tree"), table(month, "02", "okr")
    if tree is not None and "horizon" in tree:
        mine = tree.set_index(["horizon", "driver"])[["forecast", "base"]].astype(float)
        for column in mine:
            words = ("02 tree", "02 smart")
            rows.append(equal(f"{column} of a driver", mine[column], sheet[column], words))
    if okr is not None:
        mine = okr.assign(metric=okr["key_result"].map(IDS)).dropna(subset=["metric"])
        mine = mine.assign(horizon="quarter").set_index(["horizon", "metric"])
        for column, there in (("to_value", "target"), ("from_value", "base")):
            words = ("02 okr", "02 smart")
            rows.append(equal(f"{there} of a key result", mine[column], sheet[there], words))
    kept = table(month, "02", "target_rows")
    if kept is not None and len(kept):
        mine, there = kept.set_index("metric")["base"], sheet["base"]["month"]
        rows.append(equal("base of an exported target", mine, there, ("02 target_rows", "02")))
    revenue = sheet.xs("net_revenue", level="metric")
    fan, out = table(month, "02", "forecast"), table(month, "02", "scenarios")
    if fan is not None and len(fan):
        for column, there in (("low", "low"), ("mid", "forecast"), ("high", "high")):
            mine = pd.Series({"month": fan[column].iloc[0]})
            words = ("02 forecast", "02 smart")
            rows.append(equal(f"{column} of the next month", mine, revenue[there], words))
    if out is not None:
        ends = pd.Series(out["revenue"].to_numpy(float)[[0, -1]], ["low", "high"])
        there = revenue.loc["month", ["low", "high"]]
        rows.append(equal("ends of the scenarios", ends, there, ("02 scenarios", "02 smart")))
    even = table(month, "02", "break_even")
    if out is not None and even is not None:
        spent = (out["cm"] - out["profit"]).astype(float).set_axis(out["scenario"])
        there = pd.Series(even["fixed"].iloc[0], spent.index, dtype=float)
        words = ("02 scenarios", "02 break_even")
        rows.append(equal("fixed cost behind a profit", spent, there, words))
    swings = table(month, "02", "tornado")
    if swings is not None:
        mine = pd.Series({"month": swings["base"].iloc[0]})
        rows.append(equal("base of the swings", mine, revenue["forecast"], ("02 tornado", "02")))
    return rows


def _market_rules(month: Path) -> list[tuple]:
    """What chapter 01 says of the market and the categories stands in chapter 02 too."""
    smart, gap = table(month, "02", "smart"), table(month, "01", "size_gap")
    if smart is None:
        return []
    base = smart.set_index(["horizon", "metric"])["base"].astype(float)
    base, rows = base.xs("net_revenue", level="metric"), []
    if gap is not None and len(gap):
        own = pd.Series({"year": gap["own"].iloc[0]})
        rows.append(equal("own sales of a year", own, base, ("01 size_gap", "02 smart")))
        found = decisions(month, "01")
        is_open = bool((gap["finding"] == "sold already").any())
        is_open |= bool(((gap["measure"] == "TAM") & (gap["verdict"] == "apart")).any())
        is_said = bool(
            (found[["subject_type", "action"]] == ["data", "research"]).all(axis=1).any()
        )
        words = ("01 size_gap", "01 decisions")
        rows.append(("a gap is a finding", *words, len(gap), np.nan, is_open and not is_said))
    share = table(month, "01", "market_share")
    if share is not None and len(share):
        first = pd.Period(table(month, "02", "forecast")["period"].iloc[0], "M") - 12
        own = share.set_index(pd.PeriodIndex(share["period_on"], freq="M"))["own"]
        is_monthly = bool((np.diff([month.ordinal for month in own.index]) == 1).all())
        own = pd.Series({"month": own.get(first, np.nan) if is_monthly else np.nan}, dtype=float)
        rows.append(equal("sales beside the market", own, base, ("01 market_share", "02 smart")))
    plan, verdicts = table(month, "02", "product_plan"), table(month, "01", "verdicts")
    if plan is not None and "forecast" in plan and verdicts is not None:
        both = plan.merge(verdicts, on="category", suffixes=("", "_of_01"))
        is_other = bool((both["action"] != both["action_of_01"]).any())
        words = ("02 product_plan", "01 verdicts")
        rows.append(("verdict on a category", *words, len(both), np.nan, is_other))
        sums = pd.Series({"quarter": plan["revenue"].astype(float).sum(min_count=len(plan))})
        rows.append(equal("categories sum to the base", sums, base, ("02 product_plan", "02")))
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
        sums = pnl[["spend", "new_customers"]].astype(float).sum()
        whole = pd.Series({OWN_STOCK: sums["spend"] / max(sums["new_customers"], 1.0)})
        rows.append(equal("cost of any new customer", own, whole, ("02 models", "03")))
    paid = table(month, "05", "payback")
    whole = paid[paid["cohort"] == "all"].set_index("channel")["ncac"]
    rows.append(
        equal("cost behind payback", whole, pnl.set_index("channel")["ncac"], ("05 payback", "03"))
    )
    return rows


def _cap_rules(month: Path) -> list[tuple]:
    """A cap stands against the next customer; a channel with too few is not judged."""
    pnl, caps = table(month, "03", "channel_pnl"), table(month, "05", "caps")
    both, paid = table(month, "03", "combined"), table(month, "05", "payback")
    if pnl is None or caps is None:
        return []
    mine, rows = caps.set_index("channel"), []
    if both is not None:
        there = both.set_index("channel")["next_ncac"]
        words = ("05 caps", "03 combined")
        rows.append(equal("cost of the next customer", mine["next_ncac"], there, words))
    values = table(month, "05", "ltv").set_index("channel")["ltv"]
    rows.append(equal("value of a customer", mine["ltv"], values, ("05 caps", "05 ltv")))
    spend = paid[paid["cohort"] == "all"].set_index("channel")["spend"].replace(0.0, np.nan)
    there = pnl.set_index("channel")["spend"]
    rows.append(equal("spend of the window", spend, there, ("05 payback", "03 channel_pnl")))
    few = pnl[pnl["new_customers"] < LEAST_NEW]["channel"]
    judged = mine.loc[mine.index.isin(few), ["ltv_cac", "headroom", "payback_months"]]
    is_judged = bool(judged.notna().any(axis=None))
    if both is not None:
        costs = both.loc[both["channel"].isin(few), ["ncac", "next_ncac", "payback_months"]]
        is_judged |= bool(costs.notna().any(axis=None))
    words = ("05 caps", "03 combined")
    rows.append(("too few are not judged", *words, len(few), np.nan, is_judged))
    response, plan = table(month, "03", "response"), table(month, "03", "budget")
    if response is not None and plan is not None:
        here = plan.set_index("channel")["marginal_return"]
        there = response.set_index("channel")["marginal_return"]
        rows.append(equal("marginal return", here, there, ("03 budget", "03 response")))
    return [*rows, *_told_costs(month, mine)]


def _told_costs(month: Path, caps: pd.DataFrame) -> list[tuple]:
    """Where the next customer costs more than the cap, the row that signs for the channel's
    budget says what that customer costs.
    """
    rows, both = decisions(month, "03"), table(month, "03", "combined")
    if rows is None or both is None:
        return []
    told = rows[rows["subject_type"] == "channel"].groupby("subject")["reason"].agg(" ".join)
    over = caps[caps["next_ncac"] > caps["cap"]]["next_ncac"]
    silent = [name for name, cost in over.items() if f"{cost:.2f}" not in told.get(name, "")]
    words = ("05 caps", "03 decisions")
    return [("a cost over its cap is told", *words, len(over), np.nan, bool(silent))]


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


def _capacity_rules(month: Path) -> list[tuple]:
    """People are asked of the busiest stretch of the calendar, promotion days of all of it."""
    needed, weeks = table(month, "02", "capacity"), table(month, "02", "calendar_ahead")
    even, smart = table(month, "02", "break_even"), table(month, "02", "smart")
    rows, asked = [], decisions(month, "02")
    if needed is not None and even is not None and "orders_now" in even:
        here = needed.set_index("role")["now"].reindex(["supply-chain head"])
        there = pd.Series({"supply-chain head": even["orders_now"].iloc[0]})
        rows.append(equal("orders a month today", here, there, ("02 capacity", "02 break_even")))
    if needed is not None and weeks is not None and "people" in weeks:
        sheet = smart.set_index(["horizon", "metric"])[["target", "forecast"]].astype(float)
        target, forecast = sheet.loc[("quarter", "orders")]
        people = weeks.set_index(weeks["week_on"].dt.strftime("%Y-%m-%d"))["people"]
        mine = needed[needed["role"] == "customer-service lead"]
        day = mine["work"].str.extract(r"(\d{4}-\d\d-\d\d)")[0]
        here = pd.Series(mine["people_needed"].to_numpy(float), day)
        more = target / forecast if np.isfinite(target) else 1.0
        words = ("02 capacity", "02 calendar_ahead")
        rows.append(
            equal("people of the peak week", here[here.index.notna()], people * more, words)
        )
    if needed is not None and asked is not None:
        short = needed[needed["gap_people"].astype(float) >= LEAST_PEOPLE]
        found = asked[asked["action"] == "bring in people"].set_index("subject")["size"]
        gaps = short.set_index("work")["gap_people"].astype(float).round(1)
        is_silent = not set(gaps.index) <= set(found.index)
        words = ("02 capacity", "02 decisions")
        rows.append(("who is short of people says so", *words, len(gaps), np.nan, is_silent))
        rows.append(equal("people short", found, gaps, words))
    if weeks is not None and asked is not None:
        missing = weeks["promotion_days_missing"].astype(float).sum()
        mine = asked[asked["action"] == "plan the peak"].set_index("action")["size"]
        here = pd.Series({"days": float(mine.sum())})
        words = ("02 decisions", "02 calendar_ahead")
        rows.append(equal("promotion days missing", here, pd.Series({"days": missing}), words))
    coming = table(month, "10", "promotions_ahead")
    if weeks is not None and coming is not None:
        each = (coming["n_days"] - coming["n_planned"]).clip(lower=0)
        missing = weeks["promotion_days_missing"].astype(float).sum(min_count=1)
        is_off = bool(missing < each.max() or missing > each.sum()) and len(each) > 0
        words = ("10 promotions_ahead", "02 calendar_ahead")
        rows.append(("promotions come round", *words, len(each), np.nan, is_off))
    return rows


def _later_rules(month: Path) -> list[tuple]:
    """Chapters 07 and 11 name the outlook's figures, or a stated multiple of them."""
    smart, rows = table(month, "02", "smart"), []
    goods, card = table(month, "07", "demand_total"), table(month, "11", "scorecard")
    if goods is not None and smart is not None:
        month_ahead = smart[(smart["metric"] == "orders") & (smart["horizon"] == "month")]
        there = month_ahead.set_index("metric")["forecast"].astype(float)
        here = pd.Series({"orders": goods["orders"].iloc[0]})
        rows.append(equal("orders behind demand", here, there, ("07 demand_total", "02 smart")))
        days = month_ahead["due_on"].map(lambda day: pd.Timestamp(day).day).iloc[0]
        units = goods["orders"] / days * goods["days"] * goods["units_per_order"]
        rows.append(equal("demand of the shop", goods["shop"], units, ("07 demand_total", "07")))
    said = table(month, "02", "foreseen")
    if card is not None and said is not None:
        here, there = card.set_index("metric")["foreseen"], said.set_index("metric")["mid"]
        rows.append(equal("foreseen of the month", here, there, ("11 scorecard", "02 foreseen")))
    return rows


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
