"""Searches as part of a run: trials as tasks, and the cells that wait for what they find."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_decm.config.config import DecCMConfig
from recbole_decm.experiments import folder, hashes, plan, rows, search
from recbole_decm.experiments.pool import Task
from recbole_decm.experiments.spec import digest, slug
from recbole_decm.io.write import write_text

if TYPE_CHECKING:
    from recbole_decm.experiments.runner import Run


class Searching:
    """The search of one model on one data set, and the cells that wait for it. One trial at a time."""

    def __init__(self, run: Run, group: list[tuple[plan.Cell, dict]]):
        self.run, self.group = run, group
        self.cell, self.values = group[0]
        specification = run.specification.search
        assert specification is not None
        space = specification.space_of(self.cell.model) or {}
        config = DecCMConfig(
            self.cell.model.model,
            self.cell.dataset,
            config_dict={**run.full(self.cell, self.values), "seed": specification.seed},
        )
        name = digest(*hashes.all_hashes(config).values(), space, specification.seed, size=8)
        labels = (self.cell.model.label, self.cell.data.label)
        stem = f"{'-'.join(map(slug, labels))}-{digest(*labels)}"
        journal = run.out / "search" / f"{stem}.journal"
        self.study = search.Study(journal, name, space, specification.trials, specification.seed)
        self.opened = search.start(self.study, config)
        self.busy = False

    @property
    def left(self) -> int:
        """Trials still to be started."""
        return max(0, self.study.trials - sum(search.used_trials(self.opened)))

    def task(self) -> Task | None:
        """The next trial, where none of this search is at work."""
        if self.busy or not self.left:
            return None
        self.busy = True
        return trial_task(
            self.study,
            self.cell.model.model,
            self.cell.dataset,
            self.run.full(self.cell, self.values),
            self.run.out / folder.RUNNING / self.study.journal.stem,
            f"search of {self.cell.model.label} on {self.cell.data.label}",
            self._finished,
        )

    def _finished(self, pid: int, error: str | None) -> None:
        self.busy = False
        if error is not None:
            search.close_trials_of(self.opened, pid, error)
            self.run.progress.say(f"search of {self.cell.model.label} on {self.cell.data.label}: trial failed: {error}")
        self.run.progress.trial_done()
        if not self.left:
            self.run.searches.remove(self)
            self.release(error)

    def release(self, error: str | None = None) -> None:
        """Let the cells run with the best values found; without any, they fail."""
        path = self.study.journal.with_suffix(".json")
        write_text(path, json.dumps(search.summary(self.opened), indent=2) + "\n")
        best = search.best_of(self.opened)
        for cell, values in self.group:
            if best is not None:
                self.run.add(cell, values, dict(best.params))
                continue
            place = self.run.out / folder.RUNNING / cell.key
            place.mkdir(parents=True, exist_ok=True)
            text = f"The search found no values: none of {self.study.trials} trials had a score ({error or path})."
            note = self.run.note(cell, {}, self.run.config(cell, values))
            folder.finish(
                self.run.out, cell.key, place, {**note, "status": "failed", "error": text, **rows.EMPTY}, False
            )
            self.run.ended(cell, text)


def trial_task(
    study: search.Study,
    model: str,
    dataset: str,
    values: dict,
    place: Path,
    name: str,
    finish: Callable[[int, str | None], None],
) -> Task:
    """A task that runs one trial of a study."""
    job = {
        "kind": "trial",
        "model": model,
        "dataset": dataset,
        "values": {**values, "checkpoint_dir": str(place / "checkpoints")},
        "journal": str(study.journal),
        "study": study.study,
        "space": {key: [parameter.kind, list(parameter.values)] for key, parameter in study.space.items()},
        "trials": study.trials,
        "seed": study.seed,
    }
    return Task(name, place, job, finish)
