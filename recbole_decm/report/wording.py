"""What the comparisons say, in words, and no more than they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from recbole_decm.metrics.names import metric_title, smaller_is_better
from recbole_decm.metrics.paired import ALPHA
from recbole_decm.report.tables import place_title

FEW_SEEDS = 5


class Verdict(NamedTuple):
    """What a comparison comes to: in two words, and in a sentence's part."""

    tag: str
    meaning: str


VERDICTS = {
    "holds": Verdict("holds", "hold over the test videos and over seeds"),
    "videos": Verdict("videos only", "hold over the test videos, and are not shown to hold for other seeds"),
    "seeds": Verdict("seeds only", "are steady over seeds, and are not shown to hold for other videos"),
    "none": Verdict("not shown", "cannot be told from chance, which does not show that the models are equal"),
    "untested": Verdict("not tested", "have too few values for a test"),
}


def verdict(row: Mapping[str, Any]) -> str:
    """Which of ``VERDICTS`` a comparison comes to, by its corrected p-values at ``ALPHA``."""
    over_videos, over_seeds = row["holm_videos"] < ALPHA, row["holm_seeds"] < ALPHA
    # Several seeds that all differ by one and the same amount: nothing random is left to test over seeds.
    settled = (row.get("folds") or row["seeds"]) > 1 and pd.isna(row["p_seeds"])
    if pd.isna(row["p_videos"]) and pd.isna(row["p_seeds"]) and not settled:
        return "untested"
    if over_videos:
        return "holds" if over_seeds or settled else "videos"
    return "seeds" if over_seeds or (settled and pd.isna(row["p_videos"])) else "none"


def sentence(row: Mapping[str, Any]) -> str:
    """One comparison as a sentence, the better model first.

    ``DecCMPlus is above DeepFM on sim by 0.0310 NDCG@10 (95 % CI 0.0220 to 0.0400; p = 0.004 after Holm, over 300
    videos of 90 uploaders; 5 of 5 seeds, p = 0.006 after Holm; dz = 0.45).``
    """
    found = verdict(row)
    swap = row["better"] < 0
    first, second = (row["reference"], row["model"]) if swap else (row["model"], row["reference"])
    low, high = (-row["high"], -row["low"]) if swap else (row["low"], row["high"])
    difference = -row["difference"] if swap else row["difference"]
    metric, where = metric_title(row["metric"]), place_title(row["dataset"], row["test"])
    if smaller_is_better(row["metric"]):  # say by how much less
        difference, low, high = -difference, -high, -low
    side = "below" if smaller_is_better(row["metric"]) else "above"
    aside = ", where less is better" if side == "below" else ""
    interval = "" if pd.isna(low) else f"95 % CI {low:.4f} to {high:.4f}; "
    details = f"({interval}{'; '.join(_evidence(row))})"
    if found in ("none", "untested"):
        told = "cannot be told apart" if found == "none" else "were not tested against each other"
        return f"{first} and {second} {told} on {where}: {side} by {difference:.4f} {metric}{aside} {details}."
    return f"{first} is {side} {second} on {where} by {difference:.4f} {metric}{aside} {details}."


def _evidence(row: Mapping[str, Any]) -> list[str]:
    parts = []
    if not pd.isna(row["p_videos"]):
        kind = "groups" if row.get("folds") else "uploaders"
        owners = f" of {row['uploaders']:,} {kind}" if row["uploaders"] else ""
        worlds = f" in {row['simulations']} versions of the data" if row["simulations"] > 1 else ""
        parts.append(f"{p_text(row['holm_videos'])} after Holm, over {row['videos']:,} videos{owners}{worlds}")
    seeds, unit = (row["folds"], "fold") if row.get("folds") else (row["seeds"], "seed")
    if seeds == 1:
        parts.append(f"one {unit}, which says nothing of others")
    else:
        agree = f"{row['seeds_agreeing']} of {seeds} {unit}s"
        if pd.isna(row["p_seeds"]):
            parts.append(f"{agree}, all by the same amount")
        else:
            parts.append(f"{agree}, {p_text(row['holm_seeds'])} after Holm")
            if seeds <= FEW_SEEDS and not row["holm_seeds"] < ALPHA:
                parts.append(f"with {seeds} {unit}s that test has little power")
    if not pd.isna(row["dz"]):
        parts.append(f"dz = {abs(row['dz']):.2f}")
    if row["note"]:
        parts.append(str(row["note"]))
    return parts


def p_text(p: float) -> str:
    """``p = 0.012``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def findings(
    compared: pd.DataFrame, metric: str, references: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(verdict, sentence) of every comparison with the reference of its test set, by (data set, test set).

    Args:
        compared: comparisons of one scheme.
        metric: the metric to speak of.
        references: (data set, test set) -> label.
    """
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in compared[compared["metric"] == metric].to_dict("records"):
        place = (row["dataset"], row["test"])
        if references.get(place) in (row["model"], row["reference"]):
            told.setdefault(place, []).append((verdict(row), sentence(row)))
    return told
