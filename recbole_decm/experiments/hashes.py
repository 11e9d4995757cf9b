"""Hashes that tell whether a finished cell still stands: of its config, its data, and the code that ran it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import recbole

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.io import shipped
from recbole_decm.io.digest import of_data, of_values
from recbole_decm.training import teacher

# Code that no number of a cell depends on, so that a better report does not make a night's results stale.
_NO_RESULTS = ("audit", "commands", "benchmark")
_RESULTS = ("benchmark/cell.py", "benchmark/per_video.py")


def teacher_of(config: DecCMConfig) -> DecCMConfig | None:
    """The config of the teacher that a run would train or take from the cache.

    Raises:
        ConfigError: there is no ``<dataset>-pgc`` to train it on.
    """
    return teacher.teacher_config(config) if "teacher" in config and config["teacher"] == "auto" else None


def config_hash(config: DecCMConfig) -> str:
    """Of every value that a result depends on, the teacher's included."""
    configs = [config, teacher_of(config)]
    values = [
        {key: value for key, value in one.plain().items() if key not in having(Role.PLACE) | {"checkpoint"}}
        for one in configs
        if one is not None
    ]
    return of_values(values)


def data_hash(config: DecCMConfig) -> str:
    """Of the data set's files, and of the teacher's."""
    folders = [config["data_path"]]
    other = teacher_of(config)
    folders += [other["data_path"]] if other is not None else []
    return "-".join(map(_content_hash, folders))


@cache
def _content_hash(folder: str) -> str:
    return of_data(Path(folder))


@cache
def code_hash() -> str:
    """Of the source files that results depend on, and of RecBole's version."""
    root = shipped.PACKAGE
    digest = hashlib.blake2b(recbole.__version__.encode(), digest_size=8)
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] not in _NO_RESULTS or name in _RESULTS:
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def all_hashes(config: DecCMConfig) -> dict[str, str]:
    """The three hashes, as ``cell.json`` names them."""
    return {"config_hash": config_hash(config), "data_hash": data_hash(config), "code_hash": code_hash()}
