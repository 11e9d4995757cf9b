"""Figures of metrics and costs: means with intervals, metrics against the simulation's factors, time and memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from recbole_decm.metrics.names import metric_title, smaller_is_better
from recbole_decm.metrics.paired import Interval, mean_interval, seeds_interval
from recbole_decm.report.comparisons import ByVideo, Scores, by_fold, by_video, scores_of
from recbole_decm.report.look import GREY, STAGES, Figure, new_figure, shown, styles
from recbole_decm.report.results import Results
from recbole_decm.report.tables import place_title


def bars(results: Results, test: str, metric: str) -> list[Figure]:
    """Means with 95 % intervals, best on top, a figure a data set; seeds as dots."""
    style, figures = styles(results.models), []
    for dataset in results.datasets:
        scores = {model: scores_of(results, model, dataset, test, metric) for model in results.models}
        scores = {model: found for model, found in scores.items() if found.means}
        if scores:
            means = {model: float(np.mean(list(found.means.values()))) for model, found in scores.items()}
            order = sorted(means, key=lambda model: means[model], reverse=smaller_is_better(metric))
            colours = [style[model]["colour"] for model in order]
            figure = _bar_figure([(model, means[model], scores[model]) for model in order], colours)
            figure.update_xaxes(title=metric_title(metric), rangemode="tozero")
            stored = [found for found in map(_by_video, scores.values()) if found is not None]
            over_videos = len(stored) == len(scores)
            kind = "runs" if results.folded else "seeds"
            what = f"t over {'folds' if results.folded else kind}"
            if over_videos:
                clustered = all(found.clusters is not None for found in stored)
                by = f", by {'group' if results.folded else 'uploader'}" if clustered else ""
                what = f"bootstrap over the test videos{by}, each the mean over seeds"
            caption = f"Bars: means; lines: 95 % intervals ({what}); circles: single {kind}."
            figures.append(Figure(place_title(dataset, test), caption, figure))
    return figures


def _bar_figure(rows: Sequence[tuple[str, float, Scores]], colours: Sequence[str]) -> go.Figure:
    labels, means = [shown(model) for model, _, _ in rows], [mean for _, mean, _ in rows]
    figure = new_figure()
    figure.add_bar(
        orientation="h",
        x=means,
        y=labels,
        marker_color=colours,
        error_x=_asymmetric(means, [_interval(scores) for _, _, scores in rows]),
        text=[f"{mean:.4f}" for mean in means],
        textposition="inside",
        insidetextanchor="start",
        textangle=0,
        insidetextfont={"color": "white", "size": 11},
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )
    dots = [
        (value, label) for label, (_, _, scores) in zip(labels, rows, strict=True) for value in scores.means.values()
    ]
    figure.add_scatter(
        x=[value for value, _ in dots],
        y=[label for _, label in dots],
        mode="markers",
        marker={"color": "white", "size": 5, "line": {"color": "#1d232a", "width": 1}},
        hovertemplate="%{y}, one run: %{x:.4f}<extra></extra>",
    )
    figure.update_layout(height=90 + 28 * len(rows), bargap=0.25)
    return figure


def _by_video(scores: Scores) -> ByVideo | None:
    """One value a video, or None where a seed has none stored."""
    stored = {seed: values for seed, values in scores.videos.items() if values is not None}
    return by_video(scores, stored) if len(stored) == len(scores.means) else None


def _interval(scores: Scores) -> Interval:
    values = _by_video(scores)
    if values is not None:
        return mean_interval(*values)
    units = by_fold(list(scores.means), np.array([*scores.means.values()]))
    return seeds_interval(units, shared=scores.shared)


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
    """Each metric against each factor of the simulation that varies, one line per model."""
    style, figures = styles(results.models), []
    for factor, held, cells in factor_slices(results.done):
        at = "".join(f", {name} {value:g}" for name, value in held.items())
        models = [model for model in results.models if model in set(cells["model"])]
        legend = tuple((model, style[model]["colour"]) for model in models)
        for test, metric in [(test, metric) for metric in metrics for test in tests]:
            column = f"{test}:{metric}"
            if column not in cells or cells[column].dropna().empty:
                continue
            figure = new_figure()
            for model in models:
                group = cells[cells["model"] == model].dropna(subset=[column]).groupby(f"factor:{factor}")[column]
                _add_line(figure, model, group.agg(["mean", "std"]).fillna(0.0), style[model])
            figure.update_xaxes(title=shown(factor))
            figure.update_yaxes(title=metric_title(metric))
            figure.update_layout(height=330)
            where = "test split" if test == "test" else f"{test.removeprefix('test_')} test"
            title = f"{metric_title(metric)} against {factor}, {where}{at}"
            caption = "Points: means; bars: standard deviation over seeds."
            figures.append(Figure(title, caption, figure, legend))
    return figures


def _add_line(figure: go.Figure, model: str, summary: pd.DataFrame, style: Mapping[str, str]) -> None:
    figure.add_scatter(
        x=summary.index.tolist(),
        y=summary["mean"].tolist(),
        name=shown(model),
        mode="lines+markers",
        error_y={"type": "data", "array": summary["std"].tolist(), "thickness": 1.2, "width": 3},
        line={"color": style["colour"], "dash": style["dash"]},
        marker={"symbol": style["symbol"], "size": 8},
    )


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
        figure = make_subplots(
            rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06, column_widths=[0.62, 0.38], figure=new_figure()
        )
        stages = [name for name in means.columns if str(name).startswith("seconds:")]
        for name in stages:
            values = means[name].reindex(models).fillna(0).tolist()
            stage = name.removeprefix("seconds:")
            figure.add_bar(
                x=values,
                y=labels,
                orientation="h",
                name=shown(stage),
                marker_color=STAGES.get(stage, GREY),
                row=1,
                col=1,
            )
        if "peak_memory_mb" in means:
            memory = means["peak_memory_mb"].reindex(models).tolist()
            figure.add_bar(x=memory, y=labels, orientation="h", name="memory", marker_color=GREY, row=1, col=2)
        figure.update_layout(barmode="stack", height=90 + 26 * len(models))
        figure.update_xaxes(title="seconds", row=1, col=1)
        figure.update_xaxes(title="peak memory, MB", nticks=4, tickangle=0, row=1, col=2)
        legend = tuple((stage, STAGES.get(stage, GREY)) for stage in (name.removeprefix("seconds:") for name in stages))
        caption = "Mean over seeds, on the machine and with the other work that the benchmark ran beside."
        figures.append(Figure(dataset, caption, figure, legend))
    return figures
