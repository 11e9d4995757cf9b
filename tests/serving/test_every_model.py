"""recommend for every registered model: the lists of its own full_sort_predict, or a refusal that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config
from recbole.data.interaction import Interaction

from recbole_decm.cli.main import main
from recbole_decm.config.registry import MODELS
from recbole_decm.training.checkpoint import decode, load_weights, read_checkpoint
from recbole_decm.training.evaluate import restored_config
from recbole_decm.training.run import build, fit

VALUES = {
    "DecCM": {"teacher": "none", "backdoor": "conditional", "confounder_fusion": "genre"},
    "DecCMPlus": {"teacher_config": {"epochs": 1, "state": "ERROR", "show_progress": False}},
    "PDA": {"inference": "pda"},
    "NeuMF": {"mlp_hidden_size": [8]},
}
OURS = [*MODELS, "PDA-pd"]
RECBOLE = ["Pop", "ItemKNN", "BPR", "NeuMF", "LightGCN", "MultiVAE", "EASE", "FM", "DSSM"]
NEW = {"DecCM", "DecCMPlus", "DecCMTeacher", "CMVAE", "IPW", "PDA", "PDA-pd", "DecRS"}
NEW |= {"ContrastiveTowers", "VMNet", "ControlMVR", "GenreBalanced", "UploaderOffset"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small data set whose two kinds of features have one width, for Cosine; music is chosen unevenly, for PDA."""
    folder = tmp_path_factory.mktemp("data")
    write_planted(folder, videos=90, music=12, visual=6, acoustic=6)
    for part in (folder / "planted").glob("*.inter"):
        frame = pd.read_csv(part, sep="\t")
        frame.loc[frame.index % 2 == 0, "music_id:token"] = "m5"
        frame.to_csv(part, sep="\t", index=False)
    return folder


@pytest.fixture(scope="module")
def checkpoint_of(folder, tmp_path_factory):
    """Trains a model when it is first asked for."""
    known: dict[str, Path] = {}

    def get(label: str) -> Path:
        if label not in known:
            model = label.partition("-")[0]
            values = {} if label.endswith("-pd") else VALUES.get(model, {})
            place = str(tmp_path_factory.mktemp(label))
            config = make_config(model, folder, checkpoint_dir=place, **({"epochs": 1} | values))
            known[label] = Path(fit(config).trainer.saved_model_file)
        return known[label]

    return get


def own_lists(checkpoint: Path) -> np.ndarray:
    """(V, 5) tracks of every video by full_sort_predict, or predict of every pair, in float64 order."""
    content = read_checkpoint(checkpoint)
    config = restored_config(content)
    model, splits = build(config)
    load_weights(model.eval(), content["state_dict"], checkpoint)
    model.load_other_parameter(decode(content["other_parameter"]))
    dataset, videos = splits.dataset, torch.arange(1, 91)
    with torch.no_grad():
        try:
            scores = model.full_sort_predict(dataset.join(Interaction({"video_id": videos})))
        except NotImplementedError:
            pairs = {"video_id": videos.repeat_interleave(13), "music_id": torch.arange(13).repeat(90)}
            scores = model.predict(dataset.join(Interaction(pairs)))
    scores = scores.view(90, 13)[:, 1:]
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :5]
    return dataset.field2id_token["music_id"][1:][order.numpy()]


def recommended(*argv) -> np.ndarray:
    assert main(["recommend", *map(str, argv), "--k=5", "--out=found.csv"]) == 0
    table = pd.read_csv("found.csv")
    assert len(table) == 450
    return table["music_id"].to_numpy().reshape(90, 5)


@pytest.mark.parametrize("label", [*OURS, *RECBOLE])
def test_the_lists_are_the_models_own(label, folder, checkpoint_of, capsys):
    checkpoint = checkpoint_of(label)
    expected = own_lists(checkpoint)
    assert (recommended(checkpoint, "--split=all") == expected).all()
    user = pd.read_csv(folder / "planted" / "planted.user", sep="\t", dtype=str)["visual:float_seq"]
    np.save("today.npy", np.array([row.split() for row in user], dtype=np.float32))
    if label in NEW:
        assert (recommended(checkpoint, "--videos=today.npy") == expected).all()
    else:
        assert main(["recommend", str(checkpoint), "--videos=today.npy"]) == 2
        assert f"which rank tracks for new videos, found one of {label}. For the videos" in capsys.readouterr().err
        assert main(["recommend", str(checkpoint), "--split=all", "--index=flat"]) == 2
        assert "--index: expected exact, since this model has no vectors" in capsys.readouterr().err


def test_popularity_shapes_the_lists_of_pda(checkpoint_of, capsys):
    """The most popular track comes first far more often than by the match alone, for a file of videos, too."""
    with_popularity = own_lists(checkpoint_of("PDA"))
    without = recommended(checkpoint_of("PDA"), "--split=all", "--inference=pd")
    assert (with_popularity[:, 0] == "m5").mean() > (without[:, 0] == "m5").mean() + 0.1
    assert main(["recommend", str(checkpoint_of("PDA")), "--index=flat"]) == 2
    assert (
        "expected exact, since inference: pda multiplies the match by popularity, found flat" in capsys.readouterr().err
    )
