"""Training against the arithmetic floor of the machine: the floating-point operations of a step over the rate at which
this machine multiplies matrices, both measured in the same run.
"""

from __future__ import annotations

import time

import torch
from recbole.data.interaction import Interaction
from torch.utils.flop_counter import FlopCounterMode


def product_rate(size: int = 2048, repeats: int = 12) -> float:
    """Floating-point operations a second of a (size, size) matrix product in float32: the best of some."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def operations(model, batch: Interaction) -> int:
    """Floating-point operations of the matrix products of a step, forward and backward, as torch counts them."""
    model.train()
    with FlopCounterMode(display=False) as counter:
        sum(model.calculate_loss(batch)).backward()
    model.zero_grad()
    return counter.get_total_flops()


def step_seconds(trainer, loader, size: int, steps: int = 100) -> float:
    """Seconds of a step with a full batch, optimizer and all: what the fastest tenth of some steps stays below."""
    model, optimizer = trainer.model.train(), trainer.optimizer
    seconds = []
    while len(seconds) < steps:
        for batch in loader:
            if len(batch) < size:
                continue
            start = time.perf_counter()
            optimizer.zero_grad()
            losses = model.calculate_loss(batch)
            [loss.item() for loss in losses]
            sum(losses).backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 10]


def measure(trainer, loader) -> dict[str, float]:
    """Operations, rate and seconds, and the share of a step that its matrix products would take at that rate."""
    batch = next(iter(loader))
    size = len(batch)
    count, rate = operations(trainer.model, batch), product_rate()
    seconds = step_seconds(trainer, loader, size)
    rate = max(rate, product_rate())
    return {
        "operations": count,
        "operations_per_second": rate,
        "floor_seconds": count / rate,
        "step_seconds": seconds,
        "share_of_floor": count / rate / seconds,
    }
