"""What a training will take: measured on a few steps that change nothing."""

import itertools

import pytest
import torch
from torch import nn

from intently.learn.estimate import Estimate, estimate


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def test_nothing_is_learned_and_nothing_is_drawn(network):
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    drawn = torch.get_rng_state()
    batches = [torch.randn(8, length + 1, 4, generator=torch.Generator().manual_seed(length)) for length in range(9)]
    found = estimate(network, batches, 3, lambda batch: network(batch).square().mean())
    assert found.seconds > 0
    assert found.megabytes > 10
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(weight.equal(before[name]) for name, weight in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize(("count", "wanted"), [(1, [0, 0, 0, 0, 0]), (8, [7, 1, 3, 5, 7]), (100, [99, 12, 37, 62, 87])])
def test_the_longest_is_tried_first_and_the_others_are_spread_evenly(network, count, wanted):
    tried = []

    def loss(batch):
        tried.append(batch)
        return network(torch.ones(2, 4)).mean()

    # Two looks at the clock, a second apart, about four steps.
    ticks = itertools.count()
    found = estimate(network, range(count), 3, loss, clock=lambda: next(ticks))
    assert tried == wanted
    assert found.seconds == pytest.approx(0.25 * count * 3)


def test_it_is_told_in_words():
    assert str(Estimate(42.4, 700.0)) == "about 42 seconds and 0.7 GB of memory"
    assert str(Estimate(400.0, 3072.0)) == "about 7 minutes and 3.0 GB of memory"
