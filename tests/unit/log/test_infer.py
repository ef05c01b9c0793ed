# ruff: noqa: E501
"""What is guessed of a shop's files."""

import gzip
import os
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intently.errors import DataError
from intently.log.draft import Draft, Guess, toml
from intently.log.infer import draft_of
from intently.log.log import Log
from intently.log.source import parsed


def orders(count=400, seed=0, hours=(8, 22), start=datetime(2024, 3, 4, tzinfo=UTC)):
    """Rows of orders in the daytime: order, customer, item, time without a zone, units, price of one."""
    rng = np.random.default_rng(seed)
    order = np.sort(rng.integers(0, count // 3, count))
    minutes = (order * 97 % ((hours[1] - hours[0]) * 60)).tolist()
    at = [start + timedelta(days=int(n) // 5, hours=hours[0], minutes=m) for n, m in zip(order, minutes, strict=True)]
    item = rng.integers(0, 30, count)
    return pl.DataFrame(
        {
            "order": [f"{500 + n}" for n in order],
            "who": [f"c{n * 7 % 50}" for n in order],
            "item": [f"{n:05}" for n in item],
            "name": [f"Thing no. {n}" for n in item],
            "at": [one.strftime("%Y-%m-%d %H:%M:%S") for one in at],
            "units": rng.integers(1, 4, count),
            "each": (item + 1) * 0.5,
        }
    )


def guessed(draft: Draft) -> dict[str, str]:
    return {guess.ours: guess.theirs for guesses in draft.sections.values() for guess in guesses}


def drafted(tmp_path: Path, frame: pl.DataFrame, **names: str) -> Draft:
    frame.rename(names).write_csv(tmp_path / "orders.csv")
    return draft_of(tmp_path / "orders.csv", tmp_path)


ENGLISH = {"order": "Invoice No", "who": "customerId", "item": "SKU", "name": "Product Name", "at": "OrderDate",
           "units": "Qty", "each": "Unit_Price"}  # fmt: skip
CHINESE = {"order": "订单编号", "who": "用户ID", "item": "商品编号", "name": "商品名称", "at": "下单时间", "units": "数量",
           "each": "单价"}  # fmt: skip


@pytest.mark.parametrize("names", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_names_in_english_and_chinese(tmp_path, names):
    draft = drafted(tmp_path, orders(), **names)
    told = guessed(draft)
    for ours, theirs in (("session_id", "order"), ("user_id", "who"), ("item_id", "item"), ("title", "name"),
                         ("timestamp", "at"), ("quantity", "units"), ("price", "each")):  # fmt: skip
        assert told[ours] == names[theirs]
    assert told["event_type"] == "'buy'"
    (tmp_path / "intently.toml").write_text(toml(draft))
    log, once = Log.read(tmp_path), orders().unique(["order", "who", "item", "at", "units", "each"])
    assert log.events["amount"].sum() == pytest.approx((once["units"] * once["each"]).sum())
    assert log.items["title"].to_list()[3] == "Thing no. 3"


def test_returns_by_a_letter_and_by_negative_units(tmp_path):
    frame = orders()
    back = frame.head(20).with_columns(("R" + pl.col("order")).alias("order"), -pl.col("units"))
    frame = pl.concat([frame, back, frame.head(3).with_columns(-pl.col("units"))])
    told = guessed(drafted(tmp_path, frame, **ENGLISH))
    assert told["event_type"] == ("""CASE WHEN "Invoice No" LIKE 'R%' OR Qty < 0 THEN 'return' ELSE 'buy' END""")
    assert told["quantity"] == "ABS(Qty)"
    assert told["amount"] == "ABS(Qty) * Unit_Price"


def test_the_total_of_an_order_is_not_the_amount_of_its_rows(tmp_path):
    frame = orders().with_columns(total=(pl.col("units") * pl.col("each")).sum().over("order"))
    draft = drafted(tmp_path, frame, **ENGLISH)
    (amount,) = [guess for guess in draft.columns if guess.ours == "amount"]
    assert amount.theirs == "Qty * Unit_Price"
    assert not amount.sure
    assert "order's total" in amount.why
    # The same column on rows that add up is the amount.
    frame = orders().with_columns(total=pl.col("units") * pl.col("each"))
    assert guessed(drafted(tmp_path, frame, **ENGLISH))["amount"] == "total"


@pytest.mark.parametrize(
    ("hours", "country", "zone", "sure"),
    [
        ((8, 22), "United Kingdom", "Europe/London", True),
        ((8, 22), "中国", "Asia/Shanghai", True),
        ((0, 14), "China", "UTC", True),
        ((8, 22), None, "UTC", False),
        ((8, 22), "USA", "America/New_York", False),
    ],
)
def test_the_clock_is_told_by_the_country_and_the_night(tmp_path, hours, country, zone, sure):
    frame = orders(hours=hours)
    if country:
        frame = frame.with_columns(Country=pl.lit(country))
    draft = drafted(tmp_path, frame, **ENGLISH)
    (guess,) = [guess for guess in draft.options if guess.ours == "timezone"]
    assert (guess.theirs, guess.sure) == (zone, sure)


def test_times_that_say_their_zone_or_count_need_no_clock(tmp_path):
    for at in (pl.col("at") + "Z", pl.col("at").str.to_datetime().dt.epoch("s")):
        draft = drafted(tmp_path, orders().with_columns(at), **ENGLISH)
        (guess,) = [guess for guess in draft.options if guess.ours == "timezone"]
        assert (guess.theirs, guess.sure) == ("UTC", True)


def test_day_or_month_first_by_values_and_else_by_the_order_of_the_rows(tmp_path):
    day = pl.col("at").str.to_datetime()
    draft = drafted(tmp_path, orders().with_columns(day.dt.strftime("%d/%m/%Y %H:%M").alias("at")), **ENGLISH)
    assert guessed(draft)["day_first"] == "true"
    early = orders(hours=(8, 22), start=datetime(2024, 2, 1, tzinfo=UTC)).filter(day.dt.day() <= 12)
    for form, first in (("%d/%m/%Y %H:%M", "true"), ("%m/%d/%Y %H:%M", "false")):
        draft = drafted(tmp_path, early.with_columns(day.dt.strftime(form).alias("at")), **ENGLISH)
        (guess,) = [guess for guess in draft.options if guess.ours == "day_first"]
        assert (guess.theirs, guess.sure) == (first, False)


def test_event_types_by_their_words(tmp_path):
    kinds = pl.Series(["pv", "加购", "buy", "hover"]).gather(np.arange(400) % 4)
    draft = drafted(tmp_path, orders().with_columns(behavior=kinds), **ENGLISH)
    assert {guess.ours: (guess.theirs, guess.sure) for guess in draft.event_types} == {
        "pv": ("view", True), "加购": ("cart", True), "hover": ("hover", False)
    }  # fmt: skip
    assert guessed(draft)["event_type"] == "behavior"


def test_a_folder_of_tables_and_an_encoding(tmp_path):
    frame = orders().rename(CHINESE)
    for name, part in (("orders_2024-01.csv", frame[:200]), ("orders_2024-02.csv", frame[200:])):
        (tmp_path / name).write_bytes(part.drop("商品名称").write_csv().encode("gb18030"))
    items = frame.group_by("商品编号").agg(pl.col("商品名称").first(), pl.lit("杯子").alias("类目"))
    (tmp_path / "catalogue.csv").write_bytes(items.write_csv().encode("gb18030"))
    draft = draft_of(tmp_path, tmp_path)
    told = guessed(draft)
    assert (told["events"], told["items"], told["encoding"]) == ("orders_*.csv", "catalogue.csv", "gb18030")
    (tmp_path / "intently.toml").write_text(toml(draft))
    log = Log.read(tmp_path)
    assert len(log.events) == len(frame.unique())
    assert set(log.items["category"]) == {"杯子"}


def test_personal_columns_are_left_out_and_said(tmp_path):
    frame = orders().with_columns(Email=pl.lit("a@b.example"), 收货人姓名=pl.lit("王小明"), discount=0.5)
    draft = drafted(tmp_path, frame, **ENGLISH)
    left = {guess.theirs: guess.why for guess in draft.left}
    assert left["Email"].startswith("personal")
    assert left["收货人姓名"].startswith("personal")
    assert left["discount"].startswith("a number")
    assert not {"Email", "收货人姓名"} & set(guessed(draft).values())


def test_a_file_that_cannot_be_read_is_left_out_of_a_folder_and_said(tmp_path, caplog):
    orders().rename(ENGLISH).write_csv(tmp_path / "orders.csv")
    (tmp_path / "settings.json").write_text("{not json")
    draft = draft_of(tmp_path, tmp_path)
    assert guessed(draft)["events"] == "orders.csv"
    assert "settings.json cannot be read" in caplog.text


def test_a_known_dialect_needs_no_mapping(tmp_path):
    (tmp_path / "track.jsonl").write_text(
        '{"type": "track", "event": "Product Viewed", "anonymousId": "a", "userId": null, "messageId": "m",'
        ' "timestamp": "2024-01-31T10:00:00Z", "properties": {"product_id": "S1"}}\n'
    )
    draft = draft_of(tmp_path / "track.jsonl", tmp_path)
    assert guessed(draft) == {"events": "track.jsonl", "dialect": "segment"}
    (tmp_path / "intently.toml").write_text(toml(draft))
    assert Log.read(tmp_path).events.select("event_type", "item_id").rows() == [("view", "S1")]


def test_without_a_time_or_a_customer_nothing_is_guessed(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    with pytest.raises(DataError, match="a time or a customer"):
        draft_of(tmp_path / "a.csv", tmp_path)
    with pytest.raises(DataError, match="no file or folder"):
        draft_of(tmp_path / "b.csv", tmp_path)


def test_a_draft_reads_back_whatever_the_columns_are_called():
    odd = 'a "b" \\ # ] \n\x7f 名称'
    draft = Draft(
        options=(Guess("events", odd, odd), Guess("day_first", "true", "x")),
        columns=(Guess("user_id", odd, odd, odd), Guess(odd, "y", odd)),
        left=(Guess(odd, odd, odd),),
        notes=(odd,),
    )
    content = tomllib.loads(toml(draft))["data"]
    assert content == {"events": odd, "day_first": True, "columns": {"user_id": odd, odd: "y"}}


@pytest.mark.skipif("INTENTLY_DATA" not in os.environ, reason="INTENTLY_DATA does not say where Online Retail lies")
def test_online_retail_needs_no_hand(tmp_path):
    file = Path(os.environ["INTENTLY_DATA"]) / "online_retail.parquet"
    draft = draft_of(file, tmp_path)
    told = guessed(draft)
    assert {name: told[name] for name in told if name not in ("events", "country")} == {
        "timezone": "Europe/London",
        "timestamp": "InvoiceDate",
        "user_id": "CustomerID",
        "session_id": "InvoiceNo",
        "item_id": "StockCode",
        "event_type": "CASE WHEN InvoiceNo LIKE 'C%' OR Quantity < 0 THEN 'return' ELSE 'buy' END",
        "quantity": "ABS(Quantity)",
        "amount": "ABS(Quantity) * UnitPrice",
        "title": "Description",
        "price": "UnitPrice",
        "category": "REVERSE(SPLIT_PART(REVERSE(TRIM(Description)), ' ', 1))",
    }
    assert [guess.ours for guess in draft.unsure] == ["category"]
    (tmp_path / "intently.toml").write_text(toml(draft))
    settings = parsed((tmp_path / "intently.toml").read_bytes(), tmp_path / "intently.toml")
    assert settings.data.timezone == "Europe/London"
    log, raw = Log.read(tmp_path), pl.read_parquet(file)
    # What is said twice, and two lines of bad debt with a negative price, are set aside.
    raw = raw.filter(pl.col("UnitPrice") >= 0)
    twice = raw.drop("Description", "Country").is_duplicated().sum()
    assert len(raw) - twice <= len(log.events) < len(raw)
    raw = raw.unique(["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"])
    assert (log.events["event_type"] == "return").sum() == (
        raw["InvoiceNo"].str.starts_with("C") | (raw["Quantity"] < 0)
    ).sum()
    named = log.events["user_id"].is_in(raw["CustomerID"].drop_nulls().implode())
    assert named.sum() == raw["CustomerID"].is_not_null().sum()
    # 2010-12-01 08:26 in London is 08:26 UTC; in July it is an hour earlier.
    assert log.events["timestamp"][0] == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert log.events["timestamp"].max() == datetime(2011, 9, 30, 16, 22, tzinfo=UTC)
    assert "WHITE HANGING HEART T-LIGHT HOLDER" in log.items["title"]


def test_times_as_digits_are_on_the_shops_clock(tmp_path):
    at = pl.col("at").str.to_datetime().dt.strftime("%Y%m%d%H%M").cast(pl.Int64)
    draft = drafted(tmp_path, orders().with_columns(at, Country=pl.lit("United Kingdom")), **ENGLISH)
    assert guessed(draft)["timezone"] == "Europe/London"


def test_examples_show_nobody(tmp_path):
    frame = orders().with_columns(
        pl.concat_str(pl.lit("anna"), pl.int_range(pl.len()) % 9, pl.lit("@mail.com")).alias("who"),
        comment=pl.lit("I am Anna Bell, call me 13800138000"),
    )
    for name in ("customerId", "client"):
        text = toml(drafted(tmp_path, frame, **(ENGLISH | {"who": name})))
        assert "comment" in text
        assert not any(secret in text for secret in ("mail.com", "Anna", "13800138000"))
    text = toml(drafted(tmp_path, frame.with_columns(who=pl.lit("ann")), **(ENGLISH | {"who": "customer_email"})))
    assert "holds ids, 1 in the first 400" in text
    assert "words such as Thing no. " in text


def test_the_span_that_the_folder_states_is_kept(tmp_path):
    (tmp_path / "shop").mkdir()
    orders().rename(ENGLISH).write_csv(tmp_path / "shop" / "events.csv")
    (tmp_path / "shop" / "log.json").write_text(
        '{"observed_from": "2024-03-01", "observed_until": "2024-12-01T00:00Z"}'
    )
    (tmp_path / "intently.toml").write_text(toml(draft_of(tmp_path / "shop", tmp_path)))
    log = Log.read(tmp_path)
    assert (log.observed_from, log.observed_until) == (
        datetime(2024, 3, 1, tzinfo=UTC),
        datetime(2024, 12, 1, tzinfo=UTC),
    )


def test_what_tables_of_items_and_customers_say_more_is_taken_or_listed(tmp_path):
    frame = orders().rename(ENGLISH)
    frame.drop("Product Name").write_csv(tmp_path / "orders.csv")
    frame.select("SKU", "Product Name", Dept=pl.lit("tools"), Sold=pl.lit(7)).unique("SKU").write_csv(
        tmp_path / "products.csv"
    )
    customers = frame.select("customerId", Age=pl.lit(30), Phone=pl.lit("1"), Spent=pl.lit(3)).unique("customerId")
    customers.write_csv(tmp_path / "customers.csv")
    draft = draft_of(tmp_path, tmp_path)
    assert {guess.ours for guess in draft.item_columns} == {"item_id", "title", "category"}
    assert {guess.ours: guess.theirs for guess in draft.user_columns} == {"user_id": "customerId", "age": "Age"}
    assert [guess.theirs for guess in draft.items_left] == ["Sold"]
    assert {guess.theirs: guess.why.split(":")[0] for guess in draft.users_left} == {
        "Phone": "personal",
        "Spent": "Int64",
    }
    assert '# spent = "Spent"' in toml(draft)
    (tmp_path / "intently.toml").write_text(toml(draft))
    assert Log.read(tmp_path).users.columns == ["user_id", "age"]


def test_every_file_of_the_events_is_looked_at(tmp_path):
    frame = orders().rename(ENGLISH)
    frame[:200].write_csv(tmp_path / "orders_2024-01.csv")
    frame[200:].with_columns(pl.col("Qty") * -1).write_csv(tmp_path / "orders_2024-02.csv")
    draft = draft_of(tmp_path, tmp_path)
    assert "Qty < 0" in guessed(draft)["event_type"]
    assert draft.options[0].why.startswith("400 rows")


def in_halves(folder: Path, *files: tuple[str, str, str]) -> None:
    """Files of orders: their names, what is sold, the encoding."""
    for number, (name, thing, encoding) in enumerate(files):
        part = orders().rename(ENGLISH)[number * 200 : number * 200 + 200]
        content = part.with_columns((thing + pl.col("SKU")).alias("Product Name")).write_csv().encode(encoding)
        file = folder / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_an_encoding_that_would_garble_another_file_is_not_written(tmp_path, caplog, name):
    in_halves(tmp_path / "shop" / "ev", (name, "Käse", "utf-8"), ("b.csv", "Käse", "cp1252"))
    draft = draft_of(tmp_path / "shop", tmp_path)
    assert "encoding" not in guessed(draft)
    assert f"{name} is UTF-8 and " in caplog.text
    (tmp_path / "intently.toml").write_text(toml(draft))
    with pytest.raises(DataError, match=r"b\.csv cannot be read: line 2 is not utf-8"):
        Log.read(tmp_path)


def test_an_encoding_that_would_garble_the_items_is_not_written(tmp_path):
    in_halves(tmp_path, ("orders.csv", "Käse", "cp1252"))
    items = orders().rename(ENGLISH).group_by("SKU").agg(pl.lit("Käse").alias("Title"))
    for encoding, written in (("utf-8", None), ("cp1252", "cp1252")):
        (tmp_path / "products.csv").write_bytes(items.write_csv().encode(encoding))
        assert guessed(draft_of(tmp_path, tmp_path)).get("encoding") == written


def test_the_encoding_of_one_file_is_written_where_others_are_plain(tmp_path):
    in_halves(tmp_path / "shop" / "ev", ("a.csv", "Tea", "utf-8"), ("b.csv", "Käse", "cp1252"))
    draft = draft_of(tmp_path / "shop", tmp_path)
    assert guessed(draft)["encoding"] == "cp1252"
    (tmp_path / "intently.toml").write_text(toml(draft))
    assert len(Log.read(tmp_path).events)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_long_line_of_utf_8_is_not_cut_inside_a_letter(tmp_path, shift):
    rows = orders().rename(ENGLISH).with_columns(note=pl.lit("ä" * 3_000)).write_json()
    (tmp_path / "orders.json").write_text("[" + " " * shift + rows[1:], encoding="utf-8")
    assert "encoding" not in guessed(draft_of(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("manifest", "span"),
    [
        ('{"level": "info"}', {}),
        ('{"level": "info"}\n{"level": "warning"}', {}),
        ('{"observed_from": null, "observed_until": null}', {}),
        (
            '{"observed_from": null, "observed_until": "2024-12-01"}',
            {"observed_until": "2024-12-01T00:00:00+00:00"},
        ),
    ],
)
def test_a_span_that_is_not_stated_is_not_written(tmp_path, manifest, span):
    orders().rename(ENGLISH).write_csv(tmp_path / "orders.csv")
    (tmp_path / "log.json").write_text(manifest)
    told = guessed(draft_of(tmp_path, tmp_path))
    assert {name: value for name, value in told.items() if name.startswith("observed")} == span


def test_ids_with_a_point_are_names(tmp_path):
    item = pl.col("item").cast(pl.Int64)
    frame = orders().with_columns(pl.format("{}.{}0", item // 10, item % 10).alias("item"))
    draft = drafted(tmp_path, frame, **(ENGLISH | {"item": "Product_ID"}))
    assert guessed(draft)["item_id"] == "Product_ID"
    assert "Product_ID" not in {guess.theirs for guess in draft.left}
    (tmp_path / "intently.toml").write_text(toml(draft))
    assert set(Log.read(tmp_path).events["item_id"]) == set(frame["item"])


@pytest.mark.parametrize("name", ["用户", "客户", "顾客", "会员", "买家", "customer"])
def test_whoever_buys_is_found_by_a_plain_word(tmp_path, name):
    (tmp_path / "shop.csv").write_text(f"{name},时间,商品,金额\n张三,2024-01-31 10:00,茶,12.5\n", encoding="utf-8")
    assert guessed(draft_of(tmp_path / "shop.csv", tmp_path))["user_id"] == name


@pytest.mark.parametrize("name", ["type", "类型", "行为", "what", "干了什么"])
def test_what_was_done_is_read_from_the_column_that_says_it_and_no_view_becomes_a_sale(tmp_path, name):
    rows = ["1,2024-01-31 10:00,购买,茶,12.5", "2,2024-02-01 11:00,浏览,杯,", "3,2024-02-02 12:00,购买,杯,3"]
    (tmp_path / "shop.csv").write_text("\n".join([f"用户,时间,{name},商品,金额", *rows]), encoding="utf-8")
    (tmp_path / "intently.toml").write_text(toml(draft_of(tmp_path / "shop.csv", tmp_path)), encoding="utf-8")
    assert Log.read(tmp_path / "intently.toml").events["event_type"].to_list() == ["buy", "view", "buy"]


@pytest.mark.parametrize(
    "words",
    [
        ("search", "ad", "direct"),
        ("view", "sea view", "garden view"),
        ("cart", "pallet", "truck"),
        ("order", "cart", "item"),
        ("detail", "cart", "home"),
        ("cart", "click", "search"),
        ("购物车", "浏览", "搜索"),
        ("basket", "paid", "paid"),
    ],
)
def test_a_column_of_orders_that_holds_words_like_these_takes_no_sale_away(tmp_path, words):
    frame = orders().rename(ENGLISH)
    frame = frame.with_columns(pl.Series("extra", [words[n % 3] for n in range(len(frame))]))
    frame.write_csv(tmp_path / "shop.csv")
    (tmp_path / "intently.toml").write_text(toml(draft_of(tmp_path / "shop.csv", tmp_path)))
    assert set(Log.read(tmp_path / "intently.toml").events["event_type"]) <= {"buy", "return"}


def funnel(rows=300):
    """A log of views, carts and purchases, with money on the purchases alone."""
    done = ["product_view" if n % 6 else "purchase" if n % 12 else "add_to_cart" for n in range(rows)]
    frame = {
        "user_id": [f"c{n % 40}" for n in range(rows)],
        "time": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(rows)],
        "item": [f"p{n % 30}" for n in range(rows)],
        "what": done,
        "amount": [9.5 if one == "purchase" else None for one in done],
    }
    return pl.DataFrame(frame)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("product_type", ("shoe", "hat", "bag")),
        ("type", ("web", "app")),
        ("event_source", ("web", "app")),
        ("用户类型", ("新", "老")),
        ("channel", ("search", "ad", "direct")),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_column_that_tells_what_was_done_goes_before_one_that_is_only_named_so(tmp_path, name, words, first):
    frame = funnel()
    frame = frame.with_columns(pl.Series(name, [words[n % len(words)] for n in range(len(frame))]))
    frame = frame.select(name, pl.exclude(name)) if first else frame
    frame.write_csv(tmp_path / "shop.csv")
    (tmp_path / "intently.toml").write_text(toml(draft_of(tmp_path / "shop.csv", tmp_path)), encoding="utf-8")
    assert set(Log.read(tmp_path / "intently.toml").events["event_type"]) == {"view", "cart", "buy"}


def test_orders_that_say_what_was_done_before_are_sales(tmp_path):
    """There is money on every row, whatever the word."""
    frame = funnel().rename({"what": "before"}).with_columns(pl.lit(9.5).alias("amount"))
    frame.write_csv(tmp_path / "shop.csv")
    (tmp_path / "intently.toml").write_text(toml(draft_of(tmp_path / "shop.csv", tmp_path)))
    assert set(Log.read(tmp_path / "intently.toml").events["event_type"]) == {"buy"}


def test_a_column_that_is_mostly_empty_tells_no_events(tmp_path):
    frame = orders().rename(ENGLISH)
    words = ["view", "purchase", "add_to_cart"]
    frame.with_columns(
        pl.Series("extra", [words[n % 3] if n % 10 == 0 else None for n in range(len(frame))])
    ).write_csv(tmp_path / "shop.csv")
    draft = draft_of(tmp_path / "shop.csv", tmp_path)
    assert "extra" in {guess.theirs for guess in draft.left}
