"""Top-k tracks for many videos over catalogues of any size: exact by blocks, or approximate with an index."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole_decm.serving.entry import open_recommender, open_with_videos
    from recbole_decm.serving.index import IndexOptions
    from recbole_decm.serving.recommender import Recommender
    from recbole_decm.serving.search import top_k
    from recbole_decm.serving.videos import VideoChoice

__all__ = ["IndexOptions", "Recommender", "VideoChoice", "open_recommender", "open_with_videos", "top_k"]
_MODULES = {
    "IndexOptions": "index",
    "Recommender": "recommender",
    "VideoChoice": "videos",
    "open_recommender": "entry",
    "open_with_videos": "entry",
    "top_k": "search",
}


def __getattr__(name: str) -> Any:
    """Imported when it is used, so that nobody pays for what he does not ask for."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
