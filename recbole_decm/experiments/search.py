"""Search over hyper-parameters on validation data: an Optuna study in a journal file that processes share.

A trial draws its values from a generator seeded by the search's seed and the trial's number, so that a search that runs
one trial at a time gives the same values however often it is stopped and continued. The first trial is the model's own
defaults, as far as the space holds them.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json, json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from recbole_decm.config.config import DecCMConfig
from recbole_decm.training.run import fit, start_logging

optuna.logging.set_verbosity(optuna.logging.WARNING)
_INTERRUPTED = "interrupted"
RANDOM_TRIALS = 4
"""Scores that TPE sees before it takes over from random draws; Optuna's 10 would leave it out of short searches."""


@dataclass(frozen=True)
class Study:
    """Where a search is kept, and what it may choose.

    Attributes:
        journal: the file; study: name in it, which stands for config, data, code and space.
        trials: how many the search has in all; seed: of the search and of every trial's training.
    """

    journal: Path
    study: str
    space: Mapping[str, BaseDistribution]
    trials: int
    seed: int

    def open(self, bigger: bool | None = None) -> optuna.Study:
        """Open the study.

        Args:
            bigger: whether a bigger score is better; with it the study is created where it is not there yet.
        """
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(self.journal)))
        if bigger is None:
            return optuna.load_study(study_name=self.study, storage=storage)
        return optuna.create_study(
            study_name=self.study,
            storage=storage,
            direction="maximize" if bigger else "minimize",
            load_if_exists=True,
        )

    def sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """The sampler of a trial, whatever the number of trials to come, so that a search can be made longer."""
        return optuna.samplers.TPESampler(seed=self.seed * 100_003 + number, n_startup_trials=RANDOM_TRIALS)


def start(study: Study, config: DecCMConfig) -> optuna.Study:
    """Create or open a study: defaults first, trials of processes that are gone closed.

    Args:
        config: the model's, from which the first trial takes its values.
    """
    opened = study.open(bool(config["valid_metric_bigger"]))
    defaults = {name: config[name] for name, values in study.space.items() if holds(values, config[name])}
    if defaults and not opened.trials:
        opened.enqueue_trial(defaults, skip_if_exists=True)
    gone = [
        trial.number for trial in opened.trials if trial.state == TrialState.RUNNING and not _alive(trial.user_attrs)
    ]
    for number in gone:
        opened.tell(number, state=TrialState.FAIL)
    if gone:
        opened.set_user_attr(_INTERRUPTED, [*opened.user_attrs.get(_INTERRUPTED, []), *gone])
    return opened


def holds(values: BaseDistribution, value: object) -> bool:
    """Whether a value is one that a search could choose.

    Examples:
        >>> holds(optuna.distributions.FloatDistribution(0.1, 1.0), 0.5)
        True
    """
    if isinstance(values, CategoricalDistribution):
        return any(type(value) is type(choice) and value == choice for choice in values.choices)
    kinds = (int,) if isinstance(values, optuna.distributions.IntDistribution) else (int, float)
    return type(value) in kinds and values.low <= value <= values.high  # type: ignore[attr-defined]


def draw(trial: optuna.Trial, name: str, values: BaseDistribution) -> Any:
    """Ask a trial for a value."""
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(name, values.choices)
    whole = isinstance(values, optuna.distributions.IntDistribution)
    ask: Any = trial.suggest_int if whole else trial.suggest_float
    return ask(name, values.low, values.high, log=values.log)  # type: ignore[attr-defined]


def _alive(attributes: Mapping[str, Any]) -> bool:
    """Whether the process of a trial may still be at work; that of another machine is taken to be."""
    if attributes.get("host", socket.gethostname()) != socket.gethostname():
        return True
    try:
        os.kill(attributes.get("pid", 0) or 2**22 + 1, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def used_trials(opened: optuna.Study) -> tuple[int, int]:
    """(finished, running) trials that count against the budget; a failed one counts, an interrupted one does not."""
    interrupted = set(opened.user_attrs.get(_INTERRUPTED, []))
    states = [trial.state for trial in opened.trials if trial.number not in interrupted]
    finished = sum(state in (TrialState.COMPLETE, TrialState.FAIL) for state in states)
    return finished, states.count(TrialState.RUNNING)


def close_trials_of(opened: optuna.Study, job: str, error: str) -> None:
    """Mark the trial of a job that failed as failed; it counts against the budget.

    A job that ended before it had a trial counts as one, too: a search whose processes cannot start comes to an end.
    """
    own = [trial for trial in opened.trials if trial.user_attrs.get("job") == job]
    for trial in own:
        if trial.state == TrialState.RUNNING:
            opened.tell(trial.number, state=TrialState.FAIL)
    if not own:
        lost = opened.ask()
        lost.set_user_attr("job", job)
        lost.set_user_attr("error", error)
        opened.tell(lost, state=TrialState.FAIL)


def best_of(opened: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The best trial, the earliest of those that tie; None where none has a score."""
    done = [trial for trial in opened.trials if trial.state == TrialState.COMPLETE]
    if not done:
        return None
    sign = -1 if opened.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    return min(done, key=lambda trial: (sign * float(trial.value or 0.0), trial.number))


def trial_job(study: Study, model: str, dataset: str, values: dict, job: str) -> dict[str, Any]:
    """A job of :mod:`recbole_decm.experiments.jobs` that runs one trial; ``job`` is the name it can be found by."""
    space = {name: distribution_to_json(choices) for name, choices in study.space.items()}
    kept = {"journal": str(study.journal), "name": study.study, "trials": study.trials, "seed": study.seed}
    kwargs = {"study": {**kept, "space": space}, "model": model, "dataset": dataset, "values": values, "job": job}
    return {"call": f"{__name__}:run_trial_job", "kwargs": kwargs}


def run_trial_job(study: dict[str, Any], model: str, dataset: str, values: dict, job: str) -> None:
    """What :func:`trial_job` calls."""
    space = {name: json_to_distribution(text) for name, text in study["space"].items()}
    opened = Study(Path(study["journal"]), study["name"], space, study["trials"], study["seed"])
    run_trial(opened, model, dataset, values, job)


def run_trial(study: Study, model: str, dataset: str, values: dict, job: str = "") -> None:
    """Train one trial and tell the study its best validation score; test data are not looked at.

    Raises:
        Exception: training failed; the study knows it, with the error.
    """
    opened = study.open()
    trial = opened.ask()
    opened.sampler = study.sampler(trial.number)  # values are drawn below; the number is this process's own
    trial.set_user_attr("host", socket.gethostname())
    trial.set_user_attr("pid", os.getpid())
    trial.set_user_attr("job", job)
    try:
        chosen = {name: draw(trial, name, choices) for name, choices in study.space.items()}
        print(f"Trial {trial.number}: {chosen}", flush=True)
        config = DecCMConfig(model, dataset, config_dict={**values, **chosen, "seed": study.seed})
        start_logging(config)
        score = fit(config, saved=False).valid_score
        if not math.isfinite(score):
            raise ValueError(f"{config['valid_metric']}: expected a number, found {score}.")
    except Exception as error:
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        opened.tell(trial, state=TrialState.FAIL)
        raise
    opened.tell(trial, score)


def summary(opened: optuna.Study) -> list[dict]:
    """Every trial as plain values: number, state, score, the chosen values, and the error where it failed."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "score": trial.value,
            "values": dict(trial.params),
            "error": trial.user_attrs.get("error"),
        }
        for trial in opened.trials
    ]
