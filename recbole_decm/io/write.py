"""Write files and folders in one step: a reader, or a crash, sees the old one or the whole new one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from recbole_decm.errors import ConfigError, ResourceError

try:
    import fcntl
except ImportError:  # Windows: what a killed run left is not told from what another is writing, and stays
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".writing"
_WORK = ".writing-"
_MOVES = ".moves"
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
    with ExitStack() as stack:
        with in_one_line(shown):
            special = _leads_to_no_file(shown)
            folder = Path(tempfile.gettempdir()) if special else target.parent
            stack.enter_context(_made(folder))
            start = f".{os.fsencode(target.name)[:200].decode(errors='ignore')}."
            _remove_orphans(folder)
            handle, name = _new_file(folder, start)
        try:
            with in_one_line(shown, only_the_disk=True):
                yield Path(name)
            with in_one_line(shown):
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
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, which vanishes at the end where it is new and nothing has come into it."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def in_one_line(path: Path, what: str = "the file", only_the_disk: bool = False) -> Iterator[None]:
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


def _remove_orphans(folder: Path) -> None:
    """Remove temporary files whose writer is gone: nobody holds their lock."""
    for left in folder.glob(f".*{_SUFFIX}"):
        if re.fullmatch(rf"\..+\.[a-z0-9_]{{8}}\{_SUFFIX}", left.name):
            with suppress(OSError), held(left):
                left.unlink()


@contextmanager
def held(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file or folder, which the system frees with the process.

    Raises:
        OSError: another process holds it, or there are no locks here: Windows, some file systems.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step (:func:`replacing`), in UTF-8 with Unix line ends."""
    with replacing(path) as name:
        name.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """A folder in ``place`` that vanishes at the end, or, where this process is killed, when the next one is made.

    Raises:
        ResourceError: the place cannot be written to, or the disk is full.
    """
    with in_one_line(place, "into it"), ExitStack() as owner:
        owner.enter_context(_made(place))
        with _alone_in(place):
            _mend(place)
            work = Path(tempfile.mkdtemp(dir=place, prefix=_WORK))
            with suppress(OSError):
                owner.enter_context(held(work))
        owner = owner.pop_all()
    with owner:
        try:
            with in_one_line(place, "into it", only_the_disk=True):
                yield work
        finally:
            if not (work / _MOVES).exists():  # else the renames that failed are for the next process
                shutil.rmtree(work, ignore_errors=True)


@contextmanager
def replacing_folders(folders: list[Path], overwrite: bool) -> Iterator[list[Path]]:
    """Fill temporary folders that take the place of ``folders``, all of one place, at the end; or vanish if anything
    fails.

    What is there stays until all that is new is whole and on the disk. Of several processes that fill the same folders,
    one succeeds without ``overwrite``. What a killed process left is removed, and its renames, once begun, are ended by
    the next process here, or by :func:`mend`.

    Raises:
        ConfigError: a folder exists and ``overwrite`` is not set; something else than a folder has its name.
        ResourceError: the place cannot be written to, or the disk is full.
    """
    place = folders[0].parent
    mend(place)
    require_free(folders, overwrite)
    with scratch_folder(place) as work:
        yield [work / folder.name for folder in folders]
        with in_one_line(place, "into it"):
            _sync(work)
            with _alone_in(place):
                require_free(folders, overwrite)
                moves = work / _MOVES
                write_text(moves, json.dumps([folder.name for folder in folders]))
                _sync(work, whole=False)
                try:
                    _move(work)
                except ResourceError:
                    moves.unlink()
                    raise
                moves.unlink()


def mend(place: Path) -> None:
    """End what killed processes have begun in a folder: renames of new data sets, and what they left behind."""
    with suppress(OSError):
        if any(place.glob(f"{_WORK}*")):
            with _alone_in(place):
                _mend(place)


def _mend(place: Path) -> None:
    for work in place.glob(f"{_WORK}*"):
        with suppress(OSError, ValueError, ResourceError), held(work):
            if (work / _MOVES).is_file():
                _move(work)
            shutil.rmtree(work)


def _move(work: Path) -> None:
    """Put each new folder into its place and the old one out of it. May be killed anywhere, and begun again.

    Raises:
        ResourceError: a folder cannot be moved, and all are back where they were.
        OSError: nor could they be moved back.
    """
    target, done = work.parent, []
    try:
        for name in _names(work):
            new, target = work / name, work.parent / name
            if new.exists():
                old = Path(tempfile.mkdtemp(dir=work, prefix=".old-"), name)
                for pair in [(target, old)] * target.exists() + [(new, target)]:
                    os.rename(*pair)
                    done.append(pair)
        _sync(work.parent, whole=False)
    except OSError as error:
        for before, after in reversed(done):
            os.rename(after, before)
        raise ResourceError(
            f"{target}: expected to put the new folder there, but {error.strerror or error}."
        ) from error


def _names(work: Path) -> list[str]:
    """The folders that a killed process was about to put into their places.

    Raises:
        ValueError: not names of folders of this place, which no process of ours writes.
    """
    found = json.loads((work / _MOVES).read_text(encoding="utf-8"))
    if not all(isinstance(name, str) and name == Path(name).name not in ("", "..") for name in found):
        raise ValueError(f"{work / _MOVES}: expected names of folders, found others.")
    return found


def require_free(folders: list[Path], overwrite: bool) -> None:
    """Refuse names of folders to write that are taken; long work asks before it begins.

    Raises:
        ConfigError: a folder exists and ``overwrite`` is not set; something else than a folder has its name.
    """
    for folder in folders:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ConfigError(f"--out: expected a folder, or nothing, at {folder}, found something else. Move it away.")
        if folder.exists() and not overwrite:
            raise ConfigError(
                f"--out: expected a new folder, found {folder}. Choose another --name, or add --overwrite."
            )


@contextmanager
def _alone_in(place: Path) -> Iterator[None]:
    """Be the only process that makes, mends or renames folders here, where the system has locks."""
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(held(place, wait=True))
        yield


def _sync(folder: Path, whole: bool = True) -> None:
    """Have the disk keep a folder's names, and all that is below it."""
    if fcntl is None:  # Windows opens no folders
        return
    for path in [folder, *(folder.rglob("*") if whole else ())]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def take(folder: Path | str, stem: str, suffix: str = "") -> Path:
    """Make a new file, or without a suffix a new folder, under a name that nobody else takes.

    Returns:
        ``folder/stem``, or ``stem-1``, ``stem-2``, ... where those before are taken.

    Raises:
        ResourceError: the place cannot be written to.
    """
    for number in count():
        path = Path(folder, f"{stem}{f'-{number}' if number else ''}{suffix}")
        with in_one_line(path), suppress(FileExistsError):
            path.touch(exist_ok=False) if suffix else path.mkdir(parents=True)
            return path
    raise AssertionError("endless")


def take_held(folder: Path, stem: str, suffix: str) -> tuple[Path, int]:
    """Make a new, empty file under a name that nobody else takes, and hold it until it is written.

    Empty files of that suffix which nobody holds are removed: those who took them were killed before they wrote.

    Returns:
        The file, and a descriptor to close once it is written; the system closes it with the process.

    Raises:
        ResourceError: the place cannot be written to.
    """
    for left in folder.glob(f"*{suffix}"):
        with suppress(OSError):
            if not left.stat().st_size:
                with held(left):
                    if not left.stat().st_size:
                        left.unlink()
    while True:
        path = take(folder, stem, suffix)
        with in_one_line(path), suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists():  # nobody took it for an orphan before the lock was there
                return path, handle
            os.close(handle)


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
