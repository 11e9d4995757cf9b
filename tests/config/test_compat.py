"""Each patch is taken out, and RecBole fails in the way its reason says."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import recbole.trainer.trainer as recbole_trainer
import scipy.sparse as sp
import torch
from recbole.data.dataset import Dataset
from recbole.evaluator import Collector
from recbole.evaluator.collector import DataStruct
from recbole.model.context_aware_recommender.fwfm import FwFM
from recbole.model.general_recommender.pop import Pop
from recbole.utils import FeatureType

from recbole_decm.config import compat
from recbole_decm.config.config import DecCMConfig
from recbole_decm.training.run import run_config

PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3


@pytest.fixture(autouse=True)
def _patched():
    compat.apply()
    yield
    compat.apply()


def without(patch: compat.Patch):
    patch.revert()


def test_numpy_aliases():
    assert np.float is np.float64
    without(compat.NUMPY_ALIASES)
    with pytest.raises(AttributeError):
        _ = np.float  # what recbole.data.interaction and recbole.evaluator.metrics use


def _frame_dataset() -> SimpleNamespace:
    feat = pd.DataFrame({"uploader": [np.nan, 1.0, 2.0], "age": [np.nan, 2.0, 4.0]})
    kinds = {"uploader": FeatureType.TOKEN, "age": FeatureType.FLOAT}
    logger = SimpleNamespace(debug=lambda text: None)
    return SimpleNamespace(feat_name_list=["user_feat"], user_feat=feat, field2type=kinds, logger=logger)


def test_fill_nan_fills_the_padding_row():
    dataset = _frame_dataset()
    Dataset._fill_nan(dataset)
    assert dataset.user_feat["uploader"].tolist() == [0, 1, 2]
    assert dataset.user_feat["age"].tolist() == [3.0, 2.0, 4.0]


@pytest.mark.skipif(not PANDAS_3, reason="pandas 2 still fills in place")
def test_fill_nan_without_the_patch_leaves_nan():
    without(compat.FILL_NAN)
    dataset = _frame_dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Dataset._fill_nan(dataset)
    assert dataset.user_feat["uploader"].isna().any()


def _remap_cells():
    feat = pd.DataFrame({"genre": pd.Series([np.array(["a", "b"], dtype=object), np.array(["b"], dtype=object)])})
    dataset = SimpleNamespace(field2id_token={}, field2token_id={})
    dataset._concat_remaped_tokens = lambda remap: Dataset._concat_remaped_tokens(dataset, remap)
    Dataset._remap(dataset, [(feat, "genre", FeatureType.TOKEN_SEQ)])
    return [cell.tolist() for cell in feat["genre"]]


def test_series_len_keeps_sequences_apart():
    assert _remap_cells() == [[1, 2], [2]]


@pytest.mark.skipif(not PANDAS_3, reason="pandas 2 measures each cell")
def test_series_len_without_the_patch_fails():
    without(compat.SERIES_LEN)
    with pytest.raises(ValueError):
        _remap_cells()


def _columns_after_a_write() -> list[str]:
    frame = pd.DataFrame({"n": np.arange(3)})
    kinds = {"n": FeatureType.TOKEN}
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        interaction = Dataset._dataframe_to_interaction(SimpleNamespace(field2type=kinds, config={}), frame)
    interaction["n"][0] = 7
    return [frame["n"].tolist(), interaction["n"].tolist()]


def test_writable_columns_do_not_share_memory_with_the_frame():
    assert _columns_after_a_write() == [[0, 1, 2], [7, 1, 2]]


@pytest.mark.skipif(not PANDAS_3, reason="columns are writable in pandas 2")
def test_writable_columns_without_the_patch_write_through():
    without(compat.WRITABLE_COLUMNS)
    assert _columns_after_a_write() != [[0, 1, 2], [7, 1, 2]]


def test_dok_update():
    graph = sp.dok_matrix((2, 2), dtype=np.float32)
    graph._update({(0, 1): 1.0})
    assert graph.toarray().tolist() == [[0, 1], [0, 0]]


@pytest.mark.skipif(
    tuple(map(int, __import__("scipy").__version__.split(".")[:2])) < (1, 13), reason="older scipy has its own _update"
)
def test_dok_update_without_the_patch_is_gone():
    without(compat.DOK_UPDATE)
    with pytest.raises(AttributeError):
        sp.dok_matrix((2, 2))._update({(0, 1): 1.0})


def _collector() -> SimpleNamespace:
    struct = DataStruct()
    struct.set("data.num_items", 7)
    struct.set("rec.items", torch.tensor([[1]]))
    return SimpleNamespace(data_struct=struct)


def test_data_struct_keeps_sizes_and_forgets_recommendations():
    collector = _collector()
    taken = Collector.get_data_struct(collector)
    assert taken.get("data.num_items") == 7 and taken.get("rec.items").tolist() == [[1]]
    assert "rec.items" not in collector.data_struct and "data.num_items" in collector.data_struct


def test_data_struct_without_the_patch_fails():
    without(compat.DATA_STRUCT)
    with pytest.raises(AttributeError):
        Collector.get_data_struct(_collector())


def _counted() -> list[int]:
    model = SimpleNamespace(
        ITEM_ID="music_id", LABEL="label", item_cnt=torch.zeros(4, 1, dtype=torch.long), device="cpu"
    )
    for batch in ([1, 2, 1], [1, 3, 3]):
        Pop.calculate_loss(model, {"music_id": torch.tensor(batch)})
    return model.item_cnt.flatten().tolist()


def test_pop_counts_every_interaction():
    assert _counted() == [0, 3, 1, 2]
    without(compat.POP_COUNTS)
    assert _counted() == [0, 2, 1, 1]  # once a batch


def test_pop_counts_no_negatives(planted, tmp_path, monkeypatch):
    """Whatever is drawn beside the pairs, the counts are those of the training split."""
    monkeypatch.chdir(tmp_path)
    config = DecCMConfig("Pop", "planted", config_dict={"data_path": str(planted), "state": "ERROR"})
    assert config["train_neg_sample_args"]["distribution"] == "uniform"
    trained, _ = run_config(config)
    wanted = np.bincount(trained.splits.dataset.inter_feat["music_id"], minlength=trained.model.n_items)
    np.testing.assert_array_equal(trained.model.item_cnt.flatten(), wanted)


def _scaler_warnings() -> int:
    import recbole.trainer.trainer as module

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module.amp.GradScaler(enabled=False)
    return sum("GradScaler" in str(warning.message) for warning in caught)


def test_grad_scaler():
    assert _scaler_warnings() == 0
    without(compat.GRAD_SCALER)
    assert _scaler_warnings() == 1


def test_apply_twice_changes_nothing():
    before = [np.float, Dataset._fill_nan, sp.dok_matrix._update]
    compat.apply()
    assert before == [np.float, Dataset._fill_nan, sp.dok_matrix._update]


def test_ray_is_never_imported():
    code = "import sys, recbole_decm.training.run, recbole_decm.cli.main; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_rank_0_writes_tensorboard(monkeypatch, tmp_path):
    logger = SimpleNamespace(handlers=[])
    monkeypatch.setattr("recbole_decm.parallel.group.rank", lambda: 1)
    recbole_trainer.get_tensorboard(logger).add_scalar("loss", 1.0, 0)
    assert not (tmp_path / "log_tensorboard").exists()
    monkeypatch.setattr("recbole_decm.parallel.group.rank", lambda: 0)
    recbole_trainer.get_tensorboard(logger).close()
    assert (tmp_path / "log_tensorboard").exists()


def test_without_the_patch_every_rank_writes_tensorboard(monkeypatch, tmp_path):
    without(compat.TENSORBOARD)
    monkeypatch.setattr("recbole_decm.parallel.group.rank", lambda: 1)
    recbole_trainer.get_tensorboard(SimpleNamespace(handlers=[])).close()
    assert (tmp_path / "log_tensorboard").exists()


def test_fwfm_numbers_float_seq_fields_too():
    def fields():
        names = SimpleNamespace(fields=None, feature2id={}, feature2field={}, float_seq_field_names=["visual"])
        names.feature_names = (["video_id"], [], ["age"])
        FwFM._get_feature2field(names)
        return names.feature2field

    assert fields() == {0: 0, 1: 1, 2: 2}
    without(compat.FWFM_FIELDS)
    assert fields() == {0: 0, 1: 1}  # and its layer asks for the third


def test_ncl_finds_an_autocast():
    with recbole_trainer.amp.autocast(enabled=False):
        assert not torch.is_autocast_enabled("cuda")
