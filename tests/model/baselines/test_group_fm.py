"""The interaction of DecRS against a factorisation machine written out, and what the distribution can do."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from recbole_decm.model.baselines.group_fm import GroupInteraction


@pytest.fixture
def parts():
    torch.manual_seed(0)
    return GroupInteraction(3, 4, deviation=1.0).requires_grad_(False), torch.randn(5, 4), torch.randn(6, 4)


GENRES = torch.eye(3).repeat(2, 1)


def test_the_score_is_the_sum_over_pairs_of_fields(parts):
    fm, video, music = parts
    groups = torch.rand(5, 3).softmax(dim=1)
    found = fm.query(video, groups) @ fm.key(music, GENRES).T
    for i in range(5):
        for j in range(6):
            v, z = video[i], music[j]
            group = sum(groups[i, k] * fm.group_embedding[k] * v for k in range(3))
            genre = sum(GENRES[j, k] * fm.group_embedding[k] for k in range(3))
            expected = sum(a @ b for a, b in combinations((v, group, z, genre), 2)) - v @ group
            assert found[i, j].item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_representation_of_the_mean_is_the_mean_representation(parts):
    """M is linear in d, so that what is approximated is f alone."""
    fm, video, _ = parts
    prior = torch.tensor([0.2, 0.5, 0.3])
    mean = sum(p * fm.group_representation(video, group) for p, group in zip(prior, torch.eye(3), strict=True))
    assert torch.allclose(fm.group_representation(video, prior), mean, atol=1e-6)


def test_another_distribution_can_change_a_ranking(parts):
    fm, video, music = parts
    key = fm.key(music, GENRES)
    rankings = [(fm.query(video, group) @ key.T).argsort(dim=1) for group in torch.eye(3)]
    assert not torch.equal(rankings[0], rankings[1])


def test_a_distribution_moves_music_by_its_genre():
    """Music with the same vector but other genres: a distribution tells them apart, and each differently."""
    fm = GroupInteraction(2, 2).requires_grad_(False)
    fm.group_embedding.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    video, music, genres = torch.ones(1, 2), torch.zeros(2, 2), torch.eye(2)
    for k in range(2):  # v . h = 1 for both; M . h = d_k
        scores = (fm.query(video, genres[k]) @ fm.key(music, genres).T)[0]
        assert scores.argmax() == k and scores.tolist() == [1.0 + (k == 0), 1.0 + (k == 1)]
