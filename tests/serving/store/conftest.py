"""Stores to test: a file of SQLite, and a real PostgreSQL with pgvector that is started once."""

from __future__ import annotations

import itertools

import pytest
from helpers.postgres import started

from recbole_decm.serving.store import open_store

_SCHEMAS = itertools.count()


@pytest.fixture(scope="session")
def postgres():
    """A server, the same for all tests of a process."""
    yield from started()


@pytest.fixture
def postgres_url(postgres) -> str:
    """Of an empty store in PostgreSQL."""
    return postgres.new_schema(f"tracks{next(_SCHEMAS)}")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path) -> str:
    """Of an empty store."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/tracks.db"


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()
