"""Secrets planted in every text column of a shop, and a search of every byte that the real command leaves behind."""

import gzip
import struct
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from commands import intently
from planted_shop import START, planted

DAY = f"{START + timedelta(weeks=35):%Y-%m-%d}"

SECRETS = (
    "petra.geheim@example.com",
    "zhangmimi88@qq.com",
    "13912348765",
    "415-555-2671",
    "11010519491231002X",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "secret_lily88",
    "Petronella Geheimrat",
)
NUMBER = 13_912_348_765
SAID = (
    "write to petra.geheim@example.com today",
    "请联系zhangmimi88@qq.com或13912348765谢谢",
    "call 415-555-2671, card 4111 1111 1111 1111",
    "身份证11010519491231002X，加微信secret_lily88",
    "refund to DE89370400440532013000",
)


def said(table: pl.DataFrame, start: str = "") -> pl.Series:
    return pl.Series([start + SAID[row % len(SAID)] for row in range(len(table))])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    planted().write(folder / "data")

    def change(name: str, **columns: object) -> None:
        file = folder / "data" / f"{name}.parquet"
        table = pl.read_parquet(file)
        made = {column: value(table) if callable(value) else value for column, value in columns.items()}
        table.with_columns(**made).write_parquet(file)

    change(
        "events", text=said, note=said, session_id=pl.lit("visit"), email=pl.lit(SECRETS[0]), phone=pl.lit(NUMBER),
        contact=pl.lit(NUMBER), answers=lambda table: said(table).reshape((-1, 1)).arr.to_list(),
    )  # fmt: skip
    change(
        "items",
        title=lambda table: said(table, "thing ") + " " + table["item_id"].cast(pl.String),
        description=said,
        seller=said,
    )
    change("users", full_name=pl.lit(SECRETS[-1]), 手机号=pl.lit(str(NUMBER)), about_me=said)
    return folder


def forms(secret: str) -> list[bytes]:
    return [secret.encode(form) for form in ("utf-8", "utf-16-le", "utf-32-le")]


NEEDLES = [
    *(form for secret in SECRETS for form in forms(secret)),
    *(struct.pack(form, NUMBER) for form in ("<q", "<d", "<f")),
]


def contents(file: Path) -> bytes:
    """A file's bytes, unpacked: Parquet as the JSON of its values, gzip as what it holds."""
    if file.suffix == ".parquet":
        return pl.read_parquet(file).write_ndjson().encode()
    raw = file.read_bytes()
    return raw + gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def leaks(folder: Path, *streams: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    found = [str(file) for file in files if any(needle in contents(file) for needle in NEEDLES)]
    return found + [text for text in streams if any(secret in text for secret in SECRETS)]


def test_the_search_finds_what_is_there(shop: Path) -> None:
    assert len(leaks(shop / "data")) == 3


def test_a_pack_holds_no_secret(shop: Path) -> None:
    done = intently("pack", "--data", shop / "data", "--out", shop / "pack")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "events.email" in done.stderr
    assert leaks(shop / "pack", done.stdout, done.stderr) == []


@pytest.mark.slow
def test_a_trained_model_and_its_answers_hold_no_secret(shop: Path) -> None:
    out, data = shop / "out", shop / "data"
    names = ("purchase_intent", "next_item")
    words = [
        "train",
        "--data",
        data,
        "--until",
        DAY,
        "--out",
        out / "bundle",
        "--threads",
        "1",
        "--tasks",
        ",".join(names),
    ]
    runs = [intently(*words, cache=out / "cache")]
    for name in names:
        answers = out / f"{name}.parquet"
        asked = ("predict", out / "bundle", "--data", data, "--at", DAY, "--task", name, "--out", answers)
        runs.append(intently(*asked, cache=out / "cache"))
    asked = ("recommend", out / "bundle", "--data", data, "--user", "c001", "--at", DAY)
    runs.append(intently(*asked, cache=out / "cache"))
    judge = (
        "evaluate",
        out / "bundle",
        "--data",
        data,
        "--out",
        out / "report",
        "--cutoffs",
        DAY,
        "--replicates",
        "50",
    )
    runs.append(intently(*judge, cache=out / "cache"))
    for done in runs:
        assert done.returncode == 0, done.stderr[-2000:]
    assert leaks(out, *(done.stdout + done.stderr for done in runs)) == []
