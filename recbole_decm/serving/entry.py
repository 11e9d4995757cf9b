"""The way in: a recommender over whatever a path holds. An artefact is opened without torch and RecBole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_decm.errors import ConfigError
from recbole_decm.serving.artefact_recommender import ArtefactRecommender, is_artefact, open_artefact_with_videos
from recbole_decm.serving.lists import Lists
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.videos import VideoChoice, Videos


def open_recommender(path: Path | str, arguments: Sequence[str] = ()) -> Recommender:
    """A checkpoint or an artefact, ready to recommend for any videos (:meth:`Recommender.recommend`).

    Of a checkpoint's data set, neither the interactions nor the videos are read, unless the model ranks by popularity
    (PDA with ``inference: pda``).

    Args:
        path: the checkpoint of a model that ranks tracks for new videos; or the folder of an artefact.
        arguments: for a checkpoint: ``--key=value``, above the values it was trained with; ``--dataset=NAME`` ranks the
            catalogue of another data set.

    Raises:
        DecCMError: bad checkpoint, artefact, config or catalogue.
    """
    if is_artefact(path):
        return ArtefactRecommender.of(path, arguments)
    from recbole_decm.serving.opening import open_checkpoint

    return open_checkpoint(path, arguments)


def open_with_videos(path: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()) -> tuple[Lists, Videos]:
    """A checkpoint or an artefact, and the videos to recommend for, from files.

    For a file of videos, neither the interactions nor the videos of the data set are read. A model that does not rank
    new videos can rank those of a split of its data set.

    Args:
        path, arguments: as of :func:`open_recommender`.

    Raises:
        DecCMError: bad checkpoint, artefact, config, data or file of videos.
    """
    if choice.uploaders is not None and choice.file is None:
        raise ConfigError("--uploaders: expected --videos beside it; the videos of a split have their uploaders.")
    if is_artefact(path):
        return open_artefact_with_videos(path, choice, arguments)
    from recbole_decm.serving.opening import open_checkpoint_with_videos

    return open_checkpoint_with_videos(path, choice, arguments)


def open_new_videos(path: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()) -> tuple[Recommender, Videos]:
    """As :func:`open_with_videos`, for a model that ranks tracks for new videos."""
    if is_artefact(path):
        return open_artefact_with_videos(path, choice, arguments)
    from recbole_decm.serving import opening

    return opening.open_new_videos(path, choice, arguments)
