"""Hyper-parameters of our models as typed, frozen values: the one place where they are read from a config."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from recbole_decm.errors import ConfigError
from recbole_decm.model.objectives import MATCHINGS, OBJECTIVES, TEACHER_KLS

if TYPE_CHECKING:
    from typing_extensions import Self


def _in_range(low: float, high: float = float("inf"), open_low: bool = False):
    def check(value: Any) -> bool:
        return (value > low if open_low else value >= low) and value <= high

    brackets = f"{'above' if open_low else 'at least'} {low:g}" + (
        f" and at most {high:g}" if high < float("inf") else ""
    )
    return check, brackets


_CHECKS = {
    "latent_dimension": _in_range(1),
    "dropout_prob": _in_range(0, 0.99),
    "music_dropout_prob": _in_range(0, 0.99),
    "margin": _in_range(0),
    "music_loss_factor": _in_range(0),
    "sampling_noise": _in_range(0),
    "num_negatives": _in_range(1),
    "reconstruction_weight": _in_range(0),
    "kl_weight": _in_range(0),
    "kl_anneal_epochs": _in_range(0),
    "initial_logvar": _in_range(-30, 10),
    "teacher_weight": _in_range(0),
    "teacher_score_weight": _in_range(0),
    "distillation_weight": _in_range(0),
    "distillation_temperature": _in_range(0, open_low=True),
    "temperature": _in_range(0, open_low=True),
    "backdoor_temperature": _in_range(0, open_low=True),
    "alpha": _in_range(0, open_low=True),
    "canonical_dimension": _in_range(1),
    "regularization": _in_range(0, open_low=True),
    "correlation_power": _in_range(0),
    "num_neighbors": _in_range(1),
    "similarity_power": _in_range(0),
    "propensity_power": _in_range(0),
    "largest_weight": _in_range(0, open_low=True),
    "popularity_power": _in_range(0),
    "inference_popularity_power": _in_range(0),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "match_on": ("mean", "sample"),
    "objective": tuple(OBJECTIVES),
    "matching": tuple(MATCHINGS),
    "teacher_kl": tuple(TEACHER_KLS),
    "decode_from": ("latent", "fused"),
    "initial_weights": ("adapted", "torch"),
    "backdoor": ("none", "batch", "population", "exact", "conditional"),
    "validation_prior": ("inference", "mean", "uniform", "uploader"),
    "confounder_fusion": ("linear", "bilinear", "gated", "mixture", "genre"),
    "inference": ("pd", "pda"),
}
_INFERENCE_PRIORS = ("mean", "uniform", "uploader")


@dataclass(frozen=True)
class Settings:
    """Values of a model's YAML: a subclass has a field for each key."""

    @classmethod
    def from_config(cls, config) -> Self:
        """Read and check the values.

        Raises:
            ConfigError: a key is missing, of another type, or out of its range.
        """
        return cls(**{field.name: _read(config, field.name, str(field.type)) for field in fields(cls)})


@dataclass(frozen=True)
class MatcherSettings(Settings):
    """Hyper-parameters of the variational cross-modal matcher; ``properties/model/CMVAE.yaml`` says what they mean."""

    latent_dimension: int
    dropout_prob: float
    music_dropout_prob: float
    initial_logvar: float
    normalize_mean: bool
    match_on: str
    margin: float
    num_negatives: int
    reconstruction_weight: float
    kl_weight: float
    kl_anneal_epochs: int
    objective: str
    matching: str
    temperature: float
    popularity_correction: bool
    both_directions: bool
    mask_same_music: bool
    music_loss_factor: float
    normalize_logvar: bool
    sampling_noise: float
    decoder_relu: bool
    initial_weights: str


@dataclass(frozen=True)
class DecCMSettings(MatcherSettings):
    """Hyper-parameters of DecCM: the matcher's, the weight of the teacher, and the backdoor adjustment."""

    teacher: str
    teacher_kl: str
    decode_from: str
    teacher_weight: float
    teacher_score_weight: float
    distillation_weight: float
    distillation_temperature: float
    backdoor: str
    confounder_fusion: str
    inference_prior: str | tuple[float, ...]
    validation_prior: str
    backdoor_temperature: float


def lack_of_negatives(config) -> str | None:
    """What to say where the batch of all processes together has fewer pairs than ``num_negatives`` + 1; else None.

    One process can go on with those it has: every other pair of a batch is a negative then.
    """
    batch, negatives = config["train_batch_size"], config["num_negatives"]
    numbers = isinstance(batch, int) and isinstance(negatives, int)
    if not numbers or config["matching"] == "softmax" or batch > negatives:
        return None
    return (
        f"train_batch_size: expected at least num_negatives + 1 = {negatives + 1}, found {batch}. The batch of all "
        "processes together holds the negatives; raise it or lower num_negatives."
    )


def _read_prior(name: str, value: Any) -> str | tuple[float, ...]:
    if isinstance(value, str) and value in _INFERENCE_PRIORS:
        return value
    numbers = value if isinstance(value, (list, tuple)) else []
    fits = all(isinstance(number, (int, float)) and not isinstance(number, bool) and number >= 0 for number in numbers)
    if not numbers or not fits or abs(sum(numbers) - 1) > 1e-3:
        raise ConfigError(
            f"{name}: expected {', '.join(_INFERENCE_PRIORS)}, or probabilities that sum to 1, found {value!r}."
        )
    return tuple(float(number) for number in numbers)


def _read(config, name: str, kind: str) -> Any:
    value = config[name]
    if name == "music_dropout_prob" and value is None:
        value = config["dropout_prob"]
    if name == "inference_prior":
        return _read_prior(name, value)
    if value is None and (name == "teacher" or "none" in _CHOICES.get(name, ())):
        value = "none"  # YAML and the command line read the word as None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "int": isinstance(value, int) and number,
        "float": number,
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }
    if not fits[kind]:
        raise ConfigError(f"{name}: expected a value of type {kind}, found {value!r}.")
    if name in _CHECKS and not _CHECKS[name][0](value):
        raise ConfigError(f"{name}: expected a number of {_CHECKS[name][1]}, found {value!r}.")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ConfigError(f"{name}: expected {' or '.join(_CHOICES[name])}, found {value!r}.")
    return float(value) if kind == "float" else value
