"""Surfaces are judged by the published definitions, and by corrected ones under other names."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from finer_sdf.evaluation import chamfer, surface_metrics
from finer_sdf.evaluation.chamfer import chamfer_of_samples, nearest_distances, sampling_floor
from finer_sdf.evaluation.inner_walls import outside_of
from finer_sdf.evaluation.iou import PUBLISHED_BOX, RESOLUTION, iou_of, joint_box, occupancy
from finer_sdf.evaluation.surface_distance import f_score
from finer_sdf.evaluation.surface_metrics import compare_surfaces, evaluate, no_surface
from finer_sdf.evaluation.topology import topology_report
from finer_sdf.geometry import Mesh, PointCloud, mesh_distance
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.geometry.reader import read_shape
from finer_sdf.geometry.surface_sampling import SurfaceSamples, sample_surface
from finer_sdf.normalization import Normalization, published_normalization
from tests.core import golden

BOX = Normalization(scale=1.0, offset=(0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def scores() -> dict[str, np.ndarray]:
    return golden.load("metrics/meshes_and_scores")


def golden_mesh(scores: dict[str, np.ndarray], name: str) -> Mesh:
    return Mesh(vertices=scores[f"{name}_vertices"], faces=scores[f"{name}_faces"].astype(np.int64))


def ball(radius: float, *, center: tuple[float, float, float] = (0, 0, 0), subdivisions: int = 5) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(vertices=np.asarray(sphere.vertices) + center, faces=np.asarray(sphere.faces, dtype=np.int64))


def box(low: float, high: float) -> Mesh:
    cube = trimesh.creation.box(bounds=[[low] * 3, [high] * 3])
    return Mesh(vertices=np.array(cube.vertices), faces=np.array(cube.faces, dtype=np.int64))


@pytest.mark.parametrize("other", ["b", "torus"])
def test_chamfer_of_given_samples_is_published(scores, other):
    ours, theirs = scores["a_samples"], scores[f"{other}_samples"]
    key = f"chamfer.a_{other}"
    assert chamfer_of_samples(ours, theirs).l2_sum == pytest.approx(float(scores[key]), rel=1e-12)
    to_other, to_ours = nearest_distances(ours, theirs), nearest_distances(theirs, ours)
    assert np.mean(to_other**2) == pytest.approx(float(scores[f"{key}.mean_square_a_to_{other}"]), rel=1e-12)
    assert np.mean(to_ours**2) == pytest.approx(float(scores[f"{key}.mean_square_{other}_to_a"]), rel=1e-12)


def test_chamfer_of_our_samples_is_published_within_its_noise(scores):
    sets = [sample_surface(golden_mesh(scores, name), count=300_000, seed=i).points for i, name in enumerate("ab")]
    recorded = scores["chamfer.a_b.random_300000_samples"]
    assert chamfer_of_samples(*sets).l2_sum == pytest.approx(recorded.mean(), rel=0.005)


@pytest.fixture(scope="module")
def known_insides() -> dict[tuple, np.ndarray]:
    return {}


@pytest.fixture
def insides(known_insides, monkeypatch) -> Callable[..., np.ndarray]:
    """Compute who is inside which mesh, in which box, once for all tests of the published grids, and for `iou_of`."""

    def found(mesh: Mesh, *, box: np.ndarray, resolution: int, distance: MeshDistance | None = None) -> np.ndarray:
        key = (mesh.vertices.tobytes(), np.asarray(box).tobytes(), resolution)
        if key not in known_insides:
            known_insides[key] = occupancy(mesh, box=box, resolution=resolution, distance=distance)
        return known_insides[key]

    monkeypatch.setattr("finer_sdf.evaluation.iou.occupancy", found)
    return found


@pytest.mark.parametrize("other", ["b", "torus"])
@pytest.mark.parametrize(("name", "resolution"), [("reference_box", 128), ("reference_box", 64), ("tight_box", 128)])
def test_intersection_over_union_is_published_in_every_box(scores, insides, other, name, resolution):
    first, second = golden_mesh(scores, "a"), golden_mesh(scores, other)
    key = f"iou.a_{other}.{name}.n{resolution}"
    where = PUBLISHED_BOX if name == "reference_box" else scores[f"iou.a_{other}.{name}.bounds"]
    if name == "tight_box":
        np.testing.assert_allclose(joint_box(first, second), where, atol=1e-7)
    inside = [insides(mesh, box=where, resolution=resolution) for mesh in (first, second)]
    # One point of the tight box of a and b is 2e-11 from a's surface, and still has to be on its proper side.
    assert counts(*inside) == scores[f"{key}.counts"].tolist()
    found = iou_of(first, second, box=where, resolution=resolution)
    assert found == pytest.approx(float(scores[key]), rel=5e-8)  # recorded in single precision


def counts(first: np.ndarray, second: np.ndarray) -> list[int]:
    """Count the points inside both, either, the first and the second."""
    return [int(each.sum()) for each in (first & second, first | second, first, second)]


@pytest.mark.parametrize("name", ["a", "b", "torus"])
def test_every_point_of_the_published_grid_is_on_the_published_side(scores, insides, name):
    bits = np.unpackbits(scores[f"occupancy.{name}.n128"])[: 128**3].astype(bool).reshape(128, 128, 128)
    assert np.array_equal(insides(golden_mesh(scores, name), box=PUBLISHED_BOX, resolution=RESOLUTION), bits)


def test_samples_are_even_and_lie_on_the_surface():
    samples = sample_surface(box(-0.3, 0.3), count=60_000, seed=0)
    np.testing.assert_allclose(np.abs(samples.points).max(axis=1), 0.3, atol=1e-12)
    on_each = np.bincount(samples.faces, minlength=12)
    np.testing.assert_allclose(on_each, 5000, atol=5 * 70)
    np.testing.assert_allclose((samples.points * samples.normals).sum(axis=1), 0.3, atol=1e-12)


def test_the_floor_is_what_a_surface_scores_against_itself():
    mesh = ball(0.4)
    first, second = (sample_surface(mesh, count=30_000, seed=seed).points for seed in (0, 1))
    floor = sampling_floor(area=mesh.area(), samples=30_000)
    assert chamfer_of_samples(first, second).l2_sum == pytest.approx(floor, rel=0.02)


@pytest.mark.parametrize(
    ("name", "measured"), [("armadillo.obj", 2.85e-6), ("dragon_100k.ply", 2.96e-6), ("bunny.ply", 3.68e-6)]
)
def test_the_floor_of_the_papers_shapes_is_the_measured_one(shared_data, name, measured):
    shape = read_shape(shared_data / "mesh" / name).shape
    area = published_normalization(shape).mesh_to_box(shape).area()
    assert sampling_floor(area=area, samples=300_000) == pytest.approx(measured, rel=0.02)


def test_concentric_spheres_have_known_distances():
    figures = compare_surfaces(ball(0.41), ball(0.40), normalization=BOX, samples=20_000, iou_resolution=64)
    for way in figures["surface_distance"].values():
        for name in ("mean", "rms", "p99", "max"):
            assert way[name] == pytest.approx(0.01, rel=0.05)
    assert figures["hausdorff"] == pytest.approx(0.01, rel=0.05)
    assert figures["iou"] == pytest.approx((0.40 / 0.41) ** 3, abs=0.005)
    assert figures["normal_consistency"] > 0.999
    assert figures["normal_consistency_signed"] > 0.999
    assert figures["normal_angle_median_deg"] < 2
    assert figures["f_score"] == 0.0
    assert figures["watertight"] is True
    # Samples are off sideways too, by what the floor says.
    assert figures["chamfer_l2_sum_excess"] == pytest.approx(2 * 0.01**2, rel=0.03)
    assert 0.01 < figures["chamfer_l1"] < 0.012


def test_a_surface_agrees_with_itself():
    figures = compare_surfaces(ball(0.4), ball(0.4), normalization=BOX, samples=20_000, iou_resolution=48)
    assert figures["surface_distance"]["to_reference"]["max"] < 1e-9
    assert figures["iou"] == figures["iou_published"] == figures["f_score"] == 1.0
    assert abs(figures["chamfer_l2_sum_excess"]) < 0.03 * figures["chamfer_l2_sum_floor"]


def test_figures_are_stated_in_the_references_box():
    normalization = published_normalization(ball(40.0, center=(100, 0, 0)))
    figures = compare_surfaces(
        ball(41.0, center=(100, 0, 0)),
        ball(40.0, center=(100, 0, 0)),
        normalization=normalization,
        samples=5000,
        iou_resolution=16,
    )
    assert figures["surface_distance"]["to_reference"]["rms"] == pytest.approx(0.9 / 80, rel=0.03)


def rough_figures(seed: int) -> dict:
    return compare_surfaces(
        ball(0.41, subdivisions=3), ball(0.4), normalization=BOX, samples=5000, seed=seed, iou_resolution=32
    )


def test_figures_depend_on_the_seed_alone():
    first, other = rough_figures(0), rough_figures(5)
    assert rough_figures(0) == first
    assert first["chamfer_l2_sum"] != other["chamfer_l2_sum"]
    assert first["chamfer_l2_sum"] == pytest.approx(other["chamfer_l2_sum"], rel=0.05)
    assert first["iou"] == other["iou"]


def test_figures_do_not_depend_on_the_pieces(monkeypatch):
    whole = rough_figures(0)
    monkeypatch.setattr(mesh_distance, "PIECE", 700)
    monkeypatch.setattr(chamfer, "_PIECE", 300)
    assert rough_figures(0) == whole


def test_judged_points_are_not_those_that_a_fit_draws(monkeypatch):
    drawn = []

    def recording(mesh: Mesh, **settings) -> SurfaceSamples:
        drawn.append(sample_surface(mesh, **settings).points)
        return sample_surface(mesh, **settings)

    mesh = ball(0.4, subdivisions=2)
    monkeypatch.setattr(surface_metrics, "sample_surface", recording)
    for seed in range(3):
        compare_surfaces(mesh, mesh, normalization=BOX, samples=1000, seed=seed, iou_resolution=4)
    drawn += [sample_surface(mesh, count=1000, seed=seed).points for seed in range(6)]
    assert len({points.tobytes() for points in drawn}) == 2 * 3 + 6


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    return Mesh(vertices=np.concatenate([mesh.vertices for mesh in meshes]), faces=faces)


def test_parts_that_overlap_are_judged_as_their_union():
    """Two balls of radius 0.2 whose centers are 0.2 apart: a cap of height 0.1 of each is within the other."""
    balls = joined(*(ball(0.2, center=(x, 0, 0), subdivisions=2) for x in (-0.1, 0.1)))
    outside = outside_of(balls)
    assert outside.share == pytest.approx(0.1 / 0.4, abs=0.01)  # a cap's share is h / 2r
    assert balls.area() * (1 - outside.share) == pytest.approx(outside.surface.area())
    other_center = np.where(outside.surface.triangles[:, :, :1] > 0, [[-0.1, 0, 0]], [[0.1, 0, 0]])
    beyond = np.linalg.norm(outside.surface.triangles - other_center, axis=2)
    assert beyond.min() > 0.2 - 0.005  # the depth of its facets, 0.003, and a face's side of 0.08 in 64 parts
    assert outside.distance.signed_distance(np.zeros((1, 3)))[0] == pytest.approx(-np.sqrt(0.03), abs=0.005)
    figures = compare_surfaces(ball(0.3, subdivisions=2), balls, normalization=BOX, samples=1000, iou_resolution=8)
    share = f"{100 * outside.share:.1f}"
    assert figures["notes"] == [
        f"{share} % of the reference's surface lies inside it, as where parts overlap; left out"
    ]
    area = outside.surface.area()
    assert figures["chamfer_l2_sum_floor"] == pytest.approx(sampling_floor(area=area, samples=1000))


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_a_mesh_in_another_unit_has_no_inner_walls_and_it_is_said(scale):
    """So far from the reference, single precision takes points a fixed bit beside the surface for any side of it."""
    reference = ball(0.4, subdivisions=2)
    far = Mesh(vertices=scale * (reference.vertices + 3), faces=reference.faces)
    assert outside_of(far).share == 0
    notes = compare_surfaces(far, reference, normalization=BOX, samples=1000)["notes"]
    said = f"the mesh is {scale:.3g} times as large as the reference, and they are apart: both in one unit, one place?"
    assert [note for note in notes if "times as large" in note] == [said]
    for near in (reference, ball(0.8, subdivisions=2)):
        notes = compare_surfaces(near, reference, normalization=BOX, samples=1000)["notes"]
        assert not [note for note in notes if "times as large" in note]


def test_cavities_and_concave_edges_are_no_inner_walls():
    hollow = joined(ball(0.4, subdivisions=3), flipped(ball(0.2, subdivisions=3)))
    corner = np.array([(0, 0), (0.4, 0), (0.4, 0.2), (0.2, 0.2), (0.2, 0.4), (0, 0.4)])
    vertices = np.array([(x, y, z) for z in (0, 0.2) for x, y in corner])
    sides = [f for i in range(6) for f in ((i, (i + 1) % 6, i + 6), ((i + 1) % 6, (i + 1) % 6 + 6, i + 6))]
    lid = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)]
    faces = [*sides, *((a + 6, b + 6, c + 6) for a, b, c in lid), *((c, b, a) for a, b, c in lid)]
    angle = Mesh(vertices=vertices - 0.2, faces=np.array(faces))
    for shape in (hollow, angle):
        assert compare_surfaces(shape, shape, normalization=BOX, samples=5000, iou_resolution=8)["notes"] == []


def flipped(mesh: Mesh) -> Mesh:
    return Mesh(vertices=mesh.vertices, faces=np.ascontiguousarray(mesh.faces[:, ::-1]))


def test_holes_are_noted():
    whole = ball(0.4, subdivisions=3)
    open_ball = Mesh(vertices=whole.vertices, faces=whole.faces[:-2])
    figures = compare_surfaces(whole, open_ball, normalization=BOX, samples=1000, iou_resolution=32)
    assert figures["iou"] > 0.98
    assert [note.split(":")[0] for note in figures["notes"]] == ["the reference is not watertight"]
    figures = compare_surfaces(open_ball, whole, normalization=BOX, samples=1000, iou_resolution=32)
    assert [note.split(":")[0] for note in figures["notes"]] == ["the mesh is not watertight"]
    assert compare_surfaces(whole, whole, normalization=BOX, samples=1000, iou_resolution=8)["notes"] == []


def test_a_mesh_inside_out_is_noticed():
    inside_out = Mesh(vertices=ball(0.4).vertices, faces=ball(0.4).faces[:, ::-1].copy())
    figures = compare_surfaces(inside_out, ball(0.4), normalization=BOX, samples=5000, iou_resolution=32)
    assert figures["normal_consistency_signed"] < -0.99
    assert figures["normal_consistency"] > 0.99
    assert figures["iou"] == 0.0
    assert figures["topology"]["outward"] is False
    assert "inside out" in figures["notes"][0]


def test_a_cloud_leaves_open_what_it_cannot_answer():
    points = ball(0.4).vertices
    cloud = PointCloud(points=points, normals=points / 0.4)
    figures = compare_surfaces(ball(0.41), cloud, normalization=BOX, samples=5000)
    assert figures["iou"] is figures["iou_published"] is figures["f_score"] is figures["hausdorff"] is None
    assert figures["surface_distance"]["to_reference"] is None
    assert figures["surface_distance"]["from_reference"]["rms"] == pytest.approx(0.01, rel=0.05)
    assert figures["normal_consistency"] > 0.99
    assert ["point cloud" in note for note in figures["notes"]] == [True]
    with_mesh = compare_surfaces(ball(0.41), ball(0.4), normalization=BOX, samples=1000, iou_resolution=4)
    assert list(figures) == list(with_mesh)


def test_the_floor_of_a_sparse_cloud_counts_its_points():
    mesh = ball(0.4)
    points = sample_surface(mesh, count=3000, seed=7).points
    cloud = PointCloud(points=points, normals=np.zeros_like(points))
    figures = compare_surfaces(mesh, cloud, normalization=BOX, samples=30_000)
    assert figures["chamfer_l2_sum"] == pytest.approx(figures["chamfer_l2_sum_floor"], rel=0.05)
    assert figures["normal_consistency"] is None


def test_no_surface_has_every_top_figure_of_a_judgment():
    figures = compare_surfaces(ball(0.41), ball(0.4), normalization=BOX, samples=5000, iou_resolution=16)
    assert set(no_surface()) <= set(figures)
    assert set(no_surface().values()) == {None}


def test_f_score_is_the_harmonic_mean():
    near, far = np.array([0.5, 0.5, 2.0, 2.0]), np.array([0.5, 0.5, 0.5, 2.0])
    found = f_score(near, far, threshold=1.0)
    assert found == {"precision": 0.5, "recall": 0.75, "f_score": pytest.approx(0.6)}


def test_cubes_overlap_by_the_points_they_hold():
    grid = np.array([[-0.5] * 3, [0.5] * 3])
    cubes = box(-0.405, 0.095), box(-0.095, 0.405)
    inside = [occupancy(cube, box=grid, resolution=101) for cube in cubes]
    assert counts(*inside) == [19**3, 2 * 50**3 - 19**3, 50**3, 50**3]
    assert iou_of(*cubes, box=grid, resolution=101) == 19**3 / (2 * 50**3 - 19**3)


def test_a_grid_that_meets_neither_inside_tells_no_overlap():
    """Insides of a thousandth of the grid's step: its corners alone come near them, from outside."""
    far = trimesh.creation.box(extents=(3, 2, 1)).apply_translation([5000, 0, 0])
    reference = trimesh.creation.icosphere(subdivisions=2, radius=2.0)
    figures = evaluate(far, reference, samples=1000)
    assert figures["iou"] is None and figures["iou_published"] == 0.0
    assert figures["notes"] == [
        "the mesh is 0.75 times as large as the reference, and they are apart: both in one unit, one place?",
        "iou is not known: its grid of 128 points an axis meets the inside of neither surface",
    ]
    plate = Mesh(vertices=box(-0.4, 0.4).vertices * [1, 1, 1e-4] + [0, 0, 0.1], faces=box(-0.4, 0.4).faces)
    other = Mesh(vertices=plate.vertices + [0, 0, 0.11], faces=plate.faces)
    figures = compare_surfaces(plate, other, normalization=BOX, samples=1000, iou_resolution=8)
    assert figures["iou_published"] is None
    assert [note.split(" is ")[0] for note in figures["notes"] if "neither" in note] == ["iou_published"]
    assert json.loads(json.dumps(figures))["iou_published"] is None


@pytest.mark.parametrize("gap", [1e-8, 1e-10, 1e-12])
def test_points_next_to_the_surface_are_on_their_side(gap):
    turned = trimesh.transformations.rotation_matrix(0.3, [1, 2, 3])
    cube = trimesh.creation.box(extents=[0.4, 0.4, 0.4], transform=turned).subdivide().subdivide()
    mesh = Mesh(vertices=np.array(cube.vertices), faces=np.array(cube.faces, dtype=np.int64))
    for side in (-1, 1):
        wrong = 0
        samples = sample_surface(mesh, count=40, seed=0)
        for point in samples.points + side * gap * samples.normals:
            # A grid of three points an axis, whose middle is the point.
            grid = np.stack([point - 0.05, point + 0.05])
            wrong += occupancy(mesh, box=grid, resolution=3)[1, 1, 1] != (side < 0)
        assert wrong == 0


@pytest.mark.parametrize("left", [None, 700], ids=["closed", "open"])
def test_points_that_are_not_asked_have_the_side_that_they_would_be_told(left):
    """Those beyond a mesh's box, and blocks far from its surface; without its faces' half, sides change elsewhere."""
    whole = ball(0.1, center=(0.2, -0.1, 0.3), subdivisions=3)
    mesh = Mesh(vertices=whole.vertices, faces=whole.faces[:left])
    assert MeshDistance(mesh).is_closed == (left is None)
    for low, high in ((-1.0, 1.0), (0.05, 0.35)):
        grid = np.array([[low, low - 0.31, low + 0.12], [high, high - 0.31, high + 0.12]])
        axes = [np.linspace(*ends, 41) for ends in grid.T]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        within = ((points >= mesh.bounds[0]) & (points <= mesh.bounds[1])).all(axis=1)
        every = (MeshDistance(mesh).inside(points) & within).reshape(41, 41, 41)
        assert every.any()
        assert np.array_equal(occupancy(mesh, box=grid, resolution=41), every)


def test_a_mesh_outside_the_grid_holds_none_of_it():
    assert not occupancy(ball(0.1, center=(5, 0, 0), subdivisions=2), box=PUBLISHED_BOX, resolution=8).any()


TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], dtype=np.int64)
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float64)


def test_topology_of_a_torus():
    torus = trimesh.creation.torus(0.3, 0.1)
    report = topology_report(Mesh(vertices=np.array(torus.vertices), faces=np.array(torus.faces, dtype=np.int64)))
    assert (report["genus"], report["components"], report["euler_number"]) == (1, 1, 0)
    assert report["watertight"] is report["manifold"] is report["outward"] is True


def test_topology_of_a_mesh_with_a_hole():
    report = topology_report(Mesh(vertices=CORNERS, faces=TETRAHEDRON[:3]))
    assert (report["watertight"], report["manifold"], report["boundary_edges"]) == (False, True, 3)
    assert report["genus"] is report["outward"] is report["volume"] is None, "it encloses nothing"


def test_topology_of_two_tetrahedra_that_share_an_edge():
    vertices = np.vstack([CORNERS, [[0, -1, 0], [0, 0, -1]]]).astype(np.float64)
    second = np.array([0, 1, 4, 5])[TETRAHEDRON]
    report = topology_report(Mesh(vertices=vertices, faces=np.vstack([TETRAHEDRON, second])))
    assert (report["manifold"], report["watertight"], report["non_manifold_edges"]) == (False, False, 1)


def test_topology_of_two_tetrahedra_that_share_a_vertex():
    vertices = np.vstack([CORNERS, -CORNERS[1:]])
    second = np.array([0, 4, 5, 6])[TETRAHEDRON[:, ::-1]]
    report = topology_report(Mesh(vertices=vertices, faces=np.vstack([TETRAHEDRON, second])))
    assert (report["manifold"], report["watertight"], report["non_manifold_vertices"]) == (False, True, 1)
    assert report["components"] == 1


def test_topology_ignores_a_face_that_names_a_vertex_twice():
    collapsed = np.array([[0, 1, 1], [2, 2, 2]])
    report = topology_report(Mesh(vertices=CORNERS, faces=np.vstack([TETRAHEDRON, collapsed])))
    assert (report["watertight"], report["manifold"], report["euler_number"]) == (True, True, 2)
    assert report["degenerate_faces"] == 2


def test_topology_of_a_face_without_area():
    vertices = np.vstack([CORNERS, [[0.5, 0, 0]]])
    faces = np.vstack([TETRAHEDRON[2:], [[0, 2, 1], [0, 4, 3], [4, 1, 3], [0, 1, 4]]])
    report = topology_report(Mesh(vertices=vertices, faces=faces))
    assert (report["watertight"], report["degenerate_faces"]) == (True, 1)


def test_topology_of_a_face_that_is_turned_over():
    faces = TETRAHEDRON.copy()
    faces[0] = faces[0][::-1]
    report = topology_report(Mesh(vertices=CORNERS, faces=faces))
    assert (report["watertight"], report["inconsistent_edges"]) == (False, 3)


def test_topology_of_two_balls():
    both = [ball(0.1, subdivisions=2), ball(0.1, center=(0.3, 0, 0), subdivisions=2)]
    count = len(both[0].vertices)
    mesh = Mesh(vertices=np.vstack([m.vertices for m in both]), faces=np.vstack([both[0].faces, both[1].faces + count]))
    report = topology_report(mesh)
    assert (report["components"], report["genus"]) == (2, 0)
