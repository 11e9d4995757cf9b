"""What a diagnosis says, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEVEL = 0.05
SMALLEST_SHARE = 0.05
FEWEST_EFFECTIVE = 30


def conclusion(found: Mapping[str, Any]) -> str:
    """``none``, ``habit``, ``little overlap`` or ``cannot tell``."""
    if "reason" in found:
        return "cannot tell"
    if not found["p_value"] < LEVEL or found["strength"]["value"] <= 0:
        return "none"
    share = found["overlap"]["overlap_weighted"]
    rows = found["rows_examined"]
    return "little overlap" if share < SMALLEST_SHARE or share * rows < FEWEST_EFFECTIVE else "habit"


def verdict(found: Mapping[str, Any]) -> list[str]:
    """The sentences a diagnosis ends in."""
    said = conclusion(found)
    if said == "cannot tell":
        return [f"Nothing can be said: {found['reason']}."]
    strength, p = found["strength"], found["p_value"]
    counted = found["preference"] == "counted"
    kind = "tastes of deviation" if counted else "strength"
    size = f"{kind} {strength['value']:.2f} (95 % interval {strength['low']:.2f} to {strength['high']:.2f})"
    test = f"{found['test']}, p = {p:.3g}"
    lines = []
    if said == "none":
        lines += [
            f"No sign of a habit beyond content ({test}). A habit of {kind} {found['detectable']:.2f} would have "
            "been found in four of five data sets like this one; a weaker one may be there."
        ]
    elif said == "habit":
        worth = "The adjustment is worth trying."
        if strength["low"] <= 0:
            worth = "But that interval holds 0: a habit so weak leaves little to adjust for."
        lines += [f"There is a habit beyond content, of {size} ({test}). {worth}"]
    else:
        lines += [
            f"There is a habit beyond content, of {size} ({test}), but too little overlap to adjust for it: "
            f"the weights leave {found['overlap']['overlap_weighted']:.1%} of the rows."
        ]
    if counted:
        lines += [
            "The preference is counted from each uploader's other choices. Content of its videos that the features "
            "miss looks like a habit, and counted shares hold content as well: the coefficient of a preference is not "
            "identified, and DoRecall and the like are refused. A preference known from outside (uploader_genre) would "
            "settle both."
        ]
    else:
        if found["looks_counted"]:
            lines += [
                f"But the preferences look counted from few choices ({found['looks_counted']}). If from these very "
                "choices, any data show a habit: then use --uploader_prior=train, which needs uploader ids."
            ]
        lines += [
            "What the features do not show of videos and tracks shrinks the strength, as noise in a choice does: read "
            "it as a lower bound."
        ]
    return lines
