"""The words of the toy shop, English and Chinese: its catalogue, and what its made-up customers write."""

from __future__ import annotations

from collections.abc import Mapping

Phrases = Mapping[str, tuple[str, ...]]

# category -> (its Chinese name, five nouns of it in English and Chinese)
CATEGORIES: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "bags": (
        "箱包",
        (("backpack", "双肩包"), ("tote", "托特包"), ("suitcase", "行李箱"), ("wallet", "钱包"), ("satchel", "挎包")),
    ),
    "books": (
        "图书",
        (("novel", "小说"), ("cookbook", "菜谱"), ("atlas", "地图册"), ("diary", "日记本"), ("comic", "漫画")),
    ),
    "coffee": (
        "咖啡",
        (("beans", "咖啡豆"), ("grinder", "磨豆机"), ("kettle", "手冲壶"), ("mug", "马克杯"), ("filters", "滤纸")),
    ),
    "cosmetics": (
        "美妆",
        (("lipstick", "口红"), ("face cream", "面霜"), ("shampoo", "洗发水"), ("perfume", "香水"), ("soap", "香皂")),
    ),
    "garden": (
        "园艺",
        (("seeds", "种子"), ("trowel", "小铲"), ("flower pot", "花盆"), ("hose", "水管"), ("lantern", "庭院灯")),
    ),
    "kitchen": (
        "厨具",
        (("frying pan", "平底锅"), ("knife", "菜刀"), ("wok", "炒锅"), ("cutting board", "砧板"), ("teapot", "茶壶")),
    ),
    "music": (
        "乐器",
        (("guitar", "吉他"), ("flute", "长笛"), ("drum", "鼓"), ("violin strings", "琴弦"), ("metronome", "节拍器")),
    ),
    "outdoor": (
        "户外",
        (("tent", "帐篷"), ("rain jacket", "雨衣"), ("sleeping bag", "睡袋"), ("compass", "指南针"), ("flask", "水壶")),
    ),
    "pets": (
        "宠物",
        (
            ("dog lead", "牵引绳"),
            ("cat food", "猫粮"),
            ("fish tank", "鱼缸"),
            ("bird cage", "鸟笼"),
            ("pet bed", "宠物窝"),
        ),
    ),
    "phones": (
        "手机",
        (
            ("charger", "充电器"),
            ("phone case", "手机壳"),
            ("earphones", "耳机"),
            ("power bank", "充电宝"),
            ("tripod", "三脚架"),
        ),
    ),
    "sports": (
        "运动",
        (
            ("running shoes", "跑鞋"),
            ("yoga mat", "瑜伽垫"),
            ("racket", "球拍"),
            ("football", "足球"),
            ("dumbbell", "哑铃"),
        ),
    ),
    "toys": (
        "玩具",
        (("puzzle", "拼图"), ("kite", "风筝"), ("train set", "小火车"), ("doll", "娃娃"), ("marbles", "弹珠")),
    ),
}

# A style is a brand and the words its titles share.
STYLES: tuple[tuple[str, str, str], ...] = (
    ("Toy Acorn", "rustic", "复古"),
    ("Toy Bamboo", "simple", "简约"),
    ("Toy Comet", "neon", "炫彩"),
    ("Toy Duchess", "elegant", "优雅"),
)

SIZES: tuple[tuple[str, str], ...] = (
    ("small", "小号"),
    ("large", "大号"),
    ("classic", "经典"),
    ("new", "新款"),
    ("light", "轻便"),
)

QUERIES: Phrases = {
    "en": ("{noun}", "{noun} {style}", "best {noun}", "cheap {noun}", "{category} {noun}", "a {noun} as a gift"),
    "zh": ("{noun}", "{style}{noun}", "好用的{noun}", "便宜的{noun}", "{category} {noun}", "送礼 {noun}"),
}

# What each of these queries says of money: looking for the best, or a gift, and for what is cheap.
OF_MONEY = (0, 0, 1, -1, 0, 1)

SENTIMENTS = ("negative", "neutral", "positive")

# Each review is an opening and an ending of its polarity.
OPENINGS: Mapping[str, Phrases] = {
    "negative": {
        "en": (
            "The {noun} broke in a week",
            "Very poor {noun}",
            "I am disappointed by this {noun}",
            "The {noun} looks nothing like the picture",
        ),
        "zh": ("{noun}用了一周就坏了", "{noun}质量太差", "对这个{noun}很失望", "{noun}和图片完全不一样"),
    },
    "neutral": {
        "en": (
            "The {noun} is all right",
            "An ordinary {noun}",
            "This {noun} does its job",
            "The {noun} is as described",
        ),
        "zh": ("{noun}还可以", "很普通的{noun}", "{noun}能用", "{noun}和描述一致"),
    },
    "positive": {
        "en": (
            "I love this {noun}",
            "A wonderful {noun}",
            "The {noun} is better than I hoped",
            "Great {noun} for the money",
        ),
        "zh": ("非常喜欢这个{noun}", "{noun}太棒了", "{noun}比想象的还好", "{noun}性价比很高"),
    },
}
ENDINGS: Mapping[str, Phrases] = {
    "negative": {
        "en": ("I want my money back.", "never again.", "delivery was late too.", "do not buy it."),
        "zh": ("想退款。", "不会再买了。", "物流也很慢。", "不推荐。"),
    },
    "neutral": {
        "en": ("nothing special.", "the price is fair.", "it came on time.", "no opinion yet."),
        "zh": ("没什么特别的。", "价格合理。", "按时送到。", "暂时没有评价。"),
    },
    "positive": {
        "en": ("I will buy it again.", "highly recommended.", "delivery was quick.", "my family is happy."),
        "zh": ("会回购。", "强烈推荐。", "物流很快。", "家人都喜欢。"),
    },
}

OUT_OF_SCOPE = "out_of_scope"
VAGUE: Phrases = {
    "en": ("I need some help.", "There is a problem.", "Can somebody call me?"),
    "zh": ("我需要帮助。", "有个问题。", "能给我打电话吗?"),
}
SUPPORT: Mapping[str, Phrases] = {
    "where_is_order": {
        "en": ("Where is my {noun}?", "My {noun} has not arrived yet.", "When will the {noun} be delivered?"),
        "zh": ("我的{noun}到哪里了?", "{noun}还没有收到。", "{noun}什么时候送到?"),
    },
    "return_item": {
        "en": (
            "I want to send the {noun} back.",
            "How do I return a {noun}?",
            "The {noun} does not fit, can I return it?",
        ),
        "zh": ("我想退货,{noun}。", "{noun}怎么退货?", "{noun}不合适,可以退吗?"),
    },
    "refund": {
        "en": (
            "My refund for the {noun} has not come.",
            "When do I get my money back?",
            "You still owe me for the {noun}.",
        ),
        "zh": ("{noun}的退款还没有到账。", "什么时候退钱?", "{noun}的钱还没退给我。"),
    },
    "change_address": {
        "en": (
            "Please send the {noun} to another address.",
            "I have moved house.",
            "Can I change the delivery address?",
        ),
        "zh": ("请把{noun}寄到另一个地址。", "我搬家了。", "可以修改收货地址吗?"),
    },
    "payment_problem": {
        "en": ("My card was declined.", "I paid twice for the {noun}.", "The payment page does not load."),
        "zh": ("我的卡被拒绝了。", "{noun}付款付了两次。", "支付页面打不开。"),
    },
    "product_question": {
        "en": ("Is the {noun} waterproof?", "What is the {noun} made of?", "Does the {noun} come in blue?"),
        "zh": ("{noun}防水吗?", "{noun}是什么材料做的?", "{noun}有蓝色的吗?"),
    },
    "discount": {
        "en": ("My coupon does not work.", "Is there a discount on the {noun}?", "When is the next sale?"),
        "zh": ("优惠券用不了。", "{noun}有折扣吗?", "下次促销是什么时候?"),
    },
    OUT_OF_SCOPE: {
        "en": ("Will it rain tomorrow?", "Tell me a joke.", "Who won the match last night?"),
        "zh": ("明天下雨吗?", "讲个笑话吧。", "昨晚的比赛谁赢了?"),
    },
}
