"""The command line: ``recbole-decm COMMAND``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from recbole_decm.cli.guard import guarded
from recbole_decm.errors import ConfigError
from recbole_decm.io.version import __version__

# Commands by module, imported when they are used, so that --help answers at once.
COMMANDS = {
    "first-look": ("recbole_decm.cli.first_look", "first_look_command", "What the adjustment does, in a minute."),
    "demo": ("recbole_decm.cli.demo", "demo_command", "From playable videos to recommendations, in some minutes."),
    "run": ("recbole_decm.cli.run", "run_command", "Train and test one model."),
    "compare": ("recbole_decm.cli.compare", "compare_command", "Train several models and print one table."),
    "evaluate": ("recbole_decm.cli.evaluate", "evaluate_command", "Metrics of a checkpoint."),
    "recommend": ("recbole_decm.cli.recommend", "recommend_command", "The top tracks for many videos, as a table."),
    "embed": ("recbole_decm.cli.embed", "embed_command", "The vectors of tracks and videos as .npy."),
    "export": ("recbole_decm.cli.export", "export_command", "A checkpoint as a folder that serves without torch."),
    "publish": ("recbole_decm.cli.publish", "publish_command", "Make an artefact a version of a served catalogue."),
    "versions": ("recbole_decm.cli.versions", "versions_command", "The versions of a served catalogue."),
    "serve": ("recbole_decm.cli.serve", "serve_command", "An API and a page over an exported catalogue."),
    "api-key": ("recbole_decm.cli.serve", "api_key_command", "Keys of the API's callers."),
    "diagnose": ("recbole_decm.cli.diagnose", "diagnose_command", "Is there an uploader's habit in the data?"),
    "audit": ("recbole_decm.cli.audit", "audit_command", "Does the adjustment of a checkpoint do anything?"),
    "teacher-sweep": (
        "recbole_decm.cli.teacher_sweep",
        "teacher_sweep_command",
        "Validation scores by the weight of the teacher.",
    ),
    "benchmark": (
        "recbole_decm.cli.benchmark",
        "benchmark_command",
        "Models x data sets x seeds: tables, significance, report.",
    ),
    "tune": ("recbole_decm.cli.tune", "tune_command", "Search hyper-parameters on validation data."),
    "simulate": ("recbole_decm.cli.simulate", "simulate_command", "Write a simulated data set with ground truth."),
    "benchmark-report": (
        "recbole_decm.cli.benchmark_report",
        "benchmark_report_command",
        "Tables and page of a benchmark, from its folder.",
    ),
    "extract": ("recbole_decm.cli.extract", "extract_command", "Turn videos and music into a data set."),
    "import-table": (
        "recbole_decm.cli.import_table",
        "import_table_command",
        "Turn tables and matrices into a data set.",
    ),
    "import-released": (
        "recbole_decm.cli.import_released",
        "import_released_command",
        "Convert data in the released DecCM layout.",
    ),
    "verify-released": (
        "recbole_decm.cli.verify_released",
        "verify_released_command",
        "Compare our model with golden values of the released code.",
    ),
    "import-weights": (
        "recbole_decm.cli.import_weights",
        "import_weights_command",
        "Turn weights of the released code into a checkpoint.",
    ),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recbole-decm")
def main_group() -> None:
    """Deconfounded cross-modal matching for background-music recommendation, on RecBole."""


def _in_one_line(error: click.ClickException) -> str:
    """What click has against the command line, and where to read more."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    more = f" See {context.command_path} --help." if context else ""
    return " ".join(error.format_message().split()) + more


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
            raise ConfigError(_in_one_line(error)) from error
        except click.Abort as abort:  # click's word for Ctrl-C
            cause = abort.__cause__
            raise cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt() from None

    return guarded(work, debug) or (status if isinstance(status, int) else 0)
