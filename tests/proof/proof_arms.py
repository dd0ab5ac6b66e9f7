"""Tests of several arms, read by the playbook's own path: is the control the stated one, is the
family error held, does looking every day cost nothing, and is a mailing read.

`python tests/proof/proof_arms.py [layouts|family|rates|welch|peek|mailing] [how many]` adds to
proof/arms.jsonl what is not there yet and prints every figure the file holds. `family` reads tests
whole, `rates` compares their arms only, `welch` does so by Welch's formula in arrays (to which
tests/test_experiment.py holds `compare_means`); these and `peek` go in blocks of 1,000 tests; seeds are 801 and up.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).resolve().parents[2] / "proof" / "arms.jsonl"
BLOCK, FIRST_SEED, DAYS = 1_000, 801, 28
AS_OF = dt.date(2026, 3, 31)
#: arms of made tests: the true control ("" where nobody could tell), then the arms
LAYOUTS = (
    ("No E-Mail", "Mens E-Mail", "No E-Mail", "Womens E-Mail"),
    ("对照组", "对照组", "实验组"),
    ("空白组", "方案一", "方案二", "空白组"),
    ("Kontrollgruppe", "Gutschein", "Kontrollgruppe"),
    ("Groupe témoin", "Bannière", "Groupe témoin"),
    ("control sin correo", "con correo", "control sin correo"),
    ("Grupo de control", "Descuento 10%", "Grupo de control"),
    ("holdout 10 %", "all others", "holdout 10 %"),
    ("CONTROL", "Banner", "CONTROL", "Popup"),
    ("z_control", "a_new", "z_control"),
    ("", "A", "B"),
    ("", "variant 1", "variant 2", "variant 3"),
    ("", "control 1", "control 2", "new"),
    ("", "red", "blue"),
    ("", "on", "off"),
    ("", "10% off", "free shipping"),
    ("", "no delivery fee", "standard delivery"),
    ("", "control + banner", "banner"),
    ("", "uncontrolled", "managed"),
    ("", "old", "new"),
    ("B (control)", "A", "B (control)"),
    ("Control – no banner", "Banner", "Control – no banner"),
    ("Holdout group", "Push", "Holdout group", "SMS"),
    ("контрольная группа", "баннер", "контрольная группа"),
    ("対照群", "新デザイン", "対照群"),
    ("대조군", "새 버튼", "대조군"),
    ("gruppo di controllo", "sconto", "gruppo di controllo"),
    ("grupa kontrolna", "baner", "grupa kontrolna"),
    ("Controlegroep", "Actie", "Controlegroep"),
    ("ohne E-Mail", "mit E-Mail", "ohne E-Mail"),
    ("sans e-mail", "avec e-mail", "sans e-mail"),
    ("不发邮件", "发邮件", "不发邮件"),
    ("status quo", "redesign", "status quo"),
    ("Baseline", "Aggressive", "Baseline", "Mild"),
    ("", "no mail, but sms", "mail"),
    ("", "not control", "treatment"),
    ("", "Control tower page", "New page"),
    ("", "Control/Treatment", "Treatment"),
    ("", "placebo effect page", "plain page"),
    ("", "no discount", "no coupon", "both"),
)


def main() -> None:
    """Run what was asked for, or all in full, then print what the file holds."""
    part, many = (sys.argv[1:] + ["", ""])[:2]
    runs = {"layouts": (layouts, 1), "family": (family, 3), "rates": (rates, 20)}
    runs |= {"peek": (peek, 20), "mailing": (mailing, 20), "welch": (welch, 20)}
    for name, (run, default) in runs.items():
        for number in range(int(many or default)) if part in ("", name) else ():
            if (name, number) not in {(row["part"], row["number"]) for row in rows()}:
                FILE.parent.mkdir(exist_ok=True)
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"part": name, "number": number, **run(number)}) + "\n")
    summary(pd.DataFrame(rows()))


def rows() -> list[dict]:
    """What is already proven."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    return [json.loads(line) for line in lines]


def layouts(number: int) -> dict:
    """Every layout in every order of its arms: wrong controls, and controls not found."""
    from playbook.chapters.customer_journey.controls import control_arm

    wrong, missed, n = [], [], 0
    for right, *arms in LAYOUTS:
        for order in itertools.permutations(arms):
            table = pd.DataFrame({"test_id": "t", "arm": order, "is_contradicted": False})
            table["is_control"] = pd.array([pd.NA] * len(order), dtype="boolean")
            found, n = control_arm(table), n + 1
            wrong += [found] if found and found != right else []
            missed += [right] if right and not found else []
    return {"n": n, "layouts": len(LAYOUTS), "wrong": wrong, "missed": sorted(set(missed))}


def sums(n: list[int], bought: np.ndarray, spend: list[tuple[float, float, float]]) -> pd.DataFrame:
    """Sums per arm of a finished test, as `arm_sums` gives them; the first arm is the control."""
    k = len(n)
    table = pd.DataFrame({"test_id": "t", "arm": [f"arm {i}" for i in range(k)]})
    table = table.assign(
        planned_share=1 / k, is_control=np.arange(k) == 0, is_contradicted=False, outcome_days=0.0,
        n_assigned=n, n=n, converted=bought, first_on=pd.Timestamp("2026-03-01"),
        last_on=pd.Timestamp("2026-03-20"), n_x=n, n_in_two_arms=0, amount_cap=np.nan, n_capped=0,
    )  # fmt: skip
    table[["mean_x", "var_x", "cov_xc"]] = spend
    return table.assign(mean_y=np.nan, var_y=np.nan, cov_xy=np.nan)


def family(number: int) -> dict:
    """A thousand finished tests of nothing with two and with four arms: how many name any
    difference, in buying and in money.
    """
    from playbook.chapters.customer_journey.verdicts import read_arms

    rng = np.random.default_rng([FIRST_SEED, number])
    called = {
        f"{what}_{k}": 0 for k in (2, 4) for what in ("bought", "spend", "shipped", "ships_2")
    }
    for k in (2, 4):
        for _ in range(BLOCK):
            n, share = int(rng.integers(1_000, 8_000)), rng.uniform(0.02, 0.12)
            bought = rng.binomial(n, share, k)
            spend = [spent(rng, n, b) for b in bought]
            read = pd.DataFrame(read_arms(sums([n] * k, bought, spend), as_of=AS_OF))
            called[f"bought_{k}"] += bool((read.p_adjusted < 0.05).any())
            called[f"spend_{k}"] += bool(((read.amount_low > 0) | (read.amount_high < 0)).any())
            ships = int((read.verdict == "ship").sum())
            called[f"shipped_{k}"] += ships > 0
            called[f"ships_2_{k}"] += ships > 1
    return {"n": BLOCK, **{name: int(count) for name, count in called.items()}}


def rates(number: int) -> dict:
    """A thousand tests of nothing with two and with four arms, compared by the methods alone: how
    many name any difference, in buying (adjusted p) and in money (intervals).
    """
    from playbook.methods.experiment import compare_means
    from playbook.methods.several_arms import adjusted_p, single_alpha

    rng = np.random.default_rng([FIRST_SEED + 3, number])
    called = {f"{what}_{k}": 0 for k in (2, 4) for what in ("bought", "spend")}
    for k in (2, 4):
        for _ in range(BLOCK):
            n, share = int(rng.integers(1_000, 8_000)), rng.uniform(0.02, 0.12)
            bought = rng.binomial(n, share, k)
            arms = [bernoulli(n, int(b)) for b in bought]
            errors = [arm["var"] / n for arm in arms]
            p = [compare_means(arms[0], arm)["p"] for arm in arms[1:]]
            called[f"bought_{k}"] += bool((adjusted_p(p, errors[0], errors[1:]) < 0.05).any())
            money = [dict(zip(("mean", "var"), spent(rng, n, b), strict=False)) for b in bought]
            level = 1 - single_alpha(errors[0], errors[1:])
            for arm in money:
                arm["n"] = n
            found = [compare_means(money[0], arm, level=level) for arm in money[1:]]
            called[f"spend_{k}"] += any(one["low"] > 0 or one["high"] < 0 for one in found)
    return {"n": BLOCK, **{name: int(count) for name, count in called.items()}}


def welch(number: int) -> dict:
    """A thousand tests of nothing with two and with four arms: p of every arm by Welch's formula,
    adjusted by the playbook, and how many tests name any difference.
    """
    from scipy.special import stdtr

    from playbook.methods.several_arms import adjusted_p

    rng, called = np.random.default_rng([FIRST_SEED + 4, number]), {}
    for k in (2, 4):
        n = rng.integers(1_000, 8_000, BLOCK)[:, None]
        share = rng.uniform(0.02, 0.12, BLOCK)[:, None]
        counts = rng.binomial(n, share, (BLOCK, k))
        money = np.array(
            [
                [spent(rng, int(n[i, 0]), int(counts[i, j]))[:2] for j in range(k)]
                for i in range(BLOCK)
            ]
        )
        rate = counts / n
        kinds = {"bought": (rate, rate * (1 - rate) * n / (n - 1)), "spend": tuple(money.T)}
        for what, (mean, variance) in kinds.items():
            mean, variance = (
                part if part.shape == (BLOCK, k) else part.T for part in (mean, variance)
            )
            error = variance / n
            both = error[:, :1] + error[:, 1:]
            freedom = both**2 / ((error[:, :1] ** 2 + error[:, 1:] ** 2) / (n - 1))
            p = 2 * stdtr(freedom, -np.abs(mean[:, 1:] - mean[:, :1]) / np.sqrt(both))
            found = [
                adjusted_p(*row).min() for row in zip(p, error[:, 0], error[:, 1:], strict=True)
            ]
            called[f"{what}_{k}"] = int((np.array(found) < 0.05).sum())
    return {"n": BLOCK, **called}


def spent(rng: np.random.Generator, n: int, bought: int) -> tuple[float, float, float]:
    """Mean and variance of spend per visitor, and its covariance with buying."""
    paid = rng.lognormal(3.2, 0.7, bought)
    mean = paid.sum() / n
    variance = ((paid**2).sum() - n * mean**2) / (n - 1)
    return mean, variance, (paid.sum() - mean * bought) / (n - 1)


def peek(number: int) -> dict:
    """A thousand tests of nothing looked at every day for four weeks, two arms and four: how
    many the always-valid interval calls on any day, and how many a plain z beyond 1.96 does.
    """
    from playbook.methods.always_valid import always_valid_lift

    rng = np.random.default_rng([FIRST_SEED + 1, number])
    called = {f"{what}_{k}": 0 for k in (2, 4) for what in ("always", "plain")}
    for k in (2, 4):
        for _ in range(BLOCK):
            a_day, share = int(rng.integers(50, 800)), rng.uniform(0.02, 0.12)
            bought = np.cumsum(rng.binomial(a_day, share, (DAYS, k)), axis=0)
            always = plain = False
            for day in range(DAYS):
                n = a_day * (day + 1)
                arms = [bernoulli(n, int(b)) for b in bought[day]]
                for arm in arms[1:]:
                    low, high = always_valid_lift(arms[0], arm, alpha=0.05 / (k - 1))
                    always |= low > 0 or high < 0
                    error = np.sqrt((arms[0]["var"] + arm["var"]) / n)
                    plain |= abs(arm["mean"] - arms[0]["mean"]) > 1.96 * error > 0
            called[f"always_{k}"] += always
            called[f"plain_{k}"] += plain
    return {"n": BLOCK, **{name: int(count) for name, count in called.items()}}


def bernoulli(n: int, bought: int) -> dict:
    """Sums of visitors that bought or not."""
    return {"n": n, "mean": bought / n, "var": bought * (n - bought) / (n * (n - 1))}


def mailing(number: int) -> dict:
    """64,000 customers mailed on one day in the layout of Hillstrom's data: read before and on
    the day its window is over.
    """
    from playbook.chapters.customer_journey.verdicts import read_tests

    rng = np.random.default_rng([FIRST_SEED + 2, number])
    n, names = 64_000, np.array(["Mens E-Mail", "Womens E-Mail", "No E-Mail"])
    arm = rng.integers(0, 3, n)
    # shares of buyers like the published ones: 1.25, .88 and .57 %
    is_converted = rng.random(n) < np.array([0.0125, 0.0088, 0.0057])[arm]
    table = pd.DataFrame(
        {
            "test_id": "mailing", "visitor_id": np.arange(n).astype(str), "arm": names[arm],
            "assigned_at": pd.Timestamp("2026-03-02 08:00"), "is_converted": is_converted,
            "amount": np.where(is_converted, rng.lognormal(4.5, 0.6, n).round(2), 0),
            "planned_share": 1 / 3,
        }
    )  # fmt: skip
    early = read_tests(table, as_of=dt.date(2026, 3, 15))
    found = read_tests(table, as_of=dt.date(2026, 3, 16)).set_index("arm")
    mens = found.loc["Mens E-Mail"]
    return {
        "control": sorted(set(found.control)),
        "early": sorted(set(early.verdict)),
        "verdicts": found.verdict.to_dict(),
        "true_inside": bool(mens.low <= 0.0125 / 0.0057 - 1 <= mens.high),
        "lift": float(mens.lift),
    }


def summary(found: pd.DataFrame) -> None:
    """The figures so far."""
    for name, part in found.groupby("part"):
        part = part.dropna(axis=1, how="all")
        if name in ("family", "rates", "welch", "peek"):
            counts = part.drop(columns=["part", "number", "n"])
            print(
                name, f"{part.n.sum():,.0f} tests", (counts.sum() / part.n.sum()).round(4).to_dict()
            )
        else:
            print(name, part.drop(columns=["part", "number"]).to_string(index=False))


if __name__ == "__main__":
    main()
