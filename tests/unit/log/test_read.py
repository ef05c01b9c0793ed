# ruff: noqa: DTZ001
"""Raw tables from files, good and bad."""

import gzip
import json
from datetime import datetime

import polars as pl
import pytest

from intently.errors import DataError
from intently.log.read import files_of, likely_encoding, read_file, read_files

TABLE = pl.DataFrame({"user_id": [1, 2, 3], "title": ["mug", "雨衣 😀", 'a "b", c\nd'], "amount": [1.5, None, 3.0]})


def write(path, frame=TABLE):
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    plain = path.with_name("plain")
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson, "json": frame.write_json}[
        kind
    ](plain)
    content = plain.read_bytes()
    plain.unlink()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "json"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_kind_of_file(tmp_path, form, packed):
    assert read_file(write(tmp_path / f"a.{form}{packed}")).equals(TABLE)


def test_a_folder_and_a_pattern_of_mixed_files_are_one_table(tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "a.parquet", TABLE.with_columns(at=pl.lit(datetime(2024, 1, 31, 10))))
    write(tmp_path / "deep" / "b.csv", TABLE.with_columns(at=pl.lit("2024-01-31T10:00:00Z"), more=1).drop("amount"))
    write(tmp_path / "c.jsonl.gz", TABLE.with_columns(user_id=pl.lit("x")))
    (tmp_path / "notes.txt").write_text("not a table")
    (tmp_path / ".hidden.csv").write_text("a\n1\n")
    frame = read_files(tmp_path)
    assert len(frame) == 9
    assert frame["user_id"].to_list() == ["1", "2", "3", "x", "x", "x", "1", "2", "3"]
    assert frame["at"].drop_nulls().to_list() == ["2024-01-31T10:00:00.000000"] * 3 + ["2024-01-31T10:00:00Z"] * 3
    assert len(read_files(f"{tmp_path}/*.parquet")) == 3
    assert len(read_files(f"{tmp_path}/**/*.csv")) == 3
    assert [path.name for path in files_of(tmp_path)] == ["a.parquet", "c.jsonl.gz", "b.csv"]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "cp1252", "utf-8-sig"])
def test_other_encodings(tmp_path, encoding):
    word = "café" if encoding == "cp1252" else "手机壳"
    (tmp_path / "a.csv").write_bytes(f"id,title\n1,{word}\n".encode(encoding))
    frame = read_file(tmp_path / "a.csv", encoding="utf-8" if encoding in ("utf-16", "utf-8-sig") else encoding)
    assert frame.rows() == [(1, word)]
    assert frame.columns == ["id", "title"]


def test_a_column_has_the_type_that_all_its_values_have(tmp_path):
    rows = [f"{n},{n:04},{n},{n}.5,{n},12345678901234567890,2024-01-31T10:00:00Z" for n in range(20_000)]
    rows.append("20000,1,C20000,x,,1,2024-01-31T10:00:00+01:00")
    (tmp_path / "a.csv").write_text("\n".join(["n,sku,invoice,price,gap,long,at", *rows]))
    frame = read_file(tmp_path / "a.csv")
    kinds = dict(zip(frame.columns, frame.dtypes, strict=True))
    # 0012 is a name and not a number; a letter in the last row makes a column text, and nothing is lost.
    text = pl.String()
    assert kinds == {
        "n": pl.Int64(),
        "sku": text,
        "invoice": text,
        "price": text,
        "gap": pl.Int64(),
        "long": text,
        "at": text,
    }
    assert frame["sku"][7] == "0007"


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_separators(tmp_path, mark):
    (tmp_path / "a.csv").write_text(f"id{mark}paid\n1{mark}2,5\n")
    assert read_file(tmp_path / "a.csv").rows() == [(1, "2,5")]


def test_a_text_of_ten_megabytes(tmp_path):
    text = 'line "one",\n' * 900_000
    write(tmp_path / "a.csv", pl.DataFrame({"id": [1, 2], "text": [text, "short"]}))
    assert read_file(tmp_path / "a.csv")["text"].to_list() == [text, "short"]
    write(tmp_path / "a.jsonl", pl.DataFrame({"id": [1, 2], "text": [text, "short"]}))
    assert read_file(tmp_path / "a.jsonl")["text"].to_list() == [text, "short"]


def test_nested_records_stay_nested_and_may_differ_from_line_to_line(tmp_path):
    lines = [{"a": {"b": 1}}] * 5000 + [{"a": {"c": [{"d": "x"}]}, "e": True}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    frame = read_file(tmp_path / "a.jsonl")
    assert frame["a"][5000] == {"b": None, "c": [{"d": "x"}]}


BAD = {
    "a.csv": (b"", "it is empty"),
    "b.csv": (b"  \n\n", "it is empty"),
    "c.csv": (b"id,x\n1,2\n2,3,4\n", "row 1 (line 3) has 3 values and there are 2 columns"),
    "d.csv": (b'id,x\n1,2\n2,"open\n3,4\n', "a quotation mark is not closed"),
    "e.csv": (b"PK\x03\x04 and so on", "It looks like an Excel or zip file."),
    "f.csv": (b"id\n1\n\xe9\n", "line 3 is not utf-8 text"),
    "g.csv.gz": (b"id,x\n1,2\n", "it is not a whole gzip file"),
    "h.csv.gz": (gzip.compress(b"id,x\n1,2\n" * 1000)[:40], "it is not a whole gzip file"),
    "i.parquet": (b"id,x\n1,2\n" * 10, "cannot be read"),
    "j.jsonl": (b'{"a": 1}\n{"a": 2\n', "line 2 is not JSON"),
    "k.jsonl": (b'{"a": 1}\n[1, 2]\n', "line 2 is not an object"),
    "l.csv": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is not text"),
    "m.xlsx": (b"PK\x03\x04", "not a kind of file that is read here"),
    "n.parquet": (b"", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, name):
    content, says = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_file(tmp_path / name)
    assert str(tmp_path / name) in raised.value.problem
    assert says in str(raised.value)
    assert raised.value.mend


def test_a_chinese_file_of_another_encoding_is_told_how_to_read_it(tmp_path):
    (tmp_path / "a.csv").write_bytes("用户,名称\n1,手机壳\n".encode("gb18030"))
    with pytest.raises(DataError, match="encoding = 'gb18030'"):
        read_file(tmp_path / "a.csv")
    with pytest.raises(DataError, match="'klingon' is not an encoding"):
        read_file(tmp_path / "a.csv", encoding="klingon")
    assert likely_encoding("größe café naïve".encode("cp1252")) == "cp1252"


def test_a_truncated_parquet(tmp_path):
    path = write(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        read_file(path)


def test_no_files_and_files_that_do_not_go_together(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        read_files(tmp_path / "*.csv")
    write(tmp_path / "a.jsonl", pl.DataFrame({"x": [[1]]}))
    write(tmp_path / "b.jsonl", pl.DataFrame({"x": ["word"]}))
    with pytest.raises(DataError, match="do not go together"):
        read_files(tmp_path)


def test_a_customer_is_one_where_a_file_has_floats_and_another_text(tmp_path):
    pl.DataFrame({"user_id": [17850.0, None, 7.0], "share": [0.5, 1.0, 2.0]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"user_id": [5, 6]}).cast(pl.Decimal(10, 2)).write_parquet(tmp_path / "b.parquet")
    pl.DataFrame({"user_id": ["17850", "ann"], "share": ["0.5", "1"]}).write_parquet(tmp_path / "c.parquet")
    frame = read_files(tmp_path)
    assert frame["user_id"].to_list() == ["17850", None, "7", "5", "6", "17850", "ann"]
    assert frame["share"].drop_nulls().to_list() == ["0.5", "1.0", "2.0", "0.5", "1"]


def test_dates_beside_counts_are_dates(tmp_path):
    pl.DataFrame({"at": [datetime(2024, 1, 31).date()]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"at": [1_706_745_600_000]}).write_parquet(tmp_path / "b.parquet")
    assert read_files(tmp_path)["at"].to_list() == ["2024-01-31", "1706745600000"]


def test_an_empty_value_in_quotes_is_none_of_a_column_of_numbers(tmp_path):
    (tmp_path / "a.csv").write_text('"n","rating","word"\n"1","","a"\n"","4.5",""\n')
    assert read_file(tmp_path / "a.csv").rows() == [(1, None, "a"), (None, 4.5, "")]


def test_a_name_keeps_its_last_zero(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,c,d\n1.1,1.10,7.0,1.10\nnan,2.5,8.0,2.5\n")
    frame = read_file(tmp_path / "a.csv", names={"a", "b", "c"})
    assert frame.rows() == [("1.1", "1.10", 7.0, 1.1), ("nan", "2.5", 8.0, 2.5)]


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("17850.0\n\n", "17850.0\nC-12\n", ["17850", None, "17850", "C-12"]),
        ("1.0\n2.0\n", "1.0\n1.5\n", ["1", "2", "1", "1.5"]),
        ("1.10\n", "2.0\n3.0\n", ["1.10", "2", "3"]),
    ],
)
def test_an_id_is_one_name_in_every_file(tmp_path, a, b, found):
    for name, rows in (("a", a), ("b", b)):
        lines = "".join(f"{row},1\n" for row in rows.split("\n")[:-1])
        (tmp_path / f"{name}.csv").write_text("user_id,n\n" + lines)
    assert read_files(tmp_path, names={"user_id"})["user_id"].to_list() == found


def test_an_id_written_as_a_double_in_one_table_and_as_text_in_another_is_one(tmp_path):
    pl.DataFrame({"user_id": [17850.0, None]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"user_id": ["17850.0", "g1"]}).write_parquet(tmp_path / "b.parquet")
    assert read_files(tmp_path)["user_id"].to_list() == ["17850", None, "17850", "g1"]
