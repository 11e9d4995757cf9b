"""Ridge, CCA, Cosine and NearestVideos through the runner: they find planted matches, from training pairs alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config, run_quick
from recbole.data.interaction import Interaction

from recbole_decm.audit.run import audit
from recbole_decm.errors import CheckpointError, ConfigError
from recbole_decm.io.atomic import read_columns
from recbole_decm.model import scores
from recbole_decm.model.baselines import content, fitted
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import build, fit, run_config

FITTED = ["Ridge", "CCA", "NearestVideos", "Cosine"]
LIGHT = {"Ridge": {"alpha": 1.0}, "CCA": {"regularization": 0.01}, "NearestVideos": {"num_neighbors": 10}, "Cosine": {}}


@pytest.fixture(scope="module")
def joint(tmp_path_factory) -> Path:
    """Planted data whose video features are those of their music, with noise: one space for both."""
    folder = tmp_path_factory.mktemp("joint")
    data = write_planted(folder, visual=8, npy=True)
    music = np.load(data / "planted.acoustic.npy")
    chosen = [
        read_columns(data / f"planted.{split}.inter", ["music_id"])["music_id"] for split in ("train", "valid", "test")
    ]
    rows = np.concatenate([[int(token[1:]) for token in tokens] for tokens in chosen])
    noise = np.random.default_rng(0).normal(size=(len(rows), 8))
    np.save(data / "planted.visual.npy", (music[rows] + 0.3 * noise).astype(np.float32))
    return folder


@pytest.mark.parametrize("model", FITTED)
def test_planted_matches_are_found_and_found_again(model, joint):
    """Chance is 1/40 at 1. One epoch is run whatever is asked for, and a checkpoint gives the same metrics."""
    run, test = run_config(make_config(model, joint, **LIGHT[model], result_file="run.json"))
    assert test["recall@1"] > 0.8
    written = json.loads(Path("run.json").read_text())
    assert written["epochs"] == 1 and len(run.trainer.history) == 1
    again = evaluate(run.trainer.saved_model_file, ["--state=ERROR"])
    assert again["test"] == test and again["valid"] == run.valid_result
    assert read_checkpoint(run.trainer.saved_model_file)["state_dict"].keys() == run.model.state_dict().keys()


@pytest.mark.parametrize("model", ["Ridge", "CCA", "NearestVideos"])
def test_planted_matches_between_two_spaces(model, planted):
    metrics = {"metrics": ["Recall", "NDCG", "IPWRecall", "GenreKL", "MajorityShare"], "topk": [1, 10]}
    test = run_quick(model, planted, **LIGHT[model], **metrics)["test_result"]
    assert test["recall@1"] > 0.9 and test["ipwrecall@1"] > 0.9 and test["genrekl@10"] > 0


@pytest.mark.parametrize("model", ["Ridge", "CCA", "NearestVideos"])
def test_drawn_candidates(model, planted):
    test = run_quick(model, planted, **LIGHT[model], topk=[1], valid_metric="NDCG@1", eval_args={"mode": "uni20"})
    assert test["test_result"]["recall@1"] > 0.9


@pytest.mark.parametrize("model", FITTED)
def test_given_candidates_score_as_the_catalogue_does(model, joint, monkeypatch):
    """In blocks smaller than the data, too: of training rows, of queries and of pairs."""
    net, splits = build(make_config(model, joint, **LIGHT[model], eval_args={"mode": "uni20"}))
    valid = splits.valid
    net.fit_once(False)
    net.eval()
    videos = torch.from_numpy(valid.users)
    whole = net.score_matrix(videos)
    for module, name, rows in ((content, "BLOCK_ROWS", 50), (scores, "PAIR_CELLS", 100), (fitted, "_QUERY_ROWS", 7)):
        monkeypatch.setattr(module, name, rows)
    assert torch.allclose(net.score_matrix(videos), whole, atol=1e-5)
    assert torch.equal(net.full_sort_predict(Interaction({"video_id": videos})), net.score_matrix(videos).view(-1))
    pairs = Interaction({"video_id": videos.repeat_interleave(3), "music_id": torch.arange(len(videos) * 3) % 40 + 1})
    expected = whole[torch.arange(len(videos)).repeat_interleave(3), pairs["music_id"]]
    assert torch.allclose(net.predict(pairs), expected, atol=1e-5)
    net.fit_once(False)
    assert torch.allclose(net.eval().score_matrix(videos), whole, atol=1e-4)


@pytest.mark.parametrize("model", FITTED)
def test_only_the_training_split_is_learned_from(model, joint, tmp_path):
    """Other features and choices of the validation and test videos leave what is learned as it is."""
    other = tmp_path / "data" / "planted"
    other.mkdir(parents=True)
    for path in (joint / "planted").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    visual = np.load(other / "planted.visual.npy")
    visual[420:] = np.random.default_rng(1).normal(size=(180, 8)) * 100
    np.save(other / "planted.visual.npy", visual)
    lines = (other / "planted.test.inter").read_text().splitlines()
    (other / "planted.valid.inter").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    values = {**LIGHT[model], **({"center": True} if model == "Cosine" else {})}
    states = [fit(make_config(model, folder, **values)).model.state_dict() for folder in (joint, tmp_path / "data")]
    assert states[0] and all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any((value != 0).any() and (value != 1).any() for value in states[0].values())


def test_nearest_videos_are_those_of_a_loop(planted):
    config = make_config("NearestVideos", planted, num_neighbors=7, similarity_power=2.0)
    net, splits = build(config)
    train, valid = splits.train, splits.valid
    net.fit_once(False)
    videos = torch.from_numpy(valid.users[:10])
    found = net.eval().score_matrix(videos)
    pairs = train.dataset.inter_feat
    memory = net.visual.lookup(pairs["video_id"]).double()
    mean, scale = memory.mean(dim=0), memory.std(dim=0, correction=0)
    for row, video in enumerate(videos):
        query = (net.visual.lookup(video.view(1))[0].double() - mean) / scale
        cosines = [float(torch.cosine_similarity(query, (other - mean) / scale, dim=0)) for other in memory]
        expected = torch.zeros(41)
        for near in sorted(range(len(cosines)), key=lambda i: -cosines[i])[:7]:
            expected[pairs["music_id"][near]] += max(cosines[near], 0.0) ** 2
        assert torch.allclose(found[row], expected, atol=1e-4)


def test_cosine_is_that_of_the_features(joint):
    plain, centred = (fit(make_config("Cosine", joint, center=center)).model.eval() for center in (False, True))
    videos, music = torch.tensor([3, 5]), torch.arange(plain.n_items)
    visual, acoustic = plain.visual.lookup(videos), plain.acoustic.lookup(music)
    expected = torch.cosine_similarity(visual.unsqueeze(1), acoustic.unsqueeze(0), dim=2)
    assert torch.allclose(plain.score_matrix(videos), expected, atol=1e-5)
    visual = visual - plain.visual.lookup(plain.train_videos).mean(dim=0)
    acoustic = acoustic - plain.acoustic.lookup(plain.train_music).mean(dim=0)
    expected = torch.cosine_similarity(visual.unsqueeze(1), acoustic.unsqueeze(0), dim=2)
    assert torch.allclose(centred.score_matrix(videos), expected, atol=1e-5)


def test_cosine_needs_one_space(planted):
    with pytest.raises(ConfigError, match=r"found 12 in 'visual' and 8 in 'acoustic'. Use Ridge or CCA"):
        run_quick("Cosine", planted)


def test_a_finished_fit_resumes_to_the_same_result(planted):
    first, test = run_config(make_config("Ridge", planted))
    assert run_config(make_config("Ridge", planted, checkpoint=first.trainer.saved_model_file))[1] == test


def test_the_loss_of_ridge_is_logged(planted):
    trained = fit(make_config("Ridge", planted, alpha=1.0))
    assert 0 < trained.trainer.history[0]["loss"] < 0.2  # 5 % noise


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("Ridge", {"alpha": 0}, "alpha: expected a number above 0"),
        ("Ridge", {"alpha": 1e-12}, "alpha: expected a larger penalty"),
        ("CCA", {"canonical_dimension": 0}, "canonical_dimension: expected a number of at least 1"),
        ("CCA", {"regularization": 1e-12}, "regularization: expected a larger penalty, found 1e-12"),
        ("NearestVideos", {"num_neighbors": 2.5}, "num_neighbors: expected a whole number"),
        ("Ridge", {"alhpa": 1}, "found 'alhpa'. Did you mean 'alpha'"),
    ],
)
def test_bad_values(model, values, message, planted):
    """The planted features are maps of 6 latent dimensions, so 12 of them are dependent."""
    with pytest.raises(ConfigError, match=message):
        run_quick(model, planted, **values)


def test_an_audit_refuses_a_baseline(planted):
    trained = fit(make_config("Ridge", planted))
    with pytest.raises(CheckpointError, match=r"expected a checkpoint of DecCM, .* found one of Ridge"):
        audit(Path(trained.trainer.saved_model_file))
