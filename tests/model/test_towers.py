from __future__ import annotations

import pytest
import torch

from recbole_decm.model.towers import Dropout, FeatureDecoder, GaussianEncoder, Posterior


def test_encoder_shapes_and_initial_noise():
    encoder = GaussianEncoder(6, 4, dropout_prob=0.0, initial_logvar=-4.0)
    q = encoder(torch.randn(10, 6))
    assert q.mean.shape == q.logvar.shape == (10, 4)
    assert torch.allclose(q.logvar, torch.full((10, 4), -4.0))


def test_encoder_standardises_its_input():
    encoder = GaussianEncoder(3, 2, dropout_prob=0.0, initial_logvar=0.0)
    features = torch.randn(50, 3)
    assert torch.allclose(encoder(features).mean, encoder(1000 * features + 7).mean, atol=1e-3)


def test_sample_has_the_mean_and_variance_of_the_posterior():
    torch.manual_seed(0)
    q = Posterior(torch.full((200_000, 1), 3.0), torch.full((200_000, 1), 0.5).log())
    z = q.sample()
    assert abs(z.mean().item() - 3) < 0.01 and abs(z.var().item() - 0.5) < 0.01


def test_sample_passes_gradients_to_mean_and_logvar():
    mean, logvar = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    Posterior(mean, logvar).sample().square().sum().backward()
    assert (mean.grad != 0).all() and (logvar.grad != 0).all()


def test_decoder_shape():
    assert FeatureDecoder(4, 9, 0.1)(torch.randn(5, 4)).shape == (5, 9)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    dropout, ones = Dropout(0.2), torch.ones(1000, 777)
    kept = dropout(ones)
    dropped = 51 / 256
    assert (kept == 0).float().mean().item() == pytest.approx(dropped, abs=2e-3)
    assert kept.mean().item() == pytest.approx(1, abs=3e-3)
    assert kept.unique().tolist() == pytest.approx([0, 1 / (1 - dropped)])
    columns = (kept == 0).float().mean(dim=0)  # decisions of one random word are independent
    assert columns.std().item() == pytest.approx((dropped * (1 - dropped) / 1000) ** 0.5, rel=0.1)


def test_dropout_is_the_identity_at_evaluation_and_at_zero():
    values = torch.randn(5, 3)
    assert torch.equal(Dropout(0.5).eval()(values), values) and torch.equal(Dropout(0.0)(values), values)


@pytest.mark.parametrize("relu", [False, True])
def test_error_of_a_decoder_is_that_of_what_it_decodes(relu):
    torch.manual_seed(1)
    decoder, latent, features = FeatureDecoder(4, 9, 0.0, relu), torch.randn(5, 4), torch.rand(5, 9)
    assert decoder.error(latent, features).item() == pytest.approx((decoder(latent) - features).square().mean().item())
