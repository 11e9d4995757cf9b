"""Media files are untrusted: a process of its own decodes them, and is replaced when it dies, hangs or eats memory."""

from __future__ import annotations

import os
import queue
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError
from recbole_decm.media import wire
from recbole_decm.media.failures import Reason, Unreadable
from recbole_decm.media.optional import require
from recbole_decm.media.wants import Limits, Picture, Want

_AHEAD = 128  # messages that are read before they are asked for: about 20 MB


@dataclass(frozen=True)
class Started:
    """The blocks of a clip begin; those that came before for the same clip do not count."""

    clip: int


@dataclass(frozen=True)
class Block:
    """Pixels or samples, for one of the wants of a clip."""

    clip: int
    want: int
    values: np.ndarray


@dataclass(frozen=True)
class Ended:
    """A clip is through, or cannot be read."""

    clip: int
    failure: Unreadable | None


Event = Started | Block | Ended


class Reader:
    """Decodes clips in a child process, one after another and ahead of who uses them.

    Use it in a ``with`` statement, from one thread. One reader a worker: the child starts in a fraction of a second
    and stays.

    Args:
        limits: what one clip may take.
        threads: of the decoders of one clip.

    Raises:
        ConfigError: PyAV is not installed, or this system has no such processes.
    """

    def __init__(self, limits: Limits | None = None, threads: int = 1) -> None:
        require("av", "media")
        if not hasattr(socket, "send_fds") or sys.platform == "win32":
            raise ConfigError("media: expected Linux or macOS to decode on, found another system.")
        self.limits, self.threads = limits or Limits(), threads
        self._child: _Child | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child before the first clip comes, so that this one does not wait for it."""
        self._child = self._child or _Child(self.limits)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def read(self, clips: Iterable[tuple[Path, Sequence[Want]]]) -> Iterator[Event]:
        """The events of clips, in their order: started, blocks in the order of time, ended.

        Args:
            clips: a path and what is wanted of it, for each clip.
        """
        events: queue.Queue = queue.Queue(_AHEAD)
        stop = threading.Event()

        def put(event: Any) -> None:
            while not stop.is_set():
                with suppress(queue.Full):
                    events.put(event, timeout=0.1)
                    return
            raise _Stopped

        def run() -> None:
            try:
                for place, (path, wants) in enumerate(clips):
                    for event in self._clip(place, Path(path), wants):
                        put(event)
                put(None)
            except _Stopped:
                self.close()  # in the middle of a clip, whose rest nobody reads
            except BaseException as error:
                with suppress(_Stopped):
                    put(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            stop.set()
            thread.join()

    def _clip(self, place: int, path: Path, wants: Sequence[Want]) -> Iterator[Event]:
        try:
            file = _opened(path)
            try:
                self._child = self._child or _Child(self.limits)
                self._child.ask(wants, self.threads, file)
            finally:
                os.close(file)
            yield from self._answers(place, wants)
        except Unreadable as failure:
            yield Ended(place, failure)

    def _answers(self, place: int, wants: Sequence[Want]) -> Iterator[Event]:
        child, left = self._child, self.limits.seconds
        assert child is not None
        while True:
            before = time.monotonic()
            try:
                head, body = child.answer(left)
                left -= time.monotonic() - before
                if head["kind"] == "block":
                    yield Block(place, head["want"], _array(head, body, wants))
                elif head["kind"] == "start":
                    yield Started(place)
                elif head["kind"] == "end":
                    yield Ended(place, None)
                    return
                else:
                    failure = Unreadable(Reason(head["reason"]), str(head["detail"])[:200])
                    if failure.reason in (Reason.OUT_OF_MEMORY, Reason.CRASHED):
                        self.close()
                    raise failure
            except TimeoutError:
                self.close()
                raise Unreadable(Reason.OUT_OF_TIME, f"more than {self.limits.seconds:g} s of work") from None
            except (EOFError, OSError, ValueError, KeyError, TypeError, IndexError):
                how = child.ended_by_itself()
                self.close()
                raise Unreadable(Reason.CRASHED, f"the decoder {how}") from None


class _Stopped(Exception):
    pass


def _opened(path: Path) -> int:
    """The number of an open regular file; a pipe or a device is never waited for."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unreadable(Reason.NOT_FOUND, "no such file") from None
    except (OSError, ValueError) as error:
        raise Unreadable(Reason.NOT_A_FILE, str(getattr(error, "strerror", error)).lower()) from None
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise Unreadable(Reason.NOT_A_FILE, "a folder, a pipe or a device")
    if status.st_size == 0:
        os.close(file)
        raise Unreadable(Reason.CORRUPT, "an empty file")
    return file


def _array(head: dict[str, Any], body: bytearray, wants: Sequence[Want]) -> np.ndarray:
    """The values of a block, no more of them than was asked for."""
    want = wants[head["want"]]
    if isinstance(want, Picture):
        return np.frombuffer(body, np.uint8).reshape(want.size, want.size, 3)
    samples = np.frombuffer(body, np.float32)
    if not 0 < len(samples) <= want.rate:
        raise ValueError(f"{len(samples)} samples")
    return samples


class _Child:
    def __init__(self, limits: Limits) -> None:
        self.line, other = socket.socketpair()
        code = f"from recbole_decm.media.child import main; main({other.fileno()}, **{asdict(limits)!r})"
        # No variable of this process reaches the child but where its modules and libraries are.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
        folders = [os.path.abspath(folder) for folder in sys.path]
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**kept, "PYTHONPATH": os.pathsep.join(folders), "OPENBLAS_NUM_THREADS": "1"},
            )

    def ask(self, wants: Sequence[Want], threads: int, file: int) -> None:
        with suppress(OSError):  # it has died, which the answer tells
            self.line.settimeout(60)
            wire.send(self.line, {"wants": [asdict(want) for want in wants], "threads": threads}, file=file)

    def answer(self, seconds: float) -> tuple[dict[str, Any], bytearray]:
        self.line.settimeout(max(seconds, 0.001))
        head, body, _ = wire.receive(self.line)
        return head, body

    def ended_by_itself(self) -> str:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "sent what was not asked for"
        return f"ended with {signal.Signals(-code).name if code < 0 else code}"

    def end(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()
