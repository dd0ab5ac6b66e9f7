"""What decisions bring whose subject lies beside the simulated shop: words, partners, content,
benefits, payments, carriers and offers are laid over its orders by laws of their own, which
nothing in the shop depends on. Their truth needs no second future: it is their law, taken over
the three months that come when everything goes on as before.

What a law leaves out brings nothing here either: a benefit adds nothing, an order that came with
a code of a known customer would have come, a payment fails by its message and device alone.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy import ndarray

from playbook.demo import attempts, benefits, content, offers, parcels, partners, search_words
from playbook.demo.background import RATES
from playbook.demo.make import gather
from playbook.demo.money import month_margin, payment_methods
from playbook.demo.streams import key, uniform
from playbook.demo.world import DEVICES, PAID
from playbook.demo.writing import Clock

#: a quarter more of a format is made
MORE = 0.25


class Quarter:
    """The three months after a pack, played as before. `day`: the first of them."""

    def __init__(self, shop: Any, future: int, months: int) -> None:
        self.day = shop._sim.day
        self.until_before = self.day - 1
        self.before = shop._sim
        twin = shop.copy().reseed(future)
        for _ in range(months):
            twin.advance(None)
        self.sim, self.all_chunks = twin._sim, twin._chunks
        self.world = twin._sim.world
        self.chunks = twin._chunks[-months:]
        self.clock = Clock(self.world, self.sim.day - 1)
        self.orders = gather(self.chunks)
        self.margin = np.concatenate([month_margin(c) for c in self.chunks]) / 100
        self.is_new = self.sim.people.key[self.orders.o_who] == self.orders.o_key
        money = twin.profit(self.world.month_of(self.day))
        self.margin_share = float(money.margin.sum() / money.revenue.sum())
        self.margin_per_order = float(money.margin.sum() / money.orders.sum())


def gain(row: Any, pack: Any, quarters: Callable[[], list[Quarter]]) -> ndarray | None:
    """EUR of three months, in each of the futures; None where no law tells."""
    law = _LAWS.get(getattr(row, "kind", ""))
    return None if law is None else np.array([law(row, pack, ahead) for ahead in quarters()])


def _words(_: Any, pack: Any, ahead: Quarter) -> float:
    words = pack.table("03", "search_words")
    out = set(words[words.verdict == "exclude"].term)
    return _words_of(ahead, lambda law: law.term.isin(out))


def _words_of(ahead: Quarter, chosen: Callable[[Any], Any]) -> float:
    """What chosen words cost, less the margin of all orders claimed through them."""
    saved = 0.0
    for chunk in ahead.chunks:
        law, told, _keys = search_words._of_chunk(ahead.world, chunk)
        is_out = chosen(law).to_numpy()
        spent, value = (told[c].to_numpy()[is_out].sum() / 100 for c in ("cents", "expected_value"))
        saved += spent - value * ahead.margin_share
    return saved


def _partner(row: Any, _: Any, ahead: Quarter) -> float:
    """Commission on orders that came anyway: of known customers, or of a channel paid."""
    law, a = partners.partners(ahead.world.seed), ahead.orders
    keys = key(ahead.world.seed, "partner order", a.o_key)
    which = partners.claimed(law, keys, ahead.is_new)
    names = law.code.tolist()
    mine = which == names.index(row.subject.split()[-1])
    mine &= (a.o_fate != 1) & (uniform(keys, "rejected") >= partners.STATED.rejected)
    by = np.concatenate([chunk.o_channel for chunk in ahead.chunks])
    came_anyway = ~ahead.is_new | np.isin(by, list(PAID))
    share = law.commission.to_numpy()[names.index(row.subject.split()[-1])]
    return float(a.o_revenue[mine & came_anyway].sum() / 100 * share)


def _pieces(ahead: Quarter) -> tuple[Any, ndarray]:
    """What is published in the quarter, with cost in EUR; and the piece of each order."""
    seed, clock, a = ahead.world.seed, ahead.clock, ahead.orders
    plan = content.pieces(seed, ahead.world.n_days, clock.until)
    names = content.ids(plan.key.to_numpy(), 8, "P")
    items = content._content(ahead.world, plan, names, clock)
    plan = plan.assign(cost=[float(cost) for cost in items["cost"].to_pylist()])
    orders = {"key": a.o_key, "day": a.o_day, "minute": a.o_minute, "is_new": ahead.is_new}
    which = content.claimed(seed, plan, content.DataFrame(orders))
    return plan, np.where(a.o_fate != 1, which, -1)


def _format(row: Any, ahead: Quarter) -> tuple[float, float, float]:
    """Cost of a format's pieces of the quarter, margin of their orders, of new customers'."""
    plan, which = _pieces(ahead)
    law = content.formats(ahead.world.seed)
    of = law.name.tolist().index(row.subject.split(": ")[-1])
    mine = (~plan.is_live & (plan.of == of) & (plan.day >= ahead.day)).to_numpy()
    has = (which >= 0) & mine[which]
    new = ahead.margin[has & ahead.is_new].sum()
    return plan.cost[mine].sum(), ahead.margin[has].sum(), new


def _stop(row: Any, _: Any, ahead: Quarter) -> float:
    cost, margin, _new = _format(row, ahead)
    return cost - margin


def _more(row: Any, _: Any, ahead: Quarter) -> float:
    cost, _margin, new = _format(row, ahead)
    return MORE * (new - cost)


def _live(row: Any, _: Any, ahead: Quarter) -> float:
    """What an hour costs beyond the margin of all its orders: the new one is not counted."""
    plan, which = _pieces(ahead)
    hour = int(row.subject.split()[-1].split(":")[0])
    runs = (plan.minute // 60 <= hour) & (hour < (plan.minute + plan.minutes) // 60)
    mine = (plan.is_live & runs & (plan.day >= ahead.day)).to_numpy()
    cost = (plan.cost * 60 / plan.minutes.clip(lower=60))[mine].sum()
    has = (which >= 0) & mine[which] & (ahead.orders.o_minute // 60 == hour)
    return float(cost - ahead.margin[has].sum())


def _benefit(row: Any, _: Any, ahead: Quarter) -> float:
    """What it costs in the quarter: it adds nothing."""
    uses = benefits.benefit_tables(ahead.sim, gather(ahead.all_chunks), ahead.clock)["benefit_uses"]
    uses = uses.to_pandas()
    since = np.datetime64(ahead.world.day0) + ahead.day
    mine = (uses.benefit == row.subject) & (uses.used_on.astype("datetime64[s]") >= since)
    return float(uses.cost[mine].astype(float).sum())


def _payment(row: Any, _: Any, ahead: Quarter) -> float:
    """Purchases lost with a message on a device, beyond its usual share of both."""
    way, message = row.subject.split(": ")
    method, device = (part.strip() for part in way.split(","))
    law = attempts.attempt_law(ahead.world.seed)
    law["lost"] = law.failed * (1 - law.won_back)
    same = (law.method == method) & (law.message == message)
    here = law[same & (law.device == device)].lost.sum()
    usual = law[same & (law.device != device)].lost.mean()
    a, shares = ahead.orders, attempts.shares(ahead.world.seed)
    device_of = np.concatenate([chunk.o_device for chunk in ahead.chunks])
    paid = (payment_methods(a.o_key) < len(attempts.METHODS)) & (a.o_fate != 1)
    place = DEVICES.index(device), attempts.METHODS.index(method)
    n = (paid & (device_of == place[0])).sum() * shares.tried[place]
    return float(n * (here - usual) * ahead.margin_per_order)


def _nothing(_row: Any, _pack: Any, _ahead: Quarter) -> float:
    """Ways to pay differ by their messages only."""
    return 0.0


def _carrier(row: Any, pack: Any, ahead: Quarter) -> float:
    """A region's parcels of its usual carrier with the other one, damage as the pack counts it."""
    region, carrier = row.subject.split(": ")
    table = pack.table("07", "carrier_regions")
    of_damage = (table.per_parcel - table.cost) / table.damaged_share
    moves = pack.table("07", "carrier_moves")
    other = moves[(moves.region == region) & (moves.carrier == carrier)].other.iloc[0]
    law = parcels.carrier_law(ahead.world.seed)
    law = law[law.region == region].set_index("carrier")
    saved = 1 - law.price[other] / law.price[carrier]
    less = law.damaged[carrier] - law.damaged[other]
    n, cents = 0, 0.0
    for chunk in ahead.chunks:
        sent = parcels.parcel_table(ahead.world, chunk, ahead.clock).to_pandas()
        mine = (sent.region == region) & (sent.carrier == carrier)
        n, cents = n + int(mine.sum()), cents + float(sent.cost[mine].astype(float).sum())
    return cents * saved + n * less * float(of_damage.dropna().median() or 0.0)


def _offer(row: Any, pack: Any, ahead: Quarter) -> float:
    """The price saved on what is sold in the quarter, less what holding the larger order costs."""
    terms = pack.table("07", "terms")
    terms = terms[(terms.sku == row.subject) & (terms.order_units == row.size)]
    law = offers.offer_truth(ahead.before, ahead.until_before)
    law = law[(law.sku == row.subject) & (law.supplier_id == terms.supplier_id.iloc[0])]
    price = float(law[law.from_quantity <= row.size].unit_price.min())
    more = max(float(terms.order_units.iloc[0]) - float(terms.order_now.iloc[0]), 0.0) / 2
    return _saved(row.subject, price, more, ahead)


def _saved(name: str, price: float, more: float, ahead: Quarter) -> float:
    """On the units sold in the quarter, with so many units more on the shelf."""
    sku = int(np.flatnonzero(ahead.world.sku_ids == name)[0])
    now = float(ahead.world.unit_cost(ahead.until_before)[sku]) / 100
    sold = sum(int(c.l_quantity[c.l_sku == sku].sum()) for c in ahead.chunks)
    return sold * (now - price) - more * price * RATES["capital_share_per_year"] / 4


def best(ahead: Quarter, pack: Any) -> dict[str, float]:
    """Name -> EUR of three months of what somebody would decide who knows these laws: what was
    planted, and every benefit, as none adds anything.
    """
    seed = ahead.world.seed
    found = {"words": _words_of(ahead, lambda law: law.kind == "losing")}
    for code in partners.partners(seed).query("kind == 'grabs'").code:
        found[f"partner {code}"] = _partner(_named(code), pack, ahead)
    for name in content.formats(seed).query("law == 'loses'").name:
        found[f"content {name}"] = _stop(_named(name), pack, ahead)
    for hour in content.hours(seed).query("law == 'loses'").index:
        found[f"live {hour}"] = _live(_named(f"at {hour}:00"), pack, ahead)
    for law in benefits.STATED.benefits:
        found[f"benefit {law['benefit']}"] = _benefit(_named(law["benefit"]), pack, ahead)
    worst = attempts.attempt_law(seed).query("is_planted").iloc[0]
    subject = f"{worst.method}, {worst.device}: {worst.message}"
    found[f"payment {subject}"] = _payment(_named(subject), pack, ahead)
    moves = pack.table("07", "carrier_moves")
    if len(moves):
        worst = parcels.carrier_law(seed).query("is_worst").iloc[0]
        subject = f"{worst.region}: {worst.carrier}"
        others = moves[(moves.region == worst.region) & (moves.carrier == worst.carrier)]
        if len(others):
            found[f"carrier {subject}"] = _carrier(_named(subject), pack, ahead)
    law = offers.offer_truth(ahead.before, ahead.until_before)
    for row in law[law.kind.isin(["planted", "other planted"])].itertuples():
        saved = _saved(row.sku, row.unit_price, row.from_quantity / 2, ahead)
        name = f"offer {row.sku}"
        found[name] = max(saved, found.get(name, saved))
    return found


def _named(subject: str) -> SimpleNamespace:
    return SimpleNamespace(subject=subject)


_LAWS: dict[str, Callable[[Any, Any, Quarter], float]] = {
    "channel_roi.words_exclude": _words,
    "channel_roi.partner_lower": _partner,
    "channel_roi.content_stop": _stop,
    "channel_roi.content_more": _more,
    "channel_roi.live_move": _live,
    "channel_roi.live_drop": _live,
    "segmentation.benefit_cut": _benefit,
    "customer_journey.payment_message": _payment,
    "customer_journey.payment_fails": _nothing,
    "inventory_planning.carrier_change": _carrier,
    "inventory_planning.price_break": _offer,
    "inventory_planning.other_source": _offer,
}
