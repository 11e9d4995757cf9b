"""The teacher stage: train, cache and load the PGC teacher, and compute its posteriors once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.features import joined
from recbole_decm.data.inputs import ModelInputs, feature_fields
from recbole_decm.errors import CheckpointError, ConfigError
from recbole_decm.io.digest import of_values
from recbole_decm.io.version import __version__
from recbole_decm.io.write import scratch_folder
from recbole_decm.model.cmvae import DecCMTeacher
from recbole_decm.model.decm import DecCM
from recbole_decm.model.distillation import ProfessionalPairs
from recbole_decm.model.settings import MatcherSettings
from recbole_decm.model.teachers import ComputedPosteriors, TeacherBeside
from recbole_decm.model.towers import encoder_shapes
from recbole_decm.training.checkpoint import fitting, load_weights, read_checkpoint, write_checkpoint
from recbole_decm.training.features import require_made_alike
from recbole_decm.training.provenance import data_digest


def _professional_folder(config: DecCMConfig) -> Path:
    return Path(config["data_path"]).parent / f"{config['dataset']}-pgc"


def teacher_config(config: DecCMConfig) -> DecCMConfig:
    """The config of the teacher that belongs to a student's config.

    Raises:
        ConfigError: there is no ``<dataset>-pgc``; the message names the three choices.
    """
    folder = _professional_folder(config)
    if not folder.is_dir():
        raise ConfigError(
            f"teacher: auto needs professional pairs in {folder}, found no such folder. Choose: put the PGC data "
            "set there; --teacher=PATH to load a trained DecCMTeacher; or --teacher=none to train without a teacher."
        )
    own = config["teacher_config"] or {}
    shared = {key: config[key] for key in sorted(having(Role.TEACHER))}
    return DecCMConfig("DecCMTeacher", folder.name, config_dict={**shared, **own, "data_path": str(folder.parent)})


def fingerprint(config: DecCMConfig) -> str:
    """A key made of the package version, a config and the content of its data set's files."""
    return of_values([__version__, _values(config.plain()), data_digest(config)])


def _values(config: dict) -> dict:
    """The values that a teacher depends on, of a config or of a checkpoint's."""
    return {key: value for key, value in config.items() if key not in having(Role.PLACE) | {"checkpoint"}}


def find(config: DecCMConfig, fit: Callable[[DecCMConfig], Any]) -> Path | None:
    """The checkpoint of the teacher a student's config asks for; None for ``teacher: none``.

    ``auto`` trains :class:`DecCMTeacher` on ``<dataset>-pgc`` unless one of the same config and data is cached in
    ``teacher_dir``. Of several processes that ask for the same teacher, one trains it and the others wait; the system
    frees the lock of a process that dies.

    Args:
        fit: trains a config, as :func:`recbole_decm.training.run.fit` does.
    """
    choice = config["teacher"]
    if choice is None or choice == "none":
        return None
    if choice != "auto":
        path = Path(str(choice))
        if not path.is_file():
            raise ConfigError(
                f"teacher: expected auto, none or a checkpoint of DecCMTeacher, found '{choice}', which is no file."
            )
        return path
    teacher = teacher_config(config)
    path = cached_path(config, teacher)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file() and _values(read_checkpoint(path)["config"]) == _values(teacher.plain()):
            getLogger().info(f"Teacher: using {path}")
        else:
            _train(teacher, path, fit)
    return path


def folder_of(config: DecCMConfig) -> Path:
    """The folder of the teachers that a config finds and leaves."""
    return Path(config["teacher_dir"] or Path(config["checkpoint_dir"]) / "teachers")


def cached_path(config: DecCMConfig, teacher: DecCMConfig) -> Path:
    """Where the teacher of a student's config is kept."""
    return folder_of(config) / f"{teacher['dataset']}-{fingerprint(teacher)}.pth"


def _train(config: DecCMConfig, path: Path, fit: Callable[[DecCMConfig], Any]) -> None:
    getLogger().info(f"Teacher: training DecCMTeacher on {config['dataset']}, to be kept as {path}")
    place = config["checkpoint_dir"]
    with scratch_folder(path.parent) as folder:
        config["checkpoint_dir"] = str(folder)
        try:
            trained = fit(config)
        except KeyboardInterrupt as stop:
            stop.args = ("the teacher was not finished: nothing is kept",)
            raise
        content = read_checkpoint(trained.trainer.saved_model_file)
    content = {key: value for key, value in content.items() if key not in ("format", "format_version", "training")}
    content["config"]["checkpoint_dir"] = place
    write_checkpoint(path, {**content, "valid": dict(trained.valid_result or {})})


def attach(model: DecCM, config: DecCMConfig, path: Path) -> None:
    """Load a teacher and give it to the student: as posteriors computed once, or beside it where features are on disk.

    Raises:
        CheckpointError: another model, or dimensions that are not the student's.
    """
    content = read_checkpoint(path, model.device)
    if content["model"] not in ("DecCMTeacher", "CMVAE"):
        raise CheckpointError(
            f"{path}: expected a teacher (DecCMTeacher or CMVAE), found a checkpoint of {content['model']}."
        )
    require_made_alike(content, config)
    weights = content["state_dict"]
    student = {}
    for name, side in (("visual", model.visual), ("acoustic", model.acoustic)):
        shapes = encoder_shapes(weights, name)
        if not shapes:
            raise CheckpointError(f"{path}: expected the weights of a teacher, found none called encoders.{name}.*")
        student[name] = (_dims(matrix.dim for matrix in side.fields.values()), _dims(shape[1] for shape in shapes))
    student["latent"] = (f"{model.settings.latent_dimension}", f"{shapes[0][0]}")
    for name, (expected, found) in student.items():
        if expected != found:
            raise CheckpointError(
                f"{path}: expected a teacher of {expected} {name} dimensions, as the student has, found {found}. "
                "Train the teacher on features of the same kind and with the same latent_dimension."
            )
    view = teacher_view(model, content["config"], weights, path)
    way = TeacherBeside if config["feature_residency"] == "disk" else ComputedPosteriors
    model.attach_teacher(way(view))


def _dims(numbers: Iterable[int]) -> str:
    return " + ".join(map(str, numbers))


def attach_professional(model: DecCM, config: DecCMConfig, path: Path) -> None:
    """Give the student the training pairs of ``<dataset>-pgc``, and the teacher's posteriors of them.

    Raises:
        ConfigError: there is no ``<dataset>-pgc``.
        CheckpointError: its features are of other dimensions than the student's.
    """
    folder = _professional_folder(config)
    if not folder.is_dir():
        raise ConfigError(f"distillation_weight: expected 0, or professional pairs in {folder}, found no such folder.")
    dataset = DecCMDataset(teacher_config(config))
    visual, acoustic = (joined({f: dataset.features[f] for f in fields}) for fields in feature_fields(dataset.config))
    for name, matrix in (("visual", visual), ("acoustic", acoustic)):
        if matrix.dim != getattr(model, name).dim:
            raise CheckpointError(
                f"{dataset.dataset_path}: expected {getattr(model, name).dim} {name} dimensions, as the student has, "
                f"found {matrix.dim}."
            )
    content = read_checkpoint(path, model.device)
    require_made_alike(content, dataset.config)
    inputs = ModelInputs.of_features(visual, acoustic)
    teacher = _teacher(inputs, content["config"], content["state_dict"], model.device, torch.float32, path)
    with torch.no_grad():
        posteriors = (teacher.posteriors("visual"), teacher.posteriors("acoustic"))
    pairs = dataset.build()[0].inter_feat
    ids = (pairs[config["USER_ID_FIELD"]], pairs[config["ITEM_ID_FIELD"]])
    model.attach_professional(ProfessionalPairs(visual, acoustic, *ids, posteriors, config["seed"]))


def teacher_view(student: DecCM, config: dict, weights: dict[str, torch.Tensor], path: Path | str) -> DecCMTeacher:
    """A teacher network with given weights that looks at the student's features, in evaluation mode.

    Raises:
        CheckpointError: the weights are not those of a teacher of these dimensions.
    """
    inputs = ModelInputs.of_features(student.visual, student.acoustic)
    return _teacher(inputs, config, weights, student.device, next(student.parameters()).dtype, path)


def _teacher(
    inputs: ModelInputs,
    config: dict,
    weights: dict[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    path: Path | str,
) -> DecCMTeacher:
    with fitting(path, "config"):
        settings = MatcherSettings.from_config(config)
    teacher = DecCMTeacher(settings, inputs, device).to(dtype)
    load_weights(teacher, weights, path)
    return teacher.to(device).eval()
