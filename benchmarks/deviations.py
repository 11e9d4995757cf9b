"""Measure each step from the released objective to ours, and write the table into docs/deviations.md.

    python benchmarks/deviations.py --released muvi0=DIR0 --released muvi1=DIR1 --out docs/deviations.md

DIR holds ``data_matching`` and ``data_pgc`` in the released layout. The shipped data set ``sim`` is measured always.
Every run is kept in ``--work`` as soon as it is finished, under a key of its config and data, so that the command goes
on where it was stopped. Only the objective changes from row to row, for the student and for its teacher.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click
import numpy as np
import torch
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.io.shipped import shipped
from recbole_decm.io.write import write_text
from recbole_decm.released.importer import import_released
from recbole_decm.training.run import run_config
from recbole_decm.training.teacher import fingerprint, teacher_config

STEPS = sorted(path.stem for path in (shipped("properties") / "ablation").glob("released*.yaml"))
OURS = "ours"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LEDGER_CELLS = 10  # between the bars of a ledger row, the outer two included
METRICS = ("recall@10", "ndcg@10", "ipwrecall@10")


def named_folder(_ctx, _param, values: tuple[str, ...]) -> dict[str, Path]:
    pairs = [value.partition("=") for value in values]
    if any(not name or not folder for name, _, folder in pairs):
        raise click.BadParameter(f"expected NAME=FOLDER, found {', '.join(values)}")
    return {name: Path(folder) for name, _, folder in pairs}


def config_of(dataset: str, data_path: Path | None, step: str, seed: int, work: Path, training: dict) -> DecCMConfig:
    files = [] if step == OURS else [f"ablation/{step}.yaml"]
    values = {**training, "seed": seed, "checkpoint_dir": str(work / "checkpoints"), "state": "ERROR"}
    values |= {"show_progress": False, "teacher_config": dict(training)}
    values |= {"metrics": ["Recall", "NDCG", "IPWRecall"]}
    if data_path is not None:
        values["data_path"] = str(data_path)
    return DecCMConfig("DecCM", dataset, files, values)


def measure(config: DecCMConfig, work: Path) -> dict[str, float]:
    """Test metrics of a run, from the notes of an earlier one where there are any."""
    note = work / "runs" / f"{fingerprint(config)}-{fingerprint(teacher_config(config))}.json"
    if note.is_file():
        return json.loads(note.read_text())
    trained, test = run_config(config)
    Path(trained.trainer.saved_model_file).unlink()
    write_text(note, json.dumps(test))
    return test


def table(dataset: str, found: dict[str, list[dict]]) -> str:
    """A line a step: mean ± standard deviation over the seeds, and the step's change of recall@10."""
    lines, before = [], None
    for step, results in found.items():
        cells = [step]
        for metric in METRICS:
            values = [result[metric] for result in results]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=min(1, len(values) - 1)):.3f}")
        now = np.array([result["recall@10"] for result in results])
        if before is None:
            cells.append("")
        else:
            cells.append(f"{np.mean(now - before):+.3f} ± {np.std(now - before, ddof=min(1, len(now) - 1)):.3f}")
        before = now
        lines.append(cells)
    heads = ["step", *METRICS, "change of recall@10"]
    return f"### {dataset}\n\n" + tabulate(lines, heads, tablefmt="github", disable_numparse=True)


def write_between_markers(out: Path, text: str, what: str = "measured") -> None:
    """Replace what stands between the markers of a document, or write a file of its own."""
    begin, end = (line.replace("measured", what) for line in (BEGIN, END))
    old = out.read_text(encoding="utf-8") if out.is_file() else f"{begin}\n{end}\n"
    if begin not in old or end not in old:
        raise click.ClickException(f"{out}: expected the lines {begin} and {end} to write between")
    head, tail = old.split(begin, 1)[0], old.split(end, 1)[1]
    write_text(out, f"{head}{begin}\n\n{text}\n\n{end}{tail}")


def changes(results: dict[str, list[dict]]) -> dict[str, float]:
    """Mean change of recall@10 of every step from the step before."""
    means = {step: np.mean([result["recall@10"] for result in runs]) for step, runs in results.items()}
    return {step: float(means[step] - means[before]) for before, step in zip(means, list(means)[1:], strict=False)}


def fill_ledger(text: str, effects: dict[str, dict[str, float]]) -> str:
    """Fill the last cell of every ledger row whose cell before names a step: ``1`` to ``8``, or ours."""
    by_number = {step.split("-")[1] if "-" in step else f"`{step}`": step for step in [*STEPS, OURS]}
    lines = text.split("\n")
    for i, line in enumerate(lines):
        cells = line.split("|")
        if line.startswith("|") and len(cells) == LEDGER_CELLS and cells[-3].strip() in by_number:
            step = by_number[cells[-3].strip()]
            cells[-2] = " " + ", ".join(f"{name} {effect[step]:+.3f}" for name, effect in effects.items()) + " "
            lines[i] = "|".join(cells)
    return "\n".join(lines)


@click.command()
@click.option("--released", multiple=True, callback=named_folder, help="NAME=FOLDER of data in the released layout.")
@click.option("--seeds", default="2020,2021,2022", show_default=True, help="Seeds, comma-separated.")
@click.option("--epochs", default=30, show_default=True, help="Most epochs of students and teachers.")
@click.option("--patience", default=5, show_default=True, help="Validations without a better score before a stop.")
@click.option("--work", default="saved/deviations", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Document to write the tables into.")
def main(released: dict[str, Path], seeds: str, epochs: int, patience: int, work: Path, out: Path | None) -> None:
    """Measure every step from the released objective to ours on test data; epochs are chosen on validation data."""
    torch.set_num_threads(1)
    for name, folder in released.items():
        if not (work / "data" / f"{name}-pgc").is_dir():
            shutil.rmtree(work / "data" / name, ignore_errors=True)
            import_released(folder / "data_matching", folder / "data_pgc", name, work / "data", show_progress=False)
    places = {**dict.fromkeys(released, work / "data"), "sim": None}
    numbers = [int(seed) for seed in seeds.split(",")]
    steps = [*STEPS, OURS]
    training = {"epochs": epochs, "stopping_step": patience}
    tables, effects = [], {}
    with tqdm(total=len(places) * len(steps) * len(numbers), unit="run", file=sys.stderr, disable=None) as bar:
        for dataset, place in places.items():
            found: dict[str, list[dict]] = {}
            for step in steps:
                for seed in numbers:
                    bar.set_description(f"{dataset} {step} {seed}")
                    config = config_of(dataset, place, step, seed, work, training)
                    found.setdefault(step, []).append(measure(config, work))
                    bar.update()
            tables.append(table(dataset, found))
            effects[dataset] = changes(found)
    head = f"Test data, mean ± standard deviation over seeds {seeds}; at most {epochs} epochs, patience {patience}."
    text = "\n\n".join([head, *tables])
    click.echo(text)
    if out is not None:
        write_between_markers(out, text)
        write_text(out, fill_ledger(out.read_text(encoding="utf-8"), effects))


if __name__ == "__main__":
    main()
