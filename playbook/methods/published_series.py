"""Published series as they come: one CSV of any header, date layout and separator into rows of `market_series`.

Reads the files of statistical offices (FRED's `DATE,ECOMNSA` and `observation_date,ECOMNSA`) and Google Trends exports
(a preamble before the header, `<1` for less than one). Whether 10/1/99 is October or January is decided by the column
as a whole: the reading under which the periods are evenly spaced.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pandas as pd

from playbook.errors import PlaybookError

__all__ = ["newest_vintage", "published_series", "series_revisions"]

MISSING = {"", ".", "..", "na", "n/a", "nan", "null", "-", ":"}
LAYOUTS = ("%Y-%m-%d", "%Y-%m", "%Y/%m/%d", "%Y/%m", "%m/%d/%y", "%d/%m/%y", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y",
           "%d.%m.%y", "%d-%m-%Y", "%b %Y", "%B %Y", "%b-%y", "%Y")
SPACING = (("day", 1, 1), ("week", 7, 7), ("month", 28, 31), ("quarter", 89, 92), ("year", 365, 366))


def published_series(
    text: str, *, series: str = "", unit: str = "", source: str = "", published_on: object = None, file: object = None
) -> pd.DataFrame:
    """One row per period and series: period_on (first day), series, value, unit, frequency, source, published_on.

    `text` is the content of the file; every value column becomes a series of its header's name (`series` renames the
    only one). Rows without a value are left out: not published is not zero. A value `<1` is kept as 0.5.
    Raises PlaybookError naming the file where there is no dated table, a date cannot be read, spacing is not regular
    under any reading, or a value is not a number.
    """
    rows = _rows(text)
    start = next((i for i in range(len(rows) - 1) if len(rows[i]) >= 2 and _dates([rows[i + 1][0]]) and
                  not _dates([rows[i][0]])), None)
    if start is None:
        raise PlaybookError("No table with a date in its first column was found", file=file, table="market_series",
                            do="give a CSV with one row per period: date, value")
    header, body = rows[start], [row for row in rows[start + 1 :] if row and row[0].strip()]
    dates, frequency = _regular([row[0] for row in body], file)
    names = [name.strip() for name in header[1:] if name.strip()]
    if series and len(names) == 1:
        names = [series]
    parts = []
    for k, name in enumerate(names, start=1):
        values = [_number(row[k] if k < len(row) else "", name, file) for row in body]
        parts.append(pd.DataFrame({"period_on": dates, "series": name, "value": values}))
    found = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    if found.duplicated(["period_on", "series"]).any():
        raise PlaybookError("A period has two values", file=file, table="market_series", column="period_on",
                            rows=int(found.duplicated(["period_on", "series"]).sum()))
    vintage = pd.NaT if published_on is None else pd.Timestamp(published_on)
    found = found.assign(unit=unit, frequency=frequency, source=source, published_on=vintage)
    return found.sort_values(["series", "period_on"], ignore_index=True)


def newest_vintage(market_series: pd.DataFrame, name: str = "") -> tuple[pd.DataFrame, float]:
    """One series at its newest vintage (period_on, value, published_on, unit), and what one unit of it is in money.

    Without a name the first series (by name) whose unit is not a share. `million`, `thousand`, `billion` or a trailing
    M in the unit set the factor. Raises PlaybookError naming the series there are when the one asked for is not.
    """
    t = market_series.assign(unit=market_series["unit"].fillna("") if "unit" in market_series else "")
    money = sorted(t.loc[~t["unit"].str.contains(r"share|percent|%|index", case=False), "series"].unique())
    chosen = name or (money[0] if money else "")
    if chosen not in set(t["series"]):
        raise PlaybookError(f"There is no series {chosen!r}", table="market_series", column="series",
                            do=f"choose from {', '.join(sorted(t['series'].unique()))}")
    t = t[t["series"] == chosen].sort_values(["period_on", "published_on"], na_position="first")
    t = t.drop_duplicates("period_on", keep="last").reset_index(drop=True)
    unit = t["unit"].iloc[-1].lower()
    words = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
    factor = next((f for word, f in words.items() if word in unit), 1e6 if re.search(r"\bm$|\$m", unit) else 1.0)
    return t[["period_on", "series", "value", "published_on", "unit"]], factor


def series_revisions(market_series: pd.DataFrame) -> pd.DataFrame:
    """Periods whose published value changed between two vintages: series, period_on, first_published_on, first_value,
    published_on, value, change_share. Statistical offices revise: a share computed on one vintage may not be another's.
    """
    t = market_series.dropna(subset=["value"]).sort_values(["series", "period_on", "published_on"], na_position="first")
    t["first_value"], t["first_published_on"] = (t.groupby(["series", "period_on"])[c].shift()
                                                 for c in ("value", "published_on"))
    out = t[t["first_value"].notna() & (t["value"] != t["first_value"])]
    out = out.assign(change_share=out["value"] / out["first_value"] - 1)
    return out[["series", "period_on", "first_published_on", "first_value", "published_on", "value", "change_share"]
               ].reset_index(drop=True)


def _rows(text: str) -> list[list[str]]:
    text = text.removeprefix("\ufeff")
    counts = {mark: sum(mark in line for line in text.splitlines()) for mark in (",", ";", "\t")}
    return list(csv.reader(io.StringIO(text), delimiter=max(counts, key=lambda mark: counts[mark])))


def _dates(texts: list[str]) -> list[tuple[str, pd.DatetimeIndex]]:
    """Every reading of the texts as dates that works for all of them."""
    texts = [re.split(r"\s+[-–]\s+|T\d\d:| \d\d:", t.strip())[0] for t in texts]
    quarters = [re.fullmatch(r"(\d{4})[- ]?Q([1-4])", t, re.I) for t in texts]
    if all(quarters):
        return [("Q", pd.DatetimeIndex([pd.Timestamp(int(q[1]), 3 * int(q[2]) - 2, 1) for q in quarters]))]
    found = []
    for layout in LAYOUTS:
        read = pd.to_datetime(pd.Series(texts), format=layout, errors="coerce")
        if read.notna().all():
            found.append((layout, pd.DatetimeIndex(read)))
    return found


def _regular(texts: list[str], file: object) -> tuple[pd.DatetimeIndex, str]:
    readings = _dates(texts)
    if not readings:
        bad = next((t for t in texts if not _dates([t])), texts[0])
        raise PlaybookError(f"{bad!r} cannot be read as a date like the others", file=file, table="market_series",
                            column="period_on", do="write dates as YYYY-MM-DD")
    for _, dates in readings:
        gaps = np.diff(np.sort(dates.values)).astype("timedelta64[D]").astype(int)
        for frequency, least, most in SPACING:
            # A series may miss periods, never lie between them: the usual gap decides.
            if len(gaps) and least <= np.median(gaps) <= most and gaps.min() >= least:
                return dates, frequency
    if len(texts) == 1:
        return readings[0][1], ""
    raise PlaybookError("The periods are not evenly spaced under any reading of the dates", file=file,
                        table="market_series", column="period_on", do="write dates as YYYY-MM-DD, one row per period")


def _number(text: str, name: str, file: object) -> float:
    bare = text.strip().replace("\u00a0", "").replace(" ", "")
    if bare.lower() in MISSING:
        return np.nan
    if bare.startswith("<"):
        return 0.5
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", bare):
        bare = bare.replace(",", "")
    elif re.fullmatch(r"-?\d+,\d+", bare):
        bare = bare.replace(",", ".")
    try:
        return float(bare.rstrip("%"))
    except ValueError:
        raise PlaybookError(f"{text!r} is not a number", file=file, table="market_series", column=name) from None
