"""Checkpoints: plain tensors and values, written in one step, read with ``weights_only=True``.

``state_dict`` and ``other_parameter`` are the best epoch's, which evaluation uses; ``training`` is the state of the
last finished epoch, from which a run resumes. RecBole's own checkpoints pickle the Config object and hold the best
epoch alone.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recbole_decm.config.keys import UNTOLD
from recbole_decm.errors import CheckpointError
from recbole_decm.io.write import replacing
from recbole_decm.model.base import ContentModel
from recbole_decm.model.towers import take_standardisation

FORMAT = "recbole-decm"
FORMAT_VERSION = 1
"""Of the file. An older one is read, a newer one refused; version 0.1.0 of the package called it ``version``."""
_TAG = "__encoded__"
_PARTS: dict[str, Any] = {"model": str, "dataset": str, "config": dict, "epoch": int, "state_dict": dict}
_PARTS |= {"other_parameter": (dict, type(None))}
_TRAINING: dict[str, Any] = {"epoch": int, "cur_step": int, "best_valid_score": float, "best_valid_result": dict}
_TRAINING |= {"finished": bool, "train_loss": dict, "history": list, "state_dict": dict, "counters": dict}
_TRAINING |= {"other_parameter": (dict, type(None)), "optimizer": dict, "random": dict}
_SIZES = ("n_users", "n_items", "num_groups")
_FOLDER = 0x10
"""Mark of a folder in an archive, of which torch reads nothing; no checksum is over it."""


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
            matrix = sp.csr_matrix(parts, shape=tuple(value["shape"]))
            matrix.check_format()  # an index beyond the shape would read other memory
            return matrix.asformat(value["format"])
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
    """Read a checkpoint; no code in it is ever run, and every checksum in it is verified.

    Raises:
        CheckpointError: missing, damaged, incomplete, of another program or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint, found no file.")
    if not path.stat().st_size:
        raise CheckpointError(
            f"{path}: expected a checkpoint, found an empty file: the run that took its name was killed before its "
            "first epoch ended. Delete it."
        )
    try:
        check_archive(path)
        content = torch.load(path, map_location=device, weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile and torch raise a dozen types for a bad file
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
    _check_parts(path, content, _PARTS)
    _check_parts(path, content["config"], {"data_path": str}, "config.")
    if not all(isinstance(name, str) for name in content.get("genres") or ()):
        raise CheckpointError(f"{path}: expected names in its part 'genres', found other values.")
    if "training" in content:
        _check_parts(path, content, {"training": dict})
        _check_parts(path, content["training"], _TRAINING, "training.")
    content["config"] = {**UNTOLD, **content["config"]}
    return content


def check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it holds, or of which a byte is not what was written.

    torch packs without compression, and writes a checksum of each part, which it does not look at again.

    Raises:
        CheckpointError: see above.
        BadZipFile: no archive.
    """
    with zipfile.ZipFile(path) as archive:
        packed, unpacked = path.stat().st_size, sum(part.file_size for part in archive.infolist())
        if unpacked > packed:
            raise CheckpointError(
                f"{path}: expected parts as large as the file, {packed:,} bytes, found parts that unpack to "
                f"{unpacked:,} bytes. No checkpoint is written so; it is not read."
            )
        marked = (part.filename for part in archive.infolist() if part.external_attr & _FOLDER)
        if damaged := archive.testzip() or next(marked, None):
            raise CheckpointError(
                f"{path}: expected a checkpoint as it was written, found other bytes in its part '{damaged}'. The file "
                "is damaged: take another copy of it, or train again."
            )


def _check_parts(path: Path, found: dict[str, Any], parts: dict[str, Any], inside: str = "") -> None:
    for name, kinds in parts.items():
        if name not in found:
            raise CheckpointError(f"{path}: expected a whole checkpoint, found one without its part '{inside}{name}'.")
        if not isinstance(found[name], kinds):
            kind, other = (kinds if isinstance(kinds, type) else kinds[0]).__name__, type(found[name]).__name__
            raise CheckpointError(f"{path}: expected a {kind} as its part '{inside}{name}', found a {other}.")
        if name == "state_dict" and not all(isinstance(value, torch.Tensor) for value in found[name].values()):
            raise CheckpointError(f"{path}: expected tensors in its part '{inside}{name}', found other values.")


@contextmanager
def fitting(path: Path | str, part: str) -> Iterator[None]:
    """Raise what other code has against a part of a checkpoint as a CheckpointError that names it."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: expected a part '{part}' that fits the model, found another ({type(error).__name__}: {error})."
        ) from error


def load_values(model: Any, encoded: dict[str, Any] | None, path: Path | str) -> None:
    """Give a RecBole model the values that it keeps beside its weights, and no others.

    Args:
        encoded: ``other_parameter`` of a checkpoint.

    Raises:
        CheckpointError: not the model's own names, or of another kind or shape than the model's.
    """
    own = model.other_parameter()
    with fitting(path, "other_parameter"):
        found = decode(encoded or {})
    for name in own.keys() | found.keys():
        if name not in own or name not in found:
            raise CheckpointError(
                f"{path}: expected in its part 'other_parameter' what the model keeps beside its weights "
                f"({', '.join(own) or 'nothing'}), found {', '.join(map(str, found)) or 'nothing'}."
            )
        before, value = own[name], found[name]
        if before is not None and value is not None and _kind(before) != _kind(value):
            raise CheckpointError(
                f"{path}: expected other_parameter.{name} to be {_kind(before)}, as the model's, found {_kind(value)}."
            )
    model.load_other_parameter(found)


def _kind(value: Any) -> str:
    """What stands for a value in a comparison: its kind and shape."""
    name = "number" if isinstance(value, Number) else "sparse matrix" if sp.issparse(value) else type(value).__name__
    return f"a {name} of shape {tuple(value.shape)}" if hasattr(value, "shape") else f"a {name}"


def counters(model: Any) -> dict[str, int | float]:
    """Numbers that a model keeps in plain attributes, such as the annealing step of RecBole's autoencoders."""
    return {name: value for name, value in vars(model).items() if type(value) in (int, float)}


def load_counters(model: Any, found: Mapping[str, Any], path: Path | str) -> None:
    """Set numbers that a model counts.

    Raises:
        CheckpointError: a name that the model does not count under, no number, or another size of the data.
    """
    own = counters(model)
    for name, value in found.items():
        if name not in own or type(value) not in (int, float) or (name in _SIZES and value != own[name]):
            expected = own[name] if name in own and name in _SIZES else f"numbers by the names {', '.join(own)}"
            raise CheckpointError(
                f"{path}: expected in its part 'training.counters' {expected}, found {name}: {value!r:.80}."
            )
        setattr(model, name, value)


def load_weights(model: torch.nn.Module, state_dict: dict[str, torch.Tensor], path: Path | str) -> None:
    """Load weights whose names and shapes all fit.

    Raises:
        CheckpointError: names the first parameters that are missing, unexpected or of another shape.
    """
    take_standardisation(model, state_dict)
    if isinstance(model, ContentModel):
        model.take_shapes(state_dict)
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
