"""The command line: ``recbole-decm COMMAND`` and the main function of ``run_recbole.py``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

import click

import recbole_decm
from recbole_decm.errors import ConfigError, DecCMError

# Commands by module, imported when they are used, so that --help answers at once.
COMMANDS = {
    "run": ("recbole_decm.commands.run", "run_command", "Train and test one model."),
    "compare": ("recbole_decm.commands.compare", "compare_command", "Train several models and print one table."),
    "evaluate": ("recbole_decm.commands.evaluate", "evaluate_command", "Metrics of a checkpoint."),
    "recommend": ("recbole_decm.commands.recommend", "recommend_command", "The top music for many videos, as CSV."),
    "audit": ("recbole_decm.commands.audit", "audit_command", "Does the adjustment of a checkpoint do anything?"),
    "teacher-sweep": (
        "recbole_decm.commands.teacher_sweep",
        "teacher_sweep_command",
        "Validation scores by the weight of the teacher.",
    ),
    "benchmark": (
        "recbole_decm.commands.benchmark",
        "benchmark_command",
        "Models x data sets x seeds: tables, significance, report.",
    ),
    "tune": ("recbole_decm.commands.tune", "tune_command", "Search hyper-parameters on validation data."),
    "simulate": ("recbole_decm.commands.simulate", "simulate_command", "Write a simulated data set with ground truth."),
    "benchmark-report": (
        "recbole_decm.commands.benchmark_report",
        "benchmark_report_command",
        "Tables and page of a benchmark, from its folder.",
    ),
    "import-released": (
        "recbole_decm.commands.import_released",
        "import_released_command",
        "Convert data in the released DecCM layout.",
    ),
    "verify-released": (
        "recbole_decm.commands.verify_released",
        "verify_released_command",
        "Compare our model with golden values of the released code.",
    ),
    "import-weights": (
        "recbole_decm.commands.import_weights",
        "import_weights_command",
        "Turn weights of the released code into a checkpoint.",
    ),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx, formatter):
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(recbole_decm.__version__, prog_name="recbole-decm")
def main_group() -> None:
    """Deconfounded cross-modal matching for background-music recommendation, on RecBole."""


def guarded(work: Callable[[], object], debug: bool) -> int:
    """Run ``work``; print the message of an expected error alone and return 2, or show its traceback with ``debug``."""
    try:
        work()
    except DecCMError as error:
        if debug:
            raise
        rank = os.environ.get("RANK", "0")  # of torchrun, whose processes all have the same config
        if rank == "0" or not isinstance(error, ConfigError):
            print(f"error: {error}" if rank == "0" else f"error (rank {rank}): {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the last finished epoch is in the checkpoint", file=sys.stderr)
        return 130
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``recbole-decm``. ``--debug`` anywhere shows tracebacks."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    status = 0

    def work() -> None:
        nonlocal status
        try:
            status = main_group.main(given, prog_name="recbole-decm", standalone_mode=False) or 0
        except click.exceptions.Exit as done:
            status = done.exit_code
        except click.ClickException as error:
            error.show()
            status = 2
        except click.Abort:
            raise KeyboardInterrupt from None

    return guarded(work, debug) or (status if isinstance(status, int) else 0)


USAGE = """usage: python run_recbole.py --model=NAME --dataset=NAME [--config_files="a.yaml b.yaml"] [--key=value ...]

Trains and tests a model, DecCM on the shipped data set 'sim' by default. Every key of properties/overall.yaml and of
properties/model/NAME.yaml can be given as --key=value; --result_file=PATH writes the results as JSON; --debug shows
tracebacks; --nproc=N trains in N processes, as torchrun does (docs/distributed.md). Models: DecCM, DecCMPlus,
DecCMTeacher, CMVAE, the baselines Ridge, CCA, Cosine, NearestVideos, IPW, PDA and DecRS, and RecBole's own (Pop, BPR,
LightGCN, MultiVAE, FM, DeepFM, DSSM, ...).
"""


def run_main(arguments: Sequence[str] | None = None) -> int:
    """Main function of ``run_recbole.py`` and of ``recbole-decm run``; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(argument in ("-h", "--help") for argument in given):
        print(USAGE, end="")
        return 0
    status = guarded(lambda: _run([argument for argument in given if argument != "--debug"]), "--debug" in given)
    if "RANK" in os.environ:
        from recbole_decm.distributed import launch, processes

        if processes.started_by_launcher():
            launch.leave(status)
    return status


def _run(arguments: list[str]) -> None:
    from recbole_decm.config_values import parse_arguments, read_config_files, take_config_files
    from recbole_decm.quick_start import run

    values = parse_arguments(arguments)
    config_files = take_config_files(values)
    rest = [
        argument for argument in arguments if not argument.startswith(("--model=", "--dataset=", "--config_files="))
    ]
    named = read_config_files(config_files) | values  # RecBole lets config files name the model and the data set
    run(named.get("model", "DecCM"), named.get("dataset", "sim"), config_files, arguments=rest)
