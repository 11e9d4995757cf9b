"""Ways to damage a file of the world."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch


def put(folder: Path, name: str, content: bytes) -> None:
    """Write a file anew."""
    (folder / name).write_bytes(content)


def edit(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change what a file holds."""
    (folder / name).write_bytes(change((folder / name).read_bytes()))


def remove(folder: Path, name: str) -> None:
    """Take a file away."""
    (folder / name).unlink()


def be_folder(folder: Path, name: str) -> None:
    """Put a folder in a file's place."""
    (folder / name).unlink()
    (folder / name).mkdir()


def line(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A change of one line."""

    def work(data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines[number] = change(lines[number])
        return b"\n".join(lines)

    return work


def flip(rng: random.Random, data: bytes, low: float = 0.0, high: float = 1.0) -> bytes:
    """One bit changed, somewhere between two shares of the file."""
    at = min(len(data) - 1, int(len(data) * rng.uniform(low, high)))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def resave(folder: Path, change: Callable[[dict], object]) -> None:
    """A checkpoint with other content."""
    content = torch.load(folder / "model.pth", weights_only=True)
    torch.save(change(content), folder / "model.pth")


def without(key: str) -> Callable[[dict], dict]:
    """Content without an entry."""
    return lambda content: {name: value for name, value in content.items() if name != key}


def replaced(key: str, value: object) -> Callable[[dict], dict]:
    """Content with another entry."""
    return lambda content: {**content, key: value}
