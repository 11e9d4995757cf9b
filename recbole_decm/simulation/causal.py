"""Simulated uploads with known ground truth: a structural causal model of confounded music choice.

An uploader's genre preference influences which music is shown and chosen, and through a personal style what the
videos look like. ``docs/simulator.md`` draws the graph and states every equation; each function below is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from recbole_decm.errors import ConfigError
from recbole_decm.io.typed import STRICT, Expected, Typed
from recbole_decm.simulation.table import UploadTable

if TYPE_CHECKING:
    from typing_extensions import Self

BLOCK_CELLS = 4_000_000
_LOG_FLOOR = 0.01


@pydantic_dataclass(frozen=True, config=STRICT)
class SimulationConfig(Typed):
    """Parameters of the causal model; every field is an option of ``recbole-decm simulate``.

    Raises:
        ConfigError: a value out of its range; the message names the option.
    """

    videos: Annotated[int, Field(ge=10, description="Videos.")] = 20_000
    music: Annotated[int, Field(ge=2, description="Tracks in the catalogue.")] = 1_000
    uploaders: Annotated[int, Field(ge=1, description="Uploaders; each video belongs to one of them.")] = 4_000
    pgc_videos: Annotated[int, Field(ge=2, description="Professional videos.")] = 5_000
    pgc_music: Annotated[int, Field(ge=2, description="Tracks of the professional videos.")] = 1_000
    genre_shares: Annotated[
        tuple[float, ...],
        Field(description="Share of each genre in the catalogue, comma-separated.", min_length=1),
        Expected("positive shares that sum to 1", lambda shares: min(shares) > 0 and abs(sum(shares) - 1) <= 1e-6),
    ] = (0.40, 0.20, 0.15, 0.12, 0.08, 0.05)
    preference: Annotated[
        tuple[float, ...],
        Field(description="Dirichlet parameters of the uploaders' preferences, comma-separated.", min_length=1),
        Expected("positive Dirichlet parameters", lambda parameters: min(parameters) > 0),
    ] = (2.0, 1.0, 0.75, 0.6, 0.4, 0.25)
    latent_dim: Annotated[int, Field(ge=1, description="Dimensions of the true match.")] = 16
    genre_spread: Annotated[float, Field(ge=0, description="Standard deviation of the genre centres.")] = 0.6
    music_spread: Annotated[
        float, Field(ge=0, description="Standard deviation of the tracks around their genre's centre.")
    ] = 0.8
    visual_dim: Annotated[int, Field(ge=1, description="Dimensions of the visual features.")] = 256
    acoustic_dim: Annotated[int, Field(ge=1, description="Dimensions of the acoustic features.")] = 64
    visual_noise: Annotated[float, Field(ge=0, description="Standard deviation of the visual noise.")] = 0.8
    acoustic_noise: Annotated[float, Field(ge=0, description="Standard deviation of the acoustic noise.")] = 0.4
    pgc_noise: Annotated[
        float, Field(ge=0, description="Noise of the professional features, relative to the others.")
    ] = 0.5
    confounding: Annotated[
        float, Field(ge=0, description="Strength with which preference drives the observed choice.")
    ] = 1.5
    style: Annotated[float, Field(ge=0, description="Strength with which preference shows in the video.")] = 0.0
    popularity: Annotated[float, Field(ge=0, description="Standard deviation of the tracks' log-exposure.")] = 0.0
    seed: Annotated[int, Field(ge=0, description="Random seed.")] = 2020

    @staticmethod
    def option(field: str) -> str:
        """``--pgc-videos`` for ``pgc_videos``."""
        return "--" + field.replace("_", "-")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        genres, preferences = len(self.genre_shares), len(self.preference)
        if genres != preferences:
            raise ConfigError(
                f"--preference: expected {genres} numbers, one for each of --genre-shares, found {preferences}."
            )
        if min(self.music, self.pgc_music) < genres:
            raise ConfigError(f"--music: expected at least one track a genre ({genres}), found {self.music}.")
        return self

    @classmethod
    def of(cls, **given: Any) -> SimulationConfig:
        """A config whose sizes follow ``videos`` and ``music`` where they are not given; None counts as not given.

        Raises:
            ConfigError: a value out of its range.
        """
        values = {key: value for key, value in given.items() if value is not None}
        videos, music = values.get("videos", cls.videos), values.get("music", cls.music)
        dependent = {"uploaders": max(1, videos // 5), "pgc_videos": max(2, videos // 4), "pgc_music": music}
        return cls(**{**dependent, **values})

    @property
    def num_genres(self) -> int:
        """K."""
        return len(self.genre_shares)


@dataclass(frozen=True)
class World:
    """What videos and music of one simulation share: where genres lie, and how latents become features.

    Attributes:
        genre_centres: (K, d).
        style_directions: (K, d), how a preference shows in an uploader's videos.
        visual_projection: (d, Fv); acoustic_projection: (d, Fa).
    """

    genre_centres: np.ndarray
    style_directions: np.ndarray
    visual_projection: np.ndarray
    acoustic_projection: np.ndarray


@dataclass(frozen=True)
class SimulatedTracks:
    """Music: genre (M,) int64, latent (M, d) float32, exposure (M,) float32 log-offset of popular music.

    Attributes:
        membership: (M, K) float32 shares of several genres in a track, whose first is ``genre``; None: one genre each.
    """

    genre: np.ndarray
    latent: np.ndarray
    exposure: np.ndarray
    membership: np.ndarray | None = None


@dataclass(frozen=True)
class Uploads:
    """Videos: uploader (V,) int64, preferences (uploaders, K) float64, latent (V, d) float32."""

    uploader: np.ndarray
    preferences: np.ndarray
    latent: np.ndarray


@dataclass(frozen=True)
class Simulation:
    """One draw from the causal model.

    Attributes:
        observed: (V,) int64, music chosen under confounding; intervened: (V,) the same under do(music shown at random).
        pgc_*: professional videos, their music, and their intervened choices.
        table: the real uploads that it was drawn around; None where uploads are simulated, too.
    """

    config: SimulationConfig
    world: World
    catalogue: SimulatedTracks
    uploads: Uploads
    observed: np.ndarray
    intervened: np.ndarray
    pgc_catalogue: SimulatedTracks
    pgc_latent: np.ndarray
    pgc_choice: np.ndarray
    table: UploadTable | None = None


def simulate(config: SimulationConfig, progress: Callable[[int], None] = lambda rows: None) -> Simulation:
    """Draw a simulation; the same config gives the same draw.

    Args:
        progress: told the number of choices that were just drawn.

    Examples:
        >>> small = simulate(SimulationConfig.of(videos=60, music=20, confounding=1.5, seed=1))
        >>> type(small).__name__, small.config.confounding
        ('Simulation', 1.5)
    """
    seeds = np.random.SeedSequence(config.seed).spawn(8)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    world = draw_world(config, rngs[0])
    catalogue, uploads = draw_catalogue(config, world, config.music, rngs[1]), draw_uploads(config, world, rngs[2])
    observed = choose(uploads.latent, catalogue, rngs[3], progress, confounder(config, uploads, catalogue))
    intervened = choose(uploads.latent, catalogue, rngs[4], progress)
    pgc_catalogue = draw_catalogue(config, world, config.pgc_music, rngs[5])
    pgc_latent = rngs[6].normal(size=(config.pgc_videos, config.latent_dim)).astype(np.float32)
    pgc_choice = choose(pgc_latent, pgc_catalogue, rngs[7], progress)
    return Simulation(config, world, catalogue, uploads, observed, intervened, pgc_catalogue, pgc_latent, pgc_choice)


def draw_world(config: SimulationConfig, rng: np.random.Generator) -> World:
    """Genre centres ~ N(0, genre_spread²); projections ~ N(0, 1/d): a projected N(0, I) latent has unit variance."""
    d, genres = config.latent_dim, config.num_genres
    scale = d**-0.5
    return World(
        genre_centres=rng.normal(0, config.genre_spread, (genres, d)),
        style_directions=rng.normal(0, 1, (genres, d)),
        visual_projection=rng.normal(0, scale, (d, config.visual_dim)).astype(np.float32),
        acoustic_projection=rng.normal(0, scale, (d, config.acoustic_dim)).astype(np.float32),
    )


def genre_sizes(shares: tuple[float, ...], count: int) -> np.ndarray:
    """Whole numbers of music a genre that sum to ``count``, by largest remainder; every genre has at least one.

    Examples:
        >>> genre_sizes((0.5, 0.25, 0.25), 8).tolist()
        [4, 2, 2]
    """
    exact = np.array(shares) * count
    sizes = np.floor(exact).astype(np.int64)
    sizes[np.argsort(sizes - exact, kind="stable")[: count - sizes.sum()]] += 1
    while (sizes == 0).any():
        sizes[sizes.argmax()] -= 1
        sizes[sizes.argmin()] += 1
    return sizes


def draw_catalogue(config: SimulationConfig, world: World, count: int, rng: np.random.Generator) -> SimulatedTracks:
    """Music latent ~ N(centre of its genre, music_spread²); log-exposure ~ N(0, popularity²)."""
    genre = rng.permutation(np.repeat(np.arange(config.num_genres), genre_sizes(config.genre_shares, count)))
    latent = world.genre_centres[genre] + rng.normal(0, config.music_spread, (count, config.latent_dim))
    exposure = config.popularity * rng.normal(size=count)
    return SimulatedTracks(genre, latent.astype(np.float32), exposure.astype(np.float32))


def draw_uploads(config: SimulationConfig, world: World, rng: np.random.Generator) -> Uploads:
    """Preference ~ Dirichlet; video latent ~ N(0, I) + style · (preference − its mean) · directions."""
    preferences = rng.dirichlet(config.preference, size=config.uploaders)
    uploader = rng.integers(config.uploaders, size=config.videos)
    leak = style_means(config, world, preferences)
    latent = rng.normal(size=(config.videos, config.latent_dim)) + leak[uploader]
    return Uploads(uploader, preferences, latent.astype(np.float32))


def style_means(config: SimulationConfig, world: World, preferences: np.ndarray) -> np.ndarray:
    """(U, d) means of the latents of each uploader's videos: what style shows of the preferences (U, K)."""
    mean = np.array(config.preference) / sum(config.preference)
    return config.style * (preferences - mean) @ world.style_directions


def confounder(config: SimulationConfig, uploads: Uploads, catalogue: SimulatedTracks) -> Callable[[slice], np.ndarray]:
    """The part of the choice that is not match: confounding · log(preference of the genre + 0.01) + exposure.

    Returns:
        rows of videos -> (rows, M) float32 offsets of the choice logits.
    """
    taste = log_taste(config, uploads.preferences).astype(np.float32)
    if catalogue.membership is not None:  # of a track of several genres, the mean over them
        weights = catalogue.membership.T
        return lambda rows: taste[uploads.uploader[rows]] @ weights + catalogue.exposure
    return lambda rows: taste[uploads.uploader[rows]][:, catalogue.genre] + catalogue.exposure


def log_taste(config: SimulationConfig, preferences: np.ndarray) -> np.ndarray:
    """(U, K) what a preference (U, K) adds to the logits of a genre."""
    return config.confounding * np.log(preferences + _LOG_FLOOR)


def choose(
    videos: np.ndarray,
    catalogue: SimulatedTracks,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda rows: None,
    offset: Callable[[slice], np.ndarray] | None = None,
) -> np.ndarray:
    """Draw a track for each video from softmax(match + offset) by the Gumbel-max method, in blocks.

    Args:
        videos: (V, d) float32 latents; the match is their dot product with the music latents.
        offset: rows -> (rows, M); None is the intervened model: match alone.

    Returns:
        (V,) int64 rows of the catalogue.
    """
    chosen = np.empty(len(videos), dtype=np.int64)
    step = max(1, BLOCK_CELLS // len(catalogue.latent))
    for start in range(0, len(videos), step):
        rows = slice(start, min(start + step, len(videos)))
        logits = videos[rows] @ catalogue.latent.T
        if offset is not None:
            logits += offset(rows)
        logits -= np.log(rng.standard_exponential(logits.shape, dtype=np.float32) + np.float32(1e-30))
        chosen[rows] = logits.argmax(axis=1)
        progress(len(logits))
    return chosen


def features(
    latent: np.ndarray, projection: np.ndarray, noise: float, rng: np.random.Generator, rows: int = 8_192
) -> Iterator[np.ndarray]:
    """Blocks of ReLU(latent · projection + noise · N(0, 1)), (rows, F) float32 each."""
    for start in range(0, len(latent), rows):
        signal = latent[start : start + rows] @ projection
        signal += noise * rng.standard_normal(signal.shape, dtype=np.float32)
        yield np.maximum(signal, 0, out=signal)
