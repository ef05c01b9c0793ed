# ruff: noqa: E501 (tables of words)
"""What shops call their columns, event types and countries, in English and Chinese: data for `infer`."""

from __future__ import annotations

import re

from intently.log import schema
from intently.log.alias import RETURN

# The likeliest first. Names are compared as `plain` writes them.
COLUMNS: dict[str, tuple[str, ...]] = {
    schema.TIME: (
        "timestamp", "eventtime", "eventtimestamp", "datetime", "createdat", "orderdate", "invoicedate", "purchasedate",
        "orderpurchasetimestamp", "purchasetime", "ordertime", "transactiondate", "transactiontimestamp", "eventdate",
        "createdtime", "createtime", "reviewdate", "time", "date", "ts", "tdat", "day",
        "下单时间", "订单创建时间", "创建时间", "付款时间", "订单付款时间", "支付时间", "购买时间", "交易时间", "行为时间",
        "事件时间", "时间戳", "下单日期", "订单日期", "购买日期", "评论时间", "时间", "日期",
    ),
    schema.USER: (
        "userid", "customerid", "clientid", "memberid", "visitorid", "buyerid", "shopperid", "accountid", "householdid",
        "householdkey", "customeruniqueid", "customerno", "customernumber", "custid", "uid", "customer", "user", "member",
        "client", "buyer", "customeremail", "email", "openid",
        "用户id", "用户编号", "会员id", "会员编号", "会员号", "会员卡号", "客户id", "客户编号", "顾客id", "顾客编号",
        "买家id", "买家会员名", "买家昵称", "买家账号", "用户", "客户", "顾客", "会员", "买家",
    ),
    schema.ITEM: (
        "itemid", "productid", "sku", "skuid", "stockcode", "productsku", "productcode", "itemcode", "articleid", "goodsid",
        "asin", "parentasin", "spuid", "itemno", "articleno", "articlecode", "barcode", "ean", "item", "product", "article",
        "商品id", "商品编号", "商品编码", "商品代码", "产品id", "产品编号", "产品编码", "货号", "sku编码", "sku编号",
        "宝贝id", "商品", "产品",
    ),
    schema.TYPE: (
        "eventtype", "eventname", "event", "behaviortype", "behaviourtype", "behavior", "behaviour", "actiontype",
        "action", "activity", "interaction", "type", "事件类型", "行为类型", "操作类型", "事件名称", "行为", "事件", "动作", "类型",
    ),
    schema.SESSION: (
        "sessionid", "usersession", "visitid", "session", "orderid", "orderno", "ordernumber", "invoiceno", "invoiceid",
        "invoicenumber", "invoice", "basketid", "transactionid", "transactionno", "cartid", "receiptid", "receiptno",
        "ordername", "order", "会话id", "订单编号", "订单号", "订单id", "主订单编号", "交易号", "小票号", "发票号", "单号",
    ),
    schema.QUANTITY: (
        "quantity", "qty", "units", "unitssold", "itemquantity", "orderquantity", "pieces", "count",
        "数量", "购买数量", "商品数量", "销售数量", "宝贝总数量", "件数",
    ),
    schema.AMOUNT: (
        "amount", "linetotal", "lineamount", "salesvalue", "totalprice", "totalamount", "revenue", "sales", "netsales",
        "total", "subtotal", "spend", "paymentvalue", "pricepaid", "amountpaid",
        "金额", "实付金额", "支付金额", "买家实际支付金额", "付款金额", "成交金额", "销售额", "销售金额", "订单金额", "总金额",
        "总价", "实付", "小计",
    ),
    schema.PRICE: (
        "unitprice", "price", "itemprice", "productprice", "listprice", "sellingprice", "saleprice", "priceperunit",
        "单价", "商品单价", "销售单价", "价格", "商品价格", "售价",
    ),
    schema.TEXT: (
        "searchterm", "searchquery", "query", "searchkeyword", "keyword", "reviewtext", "reviewbody", "review", "comment",
        "message", "feedback", "搜索词", "关键词", "评论内容", "评价内容", "评论", "评价", "留言", "咨询内容",
    ),
    schema.ARRIVED: ("arrivedat", "receivedat", "ingestedat", "loadedat", "到达时间", "入库时间", "接收时间"),
    schema.EVENT: ("eventid", "messageid", "事件id"),
    schema.TITLE: (
        "title", "producttitle", "itemtitle", "productname", "itemname", "articlename", "goodsname", "proddesc", "name",
        "productdescription", "itemdescription", "description",
        "商品名称", "商品名", "商品标题", "产品名称", "宝贝标题", "宝贝名称", "标题", "名称", "品名",
    ),
    schema.CATEGORY: (
        "category", "categoryname", "productcategory", "itemcategory", "categorycode", "productcategoryname", "producttype",
        "categoryid", "department", "dept", "productgroup", "类目", "品类", "商品类目", "商品分类", "分类", "类别", "商品类别", "类目id",
    ),
    schema.BRAND: ("brand", "brandname", "vendor", "manufacturer", "品牌", "品牌名称", "商家", "店铺名称"),
}  # fmt: skip

# What is said of a customer and stays the same over the rows.
OF_CUSTOMERS = (
    "country", "customercountry", "region", "state", "customerstate", "city", "customercity", "gender", "sex", "age",
    "agegroup", "town", "income", "memberlevel", "loyaltytier", "segment", "国家", "省份", "省", "城市", "性别", "年龄", "会员等级",
)  # fmt: skip

PERSONAL = (
    "email", "emailaddress", "customeremail", "phone", "phonenumber", "mobile", "telephone", "firstname", "lastname",
    "fullname", "customername", "billingname", "shippingname", "address", "street", "billingaddress", "shippingaddress",
    "address1", "zip", "postcode", "birthdate", "birthday", "dateofbirth", "ip", "ipaddress", "ssn", "creditcard",
    "姓名", "收货人", "收货人姓名", "收件人", "手机", "手机号", "联系手机", "电话", "联系电话", "邮箱", "地址", "收货地址",
    "身份证", "身份证号", "生日", "支付宝", "微信号",
)  # fmt: skip

EVENT_TYPES: dict[str, tuple[str, ...]] = {
    schema.BUY: (
        "buy", "bought", "purchase", "purchased", "order", "ordered", "transaction", "sale", "checkoutcompleted", "paid",
        "ordercompleted",
        "购买", "下单", "支付", "付款", "成交", "已购买",
    ),
    "view": ("view", "viewed", "pv", "pageview", "productview", "productviewed", "viewedproduct", "viewitem", "detail", "click", "clk", "浏览", "点击", "查看"),
    "cart": ("cart", "addtocart", "addedtocart", "productadded", "addcart", "basket", "addtobasket", "加购", "加购物车", "加入购物车", "购物车"),
    schema.REMOVE: ("remove", "removed", "removefromcart", "uncart", "removecart", "移出购物车", "取消加购"),
    "wish": ("fav", "favorite", "favourite", "wishlist", "addtowishlist", "like", "收藏"),
    "search": ("search", "query", "searched", "搜索"),
    "checkout": ("checkout", "begincheckout", "initiatecheckout", "结算"),
    "review": ("review", "rating", "rate", "comment", "评论", "评价"),
    RETURN: ("return", "returned", "refund", "refunded", "cancel", "cancelled", "canceled", "退货", "退款", "取消"),
    "impression": ("impression", "ad", "adview", "adimpression", "曝光"),
    "click": ("adclick", "广告点击"),
}  # fmt: skip

# Words of these that are as often places, scopes and stages: where somebody came from, what a discount is on.
PLACES = (
    "order", "sale", "transaction", "paid", "detail", "click", "clk", "cart", "basket", "购物车", "点击", "支付", "付款",
)  # fmt: skip

# Time zones by country (name, code, Chinese) and currency; False where the country has several.
ZONES: dict[str, tuple[str, bool]] = {
    name: (zone, alone)
    for zone, alone, names in (
        ("Europe/London", True, ("unitedkingdom", "uk", "gb", "gbr", "greatbritain", "england", "英国", "gbp")),
        ("Europe/Berlin", True, ("germany", "de", "deu", "deutschland", "德国")),
        ("Europe/Paris", True, ("france", "fr", "fra", "法国")),
        ("Europe/Madrid", True, ("spain", "es", "esp", "西班牙")),
        ("Europe/Rome", True, ("italy", "it", "ita", "意大利")),
        ("Europe/Amsterdam", True, ("netherlands", "nl", "nld", "荷兰")),
        ("Europe/Brussels", True, ("belgium", "be", "bel")),
        ("Europe/Dublin", True, ("ireland", "eire", "ie", "irl")),
        ("Europe/Zurich", True, ("switzerland", "ch", "che", "chf", "瑞士")),
        ("Europe/Vienna", True, ("austria", "at", "aut")),
        ("Europe/Warsaw", True, ("poland", "pl", "pol", "pln")),
        ("Europe/Stockholm", True, ("sweden", "se", "swe", "sek", "瑞典")),
        ("Europe/Oslo", True, ("norway", "no", "nor", "nok")),
        ("Europe/Copenhagen", True, ("denmark", "dk", "dnk", "dkk")),
        ("Europe/Helsinki", True, ("finland", "fi", "fin")),
        ("Europe/Istanbul", True, ("turkey", "türkiye", "tr", "tur", "try")),
        ("Asia/Shanghai", True, ("china", "cn", "chn", "中国", "cny", "rmb", "人民币")),
        ("Asia/Hong_Kong", True, ("hongkong", "hk", "hkg", "hkd", "香港")),
        ("Asia/Taipei", True, ("taiwan", "tw", "twn", "twd", "台湾")),
        ("Asia/Tokyo", True, ("japan", "jp", "jpn", "jpy", "日本")),
        ("Asia/Seoul", True, ("korea", "southkorea", "kr", "kor", "krw", "韩国")),
        ("Asia/Singapore", True, ("singapore", "sg", "sgp", "sgd", "新加坡")),
        ("Asia/Kolkata", True, ("india", "in", "ind", "inr", "印度")),
        ("Asia/Dubai", True, ("unitedarabemirates", "uae", "ae", "are", "aed")),
        ("America/New_York", False, ("unitedstates", "usa", "us", "unitedstatesofamerica", "usd", "美国")),
        ("America/Toronto", False, ("canada", "ca", "can", "cad", "加拿大")),
        ("America/Sao_Paulo", False, ("brazil", "brasil", "br", "bra", "brl", "巴西")),
        ("America/Mexico_City", False, ("mexico", "mx", "mex", "mxn")),
        ("Australia/Sydney", False, ("australia", "au", "aus", "aud", "澳大利亚")),
        ("Europe/Moscow", False, ("russia", "ru", "rus", "rub", "俄罗斯")),
        ("Pacific/Auckland", True, ("newzealand", "nz", "nzl", "nzd")),
    )
    for name in names
}
COUNTRY_COLUMNS = (
    "country", "customercountry", "shippingcountry", "billingcountry", "countrycode", "geocountry", "国家", "currency", "币种"
)  # fmt: skip


def plain(name: str) -> str:
    """A name without case, spaces and marks: `Invoice_No` and `invoiceNo` are one."""
    return re.sub(r"[\W_]+", "", name).casefold()
