"""Meshes of fields with a formula: closed, outward, of the right topology and in the right place."""

import re

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_sdf.meshing import check_resolution, extract_mesh
from tests.sdf.distance_fields import as_trimesh, assert_closed, sphere, torus, union, volume_of_sphere


@pytest.mark.parametrize("resolution", [33, 97, 130])
def test_a_sphere_is_closed_outward_and_in_place(resolution):
    center = (0.05, -0.03, 0.11)
    mesh = extract_mesh(sphere(center=center), resolution=resolution).mesh
    assert_closed(mesh)
    assert as_trimesh(mesh).euler_number == 2
    radius = np.linalg.norm(mesh.vertices - center, axis=1)
    step = 1 / (resolution - 1)
    # linear interpolation along an edge of length h is off by at most h^2 / (8 r), inwards
    assert radius.max() < 0.3 + 1e-6 and radius.min() > 0.3 - step**2 / (8 * 0.3) - 1e-6
    assert mesh.volume() == pytest.approx(volume_of_sphere(0.3), rel=20 * step**2)


def test_a_torus_has_one_hole():
    mesh = extract_mesh(torus, resolution=90).mesh
    assert_closed(mesh)
    assert as_trimesh(mesh).euler_number == 0
    assert mesh.volume() == pytest.approx(2 * np.pi**2 * 0.28 * 0.12**2, rel=0.01)


def test_two_spheres_are_two_bodies():
    both = union(sphere(radius=0.15, center=(0.2, 0.2, 0.2)), sphere(radius=0.1, center=(-0.25, 0, 0)))
    mesh = extract_mesh(both, resolution=100).mesh
    assert_closed(mesh)
    assert as_trimesh(mesh).body_count == 2
    assert mesh.volume() == pytest.approx(volume_of_sphere(0.15) + volume_of_sphere(0.1), rel=0.01)


def test_a_thin_shell_has_an_inside_that_looks_inwards():
    mesh = extract_mesh(lambda x: sphere()(x).abs() - 0.008, resolution=128).mesh  # two cells thick
    assert_closed(mesh)
    parts = sorted(part.volume for part in as_trimesh(mesh).split(only_watertight=False))
    assert parts[0] == pytest.approx(-volume_of_sphere(0.292), rel=0.01)
    assert parts[1] == pytest.approx(volume_of_sphere(0.308), rel=0.01)


def test_a_surface_that_leaves_the_box_is_open_at_its_sides():
    mesh = extract_mesh(lambda x: x[:, 2:] - 0.123, resolution=70).mesh
    np.testing.assert_allclose(mesh.vertices[:, 2], 0.123, atol=1e-6)
    assert mesh.area() == pytest.approx(1.0, abs=1e-6)
    assert (mesh.face_vectors()[:, 2] > 0).all()
    edges = np.sort(np.concatenate([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    np.testing.assert_array_equal(np.abs(mesh.vertices[unique[uses == 1], :2]).max(axis=2), 0.5)
    assert (uses == 1).sum() == 4 * 69 and uses.max() == 2


@pytest.mark.parametrize("outward", [1, -1])
def test_zeros_at_grid_points_leave_no_cracks_and_no_double_vertices(outward):
    # 15^2 = 2^2 + 5^2 + 14^2 = 5^2 + 10^2 + 10^2 = ...: the distance is exactly zero at many grid points
    exact = lambda x: outward * ((64 * x).norm(dim=1, keepdim=True) - 15) / 64  # noqa: E731
    mesh = extract_mesh(exact, resolution=65).mesh
    assert_closed(mesh)
    assert outward * mesh.volume() == pytest.approx(volume_of_sphere(15 / 64), rel=0.01)
    at_points = (mesh.vertices * 64 == np.rint(mesh.vertices * 64)).all(axis=1)
    squares = np.arange(-15, 16) ** 2
    assert at_points.sum() == (squares[:, None, None] + squares[:, None] + squares == 15**2).sum()


def test_a_box_along_grid_planes_is_exact():
    mesh = extract_mesh(lambda x: x.abs().amax(dim=1, keepdim=True) - 0.25, resolution=65).mesh
    assert_closed(mesh)
    assert mesh.volume() == pytest.approx(0.125, abs=1e-12)
    np.testing.assert_array_equal(np.abs(mesh.vertices).max(axis=1), 0.25)
    assert as_trimesh(mesh).euler_number == 2


def test_a_hole_along_grid_planes_has_its_faces_on_them():
    # zeros belong to the solid, whose inner edges are then bevelled by less than a cell
    mesh = extract_mesh(lambda x: 0.25 - x.abs().amax(dim=1, keepdim=True), resolution=65).mesh
    assert_closed(mesh)
    np.testing.assert_array_equal(np.abs(mesh.vertices).max(axis=1), 0.25)
    assert -0.125 < mesh.volume() < -0.125 + 12 * 0.5 / 64**2


def test_another_level_is_another_surface():
    mesh = extract_mesh(sphere(radius=0.3), resolution=80, level=0.07).mesh
    assert np.linalg.norm(mesh.vertices, axis=1).mean() == pytest.approx(0.37, abs=1e-4)


@pytest.mark.parametrize("resolution", [2, 3, 4, 5, 6])
def test_the_smallest_grids_work(resolution):
    found = extract_mesh(lambda x: x[:, :1] - 0.1, resolution=resolution)
    np.testing.assert_allclose(found.mesh.vertices[:, 0], 0.1, atol=1e-6)
    assert found.mesh.area() == pytest.approx(1.0)


@pytest.mark.parametrize(("sparse", "resolution"), [(True, 150), (False, 70)])
def test_progress_ends_with_all_points(sparse, resolution):
    calls: list[tuple[int, int]] = []
    extract_mesh(torus, resolution=resolution, sparse=sparse, on_points=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert done == sorted(set(done)) and len(done) > 1
    assert calls[-1][0] == calls[-1][1]


def test_work_grows_with_the_surface_and_not_with_the_volume():
    small, large = (extract_mesh(torus, resolution=n).points for n in (129, 257))
    assert large < 5 * small
    assert large < 0.05 * 257**3


@pytest.mark.parametrize("sparse", [True, False])
def test_no_level_set_is_named_with_the_values_seen(sparse):
    with pytest.raises(InputError, match=r"no zero level set in its box \(values seen: 0\.1 to 0\.9\d*\)") as error:
        extract_mesh(lambda x: x.norm(dim=1, keepdim=True) + 0.1, resolution=41, sparse=sparse)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("level", [float("inf"), -float("inf"), float("nan"), 1e300, 1e25, -1e10])
@pytest.mark.parametrize("sparse", [True, False])
def test_a_level_that_no_distance_reaches_is_refused_before_the_work(sparse, level):
    def field(x):
        raise AssertionError("the field was asked")

    with pytest.raises(InputError, match=re.escape(f"a level of {level:g} is no distance")) as error:
        extract_mesh(field, resolution=41, sparse=sparse, level=level * 0.5, level_unit=0.5)
    assert "the box is 2 wide; choose a level below that" in str(error.value)


@pytest.mark.parametrize(("bad", "name"), [(float("nan"), "nan"), (float("inf"), "inf")])
@pytest.mark.parametrize("sparse", [True, False])
def test_a_field_that_is_not_finite_is_refused_with_the_place(sparse, bad, name):
    def field(x):
        values = sphere()(x)
        return torch.where((x[:, :1] > 0.25) & (values < 0.01), bad, values)

    with pytest.raises(InputError, match=rf"the field is {name} at \((?P<x>[-.\d]+), [-.\d]+, [-.\d]+\)") as error:
        extract_mesh(field, resolution=60, sparse=sparse)
    assert float(re.search(r"at \(([-.\d]+)", str(error.value))[1]) > 0.25


@pytest.mark.parametrize("resolution", [1, 0, -5])
def test_a_grid_needs_two_points(resolution):
    for refused in (check_resolution, lambda n: extract_mesh(torus, resolution=n)):
        with pytest.raises(InputError, match=f"at least 2 points per axis, got {resolution}"):
            refused(resolution)


def largest_named(error: pytest.ExceptionInfo) -> int:
    assert "\n" not in str(error.value)
    return int(re.search(r"the largest that fits is about (\d+)", str(error.value))[1])


@pytest.mark.parametrize("sparse", [True, False])
def test_a_grid_too_large_for_the_memory_names_the_largest_that_fits(sparse):
    with pytest.raises(InputError, match=r"resolution 20000 needs about .* GB, more than the 4 GB") as error:
        check_resolution(20000, memory=4 * 10**9, sparse=sparse)
    largest = largest_named(error)
    assert 1500 < largest < 3000
    check_resolution(largest, memory=4 * 10**9, sparse=sparse)
    with pytest.raises(InputError, match="no resolution fits"):
        check_resolution(64, memory=10**8, sparse=sparse)


def test_a_surface_larger_than_usual_is_refused_before_most_of_the_work():
    points = 0

    def layers(x):  # 13 sheets
        nonlocal points
        points += len(x)
        return (40 * x[:, :1]).sin() / 40

    with pytest.raises(InputError, match="resolution 513 needs about") as error:
        extract_mesh(layers, resolution=513, memory=700 * 10**6)
    assert points < 0.01 * 513**3
    largest = largest_named(error)
    assert extract_mesh(layers, resolution=largest, memory=700 * 10**6).mesh.area() == pytest.approx(13, rel=1e-4)


def test_the_default_memory_takes_a_grid_of_2048():
    check_resolution(2048)
