"""``recbole-decm evaluate``: metrics of a checkpoint on a data set."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("evaluate", context_settings=TAKES_KEYS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--dataset", help="Data set; by default the one the checkpoint was trained on.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def evaluate_command(checkpoint: Path, dataset: str | None, arguments: tuple[str, ...]) -> None:
    """Metrics of CHECKPOINT on validation and test data.

    ARGUMENTS are --key=value, above the values the checkpoint was trained with;
    --result_file=PATH writes JSON.
    """
    from recbole_decm.training.evaluate import evaluate

    given = [part for part in arguments if part] + ([f"--dataset={dataset}"] if dataset else [])
    result = evaluate(checkpoint, given)
    for phase in ("valid", "test", *(key for key in result if key.startswith("test_"))):
        if result[phase] is not None:
            click.echo(f"{phase:7s}  " + "  ".join(f"{name} {value:.6f}" for name, value in result[phase].items()))
    for name, (low, high) in result.get("intervals", {}).items():
        click.echo(f"test, 95 % interval of the estimated {name}: {low:.6f} to {high:.6f}")
    if "chosen_majority_share" in result:
        share, rows = result["chosen_majority_share"], result["effective_sample_size"]
        click.echo(
            f"test, effective sample size {rows:.1f}; share of the largest genre among the chosen tracks: "
            f"observed {share['observed']:.6f}, estimated without habit {share['estimated']:.6f}"
        )
    for phase, kinds in result.get("cold_warm", {}).items():
        for kind, values in kinds.items():
            shown = "  ".join(f"{name} {value:.6f}" for name, value in values.items() if name != "pairs")
            click.echo(f"{phase}, {values['pairs']} pairs of {kind} tracks  {shown}")
