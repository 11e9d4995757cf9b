"""What a report is about: the options of the command, above what the folder's specification says."""

from __future__ import annotations

from dataclasses import dataclass

from recbole_decm.errors import ConfigError, suggest
from recbole_decm.report.results import Results


@dataclass(frozen=True)
class ReportOptions:
    """What a report is about.

    Attributes:
        metric: the main metric with its cut-off, as ``cell.json`` names it. The table shows all metrics of its cut-off.
        test: the test set that comes first; the others follow it.
        baseline: label of the model that all others are compared with; None compares with the best mean.
        title: heading of the tables and of the page.
    """

    metric: str = "ndcg@10"
    test: str = "test"
    baseline: str | None = None
    title: str = "Benchmark"


def specified_options(results: Results) -> ReportOptions:
    """What the specification in a benchmark's folder says of its report; the defaults where it says nothing."""
    keys = {"metric": "main_metric", "test": "main_test", "baseline": "baseline", "title": "title"}
    said = {option: results.specified.get(key) for option, key in keys.items()}
    return ReportOptions(**{option: value for option, value in said.items() if isinstance(value, str)})


def require(option: str, found: str, known: list[str], where: str = "") -> None:
    """Refuse an option that is none of the known names.

    Raises:
        ConfigError: with the names that there are.
    """
    if found not in known:
        hint = suggest(found, known)
        raise ConfigError(f"{option}: expected one of {', '.join(known)}{where}, found '{found}'.{hint}")
