"""Mixed precision, compilation and a GPU leave a run what it is."""

from __future__ import annotations

import shutil

import pytest
import torch
from helpers.running import make_config, run_quick

from recbole_decm.training.run import build, fit
from recbole_decm.training.trainers import trainer_class

PLANTED = {"epochs": 20, "topk": [10], "valid_metric": "NDCG@10"}


def first_losses(planted, **values):
    config = make_config("DecCM", planted, teacher="none", **values)
    model, splits = build(config)
    train = splits.train
    trainer = trainer_class(config)(config, model)
    trainer._train_data = train
    return torch.tensor(trainer._train_epoch(train, 0)), model


def test_mixed_precision_trains_and_keeps_weights_in_single_precision(planted):
    assert run_quick("DecCM", planted, **PLANTED, enable_amp=True)["test_result"]["recall@10"] >= 0.9
    plain, _ = first_losses(planted)
    mixed, model = first_losses(planted, enable_amp=True)
    assert not torch.equal(plain, mixed) and torch.allclose(plain, mixed, rtol=0.02)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_mixed_precision_is_bfloat16_and_is_put_back(planted, monkeypatch):
    seen = []
    config = make_config("CMVAE", planted, enable_amp=True, epochs=1)
    model, splits = build(config)
    train = splits.train
    trainer = trainer_class(config)(config, model)
    before = torch.get_autocast_dtype("cpu")
    torch.set_autocast_dtype("cpu", torch.float16)
    loss = model.calculate_loss
    monkeypatch.setattr(
        model, "calculate_loss", lambda batch: seen.append(torch.get_autocast_dtype("cpu")) or loss(batch)
    )
    trainer._train_data = train
    trainer._train_epoch(train, 0)
    assert set(seen) == {torch.bfloat16} and torch.get_autocast_dtype("cpu") == torch.float16
    torch.set_autocast_dtype("cpu", before)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_loss_is_the_same(planted):
    still = {"dropout_prob": 0.0, "music_dropout_prob": 0.0, "sampling_noise": 0.0}  # compiled code draws otherwise
    plain, _ = first_losses(planted, **still)
    compiled, _ = first_losses(planted, **still, compile=True)
    assert torch.allclose(plain, compiled, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("residency", ["auto", "device", "host"])
def test_on_a_gpu(planted, residency):
    """The same code on one GPU: planted matches are found, with vectors on it or streamed to it."""
    config = make_config("DecCM", planted, **PLANTED, use_gpu=True, gpu_id="0", feature_residency=residency)
    trained = fit(config)
    assert next(trained.model.parameters()).is_cuda
    assert trained.trainer.evaluate(trained.splits.test, load_best_model=False)["recall@10"] >= 0.9
