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
from statistics import median

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


def ratios(trainer, batch, name: str, pairs: int, steps: int) -> tuple[list[float], float]:
    """Time with the plain formula over that with the kernel, for each pair of runs; and the kernel's best step."""
    kernel, plain = getattr(kernels, name), getattr(kernels, f"plain_{name}")
    found, best = [], float("inf")
    for pair in range(-1, pairs):
        taken = {}
        for function in (kernel, plain) if pair % 2 else (plain, kernel):
            setattr(kernels, name, function)
            taken[function] = seconds(trainer, batch, steps)
        setattr(kernels, name, kernel)
        best = min(best, taken[kernel])
        if pair >= 0:  # the first pair warms up
            found.append(taken[plain] / taken[kernel])
    return sorted(found), best


@click.command()
@click.argument("names", nargs=-1)
@click.option("--pairs", default=20, show_default=True, help="Pairs of runs for each kernel.")
@click.option("--steps", default=5, show_default=True, help="Steps a run.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Threads of torch.")
def main(names: tuple[str, ...], pairs: int, steps: int, threads: int) -> None:
    """Gain of each kernel, or of those NAMED, at the sizes that speed.py measures."""
    torch.set_num_threads(threads)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        write_data(Path(scratch), "speed", 6_400, 3_003, text=False)
        write_data(Path(scratch), "speed-pgc", 2_000, 3_003, text=False, prefix="p")
        trainer, loader, _ = with_our_data("DecCM", "speed", Path(scratch), teacher_config={"epochs": 1})
        trainer.model.train()
        batch = next(iter(loader))
        for name in tqdm(names or NAMES, unit="kernel", disable=None):
            found, best = ratios(trainer, batch, name, pairs, steps)
            low, high = np.quantile(found, (0.25, 0.75))
            spread = f"{low - 1:+.1%} to {high - 1:+.1%}"
            rows.append(
                [
                    name,
                    f"{median(found) - 1:+.1%}",
                    spread,
                    f"{found[0] - 1:+.1%} to {found[-1] - 1:+.1%}",
                    f"{1e3 * best:.1f}",
                ]
            )
    heads = ["kernel", "gain", "middle half of the pairs", "all pairs", "best step, ms"]
    print(f"batch {BATCH}, {threads} threads, {pairs} pairs of {steps} steps\n\n" + tabulate(rows, headers=heads))


if __name__ == "__main__":
    main()
