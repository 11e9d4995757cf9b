"""``recbole-decm demo``: from playable files to an artefact to serve, by the commands, beside what can be reached."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from recbole_decm.cli.options import TAKES_KEYS

MODELS = ("DecCMPlus", "CMVAE")
VALUES = {"learning_rate": 0.004, "dropout_prob": 0.2}
"""Of both models, whose defaults are for more pairs than 1,600; chosen on validation data (docs/media.md)."""
_NEW, _LISTED = 3, 3  # clips to recommend for, and tracks for each


@click.command("demo", context_settings=TAKES_KEYS)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="demo", show_default=True)
@click.option("--videos", type=click.IntRange(min=30), default=2000, show_default=True)
@click.option("--music", type=click.IntRange(min=10), default=150, show_default=True, help="Tracks to choose from.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Of the simulation and of the models.")
@click.option("--workers", type=click.IntRange(min=1), help="As of extract.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo_command(
    out: Path, videos: int, music: int, seed: int, workers: int | None, arguments: tuple[str, ...]
) -> None:
    """Simulate videos and music, extract features, train, recommend for new clips, export what can be served.

    What is in OUT from an earlier call is used again. ARGUMENTS are --key=value that both models read.
    """
    demo = Demo(out, videos, music, seed)
    demo.prepare(workers)
    found = {model: demo.trained(model, [part for part in arguments if part]) for model in MODELS}
    demo.recommend(found[MODELS[0]]["checkpoint"])
    artefact = demo.export(found[MODELS[0]]["checkpoint"])
    click.echo(f"\n{demo.table(found)}")
    click.echo(f"\nServe it: recbole-decm serve {shlex.join([artefact, '--media', str(demo.files)])}", err=True)


@dataclass(frozen=True)
class Demo:
    """One simulation and what is made of it, in a folder of its own.

    Attributes:
        out: the folder of all demonstrations; the others as the options say.
    """

    out: Path
    videos: int
    music: int
    seed: int

    @property
    def name(self) -> str:
        """Of the files and of the data set."""
        return f"demo-{self.videos}-{self.music}-{self.seed}"

    @property
    def files(self) -> Path:
        """The folder of the videos and tracks."""
        return self.out / "files" / self.name

    @property
    def data(self) -> Path:
        """The folder of the data set."""
        return self.out / "data" / self.name

    def prepare(self, workers: int | None) -> None:
        """Write the files and extract their features, unless that is done."""
        if not self.files.is_dir():
            size = ["--videos", str(self.videos), "--music", str(self.music), "--seed", str(self.seed)]
            _command("simulate", "--media", "--out", str(self.files.parent), "--name", self.name, *size)
        if not self.data.is_dir():
            tables = ["--pairs", f"{self.files}/pairs.csv", "--pgc-pairs", f"{self.files}/pgc/pairs.csv"]
            tables += ["--preferences", f"{self.files}/preferences.csv"]
            given = ["--workers", str(workers)] if workers else []
            _command("extract", *tables, "--out", str(self.data.parent), "--name", self.name, *given)

    def trained(self, model: str, arguments: list[str]) -> dict[str, Any]:
        """Train and test a model; its result."""
        result = self.out / "results" / f"{self.name}-{model}.json"
        options = {"model": model, "dataset": self.name, "data_path": self.data.parent, "seed": self.seed}
        options |= {"topk": "[10]", "valid_metric": "NDCG@10", "checkpoint_dir": self.out / "saved", **VALUES}
        options |= {"state": "WARNING", "show_progress": False, "result_file": result}
        options |= {"protocol": "default"} if model == "DecCMPlus" else {}
        _command("run", *(f"--{key}={value}" for key, value in options.items()), *arguments)
        return json.loads(result.read_text(encoding="utf-8"))

    def recommend(self, checkpoint: str) -> None:
        """Recommend tracks for some videos that training has not seen, from their files."""
        from recbole_decm.data.importers.tables import read_table
        from recbole_decm.io.write import write_text

        pairs = read_table(self.files / "pairs.csv", {}, {})
        new = pairs["video"][pairs["split"] == "test"].iloc[:_NEW]
        table = self.files / "new.csv"
        write_text(table, "\n".join(["video", *new, ""]))
        _command("recommend", checkpoint, "--videos", str(table), "--k", str(_LISTED))

    def export(self, checkpoint: str) -> str:
        """Write the artefact that can be served; its folder."""
        folder = self.out / "artefacts" / self.name
        _command("export", checkpoint, "--out", str(folder), "--overwrite")
        return str(folder)

    def figures(self, found: dict[str, Any]) -> dict[str, float]:
        """Of a result: true do-recall@10, its share of what the ceiling reaches, the share of the largest genre."""
        recall = found["test_do"]["recall@10"]
        return {
            "recall": recall,
            "of_ceiling": recall / self.references()["ceiling"]["recall"]["do"],
            "share": found["test_do"]["majorityshare@10"],
        }

    def references(self) -> dict[str, Any]:
        """What oracle and feature ceiling reach."""
        return json.loads((self.files / "references.json").read_text(encoding="utf-8"))

    def true_share(self) -> float:
        """Share of the catalogue's largest genre among the choices under intervention."""
        from recbole_decm.io.atomic import read_columns

        tracks = read_columns(self.data / f"{self.name}.item", ["music_id", "genre"])
        genre = tracks.set_index("music_id")["genre"]
        chosen = read_columns(self.data / f"{self.name}.do.inter", ["music_id"])["music_id"].map(genre)
        largest = genre.value_counts().sort_index(kind="stable").idxmax()
        return float((chosen == largest).mean())

    def table(self, found: dict[str, dict[str, Any]]) -> str:
        """Models beside the references and the true choices."""
        from tabulate import tabulate

        figures = {model: self.figures(result) for model, result in found.items()}
        rows = [[model, each["recall"], each["of_ceiling"], each["share"]] for model, each in figures.items()]
        references = self.references()
        ceiling = references["ceiling"]["recall"]["do"]
        names = {"ceiling": "feature ceiling", "oracle": "oracle (true match)"}
        for key, name in names.items():
            each = references[key]
            rows.append([name, each["recall"]["do"], each["recall"]["do"] / ceiling, each["majority_share"]])
        rows.append(["true choices", None, None, self.true_share()])
        headers = ["", "true do-recall@10", "of the ceiling", "share of the largest genre"]
        return tabulate(rows, headers, floatfmt=("", ".3f", ".0%", ".0%"))


def _command(*words: str) -> None:
    """Say a command and run it."""
    from recbole_decm.cli.main import main_group

    click.echo(f"$ recbole-decm {shlex.join(words)}", err=True)
    status = main_group.main(list(words), prog_name="recbole-decm", standalone_mode=False)
    if status:
        raise click.exceptions.Exit(status)
