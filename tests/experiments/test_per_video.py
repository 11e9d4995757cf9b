"""Results of single videos against RecBole's means, and what lists hold against closed forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers.running import QUICK

from recbole_decm.experiments.cell import peak_memory, run_cell
from recbole_decm.experiments.per_video import popularity_of, shares_by_genre

METRICS = ["Recall", "NDCG", "MRR", "Hit", "Precision", "MAP"]


def cell(model: str, folder: Path | None, dataset: str = "planted", **values) -> tuple[dict, dict, dict]:
    place = Path(f"{model}-{len(list(Path().iterdir()))}")
    place.mkdir()
    full = {**QUICK, "epochs": 2, "metrics": METRICS, "topk": [1, 10], **values}
    full |= {} if folder is None else {"data_path": str(folder)}
    run_cell(model, dataset, full, {"model": "label"}, place)
    with np.load(place / "videos.npz") as arrays:
        found = dict(arrays)
    return json.loads((place / "cell.json").read_text()), found, json.loads((place / "curves.json").read_text())


@pytest.mark.parametrize("mode", ["full", "uni20"])
def test_the_mean_over_videos_is_what_recbole_reports(planted, mode):
    content, arrays, _ = cell("CMVAE", planted, eval_args={"mode": mode})
    test = content["metrics"]["test"]
    assert len(test) == 12 and set(arrays) == {"test/video", "test/uploader", *(f"test/{name}" for name in test)}
    for name, value in test.items():
        row = arrays[f"test/{name}"]
        assert row.dtype == np.float32 and row.shape == (90,)
        assert np.mean(row, dtype=np.float64) == pytest.approx(value, abs=6e-7), name
    assert 0 < test["ndcg@10"] < test["recall@10"]


def test_single_videos_are_right_and_not_only_their_mean(planted):
    """One positive a video: recall at 1 is 0 or 1, and at 10 each metric is a function of the positive's rank."""
    _, arrays, _ = cell("CMVAE", planted)
    rank = np.where(arrays["test/mrr@10"] > 0, 1 / np.maximum(arrays["test/mrr@10"], 0.1), np.inf).round()
    assert len(set(rank)) > 5
    found = rank <= 10
    assert np.array_equal(arrays["test/recall@1"], rank == 1) and np.array_equal(arrays["test/hit@10"], found)
    assert np.allclose(arrays["test/ndcg@10"], np.where(found, 1 / np.log2(rank + 1), 0), atol=1e-6)
    assert np.allclose(arrays["test/precision@10"], found / 10) and np.allclose(arrays["test/map@10"], found / rank)


def test_rows_of_all_models_are_in_the_same_order():
    """With extra tests, content models, collaborative and context models; metrics that are no means are left out."""
    values = {"epochs": 1, "metrics": ["NDCG", "IPWRecall", "GenreKL", "ItemCoverage"], "topk": [10], "eval_step": 1}
    cells = [cell(model, None, "sim", **values) for model in ("Pop", "CMVAE", "BPR")]
    for content, arrays, _ in cells:
        assert set(arrays) == {
            f"{test}/{name}" for test in ("test", "test_do") for name in ("video", "uploader", "ndcg@10")
        }
        for test in ("test", "test_do"):
            assert np.array_equal(arrays[f"{test}/video"], cells[0][1]["test/video"])
            assert np.array_equal(arrays[f"{test}/uploader"], cells[0][1]["test/uploader"])
            assert arrays[f"{test}/ndcg@10"].mean() == pytest.approx(content["metrics"][test]["ndcg@10"], abs=6e-7)
    assert len(set(cells[0][1]["test/video"])) == 300 and cells[0][1]["test/video"][0].startswith("v")
    genres = [content["genres"] for content, _, _ in cells]
    for key in ("names", "catalogue", "train", "truth"):
        assert genres[0][key] == genres[1][key] == genres[2][key]
    assert genres[0]["lists"] != genres[1]["lists"] and all(sum(g["lists"]) == pytest.approx(1) for g in genres)
    assert cells[0][0]["popularity"]["lists"] > cells[0][0]["popularity"]["train"] > 4.0  # Pop pushes what is popular


def test_cell_and_curves_say_what_happened(planted):
    content, _, curves = cell("CMVAE", planted, epochs=4, eval_step=2, kl_weight=0.01)
    assert content["status"] == "done" and content["error"] is None and content["model"] == "label"
    assert content["epochs"] == 4 and content["train_pairs"] == 420
    assert set(content["seconds"]) == {"load", "teacher", "train", "test"} and content["seconds"]["train"] > 0
    packages = {"recbole_decm", "recbole", "torch", "numpy", "pandas", "scipy", "scikit-learn", "python"}
    assert packages == set(content["versions"])
    assert (
        len(curves["valid"]["ndcg@10"]) == 2
        and max(curves["valid"]["ndcg@10"]) == content["metrics"]["valid"]["ndcg@10"]
    )
    losses = curves["losses"]
    assert {"loss", "matching"} <= set(losses) and {len(values) for values in losses.values()} == {4}
    assert np.allclose(losses["loss"], sum(np.array(values) for name, values in losses.items() if name != "loss"))
    assert content["genres"]["truth"] is None and len(content["genres"]["lists"]) == 3


def test_losses_of_recboles_models_are_means_over_batches(planted):
    """BPR starts at log 2 whatever the batch size."""
    first = [cell("BPR", planted, train_batch_size=size)[2]["losses"]["loss"][0] for size in (40, 400)]
    assert first == pytest.approx([np.log(2)] * 2, abs=0.02)


def test_shares_of_genres():
    membership = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.5]])
    popularity = np.array([0, 3, 1, 0])
    found = shares_by_genre(np.array([[1, 3], [1, 2]]), popularity, membership, np.array([2, 2, 2, 1]))
    assert found["lists"] == [2.5 / 4, 1.5 / 4] and found["train"] == [0.75, 0.25]
    assert found["catalogue"] == [0.5, 0.5] and found["truth"] == [0.25, 0.75] and found["lists_do"] is None
    assert shares_by_genre(np.array([[1]]), popularity, membership, None, np.array([[2]]))["lists_do"] == [0, 1]


def test_popularity_of_lists():
    found = popularity_of(np.array([[1, 2], [1, 1]]), np.array([0, 3, 1, 0]))
    assert found == {"lists": 2.5, "train": 2.5, "catalogue": pytest.approx(4 / 3)}


def test_peak_memory_is_in_megabytes():
    held = psutil.Process().memory_info().rss / 2**20
    assert 0.99 * held <= peak_memory() < 20 * held
