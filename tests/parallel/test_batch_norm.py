"""Batch norm of two real processes against torch's layer on the whole batch."""

from __future__ import annotations

import copy

import torch
from helpers import two_processes
from torch import nn

from recbole_decm.parallel.batch_norm import GlobalBatchNorm, normalise_globally
from recbole_decm.parallel.launch import in_processes
from recbole_decm.parallel.processes import Processes


def test_it_is_the_layer_of_the_whole_batch():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(6)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    reference = copy.deepcopy(norm).double()
    # The second batch is far off zero, where a sum of squares would cancel; of the third one process has no row.
    sizes, offsets = [(7, 4), (5, 5), (3, 0)], (0.0, 100.0, 1.0)
    wholes = [
        (torch.randn(sum(n), 6) + offset, torch.randn(sum(n), 6)) for n, offset in zip(sizes, offsets, strict=True)
    ]
    batches = [
        list(zip(*(tensor.split(n) for tensor in whole), strict=True)) for n, whole in zip(sizes, wholes, strict=True)
    ]
    (first, second), buffers = in_processes(two_processes.batch_norm, (norm, batches), Processes(2, 2))
    for (rows, target), one, two in zip(wholes, first, second, strict=True):
        reference.zero_grad()
        expected = two_processes.normalised(reference, rows.double(), target.double())
        for key in ("output", "rows", "weight", "bias"):
            both = torch.cat([one[key], two[key]]) if key in ("output", "rows") else one[key] + two[key]
            torch.testing.assert_close(both.double(), expected[key], rtol=1e-5, atol=1e-4)
        assert all(torch.equal(a, b) for a, b in zip(one["moments"], two["moments"], strict=True))
        torch.testing.assert_close(one["moments"][1], rows.double().var(dim=0, correction=0).float(), rtol=1e-4, atol=0)
    for name, value in reference.named_buffers():
        torch.testing.assert_close(buffers[name].to(value.dtype), value, rtol=1e-5, atol=1e-5)


def test_replacing_keeps_parameters_buffers_and_names():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4)))
    before = model.state_dict(keep_vars=True)
    model.eval()
    rows = torch.randn(5, 3)
    expected = model(rows)
    normalise_globally(model)
    assert isinstance(model[1][0], GlobalBatchNorm)
    after = model.state_dict(keep_vars=True)
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)
    assert torch.equal(model(rows), expected)
