"""What can be reached on simulated data: rankings that know the truth, to set beside a model's.

The oracle ranks by the true match. The feature ceiling ranks by the match of latents regressed from the features with
the truth at hand; what it loses to the oracle, the features do not tell, and no content-based model finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from recbole_decm.errors import DataError
from recbole_decm.metrics.genres import genre_share, majority_genre
from recbole_decm.metrics.ranking import list_recall, top_lists

FIT_ROWS = 20_000
"""Training videos the ceiling is fitted on; more change its third digit and cost memory."""
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class Truth:
    """What ``NAME.truth.npz`` holds, rows in file order.

    Attributes:
        video_latent: (V, d); music_latent: (M, d); their dot product is the true match.
        genre: (M,) int64.
    """

    video_latent: np.ndarray
    music_latent: np.ndarray
    genre: np.ndarray


def read_truth(path: Path) -> Truth:
    """Read ``NAME.truth.npz``.

    Raises:
        DataError: the file is no archive with these three arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Truth(*(archive[field.name] for field in fields(Truth)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        names = ", ".join(field.name for field in fields(Truth))
        raise DataError(
            f"{path}: expected an archive with {names}, as the simulator writes it, but {error}."
        ) from error


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of one ranking of the test videos, at cut-off k.

    Attributes:
        recall: test set (``test``, ``do``) -> share of its videos whose music is in the list.
        majority_share: share of the lists from the largest genre of the catalogue.
    """

    recall: dict[str, float]
    majority_share: float


def top_by_match(video: np.ndarray, music: np.ndarray, k: int) -> np.ndarray:
    """The k tracks of the highest dot product: (V, d), (M, d) -> (V, k) rows of ``music``, best first."""
    k = min(k, len(music))
    top = np.empty((len(video), k), dtype=np.int64)
    step = max(1, _BLOCK_CELLS // len(music))
    for start in range(0, len(video), step):
        match = video[start : start + step] @ music.T
        top[start : start + step] = top_lists(match, k)
    return top


def score_lists(lists: np.ndarray, choices: Mapping[str, np.ndarray], genre: np.ndarray) -> ReferenceScores:
    """Recall and majority share of (V, k) lists.

    Args:
        choices: test set -> (V,) chosen music of the same videos.
        genre: (M,) int64 genre of each track.
    """
    membership = np.eye(int(genre.max()) + 1)[genre]
    share = genre_share(lists, membership, majority_genre(membership))[-1]
    hits = {name: list_recall(lists, choice) for name, choice in choices.items()}
    return ReferenceScores(hits, float(share))


def regress_latents(features: np.ndarray, latents: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Latents of other rows, by ridge regression on standardised features: (n, F), (n, d), (N, F) -> (N, d)."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(features, latents).predict(wanted)


def references(
    truth: Truth,
    visual: np.ndarray,
    acoustic: np.ndarray,
    train: slice,
    test: slice,
    choices: Mapping[str, np.ndarray],
    k: int = 10,
) -> dict[str, dict]:
    """Oracle and feature ceiling on the test videos.

    The ceiling's video regression is fitted on training videos, its music regression on the catalogue itself, which
    every model of the catalogue sees, too.

    Args:
        visual, acoustic: (V, Fv) and (M, Fa) features; may be memory-mapped.
        train, test: rows of the videos.
        choices: test set -> chosen music of the videos of ``test``.

    Returns:
        ``{"oracle": ..., "ceiling": ...}``, each a :class:`ReferenceScores` as a dict.
    """
    fitted = slice(train.start, min(train.stop, train.start + FIT_ROWS))
    video, music, genre = truth.video_latent, truth.music_latent, truth.genre
    seen_video = regress_latents(np.asarray(visual[fitted]), video[fitted], np.asarray(visual[test]))
    seen_music = regress_latents(np.asarray(acoustic), music, np.asarray(acoustic))
    pairs = {"oracle": (video[test], music), "ceiling": (seen_video, seen_music)}
    return {
        name: asdict(score_lists(top_by_match(videos, tunes, k), choices, genre))
        for name, (videos, tunes) in pairs.items()
    }


def format_references(found: Mapping[str, dict], k: int = 10) -> list[str]:
    """One line for each ranking."""
    names = {"oracle": "Oracle (true match)", "ceiling": "Feature ceiling"}
    return [
        f"{names[name]}: "
        + ", ".join(f"recall@{k} {value:.3f} on {test}" for test, value in scores["recall"].items())
        + f"; {scores['majority_share']:.1%} of its lists in the largest genre"
        for name, scores in found.items()
    ]
