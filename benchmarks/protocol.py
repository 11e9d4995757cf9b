"""What ``protocol: auto`` of DecCMPlus chooses, and what that brings beside the default.

    python benchmarks/protocol.py --out build/protocol --simulations 10
    python benchmarks/protocol.py --out build/protocol --dataset muvi0,muvi1 --data-path DIR --seeds 1,2,3,4,5

DIR/muvi0 and DIR/muvi0-pgc are as ``recbole-decm import-released`` writes them. A line has the scores of the folds,
which are of training and validation rows alone, the choice, and recall@10: on the test, or on the choices without
confounding of simulations. Where the default is chosen, both are one training. What is done in --out is not done again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from recbole_decm.cli.options import names, seeds_option
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.protocols import CANDIDATES
from recbole_decm.io.write import write_text
from recbole_decm.metrics.paired import seeds_interval
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.training.protocol import find
from recbole_decm.training.run import fit, load, run_config

QUIET = {"state": "ERROR", "show_progress": False, "topk": [10], "metrics": ["Recall", "NDCG"]}
QUIET |= {"valid_metric": "NDCG@10"}


def measure(name: str, folder: Path, seed: int, out: Path) -> dict:
    """The choice, and recall@10 with it and with the default, from the notes of an earlier run where there are any.

    Where the default is chosen, the two are one training, which is left out.
    """
    note = out / "figures" / f"{name}-{seed}.json"
    values = QUIET | {"data_path": str(folder), "seed": seed}
    values |= {"checkpoint_dir": str(out / "saved"), "teacher_dir": str(out / "teachers")}

    def tested(protocol: str) -> float:
        trained, test = run_config(DecCMConfig("DecCMPlus", name, config_dict=values | {"protocol": protocol}))
        Path(trained.trainer.saved_model_file).unlink()
        return (trained.extra_results.get("test_do", test) or {})["recall@10"]

    if not note.is_file():
        config = DecCMConfig("DecCMPlus", name, config_dict=values)
        choice = asdict(find(config, load(config), fit))
        same = choice["chosen"] == "default"
        found = {} if same else {"auto": tested(choice["chosen"]), "default": tested("default")}
        write_text(note, json.dumps(choice | found, indent=2) + "\n")
    return json.loads(note.read_text(encoding="utf-8"))


def simulated(seed: int, videos: int, music: int, out: Path) -> str:
    """The name of a simulation in ``out/data``; written unless it is there."""
    name = f"simulation-{videos}-{music}-{seed}"
    if not (out / "data" / name).is_dir():
        write_simulation(simulate(SimulationConfig.of(videos=videos, music=music, seed=seed)), out / "data", name)
    return name


def report(rows: dict[str, list[dict]]) -> str:
    """A line for each data set, means over its seeds; and the loss against the default, paired by data set and seed."""
    lines, every = [], [one for found in rows.values() for one in found]
    for name, found in rows.items():
        scores = [f"{np.mean(found[0]['scores'].get(key, [np.nan])):.3f}" for key in CANDIDATES]
        shown = []
        for key in ("auto", "default"):
            recalls = [one[key] for one in found if key in one]
            spread = f" ± {np.std(recalls, ddof=1):.3f}" if len(recalls) > 1 else ""
            shown.append(f"{np.mean(recalls):.3f}{spread}" if recalls else "the same")
        lines.append([name, *scores, ", ".join(sorted({one["chosen"] for one in found})), *shown])
    headers = ["data", *(f"ndcg@10 of folds, {key}" for key in CANDIDATES), "chosen"]
    headers += ["recall@10, auto", "recall@10, default"]
    losses = np.array([one.get("default", 0.0) - one.get("auto", 0.0) for one in every])
    said = f"Recall@10 of the default less that of auto: {losses.mean():+.4f}"
    if len(losses) > 1:
        low, high = seeds_interval(losses)
        said += f", 95 % interval {low:+.4f} to {high:+.4f}, over {len(losses)} runs."
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True) + f"\n\n{said}"


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="build/protocol", show_default=True)
@click.option("--simulations", type=int, default=0, show_default=True, help="With seeds from 1 on.")
@click.option("--videos", type=int, default=3000, show_default=True)
@click.option("--music", type=int, default=600, show_default=True)
@click.option("--dataset", default="", callback=names, help="Data sets, such as muvi0,muvi1.")
@click.option("--data-path", type=click.Path(exists=True, path_type=Path))
@seeds_option
def main(
    out: Path, simulations: int, videos: int, music: int, dataset: list[str], data_path: Path | None, seeds: list[int]
) -> None:
    """Print the table of some simulations or data sets."""
    jobs = [(simulated(seed, videos, music, out), out / "data", [seed]) for seed in range(1, simulations + 1)]
    jobs += [(name, data_path or out / "data", seeds) for name in dataset]
    rows: dict[str, list[dict]] = {}
    for name, folder, each in tqdm(jobs, unit="data set", file=sys.stderr, disable=None):
        rows[name] = [measure(name, folder, seed, out) for seed in each]
    click.echo(report(rows))


if __name__ == "__main__":
    main()
