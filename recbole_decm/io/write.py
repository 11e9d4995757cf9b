"""Write files and folders in one step: a reader, or a crash, sees the old one or the whole new one."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from recbole_decm.errors import ConfigError, ResourceError

try:
    import fcntl
except ImportError:  # Windows: what a killed run left is not told from what another is writing, and stays
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".writing"
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, None}  # numpy's has no number


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary file to fill, which takes the place of ``path`` at the end, or vanishes if anything fails.

    A symbolic link stays one: what it leads to is replaced. A device or a pipe is written into, never replaced. What
    killed runs have left beside ``path`` is removed.

    Raises:
        ResourceError: the place cannot be written to, or the disk is full.
    """
    shown, target = Path(path), Path(os.path.realpath(path))
    with _in_one_line(shown):
        special = _leads_to_no_file(shown)
        folder = Path(tempfile.gettempdir()) if special else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        start = f".{os.fsencode(target.name)[:200].decode(errors='ignore')}."
        _remove_orphans(folder, start)
        handle, name = _new_file(folder, start)
    try:
        with _in_one_line(shown, only_the_disk=True):
            yield Path(name)
        with _in_one_line(shown):
            os.fsync(handle)
            if special:
                with open(name, "rb") as source, shown.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                os.chmod(name, 0o644)
                os.replace(name, target)
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):  # it has taken its place
            os.unlink(name)


@contextmanager
def _in_one_line(path: Path, what: str = "the file", only_the_disk: bool = False) -> Iterator[None]:
    """Raise what the system has against writing, or only that the disk takes no more, as a ResourceError."""
    try:
        yield
    except OSError as error:
        if only_the_disk and (type(error) is not OSError or error.errno not in _OF_THE_DISK):
            raise
        raise ResourceError(f"{path}: expected to write {what}, but {error.strerror or error}.") from error


def _leads_to_no_file(path: Path) -> bool:
    """Whether a device or a pipe is there; links are followed as the system does, /dev/stdout to a pipe, too."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise ResourceError(f"{path}: expected a file to write to, found a folder.")
    return not stat.S_ISREG(mode)


def _new_file(folder: Path, start: str) -> tuple[int, str]:
    """A temporary file, locked; another one where somebody took it for an orphan before the lock was there."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=start, suffix=_SUFFIX)
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return handle, name
        os.close(handle)


def _remove_orphans(folder: Path, start: str) -> None:
    """Remove temporary files whose writer is gone: nobody holds their lock."""
    if fcntl is None:
        return
    for left in folder.glob(f"{glob.escape(start)}*{_SUFFIX}"):
        with suppress(OSError), left.open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step (:func:`replacing`), in UTF-8 with Unix line ends."""
    with replacing(path) as name:
        name.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing_folders(folders: list[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Fill temporary folders that take the place of ``folders`` at the end, or vanish if anything fails.

    Raises:
        ConfigError: a folder exists and ``overwrite`` is not set.
        ResourceError: the place cannot be written to, or the disk is full.
    """
    existing = [folder for folder in folders if folder.exists()]
    if existing and not overwrite:
        raise ConfigError(
            f"--out: expected a new folder, found {existing[0]}. Choose another --name, or add --overwrite."
        )
    place = folders[0].parent
    with _in_one_line(place, "into it"):
        place.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=place, prefix=".writing-"))
    try:
        with _in_one_line(place, "into it", only_the_disk=True):
            yield [work / folder.name for folder in folders]
        with _in_one_line(place, "into it"):
            for folder in folders:
                if folder.exists():
                    folder.rename(work / f"{folder.name}.old")
                (work / folder.name).rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def take(folder: Path | str, stem: str, suffix: str = "") -> Path:
    """Make a new file, or without a suffix a new folder, under a name that nobody else takes.

    Returns:
        ``folder/stem``, or ``stem-1``, ``stem-2``, ... where those before are taken.

    Raises:
        ResourceError: the place cannot be written to.
    """
    for number in count():
        path = Path(folder, f"{stem}{f'-{number}' if number else ''}{suffix}")
        with _in_one_line(path), suppress(FileExistsError):
            path.touch(exist_ok=False) if suffix else path.mkdir(parents=True)
            return path
    raise AssertionError("endless")


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
