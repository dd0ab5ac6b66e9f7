"""The shop's pages in the results of a search engine, month by month, as its console tells
them: impressions, clicks and mean place by word and page.

Nothing else of the shop depends on them; their draws have a stream of their own. A result is
clicked by its place (a power of it) and by how well it suits the word; one page loses places in
the last month, another has a summer of its own, and one much asked word stands just below the
top.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray
from pandas import DataFrame, concat

from playbook.demo.records import Record
from playbook.demo.streams import key, normal, poisson, uniform
from playbook.demo.world import World
from playbook.demo.writing import Clock, texts
from playbook.messages import read_yaml

STATED = Record(read_yaml(Path(__file__).with_name("search_results.yaml")))
_SITE = "https://shop.example/guides/"


def results(seed: int, name: str) -> DataFrame:
    """One row per word and page: term, page, page_no, kind (plain, brand, almost, fell,
    summer), often (share of all times asked), suits (its clicks beside its place's), place.
    """
    rows = [(text.format(name=name), "home", "brand") for text in STATED.brand]
    for subject in STATED.subjects:
        for page in STATED.pages:
            title = page.format(subject)
            rows += [(f"{title} {word}".strip(), title, "plain") for word in STATED.words]
    table = DataFrame(rows, columns=["term", "page", "kind"])
    table["page_no"] = table.page.factorize()[0]
    k, spread = key(seed, "search result", np.arange(len(table))), STATED.spreads
    usual = np.exp(spread["place"] * normal(k, "place"))
    table["often"] = np.exp(spread["often"] * normal(k, "often"))
    table["place"] = np.maximum(STATED.place * usual, 1.3)
    table["suits"] = usual**STATED.suited * np.exp(spread["suits"] * normal(k, "suits"))
    is_brand = table.kind == "brand"
    table.loc[is_brand, ["place", "suits"]] = 1.0, STATED.brand_clicks / STATED.first_place
    _plant(table, seed)
    table["often"] /= table.often.sum()
    return table


def _plant(table: DataFrame, seed: int) -> None:
    """The word just below the top, and of the larger pages one that falls and one with a
    summer.
    """
    clicks = table.often * table.suits * table.place**STATED.power
    large = clicks.where(table.kind == "plain").groupby(table.page_no).sum().nlargest(12).index
    draw = uniform(key(seed, "page planted", np.arange(len(large))), "which")
    fell, summer, almost = large.to_numpy()[np.argsort(draw)][:3]
    table.loc[table.page_no == fell, "kind"] = "fell"
    table.loc[table.page_no == summer, "kind"] = "summer"
    word = table.index[table.page_no == almost][0]
    table.loc[word, ["kind", "place", "suits"]] = "almost", STATED.almost["place"], 1.0
    place = table.place.to_numpy()
    each = _chance(table, np.maximum(place - 1, 1.0)) - _chance(table, place)
    others = (each * table.often)[table.index != word].max()
    table.loc[word, "often"] = STATED.almost["beside_next"] * others / each[word]


def found(law: DataFrame, month: Record) -> DataFrame:
    """What is told of each word and page in a month: impressions, clicks, position, and of the
    truth expected (clicks by the law at this place) and higher (clicks more in a month like
    this, one place higher). `month`: seed, no (months since any fixed one), calendar (1 to
    12), ago (months before the last) and asked (impressions of all words in a usual month).
    """
    k = key(month.seed, "search result month", np.arange(len(law)), month.no)
    page = key(month.seed, "search page month", law.page_no.to_numpy(), month.no)
    spread, kind = STATED.spreads, law.kind.to_numpy()
    moves = spread["moves"] * normal(k, "moves") + spread["page_moves"] * normal(page, "moves")
    place = law.place.to_numpy() * np.exp(np.where(kind == "brand", 0.0, moves))
    is_fallen = (kind == "fell") & (month.ago < STATED.fell["months"])
    place = np.maximum(np.where(is_fallen, STATED.fell["times"], 1.0) * place, 1.0)
    demand = np.exp(spread["sways"] * normal(page, "sways") + _season(month.calendar, "season"))
    demand *= np.where(kind == "summer", np.exp(_season(month.calendar, "summer")), 1.0)
    shown = poisson(k, "shown", month.asked * law.often.to_numpy() * demand)
    chance = _chance(law, place)
    clicks = np.minimum(poisson(k, "clicks", shown * chance), shown)
    higher = _chance(law, np.maximum(place - 1, 1.0)) - chance
    return DataFrame(
        {
            "impressions": shown,
            "clicks": clicks,
            "position": place,
            "expected": shown * chance,
            "higher": shown * higher,
        }
    )


def _chance(law: DataFrame, place: ndarray) -> ndarray:
    return np.minimum(STATED.first_place * law.suits.to_numpy() * place**STATED.power, 0.9)


def _season(calendar: int, name: str) -> float:
    law = STATED[name]
    return law["swing"] * float(np.cos(2 * np.pi * (calendar - law["peak"]) / 12))


def first_told(world: World) -> np.datetime64:
    """The first day of the months told."""
    month = np.datetime64(world.last_month, "M") - (STATED.months - 1)
    return month.astype("datetime64[D]")


def _of_chunk(world: World, chunk: Record) -> tuple[DataFrame, DataFrame] | None:
    """The law and the month, where the month is among those told."""
    month = int(np.datetime64(world.day0 + chunk.first, "M").astype(int))
    ago = int(np.datetime64(world.last_month, "M").astype(int) - month)
    if ago >= STATED.months:
        return None
    law = results(world.seed, world.preset.name)
    asked = world.scale * STATED.asked
    told = Record(seed=world.seed, no=month, calendar=month % 12 + 1, ago=ago, asked=asked)
    return law, found(law, told)


def search_terms(chunk: Record, clock: Clock) -> pa.Table | None:
    """A month's words by page, and its pages, one row each; None before the months told."""
    told = _of_chunk(clock.world, chunk)
    if told is None:
        return None
    law, rows = told
    shown = law[["term", "page"]].join(rows)
    shown = shown[shown.impressions > 0].assign(page=_SITE + shown.page.str.replace(" ", "-"))
    pages = shown.assign(weight=shown.position * shown.impressions).groupby("page", sort=False)
    pages = pages[["impressions", "clicks", "weight"]].sum().reset_index()
    pages = pages.assign(term="all", position=pages.weight / pages.impressions)
    shown = concat([shown, pages], ignore_index=True)
    return clock.table(
        "search_terms",
        until_on=np.full(len(shown), chunk.last - 1),
        n_days=np.full(len(shown), chunk.last - chunk.first),
        term=texts(shown.term),
        page=texts(shown.page),
        clicks=shown.clicks.to_numpy(),
        impressions=shown.impressions.to_numpy(),
        position=shown.position.to_numpy(),
    )


def result_truth(world: World, chunks: list[Record]) -> DataFrame:
    """One row per month, word and page of the search results: month, term, page, kind (almost:
    the place higher that pays most; fell: a page that lost places in the last month; summer:
    one that falls every autumn), position, expected, the clicks its place brings by the law,
    and higher, the clicks more one place higher.
    """
    parts = []
    for chunk in chunks:
        told = _of_chunk(world, chunk)
        if told is not None:
            part = told[0][["term", "page", "kind"]].join(told[1])
            parts.append(part.assign(month=world.month_of(chunk.first)))
    columns = ["month", "term", "page", "kind", "position", "expected", "higher"]
    return concat(parts, ignore_index=True)[columns]
