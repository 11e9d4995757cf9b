"""An audit as text tables and as one self-contained page of plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from tabulate import tabulate

from recbole_decm.report.html import figures_page
from recbole_decm.report.look import new_figure, shown
from recbole_decm.simulation.references import format_references


def format_audit(found: Mapping[str, Any]) -> str:
    """The tables on screen."""
    how = ", ".join(
        f"{key}: {found[key]}" for key in ("backdoor", "confounder_fusion", "inference_prior") if found[key]
    )
    parts = [
        f"{found['model']} on {found['dataset']}, {found['videos']} videos of the {found['split']} split, lists of "
        f"{found['k']}{'; ' + how if how else ''}",
        f"Rank-change rate: {found['rank_change_rate']:.4g}. {found['explanation']}",
    ]
    if "priors" in found:
        parts += [_priors_table(found), _confounder_lines(found)]
    parts.append(_estimates_lines(found))
    if found["genres"]:
        parts.append(_genre_table(found))
    if found["references"]:
        references = dict(found["references"])
        parts.append("\n".join(format_references(references, references.pop("k"))))
    parts.append(_teacher_lines(found["teacher"], found["k"]))
    return "\n\n".join(parts)


def _priors_table(found: Mapping[str, Any]) -> str:
    names = list(found["priors"][0]["recall"])
    majority = found["genres"] and found["genres"]["majority"]
    headers = ["prior", "lists changed", "entries replaced", "uneven shift", *map(_recall_of, names)]
    estimated = "not_estimated" not in found["estimated"]
    headers += ["do-recall (estimated)"] if estimated else []
    headers += ["majority share"] if found["genres"] else []
    lines = []
    for row in found["priors"]:
        cells = [row["prior"], *(f"{row[key]:.4g}" for key in ("lists_changed", "entries_replaced", "uneven_shift"))]
        cells += [f"{row['recall'][name]:.4f}" for name in names]
        cells += [f"{row['dorecall'][0]:.4f}"] if estimated else []
        lines.append(cells + ([f"{row['genres'][majority]:.4f}"] if found["genres"] else []))
    note = "Rankings under each prior, against those under the training mean:"
    return f"{note}\n" + tabulate(lines, headers=headers, disable_numparse=True)


def _confounder_lines(found: Mapping[str, Any]) -> str:
    explained = found["explained"]
    lines = [
        [row["size"], f"{row['measured']:.3g}", f"{row['expected']:.3g}", f"{row['deviation']:.3g}"]
        for row in found["batch_prior"]
    ]
    return (
        f"The uploaders' own preferences explain {explained['all']:.2%} of the scores' variance, "
        f"{explained['within_video']:.2%} of that between the music of a video.\n\n"
        "Monte Carlo estimate of P(k), total variance over the groups by batch size:\n"
        + tabulate(lines, headers=["batch", "measured", "expected", "deviation"], disable_numparse=True)
    )


def _recall_of(test: str) -> str:
    return {"do": "do-recall (true)"}.get(test, f"recall {test} (observed)")


def _estimates_lines(found: Mapping[str, Any]) -> str:
    about = found["estimated"]
    if "not_estimated" in about:
        return f"Without the uploaders' habits, nothing is estimated: {about['not_estimated']}"
    value, low, high = found["genres"]["dorecall"]
    share, rows = about["chosen_majority_share"], about["effective_sample_size"]
    recalls = ", ".join(f"{_recall_of(name)} {recall:.4f}" for name, recall in found["genres"]["recall"].items())
    return (
        f"Lists as the model ranks: do-recall@{found['k']} (estimated) {value:.4f}, 95 % interval {low:.4f} to "
        f"{high:.4f}; {recalls}. Effective sample size {rows:.1f}; share of the largest genre among the chosen tracks: "
        f"observed {share['observed']:.4f}, estimated without habit {share['estimated']:.4f}."
    )


def _genre_table(found: Mapping[str, Any]) -> str:
    genres = found["genres"]
    headers = ["genre shares", *genres["names"]]
    lines = [[name, *(f"{share:.3f}" for share in shares)] for name, shares in genres["shares"].items()]
    return tabulate(lines, headers=headers, disable_numparse=True)


def _teacher_lines(teacher: Mapping[str, Any], k: int) -> str:
    if "note" in teacher:
        return f"Teacher: {teacher['note']}"
    lines = [f"Teacher {teacher['checkpoint']}:"]
    for name, kl in teacher["kl"].items():
        largest = sorted(range(len(kl)), key=lambda d: -kl[d])[:3]
        shown = ", ".join(f"{d}: {kl[d]:.3g}" for d in largest)
        lines.append(f"  KL(student || teacher), {name}: {sum(kl):.4g} in {len(kl)} dimensions; largest in {shown}")
    agreement = teacher["agreement"]
    lines.append(
        f"  rankings of student and teacher: top-{k} overlap {agreement['overlap']:.3f}, "
        f"Spearman {agreement['spearman']:.3f}, Kendall {agreement['kendall']:.3f}"
    )
    recalls = ", ".join(f"{value:.4f} on {name}" for name, value in teacher["teacher_recall"].items())
    return "\n".join([*lines, f"  the teacher's own recall@{k}: {recalls}"])


def plot_audit(found: Mapping[str, Any]) -> str:
    """One HTML page that needs no network: genre shares, rank changes by prior, KL by dimension."""
    figures: dict[str, go.Figure] = {}
    if found["genres"]:
        names, shares = [shown(name) for name in found["genres"]["names"]], found["genres"]["shares"]
        figures["Genre shares"] = _bars([go.Bar(name=name, x=names, y=values) for name, values in shares.items()])
    if "priors" in found:
        priors = [shown(row["prior"]) for row in found["priors"]]
        bars = [
            go.Bar(name=key.replace("_", " "), x=priors, y=[row[key] for row in found["priors"]])
            for key in ("lists_changed", "entries_replaced")
        ]
        figures["Rank changes against the training mean"] = _bars(bars)
        sizes = [str(row["size"]) for row in found["batch_prior"]]
        bars = [go.Bar(name="deviation of P(k)", x=sizes, y=[row["deviation"] for row in found["batch_prior"]])]
        figures["Monte Carlo prior: standard deviation by batch size"] = _bars(bars)
    for name, kl in found["teacher"].get("kl", {}).items():
        figures[f"KL(student || teacher) by dimension, {name}"] = _bars([go.Bar(name=f"KL {name}", y=kl)])
    lead = found["explanation"] if figures else "There is nothing to draw: no genres, no confounder, no teacher."
    title = f"Audit of {found['model']} on {found['dataset']}"
    return figures_page(title, f"{lead} {_estimates_lines(found)}", figures)


def _bars(bars: list[go.Bar]) -> go.Figure:
    layout = {"height": 380, "barmode": "group", "showlegend": len(bars) > 1}
    return new_figure().add_traces(bars).update_layout(layout)
