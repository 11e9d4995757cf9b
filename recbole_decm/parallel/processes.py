"""RecBole's options for several processes as a checked value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recbole_decm.errors import ConfigError

DEFAULT_PORT = 5678
_LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Processes:
    """The processes of a run.

    Attributes:
        here: ``nproc``, started on this machine.
        total: ``world_size``, on all machines.
        first: ``group_offset``, the rank of the first one here.
        ip: address of the machine of rank 0.
        port: the port there; 0 for any free one, where all processes are on this machine.
    """

    here: int = 1
    total: int = 1
    first: int = 0
    ip: str = "localhost"
    port: int = 0

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Processes:
        """Read ``nproc``, ``world_size``, ``group_offset``, ``ip`` and ``port`` of a config.

        Raises:
            ConfigError: of another type or range, or inconsistent.
        """
        here = _integer(values, "nproc", 1, low=1)
        total = _integer(values, "world_size", -1, low=-1)
        total = here if total == -1 else total
        first = _integer(values, "group_offset", values.get("offset") or 0, low=0)
        if total < here:
            raise ConfigError(f"world_size: expected -1 or at least nproc ({here}), found {total}.")
        if first + here > total:
            raise ConfigError(
                f"group_offset: expected at most world_size less nproc ({total} - {here}), found {first}."
            )
        port = _integer(values, "port", 0 if total == here else DEFAULT_PORT, low=0)
        if port > 65_535:
            raise ConfigError(f"port: expected at most 65535, found {port}.")
        return cls(here, total, first, str(values.get("ip") or "localhost"), port)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def started_by_launcher() -> bool:
    """Whether torchrun, or another launcher that sets its variables, started this process as one of several."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def launched(values: Mapping[str, Any]) -> tuple[Processes, int]:
    """The processes that torchrun started, and the local rank of this one.

    Args:
        values: of a config; its own options must not say otherwise.

    Raises:
        ConfigError: a variable is missing or no number, or an option contradicts the launcher.
    """
    missing = [name for name in _LAUNCHER_VARIABLES if name not in os.environ]
    if missing:
        raise ConfigError(f"RANK is set: expected the other variables of torchrun, too, found no {', '.join(missing)}.")
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
    try:
        rank, total, local_rank, here, port = (int(os.environ[name]) for name in names)
    except ValueError as error:
        raise ConfigError(f"{', '.join(names)}: expected integers in the environment, but {error}.") from None
    for key, found in (("nproc", here), ("world_size", total), ("group_offset", rank - local_rank)):
        given = values.get(key)
        if given not in (None, -1, found):
            raise ConfigError(f"{key}: expected {found}, as torchrun has it, found {given}. Leave it out.")
    return Processes(here, total, rank - local_rank, os.environ["MASTER_ADDR"], port), local_rank


def _integer(values: Mapping[str, Any], key: str, default: int, low: int) -> int:
    value = values.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (key == "world_size" and value == 0):
        raise ConfigError(f"{key}: expected an integer of at least {low}, found {value!r}.")
    return value
