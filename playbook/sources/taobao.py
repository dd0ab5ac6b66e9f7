"""Taobao and Tmall: orders (订单), sub-orders (子订单, the lines), 生意参谋 and 万相台."""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import STATUS_RANK, refuse_numbers_used_again
from playbook.store.write import quoted


def _status(d: Delivery, paid: str) -> str:
    said = d.word("status")
    return f"""CASE WHEN {said} LIKE '%等待买家付款%' OR {said} LIKE '%定金未付%'
            OR {said} LIKE '%没有创建支付宝交易%'
            OR {said} LIKE '%付款确认中%' THEN 'placed'
        WHEN {said} LIKE '%等待买家确认%' OR {said} LIKE '%卖家已发货%'
            THEN CASE WHEN {said} LIKE '%等待卖家发货%' THEN 'paid' ELSE 'shipped' END
        WHEN {said} LIKE '%等待卖家发货%' OR {said} LIKE '%买家已付款%'
            OR {said} LIKE '%部分发货%' THEN 'paid'
        WHEN {said} LIKE '%交易成功%' THEN 'done'
        WHEN {said} LIKE '%关闭%'
            THEN CASE WHEN {paid} IS NOT NULL THEN 'refunded' ELSE 'cancelled' END END"""


def shape_orders(d: Delivery) -> None:
    """One row per order. Lines come from the sub-orders; until then an order stands as
    one line without sku.
    """
    paid = d.utc("paid_at")
    status = _status(d, paid)
    d.id("order_id")
    goods, postage, total = d.money("goods"), d.money("postage"), d.money("total")
    query = f"""
        SELECT order_id, {d.utc("created_at")} AS ordered_at, {d.day("created_at")} AS ordered_on,
               {status} AS status, {d.contact("buyer")} AS customer_id, {paid} AS paid_at,
               {d.utc("shipped_at")} AS shipped_at, 'taobao' AS platform, 'CNY' AS currency,
               coalesce({total}, {goods} + coalesce({postage}, 0)) AS total,
               coalesce({postage}, 0) AS shipping, greatest({d.count("units")}, 1) AS _units,
               {d.word("carrier")} AS carrier, {d.text("reason")} AS reason,
               {d.money("refund")} AS refund
        FROM raw"""
    d.require("order_id", "created_at", "status", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con = d.con
    con.execute(f"CREATE OR REPLACE TABLE said AS {query}")
    (odd,) = con.execute("SELECT count(*) FROM said WHERE status IS NULL").fetchone()
    if odd:
        raise PlaybookError(
            "sources.order_state_unknown",
            file=d.sheet.path.name,
            column=d.header("status"),
            rows=odd,
        )
    refuse_numbers_used_again(d, "said")
    _emit_orders(d)
    d.is_split = d.is_checked = True


def _emit_orders(d: Delivery) -> None:
    """The orders of the table `said`, each once, what went back and where the money went."""
    con = d.con
    (n, n_orders) = con.execute("SELECT count(*), count(DISTINCT order_id) FROM said").fetchone()
    con.execute("""CREATE OR REPLACE TABLE heads AS
        SELECT *, greatest(ordered_at, paid_at, shipped_at) AS own_last, total - shipping AS goods,
               count(*) OVER (PARTITION BY order_id) AS n_heads,
               sum(total) OVER (PARTITION BY order_id) AS delivered
        FROM said QUALIFY row_number() OVER (
            PARTITION BY order_id ORDER BY own_last DESC, total DESC, status DESC) = 1""")
    if n > n_orders:
        d.repaired["orders that stand in the file more than once, counted once"] = n - n_orders
    d.emit(
        "orders",
        """
        SELECT order_id AS entity, * EXCLUDE (own_last, goods, n_heads, delivered, reason, refund),
               goods AS gross, 0 AS discount, 0 AS tax FROM heads""",
    )
    d.emit(
        "refunds",
        """
        SELECT order_id AS entity, order_id || '-closed' AS refund_id, order_id,
               CAST(NULL AS TIMESTAMP) AS refunded_at, CAST(NULL AS DATE) AS refunded_on,
               least(coalesce(nullif(refund, 0), goods), goods) AS amount, customer_id,
               'refund' AS kind, reason
        FROM heads
        WHERE goods > 0 AND (status = 'refunded' OR (refund > 0 AND status <> 'cancelled'))""",
    )
    d.emit(
        "entities",
        f"""
        SELECT order_id AS entity, own_last, {STATUS_RANK} AS status_rank,
               coalesce(refund, 0) AS refunded, 2 AS completeness FROM heads""",
    )
    d.emit(
        "ledger",
        """
        SELECT order_id AS entity, reason, ordered_on AS day_on, is_guest,
               CAST(n_rows AS BIGINT) AS n_rows, 1 AS n_orders,
               CAST(amount AS DECIMAL(18,6)) AS amount FROM (
            SELECT order_id, 'kept' AS reason, ordered_on, customer_id IS NULL AS is_guest,
                   1 AS n_rows, goods AS amount FROM heads
            UNION ALL SELECT order_id, 'shipping', ordered_on, customer_id IS NULL, 0, shipping
            FROM heads WHERE shipping <> 0
            UNION ALL SELECT order_id, 'overlap', ordered_on, customer_id IS NULL, n_heads - 1,
                   delivered - total FROM heads WHERE n_heads > 1)""",
    )


def shape_lines(d: Delivery) -> None:
    """One row per sub-order; what the buyer owes for it is what it comes to, discounts
    taken off.
    """
    d.id("order_id"), d.id("line_id")
    sku = (
        f"coalesce({d.id('sku')}, {d.id('outer_id')}, "
        f"CASE WHEN title IS NOT NULL THEN 'title:' || lower({d.text('title')}) END)"
    )
    query = f"""
        SELECT order_id, line_id, {sku} AS sku, {d.text("title")} AS title,
               {d.count("quantity")} AS quantity, {d.money("price")} AS price,
               {d.money("payable")} AS payable, {d.money("refund")} AS refund,
               {d.word("refund_state")} AS refund_state,
               greatest({d.utc("created_at")}, {d.utc("paid_at")}) AS own_last
        FROM raw"""
    d.require("order_id", "quantity", "price", when="true")
    d.refuse_unreadable("order_lines", budget=0.0)
    con = d.con
    con.execute(f"CREATE OR REPLACE TABLE told AS {query}")
    con.execute("CREATE OR REPLACE TABLE sub AS SELECT DISTINCT * FROM told WHERE quantity > 0")
    (n_twice,) = con.execute(
        "SELECT count(*) FILTER (quantity > 0) - (SELECT count(*) FROM sub) FROM told"
    ).fetchone()
    if n_twice:
        d.repaired["sub-orders that stand in the file more than once, counted once"] = n_twice
    con.execute("""CREATE OR REPLACE TABLE numbered AS
        SELECT *, row_number() OVER (
                   PARTITION BY order_id ORDER BY line_id, sku, price, payable) AS line_no,
               CASE WHEN payable IS NULL OR payable <= quantity * price THEN price
                    ELSE CAST(payable / quantity AS DECIMAL(18,6)) END AS unit
        FROM sub""")
    _emit_lines(d)
    d.part, d.is_split, d.is_checked = "lines", True, True


def _emit_lines(d: Delivery) -> None:
    """The lines of the table `numbered`, what went back, and a reason for every row."""
    d.emit(
        "order_lines",
        """
        SELECT order_id, line_no, sku, quantity, unit AS price,
               greatest(quantity * unit - coalesce(payable, quantity * unit), 0) AS discount,
               0 AS tax, title, true AS is_product FROM numbered""",
    )
    d.emit(
        "refunds",
        """
        SELECT order_id AS entity,
               order_id || '-' || coalesce(line_id, CAST(line_no AS VARCHAR)) AS refund_id,
               order_id, line_no, CAST(NULL AS DATE) AS refunded_on,
               refund AS amount, sku, 'refund' AS kind, refund_state AS reason
        FROM numbered WHERE refund > 0 AND (refund_state IS NULL OR refund_state LIKE '%成功%')""",
    )
    d.emit(
        "entities",
        """
        SELECT order_id AS entity, max(own_last) AS own_last, 0 AS status_rank,
               coalesce(sum(refund) FILTER (quantity > 0), 0) AS refunded,
               CASE WHEN bool_or(quantity > 0) THEN 2 ELSE 0 END AS completeness
        FROM told GROUP BY order_id""",
    )
    # the money of an order is itemised where the order is; here every row gets its reason
    d.emit(
        "ledger",
        """
        WITH n AS (SELECT order_id, count(*) FILTER (quantity <= 0) AS n_none,
                          count(*) FILTER (quantity > 0) AS n_some FROM told GROUP BY 1),
        k AS (SELECT order_id, count(*) AS n_kept FROM sub GROUP BY 1)
        SELECT order_id AS entity, reason, CAST(NULL AS DATE) AS day_on,
               CAST(NULL AS BOOLEAN) AS is_guest, n_rows, 1 AS n_orders,
               CAST(0 AS DECIMAL(18,6)) AS amount
        FROM (SELECT order_id, 'kept' AS reason, n_kept AS n_rows FROM k
              UNION ALL SELECT order_id, 'stock_write_off', n_none FROM n
              UNION ALL SELECT order_id, 'overlap', n_some - coalesce(n_kept, 0)
              FROM n LEFT JOIN k USING (order_id))
        WHERE n_rows > 0""",
    )


def shape_dashboard(d: Delivery) -> None:
    """生意参谋 by product: products, and the month's paid amount as its dashboard shows it.
    Visitors of several products or days are never added up, and its conversion shares
    are left out.
    """
    day = d.day("day_on")
    totals = [
        (n, f"CAST(sum({d.money(n)}) AS DOUBLE)")
        for n in ("支付金额", "成功退款金额", "支付件数")
        if d.has(n)
    ]
    if d.has("product_id"):
        d.leave_out("rows without a product", "count(*) FILTER (product_id IS NULL)")
        d.emit(
            "products",
            f"""
            SELECT {d.id("product_id")} AS sku,
                   any_value({d.text("title")} ORDER BY {d.text("title")}) AS title FROM raw
            WHERE {d.id("product_id")} IS NOT NULL GROUP BY 1""",
        )
    elif d.has("visitors"):
        d.leave_out(
            "rows of a day that stands on another row too", f"count(*) - count(DISTINCT {day})"
        )
        d.emit(
            "traffic",
            f"""
            SELECT {day} AS day_on, 'taobao' AS channel, 'all' AS device, 'all' AS region,
                   {d.count("visitors")} AS sessions, {d.count("visitors")} AS visitors,
                   {d.count("buyers")} AS buyers FROM raw
            QUALIFY row_number() OVER (
                PARTITION BY {day} ORDER BY {d.count("visitors")} DESC) = 1""",
        )
    if totals:
        _emit_totals(d, day, totals)
    (last,) = d.con.execute(f"SELECT CAST(max({day}) AS VARCHAR) FROM raw").fetchone()
    d.observed_to = last


def _emit_totals(d: Delivery, day: str, totals: list[tuple[str, str]]) -> None:
    """The figures of each month as controls."""
    # a month's figure is a control only where the file holds each of its days
    con = d.con
    whole = con.execute(
        f"SELECT strftime({day}, '%Y-%m'), "
        f"count(DISTINCT {day}) = day(last_day(any_value({day}))) FROM raw "
        f"WHERE {day} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    cut = [month for month, is_whole in whole if not is_whole]
    if cut:
        d.notes.append(
            f"no control totals of {', '.join(cut)}: the file does not hold every day of it"
        )
    kept = ", ".join(quoted(month) for month, is_whole in whole if is_whole) or "''"
    union = " UNION ALL ".join(
        f"SELECT strftime({day}, '%Y-%m') AS month, '{n}' AS metric, {e} AS value, "
        f"'生意参谋' AS source FROM raw "
        f"WHERE strftime({day}, '%Y-%m') IN ({kept}) GROUP BY 1"
        for n, e in totals
    )
    if kept != "''":
        d.emit("control_totals", f"SELECT * FROM ({union}) WHERE value IS NOT NULL")


ADAPTERS = (
    Adapter(
        kind="taobao-orders",
        title="淘宝/天猫 › 订单",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | 订单编号 | 主订单编号
            status! word | 订单状态
            created_at! time | 订单创建时间 | 买家下单时间
            goods! money | 买家应付货款
            buyer contact | 买家会员名 | 买家昵称
            postage money | 买家应付邮费
            total money | 总金额
            paid money | 买家实际支付金额 | 买家实付金额
            paid_at time | 订单付款时间 | 买家付款时间
            shipped_at time | 发货时间
            units count | 宝贝总数量
            refund money | 退款金额
            carrier word | 物流公司
            reason text | 订单关闭原因
        """,
        personal="""收货人姓名 | 收货地址 | 联系手机 | 联系电话 | 运送方式 | 买家支付宝账号
            | 买家留言 | 订单备注 | 运单号 | 物流单号 | 买家服务费
            | 联系电话/手机 | 发票抬头 | 卖家备注""",
        ignored="""宝贝标题 | 宝贝种类 | 店铺Id | 店铺名称 | 买家支付积分 | 返点积分 | 支付单号
            | 支付详情 | 卖家服务费 | 是否手机订单 | 是否货到付款
            | 特权订金订单id | 定金排名 | 异常信息 | 天猫卡券抵扣 | 集分宝抵扣
            | 是否O2O交易 | 预约门店 | 确认收货时间""",
        shape=shape_orders,
        signature="总金额 | 买家应付邮费 | 宝贝总数量 | 宝贝种类 | 运送方式 | 订单关闭原因",
        zone="Asia/Shanghai",
        family="taobao",
    ),
    Adapter(
        kind="taobao-lines",
        title="淘宝/天猫 › 子订单",
        gives=("order_lines", "refunds"),
        columns="""
            order_id! id | 主订单编号 | 主订单号
            quantity! count | 购买数量 | 宝贝数量
            price! money | 价格 | 商品价格
            title! text | 标题 | 商品标题 | 宝贝标题
            line_id id | 子订单编号
            sku id | 商家编码
            outer_id id | 外部系统编号
            payable money | 买家应付货款
            paid money | 买家实际支付金额
            refund money | 退款金额
            refund_state word | 退款状态
            created_at time | 订单创建时间
            paid_at time | 订单付款时间
        """,
        personal="收货人姓名 | 收货地址 | 联系手机 | 买家会员名 | 备注",
        ignored="""商品属性 | 套餐信息 | 订单状态 | 支付单号 | 备注标签 | 发货时间 | 物流单号
            | 物流公司 | 店铺Id""",
        shape=shape_lines,
        zone="Asia/Shanghai",
        signature="子订单编号 | 购买数量",
        family="taobao",
    ),
    Adapter(
        kind="shengyicanmou",
        title="生意参谋",
        gives=("products", "traffic", "control_totals"),
        columns="""
            day_on! day | 统计日期 | 日期
            支付金额! money | 支付金额
            product_id id | 商品ID
            title text | 商品名称
            visitors count | 访客数
            buyers count | 支付买家数
            支付件数 count | 支付件数
            成功退款金额 money | 成功退款金额
        """,
        ignored="""商品访客数 | 商品浏览量 | 浏览量 | 商品加购件数
            | 加购人数 | 商品支付转化率 | 支付转化率 | 客单价 | 商品状态 | 货号 | 平均停留时长
            | 商品收藏人数 | 访客平均价值 | 跳失率 | 主商品ID | 商品类型""",
        shape=shape_dashboard,
        signature="支付金额",
        zone="Asia/Shanghai",
        has_footers=True,
    ),
)
