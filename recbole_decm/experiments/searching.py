"""Searches as part of a run: trials as tasks, and the cells that wait for what they find."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from recbole_decm.experiments import folder, search
from recbole_decm.experiments.cells import ResolvedCell
from recbole_decm.experiments.jobs import Task
from recbole_decm.experiments.spec import Search, distributions_of, slug
from recbole_decm.io.digest import of_texts
from recbole_decm.io.write import write_text


class Searching:
    """The search of one model on one data set, and the cells that wait for it. One trial at a time.

    Args:
        out: the folder of the benchmark.
        specified: what is searched.
        cells: those that wait, one for each seed.
        on_trial: told, as each trial ends, what is searched and the trial's error or None.
    """

    def __init__(
        self, out: Path, specified: Search, cells: Sequence[ResolvedCell], on_trial: Callable[[str, str | None], None]
    ):
        self.cells, self._on_trial = cells, on_trial
        first = cells[0].with_values({"seed": specified.seed})
        space = distributions_of(specified.space_of(first.cell.model) or {})
        name = of_texts(*first.hashes.values(), space, specified.seed, size=8)
        labels = (first.cell.model.label, first.cell.data.label)
        journal = out / "search" / f"{'-'.join(map(slug, labels))}-{of_texts(*labels)}.journal"
        self.label = " on ".join(labels)
        self._study = search.Study(journal, name, space, specified.trials, specified.seed)
        self._opened = search.start(self._study, first.config)
        self._place = out / folder.RUNNING / journal.stem
        self._busy, self._started = False, 0
        self._error: str | None = None

    @property
    def left(self) -> int:
        """Trials still to be started."""
        return max(0, self._study.trials - sum(search.used_trials(self._opened)))

    def task(self) -> Task | None:
        """The next trial, where none of this search is at work."""
        if self._busy or not self.left:
            return None
        self._busy = True
        self._started += 1
        cell, name = self.cells[0], f"{self._place.name}-{self._started}-{len(self._opened.trials)}"
        values = {**cell.values, "checkpoint_dir": str(self._place / "checkpoints")}
        job = search.trial_job(self._study, cell.cell.model.model, cell.cell.dataset, values, name)
        return Task(f"search of {self.label}", self._place, job, lambda error: self._ended(name, error))

    def _ended(self, job: str, error: str | None) -> None:
        self._busy, self._error = False, error
        if error is not None:
            search.close_trials_of(self._opened, job, error)
        self._on_trial(self.label, error)

    def found(self) -> tuple[dict | None, str]:
        """The best values, or None; and why there are none. Writes what was tried beside the journal."""
        path = self._study.journal.with_suffix(".json")
        write_text(path, json.dumps(search.summary(self._opened), indent=2) + "\n")
        best = search.best_of(self._opened)
        why = f"The search found no values: none of {self._study.trials} trials had a score ({self._error or path})."
        return (None if best is None else dict(best.params)), why
