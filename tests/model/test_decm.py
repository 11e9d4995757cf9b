"""The models on data whose right answer is known, and their scores against plain loops."""

from __future__ import annotations

import pytest
import torch
from helpers.running import make_config, run_quick
from recbole.data.interaction import Interaction
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from recbole_decm.errors import ConfigError
from recbole_decm.training.run import build, fit

PLANTED = {"epochs": 20, "topk": [10], "valid_metric": "NDCG@10"}


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return fit(make_config("DecCM", planted, **PLANTED, checkpoint_dir=str(folder)))


@pytest.mark.parametrize("model", ["DecCM", "CMVAE"])
def test_planted_matches_are_found(model, planted):
    assert run_quick(model, planted, **PLANTED)["test_result"]["recall@10"] >= 0.9


def test_the_teacher_finds_planted_matches(planted):
    result = run_quick("DecCMTeacher", planted, dataset="planted-pgc", **PLANTED)
    assert result["best_valid_result"]["recall@10"] >= 0.9


@pytest.mark.parametrize("model", ["Pop", "Random", "BPR"])
def test_planted_matches_cannot_be_found_without_content(model, planted):
    """Ten of forty equally popular music: chance is 0.25."""
    assert run_quick(model, planted, **{**PLANTED, "epochs": 5})["test_result"]["recall@10"] < 0.5


def test_full_ranking_and_pair_scores_agree_with_a_loop(trained):
    model = trained.model.eval()
    videos = torch.tensor([3, 70, 3, 600])
    with torch.no_grad():
        full = model.full_sort_predict(Interaction({"video_id": videos})).view(4, -1)
        fused = model.fusion(model.posteriors("acoustic").mean, model.prior_mean)
        for row, video in enumerate(videos.tolist()):
            vector = model.encode("visual", model.visual.lookup(torch.tensor([video]))).mean[0]
            expected = torch.tensor([float(vector @ fused[music]) for music in range(model.n_items)])
            assert torch.allclose(full[row], expected, atol=1e-5)
            pairs = Interaction({"video_id": torch.full((41,), video), "music_id": torch.arange(41)})
            assert torch.allclose(model.predict(pairs), expected, atol=1e-5)


def test_scores_do_not_depend_on_the_batch(trained):
    model = trained.model.eval()
    with torch.no_grad():
        together = model.full_sort_predict(Interaction({"video_id": torch.arange(1, 101)})).view(100, -1)
        alone = [model.full_sort_predict(Interaction({"video_id": torch.tensor([v])})) for v in (1, 50, 100)]
    assert torch.allclose(together[[0, 49, 99]], torch.stack(alone), atol=1e-5)


def test_every_term_of_the_loss_by_hand(trained):
    """The terms of one batch against torch.distributions and loops, without dropout, at the annealing's end."""
    model = trained.model.eval()
    model.set_epoch(10_000)
    videos, music = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8]), torch.tensor([5, 9, 5, 7, 8, 9, 1, 2])
    torch.manual_seed(0)
    terms = model.calculate_loss(Interaction({"video_id": videos, "music_id": music}))
    names = dict(zip(model.loss_names, terms, strict=True))
    assert len(names) == len(terms) == 8
    settings = model.settings
    with torch.no_grad():
        q_video = model.encode("visual", model.visual.lookup(videos))
        q_music = model.encode("acoustic", model.acoustic.lookup(music))
        fused = model.fusion(q_music.mean, model.uploader_prior[videos].mean(dim=0))
        scores = (q_video.mean @ fused.T).tolist()

        def hinge(score, other):
            return max(0.0, settings.margin + other - score)

        total = 0.0
        for anchor in range(8):
            rest = [j for j in range(8) if music[j] != music[anchor]]
            for negatives in ([scores[anchor][j] for j in rest], [scores[j][anchor] for j in rest]):
                hardest = sorted(negatives, reverse=True)[: settings.num_negatives]
                total += sum(hinge(scores[anchor][anchor], other) for other in hardest) / len(hardest)
        assert names["matching"].item() == pytest.approx(total / 16, rel=1e-4)

        standard = Normal(torch.zeros(128), torch.ones(128))
        teacher_video, teacher_music = model.teacher.of_all()
        for name, q, guide, ids in (
            ("video", q_video, teacher_video, videos),
            ("music", q_music, teacher_music, music),
        ):
            ours = Normal(q.mean, (0.5 * q.logvar).exp())
            guide_normal = Normal(guide.mean[ids], (0.5 * guide.logvar[ids]).exp())
            to_standard = settings.kl_weight * reference_kl(ours, standard).sum(dim=1).mean()
            to_teacher = settings.teacher_weight * reference_kl(ours, guide_normal).sum(dim=1).mean()
            assert names[f"kl_{name}"].item() == pytest.approx(to_standard.item(), rel=1e-4)
            assert names[f"teacher_{name}"].item() == pytest.approx(to_teacher.item(), rel=1e-4)

        torch.manual_seed(0)
        z_video, z_music = q_video.sample(), q_music.sample()
        for name, latent, features in (
            ("visual", z_music, model.visual.lookup(videos)),
            ("acoustic", z_video, model.acoustic.lookup(music)),
        ):
            error = (model.decoders[name](latent) - features).square().mean()
            expected = settings.reconstruction_weight * error.item()
            assert names[f"reconstruction_{name}"].item() == pytest.approx(expected, rel=1e-4)


def test_without_a_teacher_its_terms_are_zero(planted):
    model = fit(make_config("DecCM", planted, teacher="none", epochs=1)).model
    terms = model.calculate_loss(Interaction({"video_id": torch.arange(1, 9), "music_id": torch.arange(1, 9)}))
    assert [float(term) for term in terms[-2:]] == [0.0, 0.0]


def test_every_parameter_learns(planted):
    """No parameter is left out of the objective."""
    config = make_config("DecCM", planted, teacher="none", initial_logvar=-1.0)
    model, splits = build(config)
    train = splits.train
    sum(model.train().calculate_loss(next(iter(train)))).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"margin": -0.1}, "margin: expected a number of at least 0, found -0.1"),
        ({"num_negatives": 0}, "num_negatives: expected a number of at least 1, found 0"),
        ({"latent_dimension": 12.5}, r"latent_dimension: expected a whole number, found 12\.5"),
        ({"dropout_prob": 1.5}, "dropout_prob: expected a number of at most 0.99"),
        ({"match_on": "mode"}, "match_on: expected mean or sample, found 'mode'"),
        ({"normalize_mean": "yes"}, "normalize_mean: expected True or False"),
        ({"teacher_weight": "heavy"}, "teacher_weight: expected a number"),
    ],
)
def test_a_hyper_parameter_out_of_its_range(planted, values, message):
    with pytest.raises(ConfigError, match=message):
        build(make_config("DecCM", planted, **values))
