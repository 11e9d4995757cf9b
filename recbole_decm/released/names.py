"""The names of the released state dict and of ours: one table, for verification and for the import of weights.

A student has the matcher's names, the confounder's, and its teacher's matcher once more under ``t_net.``. A teacher
alone has the matcher's names only. The layers ``fc1`` are in the authors' checkpoints, but no output depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from recbole_decm.errors import CheckpointError

TEACHER_PREFIX = "t_net."

_TOWERS = {"acoustic": ("m_encoder", "m_decoder"), "visual": ("v_encoder", "video_v_decoder")}
_LINEAR = ("weight", "bias")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Sizes:
    """The dimensions that fix every shape: F of both modalities, D, and K (None for a matcher without confounder)."""

    visual: int
    acoustic: int
    latent: int
    groups: int | None = None


@dataclass(frozen=True)
class NamedWeight:
    """A tensor of the released state dict: its name with us (None where no output depends on it) and its shape."""

    ours: str | None
    shape: tuple[int, ...]


def released_entries(sizes: Sizes) -> dict[str, NamedWeight]:
    """Every name of a released matcher, with the confounder where ``sizes.groups`` is set; without a teacher's."""
    entries: dict[str, NamedWeight] = {}
    for modality, (encoder, decoder) in _TOWERS.items():
        features, latent = getattr(sizes, modality), sizes.latent
        entries |= _norm(f"{encoder}.bn1", f"encoders.{modality}.norm", features)
        entries |= _linear(f"{encoder}.fc_mu", f"encoders.{modality}.mean", latent, features)
        entries |= _linear(f"{encoder}.fc_logvar", f"encoders.{modality}.logvar", latent, features)
        entries |= _linear(f"{encoder}.fc1", None, latent, features)
        entries |= _norm(f"{decoder}.bn1", f"decoders.{modality}.layers.0", latent)
        entries |= _linear(f"{decoder}.fc2", f"decoders.{modality}.layers.2", features, latent)
        entries |= _linear(f"{decoder}.fc1", None, latent, latent)
    if sizes.groups is not None:
        entries |= _linear("linear", "fusion.linear", sizes.latent, 2 * sizes.latent)
        entries["confounder_emb.weight"] = NamedWeight("fusion.group_embedding", (sizes.groups, sizes.latent))
    return entries


def _linear(theirs: str, ours: str | None, rows: int, columns: int) -> dict[str, NamedWeight]:
    shapes = dict(zip(_LINEAR, ((rows, columns), (rows,)), strict=True))
    return {f"{theirs}.{part}": NamedWeight(ours and f"{ours}.{part}", shape) for part, shape in shapes.items()}


def _norm(theirs: str, ours: str, width: int) -> dict[str, NamedWeight]:
    return {
        f"{theirs}.{part}": NamedWeight(f"{ours}.{part}", () if part == "num_batches_tracked" else (width,))
        for part in _NORM
    }


def has_teacher(state: Mapping[str, Tensor]) -> bool:
    """Whether a released state dict is a student's with its teacher inside."""
    return any(name.startswith(TEACHER_PREFIX) for name in state)


def teacher_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The teacher inside a student's state dict, under a teacher's own names."""
    return {
        name.removeprefix(TEACHER_PREFIX): value for name, value in state.items() if name.startswith(TEACHER_PREFIX)
    }


def student_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without the teacher inside."""
    return {name: value for name, value in state.items() if not name.startswith(TEACHER_PREFIX)}


def to_ours(state: Mapping[str, Tensor], sizes: Sizes, where: Path | str, prefix: str = "") -> dict[str, Tensor]:
    """A released state dict (one matcher, no teacher inside) under our names, without the unused layers.

    Args:
        state: released name -> tensor.
        sizes: the dimensions it must have.
        where: the file, for messages; ``prefix`` is what the file puts before each name.

    Raises:
        CheckpointError: lists the names that are missing, unexpected or of another shape.
    """
    entries = released_entries(sizes)
    missing = [f"{prefix}{name} is missing" for name in entries if name not in state]
    unexpected = [f"{prefix}{name} is not expected" for name in state if name not in entries]
    misshapen = [
        f"{prefix}{name} has shape {tuple(state[name].shape)}, expected {entry.shape}"
        for name, entry in entries.items()
        if name in state and tuple(state[name].shape) != entry.shape
    ]
    if missing or unexpected or misshapen:
        problems = [_first(kind) for kind in (missing, unexpected, misshapen) if kind]
        groups = "" if sizes.groups is None else f", {sizes.groups} genre groups"
        raise CheckpointError(
            f"{where}: expected weights of the released code for {sizes.visual} visual and {sizes.acoustic} acoustic "
            f"dimensions, {sizes.latent} latent ones{groups}; {'; '.join(problems)}. "
            "Use the weights that belong to the data."
        )
    return {entry.ours: state[name] for name, entry in entries.items() if entry.ours is not None}


def _first(problems: list[str], most: int = 3) -> str:
    more = f" (and {len(problems) - most} more like it)" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more
