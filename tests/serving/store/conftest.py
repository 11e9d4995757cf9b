"""Stores to test: a file of SQLite, and a real PostgreSQL with pgvector that is started once."""

from __future__ import annotations

import pytest

from recbole_decm.serving.store import open_store


@pytest.fixture(params=["sqlite"])
def url(request, tmp_path) -> str:
    """Of an empty store."""
    return f"sqlite:///{tmp_path}/tracks.db"


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()
