"""One list of people: whom the shop speaks to this month, through which programme, and who
is held out.

A customer stands on one list only. The VIP list of chapter 05 goes first, then the reminder
of a second order (chapter 04), then the campaign of the segment (chapter 06). Whom a list
holds out nobody speaks to: hold-outs are drawn by one place per customer (methods/hashing),
and whoever is held out stays on the list that held them out.
"""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame

from playbook.tables import frame_of, returns

__all__ = ["LISTS", "list_counts", "one_list"]

#: the lists in the order in which they take their people: programme -> chapter
LISTS = {"vip": "05", "reminder": "04", "campaign": "06"}
#: what chapter 06 calls a segment that gets no campaign
LEFT_ALONE = "leave alone"


@returns("monthly_review.people")
def one_list(vip: DataFrame, reminder: DataFrame, audience: DataFrame) -> DataFrame:
    """One row per customer of any list. `vip` and `reminder`: customer_id, arm; `audience`:
    also segment and action; each may be empty.
    """
    lists = {"vip": vip, "reminder": reminder, "campaign": audience}
    parts = [lists[name].assign(programme=name, chapter=LISTS[name]) for name in LISTS]
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    rows = rows.drop_duplicates("customer_id", keep="first")
    segments = audience.set_index("customer_id") if len(audience) else DataFrame({"segment": []})
    rows = rows.assign(segment=rows["customer_id"].map(segments["segment"]))
    if "action" in rows:
        is_alone = (rows["programme"] == "campaign") & (rows["action"] == LEFT_ALONE)
        rows["programme"] = rows["programme"].mask(is_alone, "none")
    return frame_of("monthly_review.people", rows.sort_values("customer_id").to_dict("records"))


@returns("monthly_review.people_counts")
def list_counts(people: DataFrame) -> DataFrame:
    """How many are spoken to and how many held out, by programme and segment."""
    arms = people.assign(
        n_treated=people["arm"] == "treat",
        n_held_out=people["arm"] == "holdout",
        segment=people["segment"].fillna(""),
    )
    keys = ["chapter", "programme", "segment"]
    counts = arms.groupby(keys)[["n_treated", "n_held_out"]].sum().reset_index()
    return frame_of("monthly_review.people_counts", counts.to_dict("records"))
