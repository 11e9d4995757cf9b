"""Results of single videos, and what their lists hold, from what RecBole's collector kept of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.evaluator.base_metric import TopkMetric
from recbole.evaluator.register import metrics_dict

from recbole_decm.data import priors
from recbole_decm.io import atomic
from recbole_decm.metrics.genres import genre_totals

RESOURCES = ("rec.items", "rec.topk")
"""What the collector has to keep."""


def metrics_by_video(config: Any, kept: Any) -> dict[str, np.ndarray]:
    """Each metric that is a mean over videos, video by video, in the order of the loader.

    RecBole's own metric code computes the values, and is stopped before it averages them.

    Args:
        config: of the run; names metrics and cut-offs.
        kept: the collector's :attr:`~recbole_decm.training.collector.MatchingCollector.kept`.

    Returns:
        ``{"recall@10": (T,) float32, ...}``; the mean of each is the metric that RecBole reports.
    """
    found: dict[str, np.ndarray] = {}
    for name in config["metrics"]:
        metric_class = metrics_dict[name.lower()]
        if not issubclass(metric_class, TopkMetric) or "rec.topk" not in metric_class.metric_need:
            continue
        metric = metric_class(config)

        def keep(metric_name: str, values: np.ndarray) -> dict:
            found.update({f"{metric_name}@{k}": values[:, k - 1].astype(np.float32) for k in config["topk"]})
            return {}

        metric.topk_result = keep
        metric.calculate_metric(kept)
    return found


def read_genres(dataset: Any) -> tuple[list[str], np.ndarray] | None:
    """Names of the K genres and the (n_music, K) membership of each track id; None where ``.item`` has no genre.

    Read beside the data set, since models that do not know content are not given it.
    """
    found = _read_column(dataset, "item", dataset.iid_field, dataset.genre_field)
    if found is None:
        return None
    tokens, cells, kind = found
    parts = atomic.split_cells(cells, kind, atomic.Format.of(dataset.config).seq_separator)
    genres = dict(zip(tokens, parts, strict=True))
    rows = [genres.get(token, []) for token in dataset.field2id_token[dataset.iid_field]]
    names = priors.genre_vocabulary(rows)
    return names, priors.genre_membership(rows, names)


def clusters_of(dataset: Any) -> dict[str, np.ndarray]:
    """What tests take as one unit: kind -> (n_videos,) int64 number of each video id.

    ``group`` where the split is by folds of whole groups, else ``uploader`` where ``.user`` names uploaders.
    """
    if dataset.video_groups is not None:
        return {"group": dataset.video_groups}
    uploaders = read_uploaders(dataset)
    return {} if uploaders is None else {"uploader": uploaders}


def read_uploaders(dataset: Any) -> np.ndarray | None:
    """(n_videos,) int64 number of the uploader of each video id, for tests that heed whose videos are alike.

    None where ``.user`` names no uploader. The numbers are the same in every cell of a data set; names are not kept.
    """
    found = _read_column(dataset, "user", dataset.uid_field, dataset.uploader_field)
    if found is None:
        return None
    tokens, cells, _ = found
    wanted = pd.Series(dataset.field2id_token[dataset.uid_field])
    numbers = pd.Series(priors.number_uploaders(cells), index=tokens).reindex(wanted)
    unlisted = numbers.isna().to_numpy()
    numbers[unlisted] = len(tokens) + np.arange(unlisted.sum())
    return numbers.to_numpy(dtype=np.int64)


def _read_column(dataset: Any, suffix: str, id_field: str, field: str) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Ids, cells and type of a column of ``NAME.suffix``, read beside the data set; None where there is none."""
    path, form = Path(dataset.dataset_path) / f"{dataset.dataset_name}.{suffix}", atomic.Format.of(dataset.config)
    kind = atomic.read_header(path, form).get(field) if path.is_file() else None
    if kind is None:
        return None
    cells = atomic.read_columns(path, [id_field, field], form)
    return cells[id_field].to_numpy(), cells[field].to_numpy(), kind


def shares_by_genre(
    lists: np.ndarray,
    popularity: np.ndarray,
    membership: np.ndarray,
    truth: np.ndarray | None = None,
    lists_do: np.ndarray | None = None,
) -> dict[str, Any]:
    """Shares of each genre in the lists, the catalogue, the training pairs and the true choices.

    Args:
        lists: (V, k) music ids.
        popularity: (n_music,) training pairs of each track id; id 0 is the padding.
        membership: (n_music, K).
        truth: (n,) music ids chosen without confounding; lists_do: (V', k) music ids for the videos of these choices.

    Returns:
        ``{"lists", "catalogue", "train", "truth", "lists_do"}``, K shares each; music without a genre belongs to none.
    """
    membership = membership.astype(np.float64)

    def share_of(ids: np.ndarray) -> np.ndarray:
        return genre_totals(ids, membership).sum(axis=0) / ids.size

    shares = {
        "lists": share_of(lists),
        "catalogue": membership[1:].mean(axis=0),
        "train": popularity @ membership / popularity.sum(),
        "truth": None if truth is None else membership[truth].mean(axis=0),
        "lists_do": None if lists_do is None else share_of(lists_do),
    }
    return {name: None if share is None else share.tolist() for name, share in shares.items()}


def popularity_of(lists: np.ndarray, popularity: np.ndarray) -> dict[str, float]:
    """Mean training pairs of the recommended music, over the training pairs, and over the catalogue.

    Args:
        lists: (V, k) music ids; popularity: (n_music,), id 0 is the padding.
    """
    counts = popularity.astype(np.float64)
    return {
        "lists": float(counts[lists].mean()),
        "train": float((counts**2).sum() / counts.sum()),
        "catalogue": float(counts[1:].mean()),
    }
