"""A catalogue that changes all day: kept by a database, held in memory by whoever answers."""

from __future__ import annotations

from recbole_decm.errors import StoreUnavailable
from recbole_decm.serving.store.contract import Changes, Store, Track, Version, Written
from recbole_decm.serving.store.live import Live, View
from recbole_decm.serving.store.opening import open_store
from recbole_decm.serving.store.scan import Hits, Want

__all__ = [
    "Changes",
    "Hits",
    "Live",
    "Store",
    "StoreUnavailable",
    "Track",
    "Version",
    "View",
    "Want",
    "Written",
    "open_store",
]
