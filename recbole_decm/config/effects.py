"""What each key of a run changes, and when it changes nothing: one table for warnings, for ``docs/keys.md`` and tests.

A key that is given and changes nothing here is named in one line before a run trains. A key is listed by the name that
a user gives; an entry of a nested key as ``eval_args.split``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from recbole.data.dataloader import TrainDataLoader
from recbole.data.utils import get_dataloader
from recbole.utils import ModelType

from recbole_decm.config.model_effects import MODEL_EFFECTS, NO_VALIDATION, Idle

DATA = "which rows, columns or vectors are read, or how they are split"
TRAINING = "the trained weights"
RESULTS = "the lists or the metrics"
FILES = "files that are read or written"
SHOWN = "what is shown or logged"
SPEED = "time, memory or device; results stay as they are"
REFUSED = "nothing: another value is refused"


class Effect(NamedTuple):
    """What a key changes, and the cases in which it changes nothing."""

    changes: str
    idle: tuple[Idle, ...] = ()


def _ours(config: Any, value: Any = None) -> bool:
    return hasattr(config.model_class, "settings_class")


def _fitted(config: Any, value: Any = None) -> bool:
    return getattr(config.model_class, "fitted_once", False) or config.model_class.type == ModelType.TRADITIONAL


def _reads(key: str) -> Idle:
    """Idle for a model of RecBole's that does not read the key, and for ours."""
    return Idle(lambda config, value: key not in config.keys_of_model, "the model does not read it")


_ALWAYS = Idle(lambda config, value: True, "")


def _never_read(why: str) -> Effect:
    return Effect("nothing", (_ALWAYS._replace(why=why),))


OURS_IN_BATCH = Idle(_ours, "our models learn from the other tracks of a batch and draw no negatives")
ONE_STEP = Idle(_fitted, "the model is fitted in one step")
NO_BATCHES = Idle(lambda config, value: getattr(config.model_class, "fitted_once", False), ONE_STEP.why)
NOT_CONTEXT = Idle(lambda config, value: not config.needs.context, "only RecBole's context-aware models read it")
NO_CONTENT = Idle(
    lambda config, value: not (config.needs.content or config.needs.context), "the model reads no content vectors"
)
NO_VECTORS = Idle(lambda config, value: not config.needs.content, "only our models keep whole vectors")
READY_MADE = Idle(lambda config, value: config.ready_made, "the splits are ready-made (benchmark_filename)")
FOLDED = Idle(lambda config, value: "LGO" in (config["eval_args"]["split"] or {}), "folds of groups have no order")
GROUPED = Idle(
    lambda config, value: "RS" not in (config["eval_args"]["split"] or {}),
    "LS and TS split within a video, LGO by group",
)
NOTHING_CACHED = Idle(
    lambda config, value: "auto" not in (config["teacher"], config["protocol"]) and not config.needs.choices,
    "no teacher is trained, no protocol is chosen, and no metric is estimated",
)
NO_PRIOR = Idle(lambda config, value: not config.needs.prior, "neither the model nor a metric uses uploader priors")
MODEL_WITHOUT_PRIOR = Idle(
    lambda config, value: not getattr(config.model_class, "uses_uploader_prior", False),
    "the model does not train on uploader priors",
)
PRIOR_READ = Idle(lambda config, value: config["uploader_prior"] == "read", "uploader_prior is read")
PRIOR_TRAIN = Idle(lambda config, value: config["uploader_prior"] == "train", "uploader_prior is train")
NO_GENRE = Idle(lambda config, value: not config.needs.genre, "neither the model nor a metric uses genres")
NO_GPU = Idle(lambda config, value: config["device"].type != "cuda", "there is no GPU")
SEQUENTIAL = "only sequential models read it, which do not run here"
KNOWLEDGE = "only models with a knowledge graph read it, which do not run here"
NO_PICKLES = "nothing is kept as a pickle, which could carry code; the files are read at each run"
NOT_DRAWN = Idle(
    lambda config, value: config["train_neg_sample_args"]["distribution"] == "none", "no negatives are drawn"
)
NOT_POPULAR = Idle(
    lambda config, value: config["train_neg_sample_args"]["distribution"] != "popularity",
    "negatives are not drawn by popularity",
)
NOT_DYNAMIC = Idle(lambda config, value: not config["train_neg_sample_args"]["dynamic"], "dynamic is False")
NO_WANDB = Idle(lambda config, value: not config["log_wandb"], "log_wandb is False")
NO_TABLES = Idle(lambda config, value: not config.needs.tables, "no model that runs here reads further tables")

NO_SAMPLER = Idle(
    lambda config, value: not _ours(config) and get_dataloader(config, "train") is not TrainDataLoader,
    "the model learns from whole rows of the interaction matrix",
)
NO_NEGATIVES = Idle(
    lambda config, value: config.model_class.type == ModelType.TRADITIONAL,
    "the model counts or solves the training pairs and looks at no negatives",
)
_never_drawn = (OURS_IN_BATCH, NO_SAMPLER, NO_NEGATIVES)
_drawn = (*_never_drawn, NOT_DRAWN)

EFFECTS: dict[str, Effect] = {
    "data_path": Effect(DATA),
    "checkpoint_dir": Effect(FILES),
    "checkpoint": Effect(TRAINING),
    "teacher_dir": Effect(FILES, (NOTHING_CACHED,)),
    "result_file": Effect(FILES),
    "save_dataset": _never_read(NO_PICKLES),
    "dataset_save_path": _never_read(NO_PICKLES),
    "save_dataloaders": _never_read(NO_PICKLES),
    "dataloaders_save_path": _never_read(NO_PICKLES),
    "gpu_id": Effect(SPEED),
    "use_gpu": Effect(SPEED),
    "worker": Effect(SPEED, (Idle(_ours, "our models make batches without worker processes"),)),
    "seed": Effect(TRAINING),
    "state": Effect(SHOWN),
    "reproducibility": Effect(SPEED),
    "show_progress": Effect(SHOWN),
    "log_wandb": Effect(SHOWN),
    "wandb_project": Effect(SHOWN, (NO_WANDB,)),
    "shuffle": Effect(TRAINING, (NO_BATCHES,)),
    "USER_ID_FIELD": Effect(DATA),
    "ITEM_ID_FIELD": Effect(DATA),
    "VISUAL_FIELD": Effect(
        DATA, (NO_CONTENT, Idle(lambda config, value: config["video_fields"], "video_fields is given"))
    ),
    "ACOUSTIC_FIELD": Effect(
        DATA, (NO_CONTENT, Idle(lambda config, value: config["music_fields"], "music_fields is given"))
    ),
    "video_fields": Effect(DATA, (NO_CONTENT,)),
    "music_fields": Effect(DATA, (NO_CONTENT,)),
    "UPLOADER_FIELD": Effect(DATA, (NO_PRIOR, PRIOR_READ)),
    "PRIOR_FIELD": Effect(DATA, (NO_PRIOR, PRIOR_TRAIN)),
    "GENRE_FIELD": Effect(DATA, (NO_GENRE,)),
    "IPW_FIELD": Effect(RESULTS),
    "RATING_FIELD": Effect(TRAINING, (_reads("RATING_FIELD"),)),
    "TIME_FIELD": Effect(
        DATA,
        (
            Idle(
                lambda config, value: (
                    config["rm_dup_inter"] is None
                    and (config.ready_made or FOLDED.when(config, value) or config["eval_args"]["order"] != "TO")
                    and (config.ready_made or "TS" not in (config["eval_args"]["split"] or {}))
                ),
                "neither rm_dup_inter nor a split goes by time",
            ),
        ),
    ),
    "LABEL_FIELD": Effect(
        TRAINING,
        (
            _reads("LABEL_FIELD"),
            Idle(lambda config, value: not NOT_DRAWN.when(config, value), "labels are those of drawn negatives"),
        ),
    ),
    "NEG_PREFIX": _never_read("it names columns of a batch, which nobody sees"),
    "ITEM_LIST_LENGTH_FIELD": _never_read(SEQUENTIAL),
    "LIST_SUFFIX": _never_read(SEQUENTIAL),
    "MAX_ITEM_LIST_LENGTH": _never_read(SEQUENTIAL),
    "POSITION_FIELD": _never_read(SEQUENTIAL),
    "HEAD_ENTITY_ID_FIELD": _never_read(KNOWLEDGE),
    "TAIL_ENTITY_ID_FIELD": _never_read(KNOWLEDGE),
    "RELATION_ID_FIELD": _never_read(KNOWLEDGE),
    "ENTITY_ID_FIELD": _never_read(KNOWLEDGE),
    "entity_kg_num_interval": _never_read(KNOWLEDGE),
    "relation_kg_num_interval": _never_read(KNOWLEDGE),
    "kg_reverse_r": _never_read(KNOWLEDGE),
    "field_separator": Effect(DATA),
    "seq_separator": Effect(DATA),
    "encoding": Effect(DATA),
    "load_col": Effect(DATA),
    "unload_col": Effect(DATA),
    "unused_col": Effect(
        DATA,
        (
            Idle(
                lambda config, value: (
                    not config.needs.context and config["IPW_FIELD"] not in (value.get("inter") or ())
                ),
                "the model reads no further columns",
            ),
        ),
    ),
    "additional_feat_suffix": Effect(DATA, (NO_TABLES,)),
    "preload_weight": Effect(DATA, (NO_TABLES,)),
    "feature_files": Effect(DATA, (NO_CONTENT,)),
    "feature_residency": Effect(SPEED, (NO_VECTORS,)),
    "feature_reduce": Effect(DATA, (NOT_CONTEXT,)),
    "content_fields": Effect(DATA, (NOT_CONTEXT,)),
    "user_features": Effect(DATA, (NOT_CONTEXT,)),
    "item_features": Effect(DATA, (NOT_CONTEXT,)),
    "numerical_features": Effect(DATA, (NOT_CONTEXT,)),
    "normalize_field": Effect(DATA, (NOT_CONTEXT,)),
    "normalize_all": Effect(DATA, (NOT_CONTEXT,)),
    "discretization": Effect(DATA, (NOT_CONTEXT,)),
    "seq_len": Effect(DATA, (NOT_CONTEXT,)),
    "uploader_prior": Effect(DATA, (NO_PRIOR,)),
    "prior_smoothing": Effect(DATA, (NO_PRIOR, PRIOR_READ)),
    "prior_leave_one_out": Effect(TRAINING, (MODEL_WITHOUT_PRIOR, PRIOR_READ)),
    "extra_tests": Effect(RESULTS),
    "benchmark_filename": Effect(DATA),
    "threshold": Effect(DATA),
    "rm_dup_inter": Effect(DATA),
    "val_interval": Effect(DATA),
    "filter_inter_by_user_or_item": Effect(DATA),
    "user_inter_num_interval": Effect(DATA),
    "item_inter_num_interval": Effect(DATA),
    "alias_of_user_id": Effect(REFUSED),
    "alias_of_item_id": Effect(REFUSED),
    "alias_of_entity_id": _never_read(KNOWLEDGE),
    "alias_of_relation_id": _never_read(KNOWLEDGE),
    "epochs": Effect(TRAINING, (ONE_STEP,)),
    "train_batch_size": Effect(TRAINING, (NO_BATCHES,)),
    "learner": Effect(TRAINING, (ONE_STEP,)),
    "learning_rate": Effect(TRAINING, (ONE_STEP,)),
    "weight_decay": Effect(TRAINING, (ONE_STEP,)),
    "train_neg_sample_args.distribution": Effect(TRAINING, _never_drawn),
    "train_neg_sample_args.sample_num": Effect(TRAINING, _drawn),
    "train_neg_sample_args.alpha": Effect(TRAINING, (*_never_drawn, NOT_POPULAR)),
    "train_neg_sample_args.dynamic": Effect(TRAINING, _drawn),
    "train_neg_sample_args.candidate_num": Effect(TRAINING, (*_never_drawn, NOT_DYNAMIC)),
    "eval_step": Effect(RESULTS, (Idle(lambda config, value: _fitted(config) and value > 0, ONE_STEP.why),)),
    "stopping_step": Effect(RESULTS, (ONE_STEP, NO_VALIDATION)),
    "clip_grad_norm": Effect(TRAINING, (ONE_STEP,)),
    "loss_decimal_place": Effect(SHOWN),
    "require_pow": Effect(TRAINING, (_reads("require_pow"),)),
    "enable_amp": Effect(TRAINING, (ONE_STEP,)),
    "enable_scaler": Effect(TRAINING, (ONE_STEP, NO_GPU)),
    "compile": Effect(
        SPEED,
        (
            Idle(
                lambda config, value: not hasattr(config.model_class, "loss_names"),
                "only our trained models can be compiled",
            ),
        ),
    ),
    "transform": Effect(REFUSED),
    "eval_args.split": Effect(DATA, (READY_MADE,)),
    "eval_args.order": Effect(DATA, (READY_MADE, FOLDED)),
    "eval_args.group_by": Effect(DATA, (READY_MADE, GROUPED)),
    "eval_args.mode": Effect(RESULTS),
    "repeatable": Effect(RESULTS),
    "metrics": Effect(RESULTS),
    "topk": Effect(RESULTS),
    "valid_metric": Effect(RESULTS),
    "valid_metric_bigger": Effect(REFUSED),
    "eval_batch_size": Effect(SPEED),
    "metric_decimal_place": Effect(RESULTS),
}


def flat(values: dict) -> Iterator[tuple[str, Any]]:
    """(name, value) of the keys of a layer; the entries of nested keys in :data:`EFFECTS` each on their own."""
    for key, value in values.items():
        if key in EFFECTS or key in MODEL_EFFECTS or not isinstance(value, dict):
            yield key, value
        else:
            yield from ((f"{key}.{entry}", inner) for entry, inner in value.items())


def without_effect(config: Any, given: dict[str, Any]) -> list[str]:
    """One line for each key that changes nothing in this run.

    Args:
        given: value by name, as of :func:`flat`, of the keys that are given another value than their default.
    """
    lines = []
    for name, value in given.items():
        idle = EFFECTS[name].idle if name in EFFECTS else MODEL_EFFECTS.get(name, ()) if _ours(config) else ()
        why = next((case.why for case in idle if case.when(config, value)), None)
        if why is not None:
            lines.append(f"{name}: {value!r} has no effect here: {why}.")
    return lines
