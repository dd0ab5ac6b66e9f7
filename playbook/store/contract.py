"""The data contract as data: every table's grain, key, columns, types, loss budget and
how time cuts it.

The words: a *grain* says what one row is; a *key* names the columns that make a row
unique; a *loss budget* is the share of source rows an import may fail to read.
`data/CONTRACT.md` is written from this module.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "TABLES",
    "Column",
    "Table",
    "arrow_schema",
    "ibis_type",
    "contract_markdown",
    "MONEY_SCALE",
]

MONEY_SCALE = (
    6  # CDNOW holds unit prices with more than two decimals; sums stay exact in DECIMAL(18, 6)
)

# planned dates lie in the future by nature: as-of does not hide them
PLANNED = {"promised_at", "promised_on", "expires_on", "until_on", "ends_on", "due_on"}


@dataclass(frozen=True)
class Column:
    """One column: type is text, int, dec (money), num (plain number), ts (UTC), date,
    month or bool.
    """

    name: str
    type: str
    required: bool = False
    meaning: str = ""
    allowed: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None


@dataclass(frozen=True)
class Table:
    """One table: `cut` names the column whose day decides whether a row had happened by
    as-of (empty: never cut).
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    cut: str = ""
    loss_budget: float = 0.001
    notebooks: str = ""

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if the table has none."""
        return next(c for c in self.columns if c.name == name)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that must be there when the table is."""
        return tuple(c.name for c in self.columns if c.required)


def _column(line: str) -> Column:
    """`name! type [limits] | meaning`; limits are >=0, >0, <=1, {a b c}."""
    head, _, meaning = line.partition("|")
    words = head.split(maxsplit=2)
    name, kind, limits = words[0], words[1], words[2] if len(words) > 2 else ""
    allowed: tuple[str, ...] = ()
    least = most = above = None
    if "{" in limits:
        allowed = tuple(limits[limits.index("{") + 1 : limits.index("}")].split())
        limits = ""
    for word in limits.split():
        if word.startswith(">="):
            least = float(word[2:])
        elif word.startswith("<="):
            most = float(word[2:])
        elif word.startswith(">"):
            above = float(word[1:])
    return Column(
        name.rstrip("!"), kind, name.endswith("!"), meaning.strip(), allowed, least, most, above
    )


def _table(
    name: str, grain: str, key: str, notebooks: str, cut: str, columns: str, loss: float = 0.001
) -> Table:
    lines = [line.strip() for line in columns.strip().splitlines() if line.strip()]
    return Table(name, grain, tuple(key.split()), tuple(map(_column, lines)), cut, loss, notebooks)


_ALL = (
    _table(
        "orders",
        "One row per order placed, paid or not",
        "order_id",
        "all",
        "ordered_on",
        """
        order_id! text | the shop's order number
        ordered_at! ts | when the order was placed, UTC
        ordered_on! date | the shop-local day of ordered_at
        status! text {placed paid shipped done cancelled refunded} | where the order stood when exported
        customer_id text | hashed person; missing for guests
        paid_at ts | when payment was complete
        cancelled_at ts | when the order was cancelled
        channel text | where the order came from, named by the rules of `channels`
        source text | raw traffic source
        medium text | raw traffic medium
        campaign text | raw campaign
        device text | desktop, mobile, app ...
        platform text | which shop front
        region text | nothing finer than region is kept
        country text | country of delivery
        currency text | currency the order was paid in
        gross! dec >=0 | price x quantity, before discount, shipping and tax
        discount dec >=0 | all discounts of the order
        shipping dec >=0 | charged to the buyer
        tax dec >=0 | tax on goods and shipping
        total! dec >=0 | paid or payable by the buyer, tax and shipping included
        coupon text | coupon code
        n_payments int >=0 | number of payments
        payment_fee dec | paid to the payment provider
        shipped_at ts | handed to the carrier
        promised_at ts | promised delivery
        delivered_at ts | delivered
        shipping_cost dec >=0 | paid by the shop to the carrier
        carrier text | carrier
        is_test bool | a test order of the shop's own staff
        """,
        0.0,
    ),
    _table(
        "order_lines",
        "One row per product line of an order",
        "order_id line_no",
        "all",
        "",
        """
        order_id! text | the order
        line_no! int >=1 | line within the order
        sku text | stock-keeping unit; `title:<title>` where a source has none
        quantity! int >0 | units
        price! dec >=0 | per unit, before discount
        discount dec >=0 | whole line, its share of order discounts included
        tax dec >=0 | tax on the line
        list_price dec >=0 | list price per unit
        unit_cost dec >=0 | cost per unit at time of sale; missing when not known
        seller_id text | seller, on marketplaces
        title text | product title as sold
        promo_id text | promotion the line was sold under
        is_product bool | false for postage, fees, samples, vouchers, manual lines
        """,
        0.0,
    ),
    _table(
        "refunds",
        "One row per refund or return booked, on the day it was booked",
        "refund_id",
        "00 02-05 08 10 11",
        "refunded_on",
        """
        refund_id! text | the refund
        order_id text | missing when the source gives no link
        line_no int >=1 | line of the order
        refunded_at ts | when booked, UTC
        refunded_on date | shop-local day; missing when the export gives no date
        amount! dec >0 | tax-exclusive
        customer_id text | who got it, where order_id is missing
        sku text | what came back, where line_no is missing
        quantity int >=0 | units returned
        kind text {refund return cancellation chargeback} | why money went back
        reason text | reason given
        """,
        0.0,
    ),
    _table(
        "customers",
        "One row per person (hashed)",
        "customer_id",
        "01 04-06",
        "first_seen_on",
        """
        customer_id! text | hashed person
        first_seen_on date | first contact
        region text | region
        country text | country
        is_contactable bool | consent to marketing
        acquired_channel text | channel of the first order or sign-up
        is_business bool | a business buyer
        """,
    ),
    _table(
        "products",
        "One row per sku",
        "sku",
        "01 07 09 10",
        "launched_on",
        """
        sku! text | stock-keeping unit
        product_id text | parent product
        title text | title
        category text | category
        brand text | brand
        supplier_id text | supplier
        list_price dec >=0 | list price
        unit_cost dec >=0 | present cost per unit
        launched_on date | first day on sale
        lead_time_days num >=0 | stated lead time
        min_order_units int >=0 | minimum order quantity
        pack_units int >=1 | order multiple
        weight_kg num >=0 | weight
        is_active bool | on sale
        """,
    ),
    _table(
        "stock",
        "One row per day (or week), sku and location",
        "day_on sku location",
        "07 09 10",
        "day_on",
        """
        day_on! date | closing position of this day
        sku! text | stock-keeping unit
        location text | `main` when there is one
        on_hand! int | units on hand
        available int | free to sell
        committed int | promised to orders
        incoming int | on order
        unsellable int | damaged or blocked
        unit_cost dec >=0 | value per unit
        """,
    ),
    _table(
        "purchase_orders",
        "One row per purchase-order line",
        "po_id sku",
        "07",
        "ordered_on",
        """
        po_id! text | purchase order
        sku! text | stock-keeping unit
        supplier_id text | supplier
        ordered_on! date | sent to the supplier
        promised_on date | promised by the supplier
        received_on date | received; missing while open
        n_ordered! int >0 | units ordered
        n_received int >=0 | units received
        n_defective int >=0 | units not accepted
        unit_cost dec >=0 | price per unit
        """,
    ),
    _table(
        "ad_spend",
        "One row per day, channel, campaign and region",
        "day_on channel campaign region",
        "03 05",
        "day_on",
        """
        day_on! date | day of the platform's account
        channel! text | channel
        campaign text | campaign
        region text | `all` when not split
        spend! dec | cost; credits are negative
        impressions int >=0 | impressions
        clicks int >=0 | clicks
        platform_orders num >=0 | orders the platform claims (fractions are legitimate)
        platform_value dec >=0 | value the platform claims
        currency text | currency of the account
        """,
    ),
    _table(
        "traffic",
        "One row per day, channel, device and region",
        "day_on channel device region",
        "02 03 08 10 11",
        "day_on",
        """
        day_on! date | day
        channel text | channel
        device text | device
        region text | `all` when not split
        sessions! int >=0 | visits
        visitors int >=0 | distinct within the day: does not add up across days
        product_views int >=0 | sessions with a product view
        add_to_carts int >=0 | sessions with an add to cart
        checkouts int >=0 | sessions that began a checkout
        buyers int >=0 | sessions with a purchase
        """,
    ),
    _table(
        "geo_tests",
        "One row per test and region",
        "test_id region",
        "03",
        "starts_on",
        """
        test_id! text | test
        region! text | region
        arm! text | treated or control
        starts_on! date | first day of the change
        ends_on! date | last day of the change
        channel text | channel whose spend was changed
        """,
    ),
    _table(
        "treatments",
        "One row per campaign to customers and customer",
        "treatment_id customer_id",
        "06",
        "assigned_at",
        """
        treatment_id! text | campaign
        customer_id! text | customer
        arm! text | treated or holdout
        assigned_at! ts | when assigned
        planned_share num >=0 <=1 | share planned for this arm
        cost dec >=0 | cost of treating this customer
        """,
    ),
    _table(
        "tiers",
        "One row per tier and start date",
        "tier from_on",
        "06",
        "from_on",
        """
        tier! text | tier
        from_on! date | valid from
        threshold! dec >=0 | spend in twelve months that earns the tier
        benefit_cost dec >=0 | cost of its benefits per member and year
        point_value dec >=0 | money value of one point
        breakage_share num >=0 <=1 | share of points never spent
        """,
    ),
    _table(
        "business_models",
        "One row per model and assumption",
        "model kind",
        "02",
        "",
        """
        model! text | own_stock, marketplace, social, content
        kind! text | assumption
        value! num | its value
        unit text | its unit
        """,
    ),
    _table(
        "events",
        "One row per page or app event",
        "event_id",
        "08 09",
        "occurred_at",
        """
        event_id! text | event
        occurred_at! ts | when, UTC
        visitor_id! text | browser or device
        session_id text | visit
        customer_id text | where signed in
        name! text | session_start, view_item, add_to_cart, begin_checkout, purchase or free
        sku text | product seen
        order_id text | order made
        amount dec | value
        source text | source
        medium text | medium
        """,
    ),
    _table(
        "channels",
        "One row per rule that names a channel (pattern on source, medium, campaign, coupon)",
        "rule_no",
        "03 05 08",
        "",
        """
        rule_no! int >=1 | order in which rules are tried
        pattern! text | text looked for in source / medium / campaign / coupon
        channel! text | the channel's name
        kind text {paid content live social search app_store partner referral email direct} | what sort of channel
        is_paid bool | does the shop pay for its traffic
        """,
    ),
    _table(
        "competitors",
        "One row per month, category and competing seller",
        "month category seller",
        "01 02",
        "month",
        """
        month! month | month
        category! text | category
        seller! text | competing seller
        sales_low dec >=0 | estimated sales, low
        sales_high dec >=0 | estimated sales, high
        price dec >=0 | typical price
        n_reviews int >=0 | reviews shown
        source text | where the estimate comes from
        """,
    ),
    _table(
        "control_totals",
        "One row per month and metric of the shop's own dashboard",
        "month metric",
        "00 11",
        "month",
        """
        month! month | month
        metric! text | metric as the dashboard calls it
        value! num | figure shown
        source text | which dashboard
        """,
    ),
    _table(
        "touchpoints",
        "One row per marketing touch of a journey",
        "journey_id touch_no",
        "03",
        "touched_at",
        """
        journey_id! text | journey
        touch_no! int >=1 | order of the touch
        channel! text | channel
        touched_at ts | when
        is_conversion bool | journey ended in an order at this touch
        amount dec >=0 | value of the conversion
        n_journeys int >=0 | journeys this row stands for (1 unless aggregated)
        """,
    ),
    _table(
        "reviews",
        "One row per product or order review",
        "review_id",
        "01 08",
        "created_at",
        """
        review_id! text | review
        created_at! ts | when
        stars! num >=1 <=5 | stars
        order_id text | order
        sku text | product
        text text | text, contact patterns masked
        answered_at ts | when the shop answered
        """,
    ),
    _table(
        "tickets",
        "One row per customer-service case",
        "ticket_id",
        "08 11",
        "opened_at",
        """
        ticket_id! text | case
        opened_at! ts | when opened
        first_reply_at ts | first answer
        closed_at ts | closed
        topic text | topic
        order_id text | order
        is_reopened bool | opened again
        csat num >=1 <=5 | satisfaction
        """,
    ),
    _table(
        "promotions",
        "One row per promotion",
        "promo_id",
        "07 10",
        "",
        """
        promo_id! text | promotion
        starts_on! date | first day
        ends_on! date | last day
        kind text | kind
        depth_share num >=0 <=1 | discount as a share of price
        skus text | skus, separated by spaces; missing means all
        cost dec >=0 | cost besides the discount itself
        """,
    ),
    _table(
        "prices",
        "One row per sku, seller and price change",
        "from_on sku seller",
        "01 10",
        "from_on",
        """
        from_on! date | valid from
        sku! text | stock-keeping unit
        seller! text | `own` or the competitor
        price! dec >=0 | price
        until_on date | valid until; missing: still valid
        currency text | currency
        """,
    ),
    _table(
        "experiments",
        "One row per visitor and test",
        "test_id visitor_id",
        "08",
        "assigned_at",
        """
        test_id! text | test
        visitor_id! text | visitor
        arm! text | arm
        assigned_at! ts | when assigned
        is_converted bool | bought within the test
        amount dec >=0 | value bought
        planned_share num >=0 <=1 | share of traffic planned for this arm
        amount_before dec >=0 | value bought before the test (for CUPED)
        """,
    ),
    _table(
        "cost_rates",
        "One row per cost kind, scope and start date",
        "from_on kind scope",
        "02 03 05 10",
        "from_on",
        """
        from_on! date | valid from
        kind! text | payment_share, platform_share, fulfilment_per_order, return_per_unit, overhead_per_month, ...
        value! num | the rate
        scope text | `all`, a channel, a category or a currency
        """,
    ),
    _table(
        "targets",
        "One row per month and metric",
        "month metric",
        "02 11",
        "",
        """
        month! month | month
        metric! text | metric id
        value! num | target
        base num | where it started
        owner_role text | role that owns it
        """,
    ),
    _table(
        "team",
        "One row per role and KPI",
        "role kpi",
        "02 11",
        "",
        """
        role! text | role (never a person)
        kpi! text | metric id or duty
        weight_share num >=0 <=1 | weight in the role's score
        raci text {R A C I} | responsible, accountable, consulted, informed
        n_people num >=0 | full-time staff in the role
        """,
    ),
    _table(
        "market_series",
        "One row per period and published series",
        "period_on series published_on",
        "01",
        "period_on",
        """
        period_on! date | first day of the period
        series! text | series
        value! num | value
        unit text | unit
        frequency text | month, quarter, year, week
        source text | publisher
        published_on date | vintage
        """,
    ),
    _table(
        "survey",
        "One row per respondent of a market study",
        "respondent_id",
        "01",
        "answered_on",
        """
        respondent_id! text | respondent
        answered_on! date | when
        weight num >=0 | weight
        """,
    ),
    _table(
        "memberships",
        "One row per change of a customer's tier or points",
        "customer_id changed_at change_no",
        "06",
        "changed_at",
        """
        customer_id! text | customer
        changed_at! ts | when
        change_no! int >=1 | order within the moment
        tier text | tier after the change
        points_delta int | points earned (+) or spent, expired (-)
        reason text {earn spend expire adjust tier} | why
        expires_on date | when earned points expire
        """,
    ),
    _table(
        "import_ledger",
        "One row per import, source file, reason, local day and known or guest",
        "import_id source_sha256 reason day_on is_guest",
        "00",
        "day_on",
        """
        import_id! text | import
        source_sha256! text | source file by content
        reason! text | kept, credit_line, or why rows stand in no table
        day_on date | shop-local day; missing where the row had none
        is_guest! bool | no customer on the row
        n_rows! int >=0 | source rows
        n_orders int >=0 | orders they belong to
        amount! dec | money as delivered
        """,
    ),
)

TABLES: dict[str, Table] = {t.name: t for t in _ALL}

_IBIS = {
    "text": "string",
    "int": "int64",
    "dec": f"decimal(18, {MONEY_SCALE})",
    "num": "float64",
    "ts": "timestamp",
    "date": "date",
    "month": "string",
    "bool": "boolean",
}


def ibis_type(column: Column) -> str:
    """The Ibis type a column has in an opened store."""
    return _IBIS[column.type]


def arrow_schema(name: str) -> object:
    """The pyarrow schema of table `name`: money decimal128(18, 6), timestamps in
    microseconds, naive UTC.
    """
    import pyarrow as pa

    kinds = {
        "text": pa.string(),
        "int": pa.int64(),
        "dec": pa.decimal128(18, MONEY_SCALE),
        "num": pa.float64(),
        "ts": pa.timestamp("us"),
        "date": pa.date32(),
        "month": pa.string(),
        "bool": pa.bool_(),
    }
    return pa.schema([(c.name, kinds[c.type]) for c in TABLES[name].columns])


def _limits(column: Column) -> str:
    parts = [f"one of {', '.join(column.allowed)}"] if column.allowed else []
    parts += [f"≥ {column.least:g}"] if column.least is not None else []
    parts += [f"> {column.above:g}"] if column.above is not None else []
    parts += [f"≤ {column.most:g}"] if column.most is not None else []
    return "; ".join(parts)


def contract_markdown(names: list[str] | None = None) -> str:
    """The contract (or the tables named) as Markdown, for `data/CONTRACT.md` and
    `playbook contract`.
    """
    out = []
    for table in (TABLES[n] for n in names or TABLES):
        out += [
            f"## {table.name}",
            "",
            f"{table.grain}. Key: {', '.join(table.key)}. Notebooks: {table.notebooks}. "
            f"May lose {table.loss_budget:.1%} of source rows.",
            "",
            "| column | type | required | limits | meaning |",
            "|---|---|---|---|---|",
        ]
        out += [
            f"| {c.name} | {c.type} | {'yes' if c.required else ''} | {_limits(c)} | {c.meaning} |"
            for c in table.columns
        ]
        out.append("")
    return "\n".join(out)
