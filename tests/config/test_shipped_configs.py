"""Every YAML of properties/ablation and protocol: known keys, comments, and just the change it is named for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers.released_layout import write_released
from helpers.running import make_config

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import read_yaml
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.io.shipped import shipped
from recbole_decm.model.objectives import OBJECTIVES
from recbole_decm.released.importer import import_released
from recbole_decm.training import teacher
from recbole_decm.training.run import run

FILES = sorted(path for kind in ("ablation", "protocol") for path in (shipped("properties") / kind).glob("*.yaml"))
# Step file -> what it changes in the resolved config of the file before it.
WALK = {
    "released": None,
    "released-1-teacher-kl": {"teacher_kl": "kl"},
    "released-2-matching": {"matching": "hinge"},
    "released-3-duplicates": {"mask_same_music": True},
    "released-4-match-on-mean": {"match_on": "mean"},
    "released-5-logvar": {"normalize_logvar": False},
    "released-6-initial-weights": {"initial_weights": "adapted"},
    "released-7-decoders": {"decoder_relu": False, "decode_from": "latent"},
    "released-8-annealing": {"kl_anneal_epochs": 10},
}
# What each file changes in DecCMPlus.
PLUS = {
    "plus-no-teacher": {"teacher": "none"},
    "plus-no-backdoor": {"backdoor": "none"},
    "plus-mean-prior": {"inference_prior": "mean"},
    "plus-bilinear": {"confounder_fusion": "bilinear"},
    "plus-hinge": {"matching": "hinge"},
    "plus-no-logq": {"popularity_correction": False},
    "plus-both-directions": {"both_directions": True},
    "plus-music-dropout": {"music_dropout_prob": None},
    "plus-validate-uniform": {"validation_prior": "inference"},
    "plus-variational": {"reconstruction_weight": 0.1, "kl_weight": 0.0001},
    "plus-teacher-kl": {"teacher_score_weight": 0.0, "teacher_weight": 0.01},
}
# What each file changes in DecCM.
DECCM = {
    "deccm-no-teacher": {"teacher": "none"},
    "deccm-no-backdoor": {"backdoor": "none"},
    "deccm-population": {"backdoor": "population"},
    "deccm-exact": {"backdoor": "exact"},
    "deccm-uniform-prior": {"inference_prior": "uniform"},
    "deccm-bilinear": {"confounder_fusion": "bilinear"},
    "deccm-no-cross-generation": {"reconstruction_weight": 0.0},
    "deccm-no-kl": {"kl_weight": 0.0},
    "deccm-deterministic": {"sampling_noise": 0.0},
    "deccm-match-on-sample": {"match_on": "sample"},
    "deccm-released-matching": {"matching": "released"},
    "deccm-released-teacher-kl": {"teacher_kl": "released"},
    "deccm-unmasked-duplicates": {"mask_same_music": False},
    "deccm-softmax": {"matching": "softmax"},
}
NUMBERS = {"margin", "num_negatives", "music_loss_factor", "teacher_weight", "kl_weight", "reconstruction_weight"}
NUMBERS |= {"dropout_prob", "music_dropout_prob", "kl_anneal_epochs"}


def resolved(planted, *files, model="DecCM") -> dict:
    return DecCMConfig(model, "planted", list(files), {"data_path": str(planted)}).plain()


def changes(before: dict, after: dict) -> dict:
    return {key: after[key] for key in after if after[key] != before.get(key)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_is_known_and_every_line_explained(planted, path):
    resolved(planted, path)
    for line in path.read_text().splitlines():
        assert (
            not line or line.startswith("#") or re.search(r"\S+:.*# \((str|int|float|bool|dict|list)\) \w.*\.$", line)
        )


def test_every_ablation_is_checked():
    assert {path.stem for path in FILES if path.parent.name == "ablation"} == {*WALK, *PLUS, *DECCM}


@pytest.mark.parametrize(
    ("model", "name", "change"),
    [("DecCMPlus", *row) for row in PLUS.items()] + [("DecCM", *row) for row in DECCM.items()],
)
def test_each_ablation_changes_what_it_says(planted, model, name, change):
    plain, changed = (resolved(planted, *files, model=model) for files in ((), (f"ablation/{name}.yaml",)))
    assert changes(plain, changed) == change


def test_released_is_exactly_the_named_set(planted):
    path = shipped("properties") / "ablation" / "released.yaml"
    assert read_yaml(path) == {"objective": "released"}
    plain, released = resolved(planted), resolved(planted, "ablation/released.yaml")
    assert set(changes(plain, released)) <= {"objective", *OBJECTIVES["released"]}
    assert all(released[key] == value for key, value in OBJECTIVES["released"].items())


def test_the_walk_holds_every_step():
    assert sorted(
        path.stem for path in FILES if path.stem.startswith("released") and path.parent.name == "ablation"
    ) == (sorted(WALK))


@pytest.mark.parametrize(("before", "step"), list(zip(list(WALK), list(WALK)[1:], strict=False)))
def test_each_step_changes_what_its_name_says(planted, before, step):
    configs = [resolved(planted, f"ablation/{name}.yaml") for name in (before, step)]
    changed = changes(*configs)
    assert {key: changed[key] for key in changed if key != "teacher_config"} == WALK[step]
    teachers = [
        teacher.teacher_config(DecCMConfig("DecCM", "planted", [f"ablation/{name}.yaml"], {"data_path": str(planted)}))
        for name in (before, step)
    ]
    expected = {key: value for key, value in WALK[step].items() if key in teachers[0]}
    assert changes(teachers[0].plain(), teachers[1].plain()) == expected


def test_the_walk_ends_at_our_defaults_but_for_weights(planted):
    """If a default was changed on purpose, add a step to the walk that makes the same change."""
    last = resolved(planted, f"ablation/{list(WALK)[-1]}.yaml")
    left = changes(last, resolved(planted))
    # The walk's data are of unit scale, where standardize_features does nothing.
    assert set(left) - {"objective", "teacher_config", "standardize_features"} <= NUMBERS


@pytest.fixture
def imported(tmp_path):
    folders = write_released(tmp_path / "released", negatives=27)
    import_released(*folders, "rel", tmp_path / "out", show_progress=False)
    return tmp_path / "out"


PROTOCOL = ["ablation/released.yaml", "protocol/released.yaml"]


def test_the_released_protocol_holds_the_papers_settings(imported):
    config = DecCMConfig("DecCM", "rel", PROTOCOL, {"data_path": str(imported)})
    paper = {"learner": "adam", "learning_rate": 1e-3, "weight_decay": 1e-3, "train_batch_size": 1024, "epochs": 50}
    paper |= {"latent_dimension": 128, "valid_metric": "IPWRecall@25", "margin": 0.05, "num_negatives": 40}
    paper |= {"topk": [10, 15, 20, 25], "teacher_weight": 5e-5, "dropout_prob": 0.2}
    assert {key: config[key] for key in paper} == paper
    assert config["eval_args"]["mode"] == {"valid": "fixed", "test": "fixed"}
    own = teacher.teacher_config(config)
    expected = {"learning_rate": 1e-4, "valid_metric": "Recall@25", "topk": [25], "objective": "released", "epochs": 50}
    assert {key: own[key] for key in expected} == expected and own["eval_args"]["mode"]["valid"] == "full"


def test_the_released_protocol_runs_end_to_end(imported):
    quick = {"data_path": str(imported), "epochs": 2, "train_batch_size": 16, "latent_dimension": 8}
    quick |= {"teacher_config": {"epochs": 1, "train_batch_size": 16}, "state": "ERROR", "show_progress": False}
    result = run("DecCM", "rel", PROTOCOL, quick)
    assert result["best_valid_score"] == result["best_valid_result"]["ipwrecall@25"]
    assert {f"ipw{m}@{k}" for m in ("recall", "ndcg") for k in (10, 15, 20, 25)} < set(result["test_result"])


@pytest.mark.parametrize("field", ["ipw_weight", None])
def test_weights_of_the_data_or_of_training_popularity(imported, tmp_path, field):
    config = make_config("CMVAE", imported, "rel", IPW_FIELD=field, train_batch_size=16)
    test = prepare_data(config, DecCMDataset(config)).test
    if field:
        given = np.load(tmp_path / "released" / "data_matching" / "video_popularity_test.npy")
        assert np.allclose(np.sort(test.weights), np.sort(given))
    else:
        assert np.allclose(test.weights, 1 / np.maximum(test.dataset.popularity[test.positives.ids], 1))
