"""A store by its URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from recbole_decm.errors import ConfigError
from recbole_decm.serving.store.contract import Store

FORMS = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"


def open_store(url: str, new: bool = True) -> Store:
    """Open the store at a URL, ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://...``.

    Args:
        new: whether a file that is not there may be made.

    Raises:
        ConfigError: another form, what it needs is not installed, or no such file.
        DataError: something else is there.
        StoreUnavailable: the database cannot be reached.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite" and url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        from recbole_decm.serving.store.sqlite import SQLiteStore

        path = Path(unquote(url[len("sqlite:///") :]))
        if not new and not path.is_file():
            raise ConfigError(f"{path}: expected a catalogue, found no file.")
        return SQLiteStore(path)
    if scheme in ("postgresql", "postgres"):
        from recbole_decm.serving.store.postgres import PostgresStore

        return PostgresStore(url)
    raise ConfigError(f"--store: expected {FORMS}, found {url!r}.")
