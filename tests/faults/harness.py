"""One bad input, one child: forked from a process that has imported the package, within a limit of memory.

A case is a command line in a copy of a small world. What is asserted of a bad one: exit code 2, one line that names
the file or the key, and a disk as it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from tqdm import tqdm

MEMORY = 3 * 2**30
"""Bytes that a child may take beside what its parent has."""
SECONDS = 60
F_SETPIPE_SZ = 1031
LOGS = ("log", "log_tensorboard")


def nothing(folder: Path) -> None:
    """Leave the world as it is."""


@dataclass(frozen=True)
class Case:
    """A command in a folder of its own.

    Attributes:
        arguments: of ``recbole-decm``.
        names: one of these stands in the message.
        prepare: makes the world bad.
        sure: it must be refused; otherwise it may be good by chance, and then succeeds.
        writes: places, with what is below them, that may be new although the command fails.
        limit: bytes that a file may have, for a full disk.
        read_only: nothing can be written or made, as on a disk that is mounted so.
    """

    kind: str
    title: str
    arguments: tuple[str, ...]
    names: tuple[str, ...] = ()
    prepare: Callable[[Path], None] = nothing
    sure: bool = True
    writes: tuple[str, ...] = ()
    limit: int | None = None
    read_only: bool = False


@dataclass
class Found:
    """How a case ended, and what is wrong with that."""

    code: int
    said: str
    seconds: float
    wrong: list[str] = field(default_factory=list)


def snapshot(folder: Path) -> dict[str, str]:
    """Every path below a folder, with what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = blake2b(path.read_bytes(), digest_size=8).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "special"
    return found


@dataclass
class Child:
    """A process, and the pipe that it complains into: files may be forbidden to it."""

    pid: int
    pipe: int

    def wait(self, seconds: float) -> int | None:
        """Its exit code, minus the signal that ended it; None where it takes longer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return None

    def kill(self) -> None:
        """End it, and all that is left of its group, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def said(self) -> str:
        """What it complained of; once."""
        os.set_blocking(self.pipe, False)
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.pipe, 1 << 16):
                parts.append(part)
        os.close(self.pipe)
        return b"".join(parts).decode(errors="replace")


def fork(work: Callable[[], int], folder: Path, limit: int | None = None) -> Child:
    """Start a child that does some work in a folder, as a command does; what it prints goes to a file beside it."""
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, F_SETPIPE_SZ, 1 << 20)
    child = os.fork()
    if child:
        os.close(theirs)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        return Child(child, ours)
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.dup2(os.open(folder.parent / f"{folder.name}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(theirs, 2)
        os.close(ours)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
        sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        tqdm.set_lock(threading.RLock())  # the usual one is shared by forked processes: a kill would leave it held
        code = work()
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def forbid_writing(event: str, given: tuple) -> None:
    """An audit hook, under which Python's own calls fail as they do on a disk that can only be read; for root, too."""
    writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (writes or event in ("os.mkdir", "os.rename", "os.remove")) and str(given[0]) != os.devnull:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(given[0]))


def command(arguments: tuple[str, ...], read_only: bool = False) -> Callable[[], int]:
    """The work of a command line."""

    def work() -> int:
        if read_only:
            sys.addaudithook(forbid_writing)
        from recbole_decm.cli.main import main

        sys.argv = ["recbole-decm", *arguments]
        return main(arguments)

    return work


def attempt(case: Case, world: Path, folder: Path) -> Found:
    """Run a case in a copy of the world, and say what is wrong with how it ends."""
    shutil.copytree(world, folder, symlinks=True)
    case.prepare(folder)
    before = snapshot(folder)
    start = time.monotonic()
    child = fork(command(case.arguments, case.read_only), folder, case.limit)
    code = child.wait(SECONDS)
    if code is None:
        child.kill()
    found = Found(-99 if code is None else code, child.said(), time.monotonic() - start)
    found.wrong = judge(case, found, before, snapshot(folder))
    return found


def judge(case: Case, found: Found, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is wrong with how a case ended, in few words; nothing where all is well."""
    wrong = []
    lines = [line for line in found.said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if found.code == -99:
        return ["endless"]
    if "Traceback (most recent call last)" in found.said:
        wrong.append("traceback")
    elif found.code == 0 and case.sure:
        wrong.append("accepted")
    elif found.code not in (0, 2):
        wrong.append(f"exit code {found.code}")
    elif found.code == 2 and (len(errors) != 1 or lines[-1] != errors[0]):
        wrong.append("not one line")
    elif found.code == 2 and not any(name in errors[0] for name in case.names):
        wrong.append("names neither file nor key")
    if found.code:
        lost = [name for name, content in before.items() if after.get(name) != content]
        allowed = (*LOGS, *case.writes)
        new = [name for name in after if name not in before]
        new = [name for name in new if ".writing" in name or (name != "saved" and not name.startswith(allowed))]
        wrong += [f"changed: {', '.join(lost)}"] if lost else []
        wrong += [f"left: {', '.join(new)}"] if new else []
    return wrong
