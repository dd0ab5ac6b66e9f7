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
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from playbook.demo.presets import Preset, add_months, incident_days
from playbook.demo.streams import key, normal, uniform

__all__ = ["CATEGORIES", "CHANNELS", "COUNTRIES", "DEVICES", "PAID", "REGIONS", "ZONE", "World"]

ZONE = "Europe/Berlin"
CHANNELS = ("direct", "search", "social", "display", "live", "content", "email", "referral")
CHANNEL_KIND = ("direct", "search", "social", "paid", "live", "content", "email", "referral")
PAID = (1, 2, 3, 4, 5)  # budgets a decision can set: search, social, display, live, content
DEVICES = ("mobile", "desktop", "tablet")
CAMPAIGNS = {
    1: ("brand", "generic"),
    2: ("prospecting", "lookalike"),
    3: ("retargeting", "prospecting"),
    4: ("直播间",),
    5: ("guides",),
}
CAMPAIGN_SHARE = {1: (0.35, 0.65), 2: (0.7, 0.3), 3: (0.75, 0.25), 4: (1.0,), 5: (1.0,)}

# region, country, share of people
_REGIONS = (
    ("Bayern", "DE", 0.14),
    ("Nordrhein-Westfalen", "DE", 0.17),
    ("Berlin", "DE", 0.09),
    ("Hamburg", "DE", 0.06),
    ("Noord-Holland", "NL", 0.10),
    ("Zuid-Holland", "NL", 0.08),
    ("Île-de-France", "FR", 0.11),
    ("Wien", "AT", 0.06),
    ("Vlaanderen", "BE", 0.06),
    ("上海", "CN", 0.06),
    ("广东", "CN", 0.04),
    ("香港", "HK", 0.03),
)
REGIONS = tuple(r[0] for r in _REGIONS)
COUNTRIES = tuple(r[1] for r in _REGIONS)
REGION_SHARE = np.array([r[2] for r in _REGIONS])
TRANSIT = np.array(
    [{"DE": 2, "NL": 3, "FR": 3, "AT": 3, "BE": 3, "CN": 8, "HK": 7}[c] for c in COUNTRIES]
)
FREIGHT = np.array(
    [
        {"DE": 370, "NL": 450, "FR": 480, "AT": 450, "BE": 460, "CN": 790, "HK": 760}[c]
        for c in COUNTRIES
    ]
)
IS_TAXED = np.array([c not in ("CN", "HK") for c in COUNTRIES])

# category, Chinese word, typical price, gross margin share, return share, weight kg, season's peak (day of year), size
CATEGORIES = (
    ("tea", "茶叶", 14, 0.60, 0.02, 0.3, 340, 0.25),
    ("teaware", "茶具", 32, 0.56, 0.06, 0.9, 335, 0.45),
    ("ceramics", "陶瓷", 26, 0.54, 0.08, 1.1, 330, 0.35),
    ("kitchen", "厨具", 29, 0.50, 0.06, 1.0, 325, 0.20),
    ("textiles", "家纺", 34, 0.55, 0.14, 0.7, 20, 0.25),
    ("candles", "香薰", 18, 0.62, 0.03, 0.5, 345, 0.60),
    ("garden", "园艺", 22, 0.48, 0.05, 1.4, 135, 0.90),
    ("gifts", "礼盒", 42, 0.57, 0.07, 1.2, 350, 1.10),
)
_STYLES = (
    "Moss",
    "Harbour",
    "Linden",
    "Ember",
    "Plain",
    "Nordic",
    "Willow",
    "青竹",
    "白露",
    "Copper",
    "Stone",
    "墨韵",
)
_NOUNS = {
    "tea": ("green tea 绿茶", "black tea", "oolong 乌龙", "herbal blend", "rooibos"),
    "teaware": ("teapot", "gaiwan 盖碗", "tea tray", "strainer", "cup set"),
    "ceramics": ("bowl", "plate", "vase", "jug", "mug"),
    "kitchen": ("board", "pan", "knife", "scale", "jar set"),
    "textiles": ("apron", "tablecloth", "towel set", "cushion", "throw"),
    "candles": ("candle", "incense 线香", "diffuser", "wax melts", "lantern"),
    "garden": ("planter", "seed box", "watering can", "trowel", "herb kit"),
    "gifts": ("gift box 礼盒", "hamper", "sampler", "advent box", "voucher-free set"),
}

# what a person of each cause is worth beside `direct`: purchase rate, drop-out, basket
_QUALITY = {
    0: (1.0, 1.0, 1.0),
    1: (1.05, 1.0, 1.0),
    2: (0.8, 1.1, 0.9),
    3: (0.65, 1.25, 0.9),
    4: (0.95, 1.1, 1.1),
    5: (1.3, 0.85, 1.05),
    6: (1.0, 1.0, 1.0),
    7: (1.35, 0.8, 1.05),
}
N_CAUSES = len(CHANNELS)  # cause 0 is what happens without any advertising

# promotions of every year: name, month, day, days, depth, share of skus, extra visits
_SALES = (
    ("spring", 3, 20, 7, 0.15, 0.15, 0.12),
    ("618", 6, 16, 4, 0.20, 0.25, 0.28),
    ("summer", 7, 25, 9, 0.20, 0.30, 0.14),
    ("autumn", 9, 10, 5, 0.10, 0.15, 0.08),
    ("singles-day", 11, 9, 3, 0.25, 0.30, 0.45),
    ("black-friday", 11, 24, 5, 0.30, 0.40, 0.60),
    ("christmas", 12, 10, 7, 0.10, 0.20, 0.20),
    ("clearance", 1, 5, 10, 0.25, 0.15, 0.10),
)
PULL_FORWARD = 0.4  # share of a promotion's extra visits that is missing in the fortnight after it
DIP_DAYS = 14
PRICE_CAP = 4.0  # a price can at most quadruple a sku's demand
SIZE_POWER = 0.75  # how far more attraction in the range means more lines rather than other lines
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
    skus: np.ndarray
    lift: float
    cost: int


class World:
    """Everything drawn once for a seed: people's laws, skus, suppliers, channels,
    calendar and incidents.
    """

    def __init__(self, preset: Preset, last_month: dt.date, seed: int, on: dict[str, bool]) -> None:
        self.preset, self.seed, self.on = preset, seed, on
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
        self._changes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._people()
        self._skus()
        self._channels()
        self._flash_days()
        self.best_seller = int(
            np.argmax(self.appeal * self.list_price * (self.launched == 0) * ~self.fades)
        )

    # --- people ---------------------------------------------------------------------------------------------------

    def _people(self) -> None:
        """Quantile functions of the laws a person is drawn from."""
        from scipy.special import betaincinv, gammaincinv, ndtr

        self.z_grid = np.linspace(-4.5, 4.5, 1801)
        u = ndtr(self.z_grid)
        self.rate_shape, self.rate_mean = 0.9, 4.0 / 365.0  # purchases attempted per ordinary day
        self.drop_a, self.drop_b = 0.9, 2.1  # chance to drop out after a purchase attempt
        self.basket_mean, self.basket_sigma, self.basket_corr = 1.95, 0.45, 0.15
        if self.on["heterogeneity"]:
            self.rate_q = gammaincinv(self.rate_shape, u) / self.rate_shape * self.rate_mean
            self.drop_q = betaincinv(self.drop_a, self.drop_b, u)
        else:
            self.rate_q = np.full_like(u, self.rate_mean)
            self.drop_q = np.full_like(u, self.drop_a / (self.drop_a + self.drop_b))
            self.basket_sigma = 0.0
        quality = (
            _QUALITY if self.on["channel_quality"] else dict.fromkeys(_QUALITY, (1.0, 1.0, 1.0))
        )
        self.quality = np.array([quality[c] for c in range(N_CAUSES)])
        self.persona_share = np.array([0.24, 0.2, 0.18, 0.16, 0.12, 0.1])
        k = key(
            self.seed, "persona", np.arange(6)[:, None] * 100 + np.arange(len(CATEGORIES))[None, :]
        )
        self.taste = np.exp(0.9 * normal(k.ravel(), "taste").reshape(k.shape))

    def person(self, keys: np.ndarray, cause: np.ndarray) -> dict[str, np.ndarray]:
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
        device = np.searchsorted(np.array([0.6, 0.93]), uniform(keys, "device"))
        basket = np.exp(self.basket_sigma * z_basket - 0.5 * self.basket_sigma**2)
        return {
            "persona": np.searchsorted(
                np.cumsum(self.persona_share)[:-1], uniform(keys, "persona")
            ).astype(np.int8),
            "device": device.astype(np.int8),
            "rate": np.interp(z_rate, self.z_grid, self.rate_q) * better[:, 0],
            "drop": np.clip(drop * better[:, 1], 0.005, 0.98),
            "basket": self.basket_mean * basket * better[:, 2] * np.where(is_business, 1.6, 1.0),
            "is_guest": (uniform(keys, "guest") < 0.12) & self.on["guests"],
            "is_business": is_business,
            "is_contactable": uniform(keys, "consent") < 0.68,
            "persuadable": uniform(keys, "persuadable"),
        }

    # --- skus and suppliers ----------------------------------------------------------------------------------------

    def _skus(self) -> None:
        n = self.preset.skus
        k = key(self.seed, "sku", np.arange(n))
        self.sku_key = k
        self.category = np.searchsorted(
            np.cumsum([0.2, 0.15, 0.14, 0.12, 0.12, 0.12, 0.07])[:7], uniform(k, "category")
        )
        typical = np.array([c[2] for c in CATEGORIES])[self.category]
        price = 0.8 * typical * np.exp(0.45 * normal(k, "price"))
        self.list_price = (np.floor(price).clip(3) * 100 + 90).astype(np.int64)
        share = np.clip(
            np.array([c[3] for c in CATEGORIES])[self.category] + 0.07 * normal(k, "gm"), 0.30, 0.74
        )
        self.base_cost = np.maximum(np.round(self.list_price * (1 - share)), 50).astype(np.int64)
        spread = 0.3 if self.on["elasticity"] else 0.0
        self.elasticity = np.clip(
            2.4 * np.exp(spread * normal(k, "elasticity") - spread**2 / 2), 1.15, 4.0
        )
        self.appeal = np.exp(1.25 * normal(k, "appeal"))
        cycles = self.on["life_cycles"]
        starts = uniform(k, "launch")
        self.launched = (
            np.where((starts < 0.6) | (not cycles), 0, ((starts - 0.6) / 0.4 * (self.n_days - 20)))
            .astype(np.int64)
            .clip(0)
        )
        self.fades = (uniform(k, "fades") < 0.3) & cycles
        self.half_life = 150.0 + 350.0 * uniform(k, "half-life")
        self.return_share = np.clip(
            np.array([c[4] for c in CATEGORIES])[self.category]
            * np.exp(0.5 * normal(k, "returns") - 0.125),
            0.002,
            0.4,
        )
        self.return_share[uniform(k, "bad-batch") < 0.02] *= (
            3.0  # a few skus with a quality problem
        )
        self.weight = np.round(
            np.array([c[5] for c in CATEGORIES])[self.category] * np.exp(0.3 * normal(k, "weight")),
            2,
        )
        names = []
        style = (uniform(k, "style") * len(_STYLES)).astype(int)
        noun = (uniform(k, "noun") * 5).astype(int)
        for i in range(n):
            category = CATEGORIES[self.category[i]][0]
            names.append(f"{_STYLES[style[i]]} {_NOUNS[category][noun[i]]} No. {i % 90 + 10}")
        self.titles = names
        self.sku_ids = np.array(
            [f"{CATEGORIES[c][0][:3].upper()}-{i:04d}" for i, c in enumerate(self.category)]
        )
        self._suppliers(k)
        near = np.empty(
            (n, 3), dtype=np.int64
        )  # what a buyer takes instead: the nearest prices of the category
        for i in range(n):
            same = np.flatnonzero((self.category == self.category[i]) & (np.arange(n) != i))
            pool = same if same.size >= 3 else np.flatnonzero(np.arange(n) != i)
            near[i] = pool[
                np.argsort(np.abs(self.list_price[pool] - self.list_price[i]), kind="stable")[:3]
            ]
        self.instead = near

    def _suppliers(self, k: np.ndarray) -> None:
        self.supplier_ids = np.array(["supplier-a", "supplier-b", "supplier-c", "供应商丁"])
        self.supplier = np.searchsorted([0.3, 0.55, 0.8], uniform(k, "supplier"))
        self.lead_mean = np.array([8.0, 15.0, 28.0, 42.0])
        self.lead_cv = (
            np.array([0.15, 0.3, 0.25, 0.4]) if self.on["lead_times"] else np.full(4, 0.02)
        )
        self.lead_stated = np.array([7, 14, 24, 35])
        self.short_share = np.array([0.02, 0.06, 0.04, 0.12]) * self.on["lead_times"]
        self.defect_share = np.array([0.004, 0.008, 0.015, 0.03]) * self.on["lead_times"]
        self.pack = np.array([1, 6, 10, 12, 20])[(uniform(k, "pack") * 5).astype(int)]
        self.min_order = self.pack * (1 + (uniform(k, "min-order") * 3).astype(int))

    def unit_cost(self, day: int) -> np.ndarray:
        """Cost per unit in cents on a day: suppliers raise prices by about 3 % each
        January.
        """
        years = int(str(self.day0 + day)[:4]) - self.start.year
        return np.round(self.base_cost * 1.03**years).astype(np.int64)

    def life(self, day: float) -> np.ndarray:
        """Each sku's appeal on a day as a multiple of its full appeal; 0 before launch."""
        age = day - self.launched
        rise = np.where(self.launched > 0, np.clip(0.3 + age / 75.0, 0.0, 1.0), 1.0)
        fade = np.where(self.fades, 0.5 ** (np.maximum(age - 240.0, 0.0) / self.half_life), 1.0)
        return np.where(age >= 0, rise * fade, 0.0)

    def category_wave(self, day: float) -> np.ndarray:
        """Season of each category on a day, 1 on average."""
        if not self.on["season"]:
            return np.ones(len(CATEGORIES))
        year_day = float((self.day0 + int(day)).astype("datetime64[D]").astype(int) % 365.25)
        peak, size = np.array([c[6] for c in CATEGORIES]), np.array([c[7] for c in CATEGORIES])
        wave = np.exp(3.0 * (np.cos(2 * np.pi * (year_day - peak) / 365.25) - 1.0))
        return (1 + size * wave) / (1 + 0.235 * size)

    def category_season(self, day: float) -> np.ndarray:
        """Season of each sku's category on a day."""
        return self.category_wave(day)[self.category]

    # --- calendar ---------------------------------------------------------------------------------------------------

    def season(self, days: np.ndarray) -> np.ndarray:
        """Season of the whole shop, about 1 on an ordinary day."""
        if not self.on["season"]:
            return np.ones(len(days))
        year_day = (self.day0.astype(int) + np.asarray(days)) % 365.25

        def bump(centre: float, width: float) -> np.ndarray:
            gap = np.abs(year_day - centre)
            return np.exp(-0.5 * (np.minimum(gap, 365.25 - gap) / width) ** 2)

        return 0.93 + 0.80 * bump(335, 24) + 0.12 * bump(75, 25) - 0.17 * bump(208, 36)

    def weekday(self, days: np.ndarray) -> np.ndarray:
        """Monday to Sunday."""
        return np.array([1.07, 1.04, 1.02, 1.0, 0.92, 0.85, 1.1])[
            (self.day0.astype(int) + np.asarray(days) + 3) % 7
        ]

    def _flash_days(self) -> None:
        """Promotions of the plan: the sales of every year, and flash sales on days
        unrelated to demand.
        """
        self.horizon_years = range(self.start.year - 1, self.end.year + 8)

    def promotions(self, before: int) -> list[Promotion]:
        """Promotions of the shop's own plan that start before a day."""
        if not self.on["promotions"]:
            return []
        plan = []
        for year in self.horizon_years:
            for i, (name, month, day, length, depth, share, lift) in enumerate(_SALES):
                first = (dt.date(year, month, day) - self.start).days
                if 0 <= first < before:
                    plan.append(
                        self._promotion(
                            f"{year}-{name}",
                            "season",
                            first,
                            length,
                            depth,
                            share,
                            lift,
                            year * 20 + i,
                        )
                    )
            for quarter in range(4):
                k = key(self.seed, "flash", year * 4 + quarter)
                first = (dt.date(year, 3 * quarter + 1, 1) - self.start).days + int(
                    uniform(k, "day") * 80
                )
                if 0 <= first < before:
                    depth = (0.12, 0.18, 0.25)[int(uniform(k, "depth") * 3)]
                    plan.append(
                        self._promotion(
                            f"{year}-q{quarter + 1}-flash",
                            "flash",
                            first,
                            3,
                            depth,
                            0.08,
                            0.05,
                            year * 20 + 10 + quarter,
                        )
                    )
        return sorted(plan, key=lambda p: (p.first, p.promo_id))

    def _promotion(
        self,
        promo_id: str,
        kind: str,
        first: int,
        length: int,
        depth: float,
        share: float,
        lift: float,
        number: int,
    ) -> Promotion:
        on_sale = (self.launched < first - 30) & (
            uniform(key(self.sku_key, "promo", number), "in") < share
        )
        cost = round(400_00 * lift * self.preset.customers / 5_000) if lift else 0
        return Promotion(
            promo_id, kind, first, first + length - 1, depth, np.flatnonzero(on_sale), lift, cost
        )

    def planned_price(self, day: int) -> np.ndarray:
        """The shop's own price plan in cents: now and then a sku's price moves, for no
        reason of demand.
        """
        cents = self.list_price.copy()
        for quarter in range(day // 91 + 1):
            if quarter not in self._changes:
                k = key(self.sku_key, "price-change", quarter)
                moves = uniform(k, "moves") < 0.33
                since = np.where(
                    moves,
                    quarter * 91 + (uniform(k, "day") * 80).astype(np.int64) + 7,
                    np.int64(1) << 40,
                )
                new = np.maximum(
                    np.round(self.list_price * np.exp(0.085 * normal(k, "size")) / 10) * 10, 100
                ).astype(np.int64)
                self._changes[quarter] = since, new
            since, new = self._changes[quarter]
            cents = np.where(since <= day, new, cents)
        return cents

    # --- channels ---------------------------------------------------------------------------------------------------

    def _channels(self) -> None:
        """Response curves: per head of the region, arrivals and nudges follow
        Hill(adstock).
        """
        per_day = (
            self.preset.customers / self.n_days / 0.66
        )  # people arriving with intent, on an average day
        self.scale = per_day
        self.organic = 0.50 * per_day
        # spend share at the start, share of paid arrivals there, half-saturation in starting spends, carry-over, slope
        law = {
            1: (0.34, 0.30, 0.55, 0.30, 1.2),
            2: (0.24, 0.33, 2.20, 0.72, 1.25),
            3: (0.20, 0.09, 0.60, 0.50, 1.1),
            4: (0.12, 0.16, 1.80, 0.45, 1.2),
            5: (0.10, 0.12, 1.30, 0.88, 1.1),
        }
        self.base_spend = np.zeros(N_CAUSES)
        self.arrivals_at_base, self.half, self.carry, self.slope = (
            np.zeros(N_CAUSES) for _ in range(4)
        )
        total = 15.5 * per_day * 0.66  # EUR a day
        for c, (share, arrivals, half, carry, slope) in law.items():
            self.base_spend[c] = share * total
            self.arrivals_at_base[c] = 0.43 * per_day * arrivals
            self.half[c], self.slope[c] = half * self.base_spend[c], slope
            self.carry[c] = carry if self.on["adstock"] else 0.0
        # nudges to people who already buy: highest rate beside their own purchase rate
        self.nudge_top = np.array([0.0, 0.05, 0.08, 0.07, 0.07, 0.03, 0.09, 0.0])
        self.nudge_total = float(self.nudge_top.sum())
        self.referral_chance = 0.045

    def response(self, c: np.ndarray | int, adstock: np.ndarray) -> np.ndarray:
        """Hill curve in (0, 1) of daily spend carried over, for the whole country
        (regions pass spend per head).
        """
        half, slope = self.half[c], self.slope[c]
        if not self.on["saturation"]:
            return adstock / (4.0 * np.maximum(half, 1e-9))
        x = np.power(np.maximum(adstock, 0.0), slope)
        return x / (x + np.power(half, slope) + 1e-300)

    def tops(self, c: int) -> float:
        """Arrivals per ordinary day at full saturation of channel c."""
        at_base = float(self.response(c, np.array(self.base_spend[c])))
        return self.arrivals_at_base[c] / at_base if at_base > 0 else 0.0

    # --- clock ------------------------------------------------------------------------------------------------------

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
