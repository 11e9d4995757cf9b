"""A real PostgreSQL to kill."""

from __future__ import annotations

import pytest
from helpers.postgres import Postgres


@pytest.fixture(scope="module")
def postgres():
    """A server of the module's own."""
    for name in ("psycopg", "pgvector"):
        pytest.importorskip(name)
    try:
        server = Postgres()
    except RuntimeError as error:
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.close()
