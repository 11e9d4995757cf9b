"""IPW and PDA: closed forms, and a problem with known propensities that the weights make unbiased."""

from __future__ import annotations

import math

import pytest
import torch

from recbole_decm.model.baselines.debiasing import elu_plus_one, inverse_propensity_weights, popularity_factor
from recbole_decm.model.losses import softmax_contrastive


def test_weights_in_closed_form():
    counts = torch.tensor([1, 4, 16, 3, 0])  # the mean of what was chosen at all is 6
    assert inverse_propensity_weights(counts, 0.5, 100.0).tolist() == pytest.approx(
        [math.sqrt(6 / count) for count in (1, 4, 16, 3, 1)]
    )
    assert inverse_propensity_weights(counts, 1.0, 1.8).tolist() == pytest.approx([1.8, 1.5, 6 / 16, 1.8, 1.8])
    assert inverse_propensity_weights(counts, 0.0, 10.0).tolist() == [1.0] * 5


def observed(relevance, propensity):
    """Music of a batch in which a music is seen relevance * propensity times."""
    return torch.repeat_interleave(torch.arange(len(relevance)), relevance * propensity)


def test_weighted_loss_is_the_one_without_selection():
    """Popularity is propensity here, so with its inverse the loss is the mean over all that is relevant."""
    propensity, relevance = torch.tensor([8, 4, 2, 1]), torch.tensor([3, 3, 3, 3])
    table = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))  # a music's logits of being chosen
    music = observed(relevance, propensity)
    weights = inverse_propensity_weights(torch.bincount(music), 1.0, 1e6)[music]

    def loss_of(rows):
        return torch.nn.functional.cross_entropy(table[rows], rows, reduction="none")

    estimate = (weights * loss_of(music)).sum() / weights.sum()
    unbiased = loss_of(observed(relevance, torch.ones(4, dtype=torch.int64))).mean()
    assert estimate.item() == pytest.approx(unbiased.item(), rel=1e-5)
    assert abs(loss_of(music).mean().item() - unbiased.item()) > 0.05  # what is observed is not what is relevant


@pytest.mark.parametrize("both_directions", [False, True])
def test_the_matching_term_is_the_weighted_mean_of_its_pairs(both_directions):
    generator = torch.Generator().manual_seed(0)
    logits, music = torch.randn(6, 6, generator=generator), torch.tensor([0, 1, 1, 2, 3, 4])
    same, weights = music.unsqueeze(1) == music, torch.rand(6, generator=generator) + 0.1
    expected = 0.0
    for row in range(6):
        for scores in (logits[row], logits[:, row])[: 1 + both_directions]:
            others = [j for j in range(6) if j == row or not same[row, j]]
            term = torch.logsumexp(scores[others], dim=0) - scores[row]
            expected += weights[row] * term / (1 + both_directions)
    found = softmax_contrastive(logits, same, None, both_directions, weights)
    assert found.item() == pytest.approx((expected / weights.sum()).item(), rel=1e-5)
    alike = softmax_contrastive(logits, same, None, both_directions, torch.full((6,), 3.0))
    assert alike.item() == pytest.approx(softmax_contrastive(logits, same, None, both_directions).item(), rel=1e-6)


def test_elu_plus_one_and_its_derivative_in_closed_form():
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 4.0], dtype=torch.float64, requires_grad=True)
    value = elu_plus_one(x)
    assert value.tolist() == pytest.approx([math.exp(-3), math.exp(-0.5), 1, 1.5, 5])
    value.sum().backward()
    assert x.grad.tolist() == pytest.approx([math.exp(-3), math.exp(-0.5), 1, 1, 1])


def test_popularity_is_relative_to_the_mean():
    assert popularity_factor(torch.tensor([1, 4, 7]), 0.5).tolist() == pytest.approx([0.5, 1.0, math.sqrt(7 / 4)])
    assert popularity_factor(torch.tensor([0, 1, 1]), 0.5).tolist() == [1.0, 1.0, 1.0]  # without pairs: as with one
    assert popularity_factor(torch.tensor([1, 4, 7]), 0.0).tolist() == [1.0, 1.0, 1.0]
