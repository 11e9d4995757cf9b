"""``recbole-decm teacher-sweep``: the effect of the teacher by its weight, on validation data."""

from __future__ import annotations

import sys

import click

from recbole_decm.cli.options import TAKES_KEYS, numbers, seeds_option, tell_failures


@click.command("teacher-sweep", context_settings=TAKES_KEYS)
@click.option("--model", default="DecCM", show_default=True, help="A model with a teacher.")
@click.option("--dataset", default="sim", show_default=True, help="Data set name.")
@click.option(
    "--weights",
    default="0,0.01,0.1,1",
    show_default=True,
    callback=numbers(float, "numbers"),
    help="Weights; 0 is always among them.",
)
@seeds_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def teacher_sweep_command(
    model: str, dataset: str, weights: list[float], seeds: list[int], arguments: tuple[str, ...]
) -> int:
    """Train a model at several weights of its teacher and print their validation scores.

    Warns where the teacher makes validation worse. Test data are not looked at. ARGUMENTS are --key=value.
    """
    from tqdm import tqdm

    from recbole_decm.experiments.sweep import effects, format_effects, sweep

    def describe(weight: float, seed: int) -> None:
        bar.set_description(f"weight {weight:g}, seed {seed}")

    rows = []
    with tqdm(total=len({0.0, *weights}) * len(seeds), unit="run", file=sys.stderr, disable=None) as bar:
        for row in sweep(model, dataset, weights, seeds, arguments, describe):
            rows.append(row)
            bar.update()
    scores = {(row["weight"], row["seed"]): row["score"] for row in rows if row["error"] is None}
    code = tell_failures(
        {f"weight {row['weight']:g}, seed {row['seed']}": row["error"] for row in rows if row["error"]}
    )
    click.echo(f"{model} on {dataset}, seeds {', '.join(map(str, seeds))}")
    click.echo(format_effects(effects(scores, rows[0]["bigger"]), rows[0]["metric"]))
    return code
