"""The public data sets the playbook knows: where they come from, under which licence,
and how their content is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from playbook.errors import PlaybookError

__all__ = ["DATA_SETS", "DataSet", "FRED_SERIES", "data_set"]


@dataclass(frozen=True)
class DataSet:
    """One public data set. `files` maps the name kept in the cache to its address;
    `kind` is the adapter that reads it.
    """

    name: str
    title: str
    kind: str
    files: dict[str, str]
    licence: str
    cite: str
    check: str
    least_bytes: int = 0


FRED_SERIES = {
    "ECOMNSA": ("million USD", "quarter", "e-commerce retail sales, not seasonally adjusted"),
    "ECOMSA": ("million USD", "quarter", "e-commerce retail sales, seasonally adjusted"),
    "ECOMPCTSA": (
        "percent of retail sales",
        "quarter",
        "e-commerce as a share of retail sales, seasonally adjusted",
    ),
    "MRTSSM44000USS": ("million USD", "month", "retail sales, seasonally adjusted"),
}

DATA_SETS: dict[str, DataSet] = {
    d.name: d
    for d in (
        DataSet(
            "cdnow",
            "CDNOW: purchases of 23,570 first-time buyers, 1997 to June 1998",
            "cdnow",
            {},
            "no explicit licence; posted by Fader and Hardie, redistributed inside the "
            "MIT-licensed lifetimes package",
            "Fader, Hardie & Lee (2005), Marketing Science 24(2)",
            "sha256 of the text, rows, customers, customer-days, money",
        ),
        DataSet(
            "online-retail",
            "UCI Online Retail: invoice lines of a UK gift-ware retailer, December 2010 to "
            "December 2011",
            "online-retail",
            {
                "online-retail.zip": "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
            },
            "CC BY 4.0",
            "Chen, Sain & Guo (2012), doi 10.1057/dbm.2012.17",
            "fourteen counts and the total to the tenth of a penny",
            10_000_000,
        ),
        DataSet(
            "market-series",
            "US Census Bureau retail and e-commerce sales, through FRED",
            "series",
            {
                f"{s}.csv": f"https://fred.stlouisfed.org/graph/fredgraph.csv?id={s}"
                for s in FRED_SERIES
            },
            "US government work, public domain",
            "US Census Bureau, Quarterly Retail E-Commerce Sales; Monthly Retail Trade",
            "one row per period, in steps of one period, no missing quarter",
        ),
    )
}


def data_set(name: str) -> DataSet:
    """The data set called `name`; PlaybookError naming those there are."""
    found = DATA_SETS.get(name.strip().lower().replace("_", "-"))
    if found is None:
        raise PlaybookError("sources.no_data_set", name=name, known=", ".join(DATA_SETS))
    return found
