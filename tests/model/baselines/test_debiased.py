"""IPW, PDA and DecRS through the runner, and their scores and losses against the formulas."""

from __future__ import annotations

import pytest
import torch
from helpers.running import make_config, run_quick
from recbole.data.interaction import Interaction

from recbole_decm.errors import ConfigError
from recbole_decm.model.baselines.debiasing import elu_plus_one, inverse_propensity_weights
from recbole_decm.model.losses import log_inclusion, softmax_contrastive
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import build, run_config

DEBIASED = ["IPW", "PDA", "DecRS"]
QUICK = {"epochs": 12, "latent_dimension": 32}


def built(model, planted, **values):
    net, splits = build(make_config(model, planted, **QUICK, **values))
    loaders = (splits.train, splits.valid, splits.test)
    return net, loaders


def skewed(net, name):
    """Give a built model a table by music that varies: on planted data, all music is as popular."""
    table = torch.linspace(0.5, 2.0, net.n_items)
    getattr(net, name).copy_(table)
    return table


@pytest.mark.parametrize("model", DEBIASED)
def test_planted_matches_are_found_and_found_again(model, planted):
    metrics = {"metrics": ["Recall", "NDCG", "IPWNDCG", "GenreKL"]}
    run, test = run_config(make_config(model, planted, **QUICK, **metrics))
    assert test["recall@1"] > 0.6 and test["recall@10"] > 0.95  # chance: 1/40 and 1/4
    again = evaluate(run.trainer.saved_model_file, ["--state=ERROR"])
    assert again["test"] == test and again["valid"] == run.valid_result


@pytest.mark.parametrize(
    ("model", "values"),
    [("IPW", {}), ("PDA", {}), ("PDA", {"inference": "pda", "inference_popularity_power": 0.5}), ("DecRS", {})],
)
def test_given_candidates_score_as_the_catalogue_does(model, values, planted):
    net, _ = built(model, planted, **values)
    net.eval()
    if values:
        skewed(net, "inference_factor")
    videos, music = torch.arange(1, 41).repeat(2), torch.arange(80) % 40 + 1
    scores = net.score_matrix(videos)[torch.arange(80), music]
    assert torch.allclose(net.predict(Interaction({"video_id": videos, "music_id": music})), scores, atol=1e-5)


def test_ipw_weighs_pairs_in_the_loss(planted):
    net, (train, *_) = built("IPW", planted, propensity_power=1.0, largest_weight=3.0)
    counts = torch.from_numpy(train.dataset.popularity)[1:]
    assert torch.equal(net.music_weight[1:], inverse_propensity_weights(counts, 1.0, 3.0))
    table = skewed(net, "music_weight")
    net.eval()  # no dropout
    videos, music = torch.arange(1, 9), torch.tensor([3, 9, 9, 1, 30, 4, 40, 12])
    scores = net.score_matrix(videos)[:, music]
    same = music.unsqueeze(1) == music.unsqueeze(0)
    terms = dict(
        zip(net.loss_names, net.calculate_loss(Interaction({"video_id": videos, "music_id": music})), strict=True)
    )
    arguments = (scores / net.temperature, same, log_inclusion(net.popularity[music], 7, net.train_pairs - 1), False)
    assert terms["matching"].item() == pytest.approx(softmax_contrastive(*arguments, table[music]).item(), rel=1e-4)
    assert terms["matching"].item() != pytest.approx(softmax_contrastive(*arguments).item(), rel=1e-3)


def test_ipw_without_power_is_the_matcher(planted):
    values = {**QUICK, "epochs": 2}
    same = run_quick("IPW", planted, **values, propensity_power=0.0)
    plain = ("matching", "margin", "num_negatives", "reconstruction_weight", "kl_weight", "learning_rate")
    config = make_config("IPW", planted)
    settings = {key: config[key] for key in (*plain, "learning_rate_decay", "weight_decay")}
    assert same["test_result"] == run_quick("CMVAE", planted, **values, **settings)["test_result"]


def test_pda_scores_in_closed_form(planted):
    net, _ = built("PDA", planted, popularity_power=0.5, inference="pda", inference_popularity_power=0.25)
    trained, ranked = skewed(net, "training_factor"), skewed(net, "inference_factor")
    net.eval()
    videos, music = torch.arange(1, 6), torch.tensor([3, 9, 1, 30, 40])
    video, tune = net.video_vectors(videos), net.music_vectors()
    match = video @ tune.T
    assert (match < 0).any() and (match > 0).any()
    expected = torch.where(match > 0, match + 1, match.exp())
    assert torch.allclose(net.score_matrix(videos), expected * ranked, atol=1e-5)
    found = net.training_scores(video, tune[music], videos, music)
    assert torch.allclose(found, expected[:, music] * trained[music], atol=1e-5)


def test_pd_ranks_as_elu_of_the_match_does(planted):
    net, _ = built("PDA", planted)
    skewed(net, "inference_factor")
    net.eval()
    videos = torch.arange(1, 20)
    match = net.video_vectors(videos) @ net.music_vectors().T
    assert torch.equal(net.score_matrix(videos).argsort(dim=1), elu_plus_one(match).argsort(dim=1))


def test_pda_takes_the_popularity_of_the_training_split(own_planted):
    net, splits = build(make_config("PDA", own_planted, **QUICK, popularity_power=1.0))
    train = splits.train
    counts = torch.from_numpy(train.dataset.popularity)[1:].float()
    assert torch.allclose(net.training_factor[1:], counts / counts.mean())
    assert counts.min() < counts.max()


def test_decrs_ranks_by_the_distribution(planted):
    net, _ = built("DecRS", planted, inference_prior=[1.0, 0.0, 0.0])
    net.eval()
    with torch.no_grad():
        net.interaction.group_embedding.copy_(torch.randn(3, 32))
    videos = torch.arange(1, 30)
    first = net.score_matrix(videos).argsort(dim=1)
    net.rank_under((0.0, 0.0, 1.0))
    assert (net.score_matrix(videos).argsort(dim=1) != first).any(dim=1).float().mean() > 0.9


def test_decrs_trains_under_the_mean_of_the_training_pairs(planted):
    net, (train, *_) = built("DecRS", planted)
    own = train.dataset.uploader_prior[train.dataset.inter_feat["video_id"]]
    assert torch.allclose(net.prior_mean, own.mean(dim=0))
    net.eval()
    videos, music = torch.arange(1, 6), torch.tensor([3, 9, 1, 30, 40])
    video = net.encode("visual", net.visual.lookup(videos)).mean
    tune = net.encode("acoustic", net.acoustic.lookup(music)).mean
    found = net.training_scores(video, tune, videos, music)
    assert torch.allclose(found, net.score_matrix(videos)[:, music], atol=1e-5)  # mean at inference, too
    assert net.genres[music].sum(dim=1).tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("IPW", {"matching": "hinge"}, "matching: expected softmax, whose pairs IPW can weigh, found hinge"),
        ("IPW", {"largest_weight": 0}, "largest_weight: expected a number above 0"),
        ("PDA", {"inference": "pf"}, "inference: expected pd or pda, found 'pf'"),
        ("PDA", {"popularity_power": -1}, "popularity_power: expected a number of at least 0"),
        ("DecRS", {"inference_prior": [0.5, 0.5]}, "inference_prior: expected 3 probabilities"),
    ],
)
def test_bad_values(model, values, message, planted):
    with pytest.raises(ConfigError, match=message):
        run_quick(model, planted, **values)


def test_decrs_with_preferences_from_training_choices(planted):
    """Without given preferences; in drawn candidates, too."""
    values = {**QUICK, "uploader_prior": "train", "eval_args": {"mode": "uni20"}}
    assert run_quick("DecRS", planted, **values)["test_result"]["recall@1"] > 0.6
