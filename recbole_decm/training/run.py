"""The one place where config, data, model and trainer meet. RecBole's quick_start without ray."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import Any

import colorama
import colorlog
import numpy as np
from recbole.utils import get_local_time, init_seed, set_color
from recbole.utils.logger import RemoveColorFilter, log_colors_config

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.refusals import check_values, slow_with
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import RankingLoader, Splits, prepare_data
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.digest import of_files, of_values
from recbole_decm.io.weights import of_tensors
from recbole_decm.io.write import make_folder, take, write_text
from recbole_decm.model.settings import lack_of_negatives
from recbole_decm.parallel import group, launch
from recbole_decm.parallel.processes import launched, started_by_launcher
from recbole_decm.training import protocol, teacher
from recbole_decm.training.cold_warm import RESOURCES, cold_and_warm
from recbole_decm.training.estimates import RESULTS, estimates, weigh_choices
from recbole_decm.training.failures import naming_model
from recbole_decm.training.numbering import numbering
from recbole_decm.training.processes import check, check_batches
from recbole_decm.training.provenance import provenance, values_to_run_again
from recbole_decm.training.trainers import trainer_class

RESULT_FORMAT = 1
"""Of the JSON in ``result_file``: keys may be added; a change of their meaning is another format."""


@dataclass
class Trained:
    """A model after training, and what a report needs of the run."""

    config: DecCMConfig
    model: Any
    trainer: Any
    splits: Splits
    valid_score: float
    valid_result: dict | None
    extra_results: dict[str, dict[str, float]] = field(default_factory=dict)
    cold_warm: dict[str, dict] = field(default_factory=dict)  # of the test sets that have tracks of both kinds
    estimates: dict[str, Any] = field(default_factory=dict)  # beside the estimated metrics of the test split
    seconds: dict[str, float] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # of the config, to run again


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note the seconds that the block takes under a name."""
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 3)


def start_logging(config: DecCMConfig) -> None:
    """RecBole's log on screen and in ``log/``; a second run in one process gets a file of its own."""
    for handler in getLogger().handlers[:]:
        if type(handler) in (logging.StreamHandler, logging.FileHandler):
            getLogger().removeHandler(handler)
            handler.close()
    if config.share.rank:
        logging.basicConfig(level=logging.ERROR)
    else:
        make_folder(Path("log", config["model"]), "log")
        _log_to_screen_and_file(config)
    for noisy in ("matplotlib", "PIL", "h5py"):
        getLogger(noisy).setLevel(logging.WARNING)


def _log_to_screen_and_file(config: DecCMConfig) -> None:
    """RecBole's ``init_logger``, which gives two runs of one config that start in one second the same file."""
    stem = f"{config['model']}-{config['dataset']}-{get_local_time()}-{of_values(config.plain())[:6]}"
    file = logging.FileHandler(take(Path("log", config["model"]), stem, ".log"))
    file.setFormatter(logging.Formatter("%(asctime)-15s %(levelname)s  %(message)s", "%a %d %b %Y %H:%M:%S"))
    file.addFilter(RemoveColorFilter())
    colorama.init(autoreset=True)
    screen = logging.StreamHandler()
    form = "%(log_color)s%(asctime)-15s %(levelname)s  %(message)s"
    screen.setFormatter(colorlog.ColoredFormatter(form, "%d %b %H:%M", log_colors=log_colors_config))
    logging.basicConfig(level=(config["state"] or "info").upper(), handlers=[screen, file])


def load(config: DecCMConfig) -> Splits:
    """The data of a config, split, with their loaders."""
    if config.processes.total > 1 and config.share.size == 1:
        raise ConfigError("nproc, world_size: several processes are for run_recbole.py and recbole-decm run alone.")
    init_seed(config["seed"], config["reproducibility"])
    dataset = DecCMDataset(config)
    getLogger().info(dataset)
    splits = prepare_data(config, dataset)
    if lack := lack_of_knowledge(config, splits):
        getLogger().warning(lack)
    if config.needs.choices:
        weigh_choices(config, splits)
    return splits


def lack_of_knowledge(config: DecCMConfig, splits: Splits) -> str | None:
    """What a model that knows videos by their ids alone cannot tell of the videos that are ranked; None for others."""
    if config.needs.content or config.needs.context:
        return None
    loader = splits.test or splits.valid
    trained = splits.dataset.inter_feat[splits.dataset.uid_field].numpy()
    unseen = int((~np.isin(loader.users, trained)).sum())
    if not unseen:
        return None
    return (
        f"{config['model']} knows videos by their ids alone, and {unseen} of the {len(loader.users)} "
        f"{'test' if splits.test else 'validation'} videos have no training pair: their lists hold nothing about them "
        "(at chance, or the same for all)."
    )


def build(config: DecCMConfig, splits: Splits | None = None) -> tuple[Any, Splits]:
    """The untrained model of a config, and its data.

    Args:
        splits: of :func:`load`, where the data are loaded already.
    """
    splits = load(config) if splits is None else splits
    init_seed(config["seed"], config["reproducibility"])  # so that a model does not depend on how its data were loaded
    model = make_model(config, splits.dataset).to(config["device"])
    getLogger().info(model)
    for name in getattr(model, "standardised_features", ()):
        getLogger().info(
            f"{name}: the features are far from unit scale, so they are standardised by their training mean and "
            "deviation, which the checkpoint keeps (standardize_features)."
        )
    return model, splits


def make_model(config: DecCMConfig, dataset: DecCMDataset) -> Any:
    """The model of a config: ours from typed settings and numbers, any other as RecBole builds it.

    Args:
        dataset: built, the training split.
    """
    kind = config.model_class
    if not hasattr(kind, "settings_class"):
        check_values(config["model"], config, dataset.user_num, dataset.item_num, dataset.inter_num)
        with naming_model(config):
            model = kind(config, dataset)
        model.numbering = numbering(config, dataset)
        return model
    return kind(kind.settings_class.from_config(config), dataset.model_inputs(), config["device"])


def fit(config: DecCMConfig, saved: bool = True, splits: Splits | None = None) -> Trained:
    """Train the model of a config: data, protocol and teacher where the model has them, then RecBole's training loop.

    Args:
        saved: write a checkpoint.
        splits: of :func:`load`, or other rows of the same data set.
    """
    seconds: dict[str, float] = {}
    if splits is None:
        with timed(seconds, "load"):
            splits = load(config)
    choice = None
    if protocol.to_choose(config):
        with timed(seconds, "protocol"):
            choice = group.first_alone(config.share, partial(protocol.find, config, splits, fit))
            config, splits = protocol.taken(config, choice, splits, load)
    values = values_to_run_again(config)
    if slow := slow_with(config):
        getLogger().warning(slow)
    if not len(splits.train) and not getattr(config.model_class, "fitted_once", False):
        raise DataError(
            f"{splits.dataset.dataset_path}: expected at least 2 training pairs, which are each other's negatives, "
            f"found {len(splits.dataset)}."
        )
    model, _ = build(config, splits)
    check_batches(len(splits.train), config.share.size)
    _ = splits.extra  # read now: an error after training is late
    if lack := lack_of_negatives(config):
        getLogger().warning(f"{lack} Every other pair of a batch is a negative.")
    path: Path | None = None
    if getattr(model, "takes_teacher", False):
        with timed(seconds, "teacher"):
            path = group.first_alone(config.share, lambda: find_or_train_teacher(config))
            if path is not None:
                teacher.attach(model, config, path)
                if model.settings.distillation_weight > 0:
                    teacher.attach_professional(model, config, path)
        # A cached teacher and a fresh one lead to the same student.
        init_seed(config["seed"], config["reproducibility"])
    trainer = trainer_class(config)(config, model)
    if config["checkpoint"]:
        trainer.resume_checkpoint(config["checkpoint"])
    if not config.share.rank:
        trainer.provenance = provenance(config)
        read = {"teacher": path, "checkpoint": config["checkpoint"]}
        trainer.provenance["digests"] |= {name: of_files([Path(file)]) for name, file in read.items() if file}
        trainer.provenance |= {"protocol": asdict(choice)} if choice is not None else {}
    with timed(seconds, "train"):
        score, result = trainer.fit(splits.train, splits.valid, saved=saved, show_progress=config["show_progress"])
    return Trained(config, model, trainer, splits, float(score), plain_metrics(result), seconds=seconds, values=values)


def find_or_train_teacher(config: DecCMConfig) -> Path | None:
    """The teacher's checkpoint that a student's config asks for; see :func:`recbole_decm.training.teacher.find`."""
    return teacher.find(config, fit)


def plain_metrics(result: dict | None) -> dict[str, float] | None:
    """Metric values as Python floats, keyed as RecBole prints them (``recall@10``)."""
    return None if result is None else {name: float(value) for name, value in result.items()}


def run(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str | Path] | None = None,
    config_dict: dict | None = None,
    saved: bool = True,
    arguments: Sequence[str] = (),
) -> dict:
    """Train and test a model, ours or RecBole's, on a data set.

    Args:
        model: model name, such as ``DecCM`` or ``BPR``.
        dataset: data set name, such as ``sim``.
        config_file_list: YAML files; later ones win.
        config_dict: values above the files.
        saved: write a checkpoint; the test then uses the best epoch, otherwise the last.
        arguments: ``--key=value`` command-line arguments, above everything else.

    Returns:
        RecBole's ``{"best_valid_score", "valid_score_bigger", "best_valid_result", "test_result"}``, and
        ``test_<name>_result`` for each test set of ``extra_tests``; ``cold_warm`` where test pairs have tracks with and
        without training pairs (:mod:`recbole_decm.training.cold_warm`).

    Raises:
        DecCMError: bad config, data or checkpoint.
    """
    given = (model, dataset, config_file_list, dict(config_dict or {}), saved, tuple(arguments))
    config = DecCMConfig(*given[:4], arguments)
    cuda = config["device"].type == "cuda"
    if started_by_launcher():
        processes, local_rank = launched(config.final_config_dict)
        check(processes, config)
        with group.joined(processes, local_rank, group.launcher_store(), cuda):
            return _run_as(local_rank, *given)
    if config.processes.total > 1:
        check(config.processes, config)
        return launch.in_processes(_run_as, given, config.processes, cuda)
    return _run_once(config, saved)


def _run_as(
    local_rank: int,
    model: str | None,
    dataset: str | None,
    files: Sequence[str | Path] | None,
    config_dict: dict,
    saved: bool,
    arguments: Sequence[str],
) -> dict:
    """What each of several processes runs."""
    config = DecCMConfig(model, dataset, files, config_dict | {"local_rank": local_rank}, arguments)
    return _run_once(config, saved)


def _run_once(config: DecCMConfig, saved: bool) -> dict:
    trained, test = run_config(config, saved)
    return {
        "best_valid_score": trained.valid_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": trained.valid_result,
        "test_result": test,
        **{f"{name}_result": metrics for name, metrics in trained.extra_results.items()},
        **({"cold_warm": trained.cold_warm} if trained.cold_warm else {}),
        **trained.estimates,
    }


def run_config(config: DecCMConfig, saved: bool = True) -> tuple[Trained, dict[str, float] | None]:
    """Train and test the model of a config, and write ``result_file`` where it is set.

    Returns:
        (what was trained, test metrics or None where the data set has no test split).
    """
    start_run(config)
    trained = fit(config, saved)
    found = {name: metrics for name, _, metrics in evaluations(trained, saved)}
    end_run(trained, found, saved)
    return trained, found.get("test")


def start_run(config: DecCMConfig) -> None:
    """Refuse a ``result_file`` that cannot be written, and begin the log."""
    result_path(config)
    start_logging(config)
    getLogger().info(config)
    for line in config.without_effect():
        getLogger().warning(line)


def evaluations(trained: Trained, saved: bool = True) -> Iterator[tuple[str, RankingLoader, dict[str, float]]]:
    """Evaluate on the test set, where there is one, and on the extra ones: (name, loader, metrics) of each.

    Args:
        saved: test the best epoch, from the checkpoint that training wrote, instead of the last one.
    """
    shown = {"load_best_model": saved, "show_progress": trained.config["show_progress"]}
    with timed(trained.seconds, "test"):
        trained.trainer.eval_collector.keep(*RESOURCES)
        for name, loader in test_loaders(trained.splits).items():
            metrics = plain_metrics(trained.trainer.evaluate(loader, **shown)) or {}
            if trained.config.share.rank == 0:
                kinds = cold_and_warm(trained.config, trained.trainer.eval_collector.kept, loader)
                trained.cold_warm |= {name: kinds} if kinds else {}
                trained.estimates |= estimates(trained.config, trained.trainer.eval_collector.kept, loader)
            yield name, loader, metrics


def test_loaders(splits: Splits) -> dict[str, RankingLoader]:
    """The test split, where there is one, and the sets of ``extra_tests``, by the names that results have."""
    tests = {"test": splits.test} if splits.test is not None else {}
    return tests | {f"test_{name}": loader for name, loader in splits.extra.items()}


def end_run(trained: Trained, metrics: dict[str, dict[str, float]], saved: bool = True) -> None:
    """Tell the log what :func:`evaluations` found, and write it into ``result_file`` where that is set."""
    config, test = trained.config, metrics.get("test")
    trained.extra_results = {name: found for name, found in metrics.items() if name != "test"}
    results = {"best valid ": trained.valid_result, "test result": test, **trained.extra_results}
    for name, kinds in trained.cold_warm.items():
        results |= {f"{name}, {kind} tracks": found for kind, found in kinds.items()}
    results |= {name.replace("_", " "): found for name, found in trained.estimates.items()}
    for name, found in results.items():
        getLogger().info(set_color(name, "yellow") + f": {found}")
    if result_file := result_path(config):
        checkpoint = trained.trainer.saved_model_file if saved else None
        result: dict[str, Any] = {
            "valid": trained.valid_result,
            "test": test,
            "seconds": trained.seconds,
            "checkpoint": checkpoint,
        }
        result |= {"epochs": len(trained.trainer.train_loss_dict), "train_pairs": len(trained.splits.dataset)}
        result |= trained.extra_results | trained.trainer.provenance | {"config": trained.values}
        result["digests"] |= {"weights": of_tensors(trained.model.state_dict())}
        result |= {"cold_warm": trained.cold_warm} | trained.estimates
        write_result(result_file, config, result)


def result_path(config: DecCMConfig) -> Path | None:
    """``result_file`` of a config, refused before any work where it cannot be written."""
    path = config["result_file"]
    if path and Path(str(path)).is_dir():
        raise ConfigError(f"result_file: expected a path for a JSON file, found the folder {path}.")
    return Path(str(path)) if path else None


def write_result(path: Path, config: DecCMConfig, result: dict) -> None:
    """Write the results of a run as JSON, whole or not at all, with the keys that readers rely on."""
    names = {key: config[key] for key in ("model", "dataset", "seed")}
    seconds = {"load": 0.0, "teacher": 0.0, "train": 0.0, "test": 0.0} | result["seconds"]
    order = ("valid", "test", *(key for key in result if key.startswith("test_")))
    order += tuple(key for key in ("cold_warm", "protocol") if result.get(key))
    order += tuple(key for key in RESULTS if key in result)
    order += ("seconds", "epochs", "train_pairs", "checkpoint", "versions", "digests", "config")
    content = {"format_version": RESULT_FORMAT} | names | {key: result[key] for key in order} | {"seconds": seconds}
    write_text(path, json.dumps(content, indent=2) + "\n")
