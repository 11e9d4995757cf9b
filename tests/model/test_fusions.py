"""Fusions against their formulas written as loops, and what each can do to a ranking."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.running import make_config, run_quick

from recbole_decm.errors import ConfigError
from recbole_decm.model.fusions import FUSIONS, centred_log_preference, fused_scores, group_scores
from recbole_decm.training.run import fit

K, D, B, N = 3, 4, 5, 7


def drawn(name):
    """A fusion whose parameters are all random, and a batch: videos, music, priors, genres."""
    torch.manual_seed(0)
    fusion = FUSIONS[name](K, D).double()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.normal_()
    video, music = torch.randn(B, D, dtype=torch.float64), torch.randn(N, D, dtype=torch.float64)
    priors = torch.distributions.Dirichlet(torch.ones(K, dtype=torch.float64)).sample((B,))
    return fusion, video, music, priors, torch.eye(K, dtype=torch.float64)[torch.arange(N) % K]


def log_preference(p, k):
    return math.log(p[k] + 0.01) - math.log(1 / K + 0.01)


def linear(f, v, z, p, g):
    confounder = sum(p[k] * f.group_embedding[k] for k in range(K))
    return v @ (f.linear.weight @ torch.cat([confounder, z]) + f.linear.bias)


def bilinear(f, v, z, p, g):
    return v @ z + sum(log_preference(p, k) * (f.group_effect[k] @ z) for k in range(K))


def genre(f, v, z, p, g):
    return v @ z + sum(log_preference(p, k) * f.strength[k] * g[k] for k in range(K))


def gated(f, v, z, p, g):
    return sum(p[k] * (v @ (z * 2 * torch.sigmoid(f.group_gate[k] + f.music_gate @ z))) for k in range(K))


def mixture(f, v, z, p, g):
    return sum(p[k] * (v @ (f.experts[k] @ z)) for k in range(K))


FORMULAS = {"linear": linear, "bilinear": bilinear, "genre": genre, "gated": gated, "mixture": mixture}


@pytest.mark.parametrize("name", FUSIONS)
def test_scores_are_those_of_the_formula(name):
    fusion, video, music, priors, genres = drawn(name)
    scores = fused_scores(fusion, video, music, priors, genres)
    for i in range(B):
        for j in range(N):
            expected = FORMULAS[name](fusion, video[i], music[j], priors[i], genres[j])
            assert scores[i, j].item() == pytest.approx(expected.item(), abs=1e-9)
    groups = group_scores(fusion, video, fusion.key(music, genres), K)
    for k in range(K):
        expected = fused_scores(fusion, video, music, torch.eye(K).double()[k].expand(B, K), genres)
        assert torch.allclose(groups[k], expected)


@pytest.mark.parametrize("name", ["linear", "gated", "mixture"])
def test_fusions_in_p_move_the_sum_inside_without_loss(name):
    """sum_k P(k) f(v, m, k) = f(v, m, sum_k P(k) k): the paper's approximation is exact here."""
    fusion, video, music, priors, genres = drawn(name)
    groups = group_scores(fusion, video, fusion.key(music, genres), K)
    assert torch.allclose(torch.einsum("bk,kbn->bn", priors, groups), fused_scores(fusion, video, music, priors))


@pytest.mark.parametrize("name", FUSIONS)
def test_what_a_prior_can_change(name):
    """Between two priors, the linear fusion adds one number to every music of a video; the others do not."""
    fusion, video, music, _, genres = drawn(name)
    pure = torch.eye(K, dtype=torch.float64)
    one, two = (fused_scores(fusion, video, music, prior.expand(B, K), genres) for prior in (pure[0], pure[1]))
    shift = two - one
    constant = (shift - shift[:, :1]).abs().max() < 1e-9
    assert constant == (name == "linear")
    same_ranking = torch.equal(one.argsort(dim=1), two.argsort(dim=1))
    assert same_ranking == (name == "linear")


@pytest.mark.parametrize("name", ["bilinear", "genre"])
def test_a_uniform_preference_leaves_the_match_alone(name):
    fusion, video, music, _, genres = drawn(name)
    uniform = torch.full((B, K), 1 / K, dtype=torch.float64)
    assert torch.allclose(fused_scores(fusion, video, music, uniform, genres), video @ music.T)
    assert centred_log_preference(uniform).abs().max() < 1e-12


@pytest.mark.parametrize("name", FUSIONS)
def test_training_starts_near_the_unadjusted_matcher_and_every_parameter_learns(name):
    torch.manual_seed(0)
    fusion = FUSIONS[name](6, 64)
    video, music = torch.randn(2, 50, 64)
    priors = torch.distributions.Dirichlet(torch.ones(6)).sample((50,))
    scores = fused_scores(fusion, video, music, priors, torch.eye(6)[torch.arange(50) % 6])
    assert torch.corrcoef(torch.stack([scores.flatten(), (video @ music.T).flatten()]))[0, 1] > 0.8
    torch.nn.functional.cross_entropy(scores, torch.arange(50)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in fusion.parameters())


def test_the_genre_fusion_asks_for_genres():
    with pytest.raises(ValueError, match="expected the genres"):
        FUSIONS["genre"](3, 4).key(torch.randn(2, 4))


MODEL = {"teacher": "none", "epochs": 2, "latent_dimension": 16}


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("backdoor", ["batch", "population", "exact", "conditional"])
def test_full_and_pairwise_scores_agree(planted, backdoor, fusion):
    trained = fit(make_config("DecCM", planted, **MODEL, backdoor=backdoor, confounder_fusion=fusion))
    model = trained.model.eval()
    videos, music = torch.tensor([3, 3, 9, 500]), torch.tensor([1, 40, 7, 2])
    with torch.no_grad():
        full = model.full_sort_predict({"video_id": videos}).view(4, -1)
        pairs = model.predict({"video_id": videos, "music_id": music})
    assert torch.allclose(full[torch.arange(4), music], pairs, atol=1e-5)


@pytest.mark.parametrize("prior", ["uniform", "uploader", [0.2, 0.3, 0.5]])
def test_served_scores_are_those_of_the_prior(planted, prior):
    values = {**MODEL, "backdoor": "conditional", "confounder_fusion": "bilinear", "inference_prior": prior}
    model = fit(make_config("DecCM", planted, **values)).model.eval()
    videos = torch.tensor([3, 9, 500])
    with torch.no_grad():
        served = model.score_matrix(videos)
        latent = model.encode("visual", model.visual.lookup(videos)).mean
        rows = {"uniform": torch.full((3, 3), 1 / 3), "uploader": model.uploader_prior[videos]}.get(
            str(prior), torch.tensor([0.2, 0.3, 0.5]).expand(3, 3)
        )
        expected = fused_scores(model.fusion, latent, model.posteriors("acoustic").mean, rows)
    assert torch.allclose(served, expected, atol=1e-5)


def test_no_backdoor_is_the_matcher(planted):
    values = {"epochs": 2, "latent_dimension": 16, "dropout_prob": 0.0, "reconstruction_weight": 0.0}  # no noise
    deccm = run_quick("DecCM", planted, **values, teacher="none", backdoor="none")
    assert deccm == run_quick("CMVAE", planted, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"backdoor": "front"},
            "backdoor: expected none or batch or population or exact or conditional, found 'front'",
        ),
        ({"confounder_fusion": "sum"}, "confounder_fusion: expected linear or bilinear or gated or mixture or genre"),
        ({"inference_prior": "median"}, "inference_prior: expected mean, uniform, uploader, or probabilities"),
        ({"inference_prior": [0.5, 0.4]}, "inference_prior: expected mean, uniform, uploader, or probabilities"),
        ({"inference_prior": [0.5, 0.5]}, "inference_prior: expected 3 probabilities, .* found 2"),
        ({"backdoor_temperature": 0}, "backdoor_temperature: expected a number above 0"),
    ],
)
def test_settings_that_make_no_sense(planted, values, message):
    with pytest.raises(ConfigError, match=message):
        run_quick("DecCM", planted, **{**MODEL, **values})
