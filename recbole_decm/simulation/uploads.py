"""Simulations around a table of real uploads: who chose which track is real, why is simulated.

The causal model of :mod:`.causal` draws a track for a video. Here the track is known, so the same model is read the
other way round: a video's latent is drawn given the choice, by Bayes' rule, and an uploader's preference given all of
its uploads. ``docs/simulator.md`` states the equations.

References:
    S. L. Cotter, G. O. Roberts, A. M. Stuart, D. White. "MCMC Methods for Functions: Modifying Old Algorithms to Make
        Them Faster." Statistical Science 28, 2013 (the preconditioned Crank-Nicolson proposal, which keeps the prior).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from recbole_decm.simulation.causal import (
    BLOCK_CELLS,
    SimulatedTracks,
    Simulation,
    SimulationConfig,
    Uploads,
    World,
    choose,
    confounder,
    draw_catalogue,
    draw_uploads,
    draw_world,
    log_taste,
    style_means,
)
from recbole_decm.simulation.table import UploadTable, refuse_beside_table

PRIOR_UPLOADS = 5.0
"""How many uploads the population's genres count for in an uploader's preference: the sum of the simulator's own
Dirichlet parameters."""
ROUNDS = 100
"""Of the Markov chains."""
LATENT_STEP, TASTE_STEP, TASTE_MOVES = 0.5, 0.5, 2
_FIT_ROUNDS, _FIT_CELLS = 20, 20_000_000


def config_of(table: UploadTable, **given: Any) -> SimulationConfig:
    """Parameters of a simulation around a table: its sizes, genres and preferences are the table's.

    Args:
        given: options of ``recbole-decm simulate``; None counts as not given.

    Raises:
        ConfigError: a value out of its range, or one that the table has the say for.
    """
    refuse_beside_table(given)
    sizes = {"videos": len(table.uploader), "music": len(table.tracks), "uploaders": len(table.uploaders)}
    uploads = table.genre_counts().sum(axis=0)
    preference = tuple((PRIOR_UPLOADS * uploads / uploads.sum()).tolist())
    shares = tuple(table.membership.mean(axis=0, dtype=np.float64).tolist())
    values = {key: value for key, value in given.items() if value is not None}
    return SimulationConfig.of(**{**values, **sizes, "genre_shares": shares, "preference": preference})


def simulate_uploads(
    table: UploadTable, config: SimulationConfig, progress: Callable[[int], None] = lambda rows: None
) -> Simulation:
    """Draw a simulation whose uploaders, tracks, genres and observed choices are the table's rows, in a random order.

    Args:
        config: of :func:`config_of`; the same table and config give the same draw.
        progress: told the number of videos or choices that were just drawn.
    """
    rngs = [np.random.default_rng(seed) for seed in np.random.SeedSequence(config.seed).spawn(10)]
    table = table.shuffled(rngs[8])
    world = draw_world(config, rngs[0])
    centres = table.membership @ world.genre_centres
    latent = centres + rngs[1].normal(0, config.music_spread, centres.shape)
    flat = SimulatedTracks(
        table.membership.argmax(axis=1),
        latent.astype(np.float32),
        np.zeros(config.music, dtype=np.float32),
        table.membership.astype(np.float32),
    )
    exposure = fit_exposure(config, world, table.plays(), flat, rngs[9])
    catalogue = replace(flat, exposure=exposure)
    uploads = draw_given_choices(config, world, table.uploader, table.music, catalogue, rngs[2], progress)
    intervened = choose(uploads.latent, catalogue, rngs[4], progress)
    pgc_catalogue = draw_catalogue(config, world, config.pgc_music, rngs[5])
    pgc_latent = rngs[6].normal(size=(config.pgc_videos, config.latent_dim)).astype(np.float32)
    pgc_choice = choose(pgc_latent, pgc_catalogue, rngs[7], progress)
    choices = (table.music, intervened)
    return Simulation(config, world, catalogue, uploads, *choices, pgc_catalogue, pgc_latent, pgc_choice, table)


def fit_exposure(
    config: SimulationConfig, world: World, plays: np.ndarray, catalogue: SimulatedTracks, rng: np.random.Generator
) -> np.ndarray:
    """(M,) float32 log-exposure with which the model expects each track as often as it was chosen.

    Args:
        plays: (M,) how often; at least 1.
    """
    rows = max(200, min(2_000, _FIT_CELLS // len(plays)))
    drawn = draw_uploads(replace(config, videos=rows, uploaders=rows), world, rng)
    logits = drawn.latent @ catalogue.latent.T + confounder(config, drawn, catalogue)(slice(None))
    exposure, wanted = np.zeros(len(plays)), np.log(plays / plays.sum())
    for _ in range(_FIT_ROUNDS):
        tilted = logits + exposure.astype(np.float32)
        expected = logsumexp(tilted - logsumexp(tilted, axis=1, keepdims=True), axis=0) - np.log(rows)
        exposure += wanted - expected
    return (exposure - exposure.mean()).astype(np.float32)


def draw_given_choices(
    config: SimulationConfig,
    world: World,
    uploader: np.ndarray,
    chosen: np.ndarray,
    catalogue: SimulatedTracks,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda rows: None,
    rounds: int = ROUNDS,
) -> Uploads:
    """Draw the uploaders' preferences and the videos' latents given the choices, from their posterior under the model.

    Markov chains in turns: each video's latent given its uploader's preference, by proposals that keep the normal
    distribution; each uploader's preference given its videos, by a random walk of the logarithms of the gamma variables
    whose shares it is.

    Args:
        uploader: (V,) int64; chosen: (V,) int64 rows of the catalogue.
    """
    chains = _Chains(config, world, uploader, chosen, catalogue, rng)
    done = 0
    for turn in range(rounds):
        chains.move_latents()
        for _ in range(TASTE_MOVES):
            chains.move_tastes()
        now = len(chosen) * (turn + 1) // rounds
        progress(now - done)
        done = now
    return Uploads(uploader, chains.preferences(chains.gammas), chains.latent)


class _Chains:
    """The state of the chains: preferences as shares of gammas (U, K), latents (V, d), and what they have in common.

    Tracks of the same genres have the same offset, so the softmax's sum is one over these kinds of tracks.
    """

    def __init__(self, config: SimulationConfig, world: World, uploader: Any, chosen: Any, catalogue: Any, rng: Any):
        self.config, self.world, self.uploader, self.chosen, self.rng = config, world, uploader, chosen, rng
        self.catalogue = catalogue
        member = np.eye(config.num_genres)[catalogue.genre] if catalogue.membership is None else catalogue.membership
        self.kinds, self.kind = np.unique(member, axis=0, return_inverse=True)
        self.kind = self.kind.reshape(-1)
        self.of_kind = np.eye(len(self.kinds), dtype=np.float32)[self.kind]
        counts = [np.bincount(uploader, column, minlength=config.uploaders) for column in member[chosen].T]
        self.prior = np.array(config.preference)
        # Near where the chain goes: a choice's chance goes as the preference to the power of the confounding, so
        # without confounding this is a draw that no choice has touched.
        self.gammas = rng.standard_gamma(self.prior + config.confounding * np.stack(counts, axis=1)) + 1e-12
        start = rng.standard_normal((len(chosen), config.latent_dim), dtype=np.float32)
        self.latent = self.means(self.gammas)[uploader] + start
        self.own, self.sums = self._matches(self.latent)

    @staticmethod
    def preferences(gammas: np.ndarray) -> np.ndarray:
        return gammas / gammas.sum(axis=1, keepdims=True)

    def means(self, gammas: np.ndarray) -> np.ndarray:
        return style_means(self.config, self.world, self.preferences(gammas)).astype(np.float32)

    def offsets(self, gammas: np.ndarray) -> np.ndarray:
        """(U, kinds) what of the choice is preference."""
        return log_taste(self.config, self.preferences(gammas)) @ self.kinds.T

    def _matches(self, latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B,) logit of the own track and (B, kinds) log-sums over tracks, without the preference; in blocks."""
        own, sums = np.empty(len(latent)), np.empty((len(latent), len(self.kinds)))
        block = max(1, BLOCK_CELLS // len(self.kind))
        for start in range(0, len(latent), block):
            part = slice(start, min(start + block, len(latent)))
            logits = latent[part] @ self.catalogue.latent.T + self.catalogue.exposure
            own[part] = logits[np.arange(len(logits)), self.chosen[part]]
            top = logits.max(axis=1, keepdims=True)
            sums[part] = np.log(np.exp(logits - top) @ self.of_kind + np.float32(1e-30)) + top
        return own, sums

    def _chances(self, own: np.ndarray, sums: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(V,) log-probability of each choice."""
        of_video = offsets[self.uploader]
        taste = of_video[np.arange(len(of_video)), self.kind[self.chosen]]
        return own + taste - logsumexp(sums + of_video, axis=1)

    def move_latents(self) -> None:
        mean, offsets = self.means(self.gammas)[self.uploader], self.offsets(self.gammas)
        noise = self.rng.standard_normal(self.latent.shape, dtype=np.float32)
        proposed = (
            mean + np.float32((1 - LATENT_STEP**2) ** 0.5) * (self.latent - mean) + np.float32(LATENT_STEP) * noise
        )
        own, sums = self._matches(proposed)
        gain = self._chances(own, sums, offsets) - self._chances(self.own, self.sums, offsets)
        taken = np.log(self.rng.random(len(gain))) < gain
        self.latent[taken], self.own[taken], self.sums[taken] = proposed[taken], own[taken], sums[taken]

    def move_tastes(self) -> None:
        proposed = self.gammas * np.exp(TASTE_STEP * self.rng.standard_normal(self.gammas.shape))
        gain = self._log_density(proposed) - self._log_density(self.gammas)
        taken = np.log(self.rng.random(len(gain))) < gain
        self.gammas[taken] = proposed[taken]

    def _log_density(self, gammas: np.ndarray) -> np.ndarray:
        """(U,) of the logarithms of the gammas: the prior's, the latents' and the choices'."""
        count, latents = self.config.uploaders, np.zeros(self.config.uploaders)
        if self.config.style:
            away = self.latent - self.means(gammas)[self.uploader]
            latents = -np.bincount(self.uploader, (away**2).sum(axis=1), minlength=count) / 2
        chances = self._chances(self.own, self.sums, self.offsets(gammas))
        choices = np.bincount(self.uploader, chances, minlength=count)
        return (self.prior * np.log(gammas) - gammas).sum(axis=1) + latents + choices
