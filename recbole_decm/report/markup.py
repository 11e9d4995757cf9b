"""The table of results as Markdown and as LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from recbole_decm.metrics.names import metric_title, smaller_is_better
from recbole_decm.report.tables import BETTER, WORSE, Column, Entry, Table, parts_of


def to_markdown(table: Table, title: str) -> str:
    """The table in GitHub's Markdown, in pieces where it is wide."""
    lines = [f"# {escape_markdown(title)}", ""]
    for columns in parts_of(table):
        lines.append("| model | " + " | ".join(escape_markdown(_heading(column)) for column in columns) + " |")
        lines.append("| --- |" + " ---: |" * len(columns))
        for model in table.models:
            entries = (table.entries.get((model, column)) for column in columns)
            lines.append(f"| {escape_markdown(model)} | " + " | ".join(map(_markdown_entry, entries)) + " |")
        lines.append("")
    return "\n".join([*lines, escape_markdown(table.note), ""])


def _heading(column: Column) -> str:
    return f"{column.place} {metric_title(column.metric)}{' ↓' if smaller_is_better(column.metric) else ''}"


def _markdown_entry(entry: Entry | None) -> str:
    if entry is None:
        return ""
    mean = {1: f"**{entry.mean_text}**", 2: f"<u>{entry.mean_text}</u>"}.get(entry.rank, entry.mean_text)
    return mean + (f" ± {entry.deviation_text}" if entry.deviation_text else "") + entry.mark


def to_latex(table: Table, title: str) -> str:
    """The table for LaTeX with booktabs: one ``table`` environment a piece."""
    pieces = parts_of(table)
    lines = [r"% \usepackage{booktabs}"]
    for number, columns in enumerate(pieces, start=1):
        caption = title + (f", part {number} of {len(pieces)}" if len(pieces) > 1 else "") + ". " + table.note
        lines += [r"\begin{table}[t]", r"\centering\small", rf"\caption{{{escape_latex(caption)}}}"]
        lines += [rf"\label{{tab:benchmark{'' if number == 1 else f'-{number}'}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", *_latex_head(columns), r"\midrule"]
        for model in table.models:
            entries = (_latex_entry(table.entries.get((model, column))) for column in columns)
            lines.append(" & ".join([escape_latex(model), *entries]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    if not pieces:
        lines.append(f"% {escape_latex(table.note)}")
    return "\n".join(lines)


def _latex_head(columns: Sequence[Column]) -> list[str]:
    places, rules, start = [], [], 2
    for place, group in groupby(columns, key=lambda column: column.place):
        size = len(list(group))
        places.append(rf"\multicolumn{{{size}}}{{c}}{{{escape_latex(place)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + size - 1}}}")
        start += size
    arrows = [r" $\downarrow$" if smaller_is_better(column.metric) else r" $\uparrow$" for column in columns]
    names = [escape_latex(metric_title(column.metric)) + arrow for column, arrow in zip(columns, arrows, strict=True)]
    return [" & ".join(["", *places]) + r" \\", " ".join(rules), " & ".join(["Model", *names]) + r" \\"]


def _latex_entry(entry: Entry | None) -> str:
    if entry is None:
        return "--"
    style = {1: r"\textbf{%s}", 2: r"\underline{%s}"}.get(entry.rank, "%s")
    spread = rf" $\pm$ {entry.deviation_text}" if entry.deviation_text else ""
    mark = {BETTER: r"$^{\dagger}$", WORSE: r"$^{\ddagger}$"}.get(entry.mark, "")
    return style % entry.mean_text + spread + mark


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    BETTER: r"$\dagger$",
    WORSE: r"$\ddagger$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is; line breaks become spaces."""
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Text that Markdown prints as it is, inside a cell of a table too; line breaks become spaces."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))
