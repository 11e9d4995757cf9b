"""Columns that keys name, on planted data with a few more columns: they act, or one line says why they cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.running import make_config

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import ConfigError, DataError

MOST = {"inter": ["video_id", "music_id"], "user": ["video_id", "visual"]}


def add(folder, suffix: str, head: str, values) -> None:
    path = folder / "planted" / f"planted.{suffix}"
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    frame[head] = [values(row) for row in range(len(frame))]
    frame.to_csv(path, sep="\t", index=False)


@pytest.fixture
def wider(own_planted):
    """12 tracks of bpm 100 to 111 and two moods; training, validation and test rows rated 1 to 5 in turn."""
    add(own_planted, "item", "bpm:float", lambda row: 100 + row)
    add(own_planted, "item", "mood:token", lambda row: f"mood{row % 2}")
    for split in ("train", "valid", "test"):
        add(own_planted, f"{split}.inter", "rating:float", lambda row: 1 + row % 5)
        add(own_planted, f"{split}.inter", "device:token", lambda row: f"d{row % 2}")
    return own_planted


def build(folder, model="FM", **values):
    dataset = DecCMDataset(make_config(model, folder, **values))
    return dataset, dataset.build()


@pytest.mark.parametrize(
    "values",
    [
        {"item_features": ["bpm"]},
        {"numerical_features": ["bpm"]},
        {"load_col": {"inter": ["video_id", "music_id"], "user": "*", "item": ["music_id", "acoustic", "bpm"]}},
    ],
)
def test_a_named_number_is_a_feature_of_context_models(wider, values):
    dataset, (train, _, _) = build(wider, **values)
    assert "bpm" in dataset.config["numerical_features"]
    assert train.item_feat["bpm"][1:, 0].tolist() == [100.0 + row for row in range(12)]


@pytest.mark.parametrize("model", ["FM", "BPR", "CMVAE"])
def test_columns_that_are_not_used_are_named(wider, model, caplog):
    caplog.set_level("INFO")
    build(wider, model)
    said = [record.message for record in caplog.records if "does not use" in record.message]
    columns = "bpm" if model == "FM" else "bpm, mood"
    assert len(said) == 1 and said[0].startswith(f"Columns that {model} does not use: {columns} of .item.")


def test_columns_of_pairs_are_no_features(wider):
    _, (train, _, _) = build(wider)
    assert "device" not in train.inter_feat and "rating" in train.inter_feat


def test_filters_act_on_the_training_rows_of_ready_made_splits(wider):
    _, plain = build(wider, "BPR")
    _, splits = build(wider, "BPR", val_interval={"bpm": "[106,inf)"})
    assert sorted(set(splits[0].inter_feat["music_id"].tolist())) == [7, 8, 9, 10, 11, 12]
    assert [len(split) for split in splits[1:]] == [len(split) for split in plain[1:]]
    assert splits[0].item_num == plain[0].item_num == 13
    counts = np.bincount(plain[0].inter_feat["music_id"].numpy())
    _, splits = build(wider, "BPR", item_inter_num_interval=f"[{counts.max()},inf)")
    assert set(splits[0].inter_feat["music_id"].tolist()) == set(np.flatnonzero(counts == counts.max()))


def test_threshold_keeps_the_positives_of_every_split(wider):
    _, splits = build(wider, "CMVAE", threshold={"rating": 3})
    assert all(split.inter_feat["rating"].min() == 3 for split in splits)
    assert splits[0].popularity.sum() == len(splits[0])
    path = wider / "planted" / "planted.valid.inter"
    path.write_text(path.read_text().replace("\t2\t", "\t\t", 1))
    with pytest.raises(DataError, match=r"planted.valid.inter, line 3: expected a (finite )?number in 'rating'"):
        build(wider, "CMVAE", threshold={"rating": 3})


def test_filters_that_leave_nothing_say_so(wider):
    with pytest.raises(
        DataError, match=r"split 'train', found none\. Let threshold, val_interval and the other filters"
    ):
        build(wider, "BPR", val_interval={"bpm": "[500,inf)"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"normalize_field": ["tempo"]}, r"normalize_field: expected a column of .user or .item \(.*\), found 'tempo'"),
        ({"normalize_field": ["visual"]}, "normalize_field: expected a plain column, found 'visual', a vector"),
        ({"seq_len": {"acoustic": 2}}, "seq_len: expected a plain column, found 'acoustic'"),
        ({"discretization": {"rating": {"method": "LD"}}}, "discretization: expected a column of .user or .item"),
        ({"threshold": {"stars": 3}}, "threshold: expected a column of .inter .*found 'stars'"),
        ({"val_interval": {"bmp": "[1,2]"}}, "val_interval: .*found 'bmp'. Did you mean 'bpm'"),
        ({"item_features": ["age"]}, "item_features: expected a column of .item"),
        ({"unused_col": {"foo": ["a"]}}, "unused_col: expected columns of inter, user or item, found 'foo'"),
        ({"unused_col": {"inter": ["video_id"]}}, "unused_col: expected other columns than the ids"),
        ({"load_col": {"inter": ["video_id"]}}, "load_col: expected 'music_id' among the columns of .inter"),
        ({"load_col": {"item": ["acoustic"]}}, "load_col: expected 'video_id' among the columns of .inter"),
        ({"load_col": MOST | {"item": ["music_id", "acuostic"]}}, "load_col: .*'acuostic'. Did you mean 'acoustic'"),
        ({"load_col": MOST, "val_interval": {"bpm": "[1,2]"}}, "val_interval: 'bpm' is in the files, but load_col"),
        ({"train_neg_sample_args": None}, "train_neg_sample_args: ~: expected a column of .inter .*found 'label'"),
    ],
)
def test_columns_that_a_key_cannot_name(wider, values, message):
    with pytest.raises(ConfigError, match=message):
        build(wider, **values)


def test_a_field_that_load_col_leaves_out_is_said_to_be_there(wider):
    with pytest.raises(DataError, match="The file has 'acoustic', but load_col or unload_col leaves it out"):
        build(wider, "CMVAE", load_col=MOST | {"item": ["music_id"]})


@pytest.mark.parametrize("split", [{"order": "TO"}, {"split": {"TS": [0.8, 0.1, 0.1]}}])
def test_a_split_by_time_needs_times(tmp_path, split):
    from helpers.planted import write_planted

    write_planted(tmp_path, split=False, videos=60)
    with pytest.raises(ConfigError, match=r"eval_args.*: expected a column of .inter .*found 'timestamp'"):
        build(tmp_path, "BPR", eval_args=split)
