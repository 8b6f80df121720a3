"""Spherical harmonics are orthonormal, and in the usual order."""

import numpy as np
import pytest
import torch

from finer_nerf.fields.spherical_harmonics import spherical_harmonics


def test_orthonormal_over_the_sphere():
    z, weights = np.polynomial.legendre.leggauss(12)
    turns = np.arange(24) * 2 * np.pi / 24
    across = np.sqrt(1 - z**2)[:, None]
    sides = np.broadcast_arrays(across * np.cos(turns), across * np.sin(turns), z[:, None])
    directions = torch.from_numpy(np.stack(sides, axis=-1).reshape(-1, 3).copy())
    area = torch.from_numpy(np.repeat(weights * 2 * np.pi / 24, 24))
    values = spherical_harmonics(directions, degree=4)
    torch.testing.assert_close(
        values.T @ (values * area[:, None]), torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_the_first_bands():
    x, y, z = torch.eye(3, dtype=torch.float64)
    one = np.sqrt(3 / (4 * np.pi))
    assert spherical_harmonics(y, degree=2).tolist() == pytest.approx([0.5 / np.sqrt(np.pi), -one, 0, 0])
    assert spherical_harmonics(z, degree=2).tolist() == pytest.approx([0.5 / np.sqrt(np.pi), 0, one, 0])
    assert spherical_harmonics(x, degree=2).tolist() == pytest.approx([0.5 / np.sqrt(np.pi), 0, 0, -one])


@pytest.mark.parametrize("degree", [0, 5])
def test_bad_degree(degree):
    with pytest.raises(ValueError, match="degree"):
        spherical_harmonics(torch.ones(2, 3), degree=degree)
