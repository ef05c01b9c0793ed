"""Dropout by the byte: the share that is asked for, made up for exactly, drawn anew and drawn again by its seed."""

import pytest
import torch

from intently.learn.dropout import dropout


@pytest.mark.parametrize("chance", [0.1, 0.2, 0.5, 0.9])
def test_the_share_is_dropped_and_made_up_for(chance):
    torch.manual_seed(0)
    share = round(chance * 256) / 256
    found = dropout(torch.full((1000, 1001), 3.0), chance)
    assert float((found == 0).float().mean()) == pytest.approx(share, abs=0.003)
    torch.testing.assert_close(found.unique(), torch.tensor([0.0, 3 / (1 - share)]))
    # As often in every row and column, and in one place whatever became of the one before.
    gone = (found == 0).double()
    assert float((gone.mean(dim=0) - share).abs().max()) < 0.1
    assert float((gone.mean(dim=1) - share).abs().max()) < 0.1
    assert float((gone[:, 1:] * gone[:, :-1]).mean()) == pytest.approx(share**2, abs=0.003)


def test_what_is_kept_has_the_gradient_of_what_it_became():
    x = torch.ones(50, 7, requires_grad=True)
    found = dropout(x, 0.5)
    found.sum().backward()
    torch.testing.assert_close(x.grad, found.detach())


def test_it_is_drawn_from_the_generator_of_torch():
    x = torch.ones(100)
    torch.manual_seed(1)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), first)
    assert not torch.equal(first, second)


def test_at_the_ends_and_untrained_nothing_is_drawn():
    x = torch.randn(5, 3)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.5, training=False) is x
    assert torch.equal(dropout(x, 1.0), torch.zeros(5, 3))
