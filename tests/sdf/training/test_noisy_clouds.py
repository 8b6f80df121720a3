"""Noisy clouds without normals: noise is measured, normals and surface are those beneath it, and holes close."""

import dataclasses

import igl
import numpy as np
import pytest

from finer_core.errors import InputError
from finer_sdf import PointCloud, fit
from finer_sdf.evaluation.topology import topology_report
from finer_sdf.geometry.clouds.noise import Noise, measure_noise
from finer_sdf.geometry.clouds.normals import estimate_noisy_normals, estimate_normals
from finer_sdf.inputs import as_shape
from finer_sdf.normalization import Normalization, published_normalization
from finer_sdf.training import smooth_surface as smoothing
from finer_sdf.training.smooth_rows import hessian_rows, interpolation_rows
from finer_sdf.training.smooth_surface import smooth_surface, zero_set
from finer_sdf.training.targets import CloudTarget, MeshTarget, target_of
from tests.sdf.geometry.test_cloud_normals import angles, sphere, torus


def moved(points: np.ndarray, deviation: float) -> np.ndarray:
    return points + np.random.default_rng(3).normal(scale=deviation, size=points.shape)


def in_box(points: np.ndarray) -> PointCloud:
    shape = as_shape(points).shape
    return published_normalization(shape).shape_to_box(shape)


@pytest.mark.parametrize("deviation", [0.02, 0.06])
def test_noise_is_measured_along_the_normal_in_any_unit(deviation):
    noise = measure_noise(50 * moved(sphere(8000), deviation) + 7)
    assert noise.hides_the_surface
    assert noise.deviation == pytest.approx(50 * deviation, rel=0.15)
    assert noise.spacing == pytest.approx(50 * np.sqrt(4 * np.pi / 8000), rel=0.25)


@pytest.mark.parametrize("points", [sphere(3000), torus(6000)[0], np.linspace(0, 1, 150).reshape(50, 3)], ids=len)
def test_points_on_a_surface_have_no_noise_that_matters(points):
    assert not measure_noise(points).hides_the_surface


def test_points_that_fill_a_volume_lie_about_no_surface():
    assert measure_noise(np.random.default_rng(0).uniform(size=(8000, 3))).deviation == 0


def test_normals_come_from_beneath_the_noise():
    clean, normals = torus(12_000)
    points = moved(clean, 0.03)
    narrow = angles(estimate_normals(points), normals)
    wide = angles(estimate_noisy_normals(points, noise=measure_noise(points)), normals)
    assert np.median(wide) < 8 and np.median(narrow) > 2 * np.median(wide)
    assert (wide < 90).mean() > 0.995


def with_rods(count: int, *, radius: float, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy points of a sphere of radius 0.4 with six thin rods, and their normals."""
    random = np.random.default_rng(5)
    body = random.normal(size=(count // 2, 3))
    body /= np.linalg.norm(body, axis=1, keepdims=True)
    body = body[np.sqrt(1 - np.max(body**2, axis=1)) > radius / 0.4]  # not where a rod begins
    points, normals = [0.4 * body], [body]
    for axis in (*np.eye(3), *-np.eye(3)):
        angle, along = random.uniform(0, 2 * np.pi, count // 12), random.uniform(0.39, 0.85, count // 12)
        out = np.cos(angle)[:, None] * np.roll(axis, 1) + np.sin(angle)[:, None] * np.roll(axis, 2)
        points.append(along[:, None] * axis + radius * out)
        normals.append(out)
    clean = np.concatenate(points)
    return clean + random.normal(scale=deviation, size=clean.shape), np.concatenate(normals)


@pytest.mark.parametrize("count", [20_000, 60_000])
def test_details_are_not_taken_for_noise_and_thin_rods_keep_their_sides(count):
    points, normals = with_rods(count, radius=0.04, deviation=0.012)
    noise = measure_noise(points)
    assert noise.deviation == pytest.approx(0.012, rel=0.15)
    found = estimate_noisy_normals(points, noise=noise)
    assert (np.einsum("ni,ni->n", found, normals) < 0).mean() < 0.01


def test_what_is_chosen_is_said():
    loaded = as_shape(100 * moved(sphere(4000), 0.04))
    assert loaded.shape.noise == pytest.approx(4, rel=0.2)
    assert "points lie about" in loaded.notes[0] and "smooth surface" in loaded.notes[0]
    loaded = as_shape(100 * sphere(4000))
    assert loaded.shape.noise == 0
    assert loaded.notes == ("it has no normals; estimated them from the nearest points, looking outwards",)


def test_noise_has_the_units_of_the_points_and_may_be_given():
    cloud = PointCloud(points=5 * sphere(2000), normals=sphere(2000), noise=0.4)
    for noise in (-0.4, np.nan, np.inf, 1e9):
        with pytest.raises(InputError, match=r"its noise must be a length of 0 to its size of [\d.]+, not "):
            as_shape(dataclasses.replace(cloud, noise=noise))
    assert as_shape(cloud).shape.noise == 0.4
    boxed = Normalization(scale=0.1, offset=(0.0, 0.0, 0.0)).shape_to_box(cloud)
    assert isinstance(boxed, PointCloud) and boxed.noise == pytest.approx(0.04)
    assert isinstance(target_of(boxed), MeshTarget)
    exact = PointCloud(points=boxed.points, normals=boxed.normals)
    assert isinstance(target_of(exact), CloudTarget)


def test_the_surface_is_closed_over_a_hole_with_the_bend_of_its_surroundings():
    """A flat lid, which a harmonic function makes, would lie 0.1 of the radius below the top of the hole."""
    clean = sphere(12_000)
    clean = clean[clean[:, 2] < 0.9]
    shape = as_shape(moved(clean, 0.08)).shape
    normalization = published_normalization(shape)
    mesh = normalization.mesh_to_input(smooth_surface(normalization.shape_to_box(shape)))
    away = np.linalg.norm(mesh.vertices, axis=1) - 1
    top = mesh.vertices[:, 2] > 0.93
    assert np.abs(away).mean() < 0.02  # a quarter of the noise
    assert top.any() and np.abs(away[top]).max() < 0.05
    assert mesh.volume() == pytest.approx(4 / 3 * np.pi, rel=0.05)  # its faces look outwards
    report = topology_report(mesh)
    assert report["watertight"] and report["components"] == 1


def test_long_tails_of_the_noise_do_not_pull_at_the_surface():
    """Displacements of normal length in random directions, as some scans have: with even weights it is 0.0107 off."""
    clean, random = sphere(12_000), np.random.default_rng(1)
    shape = as_shape(clean + 0.15 * random.normal(size=(len(clean), 1)) * sphere(len(clean), seed=2)).shape
    normalization = published_normalization(shape)
    mesh = normalization.mesh_to_input(smooth_surface(normalization.shape_to_box(shape)))
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).mean() < 0.0104


def test_parts_stay_and_strays_make_none(monkeypatch):
    """Thirty points far from the surface are none of it."""
    monkeypatch.setattr(smoothing, "_WHOLE", (33,))
    monkeypatch.setattr(smoothing, "_NARROW", ())
    random = np.random.default_rng(0)
    strays = random.uniform(-1, 1, size=(30, 3)) + (2.2, 0, 1.2)
    parts = np.concatenate([sphere(6000), 0.6 * sphere(3000, seed=1) + (2.2, 0, 0)])
    cloud = in_box(np.concatenate([moved(parts, 0.09), strays]))
    assert topology_report(smooth_surface(cloud))["components"] == 2


def test_winding_numbers_are_asked_for_once_a_grid(monkeypatch):
    """They take longer than all else; the solutions with other weights of the points are told the same."""
    asked, told = [], []
    number, solved = igl.fast_winding_number, smoothing._solved
    monkeypatch.setattr(smoothing, "_solved", lambda *given, **how: told.append(how["weight"]) or solved(*given, **how))
    monkeypatch.setattr(igl, "fast_winding_number", lambda *given: asked.append(len(given[-1])) or number(*given))
    monkeypatch.setattr(smoothing, "_WHOLE", (9, 17))
    monkeypatch.setattr(smoothing, "_NARROW", ())
    smooth_surface(in_box(moved(sphere(1500), 0.08)))
    assert len(asked) == 2 and asked[0] == 9**3
    assert len(told) == 2 + smoothing._WEIGHTINGS and all(weight is told[1] for weight in told[2:])


def test_a_grid_without_a_change_of_sign_is_refused():
    with pytest.raises(InputError, match="no surface can be seen"):
        zero_set(np.ones((4, 4, 4)))


def test_rows_are_exact_for_what_they_interpolate():
    """Trilinear functions are met by the values and slopes, and quadratic ones by the second differences."""
    index = np.arange(5**3).reshape(5, 5, 5)
    x, y, z = np.meshgrid(*3 * [np.linspace(-0.5, 0.5, 5)], indexing="ij")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, size=(50, 3))
    values = (2 * x * y - z + 3).ravel()
    assert interpolation_rows(points, index) @ values == pytest.approx(
        2 * points[:, 0] * points[:, 1] - points[:, 2] + 3
    )
    assert interpolation_rows(points, index, along=1) @ values == pytest.approx(2 * points[:, 0])
    squares = (hessian_rows(index) @ (x * x - 3 * y * z).ravel()) ** 2
    assert squares[squares > 1e-9] == pytest.approx([4.0] * 75 + [18.0] * 80)


def test_a_fit_learns_the_surface_beneath_the_noise():
    points = moved(sphere(4000), 0.08)
    network = {"hidden_features": 32, "hidden_layers": 1, "first_omega_0": 5.0, "hidden_omega_0": 5.0}
    model, _ = fit(points, steps=300, samples=4000, batch_points=512, network=network, seed=0)
    assert "smooth surface" in " ".join(model.shape["notes"])
    assert np.abs(model(sphere(500, seed=2))).mean() < 0.03
    assert model([[0.0, 0.0, 0.0]])[0] < -0.7 < 0.1 < model([[1.2, 0.0, 0.0]])[0]


def test_noise_is_a_plain_number():
    assert Noise(deviation=0.3, spacing=1.0).hides_the_surface is False
