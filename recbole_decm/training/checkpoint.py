"""Checkpoints: plain tensors and values, written in one step, read with ``weights_only=True``.

``state_dict`` and ``other_parameter`` are the best epoch's, which evaluation uses; ``training`` is the state of the
last finished epoch, from which a run resumes. RecBole's own checkpoints pickle the Config object and hold the best
epoch alone.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recbole_decm.errors import CheckpointError
from recbole_decm.io.write import replacing

FORMAT = "recbole-decm"
FORMAT_VERSION = 1
"""Of the file. An older one is read, a newer one refused; version 0.1.0 of the package called it ``version``."""
_TAG = "__encoded__"


def encode(value: Any, where: str = "checkpoint") -> Any:
    """Turn numpy and scipy values, at any depth, into tensors and plain values that a weights-only load accepts.

    Raises:
        CheckpointError: a value of another type; ``where`` names it.
    """
    if isinstance(value, np.generic):  # np.float64 is a float, too
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str, torch.Tensor)):
        return value.detach().cpu() if isinstance(value, torch.Tensor) else value
    if isinstance(value, np.ndarray):
        return {
            _TAG: "ndarray",
            "matrix": isinstance(value, np.matrix),
            "data": torch.from_numpy(np.asarray(value).copy()),
        }
    if sp.issparse(value):
        csr = value.tocsr()
        parts = {part: torch.from_numpy(getattr(csr, part).copy()) for part in ("data", "indices", "indptr")}
        return {_TAG: "sparse", "format": value.format, "shape": list(csr.shape), **parts}
    if isinstance(value, dict):
        return {key: encode(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(encode(entry, where) for entry in value)
    raise CheckpointError(
        f"{where}: expected tensors, arrays and plain values, found a {type(value).__name__}, which is not saved."
    )


def decode(value: Any) -> Any:
    """The inverse of :func:`encode`."""
    if isinstance(value, dict):
        if value.get(_TAG) == "ndarray":
            array = value["data"].numpy()
            return np.asmatrix(array) if value["matrix"] else array
        if value.get(_TAG) == "sparse":
            parts = tuple(value[part].numpy() for part in ("data", "indices", "indptr"))
            return sp.csr_matrix(parts, shape=tuple(value["shape"])).asformat(value["format"])
        return {key: decode(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(decode(entry) for entry in value)
    return value


def random_states(generator: torch.Generator) -> dict[str, Any]:
    """The states of every source of randomness a run draws from, the training loader's ``generator`` included."""
    state: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = state
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loader": generator.get_state(),
    }


def restore_random_states(states: dict[str, Any], generator: torch.Generator) -> None:
    """Set every source of randomness back to what :func:`random_states` returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    generator.set_state(states["loader"])


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a reader, or a crash, sees the old file or the whole new one.

    Raises:
        ResourceError: the disk is full, or the place cannot be written to.
    """
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, **encode(content)}
    with replacing(path) as name, name.open("wb") as file:
        try:
            torch.save(whole, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # why a write failed, which torch's complaint hides
                raise error.__context__ from None
            raise


def read_checkpoint(path: Path | str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; no code in it is ever run.

    Raises:
        CheckpointError: missing, corrupt, of another program or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint, found no file.")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen types for a bad file
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path}: expected a checkpoint of {FORMAT}, found a corrupt file or more than weights ({reason})."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected a checkpoint of {FORMAT}, found another kind of file.")
    version = content.get("format_version", content.get("version"))
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: expected a checkpoint of format {FORMAT_VERSION} or older, found {version!r}. "
            "Update recbole-decm."
        )
    return content


def load_weights(model: torch.nn.Module, state_dict: dict[str, torch.Tensor], path: Path | str) -> None:
    """Load weights whose names and shapes all fit.

    Raises:
        CheckpointError: names the first parameters that are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    problems = [f"{name} is missing" for name in own if name not in state_dict]
    problems += [f"{name} is not expected" for name in state_dict if name not in own]
    problems += [
        f"{name} has shape {tuple(state_dict[name].shape)}, expected {tuple(value.shape)}"
        for name, value in own.items()
        if name in state_dict and state_dict[name].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{path}: expected weights that fit the model and the data set; {'; '.join(problems[:3])}{more}. "
            "Use the data set, model and dimensions the checkpoint was trained with."
        )
    model.load_state_dict(state_dict)
