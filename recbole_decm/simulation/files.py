"""Write a simulation as atomic files: ``NAME`` with its ground truth, and ``NAME-pgc`` for the teacher."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.io.atomic import write_atomic
from recbole_decm.io.npy import write_blocks
from recbole_decm.io.write import replacing_folders, write_text
from recbole_decm.simulation.causal import SimulatedTracks, Simulation, SimulationConfig, features
from recbole_decm.simulation.references import Truth, references

SPLIT = (0.8, 0.1, 0.1)
PGC_SPLIT = (0.9, 0.1)
REFERENCE_K = 10
"""Cut-off of the references."""
TEXT_LIMIT = 2_000_000
"""Visual numbers beyond which features go to .npy files instead of text."""

_YAML = """\
# A simulated data set with ground truth; the teacher's pairs are in {name}-pgc.
benchmark_filename: [train, valid, test]  # (list) Ready-made splits.
extra_tests: [do]               # (list) The test videos' choices under intervention, reported as test_do.
eval_args: {{mode: full}}         # (dict) Rank the whole catalogue.
metrics: [Recall, NDCG, MRR, GenreKL, MajorityShare, AveragePopularity]  # (list) Evaluation metrics.
topk: [5, 10, 20]               # (list) Cut-offs of the metrics.
valid_metric: NDCG@10           # (str) The metric that chooses the epoch.
"""
_PGC_YAML = """\
# Simulated professional videos for the teacher of {name}: intervened choices, less noise.
benchmark_filename: [train, valid]  # (list) Ready-made splits; a teacher needs no test.
eval_args: {{mode: full}}         # (dict) Rank all professional music.
metrics: [Recall, NDCG]         # (list) Evaluation metrics.
topk: [10, 25]                  # (list) Cut-offs of the metrics.
valid_metric: Recall@25         # (str) The metric that chooses the epoch.
"""
_FILES_YAML = (
    "feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}  # (dict) Memory-mapped vectors.\n"
)


def split_bounds(count: int, shares: tuple[float, ...]) -> list[slice]:
    """Consecutive slices of ``count`` rows in the given shares."""
    cuts = np.round(np.cumsum((0.0, *shares)) * count).astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]


def write_simulation(simulation: Simulation, out: Path, name: str, command: str = "", overwrite: bool = False) -> Path:
    """Write ``out/name`` and ``out/name-pgc``.

    Args:
        command: the command to record in the YAML files.

    Returns:
        ``out/name``. Beside the atomic files it holds ``name.do.inter``, the test videos' choices under intervention;
        ``name.truth.npz`` with ``video_latent`` (V, d), ``music_latent`` (M, d) and ``genre`` (M,), rows in file
        order; and ``name.references.json``, what oracle and feature ceiling reach on the test videos.

    Raises:
        ConfigError: the folder exists and ``overwrite`` is not set.
    """
    with replacing_folders([out / name, out / f"{name}-pgc"], overwrite) as (ugc, pgc):
        _write_ugc(simulation, ugc, name, command)
        _write_pgc(simulation, pgc, f"{name}-pgc", name, command)
    return out / name


def _write_ugc(simulation: Simulation, folder: Path, name: str, command: str) -> None:
    config, uploads, table = simulation.config, simulation.uploads, simulation.table
    folder.mkdir()
    rngs = _feature_rngs(config.seed, 0)
    videos, music = _ids("v", config.videos), _ids("m", config.music) if table is None else table.tracks
    uploaders = _ids("u", config.uploaders) if table is None else table.uploaders
    user = {
        "video_id:token": videos,
        "uploader_id:token": uploaders[uploads.uploader].tolist(),
        "uploader_genre:float_seq": uploads.preferences[uploads.uploader],
    }
    item = {"music_id:token": music, "genre:token_seq": _genre_cells(simulation, simulation.catalogue)}
    matrices = _write_features(simulation, folder, name, uploads.latent, simulation.catalogue, user, item, rngs, 1.0)
    train, valid, test = split_bounds(config.videos, SPLIT)
    for part, rows in (("train", train), ("valid", valid), ("test", test)):
        _write_pairs(folder / f"{name}.{part}.inter", videos[rows], simulation.observed[rows], music)
    _write_pairs(folder / f"{name}.do.inter", videos[test], simulation.intervened[test], music)
    truth = Truth(uploads.latent, simulation.catalogue.latent, simulation.catalogue.genre)
    np.savez_compressed(
        folder / f"{name}.truth.npz",
        video_latent=truth.video_latent,
        music_latent=truth.music_latent,
        genre=truth.genre,
    )
    choices = {"test": simulation.observed[test], "do": simulation.intervened[test]}
    visual, acoustic = matrices
    found = {"k": REFERENCE_K, **references(truth, visual, acoustic, train, test, choices, REFERENCE_K)}
    write_text(folder / f"{name}.references.json", json.dumps(found, indent=2) + "\n")
    text = not isinstance(matrices[0], np.memmap)
    _write_yaml(simulation, folder / f"{name}.yaml", _YAML.format(name=name), name, text, command)


def _write_pgc(simulation: Simulation, folder: Path, name: str, student: str, command: str) -> None:
    config = simulation.config
    folder.mkdir()
    videos, music = _ids("pv", config.pgc_videos), _ids("pm", config.pgc_music)
    catalogue = simulation.pgc_catalogue
    user = {"video_id:token": videos}
    item = {"music_id:token": music, "genre:token_seq": _genre_cells(simulation, catalogue)}
    rngs = _feature_rngs(config.seed, 1)
    matrices = _write_features(
        simulation, folder, name, simulation.pgc_latent, catalogue, user, item, rngs, config.pgc_noise
    )
    text = not isinstance(matrices[0], np.memmap)
    for part, rows in zip(("train", "valid"), split_bounds(config.pgc_videos, PGC_SPLIT), strict=True):
        _write_pairs(folder / f"{name}.{part}.inter", videos[rows], simulation.pgc_choice[rows], music)
    _write_yaml(simulation, folder / f"{name}.yaml", _PGC_YAML.format(name=student), name, text, command)


def _genre_cells(simulation: Simulation, catalogue: SimulatedTracks) -> list[list[str]]:
    """The names of each track's genres."""
    names = _ids("g", simulation.config.num_genres) if simulation.table is None else simulation.table.genres
    if catalogue.membership is None:
        return [[names[genre]] for genre in catalogue.genre]
    return [names[row > 0].tolist() for row in catalogue.membership]


def _feature_rngs(seed: int, part: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, part, modality]) for modality in range(2)]


def _ids(prefix: str, count: int) -> np.ndarray:
    return np.array([f"{prefix}{i}" for i in range(count)], dtype=object)


def _write_pairs(path: Path, videos: np.ndarray, choice: np.ndarray, music: np.ndarray) -> None:
    write_atomic(path, {"video_id:token": videos.tolist(), "music_id:token": music[choice].tolist()})


def _write_features(
    simulation: Simulation,
    folder: Path,
    name: str,
    video_latent: np.ndarray,
    catalogue: SimulatedTracks,
    user: dict,
    item: dict,
    rngs: Any,
    noise: float,
) -> list[np.ndarray]:
    """Write .user and .item with the vectors in them, or beside them as .npy; returns both matrices as written."""
    config, world = simulation.config, simulation.world
    parts = [
        ("visual", video_latent, world.visual_projection, config.visual_noise * noise, user, "user"),
        ("acoustic", catalogue.latent, world.acoustic_projection, config.acoustic_noise * noise, item, "item"),
    ]
    text = config.videos * config.visual_dim <= TEXT_LIMIT
    matrices: list[np.ndarray] = []
    for (field, latent, projection, scale, columns, suffix), rng in zip(parts, rngs, strict=True):
        blocks = features(latent, projection, scale, rng)
        if text:
            matrices.append(np.concatenate(list(blocks)).round(2))
            columns = {**columns, f"{field}:float_seq": matrices[-1]}
        else:
            path = folder / f"{name}.{field}.npy"
            write_blocks(path, blocks, (len(latent), projection.shape[1]), np.dtype(np.float32))
            matrices.append(np.load(path, mmap_mode="r"))
        write_atomic(folder / f"{name}.{suffix}", columns, decimals=6)
    return matrices


def _write_yaml(simulation: Simulation, path: Path, head: str, name: str, text: bool, command: str) -> None:
    lines = [head, "" if text else _FILES_YAML.format(name=name), "\n# How these files were written:\n"]
    lines += [f"#   {command}\n"] if command else []
    lines += [f"#   {key}: {value}\n" for key, value in asdict(simulation.config).items()]
    write_text(path, "".join(lines))


def read_simulation_record(path: Path) -> dict[str, float]:
    """The simulation's numbers, without its seed, from the YAML of a data set; empty for one that is not simulated."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    record = text.partition("# How these files were written:\n")[2]
    lines = (line.removeprefix("#   ").partition(": ") for line in record.splitlines())
    written = {key: value for key, _, value in lines}
    kinds = {field.name: type(field.default) for field in fields(SimulationConfig) if field.name != "seed"}
    return {key: kind(written[key]) for key, kind in kinds.items() if kind in (int, float) and key in written}
