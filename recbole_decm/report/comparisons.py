"""Which results are paired with which, and the tests of every pair of models: one row per comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from recbole_decm.metrics import paired
from recbole_decm.metrics.names import smaller_is_better
from recbole_decm.report.results import Results, Run, run_of


@dataclass(frozen=True)
class Comparison:
    """A model against a reference on one test set of one data set; differences are model minus reference.

    Attributes:
        scheme: how p-values were corrected: ``baseline`` (the reference was named beforehand: over all comparisons with
            it) or ``pairs`` (over all pairs of models, which also covers a reference picked by its result).
        seeds: seeds that both models finished on the same data, or where there are folds, such pairs of fold and seed;
            ``videos``: distinct test videos behind p and interval.
        uploaders: uploaders of these videos, or the groups that folds leave out, by which p and interval are clustered;
            0 where each video is taken by itself, since no uploader is known.
        simulations: distinct versions of the data among the seeds; above 1, each seed (or some) has its own videos.
        low, high: bootstrap interval of the difference over uploaders or videos (over seeds, by t, where no values by
            video exist).
        p_videos, p_seeds: raw p-values; ``holm_*`` the corrected ones. NaN where the test could not be done.
        seeds_agreeing: seeds whose difference has the sign of the mean difference.
        better: +1 where the model is better, -1 where the reference is, 0 where they are equal.
        folds: distinct folds of all foldings; 0 without folds. Where there are some, ``p_seeds``, ``holm_seeds`` and
            ``seeds_agreeing`` are of folds, the mean of each over its seeds.
    """

    dataset: str
    test: str
    metric: str
    model: str
    reference: str
    scheme: str
    seeds: int
    videos: int
    uploaders: int
    simulations: int
    mean: float
    mean_reference: float
    difference: float
    low: float
    high: float
    p_videos: float
    holm_videos: float
    p_seeds: float
    holm_seeds: float
    seeds_agreeing: int
    dz: float
    superiority: float
    better: int
    note: str
    folds: int = 0


class Scores(NamedTuple):
    """A model's results on one test set: by run (seed, or seed and fold) the data version, the mean, and what is stored
    by video.

    Attributes:
        shared: test rows by training rows of a fold, which tells how much two folds share; 0 without folds.
    """

    data: dict[Run, str]
    means: dict[Run, float]
    videos: dict[Run, np.ndarray | None]
    order: dict[Run, np.ndarray]
    uploaders: dict[Run, np.ndarray | None]
    shared: float = 0.0


class ByVideo(NamedTuple):
    """Values of distinct videos, whose mean by ``weights`` is the mean over seeds; all (n,).

    Attributes:
        values: means over the seeds that tested a video.
        clusters: uploader of each; None where they are not known.
        weights: the sum over these seeds of one by the number of the seed's videos.
    """

    values: np.ndarray
    clusters: np.ndarray | None
    weights: np.ndarray


def scores_of(results: Results, model: str, dataset: str, test: str, metric: str) -> Scores:
    """Collect the finished cells of a model that have the metric."""
    column, found = f"{test}:{metric}", Scores({}, {}, {}, {}, {})
    cells = results.done
    if column not in cells:
        return found
    cells = cells[(cells["model"] == model) & (cells["dataset"] == dataset) & cells[column].notna()]
    data = cells["data_hash"] if "data_hash" in cells else pd.Series("", index=cells.index)
    # What follows a dash is the teacher's data: the videos are the same.
    data = data.fillna("").astype(str).map(lambda version: version.partition("-")[0])
    runs = [run_of(row) for row in cells.to_dict("records")]
    for key, run, version, mean in zip(cells.index, runs, data, cells[column], strict=True):
        values = results.videos(key, test, metric)
        found.data[run] = str(version)
        found.means[run] = float(mean) if values is None else float(values.mean())
        found.videos[run] = values
        order = results.videos(key, test, "video")
        found.order[run] = np.zeros(0, dtype=str) if order is None else order
        groups = results.videos(key, test, "group")
        found.uploaders[run] = results.videos(key, test, "uploader") if groups is None else groups
    if "folds" in cells and cells["folds"].notna().all() and len(cells):
        return found._replace(shared=1 / (float(cells["folds"].iloc[0]) - 2))
    return found


def by_video(scores: Scores, values: dict[Run, np.ndarray]) -> ByVideo:
    """One value a distinct video. Versions of the data have videos and uploaders of their own; seeds of one version
    share those that they both test.

    Args:
        values: seed -> (T,) by video, in the order of ``scores``, for some of its seeds.
    """
    if not values:
        return ByVideo(np.zeros(0), None, np.zeros(0))
    rows = pd.concat(
        pd.DataFrame(
            {
                "version": scores.data[seed],
                "video": scores.order[seed] if len(scores.order[seed]) == len(array) else np.arange(len(array)),
                "uploader": -1 if (numbers := scores.uploaders[seed]) is None else numbers,
                "weighted": array / len(array),
                "weight": 1 / len(array),
            }
        )
        for seed, array in values.items()
    )
    videos = rows.groupby(["version", "video"], sort=False).agg(
        {"uploader": "first", "weighted": "sum", "weight": "sum"}
    )
    weights = videos["weight"].to_numpy()
    known = (videos["uploader"] >= 0).all()
    clusters = videos.groupby(["version", "uploader"], sort=False).ngroup().to_numpy() if known else None
    return ByVideo(videos["weighted"].to_numpy() / weights, clusters, weights)


def by_fold(runs: Sequence[Run], values: np.ndarray) -> np.ndarray:
    """(F,) means over the seeds of each fold, from (R,) values of runs; without folds the values themselves.

    Examples:
        >>> by_fold([(1, -1, 0), (2, -1, 0), (1, -1, 1)], np.array([0.1, 0.3, 0.5])).tolist()
        [0.2, 0.5]
    """
    folds = [run[1:] if isinstance(run, tuple) else (run,) for run in runs]
    return pd.Series(values).groupby(pd.Series(folds)).mean().to_numpy()


def compare_scores(model: Scores, reference: Scores) -> tuple[ByVideo, np.ndarray, list[Run], str]:
    """Pair two models: differences by video, differences by run, the runs, and what could not be paired and why. A run
    is a seed, or a fold and a seed.

    A seed counts where both models finished it on the same version of the data; values by video, where every counted
    seed has them for the same videos in the same order.
    """
    common = sorted(set(model.means) & set(reference.means))
    seeds = [seed for seed in common if model.data[seed] == reference.data[seed]]
    left = len(common) - len(seeds)
    note = f"{left} seed{'s' if left > 1 else ''} left out: the data differ" if left else ""
    by_seed = np.array([model.means[seed] - reference.means[seed] for seed in seeds])
    pairs: dict[Run, np.ndarray] = {}
    for seed in seeds:
        ours, theirs = model.videos[seed], reference.videos[seed]
        if ours is None or theirs is None:
            return by_video(model, {}), by_seed, seeds, note or "no values by video"
        if len(ours) != len(theirs) or not np.array_equal(model.order[seed], reference.order[seed]):
            return by_video(model, {}), by_seed, seeds, "the test videos differ, so they cannot be paired"
        pairs[seed] = ours - theirs
    return by_video(model, pairs), by_seed, seeds, note


def compare_pair(
    place: tuple[str, str, str], pair: tuple[str, str], model: Scores, reference: Scores
) -> Comparison | None:
    """Test one model against another at a (data set, test set, metric), uncorrected; None where they share no seed."""
    dataset, test, metric = place
    videos, by_seed, seeds, note = compare_scores(model, reference)
    if not seeds:
        return None
    difference, units = float(by_seed.mean()), by_fold(seeds, by_seed)
    stored = len(videos.values) > 0
    interval = paired.mean_interval(*videos) if stored else paired.seeds_interval(units, shared=model.shared)
    effects = (videos.values, videos.weights) if stored else (units,)
    sign = int(np.sign(np.round(difference, 12)))
    return Comparison(
        dataset=dataset,
        test=test,
        metric=metric,
        model=pair[0],
        reference=pair[1],
        scheme="",
        seeds=len(seeds),
        folds=len(units) if model.shared else 0,
        videos=len(videos.values),
        uploaders=0 if videos.clusters is None else len(np.unique(videos.clusters)),
        simulations=len({model.data[seed] for seed in seeds}),
        mean=float(np.mean([model.means[seed] for seed in seeds])),
        mean_reference=float(np.mean([reference.means[seed] for seed in seeds])),
        difference=difference,
        low=interval.low,
        high=interval.high,
        p_videos=paired.paired_test(*videos),
        holm_videos=float("nan"),
        p_seeds=paired.seeds_test(units, shared=model.shared),
        holm_seeds=float("nan"),
        seeds_agreeing=int(np.sum(np.sign(np.round(units, 12)) == sign)),
        dz=paired.cohens_dz(*effects),
        superiority=paired.superiority(*effects),
        better=-sign if smaller_is_better(metric) else sign,
        note=note,
    )


def compare_all(results: Results, tests: Iterable[str], metrics: Iterable[str], baseline: str | None) -> pd.DataFrame:
    """All comparisons that the report states, a row each with the fields of :class:`Comparison`.

    With a ``baseline``: every other model against it, corrected over these, and all pairs of the first of ``metrics``,
    corrected over the pairs. Without: all pairs for each metric. A family lies within a data set, test set and metric.
    """
    rows: list[pd.DataFrame] = []
    for dataset in results.datasets:
        for test in tests:
            for position, metric in enumerate(metrics):
                place = (dataset, test, metric)
                scores = {model: scores_of(results, model, *place) for model in results.models}
                families: dict[str, list[tuple[str, str]]] = {}
                if baseline in scores:
                    families["baseline"] = [(model, baseline) for model in results.models if model != baseline]
                if baseline is None or position == 0:
                    families["pairs"] = list(combinations(results.models, 2))
                for scheme, pairs in families.items():
                    found = [compare_pair(place, pair, scores[pair[0]], scores[pair[1]]) for pair in pairs]
                    rows.append(_corrected([row for row in found if row is not None], scheme))
    columns = list(Comparison.__dataclass_fields__)
    return pd.concat(rows, ignore_index=True) if any(map(len, rows)) else pd.DataFrame(columns=columns)


def _corrected(family: list[Comparison], scheme: str) -> pd.DataFrame:
    table = pd.DataFrame([asdict(row) for row in family], columns=list(Comparison.__dataclass_fields__))
    table["scheme"] = scheme
    for name in ("videos", "seeds"):
        table[f"holm_{name}"] = paired.holm(table[f"p_{name}"].to_numpy(dtype=np.float64))
    return table
