"""Estimated normals have the right direction and side, also with noise, edges, handles and several parts."""

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_sdf.geometry.clouds.normals import estimate_normals, judge_normals
from finer_sdf.geometry.point_cloud import clean_cloud
from finer_sdf.geometry.reader import read_shape


def sphere(count: int, *, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def torus(count: int) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.random.default_rng(0).random((2, count)) * 2 * np.pi
    normals = np.stack([np.cos(u) * np.cos(v), np.sin(u) * np.cos(v), np.sin(v)], axis=1)
    return np.stack([np.cos(u), np.sin(u), 0 * u], axis=1) + 0.4 * normals, normals


def cube(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points, normals = rng.uniform(-1, 1, size=(count, 3)), np.zeros((count, 3))
    axis, side = rng.integers(0, 3, count), rng.choice([-1, 1], count)
    points[np.arange(count), axis] = normals[np.arange(count), axis] = side
    return points, normals


def angles(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    assert np.allclose(np.linalg.norm(got, axis=1), 1)
    return np.degrees(np.arccos(np.clip(np.einsum("ni,ni->n", got, want), -1, 1)))


def test_sphere_and_torus():
    points = sphere(2000)
    wrong = angles(estimate_normals(points * 3 + (5, -60, 2)), points)
    assert wrong.max() < 20 and np.median(wrong) < 2
    wrong = angles(estimate_normals(torus(6000)[0]), torus(6000)[1])
    assert wrong.max() < 45 and np.median(wrong) < 3


def test_noise_of_a_hundredth_of_the_radius():
    points = sphere(4000)
    noisy = points + np.random.default_rng(1).normal(scale=0.01, size=points.shape)
    wrong = angles(estimate_normals(noisy), points)
    assert wrong.max() < 60 and np.median(wrong) < 5


def test_more_neighbors_smooth_more_noise(monkeypatch):
    points, medians = sphere(4000), []
    noisy = points + np.random.default_rng(1).normal(scale=0.02, size=points.shape)
    for count in (8, 16, 40):
        monkeypatch.setattr("finer_sdf.geometry.clouds.normals.NEIGHBORS", count)
        medians.append(np.median(angles(estimate_normals(noisy), points)))
    assert medians[0] > 1.5 * medians[1] > 2 * medians[2]


def test_sides_are_carried_over_sharp_edges():
    wrong = angles(estimate_normals(cube(6000)[0]), cube(6000)[1])
    assert (wrong < 90).mean() > 0.999 and np.median(wrong) < 0.1


def test_separate_parts_each_look_outwards():
    """Also a small part beside a large one, as seen from which it would look the other way."""
    parts = [(sphere(2000), 1.0, (0, 0, 0)), (sphere(500, seed=1), 0.2, (1.5, 0, 0)), (sphere(900), 0.5, (0, 0, -4))]
    points = np.concatenate([normals * radius + center for normals, radius, center in parts])
    wrong = angles(estimate_normals(points), np.concatenate([normals for normals, _, _ in parts]))
    assert wrong.max() < 45


def test_an_open_bowl_looks_away_from_its_inside():
    points = sphere(3000)
    points = points[points[:, 2] < 0.3]
    assert angles(estimate_normals(points), points).max() < 60


def test_points_at_one_place_share_a_normal_and_do_not_disturb_it():
    points = sphere(1000)
    crowded = np.concatenate([points, np.repeat(points[:5], 40, axis=0)])
    got = estimate_normals(crowded)
    assert np.allclose(got[:1000], estimate_normals(points))
    assert np.array_equal(got[1000:], np.repeat(got[:5], 40, axis=0))


def test_order_and_repetition_do_not_matter():
    points, order = torus(1500)[0], np.random.default_rng(0).permutation(1500)
    first = estimate_normals(points)
    assert np.array_equal(first, estimate_normals(points))
    assert np.allclose(first[order], estimate_normals(points[order]))


def test_too_few_points():
    with pytest.raises(InputError, match="15 different points"):
        estimate_normals(sphere(15))


def test_volume_from_points_and_normals():
    points = sphere(20_000)
    assert judge_normals(points * 2 + 50, points)[0] == pytest.approx(8 * 4 / 3 * np.pi, rel=0.03)
    assert judge_normals(points * 2 + 50, -points)[0] < 0
    ring, normals = torus(20_000)
    assert judge_normals(ring, normals)[0] == pytest.approx(2 * np.pi**2 * 0.4**2, rel=0.1)


@pytest.mark.parametrize("name", ["armadillo.obj", "dragon_100k.ply"])
def test_real_surfaces(shared_data, name):
    mesh = read_shape(shared_data / "mesh" / name).shape
    rng = np.random.default_rng(0)
    faces = rng.choice(len(mesh.faces), 60_000, p=mesh.face_areas() / mesh.area())
    points = np.einsum("nk,nkd->nd", rng.dirichlet((1, 1, 1), 60_000), mesh.triangles[faces])
    normals = mesh.face_vectors()[faces]
    wrong = angles(estimate_normals(points), normals / np.linalg.norm(normals, axis=1, keepdims=True))
    assert (wrong < 90).mean() > 0.99 and np.median(wrong) < 8


def test_normals_that_disagree_are_said():
    points = sphere(400)
    signs = np.where(np.random.default_rng(1).random(len(points)) < 0.5, -1.0, 1.0)
    words = "normals look against that of the nearest point"
    for normals, said in ((points, False), (points * signs[:, None], True)):
        assert any(words in note for note in clean_cloud(points, normals)[1]) == said
    corners, faces = cube(600)
    assert not clean_cloud(corners, faces)[1]


@pytest.mark.parametrize("normals", [None, sphere(200)], ids=["estimated", "given"])
def test_points_of_a_line_are_refused_and_those_of_a_plane_are_said_to_have_no_inside(normals):
    share = np.random.default_rng(0).random((200, 2))
    for direction in ([1.0, 0, 0], [1.0, 2, 3]):
        with pytest.raises(InputError, match="on one line"):
            clean_cloud(np.outer(share[:, 0], direction) + 7, normals)
    for across in ([0.0, 1, 0], [-2.0, 1, 5]):
        notes = clean_cloud(share @ np.array([[1.0, 2, 3], across]), normals)[1]
        assert any("in one plane: it has no inside" in note for note in notes)
    assert not any("plane" in note for note in clean_cloud(sphere(200), normals)[1])


def test_normals_that_are_all_zero_are_estimated_without_a_warning():
    (note,) = clean_cloud(sphere(200), np.zeros((200, 3)))[1]
    assert note.startswith("its normals are all zero; estimated")
