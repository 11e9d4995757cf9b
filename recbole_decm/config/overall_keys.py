"""The keys that every run has, ours and RecBole's: their types, their ranges, and what they mean.

RecBole checks few of its keys, and says so in tracebacks. The types here are those of the defaults in its
``overall.yaml`` and ``dataset/sample.yaml``, the ranges what its code can work with. A description that is given here
is the comment of the key in ``properties/overall.yaml`` and ``properties/model/*.yaml``; the meaning of every other
key is the comment in RecBole's YAML.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from recbole_decm.data.features import RESIDENCIES
from recbole_decm.io.typed import STRICT, Entries, Expected, one_of

Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Word = Annotated[str, Field(min_length=1)]
Words = Annotated[list[Word], Expected("a list of names")]
FieldNames = Annotated[
    list[Word],
    Expected("a list of different names", lambda names: len(names) > 0 and len(set(names)) == len(names)),
]
Columns = Annotated[
    dict[Word, list[Word] | Literal["*"]], Expected("names of columns by file suffix, such as {inter: [user_id]}")
]


def _names(longest: int) -> Callable[[Any], bool]:
    return lambda path: all(0 < len(os.fsencode(part)) <= longest and "\0" not in part for part in Path(path).parts)


File = Annotated[str | Path, Expected("a path whose names have at most 255 bytes", _names(255))]
Part = Annotated[
    Word, Expected("a name of at most 100 bytes without /", lambda name: Path(name).name == name and _names(100)(name))
]

_OWN = {"inter", "user", "item"}
_NUMBER = r"\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+|inf)\s*"
_INTERVALS = re.compile(rf"\s*[\[(]{_NUMBER},{_NUMBER}[\])]\s*(;\s*[\[(]{_NUMBER},{_NUMBER}[\])]\s*)*")


def _intervals(value: Any) -> bool:
    """``[5,inf)`` is a text; ``[5,10]`` and ``(5,10)`` are read as a list and a tuple, whose text RecBole reads."""
    texts = [part.strip()[1:-1].split(",") for part in str(value).split(";")]
    return bool(_INTERVALS.fullmatch(str(value))) and all(float(low) <= float(high) for low, high in texts)


Interval = Annotated[
    str | list[float] | tuple[float, float], Expected("an interval such as [5,inf) or (0,10]", _intervals)
]


def _mode(value: Any) -> bool:
    return bool(re.fullmatch(r"full|fixed|(uni|pop)[1-9]\d*", value))


Mode = Annotated[str, Expected("full, fixed, uniN or popN (such as uni100)", _mode)]
Ratios = Annotated[
    list[float],
    Expected(
        "three shares of the rows, such as [0.8, 0.1, 0.1]",
        lambda parts: len(parts) == 3 and min(parts) >= 0 and parts[0] > 0,
    ),
]


def _encoding(value: str) -> bool:
    try:
        return bool("a".encode(value))
    except (LookupError, ValueError):
        return False


class ModesEntries(TypedDict, total=False):
    """``mode`` for validation and test apart."""

    valid: Mode
    test: Mode


Modes = Annotated[ModesEntries, Entries(tuple(ModesEntries.__annotations__))]


class SplitEntries(TypedDict, total=False):
    """A way to split, and its parts."""

    RS: Ratios
    LS: Annotated[str, one_of("valid_and_test", "valid_only", "test_only")]
    TS: Ratios
    LGO: Annotated[Word, Expected("the name of a column of .inter, .user or .item, such as artist")]
    folds: Annotated[int, Field(ge=3)]
    fold: Count
    fold_seed: Count


Split = Annotated[SplitEntries, Entries(tuple(SplitEntries.__annotations__), one=("RS", "LS", "TS", "LGO"))]


class EvalArgsEntries(TypedDict, total=False):
    """What ``eval_args`` holds."""

    split: Annotated[
        Split | None,
        Field(description="RS, LS, TS: used where the data set has no benchmark_filename. LGO: folds of whole groups."),
    ]
    group_by: Annotated[
        Annotated[str, one_of("user", "none")] | None,
        Field(description="A video has one track: split over rows, not within a video."),
    ]
    order: Annotated[Literal["RO", "TO"], Field(description="Random order before a ratio split.")]
    mode: Annotated[
        Mode | Modes,
        Expected("full, fixed, uniN or popN (such as uni100)"),
        Field(description="full, uniN or popN (N drawn negatives), fixed (.candidates files)."),
    ]


EvalArgs = Annotated[EvalArgsEntries, Entries(tuple(EvalArgsEntries.__annotations__))]


class SamplingEntries(TypedDict, total=False):
    """What ``train_neg_sample_args`` holds; None and ``none`` draw nothing."""

    distribution: Annotated[str, one_of("uniform", "popularity", "none")] | None
    sample_num: Annotated[Size | Literal["none"], Expected("a whole number of at least 1")]
    alpha: Annotated[Weight | Literal["none"], Expected("a number of at least 0")]
    dynamic: bool
    candidate_num: Count


Sampling = Annotated[SamplingEntries, Entries(tuple(SamplingEntries.__annotations__))]


class ClippingEntries(TypedDict, total=False):
    """Arguments of ``torch.nn.utils.clip_grad_norm_``."""

    max_norm: Positive
    norm_type: Annotated[float, Field(gt=0, allow_inf_nan=True)]
    error_if_nonfinite: bool
    foreach: bool | None


Clipping = Annotated[
    ClippingEntries,
    Expected("keys and values with max_norm", lambda entries: "max_norm" in entries),
    Entries(tuple(ClippingEntries.__annotations__)),
]


class BucketingEntries(TypedDict, total=False):
    """How one field is made discrete."""

    method: Literal["ED", "LD"]
    bucket: Size


Bucketing = Annotated[BucketingEntries, Entries(tuple(BucketingEntries.__annotations__))]


class OverallKeys(TypedDict, total=False):
    """Every key of RecBole's ``overall.yaml`` and ``sample.yaml`` and of ours."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    # Where things are
    data_path: Annotated[File, Field(description="The folder that holds NAME/NAME.inter, .user, .item.")]
    checkpoint_dir: Annotated[File, Field(description="The folder for checkpoints.")]
    checkpoint: Annotated[
        File | None,
        Field(description="A checkpoint to resume from; results are those of an uninterrupted run."),
    ]
    teacher_dir: Annotated[
        File | None,
        Field(
            description=(
                "The folder of cached teachers and choice models, which several runs may share; ~ is teachers below "
                "checkpoint_dir, and keeps no choice model."
            )
        ),
    ]
    result_file: Annotated[File | None, Field(description="Write the results as JSON to this path.")]
    save_dataset: bool
    dataset_save_path: File | None
    save_dataloaders: bool
    dataloaders_save_path: File | None

    # The process
    gpu_id: Annotated[
        str | Annotated[int, Field(ge=-1)] | tuple[Count, ...],
        Expected("numbers of GPUs, such as 0 or 0,1"),
    ]
    use_gpu: bool
    worker: Count
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    state: Annotated[str, one_of("debug", "info", "warning", "error", "critical")] | None
    reproducibility: bool
    show_progress: bool
    log_wandb: Annotated[
        bool,
        Expected(
            "True or False, and False where the package wandb is not installed",
            lambda wanted: not wanted or importlib.util.find_spec("wandb") is not None,
        ),
    ]
    wandb_project: Word
    shuffle: bool

    # Fields
    USER_ID_FIELD: Annotated[Word, Field(description="Field name of the video.")]
    ITEM_ID_FIELD: Annotated[Word, Field(description="Field name of the music.")]
    VISUAL_FIELD: Annotated[
        Word,
        Field(description="Field of the video's feature vector, a float_seq of .user or an entry of feature_files."),
    ]
    ACOUSTIC_FIELD: Annotated[
        Word,
        Field(description="Field of the music's feature vector, a float_seq of .item or an entry of feature_files."),
    ]
    video_fields: Annotated[
        FieldNames | None, Field(description="Several fields of a video's features instead of VISUAL_FIELD, fused.")
    ]
    music_fields: Annotated[
        FieldNames | None, Field(description="Several fields of a track's features instead of ACOUSTIC_FIELD, fused.")
    ]
    UPLOADER_FIELD: Annotated[Word, Field(description="Field of .user that names the uploader of a video.")]
    PRIOR_FIELD: Annotated[
        Word, Field(description="float_seq of .user: the uploader's distribution over the genre groups.")
    ]
    GENRE_FIELD: Annotated[Word, Field(description="token_seq of .item: the genres of a track.")]
    IPW_FIELD: Annotated[
        Word | None,
        Field(description="Optional float of .inter: weight of a row in IPWRecall and IPWNDCG."),
    ]
    RATING_FIELD: Word | None
    TIME_FIELD: Word | None
    LABEL_FIELD: Word
    NEG_PREFIX: Word
    ITEM_LIST_LENGTH_FIELD: Word
    LIST_SUFFIX: Word
    MAX_ITEM_LIST_LENGTH: Size
    POSITION_FIELD: Word
    HEAD_ENTITY_ID_FIELD: Word
    TAIL_ENTITY_ID_FIELD: Word
    RELATION_ID_FIELD: Word
    ENTITY_ID_FIELD: Word

    # Data
    field_separator: Word
    seq_separator: Word
    encoding: Annotated[
        Annotated[str, Expected("an encoding that Python knows, such as utf-8, latin-1 or utf-16", _encoding)],
        Field(description="Encoding of the text files; a byte-order mark is skipped."),
    ]
    load_col: Annotated[Columns | None, Field(description="Columns to load by file suffix; ~ loads all.")]
    unload_col: Columns | None
    unused_col: Columns | None
    additional_feat_suffix: (
        Annotated[
            list[Part] | Part,
            Expected(
                "a list of file suffixes other than inter, user and item",
                lambda names: not _OWN & {*([names] if isinstance(names, str) else names)},
            ),
        ]
        | None
    )
    feature_files: Annotated[
        Annotated[dict[Word, File], Expected("names of .npy files by field, such as {visual: v.npy}")] | None,
        Field(description="field: .npy file in the data set's folder, row i for line i of .user or .item."),
    ]
    feature_residency: Annotated[
        Annotated[str, Expected(", ".join(sorted(RESIDENCIES)), lambda value: value in RESIDENCIES)],
        Field(
            description=(
                "Where .npy vectors stay: device (GPU), host (mapped), disk (rows read when needed); auto: GPU if they "
                "fit twice, else host up to 512 MB, else disk."
            )
        ),
    ]
    feature_reduce: Annotated[
        Annotated[dict[Word, Size | None], Expected("whole numbers of at least 1 by field, such as {visual: 64}")]
        | None,
        Field(description="PCA size of the vectors that RecBole's context-aware models see; ~ keeps all."),
    ]
    content_fields: Annotated[
        Literal["component", "vector"],
        Field(
            description="What a context-aware model of RecBole takes as a field: each component of a vector, or the "
            "whole vector, as a linear projection."
        ),
    ]
    user_features: Annotated[
        Words | None,
        Field(
            description="Number columns of .user that RecBole's context-aware models take as features; all tokens are."
        ),
    ]
    item_features: Annotated[
        Words | None,
        Field(description="Number columns of .item that they take as features, such as [bpm]."),
    ]
    uploader_prior: Annotated[
        Literal["read", "train"],
        Field(description="read: from PRIOR_FIELD; train: from the uploader's training interactions."),
    ]
    extra_tests: Annotated[
        Annotated[
            list[Part],
            Expected(
                "a list of names other than train, valid and test",
                lambda names: not {"train", "valid", "test"} & set(names),
            ),
        ]
        | None,
        Field(description=("Further test sets: each name is read from NAME.<name>.inter and tested as test_<name>.")),
    ]
    prior_smoothing: Annotated[
        Positive,
        Field(description="Pseudo-count a genre group starts with when uploader_prior is train."),
    ]
    prior_leave_one_out: Annotated[
        bool,
        Field(
            description=(
                "Whether a model trains on each video under its uploader's other choices alone when uploader_prior is "
                "train."
            )
        ),
    ]
    benchmark_filename: (
        Annotated[list[Part], Expected("a list such as [train, valid, test]", lambda names: len(names) > 0)] | None
    )
    seq_len: Annotated[dict[Word, Size], Expected("whole numbers of at least 1 by field")] | None
    threshold: Annotated[
        Annotated[
            dict[Word, float], Expected("one field and a number, such as {rating: 3}", lambda value: len(value) == 1)
        ]
        | None,
        Field(description="A column of .inter and a number: rows of at least it are positives, others are left out."),
    ]
    numerical_features: Annotated[
        Words | None, Field(description="Further number columns of .user and .item that they take as features.")
    ]
    rm_dup_inter: Literal["first", "last"] | None
    val_interval: (
        Annotated[
            dict[Word, Interval | list[str | int]],
            Expected("an interval or a list of tokens by field, such as {rating: '[3,inf)'}"),
        ]
        | None
    )
    filter_inter_by_user_or_item: Annotated[
        bool,
        Field(
            description=(
                "Leave out interactions whose video or track has no line in .user or .item, of the training rows of "
                "ready-made splits; False refuses them, as other rows always are."
            )
        ),
    ]
    user_inter_num_interval: Interval | None
    item_inter_num_interval: Interval | None
    entity_kg_num_interval: Interval | None
    relation_kg_num_interval: Interval | None
    kg_reverse_r: bool
    alias_of_user_id: Words | None
    alias_of_item_id: Words | None
    alias_of_entity_id: Words | None
    alias_of_relation_id: Words | None
    preload_weight: Annotated[dict[Word, Word], Expected("a field of vectors by a field of ids")] | None
    normalize_field: Words | None
    normalize_all: bool | None
    discretization: dict[Word, Bucketing] | None

    # Training
    epochs: Annotated[Count, Field(description="The number of training epochs.")]
    train_batch_size: Annotated[Size, Field(description="The number of pairs in a training batch.")]
    learner: Annotated[str, one_of("adam", "adamw", "sgd", "adagrad", "rmsprop")]
    learning_rate: Annotated[Positive, Field(description="Learning rate.")]
    learning_rate_decay: Annotated[
        bool, Field(description="Whether the learning rate falls linearly to 0 over the epochs.")
    ]
    weight_decay: Annotated[Weight, Field(description="L2 penalty of the optimizer.")]
    train_neg_sample_args: Annotated[
        Sampling | None,
        Field(description="Negatives drawn for training; ~ draws none: our models take the other tracks of a batch."),
    ]
    eval_step: Count
    stopping_step: Annotated[
        Count,
        Field(
            description=(
                "Training stops once more than this many validations in a row are worse than the best; an equal one "
                "counts as better and is the epoch that is kept."
            )
        ),
    ]
    clip_grad_norm: Clipping | None
    loss_decimal_place: Count
    require_pow: bool
    enable_amp: Annotated[
        bool,
        Field(
            description=("Encoders and decoders in bfloat16 (float16 with enable_scaler); all else stays in float32.")
        ),
    ]
    enable_scaler: bool
    compile: Annotated[bool, Field(description="torch.compile the loss of our models; needs a C++ compiler on a CPU.")]
    transform: Literal["mask_itemseq", "inverse_itemseq", "crop_itemseq", "reorder_itemseq", "user_defined"] | None
    teacher_config: Annotated[
        Annotated[dict[Word, Any], Expected("keys and values for DecCMTeacher")] | None,
        Field(description="Values for DecCMTeacher alone, above its YAML and its data set's."),
    ]

    # Evaluation
    eval_args: Annotated[
        EvalArgs,
        Field(description="split, group_by, order and mode."),
    ]
    repeatable: bool
    metrics: Annotated[
        Annotated[Word | list[Word] | tuple[Word, ...], Expected("a list of metrics", lambda names: len(names) > 0)],
        Field(description="RecBole's metrics and IPWRecall, IPWNDCG, GenreKL, MajorityShare, DoRecall, DoNDCG, DoMRR."),
    ]
    topk: Annotated[
        Annotated[
            Size | list[Size],
            Expected("a list of whole numbers of at least 1", lambda cuts: isinstance(cuts, int) or len(cuts) > 0),
        ],
        Field(description="Cut-offs of the metrics."),
    ]
    valid_metric: Annotated[Word, Field(description="The metric that chooses the epoch.")]
    valid_metric_bigger: bool
    eval_batch_size: Annotated[Size, Field(description="Video x track scores computed at a time.")]
    metric_decimal_place: Annotated[Count, Field(description="Decimal places of the metrics.")]
