"""Write a simulation as playable files: videos with the sound of the track that was chosen for them, and the tracks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError
from recbole_decm.io.write import replacing_folders, write_text
from recbole_decm.parallel.processes import cores
from recbole_decm.simulation.causal import SimulatedTracks, Simulation, features
from recbole_decm.simulation.files import PGC_SPLIT, REFERENCE_K, SPLIT, split_bounds
from recbole_decm.simulation.references import Truth, references
from recbole_decm.simulation.scenes import DIALS, FPS, HEIGHT, RATE, WIDTH, dials, picture, sound

SECONDS = (3.0, 4.0)
"""The shortest and the longest video; a track is as long as the longest."""
DIAL_NOISE = 0.25
"""Noise of a dial where that of the features is 1: they are many that tell of a dimension, the dial is one."""


def write_media(
    simulation: Simulation,
    out: Path,
    name: str,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda files: None,
) -> Path:
    """Write ``out/name``: ``videos/``, ``music/``, ``pairs.csv``, ``preferences.csv``, and ``pgc/`` of professionals.

    ``pairs.csv`` is what ``extract --pairs`` reads. Its ``split`` is the simulation's; the rows of ``test_do`` are the
    test videos' choices under intervention. ``preferences.csv`` is what the uploaders say they like, for
    ``extract --preferences``. ``truth.npz`` holds the latents of the tracks and videos, and
    ``references.json`` what oracle and feature ceiling reach: the ceiling reads features of the usual kind, those that
    :func:`recbole_decm.simulation.files.write_simulation` writes for the same latents.

    Args:
        progress: told the number of files that were just written.

    Returns:
        ``out/name``.

    Raises:
        ConfigError: PyAV is not installed; more latent dimensions than dials; the folder exists.
    """
    config = simulation.config
    if config.latent_dim > DIALS:
        raise ConfigError(f"--latent-dim: expected at most {DIALS} for --media, found {config.latent_dim}.")
    _av()
    test = split_bounds(config.videos, SPLIT)[-1]
    used = _used(simulation)
    uploaders = np.array([f"u{i}" for i in simulation.uploads.uploader], dtype=object)
    with replacing_folders([out / name], overwrite) as (folder,):
        (folder / "pgc").mkdir(parents=True)
        latents, catalogue = simulation.uploads.latent, simulation.catalogue
        noise = _noise(simulation, 1.0)
        _write_files(folder, latents, simulation.observed, used, catalogue, noise, [config.seed, 2], progress)
        own = _pairs(simulation.observed, _parts(config.videos, SPLIT), slice(None), catalogue, uploaders)
        do = _pairs(simulation.intervened, "test_do", test, catalogue, uploaders)
        _write_csv(pd.concat([own, do]), folder / "pairs.csv")
        _write_csv(_preferences(simulation, used), folder / "preferences.csv")
        latents, catalogue, choice = simulation.pgc_latent, simulation.pgc_catalogue, simulation.pgc_choice
        noise = _noise(simulation, config.pgc_noise)
        _write_files(folder / "pgc", latents, choice, np.unique(choice), catalogue, noise, [config.seed, 3], progress)
        split = _parts(config.pgc_videos, PGC_SPLIT)
        _write_csv(_pairs(choice, split, slice(None), catalogue), folder / "pgc" / "pairs.csv")
        _write_truth(simulation, folder)
    return out / name


def _used(simulation: Simulation) -> np.ndarray:
    """The tracks that any pair has, those of ``test_do`` included, in order."""
    test = split_bounds(simulation.config.videos, SPLIT)[-1]
    return np.unique(np.concatenate([simulation.observed, simulation.intervened[test]]))


def _noise(simulation: Simulation, scale: float) -> tuple[float, float]:
    scale *= DIAL_NOISE
    return scale * simulation.config.visual_noise, scale * simulation.config.acoustic_noise


def _parts(count: int, shares: tuple[float, ...]) -> np.ndarray:
    parts = np.empty(count, dtype=object)
    for part, rows in zip(("train", "valid", "test"), split_bounds(count, shares), strict=False):
        parts[rows] = part
    return parts


def _pairs(
    choice: np.ndarray,
    split: np.ndarray | str,
    rows: slice,
    catalogue: SimulatedTracks,
    uploaders: np.ndarray | None = None,
) -> pd.DataFrame:
    videos = np.arange(len(choice))[rows]
    table = pd.DataFrame({"video": [f"videos/v{i}.mp4" for i in videos]})
    table["music"] = [f"music/m{i}.m4a" for i in choice[rows]]
    table["genre"] = [f"g{genre}" for genre in catalogue.genre[choice[rows]]]
    if uploaders is not None:
        table["uploader_id"] = uploaders[rows]
    return table.assign(split=split)


def _preferences(simulation: Simulation, used: np.ndarray) -> pd.DataFrame:
    """Of each uploader and each genre of a used track: the uploader's share."""
    preferences, genres = simulation.uploads.preferences, np.unique(simulation.catalogue.genre[used])
    uploaders, columns = np.indices((len(preferences), len(genres)))
    table = pd.DataFrame({"uploader_id": [f"u{i}" for i in uploaders.ravel()]})
    table["genre"] = [f"g{genres[k]}" for k in columns.ravel()]
    return table.assign(share=np.round(preferences[:, genres].ravel().astype(np.float64), 6))


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _write_truth(simulation: Simulation, folder: Path) -> None:
    """The truth of the tracks that any pair has, which are all that a data set of the files can hold."""
    config, uploads, catalogue = simulation.config, simulation.uploads, simulation.catalogue
    train, _, test = split_bounds(config.videos, SPLIT)
    used = _used(simulation)
    truth = Truth(uploads.latent, catalogue.latent[used], catalogue.genre[used])
    np.savez_compressed(
        folder / "truth.npz", video_latent=truth.video_latent, music_latent=truth.music_latent, genre=truth.genre
    )
    choices = {"test": simulation.observed[test], "do": simulation.intervened[test]}
    seen = []
    sides = (
        (uploads.latent, simulation.world.visual_projection, config.visual_noise),
        (truth.music_latent, simulation.world.acoustic_projection, config.acoustic_noise),
    )
    for number, (latent, projection, noise) in enumerate(sides):
        rng = np.random.default_rng([config.seed, 0, number])
        seen.append(np.concatenate(list(features(latent, projection, noise, rng))))
    rows = {key: np.searchsorted(used, chosen) for key, chosen in choices.items()}
    found = {"k": REFERENCE_K, **references(truth, seen[0], seen[1], train, test, rows, REFERENCE_K)}
    write_text(folder / "references.json", json.dumps(found, indent=2) + "\n")


def _write_files(
    folder: Path,
    latent: np.ndarray,
    choice: np.ndarray,
    tracks: np.ndarray,
    catalogue: SimulatedTracks,
    noise: tuple[float, float],
    seed: list[int],
    progress: Callable[[int], None],
) -> None:
    """The tracks, and the videos with the sound of their choice. Each file hangs on the seed and its number alone."""
    for kind in ("videos", "music"):
        (folder / kind).mkdir()

    @cache
    def track(number: int) -> np.ndarray:
        rng = np.random.default_rng([*seed, 0, number])
        return sound(dials(catalogue.latent[number], noise[1], rng), SECONDS[1], rng)

    def write_track(number: int) -> None:
        _encode(folder / "music" / f"m{number}.m4a", None, track(number))
        progress(1)

    def write_video(number: int) -> None:
        rng = np.random.default_rng([*seed, 1, number])
        count = int(rng.integers(round(SECONDS[0] * FPS), round(SECONDS[1] * FPS) + 1))
        frames = picture(dials(latent[number], noise[0], rng), count, rng)
        _encode(folder / "videos" / f"v{number}.mp4", frames, track(int(choice[number]))[: count * RATE // FPS])
        progress(1)

    with ThreadPoolExecutor(cores()) as pool:  # numpy and the encoders work beside each other
        list(pool.map(write_track, tracks.tolist()))
        list(pool.map(write_video, range(len(latent))))


def _av() -> object:
    try:
        return import_module("av")
    except ImportError as error:
        raise ConfigError(
            "--media: expected the package av, which writes the files, found none. "
            "Install it: pip install 'recbole-decm[media]'"
        ) from error


def _encode(path: Path, frames: np.ndarray | None, samples: np.ndarray) -> None:
    """Write an mp4 with h264 and aac, or sound alone."""
    import av

    with av.open(str(path), "w", format="mp4") as file:
        streams: list[tuple[Any, Iterable[Any]]] = []
        if frames is not None:
            video = file.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20", "threads": "1"})
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            streams.append((video, (av.VideoFrame.from_ndarray(frame, format="yuv420p") for frame in frames)))
        audio = file.add_stream("aac", rate=RATE, layout="mono", options={"aac_coder": "fast"})
        whole = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        whole.sample_rate = RATE
        streams.append((audio, [whole]))
        for stream, pieces in streams:
            for piece in pieces:
                file.mux(stream.encode(piece))
            file.mux(stream.encode(None))
