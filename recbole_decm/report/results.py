"""A benchmark's output folder as tables and arrays. Everything the analysis knows comes through here."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recbole_decm.errors import DataError

FORMAT_VERSION = 1
"""Of a benchmark's folder, in ``run.json``. An older one is read (0: from before versions), a newer one refused."""
Run = int | tuple[int, int, int]
"""What two models are paired by: the seed, or (seed, seed of the folding or -1, fold) where there are folds."""
_FOLD = ("folds", "fold", "fold_seed")
_REQUIRED = ("model", "dataset", "seed", "status")
_KEPT = ("genres", "versions", "overlay")


@dataclass(frozen=True)
class Results:
    """What lies in the folder of a benchmark.

    Attributes:
        folder: where it was read from.
        specification: the specification as text, empty where there is none.
        cells: one row per cell, by its key: ``model``, ``class``, ``dataset``, ``seed``, ``status``, ``error``; with
            folds ``folds``, ``fold``, ``fold_seed``; metrics as ``test:ndcg@10``, those of cold and warm tracks as
            ``cold:test:ndcg@10``, ends of intervals as ``low:dorecall@10``; ``seconds:train``, ``seconds``,
            ``not_estimated``, ``popularity:lists``, ``factor:confounding``, hashes,
            ``peak_memory_mb``, ``epochs``; ``genres``, ``versions`` and ``overlay`` as they are in ``cell.json``.
        superseded: keys of older cells of the same model, data set, seed and fold, which are left out of ``cells``.
        unfinished: keys of folders that hold no ``cell.json`` yet.
    """

    folder: Path
    specification: str
    cells: pd.DataFrame
    superseded: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    _arrays: dict[Hashable, np.ndarray | None] = field(default_factory=dict, repr=False)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The cells that finished."""
        return self.cells[self.cells["status"] == "done"]

    @cached_property
    def failed(self) -> pd.DataFrame:
        """The cells that did not."""
        return self.cells[self.cells["status"] != "done"]

    @property
    def folded(self) -> bool:
        """Whether cells are of folds."""
        return "fold" in self.cells and bool(self.cells["fold"].notna().any())

    @cached_property
    def models(self) -> list[str]:
        """Labels in the order of the specification, then of the alphabet."""
        return _ordered(self.cells["model"], self.specified.get("models"))

    @cached_property
    def datasets(self) -> list[str]:
        """Labels in the order of the specification, then of the alphabet."""
        return _ordered(self.cells["dataset"], self.specified.get("datasets"))

    @cached_property
    def tests(self) -> list[str]:
        """Test sets that finished cells have metrics of, ``test`` first."""
        names = {
            str(name).partition(":")[0] for name in self.done.dropna(axis=1, how="all").columns if ":" in str(name)
        }
        return sorted(name for name in names if name == "test" or name.startswith("test_"))

    def metrics(self, test: str) -> list[str]:
        """Metrics, with their cut-off, that finished cells have of a test set."""
        start = f"{test}:"
        return [name[len(start) :] for name in self.done.dropna(axis=1, how="all").columns if name.startswith(start)]

    def videos(self, key: str, test: str, metric: str) -> np.ndarray | None:
        """(T,) float64 values of a metric by video, str of ``video``, int of ``uploader`` and ``group``; None where not
        stored."""
        name = f"{test}/{metric}"
        if (key, name) not in self._arrays:
            values = _read_array(self.folder / "cells" / key / "videos.npz", name)
            if values is not None and metric not in ("video", "uploader", "group"):
                values = values.astype(np.float64)
            self._arrays[key, name] = values
        return self._arrays[key, name]

    def curves(self, key: str) -> dict[str, dict[str, list[float]]]:
        """``{"losses": {term: [by epoch]}, "valid": {metric: [by validation]}}``; empty where there are none."""
        found, _ = _read_json(self.folder / "cells" / key / "curves.json")
        return {part: found.get(part) or {} for part in ("losses", "valid")}

    @cached_property
    def specified(self) -> dict[str, Any]:
        """The values of the folder's specification; empty where there is none, or it cannot be read."""
        try:
            found = yaml.safe_load(self.specification)
        except yaml.YAMLError:
            return {}
        return found if isinstance(found, dict) else {}


def require_format(folder: Path) -> None:
    """Refuse the folder of a benchmark that a newer version wrote.

    Raises:
        DataError: with the format that was found.
    """
    found, problem = _read_json(folder / "run.json")
    version = found.get("format_version", 0)
    if problem or not isinstance(version, int) or version > FORMAT_VERSION:
        told = problem or f"format {version!r}"
        raise DataError(
            f"{folder / 'run.json'}: expected a benchmark's folder of format {FORMAT_VERSION} or older, found {told}. "
            "Update recbole-decm."
        )


def row_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``cell.json`` as one flat row, as a line of ``results.csv`` has it."""

    def part(name: str) -> dict[str, Any]:
        return cell.get(name) or {}

    metrics, seconds, genres = part("metrics"), part("seconds"), part("genres")
    fold = _FOLD if cell.get("fold") is not None else ()
    row: dict[str, Any] = {
        key: cell.get(key) for key in ("model", "class", "dataset", "seed", *fold, "status", "error")
    }
    for test in sorted(metrics, key=lambda name: (name == "valid", name)):
        row |= {f"{test}:{metric}": value for metric, value in metrics[test].items()}
    for test, kinds in part("cold_warm").items():
        for kind, values in kinds.items():
            row |= {f"{kind}:{test}:{metric}": value for metric, value in values.items()}
    row |= {f"seconds:{stage}": value for stage, value in seconds.items()}
    row["seconds"] = sum(value for value in seconds.values() if value is not None) if seconds else None
    row |= {key: cell.get(key) for key in ("peak_memory_mb", "epochs", "train_pairs")}
    row |= {key: cell.get(key) for key in ("config_hash", "data_hash", "code_hash")}
    row |= {f"version:{name}": version for name, version in part("versions").items()}
    row |= _estimates(cell)
    row |= {f"popularity:{name}": mean for name, mean in part("popularity").items()}
    row |= {
        f"genre_lists:{name}": share
        for name, share in zip(genres.get("names", []), genres.get("lists", []), strict=False)
    }
    return row | {f"factor:{name}": value for name, value in part("factors").items()}


def _estimates(cell: Mapping[str, Any]) -> dict[str, Any]:
    """What a cell says beside its estimated metrics, or why it has none; empty where nothing was to be estimated."""
    row = {
        f"{end}:{metric}": value
        for metric, interval in (cell.get("intervals") or {}).items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }
    if share := cell.get("chosen_majority_share"):
        row |= {f"chosen_majority_share:{name}": share[name] for name in ("observed", "estimated")}
    return row | {key: cell[key] for key in ("effective_sample_size", "not_estimated") if key in cell}


def run_of(row: Mapping[str, Any] | pd.Series) -> Run:
    """Which run of its model and data set a cell is.

    Examples:
        >>> run_of({"seed": 1}), run_of({"seed": 1, "fold": 3, "fold_seed": 0})
        (1, (1, 0, 3))
    """
    seed, fold, fold_seed = (row.get(name) for name in ("seed", "fold", "fold_seed"))
    if fold is None or pd.isna(fold):
        return int(seed or 0)
    return int(seed or 0), -1 if fold_seed is None or pd.isna(fold_seed) else int(fold_seed), int(fold)


def run_title(run: Run) -> str:
    """A run in words.

    Examples:
        >>> run_title(1), run_title((1, -1, 3)), run_title((1, 0, 3))
        ('1', '1, fold 3', '1, fold 3 (fold_seed 0)')
    """
    if isinstance(run, int):
        return str(run)
    seed, fold_seed, fold = run
    return f"{seed}, fold {fold}" + ("" if fold_seed < 0 else f" (fold_seed {fold_seed})")


def load_results(folder: Path) -> Results:
    """Read the output folder of a benchmark, finished or not; arrays and curves are read when they are asked for.

    A cell that cannot be read counts as failed, with the reason as its error.

    Raises:
        DataError: there is no cell in the folder, or a newer version wrote it.
    """
    require_format(folder)
    specification = folder / "specification.yaml"
    text = specification.read_text(encoding="utf-8") if specification.is_file() else ""
    paths = sorted(path for path in (folder / "cells").glob("*") if path.is_dir())
    written = [path for path in paths if (path / "cell.json").is_file()]
    if not written:
        raise DataError(
            f"{folder}: expected the output of recbole-decm benchmark with at least one finished or failed cell in "
            f"cells/*/cell.json, found none. Run recbole-decm benchmark SPEC.yaml --out {folder} first."
        )
    written.sort(key=lambda path: (path / "cell.json").stat().st_mtime_ns)
    newest: dict[Hashable, dict[str, Any]] = {}
    superseded = []
    for path in written:
        row = _read_cell(path)
        identity = (row["model"], row["dataset"], run_of(row))
        if identity in newest:
            superseded.append(newest[identity]["key"])
        newest[identity] = row
    cells = pd.DataFrame(list(newest.values())).set_index("key")
    order = ["dataset", "model", *(name for name in ("fold_seed", "fold") if name in cells), "seed"]
    cells = cells.sort_values(order)
    unfinished = tuple(path.name for path in paths if path not in written)
    return Results(folder, text, cells, tuple(superseded), unfinished)


def missing_cells(results: Results) -> list[tuple[str, str, Run]]:
    """(model, data set, run) that other cells lead to expect and that no cell has, in order."""
    rows = [(row["model"], row["dataset"], run_of(row)) for row in results.cells.to_dict("records")]
    seen = set(rows)
    runs = {name: sorted({run for _, place, run in rows if place == name}) for name in results.datasets}
    return [
        (model, dataset, run)
        for dataset in results.datasets
        for model in results.models
        for run in runs[dataset]
        if (model, dataset, run) not in seen
    ]


def disagreeing_cells(
    results: Results, tests: Iterable[str], metrics: Sequence[str], tolerance: float = 1e-3
) -> list[str]:
    """Keys of finished cells whose values by video do not average to the cell's own metric, beyond rounding."""
    found = set()
    for test, metric in [(test, metric) for test in tests for metric in metrics]:
        known = results.done.get(f"{test}:{metric}", pd.Series(dtype=np.float64)).dropna()
        for key, value in known.items():
            values = results.videos(str(key), test, metric)
            if values is not None and not abs(values.mean() - value) <= tolerance:
                found.add(str(key))
    return sorted(found)


def _read_cell(path: Path) -> dict[str, Any]:
    found, problem = _read_json(path / "cell.json")
    lacking = [name for name in _REQUIRED if name not in found]
    if problem or lacking:
        problem = problem or f"cell.json: expected {', '.join(_REQUIRED)}, found no {', '.join(lacking)}"
        blank = {"model": path.name, "dataset": "unknown", "seed": 0}
        found = {**blank, **found, "status": "failed", "error": problem, "metrics": {}}
    return {"key": path.name, **row_of(found), **{name: found.get(name) for name in _KEPT}}


def _read_json(path: Path) -> tuple[dict[str, Any], str | None]:
    """The mapping in a file, and what was wrong with it; an absent file is an empty mapping."""
    if not path.is_file():
        return {}, None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return {}, f"{path.name}: expected JSON ({error})"
    return (found, None) if isinstance(found, dict) else ({}, f"{path.name}: expected a mapping")


def _read_array(path: Path, name: str) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name] if name in arrays.files else None
    except (zipfile.BadZipFile, ValueError, OSError, EOFError):
        return None  # the file of a process that was killed while it wrote: as good as none


def _ordered(found: Iterable[str], wanted: object) -> list[str]:
    """Labels in the order of a specification's list of names or ``label: {...}``, then of the alphabet."""
    listed = wanted if isinstance(wanted, list) else []
    labels = (str(next(iter(entry), "") if isinstance(entry, Mapping) else entry) for entry in listed)
    present = set(found)
    first = [label for label in dict.fromkeys(labels) if label in present]
    return first + sorted(present - set(first))
