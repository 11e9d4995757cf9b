"""Where the time of a training step of DecCM goes: each operation of torch, and what lies between the operations.

An operation's time is the lower quartile over the steps, so that a busy moment of the machine counts little. Every
second step is not watched, and tells how long a step takes. What numpy does (the partition of the hinge) lies between
the operations of torch.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import click
import numpy as np
import torch
from speed import BATCH, with_our_data, write_data
from tabulate import tabulate
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm import trange

PRODUCTS = {"mm", "addmm", "mv", "dot", "addr_"}
RANDOM = {"randint", "randn_like", "normal_", "random_"}
SIZES = ((2**21, "2,097,152 entries or more"), (2**20, "1,048,576 or more"), (2**17, "131,072 or more"), (0, "fewer"))


class Stopwatch(TorchDispatchMode):
    """Seconds of each operation of torch, by name and the size of its largest input."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[tuple[str, str], float] = defaultdict(float)
        self.times: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        start = time.perf_counter()
        found = func(*args, **(kwargs or {}))
        spent = time.perf_counter() - start
        entries = max((value.numel() for value in args if isinstance(value, torch.Tensor)), default=0)
        key = func.overloadpacket.__name__, next(label for least, label in SIZES if entries >= least)
        self.spent[key] += spent
        self.times[key] += 1
        return found


def kind(name: str) -> str:
    """What an operation is counted as: a product, random numbers, or neither."""
    return "matrix products" if name in PRODUCTS else "random numbers" if name in RANDOM else "other operations"


def lower_quartile(seconds: list[float]) -> float:
    """In milliseconds."""
    return 1e3 * float(np.quantile(seconds, 0.25))


def profile(trainer, loader, steps: int, warm_up: int = 3) -> tuple[list[list], list[list]]:
    """(kinds, operations): rows of what, times a step, and milliseconds a step; the longest first."""
    model, optimizer = trainer.model.train(), trainer.optimizer
    batch = next(iter(loader))

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        sum(model.calculate_loss(batch)).backward()
        optimizer.step()
        return time.perf_counter() - start

    whole, watches = [], []
    for turn in trange(warm_up + steps, unit="step", disable=None):
        alone = step()
        with Stopwatch() as watch:
            step()
        if turn >= warm_up:
            whole.append(alone)
            watches.append(watch)
    names = {key for watch in watches for key in watch.spent}
    operations, kinds = [], {}
    for name, size in names:
        seconds = lower_quartile([watch.spent.get((name, size), 0.0) for watch in watches])
        times = round(sum(watch.times[name, size] for watch in watches) / steps)
        operations.append([f"{name}, {size}", times, seconds])
        entry = kinds.setdefault(kind(name), [kind(name), 0, 0.0])
        entry[1:] = entry[1] + times, entry[2] + seconds
    rest = max(0.0, lower_quartile(whole) - sum(row[2] for row in operations))
    between = ["between operations (numpy, Python)", 0, rest]
    return sorted([*kinds.values(), between], key=_longest), sorted(operations, key=_longest)


def _longest(row: list) -> float:
    return -row[2]


@click.command()
@click.option("--videos", default=6_400, show_default=True)
@click.option("--music", default=3_003, show_default=True)
@click.option("--steps", default=60, show_default=True)
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of torch.")
@click.option("--rows", default=25, show_default=True, help="Operations to show.")
def main(videos: int, music: int, steps: int, threads: int, rows: int) -> None:
    """Milliseconds a step by operation, at the sizes that speed.py measures."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        write_data(Path(name), "speed", videos, music, text=False)
        write_data(Path(name), "speed-pgc", 2_000, music, text=False, prefix="p")
        trainer, loader, _ = with_our_data("DecCM", "speed", Path(name), teacher_config={"epochs": 1})
        kinds, operations = profile(trainer, loader, steps)
    heads = {"floatfmt": ".2f", "headers": ["", "times a step", "ms a step"]}
    total = ["all", sum(row[1] for row in kinds), sum(row[2] for row in kinds)]
    print(f"batch {BATCH}, {threads} threads, lower quartiles of {steps} steps\n\n{tabulate([*kinds, total], **heads)}")
    print(f"\n{tabulate(operations[:rows], **heads)}")


if __name__ == "__main__":
    main()
