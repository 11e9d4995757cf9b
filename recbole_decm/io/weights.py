"""Digests of weights; apart, so that what digests files and values does without torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recbole_decm.io.digest import new_digest


def of_tensors(named: Mapping[str, Tensor], start: bytes = b"") -> str:
    """Of tensors by name, bit by bit, on whatever device and in whatever order they are.

    Args:
        start: what else the key depends on.
    """
    digest = new_digest(start)
    for name in sorted(named):
        digest.update(name.encode())
        digest.update(named[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return str(digest.hexdigest())
