"""A diagnosis: reads the training rows of a data set, and asks what the uploader adds to what the video shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_decm.config.config import DecCMConfig
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.diagnosis.habit import Subject, examine
from recbole_decm.diagnosis.words import conclusion, verdict
from recbole_decm.estimation.habit import looks_counted
from recbole_decm.io.atomic import Format, read_header
from recbole_decm.training.estimates import (
    LARGEST_UNKNOWN,
    TRACK_COMPONENTS,
    VIDEO_COMPONENTS,
    components_of,
    signs_of_counts,
)

FEWEST_UPLOADERS = 10
FIT_ROWS = 8_000
"""Training rows that the content model and the tests look at, all of uploaders that are drawn; preferences are counted
from all."""


def diagnose(
    dataset: str, arguments: Sequence[str] = (), progress: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """Ask the training rows of a data set whether the uploaders' habits decide beyond what the videos show.

    Args:
        dataset: its name; arguments: ``--key=value``, such as ``--data_path=DIR`` and ``--uploader_prior=train``.
        progress: told each step.

    Returns:
        Plain values; ``docs/diagnosis.md`` says what each means. ``verdict`` is ``none``, ``habit``, ``little overlap``
        or ``cannot tell``, and ``words`` says it.

    Raises:
        DecCMError: bad config or data.
    """
    progress("loading")
    config = _config(dataset, arguments)
    names = config["metrics"]
    built = DecCMDataset(config)
    training, *others = built.build()
    videos, tracks = (training.inter_feat[field].numpy() for field in (training.uid_field, training.iid_field))
    found: dict[str, Any] = {"dataset": dataset, "rows": len(videos), "tracks": training.item_num - 1}
    missing = _missing(training, others, names)
    if missing:
        found |= {"reason": missing}
        return found | {"verdict": conclusion(found), "words": verdict(found)}
    uploaders = training.uploaders
    rows = _rows_to_look_at(None if uploaders is None else uploaders[videos], len(videos), config["seed"])
    progress("components")
    wanted = np.unique(videos[rows])
    seen = components_of(training.features, training.video_fields, videos, wanted, VIDEO_COMPONENTS)
    ids = np.arange(1, training.item_num)
    heard = components_of(training.features, training.music_fields, ids, ids, TRACK_COMPONENTS)
    given = training.uploader_prior is not None and _varies(training.uploader_prior[torch.from_numpy(videos)].numpy())
    subject = Subject(
        seen[np.searchsorted(wanted, videos[rows])],
        heard,
        training.genre_membership[1:],
        rows,
        tracks - 1,
        None if uploaders is None else uploaders[videos],
        training.uploader_prior[torch.from_numpy(videos[rows])].numpy() if given else None,
    )
    found |= {"genres": list(training.genre_vocabulary), "preference": "given" if given else "counted"}
    if subject.preference is not None:
        found["looks_counted"] = looks_counted(subject.preference, training.genre_membership[tracks[rows]])[1]
    found |= examine(subject, config["seed"], progress)
    return found | {"verdict": conclusion(found), "words": verdict(found)}


def _config(dataset: str, arguments: Sequence[str]) -> DecCMConfig:
    """The config of a run that loads features, and genres and preferences where the files have them."""
    values: dict[str, Any] = {"metrics": ["NDCG"], "valid_metric": "NDCG@10", "topk": [10], "show_progress": False}
    values |= {"use_gpu": False, "state": "WARNING", "extra_tests": None}
    plain = DecCMConfig("Cosine", dataset, config_dict=values, arguments=arguments)
    folder, form = Path(plain["data_path"]), Format.of(plain)
    headers = [
        read_header(path, form) if (path := folder / f"{dataset}.{suffix}").is_file() else {}
        for suffix in ("user", "item")
    ]
    if plain["GENRE_FIELD"] in headers[1]:
        values["metrics"] = ["NDCG", "MajorityShare"]
        given = plain["uploader_prior"] == "read" and plain["PRIOR_FIELD"] in headers[0]
        values["metrics"] += ["GenreKL"] if given else []
    return DecCMConfig("Cosine", dataset, config_dict=values, arguments=arguments)


def _rows_to_look_at(uploader: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """At most :data:`FIT_ROWS` rows: those of uploaders that are drawn, or any where none is known."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    if uploader is not None:
        order = order[np.argsort(rng.permutation(int(uploader.max()) + 1)[uploader[order]], kind="stable")]
    return np.sort(order[:FIT_ROWS])


def _missing(training: DecCMDataset, others: Sequence[DecCMDataset], metrics: Sequence[str]) -> str | None:
    """What the files would have to tell, and do not."""
    if "MajorityShare" not in metrics:
        return f"the tracks have no '{training.genre_field}'"
    chosen = training.genre_membership[training.inter_feat[training.iid_field].numpy()]
    if (chosen.sum(axis=0) > 0).sum() < 2:
        return "all chosen tracks have one genre"
    if (without := float((chosen.sum(axis=1) == 0).mean())) > LARGEST_UNKNOWN:
        return (
            f"{without:.0%} of the chosen tracks have no '{training.genre_field}', so it is not known what was chosen"
        )
    given = training.uploader_prior
    videos, tracks = (training.inter_feat[field] for field in (training.uid_field, training.iid_field))
    if given is not None and _varies(preference := given[videos].numpy()):
        rest = [tuple(part.inter_feat[name].numpy() for name in (part.uid_field, part.iid_field)) for part in others]
        if (groups := len(np.unique(preference, axis=0))) < FEWEST_UPLOADERS:
            return f"there are {groups} preferences, and no fewer than {FEWEST_UPLOADERS} tell what goes with them"
        counted, sign = signs_of_counts(training, videos.numpy(), tracks.numpy(), rest)
        if not counted:
            return None
        return (
            f"the preferences were counted from these very choices ({sign}). Give preferences from outside, or "
            "uploader ids and --uploader_prior=train"
        )
    uploaders = training.uploaders
    if uploaders is None:
        return f"the videos have neither '{training.prior_field}' that differs nor '{training.uploader_field}'"
    several = int((np.bincount(uploaders[videos.numpy()]) >= 2).sum())
    if several < FEWEST_UPLOADERS:
        return (
            f"{several} uploaders have two videos, and no fewer than {FEWEST_UPLOADERS} tell habits from what one "
            "uploader's videos happen to have in common"
        )
    return None


def _varies(preferences: np.ndarray) -> bool:
    return bool(np.ptp(preferences, axis=0).max() > 1e-4)
