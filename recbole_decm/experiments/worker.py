"""``python -m recbole_decm.experiments.worker``: jobs in a process that may crash alone, one after the other.

It imports torch and RecBole once, and puts back after each job what a run leaves behind (:func:`as_before`). Jobs come
as lines of JSON on standard input, answers go as lines to standard output. The process ends with the one that started
it, whose death closes standard input, and when the folder of its job is taken away.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import os
import queue
import random
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import recbole.evaluator.register
import recbole.utils.argument_list
import torch

from recbole_decm.errors import DecCMError

ORPHANED = 5
MOST_JOBS = 20
"""Jobs after which a process is replaced by a new one, so that what no one knows of cannot pile up."""


def serve() -> None:
    """Do jobs until there are no more."""
    answers = os.fdopen(os.dup(1), "w")  # what anything else prints goes elsewhere
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    at_work: list[Path] = []
    threading.Thread(target=_receive, args=(waiting,), daemon=True).start()
    threading.Thread(target=_watch, args=(at_work,), daemon=True).start()
    for count in range(1, MOST_JOBS + 1):
        job = json.loads(waiting.get())
        folder = Path(job["folder"])
        at_work[:] = [folder]
        before = set(threading.enumerate())
        error = perform(folder, job["call"], job["kwargs"])
        at_work.clear()
        left = [thread for thread in threading.enumerate() if thread not in before]
        again = not error and not left and count < MOST_JOBS
        print(json.dumps({"error": error, "again": again}), file=answers, flush=True)
    waiting.get()


def _receive(waiting: queue.SimpleQueue[str]) -> None:
    for line in iter(lambda: _line(0), ""):
        waiting.put(line)
    os._exit(ORPHANED)


def _line(handle: int) -> str:
    """A line of a file; not through sys.stdin, whose lock this thread would hold while Python shuts down."""
    found = b""
    while not found.endswith(b"\n") and (more := os.read(handle, 1 << 16)):
        found += more
    return found.decode()


def _watch(at_work: list[Path]) -> None:
    while all(folder.is_dir() for folder in list(at_work)):
        time.sleep(1)
    os._exit(ORPHANED)


def perform(folder: Path, target: str, kwargs: dict[str, Any]) -> str | None:
    """:func:`call` in ``folder/scratch``, since RecBole writes its logs where it runs, with its output in
    ``folder/log.txt``."""
    home = Path.cwd()
    os.chdir(folder / "scratch")
    try:
        with _output_to(folder / "log.txt"):
            return call(target, kwargs)
    finally:
        os.chdir(home)


def call(target: str, kwargs: dict[str, Any], quiet: bool = False) -> str | None:
    """Call a function by its name, ``module:function``; return the error, or None.

    Args:
        quiet: print the traceback of an error that is not ours alone.
    """
    module, _, name = target.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        with as_before():
            function(**kwargs)
    except Exception as error:
        ours = isinstance(error, DecCMError)
        if not (ours and quiet):
            traceback.print_exc()
        return str(error) if ours else f"{type(error).__name__}: {error}"
    return None


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """What this process says, and what libraries below Python say, goes into a file."""
    try:
        _redirect(log)
        yield
    finally:
        _redirect(Path(os.devnull))


def _redirect(path: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


_TORCH: dict[Callable[[], Any], Callable[[Any], Any]] = {
    torch.get_default_dtype: torch.set_default_dtype,
    torch.get_num_threads: torch.set_num_threads,
    torch.get_float32_matmul_precision: torch.set_float32_matmul_precision,
    torch.are_deterministic_algorithms_enabled: torch.use_deterministic_algorithms,
    torch.is_anomaly_enabled: torch.autograd.set_detect_anomaly,
    torch.is_grad_enabled: torch.set_grad_enabled,
    torch.get_rng_state: torch.set_rng_state,
}


@contextmanager
def as_before() -> Iterator[None]:
    """Put back, afterwards, what a run leaves behind: RecBole's tables, random states, torch's settings, loggers,
    warnings, the environment; and start each run with a peak of memory of its own."""
    modules = (recbole.evaluator.register, recbole.utils.argument_list)
    entries = [entry for module in modules for entry in vars(module).items()]
    tables: list[Any] = [value for name, value in entries if type(value) in (dict, list) and not name.startswith("__")]
    kept = [copy(table) for table in tables]
    states = {get: get() for get in _TORCH}
    python, numpy, environment = random.getstate(), np.random.get_state(), dict(os.environ)
    filters = list(warnings.filters)
    cudnn = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    _forget_peak()
    try:
        yield
    finally:
        for table, before in zip(tables, kept, strict=True):
            table.clear()
            table.update(before) if isinstance(table, dict) else table.extend(before)
        for get, state in states.items():
            _TORCH[get](state)
        random.setstate(python)
        np.random.set_state(numpy)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
        warnings.filters[:] = filters  # type: ignore[index]
        os.environ.clear()
        os.environ.update(environment)
        gc.collect()


def _forget_peak() -> None:
    """Let the kernel count this process's peak of memory anew, without what freed memory still holds, where it can."""
    with suppress(OSError, AttributeError):  # of other systems, and of other C libraries
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    serve()
