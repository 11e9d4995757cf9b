"""Metrics by cold and warm tracks, by hand; and a warning where a model cannot know the videos it ranks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config, run_quick

from recbole_decm.cli.main import main
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import build, fit, load

COLD = {"m2", "m5", "m9"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three tracks have no training pair; some test videos have two tracks, one of each kind."""
    folder = tmp_path_factory.mktemp("data")
    write_planted(folder, videos=200, music=12, pgc=False)
    train, test = (folder / "planted" / f"planted.{part}.inter" for part in ("train", "test"))
    frame = pd.read_csv(train, sep="\t")
    frame[~frame["music_id:token"].isin(COLD)].to_csv(train, sep="\t", index=False)
    frame = pd.read_csv(test, sep="\t")
    more = frame.iloc[:8].assign(**{"music_id:token": ["m2", "m3"] * 4})
    pd.concat([frame, more]).drop_duplicates().to_csv(test, sep="\t", index=False)
    return folder


def by_hand(config, model, k=3):
    """{kind: (pairs, recall@k, ndcg@k, ipwrecall@k)} by loops over videos."""
    dataset = load(config).dataset
    frame = pd.read_csv(Path(config["data_path"]) / "planted.test.inter", sep="\t", header=0, names=["video", "track"])
    tokens = {field: dataset.field2token_id[field] for field in ("video_id", "music_id")}
    found = {}
    for kind in ("cold", "warm"):
        recalls, gains, hits, weights = [], [], [], []
        for video, tracks in frame.groupby("video")["track"]:
            wanted = [track for track in tracks if (track in COLD) == (kind == "cold")]
            if not wanted:
                continue
            with torch.no_grad():
                scores = model.full_sort_predict({"video_id": torch.tensor([tokens["video_id"][video]])})[1:]
            best = [dataset.field2id_token["music_id"][i + 1] for i in scores.argsort(descending=True)[:k].tolist()]
            ranks = [best.index(track) for track in wanted if track in best]
            recalls.append(len(ranks) / len(wanted))
            ideal = sum(1 / np.log2(i + 2) for i in range(min(k, len(wanted))))
            gains.append(sum(1 / np.log2(rank + 2) for rank in ranks) / ideal)
            hits += [track in best for track in wanted]
            popularity = dataset.popularity[[tokens["music_id"][track] for track in wanted]]
            weights += (1 / np.maximum(popularity, 1)).tolist()
        found[kind] = (len(hits), np.mean(recalls), np.mean(gains), np.average(hits, weights=weights))
    return found


@pytest.mark.parametrize("mode", ["full", "uni8"])
def test_each_kind_by_hand(mode, folder, capsys):
    values = {"topk": [1, 3], "metrics": ["Recall", "NDCG", "IPWRecall", "ItemCoverage"], "valid_metric": "NDCG@3"}
    values |= {"metric_decimal_place": 6, "eval_args": {"mode": mode}}
    values |= {"epochs": 2, "checkpoint_dir": str(folder / mode), "result_file": "r.json", "latent_dimension": 8}
    result = run_quick("CMVAE", folder, **values)
    kinds, written = result["cold_warm"]["test"], json.loads(Path("r.json").read_text())
    assert list(kinds["cold"]) == [
        "pairs",
        *(f"{name}@{k}" for name in ("recall", "ndcg", "ipwrecall") for k in (1, 3)),
    ]
    assert written["cold_warm"] == {"test": kinds} and set(written["test"]) == set(result["test_result"])
    again = evaluate(written["checkpoint"])
    assert again["cold_warm"] == {"test": kinds} and again["test"] == result["test_result"]
    if mode == "full":
        config = make_config("CMVAE", folder, **values | {"result_file": None})
        trained, _ = build(config)
        trained.load_state_dict(torch.load(written["checkpoint"], weights_only=True)["state_dict"])
        for kind, (pairs, *expected) in by_hand(config, trained.eval()).items():
            assert kinds[kind]["pairs"] == pairs > 4
            assert [kinds[kind][f"{name}@3"] for name in ("recall", "ndcg", "ipwrecall")] == pytest.approx(
                expected, abs=2e-6
            )
        assert main(["evaluate", written["checkpoint"]]) == 0
        assert f"test, {kinds['cold']['pairs']} pairs of cold tracks  recall@1 " in capsys.readouterr().out


def test_one_kind_alone_is_not_split(planted):
    assert "cold_warm" not in run_quick("CMVAE", planted, epochs=1, result_file="r.json")
    assert "cold_warm" not in json.loads(Path("r.json").read_text())


@pytest.mark.parametrize(("model", "warned"), [("BPR", True), ("Pop", True), ("FM", False), ("CMVAE", False)])
def test_a_model_of_ids_is_told_of_videos_it_has_never_seen(model, warned, folder, caplog, tmp_path):
    write_planted(tmp_path, "seen", videos=60, music=12, pgc=False)
    train = (tmp_path / "seen" / "seen.train.inter").read_text()
    (tmp_path / "seen" / "seen.test.inter").write_text(train)
    fit(make_config(model, folder, epochs=1))
    text = f"{model} knows videos by their ids alone, and 30 of the 30 test videos have no training pair"
    assert (text in caplog.text) == warned
    caplog.clear()
    load(make_config(model, tmp_path, "seen"))
    assert "by their ids alone" not in caplog.text
