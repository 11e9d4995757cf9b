"""What each hand-written kernel gains in a full training step of DecCM: forward, backward and optimizer.

The kernel and the plain formula beside it take turns in one process, a pair of runs at a time, and which of the two
comes first changes from pair to pair. A gain is the median over the pairs of the plain formula's time over the
kernel's, less 1; the machine is busier in some seconds than in others, so single ratios say little.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import torch
from speed import BATCH, with_our_data, write_data
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.model import kernels

NAMES = tuple(name.removeprefix("plain_") for name in vars(kernels) if name.startswith("plain_"))


def seconds(trainer, batch, steps: int) -> float:
    """Shortest of some steps: what other programs take away counts little."""
    # Of one thread the processor's own time is told, of several only the wall's: they spin while they wait.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    found = []
    for _ in range(steps):
        start = clock()
        trainer.optimizer.zero_grad()
        sum(trainer.model.calculate_loss(batch)).backward()
        trainer.optimizer.step()
        found.append(clock() - start)
    return min(found)


def ratios(trainer, batch, names: list[str], pairs: int, steps: int) -> list[float]:
    """Time with the plain formulas over that with the kernels, for each pair of runs, sorted."""
    versions = [{name: getattr(kernels, prefix + name) for name in names} for prefix in ("", "plain_")]
    found = []
    for pair in range(-1, pairs):
        taken = {}
        for plain in (0, 1) if pair % 2 else (1, 0):
            for name, function in versions[plain].items():
                setattr(kernels, name, function)
            taken[plain] = seconds(trainer, batch, steps)
        if pair >= 0:  # the first pair warms up
            found.append(taken[1] / taken[0])
    for name, function in versions[0].items():
        setattr(kernels, name, function)
    return sorted(found)


def row(name: str, found: list[float]) -> list[str]:
    gains = [f"{value - 1:+.1%}" for value in np.quantile(found, (0.5, 0.25, 0.75, 0, 1))]
    return [name, gains[0], f"{gains[1]} to {gains[2]}", f"{gains[3]} to {gains[4]}"]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--pairs", default=20, show_default=True, help="Pairs of runs for each kernel.")
@click.option("--steps", default=5, show_default=True, help="Steps a run.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch.")
def main(names: tuple[str, ...], pairs: int, steps: int, threads: int) -> None:
    """Gain of each of the kernels NAMES, or of several together (hinge+highest), at the sizes that speed.py measures;
    without names, of each kernel and of all.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        write_data(Path(scratch), "speed", 6_400, 3_003, text=False)
        write_data(Path(scratch), "speed-pgc", 2_000, 3_003, text=False, prefix="p")
        trainer, loader, _ = with_our_data("DecCM", "speed", Path(scratch), teacher_config={"epochs": 1})
        trainer.model.train()
        batch = next(iter(loader))
        turns = tqdm(names or (*NAMES, "+".join(NAMES)), unit="kernel", disable=None)
        rows = [row(name, ratios(trainer, batch, name.split("+"), pairs, steps)) for name in turns]
    heads = ["kernel", "gain", "middle half of the pairs", "all pairs"]
    print(f"batch {BATCH}, {threads} threads, {pairs} pairs of {steps} steps\n\n" + tabulate(rows, headers=heads))


if __name__ == "__main__":
    main()
