"""What the fast preset learns from: exact distances for meshes, sound estimates for clouds."""

import numpy as np
import pytest
import torch

from finer_sdf.geometry import Mesh, PointCloud
from finer_sdf.training.precomputed import BANDS, Band, PrecomputedSamples, points_of_band, shares_of
from finer_sdf.training.targets import CloudTarget, MeshTarget, target_of
from tests.sdf.analytic import SHAPES, Sphere


def cube(half: float = 0.25) -> Mesh:
    corners = np.array([[x, y, z] for x in (-half, half) for y in (-half, half) for z in (-half, half)])
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return Mesh(vertices=corners.astype(np.float64), faces=np.array(faces, dtype=np.int64))


def cube_distance(points: np.ndarray, half: float = 0.25) -> np.ndarray:
    beyond = np.abs(points) - half
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)


def test_distances_to_a_mesh_are_exact():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (5000, 3))
    assert cube().volume() > 0
    np.testing.assert_allclose(MeshTarget(cube()).signed_distance(points), cube_distance(points), atol=1e-12)


def test_surface_points_cover_the_faces_evenly():
    points = MeshTarget(cube()).surface_points(60_000, np.random.default_rng(0))
    np.testing.assert_allclose(cube_distance(points), 0, atol=1e-15)
    on_each = [(np.abs(points[:, axis] - side) < 1e-12).sum() for axis in range(3) for side in (-0.25, 0.25)]
    np.testing.assert_allclose(on_each, 10_000, atol=4 * 100)


def cloud_of(shape, *, points: int) -> PointCloud:
    at = shape.surface_points(points, np.random.default_rng(3))
    return PointCloud(points=at, normals=shape.normals(at))


@pytest.mark.parametrize("name", SHAPES)
def test_distances_to_a_cloud_are_close_to_the_surface_it_samples(name):
    shape = SHAPES[name]
    target = CloudTarget(cloud_of(shape, points=20_000))
    random = np.random.default_rng(4)
    near = shape.surface_points(5000, random) + random.laplace(scale=0.003, size=(5000, 3))
    far = random.uniform(-0.5, 0.5, (5000, 3))
    assert np.abs(target.signed_distance(near) - shape.signed_distance(near)).mean() < 0.05 * target.spacing
    error = np.abs(target.signed_distance(far) - shape.signed_distance(far))
    assert error.max() < target.spacing
    assert (np.sign(target.signed_distance(far)) == np.sign(shape.signed_distance(far)))[error < 1].mean() > 0.995


def test_the_spacing_is_that_of_the_cloud():
    sphere = Sphere()
    area = 4 * np.pi * sphere.radius**2
    for points in (2000, 20_000):
        spacing = CloudTarget(cloud_of(sphere, points=points)).spacing
        assert spacing == pytest.approx(np.sqrt(area / points), rel=0.15)


def test_the_kind_of_shape_chooses_the_target():
    assert isinstance(target_of(cube()), MeshTarget)
    assert isinstance(target_of(cloud_of(Sphere(), points=100)), CloudTarget)


def test_banked_distances_belong_to_their_points():
    batch = PrecomputedSamples(Sphere(), samples=20_000, batch_points=1000, steps=10, seed=0).batch(3)
    expected = Sphere().signed_distance(batch.coords.double().numpy())
    np.testing.assert_allclose(batch.sdf[:, 0].numpy(), expected, atol=3e-8)
    assert batch.coords.shape == (1000, 3)
    assert float(batch.weight.sum()) == pytest.approx(1.0)
    assert float(batch.coords.abs().max()) <= 0.5


def test_a_batch_depends_on_seed_and_step_alone():
    def coords(seed: int, step: int) -> torch.Tensor:
        return PrecomputedSamples(Sphere(), samples=5000, batch_points=100, steps=10, seed=seed).batch(step).coords

    assert torch.equal(coords(0, 5), coords(0, 5))
    assert not torch.equal(coords(0, 5), coords(0, 6))
    assert not torch.equal(coords(0, 5), coords(1, 5))


def test_far_samples_count_less_and_less_and_weights_add_up_to_one():
    sampler = PrecomputedSamples(Sphere(), samples=5000, batch_points=1000, steps=100, seed=0)
    for step, expected in ((0, 1.0), (50, 0.55), (100, 0.1)):
        weight = sampler.batch(step).weight[:, 0]
        near = weight == weight.max()
        assert float(weight.sum()) == pytest.approx(1.0)
        if step:
            assert int(near.sum()) == shares_of(1000, BANDS)[0]
        np.testing.assert_allclose(weight[~near] / weight.max(), expected, rtol=1e-6)


def test_most_samples_are_near_the_surface():
    batch = PrecomputedSamples(Sphere(), samples=50_000, batch_points=10_000, steps=10, seed=0).batch(0)
    share = sum(band.share for band in BANDS if band.scale is not None and band.scale < 0.01)
    assert (batch.sdf.abs() < 0.02).float().mean() > share


def test_offsets_have_the_scale_of_their_band():
    band = Band(scale=0.01, share=1.0)
    points = points_of_band(band, Sphere(), count=50_000, random=np.random.default_rng(0))
    # The distance is close to the offset along the normal: a Laplace vector's component, of mean square 2 s^2.
    assert np.sqrt((Sphere().signed_distance(points) ** 2).mean()) == pytest.approx(np.sqrt(2) * 0.01, rel=0.03)


@pytest.mark.parametrize("total", [3, 100, 8192, 8191])
def test_shares_add_up(total):
    counts = shares_of(total, BANDS)
    assert sum(counts) == total
    assert min(counts) >= 1
