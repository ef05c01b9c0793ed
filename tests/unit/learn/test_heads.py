"""Heads against what they claim to be."""

import numpy as np
import pytest
import torch

from intently.contract import QUANTILES, OneOf, Shares
from intently.learn.batches import MEMORY_FEATURES, Truths
from intently.learn.heads import AmountHead, RankingHead, YesNoHead, _log_add, head_for
from intently.tasks.purchase_intent import TASK as INTENT
from intently.tasks.purchasing_power import TASK as POWER


def test_an_amount_starts_at_the_mean_and_at_a_zero_inflated_log_normal() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(400) < 0.3, 0, np.exp(rng.normal(3, 0.8, 400))).astype(np.float32)
    head = AmountHead(4, Truths(POWER, np.arange(400), truth))
    with torch.no_grad():
        head.out.weight.zero_()
        found = head.answer(torch.zeros(1, 4))[0].numpy()
    some, mu, sigma = 1 / (1 + np.exp(-head.out.bias[0].item())), head.out.bias[1].item(), None
    sigma = np.log1p(np.exp(head.out.bias[2].item()))
    drawn = np.where(rng.random(400_000) < some, np.exp(rng.normal(mu, sigma, 400_000)), 0)
    assert np.isclose(found[0], truth.mean(), rtol=1e-4)
    assert np.allclose(found[1:], np.quantile(drawn, QUANTILES), rtol=0.03, atol=0.3)


def test_a_constant_truth_starts_at_a_loss_of_one() -> None:
    truth = np.array([1, 0, 0, 0] * 10, dtype=np.float32)
    head = YesNoHead(4, Truths(INTENT, np.arange(40), truth))
    with torch.no_grad():
        head.out.weight.zero_()
    batch = {"truth.t.now": torch.arange(40), "truth.t.value": torch.from_numpy(truth)}
    assert np.isclose(head.loss(torch.zeros(40, 4), batch, "t").item(), 1.0, atol=1e-5)


def test_log_add_is_a_log_of_sums() -> None:
    total = torch.tensor([0.0, 50.0])
    found = _log_add(total, torch.tensor([0, 0, 1]), torch.tensor([1.0, 2.0, 80.0]))
    assert torch.allclose(found, torch.tensor([float(np.log(1 + np.e + np.e**2)), 80.0]), atol=1e-4)


@pytest.mark.parametrize("whole", [False, True])
def test_the_ranking_loss_is_a_softmax_over_negatives_own_and_true_items_or_the_whole_catalogue(whole) -> None:
    torch.manual_seed(0)
    head = RankingHead(6, 4)
    torch.nn.init.normal_(head.memory.out.weight)
    states, vectors, bias = torch.randn(2, 6), torch.randn(9, 4), torch.randn(9)
    # Now 0 is not asked. Now 1 remembers 2 and 5, and goes on to buy 5 and 7; 0, 1 are negatives, 8 is "no item".
    batch = {
        "truth.t.now": torch.tensor([1]),
        "truth.t.owner": torch.tensor([0, 0]),
        "truth.t.value": torch.tensor([5, 7]),
        "truth.t.code": torch.tensor([5, 7]),
        "memory.t.now": torch.tensor([0, 1, 1]),
        "memory.t.value": torch.tensor([3, 2, 5]),
        "memory.t.code": torch.tensor([3, 2, 5]),
        "memory.t.features": torch.randn(3, MEMORY_FEATURES),
    }
    plain = head.query(states) @ vectors.T + bias
    more = head.memory(states, batch["memory.t.now"], batch["memory.t.features"], plain[[0, 1, 1], [3, 2, 5]])
    logit = dict(enumerate(plain[1, :8]))
    logit[2], logit[5] = logit[2] + more[1], logit[5] + more[2]
    if not whole:
        batch |= {"negative": torch.tensor([0, 1]), "negative_log_q": torch.tensor([0.3, -0.2])}
        logit = {0: logit[0] - 0.3, 1: logit[1] + 0.2, 2: logit[2], 5: logit[5], 7: logit[7]}
    total = torch.logsumexp(torch.stack(list(logit.values())), 0)
    naive = ((total - logit[5]) + (total - logit[7])) / 2 / head.scale
    assert torch.allclose(head.loss(states, batch, "t", vectors, bias), naive, atol=1e-5)


def test_a_head_that_is_loaded_has_the_loss_that_it_had() -> None:
    """Whatever truths it was made with: what it has from them comes with its weights."""
    rng = np.random.default_rng(0)
    rows = np.arange(40)
    share = rng.dirichlet([1.0, 1.0, 1.0], 40).astype(np.float32)
    answers = {
        INTENT.answer: rng.random(40) < 0.2,
        POWER.answer: rng.gamma(2, 30, 40),
        OneOf(("a", "b", "c")): rng.choice(3, 40, p=[0.7, 0.2, 0.1]),
        Shares("category"): share,
    }
    for answer, truth in answers.items():
        truth = truth.astype(np.float32)
        made = head_for(answer, 4, 4, Truths(INTENT, rows, truth))
        blank = head_for(answer, 4, 4, Truths(INTENT, rows, np.ones_like(truth[:1])))
        blank.load_state_dict(made.state_dict())
        nothing = torch.zeros(0, dtype=torch.long)
        batch = {
            "truth.t.now": torch.arange(40),
            "truth.t.value": torch.from_numpy(truth),
            "memory.t.now": nothing,
            "memory.t.value": nothing,
            "memory.t.features": torch.zeros(0, MEMORY_FEATURES),
        }
        states = torch.randn(40, 4)
        assert made.loss(states, batch, "t").item() == blank.loss(states, batch, "t").item(), answer
