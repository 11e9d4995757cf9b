"""Free memory and disk, looked at before something large is built or written."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from recbole_decm.errors import ResourceError


def free_memory() -> int:
    """Bytes that can be allocated without swapping."""
    return int(psutil.virtual_memory().available)


def require_memory(needed: int, what: str, advice: str) -> None:
    """Raise :class:`ResourceError` unless ``needed`` bytes of memory are free."""
    free = free_memory()
    if needed > free:
        raise ResourceError(f"{what}: expected {_size(needed)} of free memory, found {_size(free)}. {advice}")


def require_disk(path: Path, needed: int, what: str) -> None:
    """Raise :class:`ResourceError` unless ``needed`` bytes are free where ``path`` is to be written."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            f"{path}: expected {_size(needed)} of free disk for {what}, found {_size(free)}. "
            "Free some, or write to another disk."
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
