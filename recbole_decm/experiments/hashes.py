"""Hashes that tell whether a finished cell still stands: of its config, its data, and the code that ran it."""

from __future__ import annotations

import socket
from functools import cache

import recbole

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.errors import ConfigError
from recbole_decm.io.code import modules_of, of_sources
from recbole_decm.io.digest import of_values
from recbole_decm.training import teacher
from recbole_decm.training.provenance import data_digest, file_digests


def teacher_of(config: DecCMConfig) -> DecCMConfig | None:
    """The config of the teacher that a run would train or take from the cache.

    Raises:
        ConfigError: there is no ``<dataset>-pgc`` to train it on.
    """
    return teacher.teacher_config(config) if "teacher" in config and config["teacher"] == "auto" else None


def all_hashes(config: DecCMConfig) -> dict[str, str]:
    """The three hashes, as ``cell.json`` names them: of every value that a result depends on, of the files of the data
    set, the teacher's included in both, and of the code. A value that names a file counts by what is in it.
    """
    configs = [one for one in (config, teacher_of(config)) if one is not None]
    left_out = having(Role.PLACE) | {"checkpoint"}
    values = [
        {key: value for key, value in (one.plain() | file_digests(one)).items() if key not in left_out}
        for one in configs
    ]
    return {
        "config_hash": of_values(values),
        "data_hash": "-".join(map(data_digest, configs)),
        "code_hash": code_hash(),
    }


@cache
def code_hash() -> str:
    """Of the source of all modules that running a cell imports, whatever they are called, and of RecBole's version."""
    return of_sources(modules_of("experiments.cell"), recbole.__version__)


def require_code(code: str) -> None:
    """Refuse to run cells for another process whose code is not the same.

    Raises:
        ConfigError: with the host of this process.
    """
    if code_hash() != code:
        raise ConfigError(
            f"{socket.gethostname()}: expected the code of the benchmark ({code}), found other code ({code_hash()}). "
            "Install the same recbole-decm and RecBole on every worker."
        )
