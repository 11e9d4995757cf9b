"""Hyper-parameters of our models as typed, frozen values: the one place where they are read from a config.

Each field's description is the comment of its key in ``properties/model/*.yaml`` and its line in ``docs/keys.md``.
"""

# No "from __future__ import annotations" here: older pydantic looks for the names of a base class in this module.

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic.dataclasses import dataclass

from recbole_decm.io.typed import STRICT, Expected, Typed

if TYPE_CHECKING:
    from typing_extensions import Self


def _word(value: Any) -> Any:
    """YAML and the command line read the word ``none`` as None."""
    return "none" if value is None else value


def _as_dropout_prob(value: Any, info: ValidationInfo) -> Any:
    return info.data.get("dropout_prob", 0.0) if value is None else value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Prior = Annotated[
    Literal["mean", "uniform", "uploader"] | tuple[Annotated[float, Field(ge=0)], ...],
    BeforeValidator(_as_tuple),
    Expected(
        "mean, uniform, uploader, or probabilities that sum to 1",
        lambda value: isinstance(value, str) or abs(sum(value) - 1) <= 1e-3,
    ),
]


@dataclass(frozen=True, config=STRICT)
class Settings(Typed):
    """Values of a model's YAML: a subclass has a field for each key."""

    @classmethod
    def from_config(cls, config: Any) -> "Self":
        """Read and check the values; other keys of the config are not looked at.

        Raises:
            ConfigError: a key is missing, of another type, or out of its range.
        """
        return cls(**{field.name: config[field.name] for field in fields(cls)})


@dataclass(frozen=True, config=STRICT)
class MatcherSettings(Settings):
    """Hyper-parameters of the variational cross-modal matcher."""

    latent_dimension: int = Field(ge=1, description="D, the size of the shared latent space.")
    dropout_prob: float = Field(ge=0, le=0.99, description="Dropout on the normalised input of encoders and decoders.")
    music_dropout_prob: Annotated[float, BeforeValidator(_as_dropout_prob)] = Field(
        ge=0, le=0.99, description="The same for the music encoder alone; ~ is dropout_prob."
    )
    initial_logvar: float = Field(ge=-30, le=10, description="Bias the log-variance heads start from.")
    normalize_mean: bool = Field(description="Whether posterior means have unit length, which makes scores cosines.")
    match_on: Literal["mean", "sample"] = Field(
        description="What the matching term compares in training: mean or sample of the posteriors."
    )
    margin: float = Field(ge=0, description="A matched pair should score this much higher than a negative.")
    num_negatives: int = Field(ge=1, description="Hardest in-batch negatives an anchor learns from.")
    reconstruction_weight: float = Field(ge=0, description="Weight of the cross-generation error.")
    kl_weight: float = Field(ge=0, description="Weight of the divergence from N(0, I), after annealing.")
    kl_anneal_epochs: int = Field(ge=0, description="Epochs over which the KL weight rises linearly to its value.")
    objective: Literal["ours", "released"] = Field(
        description=(
            "Named set of values, below all that is given otherwise: ours (this file) or released "
            "(model/objectives.py)."
        )
    )
    matching: Literal["hinge", "softmax", "released"] = Field(
        description="Matching term: hinge, softmax (contrastive), or released (the released code's inverted hinge)."
    )
    temperature: float = Field(
        gt=0,
        description="Score difference that counts as one nat in matching: softmax; learned from this start.",
    )
    popularity_correction: bool = Field(
        description="logQ correction of matching: softmax: a popular track is an in-batch negative more often."
    )
    both_directions: bool = Field(
        description="Whether videos compete for a track, too, in matching: softmax.",
    )
    mask_same_music: bool = Field(
        description="Whether pairs of a batch that share the track are no negatives of each other."
    )
    music_loss_factor: float = Field(ge=0, description="Weight of the music-anchored direction in matching: released.")
    normalize_logvar: bool = Field(description="Whether the log-variances of a posterior have unit length, too.")
    sampling_noise: float = Field(
        ge=0, description="Scale of the noise of posterior samples in training; 0 takes the means."
    )
    standardize_features: bool = Field(
        description=(
            "Whether features far from unit scale are standardised by training statistics, inside the model; others "
            "never are."
        )
    )
    decoder_relu: bool = Field(description="Whether decoders end in a ReLU, for features that are never negative.")
    initial_weights: Literal["adapted", "torch"] = Field(
        description="Start of logvar heads and fusion: adapted (initial_logvar, near identity) or torch."
    )


@dataclass(frozen=True, config=STRICT)
class DecCMSettings(MatcherSettings):
    """Hyper-parameters of DecCM: the matcher's, the weight of the teacher, and the backdoor adjustment."""

    teacher: Annotated[str, BeforeValidator(_word)] = Field(
        description="auto: train on <dataset>-pgc, or take a cached one; PATH of a checkpoint; none."
    )
    teacher_kl: Literal["kl", "released"] = Field(
        description="Divergence from the teacher: kl, or released (with the released code's sign error)."
    )
    decode_from: Literal["latent", "fused"] = Field(
        description=(
            "What a video is generated from: the music's latent vector (latent) or the one with the confounder (fused)."
        )
    )
    teacher_weight: float = Field(ge=0, description="Weight of KL(student || teacher).")
    teacher_score_weight: float = Field(
        ge=0, description="Weight of the teacher's own match beside the student's in the score; 0 leaves it out."
    )
    distillation_weight: float = Field(
        ge=0,
        description=(
            "Weight of the divergence from the teacher's rankings of professional music for professional videos."
        ),
    )
    distillation_temperature: float = Field(
        gt=0, description="Score difference that counts as one nat in those rankings of the teacher."
    )
    backdoor: Annotated[Literal["none", "batch", "population", "exact", "conditional"], BeforeValidator(_word)] = Field(
        description=(
            "P(k) in training: batch (the paper's Monte Carlo mean), population (training mean), exact (sum over the "
            "groups' probabilities), conditional (each uploader's own), none."
        )
    )
    confounder_fusion: Literal["linear", "bilinear", "gated", "mixture", "genre"] = Field(
        description=("How the confounder enters the score: linear (the paper's), bilinear, gated, mixture, genre.")
    )
    inference_prior: Prior = Field(
        description="P(k) at inference: mean, uniform, uploader, or a probability for each genre group."
    )
    validation_prior: Literal["inference", "mean", "uniform", "uploader"] = Field(
        description=(
            "P(k) while the epoch is chosen: inference (inference_prior), uploader (whose choices the validation data "
            "are), mean, uniform."
        )
    )
    backdoor_temperature: float = Field(
        gt=0, description="Score difference that counts as one nat in the probabilities of backdoor: exact."
    )


@dataclass(frozen=True, config=STRICT)
class DecCMPlusSettings(DecCMSettings):
    """Hyper-parameters of DecCMPlus: DecCM's, and how it comes to some of them."""

    protocol: Annotated[str, Field(min_length=1)] = Field(
        description=(
            "Named set of values, below all that is given otherwise: auto (training and validation rows choose, "
            "docs/protocol.md), default (this file), or a file of properties/protocol."
        )
    )
    protocol_fits: int = Field(
        ge=0, description="The most trainings that protocol: auto may spend on its choice; 0 takes default."
    )


def lack_of_negatives(config: Any) -> str | None:
    """What to say where the batch of all processes together has fewer pairs than ``num_negatives`` + 1; else None.

    One process can go on with those it has: every other pair of a batch is a negative then.
    """
    batch, negatives = config["train_batch_size"], config["num_negatives"]
    if negatives is None or config["matching"] == "softmax" or batch > negatives:
        return None
    return (
        f"train_batch_size: expected at least num_negatives + 1 = {negatives + 1}, found {batch}. The batch of all "
        "processes together holds the negatives; raise it or lower num_negatives."
    )
