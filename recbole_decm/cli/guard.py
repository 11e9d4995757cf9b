"""What a user sees of an error: one line, and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from recbole_decm.errors import ConfigError, DecCMError

INSTALL_RECBOLE = "pip install --no-deps recbole==1.2.1"


def guarded(work: Callable[[], object], debug: bool) -> int:
    """Run ``work``; print the message of an expected error alone and return 2, or show its traceback with ``debug``.

    A missing RecBole is expected: from Python 3.12 on pip cannot install it along with this package (pyproject.toml).
    """
    try:
        with _ends_at_sigterm(), nullcontext() if debug else _one_voice():
            work()
            sys.stdout.flush()
    except OSError as error:  # of a file that no one looked after, or of standard output: a closed pipe, a full disk
        if debug:
            raise
        where = error.filename or "a file or standard output"
        print(f"error: {where}: expected to read or write it, but {error.strerror or error}.", file=sys.stderr)
        if error.filename is None:  # Python flushes once more as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    except DecCMError as error:
        if debug:
            raise
        rank = os.environ.get("RANK", "0")  # of torchrun, whose processes all have the same config
        if rank == "0" or not isinstance(error, ConfigError):
            told = " ".join(str(error).splitlines())
            print(f"error: {told}" if rank == "0" else f"error (rank {rank}): {told}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if debug or error.name != "recbole":
            raise
        print(f"error: RecBole is not installed. Install it with: {INSTALL_RECBOLE}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("; ".join(["terminated" if isinstance(stop, Terminated) else "interrupted", *stop.args]), file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
    return 0


@contextmanager
def _one_voice() -> Iterator[None]:
    """Let logs and threads that cannot write be silent: the disk is full, and the work says so when it comes to it."""

    def in_thread(given: threading.ExceptHookArgs) -> None:
        if not issubclass(given.exc_type, OSError):
            threading.__excepthook__(given)

    before = threading.excepthook, logging.raiseExceptions
    threading.excepthook, logging.raiseExceptions = in_thread, False
    try:
        yield
    finally:
        threading.excepthook, logging.raiseExceptions = before


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends work as Ctrl-C does, so that what is kept is said, and the rest is cleaned up."""


@contextmanager
def _ends_at_sigterm() -> Iterator[None]:
    """Let SIGTERM raise :class:`Terminated`, and a second one end the process at once.

    Processes of a launcher are left alone: it ends them while they wait for each other in code that cannot raise.
    """
    if threading.current_thread() is not threading.main_thread() or "RANK" in os.environ:
        yield
        return

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
