"""Values that fit each on its own and not together, or ask for what this package does not do."""

from __future__ import annotations

from typing import Any

from recbole.utils import InputType

from recbole_decm.data.splits import Folding
from recbole_decm.errors import ConfigError
from recbole_decm.estimation.lists import estimated

_NOT_HERE = {
    "transform": "it changes the item sequences of sequential models, which do not run here",
    "alias_of_user_id": "the ids of videos follow the lines of .user, and no other column can share them",
    "alias_of_item_id": "the ids of tracks follow the lines of .item, and no other column can share them",
}


def refuse(values: dict[str, Any], defaults: dict[str, Any], input_type: Any = None) -> None:
    """Refuse values of a run, each of the right type, that cannot be used together.

    Args:
        values: of all keys.
        defaults: those of the YAML files of model and data set.
        input_type: of the model, as RecBole has it.

    Raises:
        ConfigError: one line that names the keys.
    """
    for key, why in _NOT_HERE.items():
        if values[key] is not None:
            raise ConfigError(f"{key}: expected ~, found {values[key]!r}: {why}.")
    if values["normalize_field"] is not None and values["normalize_all"]:
        raise ConfigError("normalize_field, normalize_all: expected one of them, found both.")
    both = sorted(set(values["load_col"] or ()) & set(values["unload_col"] or ()))
    if both:
        raise ConfigError(f"load_col, unload_col: expected one of them for a file, found both for {', '.join(both)}.")
    if values["benchmark_filename"] is None and not values["eval_args"].get("split"):
        raise ConfigError("eval_args.split: expected a split, such as {RS: [0.8, 0.1, 0.1]}, or benchmark_filename.")
    _refuse_folds(values)
    _refuse_estimates(values)
    sampling = values["train_neg_sample_args"] or {}
    if sampling.get("dynamic") and not sampling.get("candidate_num"):
        raise ConfigError(
            "train_neg_sample_args.candidate_num: expected at least 1 with dynamic: True, found "
            f"{sampling.get('candidate_num', 0)}."
        )
    drawn = sampling.get("distribution", "uniform" if sampling else None) not in (None, "none", "None")
    if not drawn and defaults["train_neg_sample_args"] and input_type == InputType.PAIRWISE:
        raise ConfigError("train_neg_sample_args: expected negatives to draw, which the model compares, found none.")


def _refuse_folds(values: dict[str, Any]) -> None:
    """Refuse a fold that there is none of, and candidates of other parts than the folds."""
    split = values["eval_args"].get("split") or {}
    beside = [name for name in ("folds", "fold", "fold_seed") if name in split]
    folding = Folding.of(split)
    if folding is None:
        if beside:
            raise ConfigError(f"eval_args.split: expected {beside[0]} beside LGO alone, found it beside {min(split)}.")
        return
    if folding.fold >= folding.folds:
        raise ConfigError(
            f"eval_args.split.fold: expected 0 to {folding.folds - 1}, since there are {folding.folds} folds, found "
            f"{folding.fold}."
        )
    mode = values["eval_args"].get("mode")
    if values["benchmark_filename"] is not None and "fixed" in (mode.values() if isinstance(mode, dict) else [mode]):
        raise ConfigError(
            "eval_args.mode: expected full, uniN or popN with eval_args.split.LGO, found fixed: the .candidates files "
            "are those of the ready-made splits, whose rows the folds put together anew."
        )


def _refuse_estimates(values: dict[str, Any]) -> None:
    """Refuse metrics that are estimated without the uploaders' habits where they are not identified."""
    names = [values["metrics"]] if isinstance(values["metrics"], str) else values["metrics"]
    asked = [str(name) for name in names if estimated(str(name))]
    if not asked:
        return
    if values["uploader_prior"] == "train":
        raise ConfigError(
            f"metrics: expected uploader_prior: read beside {', '.join(asked)}, found train. Shares of an uploader's "
            "own choices hold what its videos ask for as well as its habit, so they do not identify what would be "
            "chosen without the habit: the preference has to be measured outside the choices (docs/estimation.md)."
        )
    mode = values["eval_args"].get("mode")
    modes = dict(mode) if isinstance(mode, dict) else {"valid": mode, "test": mode}
    if not estimated(str(values["valid_metric"])):
        modes.pop("valid", None)  # validation then goes without them
    if set(modes.values()) != {"full"}:
        raise ConfigError(
            f"metrics: expected eval_args.mode: full beside {', '.join(asked)}, found {mode}. Candidates are drawn "
            "around the track that was chosen, so their lists say nothing of other choices."
        )
