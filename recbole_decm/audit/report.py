"""An audit as text tables and as one self-contained page of plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

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
    headers = ["prior", "lists changed", "entries replaced", "uneven shift", *(f"recall {name}" for name in names)]
    headers += ["majority share"] if found["genres"] else []
    lines = []
    for row in found["priors"]:
        cells = [row["prior"], *(f"{row[key]:.4g}" for key in ("lists_changed", "entries_replaced", "uneven_shift"))]
        cells += [f"{row['recall'][name]:.4f}" for name in names]
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
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    plots: list[tuple[str, list[go.Bar]]] = []
    if found["genres"]:
        names, shares = found["genres"]["names"], found["genres"]["shares"]
        plots.append(("Genre shares", [go.Bar(name=name, x=names, y=values) for name, values in shares.items()]))
    if "priors" in found:
        priors = [row["prior"] for row in found["priors"]]
        bars = [
            go.Bar(name=key.replace("_", " "), x=priors, y=[row[key] for row in found["priors"]])
            for key in ("lists_changed", "entries_replaced")
        ]
        plots.append((f"Rank changes against the training mean. {found['explanation']}", bars))
        sizes = [str(row["size"]) for row in found["batch_prior"]]
        bars = [go.Bar(name="deviation of P(k)", x=sizes, y=[row["deviation"] for row in found["batch_prior"]])]
        plots.append(("Monte Carlo prior: standard deviation by batch size", bars))
    for name, kl in found["teacher"].get("kl", {}).items():
        plots.append((f"KL(student || teacher) by dimension, {name}", [go.Bar(name=f"KL {name}", y=kl)]))
    if not plots:
        return (
            "<!DOCTYPE html><title>Audit</title><p>There is nothing to draw: no genres, no confounder, no teacher.</p>"
        )
    figure = make_subplots(rows=len(plots), cols=1, subplot_titles=[title for title, _ in plots])
    for row, (_, bars) in enumerate(plots, start=1):
        for bar in bars:
            figure.add_trace(bar, row=row, col=1)
    title = f"Audit of {found['model']} on {found['dataset']}"
    figure.update_layout(title=title, height=380 * len(plots) + 120, barmode="group", template="plotly_white")
    return figure.to_html(include_plotlyjs=True, full_html=True)
