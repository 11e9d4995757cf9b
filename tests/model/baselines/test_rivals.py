"""The rivals through the runner, and the terms of a batch against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.running import make_config, run_quick
from recbole.data.interaction import Interaction

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.model.baselines.rival_losses import genre_contrast, structure_loss
from recbole_decm.model.losses import hard_negative_hinge, softmax_contrastive
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import build, run_config

RIVALS = ["ContrastiveTowers", "VMNet", "ControlMVR", "GenreBalanced", "UploaderOffset"]
QUICK = {"epochs": 12, "latent_dimension": 32}
VIDEOS, MUSIC = torch.arange(1, 9), torch.tensor([3, 9, 9, 1, 30, 4, 40, 12])
BATCH = Interaction({"video_id": VIDEOS, "music_id": MUSIC})
SAME = MUSIC.unsqueeze(1) == MUSIC.unsqueeze(0)


def built(model, planted, **values):
    """A model without dropout, and the loader of its training pairs."""
    net, splits = build(make_config(model, planted, **QUICK, dropout_prob=0.0, **values))
    return net.eval(), splits.train


def terms_of(net) -> dict[str, float]:
    found = net.calculate_loss(BATCH)
    return {name: term.item() for name, term in zip(net.loss_names, found, strict=True)}


def latents(net) -> tuple[torch.Tensor, torch.Tensor]:
    video = net.encode("visual", net.visual.lookup(VIDEOS)).mean
    return video, net.encode("acoustic", net.acoustic.lookup(MUSIC)).mean


@pytest.mark.parametrize("model", RIVALS)
def test_planted_matches_are_found_and_found_again(model, planted):
    run, test = run_config(make_config(model, planted, **QUICK, metrics=["Recall", "NDCG"]))
    assert test["recall@1"] > 0.6 and test["recall@10"] > 0.95  # chance: 1/40 and 1/4
    again = evaluate(run.trainer.saved_model_file, ["--state=ERROR"])
    assert again["test"] == test and again["valid"] == run.valid_result


def test_contrastive_towers_learn_both_ways_and_their_temperature(planted):
    net, _ = built("ContrastiveTowers", planted)
    video, tune = latents(net)
    logits = video @ tune.T / 0.07
    expected = softmax_contrastive(logits, SAME, None, both_directions=True)
    assert terms_of(net)["matching"] == pytest.approx(expected.item(), rel=1e-4)
    assert net.temperature.item() == pytest.approx(0.07) and net.log_temperature.requires_grad


def test_vm_net_ranks_and_keeps_structure(planted):
    net, _ = built("VMNet", planted, structure_weight=0.5, structure_rows=4)
    video, tune = latents(net)
    found = terms_of(net)
    hinge = hard_negative_hinge(video @ tune.T, SAME, net.settings.margin, net.settings.num_negatives)
    assert found["matching"] == pytest.approx(hinge.item(), rel=1e-4)
    seen, heard = net.visual.lookup(VIDEOS), net.acoustic.lookup(MUSIC)
    before = [net.encoders["visual"].standardised(seen), net.encoders["acoustic"].standardised(heard)]
    assert found["structure_video"] == pytest.approx(0.5 * structure_loss(video, before[0], 4).item(), rel=1e-4)
    assert found["structure_music"] == pytest.approx(0.5 * structure_loss(tune, before[1], 4).item(), rel=1e-4)
    assert found["structure_video"] > 0


def test_control_mvr_learns_pairs_and_genres_apart_and_ranks_by_the_mixture(planted):
    net, _ = built("ControlMVR", planted, control=0.25, genre_weight=2.0)
    video, tune = latents(net)
    (a, b), (c, d) = video.chunk(2, dim=1), tune.chunk(2, dim=1)
    assert torch.allclose(b.norm(dim=1), torch.ones(8), atol=1e-5)
    found = terms_of(net)
    pairs = softmax_contrastive(a @ c.T / 0.07, SAME, None, both_directions=True)
    genres = 2 * genre_contrast(b @ d.T / 0.07, net.genres[MUSIC])
    assert found["matching"] == pytest.approx(pairs.item(), rel=1e-4)
    assert found["genre"] == pytest.approx(genres.item(), rel=1e-4)
    mixed = (0.75 * a + 0.25 * b) @ (0.75 * c + 0.25 * d).T
    assert torch.allclose(net.score_matrix(VIDEOS)[:, MUSIC], mixed, atol=1e-5)
    assert torch.allclose(net.predict(BATCH), mixed.diagonal(), atol=1e-5)


def test_genres_come_equally_often(own_planted):
    """Nine of ten tracks are made pop; drawn alike, pop is in half of the pairs."""
    path = own_planted / "planted" / "planted.item"
    head, *rows = path.read_text().splitlines()
    place = head.split("\t").index("genre:token_seq")
    cells = [row.split("\t") for row in rows]
    for number, row in enumerate(cells):
        row[place] = "g1" if number == 0 else "g0" if number % 2 else "g2"
    path.write_text("\n".join([head, *("\t".join(row) for row in cells)]) + "\n")
    shares = {}
    for power in (0.0, 1.0):
        _, train = built("GenreBalanced", own_planted, balance_power=power)
        drawn = np.concatenate([batch["music_id"].numpy() for _ in range(40) for batch in train])
        shares[power] = np.bincount(train.dataset.genre_membership[drawn].argmax(axis=1), minlength=3) / len(drawn)
    assert shares[1.0] == pytest.approx(np.full(3, 1 / 3), abs=0.03) and shares[0.0][1] < 0.15
    net, _ = built("GenreBalanced", own_planted)
    assert net.loss_names == ("matching", "kl_video", "kl_music", "reconstruction_visual", "reconstruction_acoustic")


def test_draws_are_those_of_the_seed(planted):
    first, again, other = (
        next(iter(built("GenreBalanced", planted, seed=seed)[1]))["video_id"].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_an_uploaders_offset_counts_in_training_alone(planted):
    net, train = built("UploaderOffset", planted, offset_penalty=0.5, popularity_correction=False)
    owners = train.dataset._uploader_of_video()
    assert net.offsets.shape == (owners.max() + 1, 32) and not net.offsets.any()
    before = net.score_matrix(VIDEOS)
    with torch.no_grad():
        net.offsets.copy_(torch.randn(net.offsets.shape, generator=torch.Generator().manual_seed(0)))
    video, tune = latents(net)
    own = net.offsets[torch.from_numpy(owners)[VIDEOS]]
    found = terms_of(net)
    expected = softmax_contrastive((video + own) @ tune.T / net.temperature, SAME)
    assert found["matching"] == pytest.approx(expected.item(), rel=1e-4)
    assert found["offset"] == pytest.approx(0.5 * own.square().sum(dim=1).mean().item(), rel=1e-5)
    assert torch.equal(net.score_matrix(VIDEOS), before)


def test_offsets_are_learned(planted):
    run, _ = run_config(make_config("UploaderOffset", planted, epochs=2, latent_dimension=8))
    trained = set(run.splits.dataset.inter_feat["video_id"].tolist())
    owners = {int(run.model.uploader[video]) for video in trained}
    moved = run.model.offsets.detach().abs().sum(dim=1) > 0
    assert {number for number, by in enumerate(moved.tolist()) if by} == owners


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("ControlMVR", {"matching": "hinge"}, "matching: expected softmax, the contrast of ControlMVR, found hinge"),
        ("ControlMVR", {"control": 1.5}, "control: expected a number of at most 1, found 1.5"),
        ("VMNet", {"structure_rows": 1}, "structure_rows: expected"),
        ("GenreBalanced", {"balance_power": -1}, "balance_power: expected a number of at least 0"),
        ("UploaderOffset", {"offset_penalty": -1}, "offset_penalty: expected a number of at least 0"),
    ],
)
def test_bad_values(model, values, message, planted):
    with pytest.raises(ConfigError, match=message):
        run_quick(model, planted, **values)


@pytest.mark.parametrize(
    ("model", "file", "column", "message"),
    [
        ("UploaderOffset", "user", "uploader_id", r"expected 'uploader_id:token' in \.user for UploaderOffset"),
        ("ControlMVR", "item", "genre", r"planted\.item: expected a field 'genre:token_seq'"),
        ("GenreBalanced", "item", "genre", r"planted\.item: expected a field 'genre:token_seq'"),
    ],
)
def test_data_that_lack_what_a_rival_learns_from(own_planted, model, file, column, message):
    path = own_planted / "planted" / f"planted.{file}"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    place = next(number for number, name in enumerate(rows[0]) if name.startswith(f"{column}:"))
    path.write_text("\n".join("\t".join(row[:place] + row[place + 1 :]) for row in rows) + "\n")
    with pytest.raises(DataError, match=message):
        build(make_config(model, own_planted, **QUICK))
