"""What a result rests on: versions, code, data and weights, so that it is told from another and can be made again."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import recbole

from recbole_decm.config import registry
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import KEYS, Role, having
from recbole_decm.io.code import modules_of, of_sources
from recbole_decm.io.digest import DATA_SUFFIXES, of_files
from recbole_decm.io.version import __version__

_PACKAGES = ("recbole", "torch", "numpy", "pandas", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"recbole_decm": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an unpacked package without metadata
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found | {"python": platform.python_version()}


@cache
def code_digest() -> str:
    """Of the source of all modules that a run imports, and of RecBole's version."""
    return of_sources(modules_of("training.run"), recbole.__version__)


def data_files(config: DecCMConfig) -> list[Path]:
    """The files of a config's data set that results depend on: those of its folder, and feature files elsewhere."""
    folder = Path(config["data_path"])
    further = config["additional_feat_suffix"] or []
    suffixes = {*DATA_SUFFIXES, *(f".{name}" for name in ([further] if isinstance(further, str) else further))}
    files = [path for path in sorted(folder.iterdir()) if path.suffix in suffixes and path.is_file()]
    named = [folder / name for _, name in sorted((config["feature_files"] or {}).items())]
    return files + [path for path in named if path not in files and path.is_file()]  # loading says what is missing


def data_digest(config: DecCMConfig) -> str:
    """A digest of :func:`data_files`; files that did not change are read once in a process."""
    return _digest(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in data_files(config)))


@cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    return of_files(path for path, *_ in files)


def file_digests(config: DecCMConfig) -> dict[str, str]:
    """Digests of the files that values of a config name, such as a teacher's checkpoint, by key; of a model of other
    people the files that its class and bases are from, by ``model_source``.
    """
    named = {key: Path(str(config[key])) for key in sorted(having(Role.FILE)) if config[key]}
    found = {key: of_files([path]) for key, path in named.items() if path.is_file()}
    if registry.is_outside(config["model"]):
        found["model_source"] = of_files(registry.outside_sources(config.model_class))
    return found


def provenance(config: DecCMConfig) -> dict[str, Any]:
    """What a checkpoint and a result say of what they were made from."""
    return {
        "versions": versions(),
        "digests": {"code": code_digest(), "data": data_digest(config), **file_digests(config)},
    }


def values_to_run_again(config: DecCMConfig) -> dict[str, Any]:
    """The whole resolved config as values that, given with the same model and data set, make it again."""
    left_out = {"result_file", "checkpoint", *(key for key, role in KEYS.items() if role & Role.RUN)}
    values = {key: value for key, value in config.plain().items() if key in config.known_keys - left_out}
    if values["train_neg_sample_args"]["distribution"] == "none":  # RecBole's word for None, which it does not read
        values["train_neg_sample_args"] = None
    return values | {"data_path": str(Path(config["data_path"]).parent.absolute())}
