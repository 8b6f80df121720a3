"""Surfaces of every format are read whole, repaired where they can be, and what was done is said."""

import igl
import numpy as np
import pytest
import trimesh

from finer_core.errors import InputError
from finer_core.io.files import sha256_of_file
from finer_sdf.formats import SUFFIXES
from finer_sdf.geometry import Mesh, PointCloud
from finer_sdf.geometry.edges import Edges
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.geometry.reader import read_shape


def ball(subdivisions: int = 2, *, radius: float = 1.0, center: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(vertices=np.array(made.vertices) + center, faces=np.array(made.faces, dtype=np.int64))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    return Mesh(vertices=np.concatenate([mesh.vertices for mesh in meshes]), faces=faces)


def flipped(mesh: Mesh) -> Mesh:
    return Mesh(vertices=mesh.vertices, faces=np.ascontiguousarray(mesh.faces[:, ::-1]))


def read_mesh(folder, vertices, faces):
    """Write the arrays as they are and read them; return mesh and notes."""
    np.savez(folder / "mesh.npz", vertices=vertices, faces=faces)
    loaded = read_shape(folder / "mesh.npz")
    assert isinstance(loaded.shape, Mesh)
    return loaded.shape, loaded.notes


def read(folder, mesh: Mesh):
    return read_mesh(folder, mesh.vertices, mesh.faces)


def is_closed(mesh: Mesh) -> bool:
    return bool(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight)


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "off", "glb", "gltf"])
def test_a_mesh_is_the_same_from_every_format(tmp_path, suffix):
    made = trimesh.Trimesh(*vars_of(ball(center=(3, -2, 5))), process=False)
    path = tmp_path / f"ball.{suffix}"
    if suffix == "gltf":
        for name, content in trimesh.exchange.gltf.export_gltf(trimesh.Scene(made)).items():
            (tmp_path / name.replace("model.gltf", "ball.gltf")).write_bytes(content)
    else:
        made.export(path)
    loaded = read_shape(path)
    assert loaded.name == path.name and loaded.sha256 == sha256_of_file(path)
    shape = loaded.shape
    assert shape.vertices.dtype == np.float64 and shape.faces.dtype == np.int64
    assert (len(shape.vertices), len(shape.faces)) == (162, 320) and is_closed(shape)
    assert shape.volume() == pytest.approx(made.volume, rel=1e-5)
    assert np.allclose(shape.bounds, made.bounds, atol=1e-5)
    assert loaded.notes == (("merged 798 vertices with others at the same place",) if suffix == "stl" else ())


def vars_of(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.vertices, mesh.faces


def test_every_known_format_is_tested():
    assert set(SUFFIXES) == {".ply", ".obj", ".stl", ".off", ".glb", ".gltf", ".xyz", ".npz", ".npy"}


def test_an_upper_case_suffix_is_known(tmp_path):
    trimesh.creation.box().export(tmp_path / "a.stl")
    (tmp_path / "a.stl").rename(tmp_path / "A.STL")
    assert len(read_shape(tmp_path / "A.STL").shape.faces) == 12


def test_objects_of_a_scene_are_placed_and_mirrored_ones_still_look_outwards(tmp_path):
    part = trimesh.creation.icosphere(subdivisions=2)
    moves = [np.diag([2.0, 2, 2, 1]), np.diag([-1.0, 1, 1, 1]), np.eye(4)]
    moves[1][:3, 3], moves[2][:3, 3] = (-9, 0, 0), (5, 1, 0)
    scene = trimesh.Scene()
    for move in moves:
        scene.add_geometry(part, transform=move)
    scene.export(tmp_path / "scene.glb")
    loaded = read_shape(tmp_path / "scene.glb")
    assert loaded.notes == ("it has 3 separate parts; all are kept",)
    assert loaded.shape.volume() == pytest.approx(part.volume * (8 + 1 + 1), rel=1e-5)
    assert np.allclose(loaded.shape.bounds, [[-10, -2, -2], [6, 2, 2]], atol=1e-5)


def test_polygons_become_triangles(tmp_path):
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    sides = [(1, 5, 7, 3), (0, 2, 6, 4), (0, 4, 5, 1), (2, 3, 7, 6), (0, 1, 3, 2), (4, 6, 7, 5)]
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners)
    text += "".join("f " + " ".join(str(corner + 1) for corner in side) + "\n" for side in sides)
    (tmp_path / "cube.obj").write_text(text)
    loaded = read_shape(tmp_path / "cube.obj")
    assert len(loaded.shape.faces) == 12 and is_closed(loaded.shape)
    assert loaded.shape.volume() == pytest.approx(1) and loaded.notes == ()


def test_vertices_split_for_textures_are_joined_again(tmp_path):
    (tmp_path / "tent.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n" + "vt 0 0\nvt 1 0\nvt 0 1\nvt 1 1\n"
        "f 1/1 3/2 2/3\nf 1/2 2/4 4/1\nf 2/1 3/3 4/4\nf 1/4 4/2 3/3\n"
    )
    loaded = read_shape(tmp_path / "tent.obj")
    assert len(loaded.shape.vertices) == 4 and is_closed(loaded.shape)


def test_unmerged_triangles_are_joined(tmp_path):
    mesh = ball()
    soup = mesh.triangles.reshape(-1, 3)
    soup[soup == 0] *= np.where(np.arange((soup == 0).sum()) % 2, 1.0, -1.0)  # -0 and 0 are one place
    got, notes = read_mesh(tmp_path, soup, np.arange(960).reshape(-1, 3))
    assert notes == ("merged 798 vertices with others at the same place",)
    assert is_closed(got) and len(got.vertices) == 162
    assert np.array_equal(got.triangles, mesh.triangles)


def test_a_closed_mesh_keeps_vertices_that_only_touch(tmp_path):
    """Two tetrahedra that touch in an edge: merged, four faces would meet there."""
    first = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=float)
    second = first * (-1, -1, 1)
    faces = np.array([[0, 1, 3], [0, 2, 1], [0, 3, 2], [1, 2, 3]])
    got, notes = read_mesh(tmp_path, np.concatenate([first, second]), np.concatenate([faces, faces + 4]))
    assert len(got.vertices) == 8 and is_closed(got)
    assert notes == ("it has 2 separate parts; all are kept",)


def test_faces_without_area_repeats_and_loose_vertices_are_dropped_and_counted(tmp_path):
    mesh = ball()
    vertices = np.concatenate([mesh.vertices, [[9, 9, 9], [8, 8, 8]]])
    first, second = mesh.faces[0, :2]
    extra = [[first, first, second], [first, second, first], np.roll(mesh.faces[7], 1)]
    got, notes = read_mesh(tmp_path, vertices, np.concatenate([extra, mesh.faces]))
    assert notes == (
        "dropped 2 vertices that no face uses",
        "dropped 2 faces without area",
        "dropped 1 repeated face",
    )
    assert len(got.faces) == len(mesh.faces) and is_closed(got)
    assert np.array_equal(got.bounds, mesh.bounds)


def test_a_sliver_between_points_on_a_line_goes_without_a_hole_being_reported(tmp_path):
    """The quad 0 1 2 3 with a point 4 on its diagonal, whose three collinear corners make a face."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 0], [0.5, 0.5, 1]]) * 0.1 + 7.3
    top = [[0, 1, 5], [1, 2, 5], [2, 3, 5], [3, 0, 5]]
    got, notes = read_mesh(tmp_path, vertices, np.array([*top, [0, 2, 1], [0, 4, 2], [0, 3, 4], [4, 3, 2]]))
    assert notes == ("dropped 1 face without area",)
    assert len(got.faces) == 7


def test_a_mesh_that_is_two_sided_throughout_becomes_one_sided(tmp_path):
    mesh = ball()
    got, notes = read_mesh(tmp_path, mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]))
    assert "dropped 320 repeated faces" in notes
    assert got.volume() == pytest.approx(mesh.volume()) and is_closed(got)


def test_back_sides_with_vertices_of_their_own_go_too(tmp_path):
    """Else the winding numbers of both sides cancel out, and nothing is inside."""
    mesh, other = ball(), ball(1, center=(5, 0, 0))
    both = joined(mesh, flipped(mesh))
    got, notes = read(tmp_path, both)
    assert notes == ("dropped 320 repeated faces",)
    assert got.volume() == pytest.approx(mesh.volume()) and is_closed(got)
    sheet = Mesh(vertices=np.array([[9.0, 0, 0], [9, 1, 0], [9, 0, 1]]), faces=np.array([[0, 1, 2]]))
    for more in (other, joined(other, sheet), joined(other, sheet, flipped(sheet))):
        got, notes = read(tmp_path, joined(more, both))
        assert "dropped 320 repeated faces" in notes
        assert len(got.faces) == len(more.faces) + len(mesh.faces)
        centers = np.array([[0.0, 0, 0], [5, 0, 0]])
        assert np.allclose(igl.fast_winding_number(got.vertices, got.faces, centers), 1, atol=0.01)


@pytest.mark.parametrize("same", [flipped, lambda mesh: mesh], ids=["back", "front"])
def test_second_sides_go_in_whatever_order_their_faces_are(tmp_path, same):
    """What is left of both sides has the same vertices, else it would be full of holes."""
    mesh = ball()
    both = joined(mesh, same(mesh))
    faces = np.random.default_rng(0).permutation(both.faces)
    got, notes = read_mesh(tmp_path, both.vertices, faces)
    assert notes[0] == "dropped 320 repeated faces" and not any("watertight" in note for note in notes)
    assert got.volume() == pytest.approx(mesh.volume()) and is_closed(got)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.95])
@pytest.mark.parametrize("vertices", ["shared", "own"])
def test_back_sides_of_some_faces_go_too(tmp_path, share, vertices):
    """Each was a hole, for the winding numbers of a face and its back side cancel out."""
    mesh = trimesh.creation.box().subdivide().subdivide()
    some = np.random.default_rng(0).permutation(len(mesh.faces))[: round(share * len(mesh.faces))]
    back = mesh.faces[some][:, ::-1] + (len(mesh.vertices) if vertices == "own" else 0)
    points = np.concatenate([mesh.vertices] * (2 if vertices == "own" else 1))
    got, notes = read_mesh(tmp_path, points, np.concatenate([back, mesh.faces]))
    assert f"dropped {len(some)} repeated face{'s' if len(some) > 1 else ''}" in notes
    assert got.volume() == pytest.approx(1) and is_closed(got)
    open_box = mesh.faces[mesh.triangles_center[:, 2] < 0.49]
    got, notes = read_mesh(tmp_path, mesh.vertices, np.concatenate([open_box, open_box[:9, ::-1]]))
    assert "dropped 9 repeated faces" in notes and len(got.faces) == len(open_box)


def test_back_sides_of_fins_and_inner_walls_stay(tmp_path):
    """Without them the rim of a fin would be open, and so would that of a wall between two rooms."""
    corners = np.array([[x, y, z] for x in (0, 1, 2) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    sides = [[0, 1, 3, 2], [8, 10, 11, 9], [0, 4, 5, 1], [4, 8, 9, 5], [2, 3, 7, 6], [6, 7, 11, 10]]
    sides += [[0, 2, 6, 4], [4, 6, 10, 8], [1, 5, 7, 3], [5, 9, 11, 7]]
    wall, back_of_wall = [4, 6, 7, 5], [5, 7, 6, 4]
    fin, back_of_fin = [8, 9, 12], [12, 9, 8]
    faces = [[side[0], *side[i : i + 2]] for side in [*sides, wall, back_of_wall] for i in (1, 2)]
    got, _ = read_mesh(tmp_path, np.vstack([corners, [[3.0, 0, 0]]]), np.array([*faces, fin, back_of_fin]))
    assert len(got.faces) == len(faces) + 2 and got.volume() == pytest.approx(2)


@pytest.mark.parametrize("length", [1, 30])
@pytest.mark.parametrize("place", ["across", "at an edge of such a face"])
def test_a_fin_stays_beside_faces_whose_back_sides_go(tmp_path, place, length):
    """However many open edges it would have, and wherever it is joined to the faces."""
    mesh = trimesh.creation.box().subdivide()
    ends = [int(np.abs(mesh.vertices - corner).sum(axis=1).argmin()) for corner in ([0.5] * 3, [-0.5] * 3)]
    if place != "across":
        ends = mesh.faces[0, :2].tolist()
    # A strip of triangles, of which each has two vertices of the one before.
    strip = np.array([*ends, *range(len(mesh.vertices), len(mesh.vertices) + length)])
    fin = np.stack([strip[:-2], strip[1:-1], strip[2:]], axis=1)
    tips = np.array([[2.0 + i, i % 2, 0.5 * (i % 3)] for i in range(length)])
    faces = np.concatenate([mesh.faces, mesh.faces[:20, ::-1], fin, fin[:, ::-1]])
    got, notes = read_mesh(tmp_path, np.vstack([mesh.vertices, tips]), faces)
    assert "dropped 20 repeated faces" in notes and not any("wound" in note for note in notes)
    assert len(got.faces) == len(mesh.faces) + 2 * length and got.volume() == pytest.approx(1)


@pytest.mark.parametrize("gap", [5, 1000])
def test_a_wall_stays_between_faces_whose_back_sides_go_and_others(tmp_path, gap):
    """It would close the lower room as well as the faces of the upper one that are there twice."""
    mesh = trimesh.creation.box().subdivide().subdivide()
    middle = np.abs(mesh.vertices[:, 2]) < 1e-9
    rim = mesh.edges_unique[middle[mesh.edges_unique].all(axis=1)]
    wall = np.column_stack([rim, np.full(len(rim), len(mesh.vertices))])
    some = np.flatnonzero((mesh.triangles_center[:, 2] > 0) & (np.arange(len(mesh.faces)) % gap != gap - 1))
    faces = np.concatenate([mesh.faces, mesh.faces[some, ::-1], wall, wall[:, ::-1]])
    got, notes = read_mesh(tmp_path, np.vstack([mesh.vertices, [[0.01, 0.02, 0]]]), faces)
    assert f"dropped {len(some)} repeated faces" in notes
    assert len(got.faces) == len(mesh.faces) + 2 * len(wall) and got.volume() == pytest.approx(1)


def test_back_sides_that_are_cut_otherwise_are_said(tmp_path):
    """A square and its back side may be cut along different diagonals, so no two triangles are the same."""
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    front = [side[i] for side in sides for i in (0, 1, 2, 0, 2, 3)]
    back = [side[i] for side in sides for i in (3, 2, 1, 3, 1, 0)]
    one_side = read_mesh(tmp_path, corners, np.array(front).reshape(-1, 3))
    assert one_side[0].volume() == pytest.approx(1) and one_side[1] == ()
    _, notes = read_mesh(tmp_path, corners, np.array(front + back).reshape(-1, 3))
    assert (
        "the volumes that its faces enclose cancel out, as both sides of a surface do; give it with one side" in notes
    )


def test_inverted_winding_is_reversed_and_said(tmp_path):
    mesh = ball()
    got, notes = read(tmp_path, flipped(mesh))
    assert notes == ("its faces looked inwards; reversed them",)
    assert got.volume() == pytest.approx(mesh.volume())


def test_inverted_winding_is_seen_far_from_the_origin_and_on_thin_plates(tmp_path):
    plate = trimesh.creation.box(extents=(1000, 800, 0.5))
    vertices, faces = np.array(plate.vertices) + (4.5e6, 5.4e5, 300), np.array(plate.faces)
    for given, expected in ((faces, ()), (faces[:, ::-1], ("its faces looked inwards; reversed them",))):
        got, notes = read_mesh(tmp_path, vertices, given)
        assert notes == expected
        assert got.volume() == pytest.approx(plate.volume, rel=1e-6)


def test_faces_against_their_neighbors_are_reversed_and_counted(tmp_path):
    mesh = ball()
    faces = mesh.faces.copy()
    wrong = np.random.default_rng(0).choice(len(faces), 70, replace=False)
    faces[wrong] = faces[wrong][:, ::-1]
    got, notes = read_mesh(tmp_path, mesh.vertices, faces)
    assert notes == ("70 of 320 faces were wound against their neighbors; reversed them",)
    assert got.volume() == pytest.approx(mesh.volume())


def test_a_cavity_stays_a_cavity_whatever_is_turned_around(tmp_path):
    outer, cavity, island = ball(3), flipped(ball(2, radius=0.7)), ball(2, radius=0.3)
    want = joined(outer, cavity, island)
    volume = want.volume()
    assert read(tmp_path, want)[1] == ("it has 3 separate parts; all are kept",)
    got, notes = read(tmp_path, flipped(want))
    assert got.volume() == pytest.approx(volume) and "its faces looked inwards; reversed them" in notes
    got, notes = read(tmp_path, joined(flipped(outer), cavity, island))
    assert got.volume() == pytest.approx(volume)
    assert f"{len(outer.faces)} of {len(want.faces)} faces looked inwards; reversed them" in notes


def test_one_reversed_part_among_others_is_reversed(tmp_path):
    parts = [ball(2, center=(3 * number, 0, 0)) for number in range(4)]
    got, notes = read(tmp_path, joined(parts[0], flipped(parts[1]), *parts[2:]))
    assert got.volume() == pytest.approx(sum(part.volume() for part in parts))
    assert notes[0] == "320 of 1280 faces looked inwards; reversed them"


def test_an_open_mesh_is_kept_open_and_turned_outwards(tmp_path):
    mesh = ball(3)
    bowl = mesh.faces[mesh.triangles.mean(axis=1)[:, 2] < 0.5]
    used, inverse = np.unique(bowl, return_inverse=True)
    vertices, faces = mesh.vertices[used], inverse.reshape(-1, 3)
    for given in (faces, faces[:, ::-1]):
        got, notes = read_mesh(tmp_path, vertices, given)
        assert notes[-1].startswith("it is not watertight (") and "winding number" in notes[-1]
        assert (len(notes) == 2) == (given is not faces)
        assert MeshDistance(got).winding_number(np.array([[0, 0, -0.5]]))[0] > 0.5


def test_a_flat_sheet_has_no_outside_and_is_left_as_it_is(tmp_path):
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    for faces in ([[0, 1, 2], [0, 2, 3]], [[0, 2, 1], [0, 3, 2]]):
        got, notes = read_mesh(tmp_path, vertices, np.array(faces))
        assert got.faces.tolist() == faces
        assert notes == ("it is not watertight (4 open edges); the winding number decides what is inside",)


def test_a_one_sided_strip_is_named(tmp_path):
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    edge = [
        np.stack([(2 + s * np.cos(t / 2)) * np.cos(t), (2 + s * np.cos(t / 2)) * np.sin(t), s * np.sin(t / 2)])
        for t in turns
        for s in (-0.5, 0.5)
    ]
    faces = []
    for number in range(40):
        a, b = 2 * number, 2 * number + 1
        c, d = (a + 2, b + 2) if number < 39 else (1, 0)
        faces += [[a, c, b], [b, c, d]]
    _, notes = read_mesh(tmp_path, np.array(edge), np.array(faces))
    assert any("only one side" in note for note in notes)


def test_edges_with_more_than_two_faces_are_counted(tmp_path):
    vertices = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, -1, 0]], dtype=float)
    _, notes = read_mesh(tmp_path, vertices, np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]]))
    assert "more than two faces meet at 1 edge" in notes


def spokes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles that all share an edge, as the pages of a book do."""
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([np.cos(turns), np.sin(turns), np.full(count, 0.5)], axis=1)
    return np.concatenate([[[0, 0, 0], [0, 0, 1]], rim]), np.array([[0, 1, number + 2] for number in range(count)])


def test_an_edge_of_thousands_of_faces_is_refused_at_once_and_one_of_hundreds_read(tmp_path):
    _, notes = read_mesh(tmp_path, *spokes(900))
    assert "more than two faces meet at 1 edge" in notes
    words = r"20000 faces meet at one edge, between vertices number 0 \(0, 0, 0\) and number 1 \(0, 0, 1\); no surface"
    with pytest.raises(InputError, match=words):
        read_mesh(tmp_path, *spokes(20000))


def test_patches_are_libigls_and_so_are_the_faces_to_reverse():
    sphere = trimesh.creation.icosphere(3).faces
    random = np.random.default_rng(0)
    for faces in (np.array(sphere), np.concatenate([sphere, sphere + 642]), random.integers(0, 60, (400, 3))):
        faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
        faces = random.permutation(faces)
        wrong = random.random(len(faces)) < 0.4
        faces[wrong] = faces[wrong][:, ::-1]
        edges = Edges.of(faces)
        patches = edges.patches()
        assert edges.wound_against and (patches == igl.orientable_patches(faces)).all()
        turned = edges.turned(faces, patches)
        assert Edges.of(np.where(turned[:, None], faces[:, ::-1], faces)).wound_against == 0
        differs = turned ^ (igl.bfs_orient(faces)[0] != faces).any(axis=1)
        first = np.unique(patches, return_index=True)[1]
        assert (differs == differs[first][patches]).all()  # a patch is turned over as a whole, or not at all


@pytest.mark.parametrize(
    ("name", "faces", "notes"),
    [
        ("armadillo.obj", 99976, ()),
        ("bunny.ply", 59664, ()),
        ("dragon_100k.ply", 98876, ()),
        ("wingnut.ply", 6090, ()),
        ("primitive_sphere.ply", 9800, ()),
        ("primitive_torus.ply", 9216, ()),
        (
            "teapot.ply",
            992,
            (
                "merged 263 vertices with others at the same place",
                "it is not watertight (64 open edges); the winding number decides what is inside",
                "it has 3 separate parts; all are kept",
            ),
        ),
    ],
)
def test_real_meshes(shared_data, name, faces, notes):
    loaded = read_shape(shared_data / "mesh" / name)
    assert len(loaded.shape.faces) == faces and loaded.notes == notes
    assert loaded.shape.volume() > 0


def test_the_teapot_is_solid_although_it_is_open(shared_data):
    distance = MeshDistance(read_shape(shared_data / "mesh" / "teapot.ply").shape)
    corners = read_shape(shared_data / "mesh" / "teapot.ply").shape.bounds
    assert distance.inside(corners.mean(axis=0)[None])[0] and not distance.inside(corners[1:] + 1)[0]


# Point clouds


def sphere_points(count: int = 600) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def ply_of_points(columns: np.ndarray, *, binary: bool, faces: str = "") -> bytes:
    names = ("x", "y", "z", "nx", "ny", "nz")[: columns.shape[1]]
    kind = "binary_big_endian" if binary else "ascii"
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(columns)}\n"
    head += "".join(f"property double {name}\n" for name in names) + faces + "end_header\n"
    rows = (
        columns.astype(">f8").tobytes() if binary else "\n".join(" ".join(map(repr, row)) for row in columns.tolist())
    )
    return head.encode() + (rows if isinstance(rows, bytes) else rows.encode() + b"\n")


@pytest.mark.parametrize("kind", ["xyz", "ascii ply", "binary ply", "ply with no faces", "npz", "obj"])
def test_an_oriented_cloud_is_the_same_from_every_format(tmp_path, kind):
    points = sphere_points() * 4 + (100, 0, -7)
    lengths = np.random.default_rng(1).uniform(0.1, 3, size=(600, 1))
    table = np.concatenate([points, sphere_points() * lengths], axis=1)
    path = tmp_path / f"cloud.{kind.split()[-1] if 'ply' not in kind else 'ply'}"
    if kind == "xyz":
        np.savetxt(path, table, fmt="%.17g")
    elif kind == "npz":
        np.savez(path, points=table[:, :3], normals=table[:, 3:])
    elif kind == "obj":
        rows = [("v " if part == 0 else "vn ", row[3 * part : 3 * part + 3]) for row in table for part in (0, 1)]
        path.write_text("".join(word + " ".join(map(repr, row.tolist())) + "\n" for word, row in rows))
    else:
        faces = "element face 0\nproperty list uchar int vertex_indices\n" if "no faces" in kind else ""
        path.write_bytes(ply_of_points(table, binary=kind == "binary ply", faces=faces))
    loaded = read_shape(path)
    lengths = "its normals have lengths of 0.106 to 3; taken as directions"
    assert isinstance(loaded.shape, PointCloud) and loaded.notes[-1].startswith(lengths)
    assert len(loaded.notes) == 1 + (kind == "xyz")
    assert np.array_equal(loaded.shape.points, points)
    assert np.allclose(loaded.shape.normals, sphere_points(), atol=1e-12)


def test_text_points_may_have_commas_comments_and_empty_lines(tmp_path):
    rows = [f"{x}, {y},{z}\t0 0 2  # a point" for x in (0, 1) for y in (0, 1) for z in (0, 1.5)]
    (tmp_path / "a.xyz").write_text("\ufeff# x y z nx ny nz\n\n" + "\n\n".join(rows) + "\n", encoding="utf-8")
    shape = read_shape(tmp_path / "a.xyz").shape
    assert shape.points.shape == (8, 3) and shape.points[1].tolist() == [0, 0, 1.5]
    assert np.array_equal(shape.normals, np.tile([0.0, 0, 1], (8, 1)))


@pytest.mark.parametrize("suffix", ["xyz", "ply", "npz"])
def test_missing_normals_are_estimated_and_said(tmp_path, suffix):
    points, path = sphere_points(), tmp_path / f"bare.{suffix}"
    if suffix == "xyz":
        np.savetxt(path, points, fmt="%.17g")
    elif suffix == "npz":
        np.savez(path, points=points)
    else:
        path.write_bytes(ply_of_points(points, binary=False))
    loaded = read_shape(path)
    assert loaded.notes == ("it has no normals; estimated them from the nearest points, looking outwards",)
    assert np.einsum("ni,ni->n", loaded.shape.normals, points).min() > 0.9


def test_zero_normals_stay_and_are_counted_and_tiny_ones_count_as_directions(tmp_path):
    normals = sphere_points()
    normals[[3, 50]] = 0
    normals[7] *= 1e-200
    normals[8] *= 1e200
    np.savez(tmp_path / "a.npz", points=sphere_points(), normals=normals)
    loaded = read_shape(tmp_path / "a.npz")
    assert loaded.notes == ("2 of 600 normals are zero; what they say is unknown",)
    assert np.flatnonzero(~loaded.shape.normals.any(axis=1)).tolist() == [3, 50]
    assert np.allclose(loaded.shape.normals[[7, 8]], sphere_points()[[7, 8]])


def test_normals_that_are_all_zero_count_as_missing(tmp_path):
    np.savez(tmp_path / "a.npz", points=sphere_points(), normals=np.zeros((600, 3)))
    loaded = read_shape(tmp_path / "a.npz")
    assert loaded.notes[0].startswith("its normals are all zero; estimated")
    assert np.einsum("ni,ni->n", loaded.shape.normals, sphere_points()).min() > 0.9


def test_a_cloud_that_looks_inwards_is_kept_and_named(tmp_path):
    np.savez(tmp_path / "room.npz", points=sphere_points(), normals=-sphere_points())
    loaded = read_shape(tmp_path / "room.npz")
    assert "look inwards" in loaded.notes[0]
    assert np.allclose(loaded.shape.normals, -sphere_points())


def test_numbers_of_other_kinds_become_double(tmp_path):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.int16)
    np.savez(tmp_path / "a.npz", points=corners, normals=(corners * 2 - 1).astype(np.float16))
    shape = read_shape(tmp_path / "a.npz").shape
    assert shape.points.dtype == shape.normals.dtype == np.float64
    cube = trimesh.creation.box()
    got, _ = read_mesh(tmp_path, np.array(cube.vertices, dtype=">f4"), np.array(cube.faces, dtype=np.uint32))
    assert got.volume() == 1 and is_closed(got)


def test_vertices_that_no_face_uses_need_not_be_finite(tmp_path):
    (tmp_path / "a.obj").write_text("v nan nan nan\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 inf\nf 2 3 4\n")
    read = read_shape(tmp_path / "a.obj")
    assert "dropped 2 vertices that no face uses" in read.notes and len(read.shape.vertices) == 3
    box = trimesh.creation.box()
    got, notes = read_mesh(tmp_path, np.vstack([box.vertices, [[np.nan] * 3]]), box.faces)
    assert got.volume() == pytest.approx(1) and notes == ("dropped 1 vertex that no face uses",)
