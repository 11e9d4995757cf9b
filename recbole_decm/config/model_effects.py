"""When a key of our own models changes nothing, since another of its keys switches its part off.

The table of :mod:`.effects` for the keys of ``properties/model/*.yaml``; the reasons are those of a warning and of
``docs/keys.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Idle(NamedTuple):
    """A case in which a key changes nothing.

    Attributes:
        when: whether the case is that of a run, given its config and the value of the key.
        why: what a warning says.
    """

    when: Callable[[Any, Any], bool]
    why: str


def _is(key: str, *values: Any) -> Callable[[Any, Any], bool]:
    """Whether a key has one of some values; a key that the model does not have has none."""
    return lambda config, value: config[key] in values


def _zero(key: str) -> Idle:
    return Idle(_is(key, 0), f"{key} is 0")


def _none(config: Any, key: str) -> bool:
    return key in config and config[key] in (None, "none")


def _no_teacher(config: Any, value: Any = None) -> bool:
    return "teacher" not in config or _none(config, "teacher")


def _no_distillation(config: Any, value: Any = None) -> bool:
    chosen = config["protocol"] != "auto"  # which may choose to distil
    return (chosen and not config["distillation_weight"]) or _no_teacher(config)


def _no_samples(config: Any, value: Any = None) -> bool:
    return config["match_on"] == "mean" and config["reconstruction_weight"] == 0


def _no_variance(config: Any, value: Any = None) -> bool:
    unsampled = _no_samples(config) or config["sampling_noise"] == 0
    return unsampled and config["kl_weight"] == 0 and _no_teacher(config)


def _no_validation(config: Any, value: Any = None) -> bool:
    return bool(config["eval_step"] == 0)


def _unused_teacher(config: Any, value: Any = None) -> bool:
    weights = ("teacher_weight", "teacher_score_weight")
    return value != "none" and not any(config[weight] for weight in weights) and _no_distillation(config)


SOFTMAX = Idle(_is("matching", "softmax"), "matching is softmax, which compares with all of a batch, without a margin")
NOT_SOFTMAX = Idle(lambda config, value: config["matching"] != "softmax", "only matching: softmax reads it")
NO_TEMPERATURE = Idle(
    lambda config, value: config["matching"] != "softmax" and _no_distillation(config),
    "neither matching: softmax nor a distillation reads it",
)
NOT_RELEASED = Idle(lambda config, value: config["matching"] != "released", "only matching: released reads it")
NO_SAMPLES = Idle(_no_samples, "nothing is sampled (match_on: mean, reconstruction_weight: 0)")
NO_VARIANCE = Idle(_no_variance, "no term reads variances: nothing is sampled, kl_weight is 0, and there is no teacher")
NO_NOISE = _zero("sampling_noise")
NOT_STARTED = Idle(
    lambda config, value: _no_variance(config) and config["backdoor"] in (None, "none"),
    "there is no fusion, and no term reads variances",
)
TORCH_WEIGHTS = Idle(_is("initial_weights", "torch"), "initial_weights is torch")
NO_RECONSTRUCTION = _zero("reconstruction_weight")
NO_KL = _zero("kl_weight")
UNGUIDED = Idle(_no_teacher, "teacher is none")
UNUSED_TEACHER = Idle(
    _unused_teacher, "teacher_weight, teacher_score_weight and distillation_weight are 0: nothing is learned from it"
)
NO_TEACHER_WEIGHT = _zero("teacher_weight")
NO_DISTILLATION = Idle(_no_distillation, "distillation_weight is 0")
TEACHER_KNOWN = Idle(
    lambda config, value: config["teacher"] != "auto" and _no_distillation(config),
    "the teacher is a checkpoint, and no professional data are read",
)
NO_BACKDOOR = Idle(lambda config, value: _none(config, "backdoor"), "backdoor is none")
NOT_EXACT = Idle(lambda config, value: config["backdoor"] != "exact", "only backdoor: exact reads it")
LINEAR = Idle(
    lambda config, value: config["confounder_fusion"] == "linear" and value != "uploader",
    "confounder_fusion is linear, which adds the same number to every track of a video, so that no prior changes a "
    "ranking",
)
RANKS_BY_MATCH = Idle(_is("inference", "pd"), "inference is pd, which ranks by the match alone")
NO_STRUCTURE = _zero("structure_weight")
ALL_ALIKE = _zero("propensity_power")
CHOSEN = Idle(lambda config, value: config["protocol"] != "auto", "only protocol: auto reads it")
NO_VALIDATION = Idle(_no_validation, "eval_step is 0, so no epoch is validated")
ONE_EPOCH = Idle(_is("epochs", 1), "epochs is 1, and the first has the whole rate")

MODEL_EFFECTS: dict[str, tuple[Idle, ...]] = {
    "margin": (SOFTMAX,),
    "num_negatives": (SOFTMAX,),
    "temperature": (NO_TEMPERATURE,),
    "popularity_correction": (NOT_SOFTMAX,),
    "both_directions": (NOT_SOFTMAX,),
    "music_loss_factor": (NOT_RELEASED,),
    "match_on": (NO_NOISE,),
    "sampling_noise": (NO_SAMPLES,),
    "initial_weights": (NOT_STARTED,),
    "initial_logvar": (TORCH_WEIGHTS, NO_VARIANCE),
    "normalize_logvar": (NO_VARIANCE,),
    "kl_anneal_epochs": (NO_KL,),
    "decoder_relu": (NO_RECONSTRUCTION,),
    "decode_from": (NO_RECONSTRUCTION, NO_BACKDOOR),
    "learning_rate_decay": (ONE_EPOCH,),
    "teacher": (UNUSED_TEACHER,),
    "teacher_kl": (UNGUIDED, NO_TEACHER_WEIGHT),
    "teacher_weight": (UNGUIDED,),
    "teacher_score_weight": (UNGUIDED,),
    "teacher_config": (UNGUIDED, UNUSED_TEACHER, TEACHER_KNOWN),
    "distillation_weight": (UNGUIDED,),
    "distillation_temperature": (UNGUIDED, NO_DISTILLATION),
    "confounder_fusion": (NO_BACKDOOR,),
    "inference_prior": (NO_BACKDOOR, LINEAR),
    "validation_prior": (NO_BACKDOOR, LINEAR, NO_VALIDATION),
    "backdoor_temperature": (NO_BACKDOOR, NOT_EXACT),
    "inference_popularity_power": (RANKS_BY_MATCH,),
    "structure_rows": (NO_STRUCTURE,),
    "largest_weight": (ALL_ALIKE,),
    "protocol_fits": (CHOSEN,),
}
