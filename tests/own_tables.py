"""The built-in questions as a shop would write them in its config, and questions of a shop's own."""

from __future__ import annotations

import tomllib

from intently import own

BUILT_IN_TOML = """
[[tasks]]
name = "purchase_intent"
horizon = "7d"
answer = "yes_no"
truth = "bool_or(event_type = 'buy')"
must_beat = "lightgbm"
wording.en = "Will this customer buy in the next 7 days?"
wording.zh = "该顾客未来 7 天内会购买吗?"

[[tasks]]
name = "purchasing_power"
horizon = "4w"
answer = { amount = "money" }
truth = "sum(amount) filter (where event_type = 'buy')"
metrics = ["spearman", "norm_gini", "mae", "rmse", "pinball", "coverage_90", "total_ratio"]
wording.en = "How much will this customer spend in the next 28 days?"
wording.zh = "该顾客未来 28 天会消费多少?"

[[tasks]]
name = "interest"
horizon = "28d"
answer = { shares = "category" }
where = "event_type = 'buy'"
wording.en = "Which categories will this customer buy from in the next 28 days?"
wording.zh = "该顾客未来 28 天会买哪些品类?"

[[tasks]]
name = "next_item"
horizon = "7d"
answer = { ranking = "item_id" }
where = "event_type = 'buy'"
wording.en = "Which items will this customer buy in the next 7 days?"
wording.zh = "该顾客未来 7 天会买哪些商品?"

[[tasks]]
name = "demand"
asks = "item_id"
among = "bool_or(event_type = 'buy' and quantity is not null)"
horizon = "2w"
answer = { amount = "units" }
truth = "sum(quantity) filter (where event_type = 'buy')"
absent = 0
metrics = ["pinball", "wape", "mae", "total_ratio", "coverage_90"]
wording.en = "How many units of this item will be needed in the next 14 days?"
wording.zh = "该商品未来 14 天需要多少件?"
"""

OWN_TOML = """
[[tasks]]
name = "back_for_kind_one"
among = "bool_or(category in ('kind 1', 'a'))"
horizon = "14d"
answer = "yes_no"
truth = "bool_or(category in ('kind 1', 'a'))"
wording.en = "Will they look at kind one again within two weeks?"
wording.zh = "他们两周内还会再看一号品类吗?"

[[tasks]]
name = "size_of_month"
horizon = "4w"
answer = { one_of = ["small", "big"], absent = "none" }
truth = "case when sum(amount) > 40 then 'big' when sum(amount) > 0 then 'small' end"
wording.en = "Will their month be big, small or nothing?"
wording.zh = "他们这个月会买很多、很少还是不买?"

[[tasks]]
name = "views_of_item"
asks = "item_id"
horizon = "1w"
answer = { amount = "views" }
truth = "count(*) filter (where event_type = 'view')"
wording.en = "How often will this item be viewed in the next week?"
wording.zh = "该商品下周会被浏览多少次?"
"""

BUILT_IN_TABLES = {table["name"]: table for table in tomllib.loads(BUILT_IN_TOML)["tasks"]}
OWN_TABLES = {table["name"]: table for table in tomllib.loads(OWN_TOML)["tasks"]}
OWN = tuple(own.task(table) for table in OWN_TABLES.values())
