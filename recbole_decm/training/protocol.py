"""``protocol: auto``: which named set of values to train with, as training and validation rows alone tell.

Each candidate is trained without the rows of a fold of uploaders and ranks them; the best mean over the folds is taken.
What may be spent is counted in trainings, so every machine compares the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.config.protocols import AUTO, CANDIDATES, DEFAULT, values_of
from recbole_decm.data.loaders import Splits
from recbole_decm.data.nested import FOLDS, NestedRows
from recbole_decm.errors import DivergedError
from recbole_decm.io.digest import of_values
from recbole_decm.io.write import scratch_folder, write_text
from recbole_decm.training import teacher
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.provenance import code_digest, data_digest, file_digests

LEAST_ROWS = 1_000
"""Training and validation rows below which nothing is compared: ndcg@10 of a row has a deviation of about 0.3, so over
fewer rows the difference of two protocols has a standard error of about 0.01, which is what protocols differ by."""
MOST_ROWS = 10_000
"""Those above which nothing is compared: uploads know more than a teacher then, and each training takes long."""
SEED = 2020
"""Of the trainings that are compared, whatever ``seed`` is: all seeds of a run share one choice."""
CUT, LEAST_FOLDS = 10, 2
_NO_PART = {"metrics", "topk", "valid_metric", "extra_tests", "checkpoint", "log_wandb", "wandb_project", "protocol"}
"""Keys beside the places that a choice does not depend on."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        chosen: name of the protocol.
        why: in words.
        scores: by protocol, NDCG of each fold; empty where nothing was compared.
    """

    chosen: str
    why: str
    scores: dict[str, list[float]] = field(default_factory=dict)


def to_choose(config: DecCMConfig) -> bool:
    """Whether a config leaves its protocol to the data."""
    return bool(config.final_config_dict.get("protocol") == AUTO)


def taken(
    config: DecCMConfig, choice: Choice, splits: Splits, load: Callable[[DecCMConfig], Splits]
) -> tuple[DecCMConfig, Splits]:
    """The config with its protocol chosen, and the splits with batches of its size."""
    getLogger().info(f"protocol: auto takes {choice.chosen} ({choice.why}).")
    config = config.again(protocol=choice.chosen)
    return config, splits if choice.chosen == DEFAULT else load(config)


def find(config: DecCMConfig, splits: Splits, fit: Callable[..., Any]) -> Choice:
    """The choice for a config: that of the checkpoint it resumes, a cached one of the same values, data and code, or a
    new one.

    Args:
        splits: of the config; the test is not looked at.
        fit: trains a config on given splits, as :func:`recbole_decm.training.run.fit` does.
    """
    if config["checkpoint"]:
        return _of_checkpoint(config["checkpoint"])
    rows = NestedRows(splits.dataset, splits.valid.dataset)
    candidates = {name: nested_config(config, name, len(rows.pool)) for name in CANDIDATES}
    if reason := nothing_to_compare(config["protocol_fits"], rows, list(candidates.values())):
        return Choice(DEFAULT, reason)
    path = cached_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        choice = _read(path)
        if choice is None:
            choice = chosen_of(_scores(config, candidates, rows, fit))
            write_text(path, json.dumps(asdict(choice), indent=2) + "\n")
    return choice


def nested_config(config: DecCMConfig, name: str, tracks: int) -> DecCMConfig:
    """The config of a training that is compared: the run's, with a protocol, and with the seed and metric of all.

    Args:
        tracks: how many there are to rank.
    """
    cut = min(CUT, tracks)
    values: dict[str, Any] = {"metrics": ["NDCG"], "topk": [cut], "valid_metric": f"NDCG@{cut}", "seed": SEED}
    values |= {"show_progress": False, "log_wandb": False, "result_file": None, "extra_tests": None}
    values |= {"teacher_dir": str(teacher.folder_of(config)), "nproc": 1, "world_size": 1, "local_rank": None}
    return config.again(protocol=name, **values)


def nothing_to_compare(fits: int, rows: NestedRows, candidates: list[DecCMConfig]) -> str:
    """Why the first candidate is taken without a training; empty where they are to be compared."""
    if fits < LEAST_FOLDS * len(candidates):
        return f"protocol_fits is {fits}, less than {LEAST_FOLDS} folds for each of {len(candidates)} protocols"
    if len(rows) < LEAST_ROWS:
        return f"{len(rows):,} training and validation pairs, fewer than {LEAST_ROWS:,}"
    if len(rows) > MOST_ROWS:
        return f"{len(rows):,} training and validation pairs, more than {MOST_ROWS:,}"
    if rows.group_count < FOLDS:
        return f"{rows.group_count} groups of pairs, fewer than {FOLDS}"
    values = [{**one.plain(), "protocol": None} for one in candidates]
    return "given keys leave nothing to choose" if all(one == values[0] for one in values) else ""


def _scores(
    config: DecCMConfig, candidates: dict[str, DecCMConfig], rows: NestedRows, fit: Callable[..., Any]
) -> dict[str, list[float]]:
    """NDCG of each fold that the budget reaches, by candidate, ranked by a training without the fold."""
    count = min(FOLDS, config["protocol_fits"] // len(candidates))
    shown = tqdm(total=count * len(candidates), desc="protocol", unit="training", disable=not config["show_progress"])
    found: dict[str, list[float]] = {}
    with shown, _only_warnings():
        for name, one in candidates.items():
            for splits in rows.folds(one, range(count)):
                with scratch_folder(teacher.folder_of(config)) as folder:
                    one["checkpoint_dir"] = str(folder)
                    found.setdefault(name, []).append(_score(one, splits, fit))
                shown.update()
    return found


def _score(config: DecCMConfig, splits: Splits, fit: Callable[..., Any]) -> float:
    """NDCG under ``inference_prior``, as the run itself will rank: under the preferences of those who chose, what these
    say would count for every protocol alike, and the match for less. A training that diverges ranks nothing: 0."""
    try:
        trained = fit(config, splits=splits)
    except DivergedError as error:
        getLogger().warning(f"protocol: {config['protocol']} counts 0 in a fold. {error}")
        return 0.0
    (value,) = trained.trainer.evaluate(splits.test).values()
    return float(value)


@contextmanager
def _only_warnings() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def chosen_of(scores: dict[str, list[float]]) -> Choice:
    """The best of some protocols by the mean over the folds; of equal ones the first.

    Args:
        scores: of each protocol, of the same folds.

    Examples:
        >>> chosen_of({"default": [0.1, 0.2, 0.3], "other": [0.2, 0.3, 0.5]}).chosen
        'other'
    """
    means = {name: float(np.mean(found)) for name, found in scores.items()}
    said = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
    folds = len(next(iter(scores.values())))
    return Choice(max(means, key=means.__getitem__), f"ndcg of {folds} folds: {said}", scores)


def cached_path(config: DecCMConfig) -> Path:
    """Where the choice of a config is kept: beside its teachers, by values, data and code."""
    values = {key: value for key, value in config.plain().items() if key not in having(Role.PLACE) | _NO_PART}
    if config.ready_made or "LGO" in (config["eval_args"]["split"] or {}):
        del values["seed"]  # which rows there are does not depend on it
    digests: list[Any] = [code_digest(), data_digest(config), file_digests(config), *map(values_of, CANDIDATES)]
    if config["teacher"] == "auto":
        digests.append(data_digest(teacher.teacher_config(config)))
    return teacher.folder_of(config) / f"{config['dataset']}-{of_values([values, *digests])}.protocol.json"


def _read(path: Path) -> Choice | None:
    """A cached choice; None without one, or where the file is not one of ours."""
    try:
        choice = Choice(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return choice if choice.chosen in CANDIDATES else None


def _of_checkpoint(path: Path | str) -> Choice:
    """What the run took that a checkpoint is of."""
    content = read_checkpoint(path)
    name = content["config"].get("protocol", DEFAULT)
    known = content.get("protocol")
    if isinstance(known, dict) and known.get("chosen") == name and isinstance(known.get("why"), str):
        return Choice(str(name), known["why"], known.get("scores") or {})
    return Choice(str(DEFAULT if name == AUTO else name), f"as {path} was trained")
