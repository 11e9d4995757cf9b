"""An audit of a checkpoint: loads it, scores a test split under many priors, and gathers the measures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_decm.audit import measures
from recbole_decm.audit.agreement import kl_per_dimension, ranking_agreement
from recbole_decm.audit.subject import Subject, load_subject
from recbole_decm.config import registry
from recbole_decm.errors import CheckpointError, ConfigError, DataError
from recbole_decm.metrics.genres import genre_shares, genre_totals, majority_genre
from recbole_decm.metrics.ranking import top_lists
from recbole_decm.model.backdoor import inference_priors
from recbole_decm.model.towers import Posterior
from recbole_decm.simulation.references import read_truth, top_by_match
from recbole_decm.training import teacher
from recbole_decm.training.beside import Weighed
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import restored_config
from recbole_decm.training.run import find_or_train_teacher

BATCH_SIZES = (16, 64, 256, 1024, 4096)
_ADJUSTMENT = ("confounder_fusion", "inference_prior")
_CORRELATED_VIDEOS = 300
NO_CONFOUNDER = "The model has no confounder: there is no prior to change."


def audit(
    checkpoint: Path,
    arguments: Sequence[str] = (),
    k: int = 10,
    most_videos: int = 2_000,
    progress: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """Measure what the confounder and the teacher do to the rankings of a checkpoint of the DecCM family.

    Args:
        checkpoint: the file.
        arguments: ``--key=value`` above the checkpoint's values, such as ``--dataset=NAME``.
        k: length of the lists.
        most_videos: test videos to look at, the first of the split.
        progress: told each step.

    Returns:
        Plain values; ``docs/backdoor.md`` says what each means.

    Raises:
        CheckpointError: a checkpoint of another family.
    """
    content = read_checkpoint(checkpoint)
    family = [name for name in registry.MODELS if name not in registry.BASELINES]
    if content["model"] not in family:
        raise CheckpointError(
            f"{checkpoint}: expected a checkpoint of {', '.join(family)}, found one of {content['model']}, "
            "which an audit cannot take apart. Its lists are measured by GenreKL, MajorityShare and AveragePopularity: "
            "recbole-decm evaluate."
        )
    config = restored_config(
        content, ["--use_gpu=False", "--state=WARNING", f"--checkpoint_dir={checkpoint.parent}", *arguments]
    )
    progress("loading")
    subject, split = load_subject(config, content, checkpoint, k, most_videos)
    settings = subject.model.settings
    found: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "model": content["model"],
        "dataset": config["dataset"],
        "split": split,
        "videos": len(subject.videos),
        "k": k,
        "backdoor": getattr(settings, "backdoor", None),
        **{key: getattr(settings, key) if subject.confounded else None for key in _ADJUSTMENT},
    }
    progress("choices without habit")
    weighed, found["estimated"] = _weighed(config, subject)
    progress("priors")
    unchanged = {"explanation": NO_CONFOUNDER, "rank_change_rate": 0.0}
    found |= _priors(subject, k, weighed) if subject.confounded else unchanged
    progress("genres")
    found["genres"] = _genres(subject, config, k, weighed)
    found["references"] = _references(config)
    progress("teacher")
    found["teacher"] = _teacher(subject, config, k)
    return found


def _weighed(config: Any, subject: Subject) -> tuple[Weighed | None, dict[str, Any]]:
    """The choices of the videos by a choice model, and what they say; None and ``not_estimated``, the reason."""
    try:
        weighed = Weighed(config, full=True)
        if not np.array_equal(weighed.loader.users[: len(subject.videos)], subject.videos.numpy()):
            return None, {"not_estimated": "not all of the videos have features, genres and preferences"}
        return weighed, weighed.of_choices(len(subject.videos))
    except (ConfigError, DataError) as error:
        return None, {"not_estimated": str(error)}


def _do_recall(weighed: Weighed | None, lists: np.ndarray) -> list[float] | None:
    """Recall of lists of columns as it would be without habit, and its 95 % interval."""
    return None if weighed is None else [float(part[-1]) for part in weighed.of_lists("dorecall", lists + 1)]


def _priors(subject: Subject, k: int, weighed: Weighed | None) -> dict[str, Any]:
    """Rankings under each prior against those under the training mean, and what the confounder explains."""
    model = subject.model
    groups = len(model.prior_mean)
    own = model.uploader_prior[subject.videos]
    names = subject.genre_names if len(subject.genre_names) == groups else [f"group {i}" for i in range(groups)]
    choices: dict[str, Any] = {"mean": "mean", "uniform": "uniform"}
    choices |= {f"only {name}": tuple(float(i == g) for i in range(groups)) for g, name in enumerate(names)}
    choices["uploader's own"] = "uploader"
    rows: list[dict[str, Any]] = []
    reference, lists = np.zeros(0), np.zeros(0)
    explained = (0.0, 0.0)
    for name, choice in choices.items():
        scores = subject.scores(inference_priors(choice, model.prior_mean, own))
        if name == "mean":
            reference, lists = scores, top_lists(scores, k)
        if choice == "uploader":
            explained = measures.explained_share(scores, reference)
        top = top_lists(scores, k)
        rows.append(
            {
                "prior": name,
                "lists_changed": float(measures.changed_lists(lists, scores).mean()),
                "entries_replaced": float(measures.replaced_share(lists, scores).mean()),
                "uneven_shift": measures.uneven_shift(reference, scores),
                "recall": subject.recall(top),
                "dorecall": _do_recall(weighed, top),
                "genres": _shares(subject, top),
            }
        )
    train = subject.dataset.inter_feat[subject.dataset.uid_field]
    variance = measures.batch_prior_variance(model.training_prior[train].numpy(), BATCH_SIZES, np.random.default_rng(0))
    rate = max(row["lists_changed"] for row in rows)
    return {
        "priors": rows,
        "rank_change_rate": rate,
        "explanation": _explanation(rows, rate, model.adjustment.why_no_rank_changes),
        "explained": {"all": explained[0], "within_video": explained[1]},
        "batch_prior": variance,
    }


def _explanation(rows: list[dict[str, Any]], rate: float, why: str | None) -> str:
    """Why rankings change or not, from what was measured."""
    if max(row["uneven_shift"] for row in rows) > measures.TOLERANCE:
        largest = max(rows, key=lambda row: row["lists_changed"])
        return (
            f"The prior moves the music of a video by different numbers: under '{largest['prior']}', "
            f"{rate:.1%} of the lists change against the training mean."
        )
    why = why or "Every prior moves all music of a video by the same number."
    return f"{why} So no prior can change a ranking, and the adjustment does nothing at inference."


def _shares(subject: Subject, lists: np.ndarray) -> list[float] | None:
    if subject.membership is None:
        return None
    return genre_shares(genre_totals(lists, subject.membership)).tolist()


def _genres(subject: Subject, config: Any, k: int, weighed: Weighed | None) -> dict[str, Any] | None:
    """Genre shares of what the model recommends, beside everything it can be compared with."""
    if subject.membership is None:
        return None
    model, dataset, membership = subject.model, subject.dataset, subject.membership
    prior = model.adjustment.priors(len(subject.videos), model.uploaders_of(subject.videos))
    lists = top_lists(subject.scores(prior), k)
    train = dataset.inter_feat[dataset.iid_field].numpy() - 1
    shares = {"recommended": _shares(subject, lists)}
    shares["catalogue"] = genre_shares(membership).tolist()
    shares["training"] = genre_shares(membership[train]).tolist()
    if dataset.uploader_prior is not None:
        shares["preference"] = dataset.uploader_prior[subject.videos].double().mean(dim=0).tolist()
    for name, chosen in subject.choices.items():
        shares[f"chosen ({name})"] = genre_shares(membership[chosen[chosen > 0] - 1]).tolist()
    truth_file = Path(config["data_path"]) / f"{config['dataset']}.truth.npz"
    if truth_file.is_file():  # rows in file order, as ids are
        truth = read_truth(truth_file)
        best = top_by_match(truth.video_latent[subject.videos.numpy() - 1], truth.music_latent, k)
        shares["oracle"] = _shares(subject, best)
    return {
        "names": subject.genre_names,
        "majority": majority_genre(membership),
        "shares": shares,
        "recall": subject.recall(lists),
        "dorecall": _do_recall(weighed, lists),
    }


def _references(config: Any) -> dict | None:
    path = Path(config["data_path"]) / f"{config['dataset']}.references.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


@torch.no_grad()
def _teacher(subject: Subject, config: Any, k: int) -> dict[str, Any]:
    """Divergence from the teacher by dimension, and agreement of both rankings."""
    model = subject.model
    if not model.takes_teacher:
        return {"note": f"{type(model).__name__} has no teacher."}
    path = _teacher_path(config)
    if path is None:
        return {"note": "No teacher: the checkpoint was trained without, or its teacher is no longer there."}
    model.float()
    teacher.attach(model, config, path)
    guides = [Posterior(guide.mean.double(), guide.logvar.double()) for guide in model.teacher.of_all()]
    music = slice(1, None)
    result: dict[str, Any] = {"checkpoint": str(path), "kl": {}}
    for name, rows, guide in (("visual", subject.videos, guides[0]), ("acoustic", music, guides[1])):
        student = model.learned_part(model.posteriors(name))
        pair = [Posterior(q.mean[rows].double(), q.logvar[rows].double()) for q in (student, guide)]
        result["kl"][name] = kl_per_dimension(*pair).tolist()
    some = slice(0, _CORRELATED_VIDEOS)
    scores = guides[0].mean[subject.videos][some] @ guides[1].mean[music].T
    model.double()
    prior = model.adjustment.priors(len(subject.videos), model.uploaders_of(subject.videos))
    result["agreement"] = ranking_agreement(subject.scores(prior)[some], scores.numpy(), k)
    of_the_teacher = (guides[0].mean[subject.videos] @ guides[1].mean[music].T).numpy()
    result["teacher_recall"] = subject.recall(top_lists(of_the_teacher, k))
    return result


def _teacher_path(config: Any) -> Path | None:
    choice = config["teacher"]
    if choice is None or choice == "none":
        return None
    if choice != "auto":
        return find_or_train_teacher(config)
    if not (Path(config["data_path"]).parent / f"{config['dataset']}-pgc").is_dir():
        return None
    path = teacher.cached_path(config, teacher.teacher_config(config))
    return path if path.is_file() else None
