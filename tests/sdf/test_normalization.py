"""Shapes enter the box as published, and come back where they were."""

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_core.schema import build
from finer_sdf.geometry import Mesh, PointCloud
from finer_sdf.geometry.surface_sampling import sample_surface
from finer_sdf.normalization import Normalization, published_normalization

from ..core import golden
from .shape_files import ellipsoid


def cloud(points: np.ndarray) -> PointCloud:
    return PointCloud(points=points, normals=np.zeros_like(points))


def test_a_cloud_is_normalised_as_published():
    arrays = golden.load("sdf/point_cloud")
    normalization = published_normalization(cloud(arrays["points"]))
    np.testing.assert_allclose(normalization.to_box(arrays["points"]), arrays["points_normalised"], rtol=0, atol=1e-13)
    alignment = golden.load("metrics/alignment_and_export")
    assert normalization.scale == pytest.approx(float(alignment["scale"]), rel=1e-12)
    np.testing.assert_allclose(normalization.offset, alignment["offset"][0], atol=1e-12)
    np.testing.assert_allclose(normalization.to_box(alignment["points"]), alignment["affine_first500"], atol=1e-12)


def test_a_mesh_has_the_frame_that_its_samples_tend_to():
    mesh = ellipsoid()
    samples = sample_surface(mesh, count=400_000, seed=0).points
    of_mesh, of_cloud = published_normalization(mesh), published_normalization(cloud(samples))
    assert of_mesh.scale == pytest.approx(of_cloud.scale, rel=2e-3)
    np.testing.assert_allclose(of_mesh.offset, of_cloud.offset, atol=2e-3 * np.abs(of_mesh.offset).max())


def test_there_and_back():
    mesh = ellipsoid()
    normalization = published_normalization(mesh)
    boxed = normalization.mesh_to_box(mesh)
    assert boxed.bounds.min() == pytest.approx(-0.45)
    assert boxed.bounds.max() == pytest.approx(0.45)
    np.testing.assert_allclose(normalization.mesh_to_input(boxed).vertices, mesh.vertices, atol=1e-12)
    assert build(Normalization, normalization.to_dict(), what="the frame") == normalization


def test_the_mean_of_a_mesh_does_not_depend_on_how_it_is_cut():
    mesh = ellipsoid(subdivisions=2)
    first = mesh.triangles[0]
    middle = first.mean(axis=0)
    vertices = np.vstack([mesh.vertices, middle])
    new, (a, b, c) = len(mesh.vertices), mesh.faces[0]
    faces = np.vstack([mesh.faces[1:], [[a, b, new], [b, c, new], [c, a, new]]])
    np.testing.assert_allclose(
        published_normalization(Mesh(vertices=vertices, faces=faces)).offset,
        published_normalization(mesh).offset,
        atol=1e-12,
    )


def test_shapes_without_extent_are_refused():
    with pytest.raises(InputError, match="coincide"):
        published_normalization(cloud(np.ones((5, 3))))
    with pytest.raises(InputError, match="no area"):
        published_normalization(Mesh(vertices=np.zeros((3, 3)), faces=np.array([[0, 1, 2]])))


@pytest.mark.parametrize(
    "data", [{}, {"scale": 0, "offset": [0, 0, 0]}, {"scale": 1, "offset": [0, 0]}, {"scale": "x", "offset": [0, 0, 0]}]
)
def test_broken_frames_are_refused(data):
    with pytest.raises(InputError):
        build(Normalization, data, what="the frame")
