import numpy as np
import pytest

from intently.evaluate.cost import measured


def test_a_busy_block_costs_time_and_memory():
    with measured() as cost:
        block = np.ones(8_000_000)
        total = sum(float(block.sum()) for _ in range(10))
    assert total == 80_000_000
    assert cost.cpu_seconds > 0
    assert 0 < cost.wall_seconds < 60
    assert cost.peak_megabytes > 8 * 8


def test_a_block_that_fails_is_measured_too():
    with pytest.raises(ValueError, match="no"), measured() as cost:
        raise ValueError("no")
    assert cost.wall_seconds > 0


def test_row():
    with measured() as cost:
        pass
    cost.wall_seconds = 2.0
    row = cost.row("lightgbm", "predict", customers=1000)
    assert row["ms_per_customer"] == 2.0
    assert cost.row("lightgbm", "fit")["ms_per_customer"] is None
    assert set(row) == {"predictor", "step", "wall_seconds", "cpu_seconds", "peak_megabytes", "ms_per_customer"}
