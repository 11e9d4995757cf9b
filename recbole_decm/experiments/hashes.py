"""Hashes that tell whether a finished cell still stands: of its config, its data, and the code that ran it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import recbole

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.io import shipped
from recbole_decm.io.digest import new_digest, of_data, of_values
from recbole_decm.training import teacher

_CELL = "experiments.cell"


def teacher_of(config: DecCMConfig) -> DecCMConfig | None:
    """The config of the teacher that a run would train or take from the cache.

    Raises:
        ConfigError: there is no ``<dataset>-pgc`` to train it on.
    """
    return teacher.teacher_config(config) if "teacher" in config and config["teacher"] == "auto" else None


def all_hashes(config: DecCMConfig) -> dict[str, str]:
    """The three hashes, as ``cell.json`` names them: of every value that a result depends on, of the files of the data
    set, the teacher's included in both, and of the code."""
    configs = [one for one in (config, teacher_of(config)) if one is not None]
    left_out = having(Role.PLACE) | {"checkpoint"}
    values = [{key: value for key, value in one.plain().items() if key not in left_out} for one in configs]
    return {
        "config_hash": of_values(values),
        "data_hash": "-".join(_data_hash(one["data_path"], _stamp(one["data_path"])) for one in configs),
        "code_hash": code_hash(),
    }


@cache
def _data_hash(folder: str, stamp: tuple) -> str:
    return of_data(Path(folder))


def _stamp(folder: str) -> tuple:
    """What changes with the files of a folder, so that those of a large data set are read once."""
    found = ((path.name, path.stat()) for path in sorted(Path(folder).iterdir()))
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in found)


@cache
def code_hash() -> str:
    """Of the source of all modules that running a cell imports, whatever they are called, and of RecBole's version."""
    digest = new_digest(recbole.__version__.encode())
    sources = {path.read_bytes() for path in modules_of(_CELL)}
    for part in sorted(new_digest(source).hexdigest() for source in sources):
        digest.update(part.encode())
    return str(digest.hexdigest())


def modules_of(module: str) -> set[Path]:
    """The files of the package that a module imports, at any depth: by statements, and by names in tables.

    Args:
        module: its name in the package, such as ``experiments.cell``.
    """
    found: set[Path] = set()
    left = [_file(module)]
    while left:
        path = left.pop()
        if path is None or path in found:
            continue
        found.add(path)
        left += [_file(name) for name in _named(path) if name]
    return found


def _file(name: str) -> Path | None:
    place = shipped.PACKAGE.joinpath(*filter(None, name.split(".")))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _named(path: Path) -> Iterator[str]:
    """Names below the package that a file imports, or has as text, as the tables of models and metrics do."""
    package = "recbole_decm"
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            module = (node.module or "")[len(package) + 1 :]
            yield module
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{package}."):
            yield node.value[len(package) + 1 :]
