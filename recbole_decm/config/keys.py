"""What each key is to a run: one table, key by key, that training, evaluation, teachers and benchmarks ask."""

from __future__ import annotations

from enum import Flag, auto
from typing import Any


class Role(Flag):
    """What a key is to a run; a key without a role here is a value like any other."""

    RUN = auto()
    """Says what is run, or on how many processes; no YAML has it."""
    PLACE = auto()
    """Says where to read, write and compute, or how much to show: no result depends on it."""
    FREE = auto()
    """May differ when a run is resumed."""
    EVALUATION = auto()
    """Of a checkpoint's config, what an evaluation takes over beside the model's own keys."""
    DATA = auto()
    """Says what is read, filtered or split: an evaluation of the same data set takes it over from the checkpoint."""
    TEACHER = auto()
    """A student hands its value to its teacher."""
    WHOLE = auto()
    """Has one value from the first epoch to the last: a resumed run refuses another one."""
    FILE = auto()
    """Names a file: results depend on what is in it."""
    RESERVED = auto()
    """A benchmark or a search sets it for each cell."""


_R = Role
KEYS: dict[str, Role] = {
    # the run
    "model": _R.RUN | _R.RESERVED,
    "dataset": _R.RUN | _R.RESERVED,
    "config_files": _R.RUN | _R.FREE | _R.RESERVED,
    "MODEL_TYPE": _R.RUN,
    "checkpoint": _R.FREE | _R.RESERVED,
    "epochs": _R.FREE,
    "seed": _R.WHOLE | _R.EVALUATION | _R.TEACHER | _R.RESERVED,
    "reproducibility": _R.TEACHER,
    # processes
    "nproc": _R.RUN,
    "world_size": _R.RUN,
    "ip": _R.RUN | _R.FREE,
    "port": _R.RUN | _R.FREE,
    "group_offset": _R.RUN | _R.FREE,
    "offset": _R.RUN,
    "local_rank": _R.RUN | _R.FREE,
    # places
    "data_path": _R.PLACE | _R.FREE | _R.RESERVED,
    "checkpoint_dir": _R.PLACE | _R.FREE | _R.TEACHER | _R.RESERVED,
    "teacher_dir": _R.PLACE | _R.FREE | _R.RESERVED,
    "result_file": _R.PLACE | _R.FREE | _R.RESERVED,
    "use_gpu": _R.PLACE | _R.FREE | _R.TEACHER,
    "gpu_id": _R.PLACE | _R.FREE | _R.TEACHER,
    "device": _R.PLACE | _R.FREE,
    "worker": _R.PLACE | _R.FREE | _R.TEACHER,
    "feature_residency": _R.PLACE | _R.FREE | _R.TEACHER,
    # what is shown
    "state": _R.PLACE | _R.FREE | _R.TEACHER | _R.RESERVED,
    "show_progress": _R.PLACE | _R.FREE | _R.TEACHER | _R.RESERVED,
    "log_wandb": _R.FREE,
    "wandb_project": _R.FREE,
    # evaluation
    "metrics": _R.FREE | _R.EVALUATION,
    "topk": _R.FREE | _R.EVALUATION,
    "valid_metric": _R.WHOLE | _R.EVALUATION,
    "valid_metric_bigger": _R.WHOLE,
    "eval_args": _R.WHOLE | _R.EVALUATION,
    "uploader_prior": _R.EVALUATION,
    "prior_smoothing": _R.EVALUATION,
    "feature_reduce": _R.EVALUATION,
    "content_fields": _R.EVALUATION,
    # the data set
    "benchmark_filename": _R.DATA,
    "extra_tests": _R.DATA,
    "load_col": _R.DATA,
    "unload_col": _R.DATA,
    "unused_col": _R.DATA,
    "additional_feat_suffix": _R.DATA,
    "field_separator": _R.DATA,
    "seq_separator": _R.DATA,
    "encoding": _R.DATA,
    "seq_len": _R.DATA,
    "feature_files": _R.DATA,
    "rm_dup_inter": _R.DATA,
    "val_interval": _R.DATA,
    "filter_inter_by_user_or_item": _R.DATA,
    "user_inter_num_interval": _R.DATA,
    "item_inter_num_interval": _R.DATA,
    "threshold": _R.DATA,
    "normalize_field": _R.DATA,
    "normalize_all": _R.DATA,
    "discretization": _R.DATA,
    "numerical_features": _R.DATA,
    "user_features": _R.DATA,
    "item_features": _R.DATA,
    "preload_weight": _R.DATA,
    "UPLOADER_FIELD": _R.DATA,
    "PRIOR_FIELD": _R.DATA,
    "GENRE_FIELD": _R.DATA,
    "IPW_FIELD": _R.DATA,
    "RATING_FIELD": _R.DATA,
    "TIME_FIELD": _R.DATA,
    "LABEL_FIELD": _R.DATA,
    # where a run starts from
    "learner": _R.WHOLE,
    "initial_weights": _R.WHOLE,
    "initial_logvar": _R.WHOLE,
    "temperature": _R.WHOLE,
    "teacher": _R.FILE,
    "pretrain_path": _R.FILE | _R.WHOLE,
    "pre_model_path": _R.FILE | _R.WHOLE,
    "mf_pretrain_path": _R.FILE | _R.WHOLE,
    "mlp_pretrain_path": _R.FILE | _R.WHOLE,
    "warm_up": _R.FILE | _R.WHOLE,
    # what a teacher shares with its student; all else is DecCMTeacher.yaml's, the PGC data set's and teacher_config's
    "latent_dimension": _R.TEACHER,
    "normalize_mean": _R.TEACHER,
    "normalize_logvar": _R.TEACHER,
    "objective": _R.TEACHER,
    "VISUAL_FIELD": _R.TEACHER | _R.DATA,
    "ACOUSTIC_FIELD": _R.TEACHER | _R.DATA,
    "video_fields": _R.TEACHER | _R.DATA,
    "music_fields": _R.TEACHER | _R.DATA,
    "USER_ID_FIELD": _R.TEACHER | _R.DATA,
    "ITEM_ID_FIELD": _R.TEACHER | _R.DATA,
    "enable_amp": _R.TEACHER,
    "compile": _R.TEACHER,
}


UNTOLD: dict[str, Any] = {
    "standardize_features": False,
    "prior_leave_one_out": False,
    "content_fields": "component",
}
"""What keys stood at before there were these keys: a checkpoint that does not say is one of then."""


def having(role: Role) -> frozenset[str]:
    """The keys that have a role.

    >>> "seed" in having(Role.TEACHER), "epochs" in having(Role.TEACHER)
    (True, False)
    """
    return frozenset(key for key, roles in KEYS.items() if role & roles)
