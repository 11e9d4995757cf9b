"""Hyper-parameters of the baselines as typed, frozen values."""

# No "from __future__ import annotations" here: older pydantic looks for the names of a base class in this module.

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from recbole_decm.io.typed import STRICT
from recbole_decm.model.settings import MatcherSettings, Prior, Settings


@dataclass(frozen=True, config=STRICT)
class RidgeSettings(Settings):
    """Hyper-parameters of ridge regression."""

    alpha: float = Field(
        gt=0, description="Penalty on the squared weights of standardised features, in scikit-learn's units."
    )


@dataclass(frozen=True, config=STRICT)
class CCASettings(Settings):
    """Hyper-parameters of canonical correlation analysis."""

    canonical_dimension: int = Field(
        ge=1, description="Directions to keep, those of the highest correlation; at most as many as features."
    )
    regularization: float = Field(gt=0, description="Ridge on both covariances, in units of a feature's variance.")
    correlation_power: float = Field(
        ge=0, description="Power of its correlation that scales a direction; 0 weighs all directions the same."
    )


@dataclass(frozen=True, config=STRICT)
class CosineSettings(Settings):
    """Hyper-parameters of the cosine of raw features."""

    center: bool = Field(description="Whether the training pairs' mean vectors are subtracted first.")


@dataclass(frozen=True, config=STRICT)
class NearestVideosSettings(Settings):
    """Hyper-parameters of the votes of similar videos."""

    num_neighbors: int = Field(ge=1, description="Training pairs that vote, those of the most similar videos.")
    similarity_power: float = Field(ge=0, description="Power of its cosine that a vote weighs; 0 counts the votes.")


@dataclass(frozen=True, config=STRICT)
class IPWSettings(MatcherSettings):
    """Hyper-parameters of the matcher with inverse propensity weights."""

    propensity_power: float = Field(
        ge=0,
        description=("Power of a track's popularity that its propensity is taken to be; 0 weighs all pairs the same."),
    )
    largest_weight: float = Field(
        gt=0,
        allow_inf_nan=True,  # no cap
        description="Largest weight of a pair; a track of mean popularity weighs 1.",
    )


@dataclass(frozen=True, config=STRICT)
class PDASettings(MatcherSettings):
    """Hyper-parameters of popularity-bias deconfounding and adjusting."""

    popularity_power: float = Field(ge=0, description="Power of popularity that multiplies the score in training.")
    inference: Literal["pd", "pda"] = Field(
        description=(
            "Ranking: pd (deconfounded, by the match alone) or pda (adjusted, times popularity to "
            "inference_popularity_power)."
        )
    )
    inference_popularity_power: float = Field(ge=0, description="Power of popularity in inference: pda.")


@dataclass(frozen=True, config=STRICT)
class DecRSSettings(MatcherSettings):
    """Hyper-parameters of the DecRS-style confounder."""

    inference_prior: Prior = Field(
        description=(
            "Distribution over the genre groups at inference: mean (as in training), uniform, uploader, or a "
            "probability for each group."
        )
    )


@dataclass(frozen=True, config=STRICT)
class VMNetSettings(MatcherSettings):
    """Hyper-parameters of VM-NET."""

    structure_weight: float = Field(
        ge=0, description="Weight of the soft structure within each modality; 0 leaves the ranking alone."
    )
    structure_rows: int = Field(ge=2, description="Other rows of the batch that an anchor's structure is told by.")


@dataclass(frozen=True, config=STRICT)
class ControlMVRSettings(MatcherSettings):
    """Hyper-parameters of supervised contrastive learning with genre labels."""

    genre_weight: float = Field(ge=0, description="Weight of the contrast of genres.")
    control: float = Field(
        ge=0, le=1, description="Part of the genre vector in what is ranked by; 0 ranks by the pairs' vector alone."
    )


@dataclass(frozen=True, config=STRICT)
class GenreBalancedSettings(MatcherSettings):
    """Hyper-parameters of the matcher on genre-balanced draws."""

    balance_power: float = Field(
        ge=0,
        description="Power of a genre's pairs that its draws are divided by; 1 draws all genres alike, 0 all pairs.",
    )


@dataclass(frozen=True, config=STRICT)
class UploaderOffsetSettings(MatcherSettings):
    """Hyper-parameters of the matcher with a fixed effect for each uploader."""

    offset_penalty: float = Field(ge=0, description="Weight of the squared length of the uploaders' offsets.")
