from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from recbole_decm.data.features import FeatureMatrix, open_npy, reduce_features, standardisation
from recbole_decm.errors import DataError
from recbole_decm.io.npy import check_finite


def matrix(values: np.ndarray) -> FeatureMatrix:
    """Rows in reverse order: id i has row R - i."""
    rows = torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(len(values) - 1, -1, -1)])
    return FeatureMatrix("visual", torch.from_numpy(values), rows)


def test_lookup_by_id():
    values = np.arange(12, dtype=np.float16).reshape(4, 3)
    found = matrix(values).lookup(torch.tensor([1, 4, 1]))
    assert found.dtype == torch.float32
    assert found.tolist() == [[9, 10, 11], [0, 1, 2], [9, 10, 11]]


def test_open_npy_maps_the_file(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.save(tmp_path / "v.npy", values)
    opened, reader = open_npy(tmp_path / "v.npy", "visual", 5, tmp_path / "a.user")
    assert np.array_equal(opened.numpy(), values) and np.array_equal(reader[1:4], values[1:4])


class Payload:
    def __reduce__(self):
        return (open, ("carried-out", "w"))


def object_array():
    array = np.empty(1, dtype=object)
    array[0] = Payload()
    return array


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 2), np.float32), "expected 5 rows, one for each line of .*a.user, found 4"),
        (np.zeros(5, np.float32), "expected a 2-D matrix of floats, found float32 of shape"),
        (np.zeros((5, 2), np.int64), "expected a 2-D matrix of floats, found int64"),
        (np.full((5, 2), np.nan, np.float32), "row 0: expected finite"),
        (object_array(), "can carry code"),
    ],
)
def test_bad_npy(tmp_path, monkeypatch, values, message):
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", values, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_npy(tmp_path / "v.npy", "visual", 5, tmp_path / "a.user")
    assert not (tmp_path / "carried-out").exists()


def test_missing_truncated_and_foreign_npy(tmp_path):
    with pytest.raises(DataError, match="found none"):
        open_npy(tmp_path / "none.npy", "visual", 5, tmp_path / "a.user")
    np.save(tmp_path / "v.npy", np.zeros((5, 2), np.float32))
    whole = (tmp_path / "v.npy").read_bytes()
    for content in (whole[:-4], whole[:20], b"", b"not an array"):
        (tmp_path / "cut.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"cut\.npy"):
            open_npy(tmp_path / "cut.npy", "visual", 5, tmp_path / "a.user")


def test_check_finite_names_the_row_and_accepts_large_values():
    values = np.ones((20_000, 3), np.float16) * 60_000  # a float16 sum would overflow
    check_finite(values, "visual", "file")
    values[17_000, 1] = np.inf
    with pytest.raises(DataError, match="file, row 17000"):
        check_finite(values, "visual", "file")


def test_pca_is_fitted_on_training_rows_alone():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(300, 20)) @ rng.normal(size=(20, 20))).astype(np.float32)
    values[200:] *= 50  # rows that are not in training must not matter
    features = FeatureMatrix(
        "visual", torch.from_numpy(values), torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(300)])
    )
    reduced = reduce_features(features, torch.arange(1, 201), dim=5, seed=0)
    assert reduced.shape == (301, 5) and (reduced[0] == 0).all()
    scaler = StandardScaler().fit(values[:200])
    expected = (
        PCA(5, whiten=True, svd_solver="full").fit(scaler.transform(values[:200])).transform(scaler.transform(values))
    )
    assert np.allclose(np.abs(reduced[1:].numpy()), np.abs(expected), rtol=0.05, atol=0.05)


def test_small_vectors_are_standardised_not_reduced():
    values = np.random.default_rng(0).normal(3, 2, size=(50, 4)).astype(np.float32)
    features = FeatureMatrix(
        "visual", torch.from_numpy(values), torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(50)])
    )
    for dim in (4, 64, None):
        reduced = reduce_features(features, torch.arange(1, 51), dim=dim, seed=0)
        assert torch.allclose(reduced[1:].mean(dim=0), torch.zeros(4), atol=1e-5) and reduced.shape == (51, 4)


@pytest.mark.parametrize(("factor", "offset"), [(1e-10, 0), (1e-3, 5), (100, 0), (1e6, -2), (1, 1e3)])
def test_standardisation_over_training_rows(factor, offset):
    rng = np.random.default_rng(0)
    values = (factor * (rng.normal(size=(40, 3)) * [1, 2, 0] + offset)).astype(np.float32)
    values[:10] = 7e8  # of no training row: ids 31 to 40
    ids = torch.arange(1, 31)
    shift, scale = standardisation(matrix(values), ids.repeat(2))
    found = (matrix(values).lookup(ids) - shift) * scale
    assert torch.allclose(found.mean(dim=0), torch.zeros(3), atol=2e-3)
    assert torch.allclose(found.std(dim=0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=2e-3)


@pytest.mark.parametrize("factor", [0.06, 1.0, 9.0])
def test_features_of_about_unit_scale_are_standard(factor):
    values = (factor * np.random.default_rng(1).normal(size=(500, 4))).astype(np.float32)
    assert standardisation(matrix(values), torch.arange(1, 501)) is None
    assert standardisation(matrix(np.zeros((5, 2), np.float32)), torch.arange(1, 6)) is None


def test_standardisation_goes_block_by_block(monkeypatch):
    values = (100 * np.random.default_rng(2).normal(size=(300, 4))).astype(np.float32)
    whole = standardisation(matrix(values), torch.arange(1, 301))
    monkeypatch.setattr("recbole_decm.data.features._REDUCE_ROWS", 7)
    for one, other in zip(whole, standardisation(matrix(values), torch.arange(1, 301)), strict=True):
        assert torch.allclose(one, other, rtol=1e-5)
    assert torch.allclose(whole[1], 1 / torch.from_numpy(values).std(dim=0, correction=0), rtol=1e-5)
