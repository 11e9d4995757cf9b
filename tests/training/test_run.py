"""Every model through the one runner: results, result files, and evaluation of checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.planted import write_planted
from helpers.running import QUICK, make_config, run_quick

from recbole_decm.errors import CheckpointError, ConfigError, DataError
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run, run_config

MODELS = ["DecCM", "DecCMTeacher", "CMVAE"]
RECBOLE_MODELS = ["Pop", "Random", "BPR", "LightGCN", "MultiVAE", "FM", "DeepFM", "DSSM"]
FAST = {"epochs": 1, "train_batch_size": 128}


@pytest.mark.parametrize("model", MODELS + RECBOLE_MODELS)
def test_every_model_trains_tests_and_loads_again(model, planted):
    values = FAST | ({"teacher_config": FAST} if model == "DecCM" else {})
    result = run_quick(model, planted, **values, result_file="result.json")
    assert set(result) == {"best_valid_score", "valid_score_bigger", "best_valid_result", "test_result"}
    assert result["best_valid_score"] == result["best_valid_result"]["ndcg@10"] and result["valid_score_bigger"]
    written = json.loads(Path("result.json").read_text())
    assert (written["model"], written["dataset"], written["seed"]) == (model, "planted", 2020)
    assert written["valid"] == result["best_valid_result"] and written["test"] == result["test_result"]
    assert set(written["seconds"]) == {"load", "teacher", "train", "test"} and written["train_pairs"] == 420
    if model != "Random":  # its scores are drawn anew
        again = evaluate(written["checkpoint"], ["--state=ERROR", "--result_file=again.json"])
        assert again["test"] == pytest.approx(result["test_result"])
        assert json.loads(Path("again.json").read_text())["valid"] == pytest.approx(written["valid"])


@pytest.mark.parametrize("mode", ["full", "uni20", "pop20"])
@pytest.mark.parametrize("model", ["CMVAE", "BPR", "FM"])
def test_every_kind_of_model_in_every_drawn_mode(model, mode, planted):
    metrics = {"metrics": ["Recall", "NDCG", "MRR", "IPWRecall", "IPWNDCG"], "topk": [1, 10]}
    test = run_quick(model, planted, **FAST, **metrics, eval_args={"mode": mode})["test_result"]
    assert len(test) == 10 and all(0 <= value <= 1 for value in test.values())


def test_recboles_context_models_learn_from_the_content(tmp_path):
    """Popularity knows nothing here; new videos can be matched through their reduced vectors alone."""
    write_planted(tmp_path, music=12, npy=True)
    values = {"epochs": 30, "learning_rate": 0.01, "feature_reduce": {"visual": 6, "acoustic": 6}, "topk": [1]}
    result = run_quick("DeepFM", tmp_path, **values, valid_metric="NDCG@1")
    assert result["test_result"]["recall@1"] > 0.5


def test_a_ratio_split_runs(tmp_path):
    write_planted(tmp_path, split=False)
    result = run_quick("DecCM", tmp_path, **FAST, teacher_config=FAST)
    assert 0 < result["test_result"]["recall@10"] <= 1


def test_the_same_seed_gives_the_same_result_and_another_seed_another(planted):
    results = [run_quick("CMVAE", planted, **FAST, seed=seed) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_a_priors_from_training_run(planted):
    """The student sees other priors, not only another name for the same."""
    both = [
        run_config(make_config("DecCM", planted, epochs=1, teacher="none", uploader_prior=source))[0].model.prior_mean
        for source in ("read", "train")
    ]
    assert both[0].sum().item() == pytest.approx(1, abs=1e-4) and both[1].sum().item() == pytest.approx(1, abs=1e-4)
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_config_files_and_arguments(planted):
    Path("small.yaml").write_text("latent_dimension: 8  # (int) Small.\nepochs: 9  # (int) Many.\n")
    given = {**QUICK, "data_path": str(planted), "result_file": "r.json"}
    given.pop("epochs")
    run("CMVAE", "planted", ["small.yaml"], given, arguments=["--epochs=1"])
    assert json.loads(Path("r.json").read_text())["epochs"] == 1


def test_a_result_file_in_a_folder_that_does_not_exist_yet_is_written(planted):
    run_quick("Pop", planted, result_file="new/folder/r.json")
    assert json.loads(Path("new/folder/r.json").read_text())["model"] == "Pop"


def test_a_folder_as_result_file_is_refused_before_training(planted):
    Path("folder").mkdir()
    with pytest.raises(ConfigError, match="result_file: expected a path for a JSON file, found the folder"):
        run_quick("Pop", planted, result_file="folder")
    assert not Path("saved").exists()


def test_a_checkpoint_on_data_of_other_dimensions(planted, tmp_path):
    trained, _ = run_config(make_config("CMVAE", planted, epochs=1))
    write_planted(tmp_path / "other", visual=5)
    with pytest.raises(CheckpointError, match=r"encoders\.visual.* has shape .*expected"):
        evaluate(trained.trainer.saved_model_file, [f"--data_path={tmp_path / 'other'}", "--state=ERROR"])


def test_evaluation_can_use_other_cut_offs_and_data(planted, tmp_path):
    trained, _ = run_config(make_config("CMVAE", planted, epochs=1))
    write_planted(tmp_path / "other", name="more", seed=5)
    arguments = [f"--data_path={tmp_path / 'other'}", "--dataset=more", "--topk=[3]", "--valid_metric=NDCG@3"]
    result = evaluate(trained.trainer.saved_model_file, [*arguments, "--state=ERROR"])
    assert result["dataset"] == "more" and set(result["test"]) == {"recall@3", "ndcg@3"}


@pytest.mark.parametrize(("negatives", "warned"), [(64, True), (63, False)])
def test_a_batch_that_cannot_hold_the_negatives_is_said(planted, caplog, negatives, warned):
    with caplog.at_level("WARNING"):
        run_quick("CMVAE", planted, epochs=1, num_negatives=negatives, state="WARNING")
    text = "expected at least num_negatives + 1 = 65, found 64"
    assert any(text in record.getMessage() for record in caplog.records) is warned


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("CMVAE", "expected at least 2 training pairs, which are each other's negatives, found 1"),
        ("DecCM", "expected at least 2 training pairs"),
        ("FM", "visual: expected at least 2 vectors of training rows for feature_reduce, found 1"),
        ("BPR", None),
        ("Ridge", None),
    ],
)
def test_one_training_row_trains_or_is_refused(own_planted, model, message):
    path = own_planted / "planted" / "planted.train.inter"
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    values = {"epochs": 1, "feature_reduce": {"visual": 2}} if model == "FM" else {"epochs": 1}
    values |= {"teacher": "none"} if model == "DecCM" else {}
    if message is None:
        assert run_quick(model, own_planted, **values)["test_result"]
        return
    with pytest.raises(DataError, match=message):
        run_quick(model, own_planted, **values)
