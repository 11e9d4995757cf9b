"""Jobs for worker processes to do: they look around, leave things behind, fail, or are killed."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import recbole.evaluator.register
import torch


def look(folder: str) -> None:
    """Write down the process and what a run would find in it."""
    seen = [
        os.getpid(),
        random.random(),
        float(np.random.rand()),
        torch.rand(1).item(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        sorted(recbole.evaluator.register.metrics_dict),
        len(logging.getLogger().handlers),
        logging.getLogger().level,
        os.environ.get("LEFT_BEHIND"),
        len(warnings.filters),
        os.getcwd() == str(Path(folder) / "scratch"),
    ]
    Path(folder, "answer.txt").write_text("\n".join(map(str, seen)))


def mess_up(folder: str) -> None:
    """Leave as much behind as a run could."""
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    recbole.evaluator.register.metrics_dict["mine"] = object
    logging.getLogger().addHandler(logging.StreamHandler())
    logging.getLogger().setLevel(logging.DEBUG)
    os.environ["LEFT_BEHIND"] = "1"
    warnings.simplefilter("error")
    look(folder)


def fail(folder: str) -> None:
    """Raise an error."""
    print("said")
    raise ValueError("on purpose")


def kill(folder: str) -> None:
    """End the process, as the system does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave_a_thread(folder: str) -> None:
    """Leave a thread at work."""
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def sleep(folder: str) -> None:
    """Say who we are, and take long."""
    Path(folder, "answer.txt").write_text(str(os.getpid()))
    time.sleep(600)
