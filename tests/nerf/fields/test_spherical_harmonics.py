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
    values = spherical_harmonics(directions)
    torch.testing.assert_close(
        values.T @ (values * area[:, None]), torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_the_first_bands():
    x, y, z = torch.eye(3, dtype=torch.float64)
    one = np.sqrt(3 / (4 * np.pi))
    assert spherical_harmonics(y)[:4].tolist() == pytest.approx([0.5 / np.sqrt(np.pi), -one, 0, 0])
    assert spherical_harmonics(z)[:4].tolist() == pytest.approx([0.5 / np.sqrt(np.pi), 0, one, 0])
    assert spherical_harmonics(x)[:4].tolist() == pytest.approx([0.5 / np.sqrt(np.pi), 0, 0, -one])


def test_a_bad_shape():
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        spherical_harmonics(torch.ones(2, 2))
