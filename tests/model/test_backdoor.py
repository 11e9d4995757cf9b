from __future__ import annotations

import torch

from recbole_decm.model.backdoor import ConfounderFusion, batch_prior


def test_batch_prior_is_the_mean_of_the_uploaders():
    priors = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    assert torch.allclose(batch_prior(priors), torch.tensor([0.5, 0.25, 0.25]))


def test_fusion_is_the_linear_layer_over_expected_confounder_and_music():
    torch.manual_seed(0)
    fusion = ConfounderFusion(3, 4)
    music, prior = torch.randn(5, 4), torch.tensor([0.2, 0.3, 0.5])
    expected = sum(prior[k] * fusion.group_embedding[k] for k in range(3))
    for i in range(5):
        row = fusion.linear.weight @ torch.cat([expected, music[i]]) + fusion.linear.bias
        assert torch.allclose(fusion(music, prior)[i], row, atol=1e-6)


def test_fusion_starts_near_the_identity():
    torch.manual_seed(0)
    fusion = ConfounderFusion(6, 64)
    music = torch.randn(20, 64)
    fused = fusion(music, torch.full((6,), 1 / 6))
    assert torch.cosine_similarity(fused, music).min() > 0.6


def test_a_linear_fusion_cannot_change_a_ranking():
    """A property of the published method: the confounder adds the same number to every music of a video."""
    torch.manual_seed(0)
    fusion, video, music = ConfounderFusion(3, 4), torch.randn(6, 4), torch.randn(9, 4)
    ranks = [(video @ fusion(music, prior).T).argsort(dim=1) for prior in torch.eye(3)]
    assert torch.equal(ranks[0], ranks[1]) and torch.equal(ranks[0], ranks[2])
