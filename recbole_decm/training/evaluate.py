"""A checkpoint restored: its config, and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole_decm.config import registry
from recbole_decm.config.config import DecCMConfig, keys_read_by
from recbole_decm.config.keys import Role, having
from recbole_decm.config.protocols import DEFAULT
from recbole_decm.config.values import parse_arguments, read_config_files, read_yaml, take_config_files
from recbole_decm.errors import ConfigError
from recbole_decm.io.digest import of_files
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.cold_warm import RESOURCES, cold_and_warm
from recbole_decm.training.estimates import estimates
from recbole_decm.training.features import require_made_alike
from recbole_decm.training.provenance import provenance, values_to_run_again
from recbole_decm.training.run import build, load, plain_metrics, result_path, test_loaders, timed, write_result
from recbole_decm.training.trainers import trainer_class


def restored_config(content: dict, arguments: Sequence[str] = ()) -> DecCMConfig:
    """The config that evaluates a checkpoint.

    Args:
        content: of :func:`~recbole_decm.training.checkpoint.read_checkpoint`.
        arguments: ``--key=value``, above the values the checkpoint was trained with.

    Raises:
        DataError: the features of its data set were made in another way than the checkpoint's.
    """
    given = parse_arguments(list(arguments))
    files = read_config_files(take_config_files(given))
    asked = {**files, **given}
    dataset = given.get("dataset", content["dataset"])
    data_path = str(Path(content["config"]["data_path"]).parent)
    model = _model_of(content, asked.get("model"))
    kept = having(Role.EVALUATION) | _model_keys(model)
    if dataset == content["dataset"]:
        kept |= having(Role.DATA)
    values = {key: value for key, value in content["config"].items() if key in kept}
    values |= {"protocol": DEFAULT} if "protocol" in kept and "protocol" not in values else {}  # there was none then
    other = sorted(key for key, value in asked.items() if key in values and values[key] != value)
    if other:
        changes = ", ".join(f"{key} ({values[key]} -> {asked[key]})" for key in other)
        getLogger().warning(f"Other values than the checkpoint was trained with: {changes}")
    values |= {"checkpoint": None, "result_file": None} | files
    values |= {"data_path": data_path} if (Path(data_path) / dataset).is_dir() else {}
    config = DecCMConfig(model, dataset, config_dict=values, arguments=arguments)
    config.genres = tuple(content.get("genres") or ())
    require_made_alike(content, config)
    return config


def evaluate(checkpoint: Path | str, arguments: Sequence[str] = ()) -> dict:
    """Metrics of a checkpoint, on the data set it was trained on or on another of the same features.

    Args:
        checkpoint: a checkpoint of this package, of any model.
        arguments: ``--key=value``, above the values the checkpoint was trained with.

    Returns:
        ``{"model", "dataset", "valid", "test"}`` with metrics by name; test is None without a test split. Each test
        set of ``extra_tests`` adds ``test_<name>``; ``cold_warm`` is there where test pairs have tracks with and
        without training pairs (:mod:`recbole_decm.training.cold_warm`). Estimated metrics add
        what :func:`~recbole_decm.training.estimates.estimates` returns.
    """
    content = read_checkpoint(checkpoint)
    config = restored_config(content, arguments)
    result_file, values = result_path(config), values_to_run_again(config)
    seconds: dict[str, float] = {}
    with timed(seconds, "load"):
        splits = load(config)
    model, _ = build(config, splits)
    trainer = trainer_class(config)(config, model)
    trainer.eval_collector.data_collect(splits.train)
    shown = {"model_file": checkpoint, "show_progress": config["show_progress"]}
    with timed(seconds, "test"):
        with trainer.choosing_epoch():
            valid = plain_metrics(trainer.evaluate(splits.valid, **shown))
        trainer.eval_collector.keep(*RESOURCES)
        extra: dict[str, Any] = {"test": None}
        kinds: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for name, loader in test_loaders(splits).items():
            extra[name] = plain_metrics(trainer.evaluate(loader, **shown))
            if split := cold_and_warm(config, trainer.eval_collector.kept, loader):
                kinds[name] = split
            found |= estimates(config, trainer.eval_collector.kept, loader)
    test = extra.pop("test")
    extra |= ({"cold_warm": kinds} if kinds else {}) | found
    if result_file:
        made_from = provenance(config)
        made_from["digests"] |= {"checkpoint": of_files([Path(checkpoint)])}
        result = extra | made_from | {"config": values, "valid": valid, "test": test, "seconds": seconds}
        result |= {"checkpoint": str(checkpoint), "epochs": content["epoch"] + 1, "train_pairs": len(splits.dataset)}
        write_result(result_file, config, result)
    return {"model": content["model"], "dataset": config["dataset"], "valid": valid, "test": test, **extra}


def _model_of(content: dict, named: str | None) -> str:
    """The name of a checkpoint's model; one outside this package has to be named, since its code will be run."""
    saved = content["model"]
    if named is not None and named != saved:
        raise ConfigError(f"model: expected {saved}, whose checkpoint it is, found {named}.")
    if named is None and registry.is_outside(saved):
        raise ConfigError(
            f"model: expected --model={saved} beside this checkpoint, found none. The class is not of this package or "
            "RecBole; it is imported, and its code run, only if you name it."
        )
    return saved


def _model_keys(model: str) -> set[str]:
    """Keys of a model's YAML files, less the one that RecBole fills in with values it would refuse as input."""
    kind = registry.model_class(model)
    keys = {key for file in registry.settings_files(model, kind) for key in read_yaml(file)}
    if registry.is_outside(model):
        keys |= keys_read_by(kind) - having(Role.RUN | Role.PLACE | Role.FREE)
    return keys - {"train_neg_sample_args"}
