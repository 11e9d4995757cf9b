"""DecCM: deconfounded cross-modal matching for background-music recommendation, as a plug-in for RecBole."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recbole_decm.io.version import __version__

if TYPE_CHECKING:
    from recbole_decm.serving.entry import open_recommender
    from recbole_decm.training.evaluate import evaluate
    from recbole_decm.training.run import run

__all__ = ["__version__", "evaluate", "open_recommender", "run"]
_MODULES = {"evaluate": "training.evaluate", "open_recommender": "serving.entry", "run": "training.run"}


def __getattr__(name: str) -> Any:
    """Imported when it is used: torch and RecBole take seconds."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
