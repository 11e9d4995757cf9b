from __future__ import annotations

import torch

from recbole_decm.model.towers import FeatureDecoder, GaussianEncoder, Posterior


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
