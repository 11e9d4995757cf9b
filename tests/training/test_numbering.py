"""RecBole's models know videos and tracks by number: weights are not read under other numbers than their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import run_quick

from recbole_decm.errors import CheckpointError
from recbole_decm.serving.entry import open_with_videos
from recbole_decm.serving.videos import VideoChoice
from recbole_decm.training.evaluate import evaluate


def trained(model: str, folder: Path) -> str:
    run_quick(model, folder, epochs=1, checkpoint_dir=str(folder / "saved"))
    (path,) = (folder / "saved").glob(f"{model}-*.pth")
    return str(path)


def reversed_rows(path: Path) -> None:
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")


@pytest.mark.parametrize("model", ["BPR", "FM", "Pop", "MultiVAE"])
@pytest.mark.parametrize(("suffix", "field"), [("item", "music_id"), ("user", "video_id")])
def test_other_rows_are_refused(own_planted, model, suffix, field):
    checkpoint = trained(model, own_planted)
    known = evaluate(checkpoint)["test"]
    reversed_rows(own_planted / "planted" / f"planted.{suffix}")
    message = f"expected the values of '{field}' that the checkpoint was trained with, in their order, found others"
    with pytest.raises(CheckpointError, match=message):
        evaluate(checkpoint)
    with pytest.raises(CheckpointError, match=message):
        open_with_videos(checkpoint, VideoChoice(split="test"))
    with pytest.raises(CheckpointError, match=message):
        run_quick(model, own_planted, epochs=2, checkpoint=checkpoint)
    reversed_rows(own_planted / "planted" / f"planted.{suffix}")
    assert evaluate(checkpoint)["test"] == known


def test_a_model_that_reads_no_genre_does_not_mind_their_names(own_planted):
    checkpoints = [trained(model, own_planted) for model in ("BPR", "FM")]
    path = own_planted / "planted" / "planted.item"
    path.write_text(path.read_text().replace("\tg0", "\tx"))
    evaluate(checkpoints[0])
    with pytest.raises(CheckpointError, match="expected the values of 'genre'"):
        evaluate(checkpoints[1])


def test_our_models_find_tracks_by_their_content(own_planted):
    checkpoint = trained("CMVAE", own_planted)
    known = evaluate(checkpoint)["test"]
    reversed_rows(own_planted / "planted" / "planted.item")
    assert evaluate(checkpoint)["test"] == pytest.approx(known, abs=1e-6)


def test_a_checkpoint_that_does_not_say_opens(own_planted):
    checkpoint = trained("BPR", own_planted)
    known, content = evaluate(checkpoint)["test"], torch.load(checkpoint, weights_only=True)
    del content["numbering"]
    torch.save(content, checkpoint)
    assert evaluate(checkpoint)["test"] == known
