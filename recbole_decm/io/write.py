"""Write files and folders in one step: a reader, or a crash, sees the old one or the whole new one."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recbole_decm.errors import ConfigError, ResourceError

try:
    import fcntl
except ImportError:  # Windows: what a killed run left is not told from what another is writing, and stays
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".writing"
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary file to fill, which takes the place of ``path`` at the end, or vanishes if anything fails.

    A symbolic link stays one: what it leads to is replaced. A device or a pipe is written into, never replaced. What
    killed runs have left beside ``path`` is removed.

    Raises:
        ResourceError: the place cannot be written to, or the disk is full.
    """
    shown, target = Path(path), Path(os.path.realpath(path))
    special = target.exists() and not target.is_file()
    if target.is_dir():
        raise ResourceError(f"{shown}: expected a file to write to, found a folder.")
    folder = Path(tempfile.gettempdir()) if special else target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder, target.name)
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{target.name[:200]}.", suffix=_SUFFIX)
    except OSError as error:
        raise ResourceError(f"{shown}: expected to write the file, but {error.strerror}.") from error
    try:
        _lock(handle)
        yield Path(name)
        os.fsync(handle)
        if special:
            with open(name, "rb") as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        else:
            os.chmod(name, 0o644)
            os.replace(name, target)
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise ResourceError(f"{shown}: expected to write the file, but {error.strerror}.") from error
        raise
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):  # it has taken its place
            os.unlink(name)


def _lock(handle: int) -> None:
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_orphans(folder: Path, name: str) -> None:
    """Remove temporary files whose writer is gone: nobody holds their lock."""
    if fcntl is None:
        return
    for left in folder.glob(f".{_literal(name[:200])}.*{_SUFFIX}"):
        with suppress(OSError), left.open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _literal(text: str) -> str:
    """A name as a pattern of :meth:`pathlib.Path.glob` that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step (:func:`replacing`), in UTF-8 with Unix line ends."""
    with replacing(path) as name:
        name.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing_folders(folders: list[Path], overwrite: bool) -> Iterator[list[Path]]:
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


def make_folder(path: Path | str, name: str) -> None:
    """Make a folder, and those above it, that RecBole would make in two moments: two processes that start together may
    both find it missing, and the slower one fails.

    Args:
        name: what to call it in the error, such as the key of the config it comes from.

    Raises:
        ConfigError: something else is there, or the folder cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{name}: expected a folder to write to, but {path}: {error.strerror}.") from error
