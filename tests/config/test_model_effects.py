"""Keys of our models that another of their keys switches off: named in one line, and really without effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from helpers.planted import write_planted

from recbole_decm.config import model_effects as effects
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.model_effects import MODEL_EFFECTS
from recbole_decm.training.run import run_config

QUICK = {"show_progress": False, "state": "ERROR", "epochs": 1, "latent_dimension": 4, "train_batch_size": 64}
QUICK |= {"benchmark_filename": ["train", "valid", "test"], "topk": [5], "valid_metric": "NDCG@5", "extra_tests": None}
QUICK |= {"learning_rate": 0.02}
ALONE = {"teacher": "none"}
SAMPLED = {"match_on": "mean", "reconstruction_weight": 0.0, "kl_weight": 0.0}
GENRES = {"backdoor": "conditional", "confounder_fusion": "genre"}
TAUGHT = {"teacher": "checkpoint", "teacher_weight": 0.5}

# By reason: a model, and values beside the key's.
WHERE: dict[str, tuple[str, dict]] = {
    effects.SOFTMAX.why: ("CMVAE", {"matching": "softmax"}),
    effects.NOT_SOFTMAX.why: ("CMVAE", {"matching": "hinge"}),
    effects.NO_TEMPERATURE.why: ("DecCM", {"matching": "hinge", **ALONE}),
    effects.NOT_RELEASED.why: ("CMVAE", {"matching": "hinge"}),
    effects.NO_SAMPLES.why: ("CMVAE", SAMPLED),
    effects.NO_VARIANCE.why: ("CMVAE", SAMPLED),
    effects.NO_NOISE.why: ("CMVAE", {"sampling_noise": 0.0}),
    effects.NOT_STARTED.why: ("CMVAE", SAMPLED),
    effects.TORCH_WEIGHTS.why: ("CMVAE", {"initial_weights": "torch"}),
    effects.NO_RECONSTRUCTION.why: ("DecCM", {"reconstruction_weight": 0.0, **ALONE}),
    effects.NO_KL.why: ("CMVAE", {"kl_weight": 0.0}),
    effects.UNGUIDED.why: ("DecCM", ALONE),
    effects.UNUSED_TEACHER.why: ("DecCM", {"teacher": "auto", "teacher_weight": 0.0}),
    effects.NO_TEACHER_WEIGHT.why: ("DecCM", {**TAUGHT, "teacher_weight": 0.0}),
    effects.NO_DISTILLATION.why: ("DecCM", {**TAUGHT, "distillation_weight": 0.0}),
    effects.TEACHER_KNOWN.why: ("DecCM", TAUGHT),
    effects.NO_BACKDOOR.why: ("DecCM", {"backdoor": "none", **ALONE}),
    effects.NOT_EXACT.why: ("DecCM", {"backdoor": "conditional", **ALONE}),
    effects.LINEAR.why: ("DecCM", {"confounder_fusion": "linear", **ALONE}),
    effects.RANKS_BY_MATCH.why: ("PDA", {"inference": "pd"}),
    effects.NO_STRUCTURE.why: ("VMNet", {"structure_weight": 0.0}),
    effects.ALL_ALIKE.why: ("IPW", {"propensity_power": 0.0}),
    effects.CHOSEN.why: ("DecCMPlus", {"protocol": "default", **ALONE}),
    effects.NO_VALIDATION.why: ("DecCM", {**GENRES, "eval_step": 0, "inference_prior": "uploader", **ALONE}),
    effects.ONE_EPOCH.why: ("CMVAE", {}),
}
OTHER: dict[str, object] = {
    **{"margin": 0.9, "num_negatives": 3, "temperature": 0.5, "popularity_correction": False, "both_directions": True},
    **{"music_loss_factor": 3.0, "sampling_noise": 0.2, "initial_logvar": 1.0, "normalize_logvar": True},
    **{"kl_anneal_epochs": 0, "decoder_relu": True, "decode_from": "fused", "teacher_kl": "released"},
    **{"teacher_weight": 5.0, "teacher_score_weight": 1.0, "teacher_config": {"epochs": 3}},
    **{"distillation_weight": 2.0, "distillation_temperature": 0.5, "confounder_fusion": "bilinear"},
    **{"inference_prior": "uniform", "validation_prior": "uniform", "backdoor_temperature": 2.0},
    **{"inference_popularity_power": 1.0, "structure_rows": 4, "largest_weight": 0.5, "protocol_fits": 2},
    **{"match_on": "sample", "initial_weights": "torch", "learning_rate_decay": True, "teacher": "checkpoint"},
}
# By key: a model, and values beside the key's, with which it does change the weights or the lists.
ACTIVE: dict[str, tuple[str, dict]] = {
    **dict.fromkeys(("margin", "num_negatives"), ("CMVAE", {"matching": "hinge"})),
    **dict.fromkeys(("popularity_correction", "both_directions"), ("CMVAE", {"matching": "softmax"})),
    "temperature": ("CMVAE", {"matching": "softmax"}),
    "music_loss_factor": ("CMVAE", {"matching": "released"}),
    **dict.fromkeys(("sampling_noise", "initial_logvar", "normalize_logvar"), ("CMVAE", {"match_on": "sample"})),
    "kl_anneal_epochs": ("CMVAE", {"kl_weight": 1.0}),
    "decoder_relu": ("CMVAE", {}),
    "decode_from": ("DecCM", ALONE),
    **dict.fromkeys(("teacher_kl", "teacher_weight", "teacher_score_weight", "distillation_weight"), ("DecCM", TAUGHT)),
    "teacher_config": ("DecCM", {"teacher": "auto"}),
    "distillation_temperature": ("DecCM", {**TAUGHT, "distillation_weight": 1.0}),
    "confounder_fusion": ("DecCM", {"backdoor": "conditional", **ALONE}),
    "inference_prior": ("DecCM", {"backdoor": "conditional", "confounder_fusion": "bilinear", **ALONE}),
    "validation_prior": ("DecCM", {**GENRES, "inference_prior": "uploader", **ALONE}),
    "backdoor_temperature": ("DecCM", {"backdoor": "exact", **ALONE}),
    "inference_popularity_power": ("PDA", {"inference": "pda"}),
    "structure_rows": ("VMNet", {}),
    "largest_weight": ("IPW", {}),
    "match_on": ("CMVAE", {}),
    "initial_weights": ("CMVAE", {}),
    "learning_rate_decay": ("CMVAE", {"epochs": 2}),
    "teacher": ("DecCM", {"teacher_weight": 0.5, "teacher": "none"}),
}


class Place(NamedTuple):
    """The data, a teacher's checkpoint, and what was looked at, by model and values."""

    data: Path
    teacher: Path
    seen: dict[str, tuple]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("runs")
    write_planted(folder, videos=150, music=15)
    values = {**QUICK, "data_path": str(folder), "checkpoint_dir": str(folder / "saved")}
    trained, _ = run_config(DecCMConfig("DecCMTeacher", "planted-pgc", config_dict=values))
    return Place(folder, Path(trained.trainer.saved_model_file), {})


def look(place: Place, model: str, values: dict) -> tuple[list[str], tuple]:
    """Warnings, and one epoch's weights and metrics; the variances' heads show in the others where they are used."""
    given = {**QUICK, "data_path": str(place.data), **values}
    if given.get("teacher") == "checkpoint":
        given["teacher"] = str(place.teacher)
    config = DecCMConfig(model, "planted", config_dict=given)
    key = json.dumps([model, values], sort_keys=True)
    if key not in place.seen:
        trained, test = run_config(config, saved=False)
        learned = {name: value for name, value in trained.model.named_parameters() if "logvar" not in name}
        place.seen[key] = (learned, test, trained.valid_result)
    return [line.replace(str(place.teacher), "checkpoint") for line in config.without_effect()], place.seen[key]


def same(first, second) -> bool:
    """Whether all that both have is equal; a part that one alone has was not trained."""
    names = first[0].keys() & second[0].keys()
    return all(torch.equal(first[0][name], second[0][name]) for name in names) and first[1:] == second[1:]


@pytest.mark.parametrize(("key", "why"), [(key, case.why) for key, idle in MODEL_EFFECTS.items() for case in idle])
def test_a_key_is_named_where_it_changes_nothing(place, key, why):
    model, beside = WHERE[why]
    lines, after = look(place, model, {**beside, key: OTHER[key]})
    assert f"{key}: {OTHER[key]!r} has no effect here: {why}." in lines
    assert same(look(place, model, beside)[1], after)


def test_every_key_is_looked_at():
    assert set(OTHER) == set(MODEL_EFFECTS)
    assert set(ACTIVE) == set(MODEL_EFFECTS) - {"protocol_fits"}  # which tests/training/test_protocol.py looks at


@pytest.mark.parametrize("key", ACTIVE)
def test_a_key_is_not_named_where_it_changes_something(place, key):
    model, beside = ACTIVE[key]
    lines, after = look(place, model, {**beside, key: OTHER[key]})
    assert not [line for line in lines if line.startswith(f"{key}: ")]
    assert not same(look(place, model, beside)[1], after)
