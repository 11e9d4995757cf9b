"""Estimated metrics of a run: for any model, beside the observed ones, and refused where nothing is identified."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.running import make_config, run_quick
from recbole.evaluator import Evaluator

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.estimation import effects
from recbole_decm.io.atomic import read_columns, write_atomic
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training import estimates as training_estimates
from recbole_decm.training.beside import estimates_beside
from recbole_decm.training.collector import MatchingCollector
from recbole_decm.training.estimates import estimates, weigh_choices
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import evaluations, fit

METRICS = {"metrics": ["Recall", "DoRecall", "DoNDCG", "DoMRR"], "topk": [1, 5], "valid_metric": "Recall@5"}


@pytest.fixture(scope="module")
def confounded(tmp_path_factory):
    """1,500 videos whose uploaders' preferences drive the choice of 20 tracks."""
    folder = tmp_path_factory.mktemp("confounded")
    config = SimulationConfig.of(videos=1_500, music=20, confounding=1.5, seed=4, visual_dim=24, acoustic_dim=12)
    write_simulation(simulate(config), folder, "world")
    return folder


def test_a_run_and_its_evaluation_tell_estimate_interval_and_sample(confounded, tmp_path):
    given = METRICS | {"result_file": str(tmp_path / "r.json"), "checkpoint_dir": str(tmp_path)}
    found = run_quick("Ridge", confounded, "world", **given)
    test, told = found["test_result"], json.loads((tmp_path / "r.json").read_text())
    assert {"recall@5", "dorecall@5", "dondcg@1", "domrr@5"} <= set(test)
    assert not {"dorecall@5", "domrr@1"} & set(found["test_do_result"])  # these may be choices without habit
    low, high = told["intervals"]["dorecall@5"]
    assert low < test["dorecall@5"] < high
    assert test["dorecall@1"] == test["dondcg@1"] == test["domrr@1"]
    assert 30 < told["effective_sample_size"] < 150
    true = found["test_do_result"]["recall@5"]
    assert abs(test["dorecall@5"] - true) < 0.12
    truth = np.load(confounded / "world" / "world.truth.npz")
    chances = np.exp(truth["video_latent"][-150:] @ truth["music_latent"].T)
    share = (chances / chances.sum(axis=1, keepdims=True))[:, truth["genre"] == 0].sum(axis=1).mean()
    majority = told["chosen_majority_share"]
    assert majority["observed"] - share > 0.1 > abs(majority["estimated"] - share)
    again = evaluate(told["checkpoint"], ["--show_progress=False", "--state=ERROR"])
    assert again["test"] == told["test"] and again["intervals"] == told["intervals"]


def test_lists_meet_the_chances_of_their_own_tracks(confounded):
    config = make_config("BPR", confounded, "world", **METRICS, eval_batch_size=700)
    splits = prepare_data(config, DecCMDataset(config))
    weigh_choices(config, splits)
    loader, collector = splits.test, MatchingCollector(config)
    collector.start(loader)
    collector.keep()
    scores = torch.rand(len(loader.users), 21, generator=torch.Generator().manual_seed(0))
    scores[:, 0] = -1
    for (start, stop), (interaction, _, rows, items) in zip(loader._spans(), loader, strict=True):
        collector.eval_batch_collect(scores[start:stop].clone(), interaction, rows, items)
    found = Evaluator(config).evaluate(collector.get_data_struct())
    lists, known = scores.topk(5, dim=1).indices.numpy(), loader.intervention
    hits = (lists == loader.positives.ids[:, None]).any(axis=1)
    expected = known.chances(0, lists - 1).sum(axis=1)
    weight = known.weight * known.overlap
    theta = expected.mean() + (weight * (hits - expected)).sum() / weight.sum()
    assert len(loader) > 1
    assert found["dorecall@5"] == pytest.approx(theta, abs=1e-6)
    assert not estimates(config, collector.kept, splits.extra["do"])


def test_shares_of_own_choices_and_drawn_candidates_are_refused(planted):
    with pytest.raises(ConfigError, match="expected uploader_prior: read beside DoRecall, found train"):
        make_config("Ridge", planted, metrics=["DoRecall"], valid_metric="DoRecall@10", uploader_prior="train")
    with pytest.raises(ConfigError, match="mode: full beside DoMRR, found uni20"):
        values = {"metrics": ["DoMRR", "NDCG"], "eval_args": {"mode": "uni20"}}
        make_config("Pop", planted, **values)


def test_one_preference_for_all_is_refused_before_training(own_planted):
    path = own_planted / "planted" / "planted.user"
    cells = read_columns(path, ["video_id", "visual"])
    columns = {"video_id:token": cells["video_id"].tolist()}
    columns |= {"uploader_genre:float_seq": np.full((120, 3), 1 / 3)}
    columns |= {"visual:float_seq": np.array([row.split() for row in cells["visual"]], dtype=float)}
    write_atomic(path, columns, decimals=7)
    with pytest.raises(DataError, match="expected uploaders of different preferences"):
        run_quick("Ridge", own_planted, **METRICS)


def test_a_test_split_of_a_few_rows_is_refused(own_planted):
    with pytest.raises(DataError, match="split test: expected an effective sample of at least 30 choices, found 18"):
        run_quick("BPR", own_planted, **METRICS)


def test_validation_that_cannot_be_weighed_stops_a_run_only_where_it_chooses_the_epoch(confounded, monkeypatch, caplog):
    whole = effects.require_overlap
    monkeypatch.setattr(training_estimates, "require_overlap", lambda *given: whole(*refused_if_valid(*given)))
    found = run_quick("Ridge", confounded, "world", **METRICS)
    assert "dorecall@5" in found["test_result"] and "dorecall@5" not in found["best_valid_result"]
    assert "split valid: expected an effective sample" in caplog.text and "Validation goes without" in caplog.text
    with pytest.raises(DataError, match="split valid: expected an effective sample"):
        run_quick("Ridge", confounded, "world", **METRICS | {"valid_metric": "DoRecall@5"})
    drawn = {"eval_args": {"mode": {"valid": "uni10", "test": "full"}}}
    found = run_quick("Ridge", confounded, "world", **METRICS, **drawn)
    assert "dorecall@5" in found["test_result"] and "dorecall@5" not in found["best_valid_result"]
    with pytest.raises(ConfigError, match=r"expected eval_args\.mode: full"):
        run_quick("Ridge", confounded, "world", **METRICS | {"valid_metric": "DoRecall@5"}, **drawn)


def refused_if_valid(weight, overlap, what):
    weight = weight.copy()
    weight[:2] *= 1e6 if "valid" in what else 1
    return weight, overlap, what


def test_estimates_beside_a_run_are_those_of_a_run_that_asks_for_them(confounded, tmp_path, monkeypatch):
    values = {"topk": [1, 5], "valid_metric": "Recall@5", "teacher_dir": str(tmp_path / "kept")}
    trained = fit(make_config("Ridge", confounded, "world", metrics=["Recall", "MRR"], **values), saved=False)
    asked = run_quick("Ridge", confounded, "world", metrics=["Recall", "DoRecall", "DoMRR"], **values)
    monkeypatch.setattr(training_estimates, "fit_choice_model", None)  # the one that was kept is taken
    for name, loader, _ in evaluations(trained, saved=False):
        lists = trained.trainer.eval_collector.kept.get("rec.items").numpy()
        if name == "test":
            test = loader, lists
            beside = estimates_beside(trained.config, *test)
    expected = {key: value for key, value in asked["test_result"].items() if key.startswith("do")}
    assert beside.pop("metrics") == pytest.approx(expected, abs=1e-5)
    assert beside == {name: asked[name] for name in beside} and beside["chosen_majority_share"]["estimated"] > 0
    (kept,) = (tmp_path / "kept").glob("*.choices.npz")
    monkeypatch.undo()
    for content in (b"PK", kept.read_bytes()[:-40], b""):  # damaged: it is fitted anew
        kept.write_bytes(content)
        again = estimates_beside(trained.config, *test)
        assert "not_estimated" not in again and again["effective_sample_size"] == asked["effective_sample_size"]
    assert estimates_beside(trained.config.again(metrics=["Hit"], valid_metric="Hit@5"), loader, lists) == {}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"uploader_prior": "train"}, "expected uploader_prior: read beside DoRecall"),
        ({"eval_args": {"mode": "uni10"}}, "expected eval_args.mode: full"),
        ({"PRIOR_FIELD": "nothing"}, "expected a field 'nothing:float_seq'"),
        ({}, "expected an effective sample of at least 30 choices, found 18"),
    ],
)
def test_what_cannot_be_estimated_beside_a_run_is_said_in_one_line(own_planted, values, why):
    config = make_config("Pop", own_planted, metrics=["Recall", "NDCG"], **values)
    found = estimates_beside(config, prepare_data(config, DecCMDataset(config)).test, np.ones((18, 10), dtype=int))
    assert list(found) == ["not_estimated"] and why in found["not_estimated"] and "\n" not in found["not_estimated"]
