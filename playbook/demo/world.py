"""The laws of the demo shop: what is drawn once, before the first day, and never seen
by the shop itself.

Buyers follow the counting laws of Fader, Hardie & Lee (2005, Marketing Science 24:2):
purchases at a gamma-distributed rate, drop-out after a purchase with a beta-distributed
chance. Advertising follows Jin et al. (2017, "Bayesian methods for media mix
modeling"): geometric carry-over, then a Hill curve. A sku's demand is a constant power
of its price.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack
from zoneinfo import ZoneInfo

import numpy as np
from numpy import ndarray
from pandas import DataFrame

from playbook.demo.presets import (
    PLANTED,
    SEED,
    Asked,
    Preset,
    add_months,
    incident_days,
    plan,
)
from playbook.demo.records import Record
from playbook.demo.streams import below, key, normal, uniform
from playbook.messages import read_yaml

LAWS = Record(read_yaml(Path(__file__).with_name("world.yaml")))

ZONE = "Europe/Berlin"
DEVICES = tuple(LAWS.devices)


def channel_law(name: str) -> ndarray:
    """What `world.yaml` says of each channel under this name, in the order of channels."""
    return np.array([channel[name] for channel in LAWS.channels])


CHANNELS = tuple(channel_law("name").tolist())
N_CAUSES = len(CHANNELS)  # cause 0 is what happens without any advertising
# Budgets a decision can set: search, social, display, live, content.
PAID = tuple(np.flatnonzero(channel_law("is_paid")).tolist())
CAMPAIGN_SHARE = [np.array([*channel["campaigns"].values()]) for channel in LAWS.channels]
CAMPAIGNS = [name for channel in LAWS.channels for name in channel["campaigns"]]
_N_CAMPAIGNS = [len(share) for share in CAMPAIGN_SHARE]
CAMPAIGN_START = np.cumsum(_N_CAMPAIGNS) - _N_CAMPAIGNS

_REGIONS = DataFrame(LAWS.regions)
REGIONS, COUNTRIES = tuple(_REGIONS.name), tuple(_REGIONS.country)
REGION_SHARE = _REGIONS.share.to_numpy()
TRANSIT, FREIGHT = _REGIONS.transit.to_numpy(), _REGIONS.freight.to_numpy()
IS_TAXED = _REGIONS.is_taxed.to_numpy()
_CATEGORIES = DataFrame(LAWS.categories)
CATEGORIES = tuple(_CATEGORIES.name)

# Share of a promotion's extra visits that is missing in the fortnight after it.
PULL_FORWARD = 0.4
DIP_DAYS = 14
PRICE_CAP = 4.0  # a price can at most quadruple a sku's demand
SIZE_POWER = 0.75  # how far more attraction in the range means more lines, not other lines
PEAK = 4.5  # highest possible multiple of the ordinary day's demand


@dataclass(frozen=True)
class Promotion:
    """One promotion in the shop's calendar: days as numbers from the first day of the
    log.
    """

    promo_id: str
    kind: str
    first: int
    last: int
    depth: float
    skus: ndarray
    lift: float
    cost: int


class World:
    """Everything drawn once for a seed: people's laws, skus, suppliers, channels,
    calendar and incidents.
    """

    def __init__(self, preset: Preset, last_month: dt.date, seed: int, on: dict[str, bool]) -> None:
        self.preset, self.seed, self.on = preset, seed, Record(on)
        self.chase = preset.confounding * on["confounding"]  # how far spend follows demand
        self.last_month = last_month
        self.start = add_months(last_month, 1 - preset.months)
        self.end = add_months(last_month, 1) - dt.timedelta(days=1)
        self.n_days = (self.end - self.start).days + 1
        self.day0 = np.datetime64(self.start, "D")
        days = incident_days(last_month)
        self.incidents = {
            name: ((a - self.start).days, (b - self.start).days)
            for name, (a, b) in days.items()
            if on[name] and a > self.start
        }
        #: incident -> how strong it is, in the unit its line in `presets.yaml` tells
        self.size = {"checkout_fault": 0.3, "price_error": 0.1, "fake_orders": 1.0}
        self._plant([name for name in PLANTED if on[name]])
        self._changes: dict[int, tuple[ndarray, ...]] = {}
        self._people()
        self._skus()
        self._channels()
        self.best_seller = int(
            np.argmax(self.appeal * self.list_price * (self.launched == 0) * ~self.fades)
        )

    def _plant(self, names: list[str]) -> None:
        """Days and sizes of the incidents that a switch plants, drawn by the seed."""
        for name in names:
            law, k = PLANTED[name], key(self.seed, "planted", name)
            low, high = law["size"]
            self.size[name] = low + (high - low) * float(uniform(k, "size"))
            (first, last), (least, most) = law["first"], law["days"]
            day = self.first_of_month(law["back"]) + first - 1
            day += int(below(k, "first", last - first + 1))
            if day > 0:
                self.incidents[name] = day, day + least + int(below(k, "days", most - least))

    def of_incident(self, incident: str, n: int) -> int:
        """Which of `n` an incident of this shop strikes."""
        return int(below(key(self.seed, "planted", incident), "which", n))

    def hits(self, incident: str, day: int | ndarray) -> Any:
        """Whether a day, or each of several, lies within an incident of this shop."""
        first, last = self.incidents.get(incident, (1, 0))
        return (day >= first) & (day <= last)

    # --- people ------------------------------------------------------------

    def _people(self) -> None:
        """Quantile functions of the laws a person is drawn from."""
        from scipy.special import betaincinv, gammaincinv, ndtr

        self.z_grid = np.linspace(-4.5, 4.5, 1801)
        u = ndtr(self.z_grid)
        self.rate_shape, self.rate_mean = 0.9, 4.0 / 365.0  # purchases attempted per ordinary day
        self.drop_a, self.drop_b = 0.9, 2.1  # chance to drop out after a purchase attempt
        self.basket_mean, self.basket_sigma, self.basket_corr = 1.95, 0.45, 0.15
        if self.on.heterogeneity:
            self.rate_q = gammaincinv(self.rate_shape, u) / self.rate_shape * self.rate_mean
            self.drop_q = betaincinv(self.drop_a, self.drop_b, u)
        else:
            self.rate_q = np.full_like(u, self.rate_mean)
            self.drop_q = np.full_like(u, self.drop_a / (self.drop_a + self.drop_b))
            self.basket_sigma = 0.0
        quality = channel_law("quality")
        self.quality = quality if self.on.channel_quality else np.ones_like(quality)
        self.persona_share = np.array(LAWS.persona_shares)
        cells = np.arange(6)[:, None] * 100 + np.arange(len(CATEGORIES))
        k = key(self.seed, "persona", cells)
        self.taste = np.exp(0.9 * normal(k.ravel(), "taste").reshape(k.shape))

    def person(self, keys: ndarray, cause: ndarray) -> dict[str, ndarray]:
        """What a new person is like: persona, device, habits, and the laws of their
        purchases.
        """
        z_rate = normal(keys, "rate")
        z_basket = self.basket_corr * z_rate + np.sqrt(1 - self.basket_corr**2) * normal(
            keys, "basket"
        )
        better = self.quality[cause]
        drop = np.interp(normal(keys, "drop"), self.z_grid, self.drop_q)
        is_business = uniform(keys, "business") < 0.03
        device = np.searchsorted([0.6, 0.93], uniform(keys, "device"))
        basket = np.exp(self.basket_sigma * z_basket - 0.5 * self.basket_sigma**2)
        return {
            "persona": np.searchsorted(
                np.cumsum(self.persona_share)[:-1], uniform(keys, "persona")
            ).astype(np.int8),
            "device": device.astype(np.int8),
            "rate": np.interp(z_rate, self.z_grid, self.rate_q) * better[:, 0],
            "drop": np.clip(drop * better[:, 1], 0.005, 0.98),
            "basket": self.basket_mean * basket * better[:, 2] * np.where(is_business, 1.6, 1.0),
            "is_guest": (uniform(keys, "guest") < 0.12) & self.on.guests,
            "is_business": is_business,
            "is_contactable": uniform(keys, "consent") < 0.68,
            "persuadable": uniform(keys, "persuadable"),
        }

    # --- skus and suppliers ------------------------------------------------------------

    def _skus(self) -> None:
        k = key(self.seed, "sku", np.arange(self.preset.skus))
        self.sku_key = k
        self.category = np.searchsorted(np.cumsum(LAWS.category_shares), uniform(k, "category"))
        law = _CATEGORIES.iloc[self.category].reset_index(drop=True)
        price = 0.8 * law.price.to_numpy() * np.exp(0.45 * normal(k, "price"))
        self.list_price = (np.floor(price).clip(3) * 100 + 90).astype(int)
        share = np.clip(law.margin.to_numpy() + 0.07 * normal(k, "gm"), 0.30, 0.74)
        self.base_cost = np.maximum(np.round(self.list_price * (1 - share)), 50).astype(int)
        spread = 0.3 if self.on.elasticity else 0.0
        self.elasticity = np.clip(
            2.4 * np.exp(spread * normal(k, "elasticity") - spread**2 / 2), 1.15, 4.0
        )
        self.appeal = np.exp(1.25 * normal(k, "appeal"))
        self._life_cycles(k)
        returns = law.returns.to_numpy() * np.exp(0.5 * normal(k, "returns") - 0.125)
        self.return_share = np.clip(returns, 0.002, 0.4)
        # A few skus have a quality problem.
        self.return_share[uniform(k, "bad-batch") < 0.02] *= 3.0
        self.weight = np.round(law.weight.to_numpy() * np.exp(0.3 * normal(k, "weight")), 2)
        self._names(k)
        self._suppliers(k)
        self.instead = np.array([self._nearest(i) for i in range(len(k))])

    def _life_cycles(self, k: ndarray) -> None:
        """When each sku starts, whether it fades, and how fast."""
        starts, cycles = uniform(k, "launch"), self.on.life_cycles
        launched = (starts - 0.6) / 0.4 * (self.n_days - 20)
        is_old = (starts < 0.6) | (not cycles)
        self.launched = np.where(is_old, 0, launched).astype(int).clip(0)
        self.fades = (uniform(k, "fades") < 0.3) & cycles
        self.half_life = 150.0 + 350.0 * uniform(k, "half-life")

    def _names(self, k: ndarray) -> None:
        style, noun = below(k, "style", len(LAWS.styles)), below(k, "noun", 5)
        names = [CATEGORIES[c] for c in self.category]
        self.titles = [
            f"{LAWS.styles[style[i]]} {LAWS.nouns[name][noun[i]]} No. {i % 90 + 10}"
            for i, name in enumerate(names)
        ]
        self.sku_ids = np.array([f"{name[:3].upper()}-{i:04d}" for i, name in enumerate(names)])

    def _nearest(self, sku: int) -> ndarray:
        """What a buyer takes instead: the three nearest prices of the category."""
        others = np.arange(len(self.category)) != sku
        same = np.flatnonzero((self.category == self.category[sku]) & others)
        pool = same if same.size >= 3 else np.flatnonzero(others)
        gap = np.abs(self.list_price[pool] - self.list_price[sku])
        return pool[np.argsort(gap, kind="stable")[:3]]

    def _suppliers(self, k: ndarray) -> None:
        law, spread = DataFrame(LAWS.suppliers), self.on.lead_times
        self.supplier_ids = law.name.to_numpy()
        self.supplier = np.searchsorted(LAWS.supplier_shares, uniform(k, "supplier"))
        self.lead_mean, self.lead_stated = law.lead.to_numpy(), law.stated.to_numpy()
        self.lead_cv = law.lead_cv.to_numpy() if spread else np.full(4, 0.02)
        self.short_share = law.short.to_numpy() * spread
        self.defect_share = law.defects.to_numpy() * spread
        self.pack = np.array(LAWS.packs)[below(k, "pack", 5)]
        self.min_order = self.pack * (1 + below(k, "min-order", 3))

    def unit_cost(self, day: int) -> ndarray:
        """Cost per unit in cents on a day: suppliers raise prices by about 3 % each
        January.
        """
        years = int(str(self.day0 + day)[:4]) - self.start.year
        return np.round(self.base_cost * 1.03**years).astype(int)

    def life(self, day: float) -> ndarray:
        """Each sku's appeal on a day as a multiple of its full appeal; 0 before launch."""
        age = day - self.launched
        rise = np.where(self.launched > 0, np.clip(0.3 + age / 75.0, 0.0, 1.0), 1.0)
        fade = np.where(self.fades, 0.5 ** (np.maximum(age - 240.0, 0.0) / self.half_life), 1.0)
        return np.where(age >= 0, rise * fade, 0.0)

    def category_wave(self, day: float) -> ndarray:
        """Season of each category on a day, 1 on average."""
        if not self.on.season:
            return np.ones(len(CATEGORIES))
        year_day = float((self.day0 + int(day)).astype("datetime64[D]").astype(int) % 365.25)
        swing = _CATEGORIES.swing.to_numpy()
        angle = 2 * np.pi * (year_day - _CATEGORIES.peak.to_numpy()) / 365.25
        wave = np.exp(3.0 * (np.cos(angle) - 1.0))
        return (1 + swing * wave) / (1 + 0.235 * swing)

    def category_season(self, day: float) -> ndarray:
        """Season of each sku's category on a day."""
        return self.category_wave(day)[self.category]

    # --- calendar ------------------------------------------------------------

    def season(self, days: ndarray) -> ndarray:
        """Season of the whole shop, about 1 on an ordinary day."""
        if not self.on.season:
            return np.ones(len(days))
        year_day = (self.day0.astype(int) + np.asarray(days)) % 365.25

        def bump(centre: float, width: float) -> ndarray:
            gap = np.abs(year_day - centre)
            return np.exp(-0.5 * (np.minimum(gap, 365.25 - gap) / width) ** 2)

        return 0.93 + 0.80 * bump(335, 24) + 0.12 * bump(75, 25) - 0.17 * bump(208, 36)

    def weekday(self, days: ndarray) -> ndarray:
        """Monday to Sunday."""
        return np.array(LAWS.weekdays)[(self.day0.astype(int) + np.asarray(days) + 3) % 7]

    def promotions(self, before: int) -> list[Promotion]:
        """Promotions of the shop's own plan that start before a day: the sales of every
        year, and flash sales on days unrelated to demand.
        """
        if not self.on.promotions:
            return []
        years = range(self.start.year - 1, self.end.year + 8)
        plan = [*self._seasonal_sales(years), *self._flash_sales(years)]
        return sorted(
            (self._promotion(*sale) for sale in plan if 0 <= sale[2] < before),
            key=lambda promotion: (promotion.first, promotion.promo_id),
        )

    def _seasonal_sales(self, years: range) -> Iterator[tuple]:
        for year in years:
            for i, sale in enumerate(LAWS.sales):
                day = dt.date(year, sale["month"], sale["day"])
                first = (day - self.start).days
                yield f"{year}-{sale['name']}", "season", first, year * 20 + i, sale

    def _flash_sales(self, years: range) -> Iterator[tuple]:
        for year in years:
            for quarter in range(4):
                k = key(self.seed, "flash", year * 4 + quarter)
                start = (dt.date(year, 3 * quarter + 1, 1) - self.start).days
                depth = LAWS.flash_depths[int(uniform(k, "depth") * 3)]
                first = start + int(uniform(k, "day") * 80)
                sale = {"days": 3, "depth": depth, "share": 0.08, "lift": 0.05}
                number = year * 20 + 10 + quarter
                yield f"{year}-q{quarter + 1}-flash", "flash", first, number, sale

    def _promotion(
        self, promo_id: str, kind: str, first: int, number: int, sale: dict[str, Any]
    ) -> Promotion:
        """A sale with the skus that take part, drawn by its number."""
        lift, draw = sale["lift"], uniform(key(self.sku_key, "promo", number), "in")
        on_sale = (self.launched < first - 30) & (draw < sale["share"])
        cost = round(400_00 * lift * self.preset.customers / 5_000) if lift else 0
        last, skus = first + sale["days"] - 1, np.flatnonzero(on_sale)
        return Promotion(promo_id, kind, first, last, sale["depth"], skus, lift, cost)

    def planned_price(self, day: int) -> ndarray:
        """The shop's own price plan in cents: now and then a sku's price moves, for no
        reason of demand.
        """
        cents = self.list_price.copy()
        for quarter in range(day // 91 + 1):
            if quarter not in self._changes:
                self._changes[quarter] = self._price_changes(quarter)
            since, new = self._changes[quarter]
            cents = np.where(since <= day, new, cents)
        return cents

    def _price_changes(self, quarter: int) -> tuple[ndarray, ...]:
        """Each sku's day of change, far away where its price stays, and its new price."""
        k = key(self.sku_key, "price-change", quarter)
        day = quarter * 91 + below(k, "day", 80) + 7
        since = np.where(uniform(k, "moves") < 0.33, day, 1 << 40)
        new = np.round(self.list_price * np.exp(0.085 * normal(k, "size")) / 10) * 10
        return since, np.maximum(new, 100).astype(int)

    # --- channels ------------------------------------------------------------

    def _channels(self) -> None:
        """Response curves: per head of the region, arrivals and nudges follow
        Hill(adstock).
        """
        # People arriving with intent on an average day, and the part nothing sends.
        self.scale = per_day = self.preset.customers / self.n_days / 0.66
        self.organic = 0.50 * per_day
        total = 15.5 * per_day * 0.66  # EUR a day
        self.base_spend = channel_law("spend_share") * total
        self.arrivals_at_base = 0.43 * per_day * channel_law("arrivals_share")
        self.half, self.slope = channel_law("half") * self.base_spend, channel_law("slope")
        self.carry = channel_law("carry") if self.on.adstock else np.zeros(N_CAUSES)
        self.nudge_top = channel_law("nudge_top")
        self.nudge_total = float(self.nudge_top.sum())
        self.referral_chance = 0.045

    def response(self, c: ndarray | int, adstock: ndarray) -> ndarray:
        """Hill curve in (0, 1) of daily spend carried over, for the whole country
        (regions pass spend per head).
        """
        half, slope = self.half[c], self.slope[c]
        if not self.on.saturation:
            return adstock / (4.0 * np.maximum(half, 1e-9))
        x = np.power(np.maximum(adstock, 0.0), slope)
        return x / (x + np.power(half, slope) + 1e-300)

    def tops(self, c: int) -> float:
        """Arrivals per ordinary day at full saturation of channel c."""
        at_base = float(self.response(c, np.array(self.base_spend[c])))
        return self.arrivals_at_base[c] / at_base if at_base > 0 else 0.0

    # --- clock ------------------------------------------------------------

    def month_of(self, day: int) -> str:
        """The month of a day, YYYY-MM."""
        return str((self.day0 + day).astype("datetime64[M]"))

    def first_of_month(self, back: int) -> int:
        """Number of the first day of the month `back` months before the last one of the
        history.
        """
        return (add_months(self.last_month, -back) - self.start).days

    def utc_offset(self, day: int) -> int:
        """Minutes local time is ahead of UTC at noon of a day."""
        noon = dt.datetime.combine(
            self.start + dt.timedelta(days=int(day)), dt.time(12), ZoneInfo(ZONE)
        )
        return int(noon.utcoffset().total_seconds() // 60)


def drawn(**asked: Unpack[Asked]) -> World:
    """The world of a shop as it is asked for; see `plan` for what is refused."""
    preset, last_month, on = plan(**asked)
    return World(preset, last_month, asked.get("seed", SEED), on)
