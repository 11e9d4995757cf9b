"""Simulated uploads with known ground truth: a structural causal model of confounded music choice.

An uploader's genre preference influences which music is shown and chosen, and through a personal style what the
videos look like. ``docs/simulator.md`` draws the graph and states every equation; each function below is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError

_BLOCK_CELLS = 4_000_000
_LOG_FLOOR = 0.01


@dataclass(frozen=True)
class SimulationConfig:
    """Parameters of the causal model; every field is an option of ``recbole-decm simulate``.

    Raises:
        ConfigError: a value out of its range; the message names the option.
    """

    videos: int = 20_000
    music: int = 1_000
    uploaders: int = 4_000
    pgc_videos: int = 5_000
    pgc_music: int = 1_000
    genre_shares: tuple[float, ...] = (0.40, 0.20, 0.15, 0.12, 0.08, 0.05)
    preference: tuple[float, ...] = (2.0, 1.0, 0.75, 0.6, 0.4, 0.25)
    latent_dim: int = 16
    genre_spread: float = 0.6
    music_spread: float = 0.8
    visual_dim: int = 256
    acoustic_dim: int = 64
    visual_noise: float = 0.8
    acoustic_noise: float = 0.4
    pgc_noise: float = 0.5
    confounding: float = 1.5
    style: float = 0.0
    popularity: float = 0.0
    seed: int = 2020

    def __post_init__(self) -> None:
        for field in fields(self):
            value, option = getattr(self, field.name), "--" + field.name.replace("_", "-")
            low = 10 if field.name == "videos" else 2 if field.name in ("music", "pgc_videos", "pgc_music") else 0
            low = 1 if field.name in ("uploaders", "latent_dim", "visual_dim", "acoustic_dim") else low
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or any(not np.isfinite(number) or number < low for number in numbers):
                raise ConfigError(f"{option}: expected numbers of at least {low}, found {value}.")
        if len(self.genre_shares) != len(self.preference):
            raise ConfigError(
                f"--preference: expected {len(self.genre_shares)} numbers, one for each of --genre-shares, "
                f"found {len(self.preference)}."
            )
        if abs(sum(self.genre_shares) - 1) > 1e-6 or min(self.genre_shares) <= 0:
            raise ConfigError(f"--genre-shares: expected positive shares that sum to 1, found {self.genre_shares}.")
        if min(self.preference) <= 0:
            raise ConfigError(f"--preference: expected positive Dirichlet parameters, found {self.preference}.")
        if min(self.music, self.pgc_music) < len(self.genre_shares):
            raise ConfigError(
                f"--music: expected at least one music a genre ({len(self.genre_shares)}), found {self.music}."
            )

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
class Catalogue:
    """Music: genre (M,) int64, latent (M, d) float32, exposure (M,) float32 log-offset of popular music."""

    genre: np.ndarray
    latent: np.ndarray
    exposure: np.ndarray


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
    """

    config: SimulationConfig
    world: World
    catalogue: Catalogue
    uploads: Uploads
    observed: np.ndarray
    intervened: np.ndarray
    pgc_catalogue: Catalogue
    pgc_latent: np.ndarray
    pgc_choice: np.ndarray


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


def draw_catalogue(config: SimulationConfig, world: World, count: int, rng: np.random.Generator) -> Catalogue:
    """Music latent ~ N(centre of its genre, music_spread²); log-exposure ~ N(0, popularity²)."""
    genre = rng.permutation(np.repeat(np.arange(config.num_genres), genre_sizes(config.genre_shares, count)))
    latent = world.genre_centres[genre] + rng.normal(0, config.music_spread, (count, config.latent_dim))
    exposure = config.popularity * rng.normal(size=count)
    return Catalogue(genre, latent.astype(np.float32), exposure.astype(np.float32))


def draw_uploads(config: SimulationConfig, world: World, rng: np.random.Generator) -> Uploads:
    """Preference ~ Dirichlet; video latent ~ N(0, I) + style · (preference − its mean) · directions."""
    preferences = rng.dirichlet(config.preference, size=config.uploaders)
    uploader = rng.integers(config.uploaders, size=config.videos)
    mean = np.array(config.preference) / sum(config.preference)
    leak = config.style * (preferences - mean) @ world.style_directions
    latent = rng.normal(size=(config.videos, config.latent_dim)) + leak[uploader]
    return Uploads(uploader, preferences, latent.astype(np.float32))


def confounder(config: SimulationConfig, uploads: Uploads, catalogue: Catalogue) -> Callable[[slice], np.ndarray]:
    """The part of the choice that is not match: confounding · log(preference of the genre + 0.01) + exposure.

    Returns:
        rows of videos -> (rows, M) float32 offsets of the choice logits.
    """
    taste = (config.confounding * np.log(uploads.preferences + _LOG_FLOOR)).astype(np.float32)
    return lambda rows: taste[uploads.uploader[rows]][:, catalogue.genre] + catalogue.exposure


def choose(
    videos: np.ndarray,
    catalogue: Catalogue,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda rows: None,
    offset: Callable[[slice], np.ndarray] | None = None,
) -> np.ndarray:
    """Draw a music for each video from softmax(match + offset) by the Gumbel-max method, in blocks.

    Args:
        videos: (V, d) float32 latents; the match is their dot product with the music latents.
        offset: rows -> (rows, M); None is the intervened model: match alone.

    Returns:
        (V,) int64 rows of the catalogue.
    """
    chosen = np.empty(len(videos), dtype=np.int64)
    step = max(1, _BLOCK_CELLS // len(catalogue.latent))
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
