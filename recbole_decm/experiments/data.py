"""The data sets of a benchmark: where they are, and those that are simulated or imported for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from recbole_decm.experiments.spec import DataEntry, Specification, slug
from recbole_decm.experiments.uploads import read_uploads
from recbole_decm.io.digest import of_files
from recbole_decm.io.write import write_text
from recbole_decm.released.importer import import_released
from recbole_decm.simulation.causal import simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.simulation.uploads import config_of, simulate_uploads

STAND_IN = "sim"
"""The shipped data set, on which configs are checked while a simulation or import is still to be made."""


def place(entry: DataEntry, seed: int, out: Path) -> tuple[str, Path | None]:
    """Name and parent folder of an entry's data set for a seed; no folder where the default ones are meant."""
    if entry.dataset is not None:
        return entry.dataset, entry.data_path
    return slug(entry.label) + (f"-{seed}" if entry.per_seed else ""), out / "data"


def missing(specification: Specification, out: Path) -> list[tuple[DataEntry, int]]:
    """Entries, each with a seed, whose data are to be made: not there, or made from other parameters."""
    found: dict[str, tuple[DataEntry, int]] = {}
    for entry, seed in _made(specification):
        name, _ = place(entry, seed, out)
        note = out / "data" / f"{name}.json"
        if not note.is_file() or json.loads(note.read_text(encoding="utf-8")) != _source(entry, seed):
            found.setdefault(name, (entry, seed))
    return list(found.values())


def make(entry: DataEntry, seed: int, out: Path, progress: Callable[[int], None] = lambda count: None) -> None:
    """Simulate or import one data set, whole or not at all.

    Args:
        progress: told the number of simulated choices as they are drawn.
    """
    name, folder = place(entry, seed, out)
    assert folder is not None
    if entry.uploads is not None:
        table = read_uploads(entry.uploads, entry.genre_separator)
        config = config_of(table, **entry.options(seed))
        write_simulation(simulate_uploads(table, config, progress), folder, name, overwrite=True)
    elif entry.simulate is not None:
        write_simulation(simulate(entry.simulation(seed), progress), folder, name, overwrite=True)
    elif entry.import_released is not None:
        parts = entry.import_released
        groups = None if parts.groups is None else (parts.groups, parts.column)
        import_released(parts.ugc, parts.pgc, name, folder, groups=groups, overwrite=True, show_progress=False)
    write_text(folder / f"{name}.json", json.dumps(_source(entry, seed), indent=2) + "\n")


def needed_bytes(specification: Specification, out: Path) -> int:
    """Roughly what the data sets that are still to be made will take on disk."""
    total = 0
    for entry, seed in missing(specification, out):
        if entry.simulate is not None:
            config = entry.simulation(seed)
            if entry.uploads is not None:
                table = read_uploads(entry.uploads, entry.genre_separator)
                config = config_of(table, **entry.options(seed))
            cells = (config.videos + config.pgc_videos) * config.visual_dim
            total += 8 * (cells + (config.music + config.pgc_music) * config.acoustic_dim)
        else:
            assert entry.import_released is not None
            folders = filter(None, (entry.import_released.ugc, entry.import_released.pgc))
            total += sum(path.stat().st_size for folder in folders for path in folder.rglob("*.npy"))
    return total


def _made(specification: Specification) -> Iterator[tuple[DataEntry, int]]:
    for entry in specification.datasets.values():
        if entry.dataset is None:
            for seed in specification.seeds if entry.per_seed else specification.seeds[:1]:
                yield entry, seed


def _source(entry: DataEntry, seed: int) -> dict:
    """What a data set is made from, as plain JSON values."""
    if entry.uploads is not None:
        separated = {} if entry.genre_separator is None else {"genre_separator": entry.genre_separator}
        return {"simulate": entry.options(seed), "uploads": of_files([entry.uploads]), **separated}
    if entry.simulate is not None:
        return json.loads(json.dumps({"simulate": asdict(entry.simulation(seed))}))
    assert entry.import_released is not None
    left_out = {"column"} if entry.import_released.groups is None else set()
    return {"import_released": entry.import_released.model_dump(mode="json", exclude_none=True, exclude=left_out)}
