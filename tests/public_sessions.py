"""Two public records of visits, read by their documented mappings (tests/mappings)."""

import csv
import gzip
from pathlib import Path

import pandas as pd
import yaml

MAPPINGS = Path(__file__).parent / "mappings"


def mapping(name: str) -> dict:
    return yaml.safe_load((MAPPINGS / f"{name}.yaml").read_text(encoding="utf-8"))


def clickstream(shared: Path) -> pd.DataFrame:
    """The clickstream as rows of `events`, with the device and channel the file states."""
    rule = mapping("clickstream_ecom")
    raw = pd.read_csv(shared / rule["file"], dtype="string")
    events = pd.DataFrame({ours: raw[theirs] for ours, theirs in rule["columns"].items()})
    events["occurred_at"] = pd.to_datetime(events["occurred_at"])
    events = events.sort_values(
        ["visitor_id", "session_id", "occurred_at", "name"], ignore_index=True
    )
    events["name"] = events["name"].replace(rule["names"])
    return events.assign(event_id=[f"e{n:06d}" for n in range(len(events))])


def online_shoppers(shared: Path) -> pd.DataFrame:
    """The sessions as rows of `traffic`, with the kind of visitor beside."""
    rule = mapping("online_shoppers")
    path = shared / rule["file"]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        separator = csv.Sniffer().sniff(lines.readline(), "".join(rule["separators"])).delimiter
    raw = pd.read_csv(path, sep=separator)
    month = raw["Month"].map(rule["months"])
    frame = pd.DataFrame(
        {
            "day_on": pd.to_datetime({"year": rule["year"], "month": month, "day": 1}),
            "channel": raw[rule["columns"]["channel"]].astype("string"),
            "device": "all",
            "visitor": raw[rule["columns"]["visitor"]].map(rule["visitors_named"]),
            "sessions": 1,
            "product_views": (raw["ProductRelated"] > 0).astype(int),
            "buyers": raw["Revenue"].astype(str).str.upper().eq("TRUE").astype(int),
        }
    )
    keys = ["day_on", "channel", "device", "visitor"]
    return frame.groupby(keys, as_index=False)[["sessions", "product_views", "buyers"]].sum()
