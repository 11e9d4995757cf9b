"""A diagnosis as text on screen and as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from tabulate import tabulate

from recbole_decm.report.html import figures_json, render, script_safe
from recbole_decm.report.look import new_figure, shown

STRENGTH = {"given": "strength (coefficient of the log-preference)", "counted": "deviation of the uploaders' tastes"}


def format_diagnosis(found: Mapping[str, Any]) -> str:
    """The tables on screen, and the words below them."""
    parts = [f"{found['dataset']}, {found['rows']} training rows, {found['tracks']} tracks"]
    if "p_value" in found:
        parts.append(tabulate(table(found), headers=["measure", "value"], disable_numparse=True))
        parts.append(tabulate(by_genre(found), headers=_GENRE_HEADERS, disable_numparse=True))
    return "\n\n".join([*parts, "\n".join(found["words"])])


def table(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One line a measure: what it is, and its value."""
    strength, overlap = found["strength"], found["overlap"]
    lines = [
        ("rows looked at", str(found["rows_examined"])),
        ("preference", "given" if found["preference"] == "given" else "counted from an uploader's other choices"),
        (f"p-value of no habit ({found['test']})", f"{found['p_value']:.3g}"),
        (STRENGTH[found["preference"]], _with_interval(strength)),
        ("the same, found in four of five such data sets", f"{found['detectable']:.3f}"),
        ("a genre's chance, one deviation more of it", f"x {found['risk_ratio']:.2f}"),
        ("E-value, of the estimate and of its interval", f"{found['e_value']:.2f}, {found['e_value_of_interval']:.2f}"),
        ("effective sample, weights alone", f"{overlap['effective_share']:.1%}"),
        ("effective sample, with overlap weights", f"{overlap['overlap_weighted']:.1%}"),
    ]
    if "concentration" in found:
        of = found["concentration"]
        lines += [
            ("uploaders", str(of["uploaders"])),
            ("videos an uploader, median and most", f"{of['videos_each']['median']:g}, {of['videos_each']['most']}"),
            ("videos of the tenth of the uploaders with the most", f"{of['top_tenth']:.1%}"),
            ("two videos of one uploader have one genre", _share(of["same_genre"]["one_uploader"])),
            ("the same by content alone", _share(of["same_genre"]["content"])),
            ("any two videos have one genre", _share(of["same_genre"]["any_two"])),
        ]
    return lines


_GENRE_HEADERS = ["genre", "as good as impossible", "never chosen by uploaders of 5 and more", "by content alone"]


def by_genre(found: Mapping[str, Any]) -> list[list[str]]:
    """One line a genre: share of the rows in which its chance is below 1 %, share of uploaders that never chose it."""
    rare = dict(zip(map(tuple, found["overlap"]["kinds"]), found["overlap"]["rare"], strict=True))
    lines = []
    for k, genre in enumerate(found["genres"]):
        alone = tuple(float(k == other) for other in range(len(found["genres"])))
        never = found["never_chosen"][k] if "never_chosen" in found else {"observed": None, "content": None}
        lines.append([genre, _share(rare.get(alone)), _share(never["observed"]), _share(never["content"])])
    return lines


def plot_diagnosis(found: Mapping[str, Any]) -> str:
    """One HTML page that needs no network; every label is escaped."""
    figures: dict[str, go.Figure] = {}
    if "p_value" in found:
        lines = by_genre(found)
        names = [shown(line[0]) for line in lines]
        kinds = dict(zip(map(tuple, found["overlap"]["kinds"]), found["overlap"]["rare"], strict=True))
        alone = [tuple(float(k == other) for other in range(len(names))) for k in range(len(names))]
        rare = go.Bar(name="as good as impossible", x=names, y=[kinds.get(kind) for kind in alone])
        figures["Share of the rows in which a genre has a chance below 1 %"] = _bars([rare])
        if "never_chosen" in found:
            bars = [
                go.Bar(name=name, x=names, y=[entry[key] for entry in found["never_chosen"]])
                for name, key in (("observed", "observed"), ("by content alone", "content"))
            ]
            figures["Share of the uploaders with at least five videos that never chose a genre"] = _bars(bars)
    named = {f"figure-{i}": figure for i, figure in enumerate(figures.values())}
    return render(
        "diagnosis.html.j2",
        title=f"Diagnosis of {found['dataset']}",
        words=found["words"],
        rows=table(found) if "p_value" in found else [],
        genre_headers=_GENRE_HEADERS,
        genres=by_genre(found) if "p_value" in found else [],
        places=dict(zip(named, figures, strict=True)),
        figures_data=figures_json(named),
        curves_data=script_safe("[]"),
    )


def _bars(bars: list[go.Bar]) -> go.Figure:
    layout = {"height": 340, "barmode": "group", "showlegend": len(bars) > 1, "yaxis": {"tickformat": ".0%"}}
    return new_figure().add_traces(bars).update_layout(layout)


def _with_interval(strength: Mapping[str, float]) -> str:
    return f"{strength['value']:.3f} ({strength['low']:.3f} to {strength['high']:.3f})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
