"""The softmax over a whole catalogue: the same numbers and gradients as the plain one."""

import pytest
import torch

from intently.learn import softmax
from intently.learn.softmax import log_total


def plainly(query, vectors, bias):
    return torch.logsumexp(query @ vectors.T + bias, dim=1)


# How long queries are: short ones' logits are all safe to take the exponential of, long ones' are not.
SHORT, LONG = 1.0, 2.0


def both(dtype, length=SHORT, rows=40, items=300, width=16):
    torch.manual_seed(0)
    given = [torch.randn(rows, width) * length, torch.randn(items, width), torch.randn(items)]
    weight = torch.randn(rows)
    found = []
    for function in (plainly, lambda *parts: log_total(*parts, dtype)):
        parts = [part.clone().requires_grad_() for part in given]
        value = function(*parts)
        (value * weight).sum().backward()
        found.append([value.detach(), *(part.grad for part in parts)])
    return zip(*found, strict=True)


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_in_single_precision_it_is_the_plain_one(length):
    for wanted, found in both(torch.float32, length):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_taken_in_turns_it_is_the_same(length, monkeypatch):
    monkeypatch.setattr(softmax, "_AT_ONCE", 300 * 7)
    for wanted, found in both(torch.float32, length):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [SHORT, LONG])
@pytest.mark.parametrize("items", [2, 300, 5000])
def test_in_bfloat16_it_is_within_its_precision(items, length):
    for wanted, found in both(torch.bfloat16, length, items=items):
        assert torch.linalg.norm(found - wanted) < 0.02 * torch.linalg.norm(wanted)


def test_logits_far_from_zero_do_not_overflow():
    query = torch.full((2, 4), 50.0)
    assert torch.isfinite(log_total(query, torch.full((3, 4), 50.0), torch.zeros(3), torch.float32)).all()


def test_an_item_left_out_by_its_bias_counts_for_nothing():
    query, vectors = torch.randn(2, 4), torch.randn(3, 4)
    found = log_total(query, vectors, torch.tensor([0.5, -torch.inf, -200.0]), torch.float32)
    torch.testing.assert_close(found, query @ vectors[0] + 0.5)
