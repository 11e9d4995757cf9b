"""Every patch that RecBole 1.2.1 needs on today's Python stack, each with its reason.

A patch is a named pair of functions, so that a test can take it out and watch RecBole fail. ``apply`` is
idempotent and is called once by :mod:`recbole_decm.config.config`. What is solved by overriding a method of our own
subclasses (reading atomic files, checkpoints without pickled configs) is not here: nothing is patched for it.
``ray`` is never needed: only ``recbole.quick_start`` imports it, and :mod:`recbole_decm.training.run` replaces that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import recbole.data.dataset.dataset as recbole_dataset
import recbole.evaluator.collector as recbole_collector
import recbole.model.context_aware_recommender.fwfm as recbole_fwfm
import recbole.model.general_recommender.pop as recbole_pop
import recbole.trainer.trainer as recbole_trainer
import scipy.sparse as sp
import torch
from recbole.utils import FeatureType, get_local_time
from torch.utils.tensorboard import SummaryWriter

from recbole_decm.io.write import in_one_line, take
from recbole_decm.parallel import group


@dataclass(frozen=True)
class Patch:
    """One change to an imported module: what it is for, and how to put it in and take it out."""

    name: str
    reason: str
    apply: Callable[[], None]
    revert: Callable[[], None]


def _attribute_patch(name: str, reason: str, owner: object, attribute: str, value: object) -> Patch:
    """A patch that sets ``owner.attribute``; an attribute that exists already with that meaning is left alone."""
    missing = object()
    original = getattr(owner, attribute, missing)

    def revert() -> None:
        if original is not missing:
            setattr(owner, attribute, original)
        elif attribute in vars(owner):
            delattr(owner, attribute)

    return Patch(name, reason, partial(setattr, owner, attribute, value), revert)


# --- numpy ---------------------------------------------------------------------------------------------------
# The scalar aliases below left numpy in 1.24 (np.long and np.bool came back in 2.0 with another meaning on Windows);
# RecBole's modules use np.float, np.bool and np.long, and Config sets the rest from names that numpy 2 dropped.
_ALIASES = {"float": np.float64, "int": np.int_, "bool": np.bool_, "complex": np.complex128, "object": np.object_}
_ALIASES |= {"str": np.str_, "unicode": np.str_, "long": np.int_}


def _apply_aliases() -> None:
    for alias, scalar in _ALIASES.items():
        if alias not in vars(np):
            setattr(np, alias, scalar)
            _added_aliases.add(alias)


def _revert_aliases() -> None:
    while _added_aliases:
        delattr(np, _added_aliases.pop())


_added_aliases: set[str] = set()

NUMPY_ALIASES = Patch(
    "numpy_aliases",
    "RecBole uses np.float, np.bool and np.long; its Config restores them from np.float_, ..., gone in numpy 2.",
    _apply_aliases,
    _revert_aliases,
)


# --- pandas --------------------------------------------------------------------------------------------------
def _fill_nan(dataset) -> None:
    """Fill missing values as ``Dataset._fill_nan`` means to, by assignment instead of on a copy."""
    for feat_name in dataset.feat_name_list:
        feat = getattr(dataset, feat_name)
        for field in feat:
            kind = dataset.field2type[field]
            if kind == FeatureType.TOKEN:
                feat[field] = feat[field].fillna(0).astype(np.int64)
            elif kind == FeatureType.FLOAT:
                feat[field] = feat[field].fillna(feat[field].mean())
            else:
                empty = np.array([], dtype=np.int64 if kind == FeatureType.TOKEN_SEQ else np.float64)
                feat[field] = [empty if isinstance(cell, float) else cell for cell in feat[field]]


FILL_NAN = _attribute_patch(
    "fill_nan",
    "feat[field].fillna(inplace=True) changes a copy under pandas 3, so padding rows keep NaN, an arbitrary id.",
    recbole_dataset.Dataset,
    "_fill_nan",
    _fill_nan,
)


def _elementwise_len(value):
    return value.map(len) if isinstance(value, pd.Series) else len(value)


SERIES_LEN = _attribute_patch(
    "series_len",
    "feat[field].agg(len) gives the length of each cell up to pandas 2 and of the whole column in pandas 3, so "
    "token_seq and float_seq columns come out as one piece.",
    recbole_dataset,
    "len",
    _elementwise_len,
)


_dataframe_to_interaction = recbole_dataset.Dataset._dataframe_to_interaction

WRITABLE_COLUMNS = _attribute_patch(
    "writable_columns",
    "Columns of a pandas 3 frame are read-only arrays, which tensors then share; writing to one is undefined.",
    recbole_dataset.Dataset,
    "_dataframe_to_interaction",
    lambda dataset, data: _dataframe_to_interaction(
        dataset, {field: SimpleNamespace(values=np.array(data[field].values)) for field in data}
    ),
)


# --- scipy ---------------------------------------------------------------------------------------------------
def _dok_update(matrix: sp.dok_matrix, entries: dict) -> None:
    matrix._dict.update(entries)


DOK_UPDATE = _attribute_patch(
    "dok_update",
    "LightGCN, NGCF, GCMC and others fill their graphs with dok_matrix._update, gone since scipy 1.12.",
    sp.dok_matrix,
    "_update",
    getattr(sp.dok_matrix, "_update", _dok_update),
)


# --- RecBole's own ---------------------------------------------------------------------------------------------
def _get_data_struct(collector):
    """Hand over what was collected. RecBole calls ``.cpu()`` on every entry, catalogue sizes and counters too."""
    struct = recbole_collector.DataStruct()
    for key, value in collector.data_struct._data_dict.items():
        struct.set(key, value.cpu() if isinstance(value, torch.Tensor) else value)
    for key in [key for key in collector.data_struct._data_dict if not key.startswith("data.") or key == "data.label"]:
        del collector.data_struct[key]
    return struct


DATA_STRUCT = _attribute_patch(
    "data_struct",
    "Collector.get_data_struct calls .cpu() on ints and Counters, so ItemCoverage, AveragePopularity, ... crash.",
    recbole_collector.Collector,
    "get_data_struct",
    _get_data_struct,
)


def _count_popularity(model, interaction) -> torch.Tensor:
    """``Pop.calculate_loss`` with every interaction of the batch counted, and nothing that is labelled as none."""
    items = interaction[model.ITEM_ID]
    if model.LABEL in interaction:
        items = items[interaction[model.LABEL] > 0]
    model.item_cnt.index_add_(0, items, torch.ones_like(items).unsqueeze(1))
    model.max_cnt = model.item_cnt.max(dim=0).values
    return torch.zeros(1, device=model.device, requires_grad=True)


POP_COUNTS = _attribute_patch(
    "pop_counts",
    "Pop adds 1 through an index, which counts a music once a batch however often the batch holds it; with batches "
    "larger than the catalogue all music come out about equally popular, a baseline near chance. It counts the "
    "negatives that are drawn beside the pairs, too.",
    recbole_pop.Pop,
    "calculate_loss",
    _count_popularity,
)

_init_pop = recbole_pop.Pop.__init__


def _name_the_label(model, config, dataset) -> None:
    """``Pop.__init__``, with the name of the column that tells pairs from negatives."""
    _init_pop(model, config, dataset)
    model.LABEL = config["LABEL_FIELD"]


POP_LABEL = _attribute_patch(
    "pop_label",
    "Pop does not know which of a batch's rows are drawn negatives.",
    recbole_pop.Pop,
    "__init__",
    _name_the_label,
)

GRAD_SCALER = _attribute_patch(
    "grad_scaler",
    "torch.cuda.amp.GradScaler is deprecated and warns at every epoch; so is its autocast, which NCL's trainer uses.",
    recbole_trainer,
    "amp",
    SimpleNamespace(GradScaler=partial(torch.amp.GradScaler, "cuda"), autocast=partial(torch.autocast, "cuda")),
)

_fields_of_features = recbole_fwfm.FwFM._get_feature2field


def _number_all_features(model) -> None:
    """``FwFM._get_feature2field`` with its ``float_seq`` fields, too."""
    model.feature_names = (*model.feature_names, model.float_seq_field_names)
    _fields_of_features(model)


FWFM_FIELDS = _attribute_patch(
    "fwfm_fields",
    "FwFM leaves float_seq fields out of its table of features, and fails with a KeyError when it meets one.",
    recbole_fwfm.FwFM,
    "_get_feature2field",
    _number_all_features,
)


def _own_tensorboard(logger):
    """RecBole's writer, in a folder of its own that is named after the log."""
    if group.rank():
        return _NoTensorBoard()
    logs = [Path(handler.baseFilename).stem for handler in logger.handlers if hasattr(handler, "baseFilename")]
    folder = take("log_tensorboard", (logs or [f"model-{get_local_time()}"])[0])
    with in_one_line(folder):
        return SummaryWriter(str(folder))


class _NoTensorBoard:
    """Takes what a SummaryWriter takes, and writes nothing."""

    def add_scalar(self, *args, **kwargs) -> None: ...

    def add_hparams(self, *args, **kwargs) -> None: ...

    def close(self) -> None: ...


TENSORBOARD = _attribute_patch(
    "tensorboard",
    "Each of several processes would write a TensorBoard folder of its own; two runs that start in one second, or a "
    "teacher and its student, would share one.",
    recbole_trainer,
    "get_tensorboard",
    _own_tensorboard,
)

PATCHES = (
    NUMPY_ALIASES,
    FILL_NAN,
    SERIES_LEN,
    WRITABLE_COLUMNS,
    DOK_UPDATE,
    DATA_STRUCT,
    POP_COUNTS,
    POP_LABEL,
    GRAD_SCALER,
    FWFM_FIELDS,
    TENSORBOARD,
)


def apply() -> None:
    """Put all patches in; calling it again changes nothing."""
    for patch in PATCHES:
        patch.apply()
