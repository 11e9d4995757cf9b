"""``python -m recbole_decm.experiments.worker``: jobs in a process that may crash alone, one after the other.

It imports torch and RecBole once, and puts back after each job what a run leaves behind (:func:`as_before`). Jobs come as
lines of JSON on standard input, answers go as lines to standard output. The process ends with the one that started it,
whose death closes standard input, and when the folder of its job is taken away.
"""

from __future__ import annotations

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
from collections.abc import Iterator
from contextlib import contextmanager
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
    answers = os.fdopen(os.dup(1), "w")
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
        print(json.dumps({"error": error, "again": not error and not left and count < MOST_JOBS}), file=answers, flush=True)
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


def perform(folder: Path, call: str, kwargs: dict[str, Any]) -> str | None:
    """Call a function in ``folder/scratch``, since RecBole writes its logs where it runs, with its output in
    ``folder/log.txt``; return the error, or None."""
    os.chdir(folder / "scratch")
    with _output_to(folder / "log.txt"):
        try:
            module, _, name = call.partition(":")
            function = getattr(importlib.import_module(module), name)
            with as_before():
                function(**kwargs)
        except Exception as error:
            traceback.print_exc()
            return str(error) if isinstance(error, DecCMError) else f"{type(error).__name__}: {error}"
    return None


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    for path in (log, Path(os.devnull)):
        with path.open("ab") as file:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        if path is log:
            try:
                yield
            except GeneratorExit:
                raise


_TORCH = {
    torch.get_default_dtype: torch.set_default_dtype,
    torch.get_num_threads: torch.set_num_threads,
    torch.get_float32_matmul_precision: torch.set_float32_matmul_precision,
    torch.are_deterministic_algorithms_enabled: torch.use_deterministic_algorithms,
    torch.is_anomaly_enabled: torch.autograd.set_detect_anomaly,
    torch.is_grad_enabled: torch.set_grad_enabled,
    torch.get_rng_state: torch.set_rng_state,
}
