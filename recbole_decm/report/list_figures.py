"""Figures of what the recommended lists hold: genres, and popularity against accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from recbole_decm.metrics.names import metric_title, smaller_is_better
from recbole_decm.report.look import COLOURS, GREY, Figure, new_figure, shown, styles
from recbole_decm.report.results import Results
from recbole_decm.report.tables import place_title

POPULARITY_CAPTION = (
    "Across: training pairs of the recommended music, on average; further left, less of what is popular already. "
    "Means with standard deviations over seeds. The dashed line is the Pareto front: it joins the models that no other "
    "beats in both. Dotted: the same mean over the catalogue and over the training pairs."
)


def genre_figures(results: Results) -> list[Figure]:
    """What the lists hold by genre, under what the truth, the training pairs and the catalogue hold."""
    figures = []
    for dataset in results.datasets:
        cells = results.done[results.done["dataset"] == dataset]
        held = [genres for genres in cells.get("genres", []) if isinstance(genres, dict) and genres.get("lists")]
        if not held:
            continue
        names = held[0]["names"]
        rows: dict[str, list[float]] = {}
        for key, label in (("truth", "truth (do test)"), ("train", "training pairs"), ("catalogue", "catalogue")):
            known = [genres[key] for genres in held if genres.get(key)]
            if known:
                rows[f"— {label}"] = np.mean(known, axis=0).tolist()
        target = "truth" if any(genres.get("truth") for genres in held) else "catalogue"
        wanted = next(iter(rows.values())) if target == "truth" else rows.get("— catalogue")
        for model in results.models:
            lists = [
                genres["lists"]
                for genres in cells[cells["model"] == model].get("genres", [])
                if isinstance(genres, dict) and genres.get("names") == names and genres.get("lists")
            ]
            if lists:
                rows[model] = np.mean(lists, axis=0).tolist()
        figures.append(_genre_figure(dataset, names, rows, wanted, target))
    return figures


def _genre_figure(
    dataset: str, names: Sequence[str], rows: Mapping[str, Sequence[float]], wanted: Sequence[float] | None, target: str
) -> Figure:
    figure = new_figure()
    labels = [shown(label) for label in rows][::-1]
    for k, name in enumerate(names):
        shares = [row[k] for row in rows.values()][::-1]
        figure.add_bar(
            orientation="h",
            x=shares,
            y=labels,
            name=shown(name),
            marker={"color": COLOURS[k % len(COLOURS)], "line": {"color": "white", "width": 1}},
            text=[f"{share:.0%}" if share >= 0.06 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertemplate="%{y}, %{fullData.name}: %{x:.1%}<extra></extra>",
        )
    caption = "Shares of the recommended lists, mean over seeds; rows with a dash are what to compare with."
    if wanted is not None:
        for label, row in rows.items():
            gap = float(np.abs(np.subtract(row, wanted)).sum() / 2)
            figure.add_annotation(
                x=1.01, xanchor="left", y=shown(label), text=f"{gap:.3f}", showarrow=False, font={"color": GREY}
            )
        caption += f" On the right, the distance to the {target}: the share of entries that would have to change genre."
    figure.update_layout(barmode="stack", height=80 + 26 * len(rows), bargap=0.2)
    figure.update_xaxes(range=[0, 1.1], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1])
    legend = tuple((name, COLOURS[k % len(COLOURS)]) for k, name in enumerate(names))
    return Figure(dataset, caption, figure, legend)


def pareto_front(cost: Sequence[float], gain: Sequence[float]) -> list[int]:
    """Points that no other beats or equals in both with one of them better: positions, by rising cost."""
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -gain[i]))
    front: list[int] = []
    for i in order:
        if not front or gain[i] > gain[front[-1]] or (cost[i], gain[i]) == (cost[front[-1]], gain[front[-1]]):
            front.append(i)
    return front


def accuracy_against_popularity(results: Results, test: str, metric: str) -> list[Figure]:
    """Accuracy over the popularity of what is recommended, with the models that no other beats in both."""
    column, figures = f"{test}:{metric}", []
    needed = [column, "popularity:lists"]
    if not set(needed) <= set(results.done.columns):
        return []
    for dataset in results.datasets:
        cells = results.done[results.done["dataset"] == dataset].dropna(subset=needed)
        if cells.empty:
            continue
        points = pd.DataFrame(index=sorted(set(cells["model"]), key=results.models.index))
        for axis, name in (("y", column), ("x", "popularity:lists")):
            points[axis] = cells.groupby("model")[name].mean()
            points[f"{axis}_spread"] = cells.groupby("model")[name].std()
        gain = -points["y"] if smaller_is_better(metric) else points["y"]
        front = pareto_front(points["x"].tolist(), gain.tolist())
        figure = _popularity_figure(points.fillna(0.0), front, styles(results.models))
        for name, label in (("train", "training pairs"), ("catalogue", "catalogue")):
            mean = cells.get(f"popularity:{name}", pd.Series(dtype=float)).mean()
            if math.isfinite(mean):
                line = {"color": GREY, "dash": "dot", "width": 1}
                figure.add_vline(x=mean, line=line, annotation_text=label, annotation_font_size=11)
        figure.update_xaxes(title="mean popularity of the lists")
        figure.update_yaxes(title=metric_title(metric))
        figures.append(Figure(place_title(dataset, test), POPULARITY_CAPTION, figure))
    return figures


def _popularity_figure(points: pd.DataFrame, front: Sequence[int], style: Mapping[str, Mapping[str, str]]) -> go.Figure:
    figure = new_figure()
    best = points.iloc[list(front)]
    line = {"color": GREY, "dash": "dash", "width": 1.5}
    figure.add_scatter(
        x=best["x"].tolist(), y=best["y"].tolist(), mode="lines", line=line, name="Pareto front", hoverinfo="skip"
    )
    for i, (model, point) in enumerate(points.iterrows()):
        look = style[str(model)]
        figure.add_scatter(
            x=[point["x"]],
            y=[point["y"]],
            name=shown(model),
            mode="markers+text",
            text=[shown(model)],
            textposition="middle right",
            textfont={"size": 11},
            cliponaxis=False,
            error_x={"type": "data", "array": [point["x_spread"]], "thickness": 1},
            error_y={"type": "data", "array": [point["y_spread"]], "thickness": 1},
            marker={
                "color": look["colour"],
                "symbol": look["symbol"],
                "size": 12 if i in front else 9,
                "opacity": 1 if i in front else 0.7,
            },
        )
    figure.update_layout(height=400)
    return figure
