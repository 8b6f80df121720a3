"""Marching cubes in bricks: cells asked for only, seams without cracks, positions from the two values of an edge."""

from itertools import product

import numpy as np
import pytest

from finer_sdf.geometry import Mesh
from finer_sdf.meshing.marching_cubes import triangulate, weld
from tests.sdf.distance_fields import as_trimesh, assert_closed


def mesh_in_bricks(values, side, *, step=1.0):
    resolution = len(values)
    parts = [
        triangulate(
            values[x : x + side + 1, y : y + side + 1, z : z + side + 1],
            first=np.array([x, y, z]),
            resolution=resolution,
            step=step,
        )
        for x, y, z in product(range(0, resolution - 1, side), repeat=3)
    ]
    welded = weld([part for part in parts if part is not None])
    return Mesh(vertices=welded.positions, faces=welded.faces)


def noise(count, *, seed=0):
    """Random values with a positive border: every case of marching cubes, ambiguous faces included."""
    values = np.random.default_rng(seed).normal(size=(count,) * 3)
    return np.pad(values, 1, constant_values=1.0).astype(np.float32)


def sorted_triangles(mesh):
    """Return the triangles as rows, each turned so that its lowest vertex comes first, in order."""
    corners = mesh.triangles
    lowest = np.lexsort(corners.transpose(2, 0, 1)[::-1], axis=1)[:, 0]
    turned = np.stack([np.roll(triangle, -first, axis=0) for triangle, first in zip(corners, lowest, strict=True)])
    rows = turned.reshape(len(turned), 9)
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("side", [5, 8, 64])
def test_bricks_of_any_side_give_the_same_closed_mesh(side):
    values = noise(24)
    whole = mesh_in_bricks(values, 25)
    parts = mesh_in_bricks(values, side)
    assert_closed(parts)
    np.testing.assert_allclose(parts.vertices, whole.vertices, rtol=0, atol=1e-5)  # float32 inside cells without edges
    np.testing.assert_allclose(sorted_triangles(parts), sorted_triangles(whole), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e4])
def test_the_unit_of_the_values_does_not_matter(scale):
    values = noise(16)
    expected, scaled = mesh_in_bricks(values, 8), mesh_in_bricks(values * np.float32(scale), 8, step=scale)
    np.testing.assert_array_equal(scaled.faces, expected.faces)
    np.testing.assert_allclose(scaled.vertices, expected.vertices, rtol=0, atol=1e-5)


def test_vertices_lie_where_the_edge_is_zero_in_double_precision():
    values = np.random.default_rng(1).uniform(0.5, 1.5, size=(6, 6, 6)).astype(np.float32)
    values[2, 3, 2] = -3e-5  # far below what scikit-image resolves
    mesh = mesh_in_bricks(values, 3)
    assert len(mesh.vertices) == 6
    center = np.array([2, 3, 2])
    for step in np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)]):
        there = float(values[tuple(center + step)])
        expected = center + step * (3e-5 / (3e-5 + there))
        assert np.linalg.norm(mesh.vertices - expected, axis=1).min() < 1e-11


def test_faces_look_to_the_positive_side():
    values = np.ones((5, 5, 5), dtype=np.float32)
    values[2, 2, 2] = -1
    mesh = mesh_in_bricks(values, 4)
    assert_closed(mesh)
    assert mesh.volume() == pytest.approx(8 * 0.5**3 / 6)


@pytest.mark.parametrize("side", [3, 4, 8])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_exact_zeros_leave_no_open_edge_and_no_double_vertex(share, side):
    values = noise(22, seed=4)
    random = np.random.default_rng(5)
    values[1:-1, 1:-1, 1:-1][random.random((22, 22, 22)) < share] = 0
    mesh = mesh_in_bricks(values, side)
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)
    edges = np.concatenate([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    assert (edges[:, 0] != edges[:, 1]).all()
    # sheets may touch at the zeros, so edges may be used twice, but each as often forwards as backwards
    forward, backward = (np.sort(a * len(mesh.vertices) + b) for a, b in (edges.T, edges[:, ::-1].T))
    np.testing.assert_array_equal(forward, backward)


def test_a_lone_zero_is_no_surface():
    values = np.ones((5, 5, 5), dtype=np.float32)
    values[2, 2, 2] = 0
    part = triangulate(values, first=np.zeros(3, dtype=np.int64), resolution=5, step=1.0)
    assert part is not None and len(weld([part]).faces) == 0


def test_only_the_cells_asked_for_are_triangulated():
    x = np.arange(9, dtype=np.float32)
    values = np.broadcast_to(x[:, None, None] - 3.5, (9, 9, 9)).copy()
    cells = np.zeros((8, 8, 8), dtype=bool)
    cells[:, :, :4] = True
    values[:, :, 6:] = np.nan  # not evaluated
    part = triangulate(values, cells=cells, first=np.array([8, 0, 0]), resolution=20, step=1.0)
    assert part is not None
    assert part.positions[:, 2].max() == 4 and (part.positions[:, 0] == 8 + 3.5).all()
    assert len(part.faces) == 2 * 8 * 4
    cells[:] = False
    cells[0, :, :4] = True
    assert triangulate(values, cells=cells, first=np.zeros(3, dtype=np.int64), resolution=20, step=1.0) is None


def test_noise_is_a_manifold_with_an_inside():
    mesh = mesh_in_bricks(noise(20, seed=9), 7)
    assert as_trimesh(mesh).is_volume
