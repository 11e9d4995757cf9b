"""The output folder of a benchmark: whose it is, what is finished in it, and how a cell gets there whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.data import needed_bytes
from recbole_decm.experiments.spec import Specification
from recbole_decm.io.version import __version__
from recbole_decm.io.write import mend, write_text
from recbole_decm.report.results import FORMAT_VERSION, require_format

SPECIFICATION = "specification.yaml"
RUNNING = ".running"
_SPARE_BYTES = 200 * 2**20
_CELL_BYTES = 2**20


@contextmanager
def opened(out: Path, specification: Specification, cells: int, update: bool) -> Iterator[None]:
    """Take an output folder for one process, after checking that it can be written and is this specification's.

    Args:
        cells: how many will be written, for the space they need.
        update: take over a folder of another specification: cells that did not change stay.

    Raises:
        ConfigError: not writable, too little space, another process's, or of another specification.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"{out}: expected a folder that no other benchmark writes to. Wait for it, or end it."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"--out: expected a folder that can be written, but {out}: {error.strerror or error}."
        ) from error
    try:
        _check_space(out, specification, cells)
        _claim(out, specification, update)
        shutil.rmtree(out / RUNNING, ignore_errors=True)
        mend(out / "data")
        yield
    finally:
        shutil.rmtree(out / RUNNING, ignore_errors=True)
        lock.release()


def _check_space(out: Path, specification: Specification, cells: int) -> None:
    needed, free = _SPARE_BYTES + cells * _CELL_BYTES + needed_bytes(specification, out), shutil.disk_usage(out).free
    if free < needed:
        raise ConfigError(f"{out}: expected about {needed / 2**20:.0f} MB of free disk, found {free / 2**20:.0f} MB.")


def _claim(out: Path, specification: Specification, update: bool) -> None:
    path = out / SPECIFICATION
    require_format(out)
    if path.is_file() and not update:
        before = read_yaml(path)
        keys = sorted(before.keys() | specification.plain.keys())
        other = [key for key in keys if before.get(key) != specification.plain.get(key)]
        if other:
            raise ConfigError(
                f"{out}: expected a folder of this specification, found another in {path} (differs in "
                f"{', '.join(other)}). Give another --out, or --update to go on with the new one: cells that do not "
                "change are kept."
            )
    elif not path.is_file() and any(entry.name != ".lock" for entry in out.iterdir()):
        raise ConfigError(f"{out}: expected an empty folder or that of a benchmark, found other files in it.")
    write_text(out / "run.json", json.dumps({"format_version": FORMAT_VERSION, "recbole_decm": __version__}) + "\n")
    write_text(path, yaml.safe_dump(specification.plain, sort_keys=False, allow_unicode=True))


def read_cell(out: Path, key: str) -> dict[str, Any] | None:
    """The content of ``cell.json`` of a cell; None where there is none."""
    path = out / "cells" / key / "cell.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def failed(note: dict[str, Any], error: str) -> dict[str, Any]:
    """The content of ``cell.json`` of a cell that failed: no results."""
    return {**note, "status": "failed", "error": error}


def stands(cell: dict[str, Any] | None, hashes: dict[str, str]) -> bool:
    """Whether a cell is finished and its config, data and code are those of today."""
    return cell is not None and cell["status"] == "done" and all(cell[key] == value for key, value in hashes.items())


def set_aside(out: Path, key: str) -> None:
    """Move a finished cell that no longer stands to ``superseded``; remove one that failed."""
    folder, cell = out / "cells" / key, read_cell(out, key)
    if cell is None or cell["status"] != "done":
        shutil.rmtree(folder, ignore_errors=True)
        return
    target = out / "superseded" / f"{key}-{cell['config_hash']}-{cell['code_hash']}-{cell['data_hash'][:16]}"
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)


def set_aside_others(out: Path, keys: set[str]) -> None:
    """Set aside the cells that are not of the specification."""
    for folder in sorted((out / "cells").glob("*")):
        if folder.is_dir() and folder.name not in keys:
            set_aside(out, folder.name)


def finish(out: Path, key: str, folder: Path, failed: dict[str, Any] | None, keep_checkpoints: bool) -> None:
    """Put what a cell's process wrote into its place, in one step.

    Args:
        failed: content of ``cell.json`` for a cell that failed.
    """
    if failed is not None:
        write_text(folder / "cell.json", json.dumps(failed, indent=2) + "\n")
    for name in ("scratch", *(() if keep_checkpoints and not failed else ("checkpoints",))):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    place = out / "cells" / key
    place.parent.mkdir(exist_ok=True)
    if place.exists():
        set_aside(out, key)
    os.rename(folder, place)
