"""The rivals' terms on batches that are worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from recbole_decm.data.balance import balanced_chances
from recbole_decm.model.baselines.rival_losses import genre_contrast, structure_loss


def unit(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_structure_that_is_kept_costs_nothing():
    features = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    assert structure_loss(normalize(features, dim=1), 3 * features, rows=8).item() == 0


def test_structure_by_hand():
    """Three vectors at 0, 10 and 60 degrees, embedded at 0, 50 and 60: for the second alone, the nearer one changes."""
    found = structure_loss(unit(0, 50, 60), unit(0, 10, 60), rows=2)
    # Its others are the third and the first: cos 10 - cos 50 is positive after, and was negative before.
    expected = 2 * (math.cos(math.radians(10)) - math.cos(math.radians(50))) / 3
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_structure_against_a_loop_over_distances():
    """(sign(before) - sign(after)) (d_ik - d_ij) with distances d = -product, as in the authors' code."""
    generator = torch.Generator().manual_seed(1)
    embedded, features = (torch.randn(7, size, generator=generator) for size in (3, 5))
    embedded, rows, terms = normalize(embedded, dim=1), 4, []
    directions = normalize(features, dim=1)
    for i in range(7):
        others = [(i + step) % 7 for step in range(1, rows + 1)]
        for a in range(rows):
            for b in range(a + 1, rows):
                j, k = others[a], others[b]
                after = [-embedded[i] @ embedded[j], -embedded[i] @ embedded[k]]
                before = [-directions[i] @ directions[j], -directions[i] @ directions[k]]
                sign = (before[0] - before[1]).sign() - (after[0] - after[1]).sign()
                terms.append(sign * (after[1] - after[0]))
    assert structure_loss(embedded, features, rows).item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


def test_a_step_against_the_gradient_of_the_structure_repairs_it():
    angles = torch.tensor([0.0, 50.0, 60.0]).deg2rad().requires_grad_()
    embedded = torch.stack([angles.cos(), angles.sin()], dim=1)
    before = structure_loss(embedded, unit(0, 10, 60), rows=2)
    before.backward()
    moved = (angles - 0.1 * angles.grad).detach()
    assert structure_loss(torch.stack([moved.cos(), moved.sin()], dim=1), unit(0, 10, 60), rows=2) < before


@pytest.mark.parametrize("count", [1, 2])
def test_no_structure_without_two_others(count):
    assert structure_loss(torch.ones(count, 2), torch.ones(count, 2), rows=5).item() == 0


def test_contrast_of_genres_by_hand():
    """Logits 1 on the diagonal and 0 beside: log(1 + 1/e) for the own track, log(1 + e) for the other."""
    own, other = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    assert genre_contrast(torch.eye(2), torch.eye(2)).item() == pytest.approx(own)
    assert genre_contrast(torch.eye(2), torch.ones(2, 1)).item() == pytest.approx((own + other) / 2)
    shared = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])  # one genre of two is enough
    assert genre_contrast(torch.eye(2), shared).item() == pytest.approx((own + other) / 2)
    assert genre_contrast(torch.eye(2), torch.zeros(2, 3)).item() == pytest.approx(own)  # without genres


def test_contrast_of_genres_asks_both_ways():
    logits = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    rows = (math.log(1 + math.exp(2)) + math.log(2)) / 2
    columns = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert genre_contrast(logits, torch.eye(2)).item() == pytest.approx((rows + columns) / 2)


def test_genres_are_drawn_alike():
    member = np.zeros((8, 3))
    member[:5, 0] = member[5:7, 1] = 1  # five, two, and one without a genre
    chances = balanced_chances(member, 1.0)
    assert chances == pytest.approx(np.array([1 / 15] * 5 + [1 / 6] * 2 + [1 / 3]))
    assert balanced_chances(member, 0.0) == pytest.approx(np.full(8, 1 / 8))
    roots = np.array([5**-0.5] * 5 + [2**-0.5] * 2 + [1.0])
    assert balanced_chances(member, 0.5) == pytest.approx(roots / roots.sum())
    both = np.array([[1.0, 0.0], [0.5, 0.5]])  # 1.5 pairs and 0.5
    assert balanced_chances(both, 1.0) == pytest.approx(np.array([1 / 1.5, (1 / 1.5 + 1 / 0.5) / 2]) / 2)
