"""How well and how fast personal data is masked: the table of cases, and texts that customers really wrote.

    .venv/bin/python bench/masking.py

Precision and recall are counted in places by kind; a known miss of the table counts against recall. The rules were
written with this table at hand, so its figures are those of a check, not of an unseen sample. Texts of the shops in
INTENTLY_DATA (left out without it) say how many are changed where personal data is rare. Speed is of one thread, in
processor seconds.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from intently.log import complete_journey
from intently.log.mask import KINDS, counted, mask, masked

HERE = Path(__file__).parent
CASES = HERE.parent / "tests" / "unit" / "log" / "masking_cases.tsv"
TEXTS = 1_000_000
WORDS = (
    "winter coat",
    "green tea",
    "很好",
    "质量",
    "不错",
    "delivery was quick",
    "iphone 13",
    "size 42",
    "快递",
    "at the shop",
)


def main() -> None:
    told = {
        "command": " ".join(["python", *sys.argv]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",  # noqa: TID251 - the date of the measurement
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "cases": cases(),
        "shops": shops(),
        "speed": speed(),
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "masking.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(told, indent=1, ensure_ascii=False))


def cases() -> dict:
    """Precision and recall by language and kind."""
    table = pl.read_csv(CASES, separator="\t", quote_char=None)
    chinese = pl.col("text").str.contains(r"\p{Han}")
    parts = {"all": table, "chinese": table.filter(chinese), "other": table.filter(~chinese)}
    found = {"cases": len(table), "known_misses": table["missed"].count()}
    return found | {name: by_kind(part) for name, part in parts.items()}


def by_kind(table: pl.DataFrame) -> dict:
    right, wanted, said = Counter(), Counter(), Counter()
    for text, expected, missed, _ in table.rows():
        target, got = tokens(expected), tokens(mask(text))
        right, said, wanted = right + (target & got), said + got, wanted + target + Counter([missed] if missed else [])
    for counts in (right, wanted, said):
        counts["all"] = counts.total()
    return {
        kind: {
            "places": wanted[kind],
            "precision": round(right[kind] / said[kind], 4) if said[kind] else None,
            "recall": round(right[kind] / wanted[kind], 4) if wanted[kind] else None,
        }
        for kind in ("all", *KINDS)
    }


def tokens(text: str) -> Counter:
    return Counter({kind: text.count(f"[{kind}]") for kind in KINDS})


def shops() -> dict:
    """Texts of real shops: how many there are, how many were changed, and how fast."""
    items = complete_journey.read().items
    catalogue = pl.concat([items[name].cast(pl.String).alias("text") for name in items.columns[1:]])
    found = {"Complete Journey, catalogue": changes(catalogue.drop_nulls())}
    if "INTENTLY_DATA" not in os.environ:
        return found | {"others left out": "INTENTLY_DATA is not set"}
    data = Path(os.environ["INTENTLY_DATA"])
    for name, file, column in (
        ("item titles", "online_retail.parquet", "Description"),
        ("invoice numbers", "online_retail.parquet", "InvoiceNo"),
        ("reviews, Chinese", "online_shopping_10_cats.parquet", "review"),
        ("support messages, English", "banking77_train.csv", "text"),
    ):
        read = pl.read_parquet if file.endswith("parquet") else pl.read_csv
        found[name] = changes(read(data / file)[column].cast(pl.String).drop_nulls())
    return found


def changes(texts: pl.Series) -> dict:
    start = time.process_time()
    after = masked(texts)
    seconds = time.process_time() - start
    return {
        "texts": len(texts),
        "changed": int((texts != after).sum()),
        "places": counted(after),
        "texts_a_second": round(len(texts) / seconds),
    }


def speed() -> dict:
    """Distinct short texts a second, by the share of them that holds an e-mail and a phone."""
    rng = np.random.default_rng(0)
    words = np.array(WORDS)[rng.integers(len(WORDS), size=(TEXTS, 5))]
    plain = pl.Series([f"{' '.join(row)} {number % 1000}" for number, row in enumerate(words)])
    found = {}
    for share in (0, 0.001, 0.01, 0.1):
        texts = plain.to_list()
        for number in rng.choice(TEXTS, int(share * TEXTS), replace=False):
            texts[number] += f" 电话138001{number % 100_000:05} mail a{number}@b.com"
        column = pl.Series(texts)
        seconds = []
        for _ in range(3):
            start = time.process_time()
            masked(column)
            seconds.append(time.process_time() - start)
        found[f"{share:.1%} hold something"] = round(TEXTS / min(seconds))
    return found


if __name__ == "__main__":
    main()
