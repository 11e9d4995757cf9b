"""Jobs for the workers of a Dask cluster, which import nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path


def die_once(mark: str) -> str:
    """End the worker the first time, and answer the second time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os._exit(1)
    return "done"
