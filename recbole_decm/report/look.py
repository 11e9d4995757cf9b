"""One look for all figures of the report: colours by model, labels as they are, never read as markup."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

COLOURS = (
    *("#1f5a94", "#c8553d", "#3a7d44", "#8e5ea2", "#d19a1f", "#2a9d9d", "#a23b6a", "#6b705c", "#5f8fd0", "#e08e6d"),
    *("#7fb069", "#b79ad0", "#4a4e8f", "#a0561c", "#0f766e", "#d46a9f", "#8f8200", "#7a1f3d", "#454b52", "#86c5c0"),
)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
DASHES = ("solid", "dash", "dot")
STAGES = {"load": "#b8c4cf", "teacher": "#d19a1f", "train": "#1f5a94", "test": "#3a7d44"}
GREY = "#5b6470"


class Figure(NamedTuple):
    """A figure with the words under it and the (label, colour) pairs of its legend, which the page draws as text."""

    title: str
    caption: str
    figure: go.Figure
    legend: tuple[tuple[str, str], ...] = ()


def shown(label: object) -> str:
    """A label for plotly, which reads a subset of HTML, and TeX between dollars: escaped, to be printed as it is."""
    return html.escape(str(label), quote=False).replace("$", "&#36;")


def styles(models: Sequence[str]) -> dict[str, dict[str, str]]:
    """Colour, marker and dash of each model, the same in every figure."""
    turns = len(COLOURS)
    return {
        model: {
            "colour": COLOURS[i % turns],
            "symbol": SYMBOLS[(i // turns + i) % len(SYMBOLS)],
            "dash": DASHES[(i // turns) % len(DASHES)],
        }
        for i, model in enumerate(models)
    }


_AXIS = {
    "automargin": True,
    "gridcolor": "#e8ebef",
    "linecolor": "#e8ebef",
    "zerolinecolor": "#dfe3e8",
    "title": {"font": {"size": 12}, "standoff": 8},
}
# A template of our own: plotly's named ones hold every type of trace, and copying them costs more than the figures.
_TEMPLATE = {
    "layout": {
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": "#1d232a"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"t": 26, "r": 20, "b": 46, "l": 60},
        "hoverlabel": {"namelength": -1},
        "showlegend": False,  # legends are left to the page, which wraps them
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}


def new_figure() -> go.Figure:
    """An empty figure with the look that all share."""
    return go.Figure(layout={"template": _TEMPLATE})
