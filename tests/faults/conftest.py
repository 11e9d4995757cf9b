"""A real PostgreSQL to kill."""

from __future__ import annotations

import pytest
from helpers.postgres import started


@pytest.fixture(scope="module")
def postgres():
    """A server of the module's own."""
    yield from started()
