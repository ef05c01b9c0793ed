"""How a log is known again."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from intently.log.blocks import Unpacked
from intently.log.log import Log
from intently.tasks import purchase_intent
from planted_shop import START, planted

UNTIL = START + timedelta(weeks=40)


def test_a_fingerprint_is_of_what_happened_not_of_its_order() -> None:
    log = planted()
    assert log.fingerprint() == replace(log, events=log.events.sample(fraction=1, shuffle=True, seed=1)).fingerprint()
    assert log.fingerprint() != log.before(START + timedelta(weeks=39)).fingerprint()


def first(column: str, value: object) -> pl.Expr:
    """A column whose first row says something else."""
    return pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value)).otherwise(column).alias(column)


CHANGES: dict[str, Callable[[Log], Log]] = {
    "an amount": lambda log: replace(log, events=log.events.with_columns(first("amount", 9999.0))),
    "a title": lambda log: replace(log, items=log.items.with_columns(first("title", "corrected"))),
    "a trait": lambda log: replace(log, users=log.users.with_columns(first("town", "corrected"))),
}


def checkpoints_of(log: Log, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of checkpoints of a training on a log."""
    from intently.learn import train

    class Found(Exception):
        pass

    def found(*training: object) -> Path:
        raise Found(plain(*training))

    plain = train.folder_of
    with monkeypatch.context() as patch:
        patch.setattr(train, "folder_of", found)
        with pytest.raises(Found) as stopped:
            train.train(log, UNTIL, [purchase_intent.TASK], checkpoints=Path("runs"))
    folder = stopped.value.args[0]
    assert isinstance(folder, Path)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_begun_of_a_log_is_gone_on_with_only_where_nothing_of_it_was_corrected(change, monkeypatch) -> None:
    log, other = planted(), CHANGES[change](planted())
    assert Unpacked.of_log(planted(), "memory").stamp == Unpacked.of_log(log, "memory").stamp
    assert Unpacked.of_log(other, "memory").stamp != Unpacked.of_log(log, "memory").stamp
    assert checkpoints_of(planted(), monkeypatch) == checkpoints_of(log, monkeypatch)
    assert checkpoints_of(other, monkeypatch) != checkpoints_of(log, monkeypatch)


def test_a_log_that_is_read_again_is_the_same_in_another_process(tmp_path) -> None:
    log = planted()
    categories = replace(log, items=log.items.with_columns(pl.col("category").cast(pl.Categorical)))
    categories.write(tmp_path)
    told = "; ".join(
        (
            "import polars",
            # Codes of categories that this process does not have.
            "polars.Series(['another', 'category'], dtype=polars.Categorical)",
            "from intently.log.log import Log",
            f"print(Log.read({str(tmp_path)!r}).checksum())",
        )
    )
    again = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=120)
    assert again.stdout.split()[-1] == Log.read(tmp_path).checksum()
