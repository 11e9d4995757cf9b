from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from recbole_decm.model.backdoor import (
    ConfounderFusion,
    adjusted_log_softmax,
    adjusted_probability,
    batch_prior,
    inference_priors,
)
from recbole_decm.model.fusions import GenreFusion, fused_scores


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


def toy(style: bool):
    """A world of 3 preferences, 2 videos, 4 music: P(k), P(v | k), P(m shown | v, k), P(Y = 1 | v, m, k)."""
    rng = np.random.default_rng(1)
    prior = np.array([0.6, 0.3, 0.1])
    video = rng.dirichlet(np.ones(2), size=3) if style else np.tile([0.3, 0.7], (3, 1))
    shown = rng.dirichlet(np.ones(4) * 0.5, size=(2, 3))
    match = rng.uniform(0.05, 0.95, size=(2, 4, 3))
    return prior, video, shown, match


def joint(prior, video, shown, match):
    """P(k, v, m, Y = 1) and P(k, v, m) by enumeration."""
    both = np.zeros((3, 2, 4))
    for k, v, m in itertools.product(range(3), range(2), range(4)):
        both[k, v, m] = prior[k] * video[k, v] * shown[v, k, m]
    return both * match.transpose(2, 0, 1), both


def intervened(prior, video, match, v, m):
    """P(Y = 1 | v, do(m)): the music is m whatever video and preference; then look at uploads of video v."""
    chosen = sum(prior[k] * video[k, v] * match[v, m, k] for k in range(3))
    return chosen / sum(prior[k] * video[k, v] for k in range(3))


@pytest.mark.parametrize("style", [False, True])
def test_the_exact_adjustment_is_the_interventional_probability(style):
    prior, video, shown, match = toy(style)
    chosen, both = joint(prior, video, shown, match)
    conditional = torch.from_numpy((chosen / both).transpose(1, 2, 0))  # P(Y | v, m, k) from observed frequencies
    naive = chosen.sum(axis=0) / both.sum(axis=0)
    given_video = both.sum(axis=2) / both.sum(axis=(0, 2))  # P(k | v), (3, 2)
    weights = torch.from_numpy(given_video.T if style else np.tile(prior, (2, 1)))
    adjusted = adjusted_probability(conditional, weights[:, None, :])
    truth = np.array([[intervened(prior, video, match, v, m) for m in range(4)] for v in range(2)])
    assert np.abs(adjusted.numpy() - truth).max() < 1e-6
    assert np.abs(naive - truth).max() > 0.05
    if style:  # a preference that shows in the video: P(k) intervenes on the video, too
        on_both = adjusted_probability(conditional, torch.from_numpy(prior))
        assert np.abs(on_both.numpy() - truth).max() > 0.01


def choice_model():
    """softmax(match + 1.5 log(p_k + 0.01) of the genre), for 5 kinds of video and 6 preferences of 3 groups."""
    generator = torch.Generator().manual_seed(3)
    match = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    genre = torch.eye(3, dtype=torch.float64)[[0, 0, 0, 0, 1, 1, 2]]
    priors = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.4, 0.5, 0.1], [0.7, 0.0, 0.3], [0.9, 0.1, 0.0]])
    priors = torch.cat([priors.double(), torch.full((1, 3), 1 / 3, dtype=torch.float64)])
    logits = match[:, None] + 1.5 * (priors + 0.01).log() @ genre.T  # (video, preference, music)
    return match, genre, priors, logits


def test_the_sum_over_groups_is_the_mean_of_the_choice_probabilities():
    _, _, _, logits = choice_model()
    weights = torch.tensor([0.3, 0.2, 0.1, 0.2, 0.1, 0.1], dtype=torch.float64)
    scores = adjusted_log_softmax(logits.transpose(0, 1), weights.expand(5, -1), temperature=1.0)
    expected = torch.einsum("p,vpm->vm", weights, logits.softmax(dim=2))
    assert torch.allclose(scores.exp(), expected, atol=1e-9) and torch.allclose(
        expected.sum(dim=1).float(), torch.ones(5)
    )
    naive = torch.einsum("p,vpm->vm", weights, logits).softmax(dim=1)  # the sum moved inside
    assert (naive - expected).abs().max() > 0.01


def test_the_sum_over_groups_ranks_by_the_mean_score_where_differences_are_small():
    _, _, _, logits = choice_model()
    weights = torch.full((5, 6), 1 / 6, dtype=torch.float64)
    scores = adjusted_log_softmax(logits.transpose(0, 1), weights, temperature=1e4)
    mean = logits.mean(dim=1)
    assert torch.allclose(scores - scores[:, :1], mean - mean[:, :1], atol=1e-2)


def test_padding_takes_no_share_of_the_probability():
    scores = torch.tensor([[[9.0, 1.0, 2.0]], [[7.0, 0.0, 0.5]]])
    weights = torch.tensor([[0.25, 0.75]])
    found = adjusted_log_softmax(scores, weights, 1.0, first=1)[:, 1:]
    assert torch.allclose(found, adjusted_log_softmax(scores[..., 1:], weights, 1.0))
    assert torch.isfinite(adjusted_log_softmax(scores, torch.tensor([[0.0, 1.0]]), 1.0)).all()


@pytest.mark.parametrize("conditional", [True, False])
def test_conditional_training_explains_the_preference_away(conditional):
    """All the data there could be: fitted to P(choice | v, p), the scorer under the uniform prior ranks by the match.

    Without the uploader's own prior it learns the average preference into the match.
    """
    match, genre, priors, logits = choice_model()
    wanted = logits.softmax(dim=2)
    fusion = GenreFusion(3, 5).double()
    music = torch.zeros(7, 5, dtype=torch.float64, requires_grad=True)  # a free table: video v is the v-th unit vector
    video = torch.eye(5, dtype=torch.float64)
    optimizer = torch.optim.LBFGS([music, *fusion.parameters()], max_iter=500, tolerance_grad=1e-10, tolerance_change=0)

    def scores(rows):
        return torch.stack([fused_scores(fusion, video, music, row.expand(5, -1), genre) for row in rows], dim=1)

    def closure():
        optimizer.zero_grad()
        rows = priors if conditional else priors.mean(dim=0).expand(6, -1)
        loss = -(wanted * scores(rows).log_softmax(dim=2)).sum(dim=2).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    uniform = torch.full((1, 3), 1 / 3, dtype=torch.float64)
    served = scores(uniform if conditional else priors.mean(dim=0, keepdim=True))[:, 0]
    error = (served.softmax(dim=1) - match.softmax(dim=1)).abs().max().item()
    assert (error < 1e-4) == conditional and (conditional or error > 0.05)
    assert not conditional or torch.allclose(fusion.strength, torch.tensor(1.5).double(), atol=1e-3)


def test_priors_of_inference():
    mean, own = torch.tensor([0.7, 0.3]), torch.tensor([[0.1, 0.9], [0.5, 0.5]])
    assert torch.equal(inference_priors("mean", mean, own), mean.expand(2, -1))
    assert torch.equal(inference_priors("uploader", mean, own), own)
    assert torch.equal(inference_priors("uniform", mean, own), torch.full((2, 2), 0.5))
    assert torch.equal(inference_priors((0.0, 1.0), mean, own), torch.tensor([[0.0, 1.0]] * 2))
