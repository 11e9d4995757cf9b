"""Every key of RecBole's overall.yaml and of ours, on 60 rows: it changes what its line in docs/keys.md says, or a run
says in one line that it has no effect, or refuses it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.planted import write_planted

from recbole_decm.config import effects
from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.effects import DATA, EFFECTS, RESULTS, TRAINING
from recbole_decm.config.typed_keys import RECBOLE_PROPERTIES, check
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import DecCMError
from recbole_decm.io.atomic import write_atomic
from recbole_decm.io.shipped import shipped
from recbole_decm.training import run as running

VIDEOS, TRACKS = 20, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``rows``: 20 videos with three tracks each, in one file and in ready-made splits; and ``rows-pgc``."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("effects")
    write_planted(folder, "rows", videos=24, music=TRACKS, visual=4, acoustic=3)
    (folder / "rows" / "rows.yaml").write_text("topk: [1, 5]\nvalid_metric: NDCG@5\n")
    data, videos = folder / "rows", [f"v{i}" for i in range(VIDEOS)]
    user = {
        "video_id:token": videos,
        "uploader_id:token": [f"u{i % 7}" for i in range(VIDEOS)],
        "owner:token": [f"o{i % 3}" for i in range(VIDEOS)],
        "uploader_genre:float_seq": rng.dirichlet(np.ones(3), VIDEOS),
        "taste:float_seq": rng.dirichlet(np.ones(3), VIDEOS),
        "visual:float_seq": rng.normal(size=(VIDEOS, 4)),
        "age:float": rng.uniform(10, 60, VIDEOS),
    }
    item = {
        "music_id:token": [f"m{i}" for i in range(TRACKS)],
        "genre:token_seq": [[f"g{i % 3}", f"g{(i + 1) % 3}"][: 1 + i % 2] for i in range(TRACKS)],
        "mood:token_seq": [[f"g{i % 3}"] for i in range(TRACKS)],
        "acoustic:float_seq": rng.normal(size=(TRACKS, 3)),
        "sound:float_seq": rng.normal(size=(TRACKS, 3)),
        "bpm:float": rng.uniform(80, 160, TRACKS),
    }
    np.save(data / "rows.visual.npy", rng.normal(size=(VIDEOS, 4)).astype(np.float32))
    pairs = [(video, f"m{track}") for video in videos for track in rng.choice(TRACKS, 3)]
    rows = {
        "video_id:token": [video for video, _ in pairs],
        "music_id:token": [track for _, track in pairs],
        "rating:float": rng.integers(1, 6, 60).tolist(),
        "timestamp:float": rng.permutation(60).tolist(),
        "later:float": rng.permutation(60).tolist(),
        "ipw_weight:float": rng.uniform(0.1, 1, 60),
        "label:float": rng.integers(0, 2, 60).tolist(),
        "click:float": rng.integers(0, 2, 60).tolist(),
        "device:token": [f"d{i % 2}" for i in range(60)],
    }
    write_atomic(data / "rows.user", user, decimals=7)
    write_atomic(data / "rows.item", item, decimals=7)
    write_atomic(data / "rows.inter", rows)
    order = rng.permutation(60)
    for split, part in zip(("train", "valid", "test"), np.split(order, [40, 50]), strict=True):
        columns = {head: [values[i] for i in part] for head, values in rows.items()}
        write_atomic(data / f"rows.{split}.inter", columns)
    write_atomic(data / "rows.more.inter", {head: values[:9] for head, values in rows.items()})
    with (data / "rows.inter").open("a") as file:  # rows that filters of .user and .item are for
        file.write("ghost\tm1\t3\t60\t60\t1\t1\t1\td1\n")
    return folder


QUICK = {"show_progress": False, "state": "WARNING", "epochs": 1, "train_batch_size": 16, "load_col": None}
QUICK |= {"filter_inter_by_user_or_item": True, "learning_rate": 0.02}
BASE = {"BPR": {}, "FM": {"feature_reduce": {"visual": 2, "acoustic": 2}}, "Ridge": {}, "Pop": {}, "MultiVAE": {}}
BASE |= {"LightGCN": {}, "DMF": {}}
OURS = {"latent_dimension": 4}
BASE |= {"CMVAE": OURS, "DecCM": OURS | {"teacher": "none"}}
FILES = {"visual": "rows.visual.npy"}
MADE = {"benchmark_filename": ["train", "valid", "test"], "filter_inter_by_user_or_item": False}
GENRE = {"metrics": ["NDCG", "GenreKL"]}
WEIGHED = {"metrics": ["NDCG", "IPWNDCG"]}


def configure(model: str, folder: Path, **values) -> DecCMConfig:
    return DecCMConfig(model, "rows", config_dict={**QUICK, "data_path": str(folder), **BASE[model], **values})


def digest(*parts) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part.numpy().tobytes() if isinstance(part, torch.Tensor) else repr(part).encode())
    return found.hexdigest()


def look(model: str, folder: Path, **values) -> dict[str, str]:
    """One epoch: digests of the data, of the weights and of the results, in the words of the table."""
    config = configure(model, folder, **values)
    trained, test = running.run_config(config)
    train = trained.splits.dataset
    data: list = []
    for loader in (trained.splits.valid, trained.splits.test):
        data += [*loader.dataset.inter_feat.interaction.values(), loader.history.ids.tolist()]
    frames = [feat.interaction for feat in (train.inter_feat, train.user_feat, train.item_feat) if feat is not None]
    data += [part for frame in frames for part in frame.values()] + [name for frame in frames for name in frame]
    data += [matrix.lookup(torch.arange(len(matrix))) for matrix in train.features.values()]
    data += [train.uploader_prior if train.needs_prior else None, config["numerical_features"]]
    data += [train.genre_membership.tolist()] if train.needs_genre else []
    return {
        DATA: digest(*data),
        TRAINING: digest(*trained.model.state_dict().values(), trained.trainer.epochs),
        RESULTS: digest(trained.valid_result, test, trained.extra_results, len(trained.trainer.history)),
    }


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Name of EFFECTS -> model, value, and the values beside it. A tuple of these where one alone cannot tell.
CASES: dict[str, tuple] = {
    "data_path": ("BPR", "nowhere", {}),
    "checkpoint": ("BPR", "a.pth", {}),
    "seed": ("BPR", 7, {}),
    "shuffle": ("CMVAE", False, {}),
    "USER_ID_FIELD": ("BPR", "uploader_id", {}),
    "ITEM_ID_FIELD": ("BPR", "genre", {}),
    "VISUAL_FIELD": ("CMVAE", "taste", {}),
    "video_fields": ("CMVAE", ["visual", "taste"], {}),
    "music_fields": ("CMVAE", ["acoustic", "sound"], {}),
    "ACOUSTIC_FIELD": ("CMVAE", "sound", {}),
    "UPLOADER_FIELD": ("DecCM", "owner", {"uploader_prior": "train"}),
    "PRIOR_FIELD": ("DecCM", "taste", {}),
    "GENRE_FIELD": ("BPR", "mood", GENRE),
    "IPW_FIELD": ("BPR", "rating", WEIGHED),
    "RATING_FIELD": ("DMF", "later", {"inter_matrix_type": "rating"}),
    "TIME_FIELD": ("BPR", "later", {"eval_args": {"order": "TO"}}),
    "LABEL_FIELD": ("FM", "click", {"train_neg_sample_args": None}),
    "field_separator": ("BPR", ";", {}),
    "seq_separator": ("CMVAE", "|", {}),
    "encoding": ("BPR", "utf-16", {}),
    "load_col": ("BPR", {"inter": ["video_id", "music_id"]}, {}),
    "unload_col": ("FM", {"user": ["owner"]}, {}),
    "unused_col": ("FM", {"user": ["owner"]}, {}),
    "additional_feat_suffix": ("BPR", ["kg"], {}),
    "preload_weight": ("BPR", {"music_id": "bpm"}, {}),
    "feature_files": ("CMVAE", {"visual": "rows.visual.npy"}, {}),
    "feature_reduce": ("FM", {"visual": 3}, {}),
    "content_fields": ("FM", "vector", {}),
    "user_features": ("FM", ["age"], {}),
    "item_features": ("FM", ["bpm"], {}),
    "numerical_features": ("FM", ["bpm"], {}),
    "normalize_field": ("FM", ["bpm"], {"item_features": ["bpm"]}),
    "normalize_all": ("FM", True, {"item_features": ["bpm"]}),
    "discretization": ("FM", {"bpm": {"method": "ED", "bucket": 3}}, {"item_features": ["bpm"]}),
    "seq_len": ("FM", {"genre": 1}, {}),
    "uploader_prior": ("DecCM", "train", {}),
    "prior_smoothing": ("DecCM", 5.0, {"uploader_prior": "train"}),
    "prior_leave_one_out": ("DecCM", False, {"uploader_prior": "train", "backdoor": "conditional"}),
    "extra_tests": ("BPR", ["more"], {}),
    "benchmark_filename": ("BPR", ["train", "valid", "test"], {}),
    "threshold": ("BPR", {"rating": 3}, MADE),
    "rm_dup_inter": ("BPR", "first", MADE),
    "val_interval": ("BPR", {"bpm": "[100,inf)"}, MADE),
    "filter_inter_by_user_or_item": ("BPR", False, {}),
    "user_inter_num_interval": ("BPR", "[3,inf)", MADE),
    "item_inter_num_interval": ("BPR", "[5,inf)", MADE),
    "alias_of_user_id": ("FM", ["owner"], {}),
    "alias_of_item_id": ("FM", ["owner"], {}),
    "epochs": ("BPR", 2, {}),
    "train_batch_size": ("BPR", 8, {}),
    "learner": ("BPR", "sgd", {}),
    "learning_rate": ("BPR", 0.3, {}),
    "weight_decay": ("BPR", 0.3, {}),
    "train_neg_sample_args.distribution": ("BPR", "popularity", {}),
    "train_neg_sample_args.sample_num": ("BPR", 3, {}),
    "train_neg_sample_args.alpha": ("BPR", 0.1, {"train_neg_sample_args": {"distribution": "popularity"}}),
    "train_neg_sample_args.dynamic": ("BPR", True, {"train_neg_sample_args": {"candidate_num": 3}}),
    "train_neg_sample_args.candidate_num": ("BPR", 5, {"train_neg_sample_args": {"dynamic": True, "candidate_num": 2}}),
    "eval_step": ("BPR", 2, {"epochs": 2}),
    "stopping_step": ("BPR", 0, {"epochs": 12, "learning_rate": 0.5}),
    "clip_grad_norm": ("CMVAE", {"max_norm": 1e-3}, {"learner": "sgd"}),
    "require_pow": ("LightGCN", True, {"reg_weight": 0.1}),
    "enable_amp": ("CMVAE", True, {}),
    "transform": ("BPR", "mask_itemseq", {}),
    "eval_args.split": ("BPR", {"RS": [0.6, 0.2, 0.2]}, {}),
    "eval_args.order": ("BPR", "TO", {}),
    "eval_args.group_by": ("BPR", "user", {}),
    "eval_args.mode": ("BPR", "uni4", {}),
    "repeatable": ("CMVAE", True, MADE),
    "metrics": ("BPR", ["NDCG", "Hit"], {}),
    "topk": ("BPR", [5], {}),
    "valid_metric": ("BPR", "Recall@1", {"epochs": 8, "learning_rate": 0.5}),
    "valid_metric_bigger": ("BPR", False, {}),
    "metric_decimal_place": ("BPR", 2, {}),
}
REFUSES = {"data_path", "checkpoint", "USER_ID_FIELD", "ITEM_ID_FIELD", "field_separator", "seq_separator", "encoding"}
REFUSES |= {"filter_inter_by_user_or_item", "alias_of_user_id", "alias_of_item_id", "transform", "valid_metric_bigger"}
WARNS = {"additional_feat_suffix", "preload_weight"}
SILENT = {name for name, effect in EFFECTS.items() if effect.changes == "nothing"}
OBSERVED = ("checkpoint_dir", "teacher_dir", "result_file", "gpu_id", "use_gpu", "worker", "state", "reproducibility")
OBSERVED += ("show_progress", "log_wandb", "wandb_project", "loss_decimal_place", "eval_batch_size", "compile")
OBSERVED += ("enable_scaler", "feature_residency")
ODD = {  # values of keys that never have an effect
    **dict.fromkeys(("save_dataset", "save_dataloaders", "kg_reverse_r"), True),
    **dict.fromkeys(("entity_kg_num_interval", "relation_kg_num_interval"), "[5,inf)"),
    "alias_of_entity_id": ["x"],
    "alias_of_relation_id": ["x"],
    "MAX_ITEM_LIST_LENGTH": 3,
}


def nested(name: str, value, beside: dict) -> dict:
    """The values that give a name of the table a value."""
    key, _, entry = name.partition(".")
    return {**beside, key: {**beside.get(key, {}), entry: value} if entry else value}


def test_the_table_has_every_key():
    bases = [RECBOLE_PROPERTIES / "overall.yaml", RECBOLE_PROPERTIES / "dataset" / "sample.yaml"]
    keys = {key for path in (*bases, shipped("properties") / "overall.yaml") for key in read_yaml(path)}
    assert {name.partition(".")[0] for name in EFFECTS} == keys
    assert set(CASES) | SILENT | set(OBSERVED) == set(EFFECTS)


@pytest.fixture(scope="module")
def seen():
    """What was looked at before, by model and values."""
    return {}


@pytest.mark.parametrize("name", CASES)
def test_a_key_changes_what_the_table_says(folder, name, seen):
    model, value, beside = CASES[name]
    effect, given = EFFECTS[name], nested(name, value, beside)
    refusal, lines = _refusal(model, folder, given), []
    if not refusal:
        lines = configure(model, folder, **given).without_effect()
    assert bool(refusal) == (name in REFUSES) and bool(lines) == (name in WARNS), (refusal, lines)
    if refusal:
        assert (
            re.search(rf"{name.partition('.')[0]}|{value}", refusal) and "expected" in refusal and "\n" not in refusal
        )
    if refusal or lines:
        return
    before = seen.setdefault(repr((model, beside)), {})
    before.update({} if before else look(model, folder, **beside))
    after = look(model, folder, **given)
    assert before[effect.changes] != after[effect.changes]


def _refusal(model: str, folder: Path, given: dict) -> str:
    try:
        config = configure(model, folder, **given)
        if given.get("checkpoint"):
            look(model, folder, **given)
        running.load(config)
    except DecCMError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(SILENT))
def test_a_key_without_effect_is_named(folder, name):
    lines = configure("BPR", folder, **{name: ODD.get(name, "x")}).without_effect()
    assert len(lines) == 1 and lines[0].startswith(f"{name}: ") and lines[0].endswith(f"{EFFECTS[name].idle[0].why}.")


# A model, and values beside the key's, for each reason why a key may have no effect.
WITHOUT: dict[str, tuple] = {
    effects.OURS_IN_BATCH.why: ("CMVAE", {}),
    effects.NO_SAMPLER.why: ("MultiVAE", {}),
    effects.NO_NEGATIVES.why: ("Pop", {}),
    effects.ONE_STEP.why: ("Ridge", {}),
    effects.NOT_CONTEXT.why: ("BPR", {}),
    effects.NO_CONTENT.why: ("BPR", {}),
    effects.NO_VECTORS.why: ("BPR", {}),
    "video_fields is given": ("CMVAE", {"video_fields": ["visual", "taste"]}),
    "music_fields is given": ("CMVAE", {"music_fields": ["acoustic", "sound"]}),
    effects.READY_MADE.why: ("BPR", MADE),
    effects.FOLDED.why: ("BPR", {"eval_args": {"split": {"LGO": "owner", "folds": 3}}}),
    effects.GROUPED.why: ("BPR", {"eval_args": {"split": {"LS": "valid_and_test"}}}),
    effects.NOTHING_CACHED.why: ("DecCM", {}),
    effects.NO_VALIDATION.why: ("BPR", {"eval_step": 0}),
    effects.NO_PRIOR.why: ("BPR", {"uploader_prior": "train"}),
    effects.MODEL_WITHOUT_PRIOR.why: ("BPR", {}),
    effects.PRIOR_READ.why: ("DecCM", {}),
    effects.PRIOR_TRAIN.why: ("DecCM", {"uploader_prior": "train"}),
    effects.NO_GENRE.why: ("BPR", {}),
    effects.NO_GPU.why: ("BPR", {}),
    effects.NOT_DRAWN.why: ("FM", {"train_neg_sample_args": {"distribution": "none"}}),
    effects.NOT_POPULAR.why: ("BPR", {}),
    effects.NOT_DYNAMIC.why: ("BPR", {}),
    effects.NO_WANDB.why: ("BPR", {}),
    effects.NO_TABLES.why: ("BPR", {}),
    "the model does not read it": ("Ridge", {"train_neg_sample_args": None}),
    "labels are those of drawn negatives": ("FM", {}),
    "our models make batches without worker processes": ("CMVAE", {}),
    "neither rm_dup_inter nor a split goes by time": ("BPR", {}),
    "the model reads no further columns": ("BPR", {}),
    "only our trained models can be compiled": ("BPR", {}),
}
FURTHER = {"worker": 2, "enable_scaler": True, "compile": True, "wandb_project": "mine", "teacher_dir": "here"}
FURTHER |= {"feature_residency": "disk"}


@pytest.mark.parametrize(
    ("name", "why"),
    [(name, case.why) for name, effect in EFFECTS.items() for case in effect.idle if name not in SILENT],
)
def test_a_key_is_named_where_it_has_no_effect(folder, name, why):
    model, beside = WITHOUT[why]
    if name == "train_neg_sample_args.dynamic":
        beside = nested("train_neg_sample_args.candidate_num", 2, beside)
    value = FURTHER[name] if name in FURTHER else CASES[name][1]
    if (name, why) == ("eval_step", effects.ONE_STEP.why):
        value = 3
    given = {"uploader_prior": "train"} if name == "uploader_prior" else nested(name, value, beside)
    lines = configure(model, folder, **given).without_effect()
    assert any(line.startswith(f"{name}: {value!r} has no effect here: ") and why in line for line in lines), lines


def test_a_run_names_the_keys_and_goes_on(folder, caplog):
    with caplog.at_level("WARNING"):  # an earlier run in this process may have asked for less
        running.run_config(configure("Ridge", folder, epochs=7, worker=2))
    said = [record.message for record in caplog.records if "no effect" in record.message]
    assert {line.split(":")[0] for line in said} == {"epochs", "learning_rate", "train_batch_size", "worker"}


# --- keys whose effect is on files, the screen, or the machine ------------------------------------------------------
def test_places(folder, tmp_path):
    values = {"checkpoint_dir": "kept", "result_file": "r.json", "teacher_dir": "teachers", "teacher": "auto"}
    running.run_config(configure("DecCM", folder, **values, teacher_config={"epochs": 1}))
    assert Path("r.json").is_file() and list(Path("kept").glob("*.pth")) and list(Path("teachers").glob("*.pth"))


def test_device(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = {use: configure("BPR", folder, use_gpu=use, gpu_id="1")["device"].type for use in (True, False)}
    assert config == {True: "cuda", False: "cpu"} and os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_reproducibility(folder):
    for wanted in (False, True):
        running.load(configure("BPR", folder, reproducibility=wanted))
        assert torch.backends.cudnn.deterministic is wanted and torch.backends.cudnn.benchmark is not wanted


def test_worker_processes_and_batches(folder):
    splits = running.load(configure("BPR", folder, worker=2))
    assert splits.train.num_workers == 2
    sizes = [len(running.load(configure("CMVAE", folder, eval_batch_size=size)).valid) for size in (11, 1000)]
    assert sizes[0] > sizes[1] == 1


def test_residency(folder):
    reads = [
        running.load(configure("CMVAE", folder, feature_files=FILES, feature_residency=place)).dataset
        for place in ("host", "disk")
    ]
    assert [data.features["visual"].file is None for data in reads] == [True, False]


def test_what_is_shown(folder, capfd, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    shown = {}
    for key, value in (("state", "INFO"), ("show_progress", True), ("loss_decimal_place", 7)):
        given = {"state": "INFO"} if key == "loss_decimal_place" else {}
        running.run_config(configure("CMVAE", folder, **given, **{key: value}))
        shown[key] = "".join(capfd.readouterr())
    assert "best valid" in shown["state"] and "Train     0" in shown["show_progress"]
    assert re.search(r"loss\D{0,12}: -?\d+\.\d{7}\b", shown["loss_decimal_place"])
    assert not re.search(r"loss\D{0,12}: -?\d+\.\d{7}\b", shown["state"])


def test_wandb_is_refused_where_it_is_not_installed(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(DecCMError, match="log_wandb: expected True or False, and False where the package wandb is not"):
        check({"log_wandb": True}, "BPR", object, "config_dict")


def test_compile_compiles_the_loss(folder, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiled.append(function) or function)
    for wanted in (False, True):
        running.run_config(configure("CMVAE", folder, compile=wanted))
        assert len(compiled) == wanted


def test_scaler_is_for_a_gpu(folder, monkeypatch):
    model, splits = running.build(configure("CMVAE", folder, enable_scaler=True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trainer = running.trainer_class(splits.config)(splits.config, model)
    assert trainer.enable_scaler
