"""Turn weights of the released code into a checkpoint of ours: read without running code, checked against the data."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import CheckpointError, ConfigError
from recbole_decm.released.names import Sizes, has_teacher, student_part, teacher_part, to_ours
from recbole_decm.training.checkpoint import check_archive, encode, load_weights, write_checkpoint
from recbole_decm.training.run import build

_LATENT_FROM = "m_encoder.fc_mu.bias"


@dataclass(frozen=True)
class Imported:
    """What an import wrote, for people: ``str()`` gives a few lines with the next command."""

    path: Path
    model: str
    dataset: str
    sizes: Sizes
    teacher_left_out: bool

    def __str__(self) -> str:
        groups = "" if self.sizes.groups is None else f", {self.sizes.groups} genre groups"
        lines = [
            f"{self.path}: {self.model}, {self.sizes.visual} visual and {self.sizes.acoustic} acoustic dimensions, "
            f"{self.sizes.latent} latent ones{groups}"
        ]
        if self.teacher_left_out:
            lines.append("The teacher inside is not needed to rank and was left out; --teacher writes it instead.")
        return "\n".join([*lines, f"Next: recbole-decm evaluate {self.path} --dataset={self.dataset}"])


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict saved by torch; no code in it is ever run.

    Raises:
        CheckpointError: missing, corrupt, more than weights, or anything but finite tensors by name.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: expected weights of the released code, found no file.")
    try:
        if zipfile.is_zipfile(path):  # older versions of torch wrote no archive
            check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises half a dozen types for a bad file
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: expected a state dict saved by torch.save, found a corrupt file or more than weights, such as "
            f"code ({reason}). Nothing in it was run. Save model.state_dict() alone."
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path}: expected a state dict (names and tensors), found a {type(state).__name__}.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: expected a tensor for '{name}', found a {type(value).__name__}.")
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path}: expected finite numbers in '{name}', found NaN or infinity.")
    return dict(state)


def import_weights(
    weights: Path,
    dataset: str,
    out: Path,
    *,
    teacher: bool = False,
    overwrite: bool = False,
    arguments: Sequence[str] = (),
) -> Imported:
    """Write the checkpoint ``out`` of a released student (DecCM) or teacher (DecCMTeacher).

    Args:
        weights: a state dict with the released names.
        dataset: the data set whose features and genre groups the shapes must fit.
        teacher: take the teacher inside a student instead of the student.
        arguments: ``--key=value``, such as ``--data_path=DIR``.

    Raises:
        CheckpointError: the weights do not fit; names what is missing, unexpected or of another shape.
        ConfigError: ``out`` exists and ``overwrite`` is not set.
    """
    if out.exists() and not overwrite:
        raise ConfigError(f"--out: expected a new file, found {out}. Choose another path, or add --overwrite.")
    state = read_weights(weights)
    inside = has_teacher(state)
    if teacher and not inside:
        raise CheckpointError(f"{weights}: expected a teacher inside (names that begin with t_net.), found none.")
    own = teacher_part(state) if teacher else student_part(state)
    name = "DecCM" if not teacher and _is_student(state) else "DecCMTeacher"
    latent = len(own[_LATENT_FROM]) if _LATENT_FROM in own and own[_LATENT_FROM].dim() == 1 else 1
    values = {"objective": "released", "latent_dimension": max(latent, 1), "state": "WARNING"}
    config = DecCMConfig(name, dataset, config_dict=values, arguments=arguments)
    model, _ = build(config)
    groups = len(model.prior_mean) if name == "DecCM" else None
    sizes = Sizes(model.visual.dim, model.acoustic.dim, model.settings.latent_dimension, groups)
    parameters = to_ours(own, sizes, weights, "t_net." if teacher else "")
    if name == "DecCM":  # P(k) at evaluation belongs to the data, not to the weights
        parameters["prior_mean"] = model.prior_mean
    load_weights(model, parameters, weights)
    content = {"model": name, "dataset": dataset, "config": config.plain(), "epoch": -1}
    content |= {"state_dict": model.state_dict(), "other_parameter": encode(model.other_parameter())}
    write_checkpoint(out, content)
    return Imported(out, name, dataset, sizes, inside and not teacher)


def _is_student(state: Mapping[str, Tensor]) -> bool:
    return has_teacher(state) or any(name.startswith(("linear.", "confounder_emb.")) for name in state)
