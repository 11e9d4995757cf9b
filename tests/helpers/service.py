"""A service over a small catalogue, and a client that talks to it in this process."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from helpers.genre_artefact import GenreArtefact, opened, tracks
from starlette.testclient import TestClient

from recbole_decm.serving.api.app import create_app
from recbole_decm.serving.api.options import ServeOptions
from recbole_decm.serving.api.service import Service
from recbole_decm.serving.store.live import Live
from recbole_decm.serving.store.opening import open_store


def build(folder: Path, count: int = 30, keys=None, artefact: GenreArtefact | None = None, **options):
    """The application and the service over tracks t0, t1, ... The application closes the service."""
    store = open_store(f"sqlite:///{folder}/catalogue.db")
    found = artefact or GenreArtefact("one", 0, tracks([f"t{at}" for at in range(count)]))
    store.publish(found)
    store.activate(found.manifest.id)

    def reopened(store, version):
        return found if version == found.manifest.id else opened(store, version)

    service = Service(Live(store, reopened, poll=0.05), folder, ServeOptions(**options))
    return create_app(service, keys), service


@contextmanager
def served(folder: Path, **given):
    """(client, service), as of :func:`build`."""
    app, service = build(folder, **given)
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client, service
