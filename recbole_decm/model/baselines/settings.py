"""Hyper-parameters of the baselines as typed, frozen values; ``properties/model/<Name>.yaml`` says what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from recbole_decm.model.settings import MatcherSettings, Settings


@dataclass(frozen=True)
class RidgeSettings(Settings):
    """Hyper-parameters of ridge regression."""

    alpha: float


@dataclass(frozen=True)
class CCASettings(Settings):
    """Hyper-parameters of canonical correlation analysis."""

    canonical_dimension: int
    regularization: float
    correlation_power: float


@dataclass(frozen=True)
class CosineSettings(Settings):
    """Hyper-parameters of the cosine of raw features."""

    center: bool


@dataclass(frozen=True)
class NearestVideosSettings(Settings):
    """Hyper-parameters of the votes of similar videos."""

    num_neighbors: int
    similarity_power: float


@dataclass(frozen=True)
class IPWSettings(MatcherSettings):
    """Hyper-parameters of the matcher with inverse propensity weights."""

    propensity_power: float
    largest_weight: float


@dataclass(frozen=True)
class PDASettings(MatcherSettings):
    """Hyper-parameters of popularity-bias deconfounding and adjusting."""

    popularity_power: float
    inference: str
    inference_popularity_power: float


@dataclass(frozen=True)
class DecRSSettings(MatcherSettings):
    """Hyper-parameters of the DecRS-style confounder."""

    inference_prior: str | tuple[float, ...]
