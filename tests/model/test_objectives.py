"""Named objectives: precedence of the set, each part alone, and that both train."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.running import make_config, run_quick

from recbole_decm.config.config import DecCMConfig
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import ConfigError
from recbole_decm.model.objectives import MATCHINGS, OBJECTIVES
from recbole_decm.training import teacher
from recbole_decm.training.run import build

RELEASED = OBJECTIVES["released"]
PARTS = {
    "matching": "hinge",
    "match_on": "mean",
    "mask_same_music": True,
    "normalize_mean": False,
    "normalize_logvar": False,
    "sampling_noise": 0.5,
    "decoder_relu": False,
    "initial_weights": "adapted",
    "teacher_kl": "kl",
    "decode_from": "latent",
    "kl_anneal_epochs": 3,
    "music_loss_factor": 0.5,
}


@pytest.mark.parametrize("model", ["DecCM", "DecCMPlus", "CMVAE", "DecCMTeacher"])
def test_released_sets_every_part_that_the_model_has(planted, model):
    config = make_config(model, planted, objective="released")
    for key, value in RELEASED.items():
        if key in config:
            assert config[key] == value
    of_the_student = {"teacher_weight", "teacher_kl", "decode_from", "backdoor", "confounder_fusion", "inference_prior"}
    of_the_student |= {"teacher_score_weight", "distillation_weight", "validation_prior"}
    assert {key for key in RELEASED if key not in config} <= of_the_student
    assert ("teacher_kl" in config) == (model in ("DecCM", "DecCMPlus"))


@pytest.mark.parametrize("key", PARTS)
def test_a_part_given_beside_the_set_wins(planted, tmp_path, key):
    file = tmp_path / "a.yaml"
    file.write_text("objective: released\n")
    config = DecCMConfig("DecCM", "planted", [file], {"data_path": str(planted)}, [f"--{key}={PARTS[key]}"])
    assert config[key] == PARTS[key]
    assert all(config[other] == value for other, value in RELEASED.items() if other != key)


def test_the_set_stands_above_the_data_sets_yaml(own_planted):
    with (own_planted / "planted" / "planted.yaml").open("a") as file:
        file.write("margin: 0.77\n")
    assert make_config("DecCM", own_planted, objective="released")["margin"] == 0.05
    assert make_config("DecCM", own_planted)["margin"] == 0.77


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "relaesed"}, "expected ours or released, found 'relaesed'. Did you mean 'released'"),
        ({"matching": "hing"}, "matching: expected hinge or softmax or released"),
        ({"teacher_kl": "textbook"}, "teacher_kl: expected kl or released"),
        ({"decode_from": "both"}, "decode_from: expected latent or fused"),
        ({"sampling_noise": -1}, "sampling_noise: expected a number of at least 0"),
    ],
)
def test_unknown_choices(planted, values, message):
    with pytest.raises(ConfigError, match=message):
        run_quick("DecCM", planted, teacher="none", **values)


def test_the_teacher_follows_the_named_set(planted):
    config = teacher.teacher_config(make_config("DecCM", planted, objective="released"))
    assert config["matching"] == "released" and config["normalize_logvar"] is True
    ours = teacher.teacher_config(make_config("DecCM", planted))
    assert teacher.fingerprint(config) != teacher.fingerprint(ours)


def model_of(planted, **values):
    model, splits = build(make_config("DecCM", planted, teacher="none", **values))
    train = splits.train
    return model, next(iter(train))


@pytest.mark.parametrize("key", [key for key in PARTS if key not in ("teacher_kl", "kl_anneal_epochs")])
def test_each_part_alone_changes_the_loss(planted, key):
    """From the released objective, in evaluation mode and from the same seed."""
    losses = []
    for values in ({}, {key: PARTS[key]}):
        model, batch = model_of(planted, objective="released", **values)
        torch.manual_seed(0)
        losses.append(sum(model.eval().calculate_loss(batch)).item())
    assert losses[0] != losses[1]


def test_defaults_are_ours(planted):
    model, batch = model_of(planted)
    assert model.settings.objective == "ours" and model.settings.matching == "hinge"
    named, _ = model_of(planted, objective="ours")
    losses = []
    for each in (model, named):
        torch.manual_seed(0)
        losses.append(each.calculate_loss(batch))
    assert losses[0] == losses[1]


def test_posteriors_have_unit_length(planted):
    model, _ = model_of(planted, objective="released")
    q = model.eval().posteriors("visual")
    assert np.allclose(q.mean.norm(dim=1).detach(), 1, atol=1e-5)
    assert np.allclose(q.logvar.norm(dim=1).detach(), 1, atol=1e-5)


def test_released_trains_teacher_and_student(planted):
    result = run_quick("DecCM", planted, objective="released", teacher_config={"epochs": 1}, epochs=2)
    assert 0 <= result["test_result"]["recall@10"] <= 1


def test_a_further_matching_is_one_more_line(planted, monkeypatch):
    config = make_config("DecCM", planted)
    assert DecCMDataset(config) and set(MATCHINGS) >= {"hinge", "released"}
    monkeypatch.setitem(MATCHINGS, "hinge", lambda pairs, s: pairs.scores.new_tensor(7.0))
    model, batch = model_of(planted)
    assert model.calculate_loss(batch)[0] == 7
