"""The built-in shape's distance is exact, its mesh lies on it, and its parts are apart."""

import itertools

import numpy as np
import pytest
import trimesh

from finer_sdf.config import BUILT_IN
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.armillary import CHORD, builtin_parts, builtin_shape
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.geometry.primitives import RoundedBox, Torus
from finer_sdf.normalization import SHAPE_HALF_SIDE, published_normalization
from tests.sdf.solid_distances import distance_to

GAP = 0.0115
"""No two parts of the built-in shape are closer than this."""
AXES = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
SOLIDS = {
    "ball": RoundedBox(center=np.array([1.0, 2, 3]), axes=AXES, half=(0, 0, 0), radius=0.5),
    "capsule": RoundedBox(center=np.zeros(3), axes=AXES, half=(0, 0.7, 0), radius=0.1),
    "plate": RoundedBox(center=np.zeros(3), axes=AXES, half=(0.5, 0, 0.3), radius=0.1),
    "box": RoundedBox(center=np.ones(3), axes=AXES, half=(0.5, 0.2, 0.3), radius=0.1),
    "torus": Torus(center=np.array([1.0, 0, 0]), axes=AXES, major=0.6, minor=0.2),
}


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    shape = builtin_shape().shape
    assert isinstance(shape, Mesh)
    return shape


def builtin_distance(points: np.ndarray) -> np.ndarray:
    """Return the exact signed distance of points (n, 3) to the built-in shape's true surface, negative inside, (n,).

    Formula: the smallest of the parts' distances. Outside, the nearest of several solids is the nearest. Inside one,
    that is exact because the solids are disjoint: the way to any other part's surface leaves this part first, and all
    other distances are positive.
    """
    nearest = np.full(len(points), np.inf)
    for part in builtin_parts():
        long = np.linalg.norm(part.half) + part.radius if isinstance(part, RoundedBox) else part.major + part.minor
        # Nothing of it is outside the ball around it, so that only points near that need its formula.
        asked = np.flatnonzero(np.linalg.norm(points - part.center, axis=1) - long < nearest)
        nearest[asked] = np.minimum(nearest[asked], distance_to(part, points[asked]))
    return nearest


def on_faces(mesh: Mesh, *, count: int = 4) -> np.ndarray:
    """Return points inside every face, the middles of its edges among them."""
    weights = np.concatenate([[[0.5, 0.5, 0], [0, 0.5, 0.5]], np.random.default_rng(0).dirichlet((1, 1, 1), count)])
    return np.einsum("kc,ncd->knd", weights, mesh.triangles).reshape(-1, 3)


@pytest.mark.parametrize("name", SOLIDS)
def test_every_kind_of_solid_agrees_with_its_mesh(name):
    solid = SOLIDS[name]
    mesh = solid.mesh(chord=2e-4)
    assert np.abs(distance_to(solid, mesh.vertices)).max() < 1e-14
    assert np.abs(distance_to(solid, on_faces(mesh))).max() <= 2e-4
    made = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert made.is_watertight and made.is_winding_consistent and mesh.volume() > 0
    assert made.euler_number == (0 if name == "torus" else 2)
    low, high = mesh.bounds
    points = np.random.default_rng(0).uniform(low - 0.2, high + 0.2, size=(4000, 3))
    assert np.abs(MeshDistance(mesh).signed_distance(points) - distance_to(solid, points)).max() < 2.5e-4


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("ball", 4 / 3 * np.pi * 0.5**3),
        ("capsule", 4 / 3 * np.pi * 0.1**3 + 1.4 * np.pi * 0.1**2),
        ("plate", 4 / 3 * np.pi * 0.1**3 + np.pi * 0.1**2 * 1.6 + 2 * 0.1 * 0.6),
        ("torus", 2 * np.pi**2 * 0.6 * 0.2**2),
    ],
)
def test_volumes_of_solids(name, volume):
    assert SOLIDS[name].mesh(chord=4e-5).volume() == pytest.approx(volume, rel=2e-3)


def test_the_mesh_is_watertight_and_has_a_component_and_a_handle_for_every_part(mesh):
    made = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert made.is_watertight and made.is_winding_consistent
    assert made.body_count == len(builtin_parts()) == 50
    rings = sum(isinstance(part, Torus) for part in builtin_parts())
    assert made.euler_number == 2 * (50 - rings) and rings == 5
    assert 100_000 < len(mesh.faces) < 200_000


def test_vertices_lie_on_the_surface_and_faces_within_the_chord(mesh):
    assert np.abs(builtin_distance(mesh.vertices)).max() < 1e-14
    distance = builtin_distance(on_faces(mesh, count=1))
    assert 0.9 * CHORD < np.abs(distance).max() <= CHORD
    coarse = builtin_shape(chord=8e-4).shape
    assert isinstance(coarse, Mesh) and len(coarse.faces) < len(mesh.faces) / 5
    assert 5 * CHORD < np.abs(builtin_distance(on_faces(coarse))).max() <= 8 * CHORD


def test_the_mesh_distance_agrees_with_the_exact_one(mesh):
    rng = np.random.default_rng(1)
    near = mesh.vertices[rng.choice(len(mesh.vertices), 4000)] + rng.laplace(scale=0.01, size=(4000, 3))
    points = np.concatenate([near, rng.uniform(-0.55, 0.55, size=(6000, 3))])
    exact = builtin_distance(points)
    assert np.abs(MeshDistance(mesh).signed_distance(points) - exact).max() < 1.1 * CHORD
    assert 500 < (exact < 0).sum() < 5000


def test_parts_are_apart(mesh):
    parts = builtin_parts()
    meshes = [part.mesh(chord=5e-4) for part in parts]
    gaps = [
        distance_to(parts[one], meshes[other].vertices).min()
        for one, other in itertools.permutations(range(len(parts)), 2)
    ]
    assert min(gaps) > GAP


def test_the_distance_has_slope_one_and_leads_to_the_surface():
    points = np.random.default_rng(2).uniform(-0.5, 0.5, size=(5000, 3))
    step = 1e-6
    ahead, behind = (np.stack([builtin_distance(points + s * step * axis) for axis in np.eye(3)]) for s in (1, -1))
    gradient = (ahead - behind).T / (2 * step)
    slope = np.linalg.norm(gradient, axis=1)
    smooth = np.abs(slope - 1) < 1e-5  # not where two parts, or sides of one, are equally near
    assert smooth.mean() > 0.999
    reached = points - builtin_distance(points)[:, None] * gradient
    assert np.abs(builtin_distance(reached[smooth])).max() < 1e-5


def test_details_are_fine_but_wide_enough_for_a_grid_of_256(mesh):
    frame = published_normalization(mesh)
    cell = 1 / 255
    thinnest = min(part.radius if isinstance(part, RoundedBox) else part.minor for part in builtin_parts())
    assert 3 * cell < thinnest * frame.scale < 4 * cell
    assert GAP * frame.scale > 2.5 * cell
    corners = frame.mesh_to_box(mesh).bounds
    assert np.ptp(corners, axis=0).max() == pytest.approx(2 * SHAPE_HALF_SIDE) and np.ptp(corners, axis=0).min() > 0.8


def test_name_digest_and_pieces():
    first, second = builtin_shape(chord=1e-3), builtin_shape(chord=1e-3)
    assert first.name == BUILT_IN == "armillary" and first.notes == ()
    assert first.sha256 == second.sha256 != builtin_shape(chord=2e-3).sha256
    assert len(bytes.fromhex(first.sha256)) == 32
    assert np.array_equal(first.shape.vertices, second.shape.vertices)
    assert builtin_distance(np.zeros((1, 3)))[0] == pytest.approx(-0.13)
    assert builtin_distance(np.array([[0, 0, 50.0]]))[0] == pytest.approx(50 - 0.46, abs=0.05)
