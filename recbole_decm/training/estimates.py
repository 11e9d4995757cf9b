"""The choice model of a run: fitted on its training rows, applied to the rows that are ranked, for any model."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from recbole.evaluator.register import metrics_dict

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.keys import Role, having
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.features import FeatureMatrix, joined
from recbole_decm.data.loaders import Splits
from recbole_decm.errors import DataError
from recbole_decm.estimation.choices import Choices, Tracks
from recbole_decm.estimation.components import principal_components
from recbole_decm.estimation.effects import effective_sample_size, mean_with_interval, require_overlap, require_rows
from recbole_decm.estimation.habit import looks_counted
from recbole_decm.estimation.intervention import intervene
from recbole_decm.estimation.lists import estimated
from recbole_decm.estimation.model import ChoiceModel, fit_choice_model
from recbole_decm.io.digest import of_values
from recbole_decm.io.write import replacing
from recbole_decm.metrics.genres import majority_genre
from recbole_decm.training.provenance import code_digest, data_digest

VIDEO_COMPONENTS, TRACK_COMPONENTS = 48, 24
LARGEST_UNKNOWN = 0.05
"""Share of the chosen tracks that may be without genre."""
_NO_PART = {"metrics", "topk", "valid_metric", "extra_tests", "feature_reduce", "content_fields"}
_ELSE = "Do without DoRecall, DoNDCG and DoMRR."
RESULTS = ("intervals", "effective_sample_size", "chosen_majority_share")
"""What a result says of the estimated metrics of its test split."""


def weigh_choices(config: DecCMConfig, splits: Splits, only: str | None = None) -> None:
    """Fit a choice model on the training rows and give the loaders of validation and test their interventions.

    Nothing of these rows but their features and preferences enters the fit. The rows of ``extra_tests`` are not
    weighed: they may be choices without habit already. Validation that cannot be weighed goes without, unless
    ``valid_metric`` is estimated.

    Args:
        only: ``valid`` or ``test``, to weigh no other rows.

    Raises:
        DataError: all uploaders have one preference, preferences that look counted from the choices, or weights that
            leave too small an effective sample.
    """
    dataset, seed = splits.dataset, config["seed"]
    parts = {"valid": splits.valid, "test": splits.test}
    loaders = {name: part for name, part in parts.items() if part is not None and only in (None, name)}
    free = set() if only or estimated(config["valid_metric"]) else {"valid"}
    if config["eval_args"]["mode"]["valid"] != "full":  # refused before where it is needed
        loaders = {name: loader for name, loader in loaders.items() if name not in free}
    videos, tracks_of = (dataset.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    users = np.unique(np.concatenate([videos, *(loader.users for loader in loaders.values())]))
    seen = components_of(dataset.features, dataset.video_fields, videos, users, VIDEO_COMPONENTS)
    ids = np.arange(1, dataset.item_num)
    heard = components_of(dataset.features, dataset.music_fields, ids, ids, TRACK_COMPONENTS)
    tracks = Tracks.of(heard, dataset.genre_membership[1:], seed)
    priors = dataset.uploader_prior
    assert priors is not None  # the needs of a metric with choices

    def rows(video: np.ndarray, track: np.ndarray) -> Choices:
        preference = priors[torch.from_numpy(video)].numpy()
        return Choices.of(seen[np.searchsorted(users, video)], preference, track - 1, tracks)

    training, place = rows(videos, tracks_of), Path(dataset.dataset_path)
    if not np.ptp(training.taste, axis=0).max() > 1e-3:
        raise DataError(
            f"{place}: expected uploaders of different preferences in '{dataset.prior_field}', "
            f"found one for all: without differences nothing tells what a habit does. {_ELSE}"
        )
    others = [loader.positives.pairs() for loader in loaders.values()]
    ranked = [(loader.users[rows], track) for loader, (rows, track) in zip(loaders.values(), others, strict=True)]
    counted, sign = signs_of_counts(dataset, videos, tracks_of, ranked)
    if counted:
        raise DataError(
            f"{place}: expected preferences from outside the choices in '{dataset.prior_field}', found some that were "
            f"counted from them ({sign}). {_ELSE}"
        )
    if sign:
        getLogger().warning(
            f"{place}: the preferences in '{dataset.prior_field}' look counted from few choices ({sign}). If from "
            "these very choices, DoRecall, DoNDCG and DoMRR are not identified."
        )
    for name in [name for name in loaders if name not in free]:
        require_rows(len(loaders[name].positives.ids), f"{place}, split {name}")
    model = _fitted(config, lambda: fit_choice_model(training, tracks, seed))
    getLogger().info(
        f"Choice model: strength of the log-preference {model.mixing.strength:.3f}, penalty {model.penalty:g}, part of "
        f"the match that the features do not show {model.mixing.unseen:.3f}"
    )
    for name, loader in loaders.items():
        positions, chosen = loader.positives.pairs()
        try:
            _require_genres(dataset, chosen, f"{place}, split {name}")
            found = intervene(model, rows(loader.users[positions], chosen), tracks, seed)
            require_overlap(found.weight, found.overlap, f"{place}, split {name}")
        except DataError as error:
            if name not in free:
                raise
            getLogger().warning(f"{error} Validation goes without them.")
        else:
            loader.intervention = found


def signs_of_counts(
    dataset: DecCMDataset, videos: np.ndarray, tracks: np.ndarray, others: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[bool, str | None]:
    """:func:`looks_counted` of the training rows, and of all rows: somebody counted in one or the other.

    Args:
        videos, tracks: of the training rows; others: of the other splits.
    """
    sign = None
    for more in ([], others) if others else ([],):
        video, track = (np.concatenate(parts) for parts in zip((videos, tracks), *more, strict=True))
        preference = dataset.uploader_prior
        assert preference is not None
        group = None if dataset.uploaders is None else dataset.uploaders[video]
        known = dataset.genre_membership[track]
        counted, found = looks_counted(preference[torch.from_numpy(video)].numpy(), known, group)
        if counted:
            return True, found
        sign = sign or found
    return False, sign


def _require_genres(dataset: DecCMDataset, chosen: np.ndarray, where: str) -> None:
    """Refuse chosen tracks of which many have no genre."""
    without = float((dataset.genre_membership[chosen].sum(axis=1) == 0).mean())
    if without > LARGEST_UNKNOWN:
        raise DataError(
            f"{where}: expected tracks with a '{dataset.genre_field}', found {without:.0%} of the chosen ones without: "
            f"what a habit adds to them is not known. {_ELSE}"
        )


def _fitted(config: DecCMConfig, fit: Callable[[], ChoiceModel]) -> ChoiceModel:
    """The choice model of a config's training rows: one for all runs that share a ``teacher_dir``, as the cells of a
    benchmark do, by values, data and code."""
    if not config["teacher_dir"]:
        return fit()
    kept = having(Role.DATA | Role.EVALUATION) - _NO_PART
    values = {key: value for key, value in config.plain().items() if key in kept}
    key = of_values([values, code_digest(), data_digest(config)])
    path = Path(config["teacher_dir"]) / f"{config['dataset']}-{key}.choices.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if (kept_model := _read(path)) is not None:
            return kept_model
        model = fit()
        with replacing(path) as place, place.open("wb") as file:
            np.savez(file, **model.arrays())  # type: ignore[arg-type]
    return model


def _read(path: Path) -> ChoiceModel | None:
    """A kept choice model; None without one, or where the file is damaged or not one of ours."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return ChoiceModel.of_arrays(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def components_of(
    features: Mapping[str, FeatureMatrix], fields: list[str], fit: np.ndarray, wanted: np.ndarray, size: int
) -> np.ndarray:
    """(B, size) float32 principal components of some ids' features, fitted on others; a file is read in blocks."""
    matrix = joined({field: features[field] for field in fields})
    return principal_components(lambda ids: matrix.lookup(torch.from_numpy(ids)).cpu().numpy(), fit, wanted, size)


def estimates(config: DecCMConfig, kept: Any, loader: Any) -> dict[str, Any]:
    """What a result says beside the estimated metrics of a split; empty where there are none.

    Args:
        kept: the collector's :attr:`~recbole_decm.training.collector.MatchingCollector.kept`; loader: what was ranked.

    Returns:
        ``intervals``: 95 % interval of each metric; ``effective_sample_size`` of the weights;
        ``chosen_majority_share``: share of the largest genre among the chosen tracks, as observed, and as estimated
        without habit by the choice model's chances alone, with its interval.
    """
    found = getattr(loader, "intervention", None)
    if found is None:
        return {}
    intervals: dict[str, list[float]] = {}
    for name in filter(estimated, config["metrics"]):
        metric = metrics_dict[name.lower()](config)
        intervals |= {key: [low, high] for key, (_, low, high) in metric.estimate(kept).items()}
    return {"intervals": intervals} | of_choices(config, loader, len(loader.positives.ids))


def of_choices(config: DecCMConfig, loader: Any, count: int) -> dict[str, Any]:
    """``effective_sample_size`` and ``chosen_majority_share`` of the first choices of a loader that are weighed."""
    found, places = loader.intervention, config["metric_decimal_place"]
    membership = loader.dataset.genre_membership
    majority = majority_genre(membership[1:])
    direct = mean_with_interval((found.kinds @ found.tracks.membership[:, [majority]])[:count], config["seed"])
    value, low, high = (round(float(part[0]), places) for part in direct)
    observed = membership[loader.positives.ids[:count], majority].mean(dtype=np.float64)
    return {
        "effective_sample_size": round(effective_sample_size((found.weight * found.overlap)[:count]), 1),
        "chosen_majority_share": {
            "observed": round(float(observed), places),
            "estimated": value,
            "interval": [low, high],
        },
    }
