"""Figures of metrics and costs: means with intervals, metrics against the simulation's factors, time and memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recbole_decm.benchmark.comparisons import by_video, scores_of
from recbole_decm.benchmark.figures import GREY, STAGES, Figure, dressed, shown, styles
from recbole_decm.benchmark.results import Results, metric_title, smaller_is_better
from recbole_decm.benchmark.significance import mean_interval, seeds_interval
from recbole_decm.benchmark.tables import place_title


def bars(results: Results, test: str, metric: str) -> list[Figure]:
    """Means with 95 % intervals, best on top, a figure a data set; seeds as dots."""
    style, title = styles(results.models), metric_title(metric)
    figures = []
    for dataset in results.datasets:
        scores = {model: scores_of(results, model, dataset, test, metric) for model in results.models}
        scores = {model: found for model, found in scores.items() if found.means}
        if not scores:
            continue
        means = {model: float(np.mean(list(found.means.values()))) for model, found in scores.items()}
        order = sorted(means, key=lambda model: means[model], reverse=smaller_is_better(metric))
        intervals, over_videos = [], True
        for model in order:
            stored = {seed: values for seed, values in scores[model].videos.items() if values is not None}
            complete = len(stored) == len(scores[model].means)
            over_videos &= complete
            values = by_video(scores[model].data, stored) if complete else np.array([*scores[model].means.values()])
            intervals.append(mean_interval(values) if complete else seeds_interval(values))
        figure = go.Figure()
        figure.add_bar(
            orientation="h",
            x=[means[model] for model in order],
            y=[shown(model) for model in order],
            marker_color=[style[model]["colour"] for model in order],
            error_x=_asymmetric([means[model] for model in order], intervals),
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
            showlegend=False,
        )
        dots = [(value, shown(model)) for model in order for value in scores[model].means.values()]
        figure.add_scatter(
            x=[value for value, _ in dots],
            y=[label for _, label in dots],
            mode="markers",
            marker={"symbol": "circle-open", "color": "#1d232a", "size": 6},
            hovertemplate="%{y}, one seed: %{x:.4f}<extra></extra>",
            showlegend=False,
        )
        figure.update_layout(height=110 + 30 * len(order), margin={"l": 10})
        figure.update_xaxes(title=title, rangemode="tozero")
        figure.update_yaxes(automargin=True)
        what = "bootstrap over the test videos, each the mean over seeds" if over_videos else "t over seeds"
        caption = f"Bars: means; lines: 95 % intervals ({what}); circles: single seeds."
        figures.append(Figure(place_title(dataset, test), caption, dressed(figure)))
    return figures


def _asymmetric(means: Iterable[float], intervals: Iterable[tuple[float, float]]) -> dict[str, Any]:
    pairs = [(high - mean, mean - low) for mean, (low, high) in zip(means, intervals, strict=True)]
    arms = [[max(0.0, value) if math.isfinite(value) else 0.0 for value in side] for side in zip(*pairs, strict=True)]
    return {"type": "data", "array": arms[0], "arrayminus": arms[1], "color": "#1d232a", "thickness": 1.4, "width": 4}


def factor_slices(cells: pd.DataFrame) -> list[tuple[str, dict[str, float], pd.DataFrame]]:
    """(factor, the other factors that vary and where they were held, the cells of it) for each factor that varies.

    A simulation's seed is no factor: where each seed simulates its own data, it is the repetition.
    """
    names = [name for name in cells.columns if str(name).startswith("factor:") and name != "factor:seed"]
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(cells[name].dropna().infer_objects())]
    varying = [name for name in numeric if cells[name].nunique() > 1]
    slices = []
    for name in varying:
        others = [other for other in varying if other != name]
        known = cells[cells[name].notna()]
        groups = known.groupby(others, dropna=False) if others else [((), known)]
        for at, group in groups:
            if group[name].nunique() > 1:
                held = dict(zip(others, at if isinstance(at, tuple) else (at,), strict=True))
                slices.append(
                    (name.removeprefix("factor:"), {k.removeprefix("factor:"): v for k, v in held.items()}, group)
                )
    return slices


def strengths(results: Results, tests: Sequence[str], metrics: Sequence[str]) -> list[Figure]:
    """Each metric against each factor of the simulation that varies, a line a model."""
    style, figures = styles(results.models), []
    for factor, held, cells in factor_slices(results.done):
        at = "".join(f", {name} {value:g}" for name, value in held.items())
        for test, metric in [(test, metric) for metric in metrics for test in tests]:
            column = f"{test}:{metric}"
            if column not in cells or cells[column].dropna().empty:
                continue
            figure = go.Figure()
            for model in results.models:
                group = cells[cells["model"] == model].dropna(subset=[column]).groupby(f"factor:{factor}")[column]
                if not group.ngroups:
                    continue
                mean = group.mean()
                figure.add_scatter(
                    x=mean.index.tolist(),
                    y=mean.tolist(),
                    name=shown(model),
                    mode="lines+markers",
                    error_y={"type": "data", "array": group.std().fillna(0).tolist(), "thickness": 1.2, "width": 3},
                    line={"color": style[model]["colour"], "dash": style[model]["dash"]},
                    marker={"symbol": style[model]["symbol"], "size": 8},
                )
            figure.update_xaxes(title=shown(factor))
            figure.update_yaxes(title=metric_title(metric))
            figure.update_layout(height=380)
            where = "test split" if test == "test" else f"{test.removeprefix('test_')} test"
            title = f"{metric_title(metric)} against {factor}, {where}{at}"
            figures.append(Figure(title, "Points: means; lines: standard deviation over seeds.", dressed(figure)))
    return figures


def costs(results: Results) -> list[Figure]:
    """Seconds by stage, and peak memory, mean over seeds."""
    figures = []
    for dataset in results.datasets:
        cells = results.done[results.done["dataset"] == dataset]
        models = [model for model in results.models if model in set(cells["model"])][::-1]
        if not models:
            continue
        labels = [shown(model) for model in models]
        means = cells.drop(columns=["key"], errors="ignore").groupby("model").mean(numeric_only=True)
        figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06, column_widths=[0.62, 0.38])
        stages = [name for name in means.columns if str(name).startswith("seconds:")]
        for name in stages:
            stage = name.removeprefix("seconds:")
            values = means[name].reindex(models).fillna(0).tolist()
            colour = STAGES.get(stage, GREY)
            figure.add_bar(x=values, y=labels, orientation="h", name=shown(stage), marker_color=colour, row=1, col=1)
        if "peak_memory_mb" in means:
            memory = means["peak_memory_mb"].reindex(models).tolist()
            figure.add_bar(
                x=memory, y=labels, orientation="h", name="memory", showlegend=False, marker_color=GREY, row=1, col=2
            )
        figure.update_layout(barmode="stack", height=150 + 28 * len(models))
        figure.update_xaxes(title="seconds", row=1, col=1)
        figure.update_xaxes(title="peak memory, MB", row=1, col=2)
        figure.update_yaxes(automargin=True)
        caption = "Mean over seeds, on the machine and with the other work that the benchmark ran beside."
        figures.append(Figure(dataset, caption, dressed(figure)))
    return figures
