"""Write whole folders in one step."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_decm.errors import ConfigError


@contextmanager
def replacing(folders: list[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Fill temporary folders that take the place of ``folders`` at the end, or vanish if anything fails.

    Raises:
        ConfigError: a folder exists and ``overwrite`` is not set.
    """
    existing = [folder for folder in folders if folder.exists()]
    if existing and not overwrite:
        raise ConfigError(
            f"--out: expected a new folder, found {existing[0]}. Choose another --name, or add --overwrite."
        )
    folders[0].parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folders[0].parent, prefix=".writing-"))
    try:
        yield [work / folder.name for folder in folders]
        for folder in folders:
            if folder.exists():
                folder.rename(work / f"{folder.name}.old")
            (work / folder.name).rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def content_hash(folder: Path) -> str:
    """A hash of the files of a data set that results depend on, by name and content."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".inter", ".user", ".item", ".npy", ".candidates"):
            digest.update(f"{path.name}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 24):
                    digest.update(block)
    return digest.hexdigest()
