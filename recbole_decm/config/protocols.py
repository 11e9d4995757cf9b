"""Protocols: named sets of values for a training, each a file of ``properties/protocol``."""

from __future__ import annotations

from pathlib import Path

from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError, suggest
from recbole_decm.io.shipped import shipped

AUTO = "auto"
"""The data choose among :data:`CANDIDATES` (:mod:`recbole_decm.training.protocol`)."""
DEFAULT = "default"
"""The model's own values; it has no file."""
CANDIDATES = (DEFAULT, "few-artists")
"""What ``auto`` compares, the first of them where nothing speaks for another. All of them adjust for the uploaders'
preferences in the same way: observed choices reward the bias, so they cannot choose whether to adjust."""


def files() -> dict[str, Path]:
    """The files of protocols by name."""
    return {path.stem: path for path in sorted((shipped("properties") / "protocol").glob("*.yaml"))}


def file_of(name: str) -> Path | None:
    """The file of a protocol; None for those that stand for no values of their own.

    Raises:
        ConfigError: there is no protocol of this name.
    """
    known = files()
    if name in (AUTO, DEFAULT):
        return None
    if name not in known:
        names = [AUTO, DEFAULT, *known]
        raise ConfigError(f"protocol: expected {', '.join(names)}, found '{name}'.{suggest(name, names)}")
    return known[name]


def values_of(name: str) -> dict:
    """The values that a protocol stands for."""
    path = file_of(name)
    return {} if path is None else read_yaml(path)
