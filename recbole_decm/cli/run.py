"""``recbole-decm run``: what ``run_recbole.py`` does, from any folder; and the main function of both."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from recbole_decm.cli.guard import guarded
from recbole_decm.cli.options import TAKES_KEYS

USAGE = """usage: python run_recbole.py --model=NAME --dataset=NAME [--config_files="a.yaml b.yaml"] [--key=value ...]

Trains and tests a model, DecCM on the shipped data set 'sim' by default. Every key of properties/overall.yaml and of
properties/model/NAME.yaml can be given as --key=value; --result_file=PATH writes the results as JSON; --debug shows
tracebacks; --nproc=N trains in N processes, as torchrun does (docs/distributed.md). Models: DecCM, DecCMPlus,
DecCMTeacher, CMVAE, the baselines of docs/baselines.md (Ridge, CCA, NearestVideos, IPW, VMNet, ...), RecBole's own
(Pop, BPR, LightGCN, MultiVAE, FM, DeepFM, DSSM, ...), and your own as package.module:Class (docs/extending.md).
"""


def run_main(arguments: Sequence[str] | None = None) -> int:
    """Main function of ``run_recbole.py`` and of ``recbole-decm run``; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(argument in ("-h", "--help") for argument in given):
        print(USAGE, end="")
        return 0
    status = guarded(lambda: _run([argument for argument in given if argument != "--debug"]), "--debug" in given)
    if "RANK" in os.environ:
        from recbole_decm.parallel import launch, processes

        if processes.started_by_launcher():
            launch.leave(status)
    return status


def _run(arguments: list[str]) -> None:
    from recbole_decm.config.values import parse_arguments, read_config_files, take_config_files
    from recbole_decm.training.run import run

    values = parse_arguments(arguments)
    config_files = take_config_files(values)
    rest = [
        argument for argument in arguments if not argument.startswith(("--model=", "--dataset=", "--config_files="))
    ]
    named = read_config_files(config_files) | values  # RecBole lets config files name the model and the data set
    run(named.get("model", "DecCM"), named.get("dataset", "sim"), config_files, arguments=rest)


@click.command(
    "run",
    context_settings=TAKES_KEYS | {"help_option_names": []},
    help=USAGE,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_command(arguments: tuple[str, ...]) -> int:
    """Train and test one model."""
    return run_main(arguments)
