"""The table of results, models x data sets x metrics: means, spreads, ranks and marks of significance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from recbole_decm.estimation.lists import estimated
from recbole_decm.metrics.names import metric_title, smaller_is_better
from recbole_decm.metrics.paired import ALPHA
from recbole_decm.report.results import Results

WIDTH = 8  # columns of results that fit a page; more are split into several tables, a data set stays in one piece
KINDS = ("cold", "warm")
BETTER, WORSE = "†", "‡"


class Column(NamedTuple):
    """One metric on one test set of one data set; ``cold:test`` and ``warm:test`` are parts of ``test``."""

    dataset: str
    test: str
    metric: str

    @property
    def place(self) -> str:
        """``sim`` for the test split, ``sim (do)`` for the test set ``test_do``, ``sim (do, cold)`` for a part."""
        return place_title(self.dataset, self.test)


class Entry(NamedTuple):
    """A cell of the table: mean and standard deviation over ``seeds``; rank 1 is the best, 2 the second, else 0."""

    mean: float
    deviation: float
    seeds: int
    rank: int
    mark: str
    decimals: int

    @property
    def mean_text(self) -> str:
        return f"{self.mean:.{self.decimals}f}"

    @property
    def deviation_text(self) -> str:
        """Empty for a single seed."""
        return f"{self.deviation:.{self.decimals}f}" if self.seeds > 1 else ""


@dataclass(frozen=True)
class Table:
    """Results to print: ``entries[model, column]`` where a model has one."""

    models: Sequence[str]
    columns: Sequence[Column]
    entries: Mapping[tuple[str, Column], Entry]
    note: str


def place_title(dataset: str, test: str) -> str:
    """A data set with the name of its extra test set, if it is one, and of the part of it."""
    kind, _, test = test.rpartition(":")
    names = [name for name in ("" if test == "test" else test.removeprefix("test_"), kind) if name]
    return f"{dataset} ({', '.join(names)})" if names else dataset


def shown_metrics(results: Results, metric: str) -> list[str]:
    """The main metric, then the others of the same cut-off, in the order in which cells hold them."""
    cut_off = metric.partition("@")[1:]
    found = dict.fromkeys([metric, *(name for test in results.tests for name in results.metrics(test))])
    return [name for name in found if name.partition("@")[1:] == cut_off]


def build_table(
    results: Results, tests: Sequence[str], metrics: Sequence[str], compared: pd.DataFrame, baseline: str | None
) -> Table:
    """Means, ranks and marks.

    Args:
        metrics: the first is the one that cold and warm tracks are shown by, where a test set has both.
        compared: from :func:`~recbole_decm.report.comparisons.compare_all` with the same baseline; marks are of its
            corrected tests over videos, against the baseline, or without one against the best model of the column.
    """
    entries: dict[tuple[str, Column], Entry] = {}
    columns = []
    for dataset in results.datasets:
        for test in tests:
            shown = [(test, metric) for metric in metrics] + [(f"{kind}:{test}", metrics[0]) for kind in KINDS]
            for part, metric in shown:
                column = Column(dataset, part, metric)
                found = _column(results, column, compared, baseline)
                if found:
                    columns.append(column)
                    entries |= {(model, column): entry for model, entry in found.items()}
    models = [model for model in results.models if any((model, column) in entries for column in columns)]
    return Table(models, columns, entries, _note(results, entries, compared, baseline))


def _column(results: Results, column: Column, compared: pd.DataFrame, baseline: str | None) -> dict[str, Entry]:
    name = f"{column.test}:{column.metric}"
    cells = results.done
    if name not in cells:
        return {}
    cells = cells[(cells["dataset"] == column.dataset) & cells[name].notna()]
    if cells.empty:
        return {}
    summary = cells.groupby("model")[name].agg(["mean", "std", "count"])
    decimals = 4 if summary["mean"].abs().max() < 10 else 2
    printed = summary["mean"].round(decimals)
    order = sorted(set(printed), reverse=not smaller_is_better(column.metric))
    best = baseline or str(printed.index[printed == order[0]][0])
    marks = _marks(column, compared, best, "baseline" if baseline else "pairs")
    return {
        str(model): Entry(
            float(mean),
            float(deviation),
            int(count),
            order.index(printed[model]) + 1 if len(order) > 1 and printed[model] in order[:2] else 0,
            marks.get(str(model), ""),
            decimals,
        )
        for model, mean, deviation, count in summary.itertuples()
    }


def _marks(column: Column, compared: pd.DataFrame, reference: str, scheme: str) -> dict[str, str]:
    """Model -> mark, for what differs from the reference after correction over the family of ``scheme``."""
    rows = compared[(compared["scheme"] == scheme) & (compared["holm_videos"] < ALPHA)]
    for name, value in column._asdict().items():
        rows = rows[rows[name] == value]
    marks = {}
    for row in rows.itertuples():
        if reference in (row.model, row.reference):
            model, better = (row.model, row.better) if row.reference == reference else (row.reference, -row.better)
            marks[model] = BETTER if better > 0 else WORSE if better < 0 else ""
    return marks


def _note(
    results: Results, entries: Mapping[tuple[str, Column], Entry], compared: pd.DataFrame, baseline: str | None
) -> str:
    counts = sorted({entry.seeds for entry in entries.values()})
    if not counts:
        return "No cell has finished."
    kind = "runs (folds and seeds)" if results.folded else "seeds"
    parts = [f"Mean ± standard deviation over {_counts(counts)} {kind}; best bold, second underlined."]
    if counts == [1]:
        parts = ["One seed each, so no spread is given; best bold, second underlined."]
    smaller = sorted({metric_title(column.metric) for _, column in entries if smaller_is_better(column.metric)})
    if smaller:
        parts.append(f"Smaller is better for {', '.join(smaller)}.")
    if any(":" in column.test for _, column in entries):
        parts.append(
            "Cold: pairs whose track has no training pair; warm: the others. Parts of a test set are not tested."
        )
    if guessed := sorted({metric_title(column.metric) for _, column in entries if estimated(column.metric)}):
        parts.append(f"Estimated without the uploaders' habits from observed choices: {', '.join(guessed)}.")
    if compared["holm_videos"].notna().any():
        against = f"than {baseline}" if baseline else "than the best of the column"
        over = "all comparisons with it" if baseline else "all pairs of models"
        signs = f"{BETTER} better, {WORSE} worse {against}" if baseline else f"{WORSE} worse {against}"
        test = f"paired sign-flip test over the test videos{unit_of(compared)}"
        parts.append(
            f"{signs} at {ALPHA:g}: {test}, corrected by Holm over {over} "
            "within a data set, test set and metric. Metrics that are not means over videos carry no marks."
        )
    few = sorted(
        {(model, column.place, entry.seeds) for (model, column), entry in entries.items() if entry.seeds < counts[-1]}
    )
    if few:
        parts.append(
            f"Fewer {kind.partition(' ')[0]}: "
            + ", ".join(f"{model} on {place} ({n})" for model, place, n in few)
            + "."
        )
    return " ".join(parts)


def unit_of(compared: pd.DataFrame) -> str:
    """How tests over videos heed that videos share uploaders, as the end of "over the test videos"."""
    tested = compared.loc[compared["holm_videos"].notna(), "uploaders"] > 0
    if not tested.any():
        return ", each by itself (uploaders are not known)"
    kind = "groups" if (compared["folds"] > 0).any() else "uploaders"
    return f", whole {kind} at a time" + ("" if tested.all() else " where they are known")


def _counts(counts: Sequence[int]) -> str:
    return str(counts[-1]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def parts_of(table: Table, width: int = WIDTH) -> list[list[Column]]:
    """The columns in pieces of at most ``width``; a test set of a data set is split only where it alone is wider."""
    pieces: list[list[Column]] = [[]]
    for _, group in groupby(table.columns, key=lambda column: column.place):
        columns = list(group)
        for start in range(0, len(columns), width):
            piece = columns[start : start + width]
            if pieces[-1] and len(pieces[-1]) + len(piece) > width:
                pieces.append([])
            pieces[-1] += piece
    return [piece for piece in pieces if piece]


def seeds_of(results: Results) -> list[int]:
    """All seeds that some cell has."""
    return sorted({int(seed) for seed in results.cells["seed"]})


def folds_of(results: Results) -> str:
    """The folds that cells are of, in words; empty without folds."""
    if not results.folded:
        return ""
    cells = results.cells[results.cells["fold"].notna()]
    folds = ", ".join(f"{int(fold)}" for fold in sorted(set(cells["fold"])))
    drawn = sorted({int(seed) for seed in cells["fold_seed"].dropna()})
    return f"{folds} of {int(cells['folds'].max())}" + (f", drawn by {', '.join(map(str, drawn))}" if drawn else "")
