"""Does the adjustment remove the bias? DecCMPlus with and without backdoor on simulations of known truth.

    python benchmarks/confounding.py --out docs/results

Every seed is a simulation of its own (default settings) and a model of its own. Finished runs are kept in ``--work``,
so that the command goes on where it was stopped, and several can share the work by their ``--seeds``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np
import torch
from deviations import write_between_markers
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.config.config import DecCMConfig
from recbole_decm.io.atomic import read_columns
from recbole_decm.io.write import write_text
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training.run import run_config
from recbole_decm.training.teacher import fingerprint

VARIANTS = {"DecCMPlus": {}, "without backdoor": {"backdoor": "none"}}
REFERENCES = ("ceiling", "oracle")
METRICS = {"metrics": ["Recall", "NDCG", "MajorityShare", "AveragePopularity"], "topk": [10]}
COLUMNS = {
    "do": "do recall@10",
    "of_ceiling": "of the ceiling",
    "test": "observed recall@10",
    "share": "majority share@10",
    "over_oracle": "over the oracle's",
    "popularity": "average popularity@10",
}


def simulation(folder: Path, confounding: float, style: float, seed: int) -> Path:
    """The folder of a simulation with default settings otherwise; written unless it is there."""
    name = f"c{confounding:g}-s{style:g}-{seed}"
    if not (folder / name).is_dir():
        write_simulation(simulate(SimulationConfig(confounding=confounding, style=style, seed=seed)), folder, name)
    return folder / name


def observed_popularity(folder: Path) -> float:
    """Training pairs of the music that the test videos chose, on average."""
    chosen = [
        read_columns(folder / f"{folder.name}.{split}.inter", ["music_id"])["music_id"] for split in ("train", "test")
    ]
    return float(chosen[1].map(chosen[0].value_counts()).fillna(0).mean())


def measure(folder: Path, variant: str, seed: int, work: Path) -> dict[str, float]:
    """Results of one model, from the notes of an earlier run where there are any."""
    values = {"data_path": str(folder.parent), "seed": seed, "checkpoint_dir": str(work / "checkpoints")}
    values |= {"state": "ERROR", "show_progress": False, **METRICS, **VARIANTS[variant]}
    config = DecCMConfig("DecCMPlus", folder.name, config_dict=values)
    note = work / "runs" / f"{fingerprint(config)}.json"
    if note.is_file():
        return json.loads(note.read_text())
    trained, test = run_config(config)
    Path(trained.trainer.saved_model_file).unlink()
    do = trained.extra_results["test_do"]
    found = {"do": do["recall@10"], "test": test["recall@10"]}
    found |= {"share": test["majorityshare@10"], "popularity": test["averagepopularity@10"]}
    write_text(note, json.dumps(found))
    return found


def with_references(folder: Path, results: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Results of the variants, of ceiling and oracle, and what the observed data have; relative figures added."""
    known = json.loads((folder / f"{folder.name}.references.json").read_text())
    rows = dict(results)
    for name in REFERENCES:
        recall = known[name]["recall"]
        rows[name] = {"do": recall["do"], "test": recall["test"], "share": known[name]["majority_share"]}
    for row in rows.values():
        row["of_ceiling"] = row["do"] / rows["ceiling"]["do"]
        row["over_oracle"] = row["share"] - rows["oracle"]["share"]
    rows["observed choices"] = {"popularity": observed_popularity(folder)}
    return rows


def cell(runs: list[dict[str, float]], column: str) -> str:
    values = [run[column] for run in runs if column in run]
    if not values:
        return ""
    form = "{:.1f} ± {:.1f}" if column == "popularity" else "{:.3f} ± {:.3f}"
    return form.format(np.mean(values), np.std(values, ddof=min(1, len(values) - 1)))


def table(runs: list[dict[str, dict[str, float]]]) -> str:
    """A line for each variant and reference: mean ± standard deviation over the seeds."""
    lines = [[name, *(cell([run[name] for run in runs], column) for column in COLUMNS)] for name in runs[0]]
    return tabulate(lines, ["", *COLUMNS.values()], tablefmt="github", disable_numparse=True)


def plot(path: Path, strengths: dict[str, dict[float, list[dict]]]) -> None:
    """do recall@10 and majority share against each strength, with the standard deviation over the seeds as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(strengths), 6.4), layout="constrained")
    axes = figure.subplots(2, len(strengths), sharey="row", squeeze=False)
    for column, (strength, runs) in enumerate(strengths.items()):
        for row, (metric, label) in enumerate((("do", "do recall@10"), ("share", "majority share@10"))):
            axis = axes[row, column]
            for name in (*VARIANTS, *REFERENCES):
                values = np.array([[run[name][metric] for run in seeds] for seeds in runs.values()])
                mean, spread = values.mean(axis=1), values.std(axis=1, ddof=min(1, values.shape[1] - 1))
                line = axis.plot(list(runs), mean, "--" if name in REFERENCES else "o-", label=name)[0]
                axis.fill_between(list(runs), mean - spread, mean + spread, color=line.get_color(), alpha=0.15)
            axis.set_xlabel(strength)
            axis.set_ylabel(label if column == 0 else "")
            axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})


def numbers(_ctx, _param, value: str) -> list[float]:
    return [float(part) for part in value.split(",")]


@click.command()
@click.option("--seeds", default="1,2,3,4,5", show_default=True, callback=numbers, help="Seeds, comma-separated.")
@click.option("--confounding", default="0,0.5,1,1.5,2", show_default=True, callback=numbers)
@click.option("--style", default="0,0.5,1,2", show_default=True, callback=numbers, help="Styles, at confounding 1.5.")
@click.option("--work", default="saved/confounding", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for confounding.md and .svg.")
def main(seeds: list[float], confounding: list[float], style: list[float], work: Path, out: Path | None) -> None:
    """Measure DecCMPlus with and without backdoor against oracle and ceiling, over confounding and style."""
    torch.set_num_threads(1)
    strengths = {"confounding": [(c, 0.0) for c in confounding], "style": [(1.5, s) for s in style]}
    found: dict[tuple[float, float], list[dict]] = {}
    cells = dict.fromkeys(pair for pairs in strengths.values() for pair in pairs)
    with tqdm(total=len(cells) * len(seeds) * len(VARIANTS), unit="run", file=sys.stderr, disable=None) as bar:
        for pair in cells:
            for seed in map(int, seeds):
                folder = simulation(work / "data", *pair, seed)
                results = {}
                for variant in VARIANTS:
                    bar.set_description(f"{folder.name} {variant}")
                    results[variant] = measure(folder, variant, seed, work)
                    bar.update()
                found.setdefault(pair, []).append(with_references(folder, results))
    shown = ", ".join(f"{seed:g}" for seed in seeds)
    parts = [f"Mean ± standard deviation over seeds {shown}, each a simulation of its own."]
    for strength, pairs in strengths.items():
        for pair in pairs:
            values = f"confounding {pair[0]:g}" + (f", style {pair[1]:g}" if strength == "style" else "")
            parts += [f"### {values}", table(found[pair])]
    text = "\n\n".join(parts)
    click.echo(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_between_markers(out / "confounding.md", text)
        axis = {"confounding": lambda pair: pair[0], "style": lambda pair: pair[1]}
        plot(out / "confounding.svg", {s: {axis[s](p): found[p] for p in pairs} for s, pairs in strengths.items()})


if __name__ == "__main__":
    main()
