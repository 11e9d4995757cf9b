"""``recbole-decm verify-released``: our model against golden values of the released code."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify-released")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tolerance", default=1e-5, show_default=True, help="Largest error, absolute or relative.")
@click.option("--failures-only", is_flag=True, help="Show only the quantities that do not agree.")
def verify_released_command(files: tuple[Path, ...], tolerance: float, failures_only: bool) -> int:
    """Compare DecCM under objective: released with golden FILES (.npz), quantity by quantity.

    Exit status 1 if an error is past the tolerance (absolute or relative, whichever is smaller), or if a file holds a
    quantity that was not compared.
    """
    from tabulate import tabulate

    from recbole_decm.released.golden import read_golden
    from recbole_decm.released.verify import verify

    disagreeing = 0
    for path in files:
        golden = read_golden(path)
        rows = verify(golden, tolerance)
        wrong = [row for row in rows if not row.agrees]
        shown = wrong if failures_only else rows
        lines = [
            (r.quantity, f"{r.absolute:.1e}", f"{r.relative:.1e}", "ok" if r.agrees else "FAIL", r.remark)
            for r in shown
        ]
        click.echo(f"{path}: {golden.batch} pairs, {golden.sizes}")
        heads = ("quantity", "largest absolute error", "largest relative error", "", "")
        click.echo(tabulate(lines, headers=heads, disable_numparse=True))
        verdict = "all agree" if not wrong else f"{len(wrong)} do not agree: {', '.join(r.quantity for r in wrong[:5])}"
        click.echo(f"{len(rows)} quantities, tolerance {tolerance:g}: {verdict}\n")
        disagreeing += len(wrong)
    return int(disagreeing > 0)
