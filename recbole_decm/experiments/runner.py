"""Run a specification: data sets, searches and cells, in processes of their own; continue where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import DataError
from recbole_decm.experiments import datasets, folder, hashes, plan, rows
from recbole_decm.experiments.pool import Task, run_tasks
from recbole_decm.experiments.progress import Progress
from recbole_decm.experiments.spec import Specification
from recbole_decm.simulation.files import read_simulation_record

if TYPE_CHECKING:
    from recbole_decm.experiments.searching import Searching


@dataclass
class Outcome:
    """What a run left behind: cells in all, those done, those done before, and the errors of those that failed."""

    total: int
    done: int = 0
    before: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def run_benchmark(
    specification: Specification, out: Path, jobs: int = 1, update: bool = False, progress: Progress | None = None
) -> Outcome:
    """Run every cell that is not finished.

    Args:
        out: the folder of results; made absolute.
        jobs: processes at a time.
        update: go on in a folder of another specification.

    Raises:
        ConfigError: anything wrong with specification or folder that can be known before training.
        DataError: a data set cannot be made; the disk is full. What was written before stays whole.
    """
    out = out.absolute()
    plan.check(specification)
    cells = plan.cells_of(specification, out)
    with folder.opened(out, specification, len(cells), update):
        try:
            return Run(specification, out, cells, progress or Progress()).run(jobs)
        except OSError as error:
            raise DataError(
                f"{error.filename or out}: {error.strerror or error}. The results in {out} are whole; "
                "the same command goes on from there."
            ) from error


class Run:
    """One run in a folder: what is left to do, in which order."""

    def __init__(self, specification: Specification, out: Path, cells: list[plan.Cell], progress: Progress):
        self.specification, self.out, self.cells, self.progress = specification, out, cells, progress
        self.outcome = Outcome(len(cells))
        self.waiting: list[tuple[plan.Cell, dict, dict]] = []  # cell, its values, those found by a search
        self.searches: list[Searching] = []
        self._bases: dict[tuple, tuple[set[str], str]] = {}

    def run(self, jobs: int) -> Outcome:
        self._make_data()
        folder.set_aside_others(self.out, {cell.key for cell in self.cells})
        try:
            self._sort_cells()
            self.progress.start(self.outcome, sum(search.left for search in self.searches))
            run_tasks(lambda: next(self._tasks(), None), jobs, self.progress.tick)
        finally:
            self.progress.close()
            rows.write_results(self.out, [cell.key for cell in self.cells])
        return self.outcome

    def _make_data(self) -> None:
        for entry, seed in self.progress.over(datasets.missing(self.specification, self.out), "data sets"):
            datasets.make(entry, seed, self.out)

    def config(self, cell: plan.Cell, values: dict) -> DecCMConfig:
        return DecCMConfig(cell.model.model, cell.dataset, config_dict=self.full(cell, values))

    def full(self, cell: plan.Cell, values: dict) -> dict:
        """The values with seed and folders."""
        own = {"seed": cell.seed, "data_path": self._base(cell)[1], "teacher_dir": str(self.out / "teachers")}
        return {**plan.with_absolute_paths(values), **own, "state": "INFO", "show_progress": False}

    def _base(self, cell: plan.Cell) -> tuple[set[str], str]:
        """The keys a cell's model knows, and the absolute folder that holds its data set."""
        key = (cell.model.model, cell.dataset, cell.data_path)
        if key not in self._bases:
            config = DecCMConfig(cell.model.model, cell.dataset, config_dict=plan.folder_of(cell.data_path))
            self._bases[key] = config.known_keys, str(Path(config["data_path"]).parent.resolve())
        return self._bases[key]

    def _values(self, cell: plan.Cell) -> dict:
        return plan.values_of(self.specification, cell.model, cell.data, self._base(cell)[0])

    # --- what is to be done -----------------------------------------------------------------------------------------
    def _sort_cells(self) -> None:
        """Which cells stand, which are to run, and which wait for a search."""
        groups: dict[tuple[str, str], list[tuple[plan.Cell, dict]]] = {}
        for cell in self.cells:
            values = self._values(cell)
            plan.check_candidates(self.config(cell, values))
            space = self.specification.search and self.specification.search.space_of(cell.model)
            if space:
                groups.setdefault((cell.model.label, cell.data.label), []).append((cell, values))
            else:
                self.add(cell, values, {})
        if groups:  # Optuna takes a second to import
            from recbole_decm.experiments.searching import Searching
        for group in groups.values():
            search = Searching(self, group)
            if search.left:
                self.searches.append(search)
            else:
                search.release()

    def add(self, cell: plan.Cell, values: dict, found: dict) -> None:
        """Let a cell wait for its run, unless its result stands."""
        config = self.config(cell, {**values, **found})
        before = folder.read_cell(self.out, cell.key)
        if folder.stands(before, hashes.all_hashes(config)):
            self.outcome.before += 1
            self.outcome.done += 1
            self.progress.refresh()
            return
        if before is not None and before["status"] == "done":
            folder.set_aside(self.out, cell.key)
        self.waiting.append((cell, values, found))

    def _tasks(self) -> Iterator[Task]:
        """What can start now: searches first, since cells wait for them."""
        for search in self.searches:
            task = search.task()
            if task is not None:
                yield task
        if self.waiting:
            yield self._cell_task(*self.waiting.pop(0))

    # --- cells ------------------------------------------------------------------------------------------------------
    def _cell_task(self, cell: plan.Cell, values: dict, found: dict) -> Task:
        values = {**values, **found}
        place = self.out / folder.RUNNING / cell.key
        config = self.config(cell, values)
        note = self.note(cell, found, config)
        full = {**self.full(cell, values), "checkpoint_dir": str(place / "checkpoints")}
        job = {"kind": "cell", "model": cell.model.model, "dataset": cell.dataset, "values": full, "note": note}

        def finished(_pid: int, error: str | None) -> None:
            failed = None if error is None else {**note, "status": "failed", "error": error, **rows.EMPTY}
            folder.finish(self.out, cell.key, place, failed, self.specification.keep_checkpoints)
            self.ended(cell, error)

        return Task(f"{cell.model.label} on {cell.data.label}, seed {cell.seed}", place, job, finished)

    def note(self, cell: plan.Cell, found: dict, config: DecCMConfig) -> dict[str, Any]:
        yaml = Path(config["data_path"]) / f"{cell.dataset}.yaml"
        labels = {"model": cell.model.label, "class": cell.model.model, "dataset": cell.data.label, "seed": cell.seed}
        overlay = {**plan.overlay_of(cell.model), **found}
        return {**labels, **hashes.all_hashes(config), "overlay": overlay, "factors": read_simulation_record(yaml)}

    def ended(self, cell: plan.Cell, error: str | None) -> None:
        name = f"{cell.model.label} on {cell.data.label}, seed {cell.seed}"
        if error is None:
            self.outcome.done += 1
            content = folder.read_cell(self.out, cell.key) or {}
            metric, test = self.specification.main_metric, self.specification.main_test
            value = content["metrics"][test][metric]
            self.progress.say(f"{name}: {test} {metric} {value:.4f}, {_seconds(content):.0f} s")
        else:
            self.outcome.failed[name] = error
            log = self.out / "cells" / cell.key / "log.txt"
            self.progress.say(f"{name}: failed: {error}" + (f" (log: {log})" if log.is_file() else ""))
        rows.write_results(self.out, [cell.key for cell in self.cells])
        self.progress.refresh()


def _seconds(content: dict[str, Any]) -> float:
    return sum(content["seconds"].values())
