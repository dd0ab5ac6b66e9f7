"""Orders of TikTok Shop, 拼多多, 京东 and 抖店. What a platform pays in the buyer's place is
revenue of the shop all the same: only the shop's own discounts are taken off.

Layouts: headers as public importers and their tests write them down (see data/samples/README.md).
"""

from __future__ import annotations

from playbook.messages import say
from playbook.sources.adapter import Adapter, Delivery
from playbook.sources.allocate import finish_orders
from playbook.sources.bookings import check_sums


def shape_tiktok_shop(d: Delivery) -> None:
    """One row per sku of an order; order amount, shipping and refund are those of the whole
    order, told on every row of it. A row that explains the columns is taken off. With the
    buyer's money the platform takes its own part of it back, in proportion.
    """
    con = d.con
    (n,) = con.execute(
        "SELECT count(*) FROM raw WHERE NOT coalesce(regexp_matches(order_id, '^[0-9]+$'), false)"
    ).fetchone()
    if n:
        con.execute(
            "DELETE FROM raw WHERE NOT coalesce(regexp_matches(order_id, '^[0-9]+$'), false)"
        )
        d.n_rows -= n
        d.repaired["rows that explain the columns taken off"] = n
    said = f"lower(concat_ws(' ', {d.word('status')}, {d.word('substatus')}, {d.word('back')}))"
    done, shipped, paid = d.utc("delivered_at"), d.utc("shipped_at"), d.utc("paid_at")
    cancelled = d.utc("cancelled_at")
    status = f"""CASE WHEN {cancelled} IS NOT NULL OR regexp_matches({said}, 'cancel|ยกเลิก|batal|hủy') THEN 'cancelled'
        WHEN {done} IS NOT NULL OR regexp_matches({said}, 'complete|delivered|selesai') THEN 'done'
        WHEN {shipped} IS NOT NULL OR regexp_matches({said}, '^shipped|in transit|dikirim') THEN 'shipped'
        WHEN {paid} IS NOT NULL OR regexp_matches({said}, 'to ship|awaiting') THEN 'paid' ELSE 'placed' END"""
    money = {
        n: f"coalesce({d.money(n)}, 0)"
        for n in ("before", "seller_off", "platform_off", "ship", "tax", "pay_off")
    }
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("created_at")} AS ordered_at, {d.day("created_at")} AS ordered_on,
               {status} AS status, {paid} AS paid_at, {shipped} AS shipped_at, {done} AS delivered_at, {cancelled} AS cancelled_at,
               {d.contact("buyer")} AS customer_id, {d.word("country")} AS country, {d.word("region")} AS region,
               upper({d.word("currency")}) AS currency,
               coalesce({d.id("seller_sku")}, 'sku:' || {d.id("sku")}) AS sku, {d.text("title")} AS title, {d.count("quantity")} AS quantity,
               {d.money("after")} AS after, {d.money("amount")} AS amount, coalesce({d.money("refunded")}, 0) AS refunded,
               {", ".join(f"{e} AS {n}" for n, e in money.items())}
        FROM raw"""
    d.require("order_id", "created_at", "quantity", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    check_sums(d, "after", ["before", "-seller_off", "-platform_off"], table="rows_in")
    _say_currency(d)
    heads = """
        SELECT order_id, min(ordered_at) AS ordered_at, min(ordered_on) AS ordered_on, min(status) AS status, min(paid_at) AS paid_at,
               max(shipped_at) AS shipped_at, max(delivered_at) AS delivered_at, max(cancelled_at) AS cancelled_at,
               any_value(customer_id) AS customer_id, any_value(country) AS country, any_value(region) AS region,
               any_value(currency) AS currency, 'tiktok_shop' AS platform, 'tiktok_shop' AS channel,
               sum(before - seller_off) AS subtotal, max(ship) AS shipping, max(tax) AS tax,
               max(refunded) * coalesce((max(amount) + sum(platform_off) + max(pay_off)) / nullif(max(amount), 0), 1) AS refunded,
               max(amount) + sum(platform_off) + max(pay_off) AS total
        FROM rows_in GROUP BY order_id"""
    lines = """
        SELECT order_id, sku, title, quantity, CAST(before / nullif(quantity, 0) AS DECIMAL(18,6)) AS price,
               seller_off AS discount FROM rows_in"""
    finish_orders(d, heads, lines)


def _say_currency(d: Delivery) -> None:
    if not d.has("currency"):
        told = d.settings.currency
        d.notes.append(
            say("sources.currency_of_shop", currency=told)
            if told
            else say("sources.currency_unnamed")
        )


def shape_pinduoduo(d: Delivery) -> None:
    """One row per order, of one product. 商家实收 is what the shop is paid: goods and postage
    less its own discount; what the platform adds to the buyer's money is in it.
    """
    con = d.con
    said = f"coalesce({d.word('status')}, '')"
    after = f"coalesce({d.word('after_sale')}, '')"
    is_back = f"({after} LIKE '%退款成功%' OR {said} LIKE '%退款成功%')"
    is_unpaid = f"({said} LIKE '%待付款%' OR {said} LIKE '%待支付%')"
    shipped = d.utc("shipped_at")
    status = f"""CASE WHEN {is_unpaid} THEN 'placed' WHEN {is_back} THEN 'refunded' WHEN {said} LIKE '%取消%' THEN 'cancelled'
        WHEN {said} LIKE '%已收货%' OR {said} LIKE '%已签收%' OR {said} LIKE '%交易成功%' THEN 'done'
        WHEN {said} LIKE '%已发货%' OR {shipped} IS NOT NULL THEN 'shipped' ELSE 'paid' END"""
    goods, post, off = (f"coalesce({d.money(n)}, 0)" for n in ("goods", "postage", "shop_off"))
    at = "ordered_at" if d.has("ordered_at") else "paid_at"
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc(at)} AS ordered_at, {d.day(at)} AS ordered_on, {status} AS status,
               {d.utc("paid_at")} AS paid_at, {shipped} AS shipped_at, {d.utc("received_at")} AS delivered_at,
               coalesce({d.id("sku")}, {d.id("outer_id")}, 'id:' || {d.id("goods_id")}) AS sku, {d.text("title")} AS title,
               {d.count("quantity")} AS quantity, {goods} AS goods, {post} AS postage, {off} AS shop_off, {d.money("received")} AS received,
               {d.money("back")} * coalesce({d.money("received")} / nullif({d.money("paid")}, 0), 1) AS back, {is_back} AS is_back, {d.word("region")} AS region
        FROM raw"""
    d.require("order_id", at, "quantity", "received", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    check_sums(d, "received", ["goods", "postage", "-shop_off"], table="rows_in")
    _say_whole_refunds(d, "rows_in", "is_back AND back IS NULL")
    heads = """
        SELECT order_id, ordered_at, ordered_on, status, paid_at, shipped_at, delivered_at, region, 'CNY' AS currency,
               'pinduoduo' AS platform, 'pinduoduo' AS channel, goods - shop_off AS subtotal, shop_off AS discount, postage AS shipping,
               received AS total, coalesce(back, CASE WHEN is_back THEN received ELSE 0 END) AS refunded FROM rows_in"""
    lines = "SELECT order_id, sku, title, quantity, CAST(goods / nullif(quantity, 0) AS DECIMAL(18,6)) AS price FROM rows_in"
    finish_orders(d, heads, lines)


def _say_whole_refunds(d: Delivery, table: str, where: str) -> None:
    (n,) = d.con.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()
    if n:
        d.notes.append(say("sources.refunds_taken_whole", n=n))


def shape_jd(d: Delivery) -> None:
    """One row per product of an order; order amount, settlement and freight are those of
    the whole order, told on every row of it.
    """
    con = d.con
    said = f"coalesce({d.word('status')}, '')"
    status = f"""CASE WHEN {said} LIKE '%取消%' OR {said} LIKE '%删除%' OR {said} LIKE '%关闭%' THEN 'cancelled'
        WHEN {said} LIKE '%等待付款%' OR {said} LIKE '%未付款%' OR {said} LIKE '%货到付款确认%' THEN 'placed'
        WHEN {said} LIKE '%完成%' THEN 'done' WHEN {said} LIKE '%等待确认收货%' OR {said} LIKE '%已发货%' OR {said} LIKE '%已出库%' THEN 'shipped'
        ELSE 'paid' END"""
    # 0.00 stands where nothing is settled yet
    total = "coalesce(nullif(settled, 0), amount)"
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.utc("ordered_at")} AS ordered_at, {d.day("ordered_at")} AS ordered_on, {status} AS status,
               {d.utc("paid_at")} AS paid_at, {d.utc("done_at")} AS delivered_at, {d.contact("buyer")} AS customer_id,
               coalesce({d.id("sku")}, 'id:' || {d.id("goods_id")}) AS sku, {d.text("title")} AS title, {d.count("quantity")} AS quantity,
               {d.money("price")} AS price, {d.money("amount")} AS amount, {d.money("settled")} AS settled,
               coalesce({d.money("freight")}, 0) AS freight, {d.word("channel")} AS source
        FROM raw"""
    d.require("order_id", "ordered_at", "quantity", "price", "amount", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS {query}")
    heads = f"""
        SELECT order_id, min(ordered_at) AS ordered_at, min(ordered_on) AS ordered_on, min(status) AS status, min(paid_at) AS paid_at,
               max(delivered_at) AS delivered_at, any_value(customer_id) AS customer_id, any_value(source) AS source, 'CNY' AS currency,
               'jd' AS platform, 'jd' AS channel, max({total}) - max(freight) AS subtotal, max(freight) AS shipping, max({total}) AS total
        FROM rows_in GROUP BY order_id"""
    lines = "SELECT order_id, sku, title, quantity, price FROM rows_in"
    finish_orders(d, heads, lines)


def shape_douyin(d: Delivery) -> None:
    """One row per sub-order. The buyer pays 订单应付金额; what platform and presenter pay in
    the buyer's place comes on top, and only the shop's own discount is taken off.
    """
    con = d.con
    said, after = (f"coalesce({d.word(n)}, '')" for n in ("status", "after_sale"))
    is_back = f"{after} LIKE '%退款成功%'"
    shipped, paid, done = d.utc("shipped_at"), d.utc("paid_at"), d.utc("done_at")
    status = f"""CASE WHEN {said} LIKE '%待支付%' OR {said} LIKE '%待付款%' THEN 'placed' WHEN {is_back} THEN 'refunded'
        WHEN {said} LIKE '%关闭%' OR {said} LIKE '%取消%' THEN 'cancelled' WHEN {said} LIKE '%完成%' THEN 'done'
        WHEN {said} LIKE '%已发货%' OR {shipped} IS NOT NULL THEN 'shipped' ELSE 'paid' END"""
    money = {
        n: f"coalesce({d.money(n)}, 0)"
        for n in ("payable", "freight", "platform_off", "presenter", "shop_off")
    }
    query = f"""
        SELECT {d.id("order_id")} AS order_id, {d.id("line_id")} AS line_id, {d.utc("ordered_at")} AS ordered_at,
               {d.day("ordered_at")} AS ordered_on, {status} AS status, {paid} AS paid_at, {shipped} AS shipped_at, {done} AS delivered_at,
               coalesce({d.id("sku")}, 'id:' || {d.id("goods_id")}, 'title:' || lower({d.text("title")})) AS sku,
               {d.text("title")} AS title, {d.count("quantity")} AS quantity, {is_back} AS is_back,
               {", ".join(f"{e} AS {n}" for n, e in money.items())}
        FROM raw"""
    d.require("order_id", "ordered_at", "quantity", "payable", when="true")
    d.refuse_unreadable("orders", budget=0.0)
    con.execute(f"CREATE OR REPLACE TABLE rows_in AS SELECT DISTINCT * FROM ({query})")
    _say_whole_refunds(d, "rows_in", "is_back")
    net = "payable - freight + platform_off + presenter"
    state = "CASE WHEN bool_and(status = 'refunded') THEN 'refunded' ELSE min(status) FILTER (status <> 'refunded') END"
    heads = f"""
        SELECT order_id, min(ordered_at) AS ordered_at, min(ordered_on) AS ordered_on, {state} AS status, min(paid_at) AS paid_at,
               max(shipped_at) AS shipped_at, max(delivered_at) AS delivered_at, 'CNY' AS currency, 'douyin' AS platform,
               'douyin' AS channel, sum({net}) AS subtotal, sum(shop_off) AS discount, sum(freight) AS shipping,
               sum({net} + freight) AS total, coalesce(sum({net} + freight) FILTER (is_back), 0) AS refunded
        FROM rows_in GROUP BY order_id"""
    lines = f"""
        SELECT order_id, sku, title, quantity, CAST(({net} + shop_off) / nullif(quantity, 0) AS DECIMAL(18,6)) AS price,
               shop_off AS discount FROM rows_in"""
    finish_orders(d, heads, lines)


ADAPTERS = (
    Adapter(
        kind="tiktok-shop-orders",
        title="TikTok Shop › Orders › Export",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | Order ID
            status! word | Order Status
            substatus! word | Order Substatus
            quantity! count | Quantity
            before! money | SKU Subtotal Before Discount
            after! money | SKU Subtotal After Discount
            amount! money | Order Amount
            created_at! time | Created Time
            back word | Cancelation/Return Type
            sku id | SKU ID
            seller_sku id | Seller SKU
            title text | Product Name
            platform_off money | SKU Platform Discount
            seller_off money | SKU Seller Discount
            ship money | Shipping Fee After Discount
            tax money | Taxes
            pay_off money | Payment platform discount
            refunded money | Order Refund Amount
            paid_at time | Paid Time
            shipped_at time | Shipped Time
            delivered_at time | Delivered Time
            cancelled_at time | Cancelled Time
            buyer contact | Buyer Username
            country word | Country
            region word | State
            currency word | Currency
        """,
        personal="""Recipient | Phone # | Post Town | Detail Address | Additional address information | Buyer Message | Zipcode | City
            | Address Line 1 | Address Line 2 | Seller Note""",
        ignored="""Normal or Pre-order | Variation | Sku Quantity of return | SKU Unit Original Price | Original Shipping Fee
            | Shipping Fee Seller Discount | Shipping Fee Platform Discount | RTS Time | Cancel By | Cancel Reason | Tracking ID
            | Delivery Option | Shipping Provider Name | Payment Method | Weight(kg) | Product Category | Package ID
            | Fulfillment Type | Warehouse Name | Checked Status | Checked Marked by""",
        shape=shape_tiktok_shop,
        signature="Order Substatus",
        family="tiktok-shop",
    ),
    Adapter(
        kind="pinduoduo-orders",
        title="拼多多 › 订单",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | 订单号
            status! word | 订单状态
            goods! money | 商品总价(元)
            received! money | 商家实收金额(元)
            quantity! count | 商品数量(件)
            ordered_at time | 订单成交时间 | 拼单成功时间
            paid_at time | 支付时间
            shipped_at time | 发货时间
            received_at time | 确认收货时间
            postage money | 邮费(元)
            shop_off money | 店铺优惠折扣(元)
            back money | 退款金额(元)
            paid money | 用户实付金额(元)
            title text | 商品
            goods_id id | 商品id
            sku id | 商家编码-规格维度
            outer_id id | 商家编码-商品维度
            after_sale word | 售后状态
            region word | 省
        """,
        personal="买家留言 | 商家备注 | 快递单号 | 市 | 区 | 街道/镇 | 配送员手机号 | 用户购买手机号 | 收货人",
        ignored="""平台优惠折扣(元) | 多多支付立减金额(元) | 商品规格 | 样式ID | 快递公司 | 是否分期 | 分期期数
            | 手续费承担方 | 分期方式 | 是否审核中 | 承诺发货时间 | 承诺送达时间 | 商品一级类目 | 商品二级类目 | 商品三级类目
            | 商品四级类目 | 消费者资料 | 消费者资料上传时间 | 赠品名称 | 赠品id | 赠品规格 | 赠品数量 | 团ID | 团身份
            | 上门安装费(元) | 送货入户费(元) | 送货入户并安装费(元) | 支付ID | 支付方式 | 订单来源""",
        shape=shape_pinduoduo,
        signature="商家实收金额(元)",
        any_of=("ordered_at", "paid_at"),
        zone="Asia/Shanghai",
        family="pinduoduo",
    ),
    Adapter(
        kind="jd-orders",
        title="京东 › 订单",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | 订单号
            goods_id! id | 商品ID
            quantity! count | 订购数量
            price! money | 京东价
            amount! money | 订单金额
            ordered_at! time | 下单时间
            status word | 订单状态
            title text | 商品名称
            sku id | 货号
            settled money | 结算金额
            freight money | 运费金额
            paid_at time | 付款确认时间
            done_at time | 订单完成时间
            buyer contact | 下单帐号
            channel word | 订单渠道
        """,
        personal="""客户姓名 | 客户地址 | 联系电话 | 订单备注 | 发票抬头 | 发票内容 | 商家备注""",
        ignored="""支付方式 | 余额支付 | 应付金额 | 订单类型 | 发票类型 | 商家备注等级（等级1-5为由高到低） | 增值税发票 | 订单来源""",
        shape=shape_jd,
        signature="京东价",
        zone="Asia/Shanghai",
        family="jd",
    ),
    Adapter(
        kind="douyin-orders",
        title="抖店 › 订单",
        gives=("orders", "order_lines"),
        columns="""
            order_id! id | 主订单编号
            line_id! id | 子订单编号
            title! text | 选购商品
            quantity! count | 商品数量
            payable! money | 订单应付金额
            status! word | 订单状态
            ordered_at! time | 订单提交时间
            sku id | 商家编码
            goods_id id | 商品ID
            after_sale word | 售后状态
            freight money | 运费
            platform_off money | 平台实际承担优惠金额
            presenter money | 达人实际承担优惠金额
            shop_off money | 商家实际承担优惠金额
            paid_at time | 支付完成时间
            shipped_at time | 发货时间
            done_at time | 订单完成时间
        """,
        personal="收件人 | 收件人手机号 | 详细地址 | 商家备注 | 买家留言 | 快递信息",
        ignored="商品规格 | 商品金额 | 商家收入金额 | 支付方式 | 取消原因 | 达人ID | 达人昵称",
        shape=shape_douyin,
        signature="选购商品",
        zone="Asia/Shanghai",
        family="douyin",
    ),
)
