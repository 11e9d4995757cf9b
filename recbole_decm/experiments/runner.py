"""Run a specification: data sets, searches and cells, in processes of their own; continue where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import pandas as pd

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import DataError
from recbole_decm.experiments import cells as plan
from recbole_decm.experiments import data, folder
from recbole_decm.experiments.cells import Cell, ResolvedCell
from recbole_decm.experiments.jobs import Engine, Task, Workers, run_tasks
from recbole_decm.experiments.progress import Progress
from recbole_decm.experiments.spec import Search, Specification, distributions_of, slug
from recbole_decm.experiments.worker import call
from recbole_decm.io.csv_text import csv_text
from recbole_decm.io.digest import of_texts
from recbole_decm.io.write import scratch_folder, write_text
from recbole_decm.report.results import row_of

if TYPE_CHECKING:
    from recbole_decm.experiments.search import Searching


def run_here(
    cells: Iterable[ResolvedCell], on_start: Callable[[ResolvedCell], object], tested: bool = True
) -> Iterator[tuple[ResolvedCell, dict[str, Any]]]:
    """Run cells in this process, one after the other; yields each with what ``cell.json`` would say, as they end.

    Args:
        tested: False to train alone.
    """
    with scratch_folder(Path(gettempdir())) as scratch:
        for cell in cells:
            on_start(cell)
            path = scratch / "cell.json"
            job = cell.job(path.parent, {}, tested)
            error = call(job["call"], job["kwargs"], quiet=True)
            yield cell, folder.failed({}, error) if error else json.loads(path.read_text(encoding="utf-8"))


@dataclass
class Outcome:
    """What a run left behind: cells in all, those done, those done before, and the errors of those that failed."""

    total: int
    done: int = 0
    before: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def run_benchmark(
    specification: Specification,
    out: Path,
    jobs: int = 1,
    update: bool = False,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> Outcome:
    """Run every cell that is not finished.

    Args:
        out: the folder of results; made absolute.
        jobs: processes at a time.
        update: go on in a folder of another specification.
        engine: where cells run; by default worker processes of this machine.

    Raises:
        ConfigError: anything wrong with specification or folder that can be known before training.
        DataError: a data set cannot be made; the disk is full. What was written before stays whole.
    """
    out = out.absolute()
    plan.check(specification)
    cells = plan.cells_of(specification, out)
    with folder.opened(out, specification, len(cells), update), engine or Workers(jobs) as workers:
        try:
            return Run(specification, out, cells, progress or Progress()).run(workers)
        except OSError as error:
            raise DataError(
                f"{error.filename or out}: {error.strerror or error}. The results in {out} are whole; "
                "the same command goes on from there."
            ) from error


class Run:
    """One run in a folder: what is left to do, in which order."""

    def __init__(self, specification: Specification, out: Path, cells: list[Cell], progress: Progress):
        self.specification, self.out, self.cells, self.progress = specification, out, cells, progress
        self.outcome = Outcome(len(cells))
        self._waiting: list[ResolvedCell] = []
        self._searches: list[tuple[Searching, list[ResolvedCell]]] = []
        self._bases: dict[tuple, tuple[set[str], str]] = {}

    def run(self, engine: Engine) -> Outcome:
        """Make the data, then run what does not stand; searches come before the cells that wait for them."""
        for entry, seed in self.progress.over(data.missing(self.specification, self.out), "data sets"):
            data.make(entry, seed, self.out)
        folder.set_aside_others(self.out, {cell.key for cell in self.cells})
        try:
            self._sort_cells()
            self.progress.start(self.outcome, sum(search.left for search, _ in self._searches))
            run_tasks(lambda: next(self._tasks(), None), engine, self.progress.tick)
        finally:
            self.progress.close()
            for search, _ in self._searches:
                search.close()
            self._write_results()
        return self.outcome

    def _write_results(self) -> None:
        """``results.csv``: one row for each cell that has ended."""
        found = [cell for cell in (folder.read_cell(self.out, one.key) for one in self.cells) if cell is not None]
        if found:
            write_text(self.out / "results.csv", csv_text(pd.DataFrame(map(row_of, found))))

    def _values(self, cell: Cell) -> dict[str, Any]:
        """Config values of a cell, with seed and folders."""
        key = (cell.model.model, cell.dataset, cell.data_path)
        if key not in self._bases:
            config = DecCMConfig(cell.model.model, cell.dataset, config_dict=plan.folder_of(cell.data_path))
            self._bases[key] = config.known_keys, str(Path(config["data_path"]).parent.resolve())
        known, place = self._bases[key]
        values = plan.values_of(self.specification, cell.model, cell.data, known, cell.fold)
        own = {"seed": cell.seed, "data_path": place, "teacher_dir": str(self.out / "teachers")}
        return {**plan.with_absolute_paths(values), **own, **plan.LOGGED}

    # --- what is to be done -----------------------------------------------------------------------------------------
    def _sort_cells(self) -> None:
        """Which cells stand, which are to run, and which wait for a search."""
        groups: dict[tuple[str, ...], list[ResolvedCell]] = {}
        specified = self.specification.search
        for cell in self.cells:
            resolved = ResolvedCell.of(cell, self._values(cell))
            plan.check_candidates(resolved.config)
            if specified and specified.space_of(cell.model):
                groups.setdefault(self._searched(cell), []).append(resolved)
            else:
                self._add(resolved)
        if specified:
            self._searches = [(self._search(specified, group), group) for group in groups.values()]
            self._release_found()

    @staticmethod
    def _searched(cell: Cell) -> tuple[str, ...]:
        """What a search is for. Each fold has its own: what validates one is the test of the next."""
        return cell.model.label, cell.data.label, *([] if cell.fold is None else [str(cell.fold)])

    def _search(self, specified: Search, cells: list[ResolvedCell]) -> Searching:
        """The search that the cells of a model on a data set wait for."""
        from recbole_decm.experiments.search import Searching, Study  # Optuna takes a second to import

        first = cells[0].with_values({"seed": specified.seed})
        space = distributions_of(specified.space_of(first.cell.model) or {})
        identity = of_texts(*first.hashes.values(), space, specified.seed, size=8)
        labels = self._searched(first.cell)
        journal = self.out / "search" / f"{'-'.join(map(slug, labels))}-{of_texts(*labels)}.journal"
        study = Study(journal, identity, space, specified.trials, specified.seed)
        name = f"search of {' on '.join(labels)}"

        def told(error: str | None) -> None:
            if error is not None:
                self.progress.say(f"{name}: trial failed: {error}")
            self.progress.trial_done()
            self._release_found()

        return Searching(name, study, first, self.out / folder.RUNNING, told)

    def _release_found(self) -> None:
        """Let cells run with the best values found; without any, they fail."""
        ended = [(search, cells) for search, cells in self._searches if not search.left]
        self._searches = [(search, cells) for search, cells in self._searches if search.left]
        for search, cells in ended:
            best, why = search.found()
            for cell in cells:
                if best is not None:
                    self._add(cell.with_values(best))
                else:
                    place = self.out / folder.RUNNING / cell.cell.key
                    place.mkdir(parents=True, exist_ok=True)
                    self._ended(cell, place, why)

    def _add(self, cell: ResolvedCell) -> None:
        """Let a cell wait for its run, unless its result stands."""
        before = folder.read_cell(self.out, cell.cell.key)
        if folder.stands(before, cell.hashes):
            self.outcome.before += 1
            self.outcome.done += 1
            return
        if before is not None and before["status"] == "done":
            if before.get("code_hash") != cell.hashes["code_hash"]:
                self.progress.say(f"{cell.cell.title}: was made by other code, and runs again")
            folder.set_aside(self.out, cell.cell.key)
        self._waiting.append(cell)

    def _tasks(self) -> Iterator[Task]:
        """What can start now: searches first, since cells wait for them."""
        for search, _ in self._searches:
            task = search.task()
            if task is not None:
                yield task
        if self._waiting:
            yield self._task(self._waiting.pop(0))

    def _task(self, cell: ResolvedCell) -> Task:
        place = self.out / folder.RUNNING / cell.cell.key
        job = cell.job(place, cell.note(), beside=True, checkpoint_dir=str(place / "checkpoints"))
        return Task(cell.cell.title, place, job, lambda error: self._ended(cell, place, error))

    def _ended(self, cell: ResolvedCell, place: Path, error: str | None) -> None:
        key, name = cell.cell.key, cell.cell.title
        failed = None if error is None else folder.failed(cell.note(), error)
        folder.finish(self.out, key, place, failed, self.specification.keep_checkpoints)
        if error is None:
            self.outcome.done += 1
            content = folder.read_cell(self.out, key) or {}
            metric, test = self.specification.main_metric, self.specification.main_test
            value, seconds = content["metrics"][test].get(metric), sum(content["seconds"].values())
            found = f"{test} {metric} {value:.4f}" if value is not None else content["not_estimated"]
            self.progress.say(f"{name}: {found}, {seconds:.0f} s")
        else:
            self.outcome.failed[name] = error
            log = self.out / "cells" / key / "log.txt"
            self.progress.say(f"{name}: failed: {error}" + (f" (log: {log})" if log.is_file() else ""))
        self._write_results()
        self.progress.refresh()
