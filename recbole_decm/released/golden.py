"""Golden files: weights, one batch and the outputs of the released code on it, as an ``.npz`` of plain numbers."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_decm.errors import DataError
from recbole_decm.released.names import TEACHER_PREFIX, Sizes, released_entries

MODES = ("train", "eval")
METRIC = re.compile(r"metric\.weighted_(recall|ndcg)@([1-9]\d*)")
INPUTS = ("in.music", "in.video", "in.prior")
METRIC_INPUTS = ("metric.candidates", "metric.weights")

# Numbers of ``config`` -> keys of ours. The others that we read are sizes, checked against the tensors.
SETTINGS = {
    "latent_dim": "latent_dimension",
    "num_negatives": "num_negatives",
    "margin": "margin",
    "alpha": "teacher_weight",
    "reconstruction_weight": "reconstruction_weight",
    "music_loss_factor": "music_loss_factor",
    "kl_weight": "kl_weight",
}
_OPTIONAL = {"kl_weight", "music_loss_factor", "reconstruction_weight", "dropout", "batch"}
_INTEGERS = {"music_dim", "video_dim", "latent_dim", "num_groups", "num_negatives", "batch"}


@dataclass(frozen=True)
class Golden:
    """A golden file, read whole.

    Attributes:
        path: the file.
        config: its JSON, numbers by name.
        arrays: all other entries by name.
        sizes: F of both modalities, D and K.
    """

    path: Path
    config: dict[str, Any]
    arrays: dict[str, np.ndarray]
    sizes: Sizes

    @property
    def batch(self) -> int:
        """B, the pairs of the batch."""
        return len(self.arrays["in.video"])

    @cached_property
    def student_state(self) -> dict[str, torch.Tensor]:
        """The released state dict, floats as float64, without the teacher and without names that are not its own."""
        return self._state("", self.sizes)

    @cached_property
    def teacher_state(self) -> dict[str, torch.Tensor]:
        """The teacher inside the state dict under a teacher's own names; empty without one."""
        return self._state(TEACHER_PREFIX, replace(self.sizes, groups=None))

    def _state(self, prefix: str, sizes: Sizes) -> dict[str, torch.Tensor]:
        names = {name: f"state.{prefix}{name}" for name in released_entries(sizes)}
        return {name: self.tensor(key) for name, key in names.items() if key in self.arrays}

    @property
    def settings(self) -> dict[str, float]:
        """Its numbers under our keys."""
        return {ours: self.config[theirs] for theirs, ours in SETTINGS.items() if theirs in self.config}

    def tensor(self, name: str) -> torch.Tensor:
        """An entry as a float64 tensor."""
        return _tensor(self.arrays[name])


def _tensor(value: np.ndarray) -> torch.Tensor:
    value = np.array(value)  # a copy: native byte order, writable
    return torch.from_numpy(value.astype(np.float64) if value.dtype.kind == "f" else value.astype(np.int64))


def read_golden(path: Path) -> Golden:
    """Read a golden file; no code in it is run.

    Raises:
        DataError: no whole ``.npz`` of numbers, or without the config, batch and weights that a comparison needs.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a golden file (.npz), found none.") from error
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: expected a whole .npz of plain numbers, but {error}.") from error
    missing = [name for name in ("config", *INPUTS) if name not in arrays]
    if missing:
        raise DataError(f"{path}: expected the entries config, {', '.join(INPUTS)}; missing: {', '.join(missing)}.")
    config = _read_config(path, arrays.pop("config"))
    odd = [name for name, value in arrays.items() if value.dtype.kind not in "fiu"]
    if odd:
        raise DataError(f"{path}: expected numbers in '{odd[0]}', found {arrays[odd[0]].dtype}.")
    sizes = Sizes(*(config[name] for name in ("video_dim", "music_dim", "latent_dim", "num_groups")))
    batch = config.get("batch", len(np.atleast_1d(arrays["in.video"])))
    for name, width in (("in.music", sizes.acoustic), ("in.video", sizes.visual), ("in.prior", sizes.groups)):
        if arrays[name].shape != (batch, width):
            raise DataError(
                f"{path}: expected '{name}' of shape {(batch, width)}, as config says, found {arrays[name].shape}."
            )
    return Golden(path, config, arrays, sizes)


def _read_config(path: Path, entry: np.ndarray) -> dict[str, Any]:
    try:
        config = json.loads(str(entry))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: expected JSON in 'config', but {error}.") from error
    needed = ({"music_dim", "video_dim", "num_groups", "dropout", "batch"} | set(SETTINGS)) - _OPTIONAL
    missing = sorted(needed - set(config)) if isinstance(config, dict) else sorted(needed)
    if missing:
        raise DataError(f"{path}: expected the key{'s' * (len(missing) > 1)} {', '.join(missing)} in 'config'.")
    for name in sorted(needed | (_OPTIONAL & set(config))):
        value, kind = config[name], int if name in _INTEGERS else (int, float)
        if not isinstance(value, kind) or isinstance(value, bool) or value < (name in _INTEGERS):
            raise DataError(f"{path}: expected a number in the key '{name}' of 'config', found {value!r}.")
    if config.get("dropout", 0) != 0:
        raise DataError(f"{path}: expected dropout 0 in 'config', so that numbers repeat, found {config['dropout']}.")
    return config


def candidates_fit(golden: Golden) -> bool:
    """Whether the candidate lists can be what they say: the positive first, then distinct other music of the batch."""
    candidates, batch = golden.arrays["metric.candidates"], golden.batch
    return (
        candidates.ndim == 2
        and candidates.dtype.kind in "iu"
        and len(candidates) == batch
        and candidates.shape[1] > 0
        and bool((candidates[:, 0] == np.arange(batch)).all())
        and bool(((candidates >= 0) & (candidates < batch)).all())
        and all(len(set(row)) == len(row) for row in candidates.tolist())
    )
