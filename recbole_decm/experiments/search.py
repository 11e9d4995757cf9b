"""Search over hyper-parameters on validation data: an Optuna study in a journal file that processes share.

A trial draws its values from a generator seeded by the search's seed and the trial's number, so that a search that runs
one trial at a time gives the same values however often it is stopped and continued. The first trial is the model's own
defaults, as far as the space holds them.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from recbole_decm.config.config import DecCMConfig
from recbole_decm.experiments.cells import ResolvedCell
from recbole_decm.experiments.jobs import Task
from recbole_decm.io.write import write_text

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

    def open(self, bigger: bool) -> optuna.Study:
        """Open the study, created where it is not there yet.

        Args:
            bigger: whether a bigger score is better.
        """
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            study_name=self.study,
            storage=JournalStorage(JournalFileBackend(str(self.journal))),
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
    running = [trial for trial in opened.trials if trial.state == TrialState.RUNNING]
    interrupt(opened, [trial.number for trial in running if not _alive(trial.user_attrs)])
    return opened


def interrupt(opened: optuna.Study, trials: Sequence[int]) -> None:
    """Close trials that no process works at any more; they do not count against the budget."""
    for number in trials:
        opened.tell(number, state=TrialState.FAIL)
    if trials:
        opened.set_user_attr(_INTERRUPTED, [*opened.user_attrs.get(_INTERRUPTED, []), *trials])


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


def best_of(opened: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The best trial, the earliest of those that tie; None where none has a score."""
    done = [trial for trial in opened.trials if trial.state == TrialState.COMPLETE]
    if not done:
        return None
    sign = -1 if opened.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    return min(done, key=lambda trial: (sign * float(trial.value or 0.0), trial.number))


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


class Searching:
    """A search at work: its trials as tasks, and what they found.

    Args:
        name: of its tasks.
        cell: what a trial trains, with other values for the keys of the space.
        place: the folder for the trials' folders.
        on_trial: told the error of each trial as it ends, or None.
        at_a_time: how many trials may run at a time.
    """

    def __init__(
        self,
        name: str,
        study: Study,
        cell: ResolvedCell,
        place: Path,
        on_trial: Callable[[str | None], None],
        at_a_time: int = 1,
    ):
        self.name, self.study, self.cell, self.opened = name, study, cell, start(study, cell.config)
        self._place, self._on_trial, self._at_a_time = place, on_trial, at_a_time
        self._running: dict[int, optuna.Trial] = {}
        self._error: str | None = None

    def close(self) -> None:
        """Close the trials that it did not see the end of."""
        interrupt(self.opened, list(self._running))

    @property
    def left(self) -> int:
        """Trials still to be started."""
        return max(0, self.study.trials - sum(used_trials(self.opened)))

    def task(self) -> Task | None:
        """The next trial, where one more may run."""
        if len(self._running) >= self._at_a_time or not self.left:
            return None
        trial = self.opened.ask()
        self.opened.sampler = self.study.sampler(trial.number)
        trial.set_user_attr("host", socket.gethostname())
        trial.set_user_attr("pid", os.getpid())
        chosen = {name: draw(trial, name, choices) for name, choices in self.study.space.items()}
        self._running[trial.number] = trial
        place = self._place / f"{self.study.journal.stem}-{trial.number}"
        job = self.cell.job(place, {}, tested=False, **chosen)
        return Task(self.name, place, job, lambda error: self._ended(trial.number, place, error))

    def _ended(self, number: int, place: Path, error: str | None) -> None:
        metric, score = self.cell.config["valid_metric"], math.nan
        if error is None:
            content = json.loads((place / "cell.json").read_text(encoding="utf-8"))
            score = content["metrics"]["valid"].get(metric.lower(), math.nan)
            if not math.isfinite(score):
                error = f"{metric}: expected a number, found {score}."
        trial = self._running.pop(number)
        if error is None:
            self.opened.tell(trial, score)
        else:
            trial.set_user_attr("error", error)
            self.opened.tell(trial, state=TrialState.FAIL)
        shutil.rmtree(place, ignore_errors=True)
        self._error = error
        self._on_trial(error)

    def found(self) -> tuple[dict | None, str]:
        """The best values, or None; and why there are none. Writes what was tried beside the journal."""
        path = self.study.journal.with_suffix(".json")
        write_text(path, json.dumps(summary(self.opened), indent=2) + "\n")
        best = best_of(self.opened)
        why = f"The search found no values: none of {self.study.trials} trials had a score ({self._error or path})."
        return (None if best is None else dict(best.params)), why
