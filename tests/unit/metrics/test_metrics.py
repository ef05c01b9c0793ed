from pathlib import Path

import pytest

from intently import metrics
from intently.errors import ConfigError


def test_every_file_is_listed():
    files = {path.stem for path in Path(metrics.__file__).parent.glob("*.py")} - {"__init__", "metric"}
    assert files == {metric.function.__module__.rsplit(".", 1)[1] for metric in metrics.ALL}


def test_names_are_unique_within_a_kind():
    keys = [(metric.kind, metric.name) for metric in metrics.ALL]
    assert len(keys) == len(set(keys))


def test_of_keeps_the_order_asked_for():
    assert [metric.name for metric in metrics.of("YesNo", ("ece", "auroc"))] == ["ece", "auroc"]
    assert len(metrics.of("YesNo")) >= 5


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="'auroc'"):
        metrics.of("YesNo", ("auroq",))
    with pytest.raises(ConfigError, match="Amount"):
        metrics.of("Number", ("mae",))
