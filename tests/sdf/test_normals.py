"""Normals are the exact gradient of the field, whatever rule its parameters were trained with."""

import numpy as np
import pytest
import torch

from finer_sdf.model import SdfModel
from finer_sdf.normalization import Normalization

from .analytic import SHAPES, fitted


def angles(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    cosine = (vectors * normals).sum(1) / np.linalg.norm(vectors, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("name", SHAPES)
def test_normals_are_closer_than_the_detached_derivative(name):
    shape, network = SHAPES[name], fitted(name)
    points = shape.surface_points(4000, np.random.default_rng(1))
    coords = torch.from_numpy(points).float()
    model = SdfModel(network=network, normalization=Normalization(scale=1.0, offset=(0.0, 0.0, 0.0)))
    _, exact = model.field_and_gradient(coords)

    coords.requires_grad_(True)
    (detached,) = torch.autograd.grad(network(coords).sum(), coords)

    ours = np.median(angles(exact.numpy(), shape.normals(points)))
    naive = np.median(angles(detached.numpy(), shape.normals(points)))
    assert ours < 2.0
    assert ours < naive
    assert np.median(np.linalg.norm(exact.numpy(), axis=1)) == pytest.approx(1.0, abs=0.05)
