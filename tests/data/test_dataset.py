"""DecCMDataset on planted data, good and broken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config, run_quick
from recbole.model.context_aware_recommender.fm import FM
from recbole.utils import FeatureType

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.atomic import read_columns
from recbole_decm.training.run import build as model_of

CROSSING = ["AFM", "AutoInt", "DCNV2", "EulerNet", "FFM", "FiGNN", "FwFM", "KD_DAGFM", "PNN", "xDeepFM"]


def build(folder, model="DecCM", **values):
    dataset = DecCMDataset(make_config(model, folder, **values))
    return dataset, dataset.build()


def test_ids_follow_the_files_for_every_model(planted):
    user = read_columns(planted / "planted" / "planted.user", ["video_id"])["video_id"].tolist()
    item = read_columns(planted / "planted" / "planted.item", ["music_id"])["music_id"].tolist()
    for model in ("DecCM", "BPR", "FM"):
        dataset = DecCMDataset(make_config(model, planted))
        assert dataset.field2id_token["video_id"].tolist() == ["[PAD]", *user]
        assert dataset.field2id_token["music_id"].tolist() == ["[PAD]", *item]


def test_vectors_of_an_id_are_those_of_its_line(planted):
    dataset, _ = build(planted)
    cells = read_columns(planted / "planted" / "planted.user", ["video_id", "visual"])
    for line in (0, 17, 599):
        vector = np.array(cells["visual"][line].split(), dtype=np.float32)
        video = dataset.token2id("video_id", cells["video_id"][line])
        assert np.allclose(dataset.features["visual"].lookup(torch.tensor([video]))[0].numpy(), vector)


def test_npy_features_equal_text_features(tmp_path):
    write_planted(tmp_path / "text", npy=False)
    write_planted(tmp_path / "npy", npy=True)
    (text, _), (npy, _) = build(tmp_path / "text"), build(tmp_path / "npy")
    ids = torch.arange(1, 41)
    for field in ("visual", "acoustic"):
        assert torch.allclose(text.features[field].lookup(ids), npy.features[field].lookup(ids), atol=1e-5)


def test_vectors_do_not_travel_through_the_join(planted):
    dataset, (train, _, _) = build(planted)
    batch = train[torch.arange(3)]
    assert set(batch.interaction) == {"video_id", "music_id"}
    assert "visual" not in dataset.user_feat and "acoustic" not in dataset.item_feat


def test_priors_and_their_training_mean(planted):
    dataset, (train, _, _) = build(planted)
    cells = read_columns(planted / "planted" / "planted.user", ["uploader_genre"])["uploader_genre"]
    priors = np.array([cell.split() for cell in cells], dtype=np.float64)
    assert np.allclose(dataset.uploader_prior[1:].numpy(), priors, atol=1e-6)
    assert np.allclose(train.prior_mean.numpy(), priors[:420].mean(axis=0), atol=1e-6)  # the planted training rows


def test_priors_from_training_use_training_rows_alone(planted):
    _, (train, valid, _) = build(planted, uploader_prior="train", prior_smoothing=0.5)
    counts = {}
    owners = read_columns(planted / "planted" / "planted.user", ["uploader_id"])["uploader_id"]
    for video, music in zip(train.inter_feat["video_id"].tolist(), train.inter_feat["music_id"].tolist(), strict=True):
        counts.setdefault(owners[video - 1], np.full(3, 0.5))[(music - 1) % 3] += 1
    for video in valid.inter_feat["video_id"].tolist()[:20]:
        expected = counts[owners[video - 1]] / counts[owners[video - 1]].sum()
        assert np.allclose(train.uploader_prior[video].numpy(), expected, atol=1e-6)


def test_a_training_video_is_trained_under_its_uploaders_other_choices(planted):
    """It is ranked under all of them, as every other video is."""
    tables = {}
    for leave in (True, False):
        values = {"uploader_prior": "train", "prior_leave_one_out": leave, "backdoor": "conditional", "teacher": "none"}
        model, splits = model_of(make_config("DecCM", planted, confounder_fusion="genre", **values))
        tables[leave] = model.training_prior, model.uploaders_of(torch.arange(601))
    train, music = (splits.dataset.inter_feat[field] for field in ("video_id", "music_id"))
    full = tables[False][0]
    assert torch.equal(tables[False][1], full) and torch.equal(tables[True][1], full)
    own = torch.from_numpy(splits.dataset.genre_membership)[music]
    uploader = torch.from_numpy(splits.dataset._uploader_of_video())
    counts = torch.bincount(uploader[train], minlength=31)[uploader].unsqueeze(1) + 3.0  # three genres, smoothing 1
    expected = (full[train] * counts[train] - own) / (counts[train] - 1)
    assert torch.allclose(tables[True][0][train], expected, atol=1e-5)
    others = torch.ones(601, dtype=torch.bool)
    others[train] = False
    assert torch.equal(tables[True][0][others], full[others])
    noise = torch.randn(4, model.latent_size), torch.randn(4, model.latent_size)
    torch.nn.init.ones_(model.fusion.strength)
    found = model.adjustment.training_scores(*noise, train[:4], music[:4])
    model.training_prior = tables[True][0]
    assert not torch.equal(model.adjustment.training_scores(*noise, train[:4], music[:4]), found)


def test_ratio_split_over_rows(tmp_path):
    write_planted(tmp_path, split=False)
    _, splits = build(tmp_path)
    assert [len(split) for split in splits] == [480, 60, 60]
    videos = [set(split.inter_feat["video_id"].tolist()) for split in splits]
    assert not videos[0] & videos[1] and not videos[0] & videos[2]


def test_popularity_counts_training_rows(planted):
    _, (train, _, test) = build(planted)
    assert train.popularity.sum() == 420 and test.popularity[0] == 0
    assert train.popularity[5] == (train.inter_feat["music_id"] == 5).sum()


def test_context_models_see_each_component_as_a_field(planted):
    dataset, (train, _, _) = build(planted, "FM", feature_reduce={"visual": 5})
    assert {f"visual_{i}" for i in range(1, 6)} <= set(dataset.field2type) and "visual_6" not in dataset.field2type
    assert "acoustic_8" in dataset.field2type  # 8 dimensions are fewer than the default of 32: kept
    batch = train[torch.arange(3)]
    assert batch["visual_1"].shape == (3, 2) and "uploader_genre" not in batch
    assert "visual_1" in dataset.config["numerical_features"]


@pytest.mark.parametrize("model", CROSSING)
def test_where_work_grows_with_the_square_of_fields_a_vector_is_one_field(own_planted, model):
    found = run_quick(model, own_planted, epochs=1)
    assert 0 <= found["test_result"]["recall@10"] <= 1
    dataset, _ = build(own_planted, model)
    kinds = {name: kind for name, kind in dataset.field2type.items() if kind.value.startswith("float")}
    assert {kinds[name] for name in ("visual", "acoustic")} == {FeatureType.FLOAT_SEQ}
    assert not any(name.startswith(("visual_", "acoustic_")) for name in kinds)


def test_a_vector_as_one_field_is_a_linear_projection_of_its_components(planted):
    dataset, (train, _, _) = build(planted, "FM", feature_reduce={"visual": 5}, content_fields="vector")
    _, (alone, _, _) = build(planted, "FM", feature_reduce={"visual": 5})
    model, batch = FM(dataset.config, train).eval(), train.join(train.inter_feat[:7])
    components = torch.stack([alone.join(alone.inter_feat[:7])[f"visual_{i}"][:, 0] for i in range(1, 6)], dim=1)
    assert batch["visual"].shape == (7, 5, 2)
    place = model.float_seq_field_names.index("visual")
    weights = model.float_seq_embedding_table[place].weight[1:]
    assert weights.shape == (5, dataset.config["embedding_size"])
    field = model.embed_float_seq_fields([batch[name] for name in model.float_seq_field_names])[:, place]
    assert torch.allclose(field, components @ weights / 5**0.5, atol=1e-6)


# --- bad input --------------------------------------------------------------------------------------------------
def edit(folder, name, old, new, count=1):
    path = folder / "planted" / f"planted.{name}"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def fails(folder, error, match, model="DecCM", **values):
    with pytest.raises(error, match=match):
        build(folder, model, **values)


def test_missing_file(own_planted):
    (own_planted / "planted" / "planted.item").unlink()
    (own_planted / "planted" / "planted.test.inter").unlink()
    fails(own_planted, DataError, r"missing: planted\.test\.inter, planted\.item")


def test_missing_field(own_planted):
    edit(own_planted, "user", "visual:float_seq", "looks:float_seq")
    fails(own_planted, DataError, r"planted\.user: expected a field 'visual:float_seq' or an entry of feature_files")


def test_missing_prior(own_planted):
    edit(own_planted, "user", "uploader_genre:float_seq", "taste:float_seq")
    fails(own_planted, DataError, r"'uploader_genre:float_seq' or uploader_prior: train")
    build(own_planted, "CMVAE")  # the matcher alone needs none


def test_wrong_header_type(own_planted):
    edit(own_planted, "user", "visual:float_seq", "visual:float")
    fails(own_planted, DataError, r"planted\.user, line 1: expected field 'visual' of type float_seq, found 'float'")


def test_inter_without_the_video_field(own_planted):
    edit(own_planted, "train.inter", "video_id:token", "user_id:token")
    fails(own_planted, DataError, r"planted\.train\.inter, line 1: expected a field 'video_id:token'")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_video_or_music_without_features(own_planted, split):
    path = own_planted / "planted" / f"planted.{split}.inter"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "ghost\tm1", *lines[3:]]) + "\n")
    fails(own_planted, DataError, rf"planted\.{split}\.inter, line 4: expected a video .* found 'ghost'")
    path.write_text("\n".join([*lines[:3], "v1\tghost", *lines[3:]]) + "\n")
    fails(own_planted, DataError, rf"planted\.{split}\.inter, line 4: expected a music .* found 'ghost'")


def test_duplicate_id_line(own_planted):
    edit(own_planted, "item", "\nm3\t", "\nm2\t")
    fails(own_planted, DataError, r"planted\.item, line 5: expected each 'music_id' once, found 'm2' again")


def test_feature_rows_that_do_not_match_the_lines(tmp_path):
    folder = write_planted(tmp_path, npy=True)
    values = np.load(folder / "planted.visual.npy")
    np.save(folder / "planted.visual.npy", values[:-1])
    fails(tmp_path, DataError, r"visual\.npy: expected 600 rows, one for each line of .*planted\.user, found 599")


def test_nan_features(own_planted):
    edit(own_planted, "item", "\t", "\tnan ", count=3)
    path = own_planted / "planted" / "planted.item"
    lines = path.read_text().splitlines()
    cells = lines[4].split("\t")
    cells[2] = " ".join(["nan", *cells[2].split()[1:]])
    write_planted(own_planted, videos=120, music=12)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "\t".join(cells), *lines[5:]]) + "\n")
    fails(own_planted, DataError, r"planted\.item, line 5: expected finite numbers in 'acoustic'")


@pytest.mark.parametrize(("prior", "message"), [("0.5 0.4 0", "found a sum of 0.9"), ("1.5 -0.5 0", "found -0.5")])
def test_bad_prior(own_planted, prior, message):
    path = own_planted / "planted" / "planted.user"
    lines = path.read_text().splitlines()
    cells = lines[6].split("\t")
    cells[2] = prior
    path.write_text("\n".join([*lines[:6], "\t".join(cells), *lines[7:]]) + "\n")
    fails(own_planted, DataError, rf"planted\.user, line 7: .*{message}")


def test_empty_split(own_planted):
    path = own_planted / "planted" / "planted.valid.inter"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    fails(own_planted, DataError, r"planted\.valid\.inter: expected at least one line")


def test_ratio_split_that_leaves_nothing(tmp_path):
    write_planted(tmp_path, split=False)
    fails(tmp_path, DataError, "the split 'valid', found none.*group_by: none", eval_args={"group_by": "user"})


def test_unknown_feature_file_field(tmp_path):
    write_planted(tmp_path, npy=True)
    fails(
        tmp_path,
        ConfigError,
        "feature_files: expected 'visual' and 'acoustic', found 'sound'",
        feature_files={"sound": "a.npy"},
    )


def test_prior_from_training_without_uploaders(own_planted):
    edit(own_planted, "user", "uploader_id:token", "owner:token")
    fails(own_planted, DataError, "uploader_prior: train needs 'uploader_id:token'", uploader_prior="train")
    fails(own_planted, ConfigError, "uploader_prior: expected read or train, found 'guess'", uploader_prior="guess")


@pytest.mark.parametrize("model", ["Pop", "FM", "CMVAE"])
def test_genres_and_priors_are_loaded_for_the_metrics_that_ask(planted, model):
    _, (_, plain, _) = build(planted, model)
    _, (_, asked, _) = build(planted, model, metrics=["GenreKL", "NDCG"])
    assert plain.uploader_prior is None and asked.uploader_prior.shape == (601, 3)
    assert asked.genre_membership[1:].argmax(axis=1).tolist() == [i % 3 for i in range(40)]
    assert set(asked.user_feat.columns) == set(plain.user_feat.columns)  # the model sees what it saw before
    assert set(asked.item_feat.columns) == set(plain.item_feat.columns)


def test_priors_from_training_for_a_collaborative_model(planted):
    values = {"metrics": ["GenreKL", "NDCG"], "uploader_prior": "train"}
    _, (ours, _, _) = build(planted, "DecCM", **values)
    _, (theirs, _, _) = build(planted, "BPR", **values)
    assert torch.equal(ours.uploader_prior, theirs.uploader_prior)


def test_genre_metrics_without_genres_or_priors(own_planted):
    _drop_column(own_planted / "planted" / "planted.user", "uploader_genre:float_seq")
    with pytest.raises(
        DataError, match=r"planted\.user: expected a field 'uploader_genre:float_seq' or uploader_prior"
    ):
        build(own_planted, "Pop", metrics=["GenreKL", "NDCG"])
    _drop_column(own_planted / "planted" / "planted.item", "genre:token_seq")
    with pytest.raises(DataError, match=r"planted\.item: expected a field 'genre:token_seq', found none"):
        build(own_planted, "Pop", metrics=["MajorityShare", "NDCG"])


def test_genre_groups_that_do_not_fit_the_priors(own_planted):
    path = own_planted / "planted" / "planted.item"
    path.write_text(path.read_text().replace("\tg2\t", "\tg1\t"))
    _, (train, _, _) = build(own_planted, "Pop", metrics=["GenreKL", "NDCG"])
    with pytest.raises(
        DataError, match=r"one column of 'uploader_genre' for each genre of \.item \(2: g0, g1\), found 3"
    ):
        _ = train.genre_membership


def _drop_column(path, head):
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    column = rows[0].index(head)
    path.write_text("\n".join("\t".join(row[:column] + row[column + 1 :]) for row in rows) + "\n")


def _with_genres(folder, kind, separator, names):
    """The planted data with genres of other names, in cells of another kind."""
    path = folder / "planted" / "planted.item"
    item = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    item["genre:token_seq"] = [separator.join(names[g] for g in cell.split()) for cell in item["genre:token_seq"]]
    item.rename(columns={"genre:token_seq": f"genre:{kind}"}).to_csv(path, sep="\t", index=False)


@pytest.mark.parametrize(("kind", "separator"), [("token_seq", "|"), ("token", " ")])
def test_genres_of_several_words(own_planted, kind, separator):
    """One reader of a cell: the data set's separator between genres, none within one."""
    plain = build(own_planted, "DecRS", uploader_prior="train")[1][0]
    names = {name: f"hip {name}" for name in plain.genre_vocabulary}
    _with_genres(own_planted, kind, separator, names)
    for name in ("user", "item"):  # the vectors are sequences, too
        path = own_planted / "planted" / f"planted.{name}"
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        for column in (c for c in frame if c.endswith(":float_seq")):
            frame[column] = frame[column].str.replace(" ", separator)
        frame.to_csv(path, sep="\t", index=False)
    own = build(own_planted, "DecRS", uploader_prior="train", seq_separator=separator)[1][0]
    assert own.genre_vocabulary == list(names.values())
    assert np.array_equal(own.genre_membership, plain.genre_membership)
    assert torch.equal(own.uploader_prior, plain.uploader_prior)
