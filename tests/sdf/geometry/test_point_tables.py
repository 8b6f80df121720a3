"""Tables of points: which columns are what, what commas mean, points at one place or far out."""

import numpy as np
import pytest
import trimesh

from finer_core.io import text_table
from finer_sdf.geometry import PointCloud
from finer_sdf.geometry.reader import read_shape
from finer_sdf.inputs import as_shape
from finer_sdf.normalization import published_normalization
from finer_sdf.training.targets import CloudTarget
from tests.sdf.geometry.test_shape_formats import refusal, saved

CENTER = np.array([5.0, 6.0, 7.0])


def directions(count: int = 300) -> np.ndarray:
    table = np.random.default_rng(0).normal(size=(count, 3))
    return table / np.linalg.norm(table, axis=1, keepdims=True)


NORMALS = directions()
POINTS = 2 * NORMALS + CENTER
COLORS = np.random.default_rng(1).integers(0, 256, NORMALS.shape)


def rows(*tables: np.ndarray, blank: str = " ") -> str:
    lines = zip(*(table.tolist() for table in tables), strict=True)
    shown = [[str(v) if isinstance(v, int) else f"{v:.4f}" for table in line for v in table] for line in lines]
    return "".join(blank.join(line) + "\n" for line in shown)


def outward(shape) -> float:
    """Return the least cosine between a normal and the way out of the sphere."""
    assert isinstance(shape, PointCloud)
    return float(np.einsum("ij,ij->i", shape.normals, (shape.points - CENTER) / 2).min())


@pytest.mark.parametrize("colors", [COLORS, COLORS / 255, np.full(COLORS.shape, 128)])
def test_six_columns_with_colors(tmp_path, colors):
    loaded = read_shape(saved(tmp_path / "a.xyz", rows(POINTS, colors)))
    assert "its columns 4 to 6 look like colors" in loaded.notes[0]
    shares = colors if colors.max() <= 1 else colors / 255
    assert loaded.colors is not None and loaded.colors.faces is None
    assert np.allclose(loaded.colors.colors, shares, atol=1e-4)
    assert "it has no normals; estimated them" in loaded.notes[1]
    assert outward(loaded.shape) > 0.9


@pytest.mark.parametrize("swapped", [False, True])
def test_nine_columns_hold_normals_and_colors_in_either_order(tmp_path, swapped):
    tables = (COLORS, NORMALS) if swapped else (NORMALS, COLORS)
    loaded = read_shape(saved(tmp_path / "a.xyz", rows(POINTS, *tables)))
    assert ("columns 4 to 6" if swapped else "columns 7 to 9") in loaded.notes[0] and len(loaded.notes) == 1
    assert loaded.colors is not None and np.allclose(loaded.colors.colors, COLORS / 255, atol=1e-4)
    assert outward(loaded.shape) > 0.99


def test_an_array_of_columns_is_told_as_a_text_table(tmp_path):
    def read(array: np.ndarray):
        np.save(tmp_path / "a.npy", array)
        return read_shape(tmp_path / "a.npy")

    assert "it has no normals; estimated them" in read(POINTS.astype(np.float32)).notes[0]
    told = read(np.hstack([POINTS, NORMALS]))
    assert told.notes == () and outward(told.shape) > 0.999
    colored = read(np.asfortranarray(np.hstack([POINTS, NORMALS, COLORS])))
    assert "columns 7 to 9" in colored.notes[0] and "`points` and `normals`" in colored.notes[0]
    assert np.allclose(colored.colors.colors, COLORS / 255, atol=1e-4)
    for wrong, words in ((POINTS[:, :2], "shape (300, 2)"), (POINTS[0], "shape (3,)"), (POINTS + 0j, "complex128")):
        np.save(tmp_path / "a.npy", wrong)
        assert words in refusal(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", POINTS[:0])
    assert "no points" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("head", "tables", "notes"),
    [
        ("x y z nx ny nz", (POINTS, 3 * NORMALS), []),
        ("# x y z normal_x normal_y normal_z", (POINTS, NORMALS), []),
        ("nx,ny,nz,x,y,z", (NORMALS, POINTS), []),
        ("//X Y Z R G B Nx Ny Nz", (POINTS, COLORS, NORMALS), []),
        ('"x" "y" "z" "intensity" nx ny nz', (POINTS, COLORS[:, :1], NORMALS), ["left out its columns intensity"]),
    ],
)
def test_a_first_line_names_the_columns(tmp_path, head, tables, notes):
    loaded = read_shape(saved(tmp_path / "a.xyz", f"{head}\n{rows(*tables)}"))
    assert list(loaded.notes) == notes and outward(loaded.shape) > 0.99


@pytest.mark.parametrize("head", ["", "//X Y Z Nx Ny Nz\n", "# x y z nx ny nz\n"])
def test_a_line_that_counts_the_points_is_no_point(tmp_path, head):
    table = rows(POINTS, NORMALS)
    loaded = read_shape(saved(tmp_path / "a.xyz", f"{head}{len(POINTS)}\n{table}"))
    assert len(loaded.shape.points) == len(POINTS) and outward(loaded.shape) > 0.99 and loaded.notes == ()
    cut = saved(tmp_path / "a.xyz", f"{head}{len(POINTS) + 1}\n{table}")
    assert refusal(cut) == "its first line says 301 points, and 300 follow; it may be cut short"
    more = saved(tmp_path / "a.xyz", f"{head}{len(POINTS) - 1}\n{table}")
    assert refusal(more) == "its first line says 299 points, and 300 follow; leave that line out if all are meant"


@pytest.mark.parametrize("head", ["z [mm],y [mm],x [mm]", "z (m);y (m);x (m);", "z,y,x,comment"])
def test_columns_of_another_order_with_units_or_an_empty_field_are_not_swapped(tmp_path, head):
    text = rows(POINTS[:, ::-1], blank=",").replace("\n", ",\n" if head.endswith("comment") else "\n")
    loaded = read_shape(saved(tmp_path / "a.xyz", f"{head}\n{text}"))
    assert np.allclose(loaded.shape.points, POINTS, atol=1e-4)


def test_names_that_are_not_one_a_column_are_refused_unless_the_position_comes_first(tmp_path):
    for head in ("y,x,z,comment", "# z y x time", "id,x,y,z"):
        message = refusal(saved(tmp_path / "a.xyz", f"{head}\n{rows(POINTS, blank=',')}"))
        assert message.startswith("line 2 has 3 columns, a line above names 4 (")
        assert "which are x y z cannot be told" in message
    for head in ("x,y,z,comment", "# the points: x y z"):
        loaded = read_shape(saved(tmp_path / "a.xyz", f"{head}\n{rows(POINTS, blank=',')}"))
        assert np.allclose(loaded.shape.points, POINTS, atol=1e-4)


@pytest.mark.parametrize("low", [(-1, -1, -1), (0, -100, -100), (1e9, -1, -1)])
@pytest.mark.parametrize("suffix", [".xyz", ".npz", ".ply", ".obj"])
def test_columns_that_are_no_directions_are_not_taken_for_normals_silently(tmp_path, low, suffix):
    columns = np.random.default_rng(1).uniform(low, np.abs(low), (300, 3))
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, points=POINTS, normals=columns)
    elif suffix == ".obj":
        saved(path, "".join(f"v {rows(p[None])}vn {rows(n[None])}" for p, n in zip(POINTS, columns, strict=True)))
    else:
        names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
        head = f"ply\nformat ascii 1.0\nelement vertex 300\n{names}end_header\n"
        saved(path, head * (suffix == ".ply") + rows(POINTS, columns))
    notes = " ".join(read_shape(path).notes)
    if low[0] > 1:  # of one length: directions where they are named, else what they are is doubtful
        assert ("taken as normals, though not of length 1" in notes) == (suffix == ".xyz")
    else:
        assert "its normals have lengths of " in notes and "if they are something else, leave them out" in notes


def test_columns_of_zeros_are_no_normals_and_raise_no_warning(tmp_path, recwarn):
    notes = read_shape(saved(tmp_path / "a.xyz", rows(POINTS, 0 * NORMALS))).notes
    assert notes == ("its normals are all zero; estimated them from the nearest points, looking outwards",)
    assert not recwarn.list


def test_normals_of_about_length_1_need_no_word(tmp_path):
    normals = NORMALS * np.random.default_rng(0).uniform(0.992, 1.008, (300, 1))
    normals[::7] = 0
    notes = read_shape(saved(tmp_path / "a.xyz", rows(POINTS, normals))).notes
    assert notes == ("43 of 300 normals are zero; what they say is unknown",)


def test_named_normals_are_normals_whatever_they_look_like(tmp_path):
    loaded = read_shape(saved(tmp_path / "a.xyz", "x y z nx ny nz\n" + rows(POINTS, np.abs(3 * NORMALS))))
    assert np.allclose(loaded.shape.normals, np.abs(NORMALS), atol=1e-4)
    for normals in (np.abs(NORMALS), np.tile([0, 0, 1], (300, 1))):  # of length 1: directions, though never negative
        assert np.allclose(
            read_shape(saved(tmp_path / "b.xyz", rows(POINTS, normals))).shape.normals, normals, atol=1e-4
        )


@pytest.mark.parametrize("blank", [" ", "\t", ";", " ; "])
@pytest.mark.parametrize("tables", [(POINTS,), (POINTS, NORMALS)])
def test_decimal_commas(tmp_path, blank, tables):
    text = rows(*tables, blank=blank).replace(".", ",")
    loaded = read_shape(saved(tmp_path / "a.xyz", text))
    assert loaded.notes[0] == "its commas are read as decimal commas"
    assert np.allclose(loaded.shape.points, POINTS, atol=1e-4) and outward(loaded.shape) > 0.9


@pytest.mark.parametrize("blank", [",", ", ", ";", " , "])
def test_commas_that_separate(tmp_path, blank):
    loaded = read_shape(saved(tmp_path / "a.xyz", rows(POINTS, NORMALS, blank=blank)))
    assert np.allclose(loaded.shape.points, POINTS, atol=1e-4) and loaded.notes == ()


@pytest.mark.parametrize("blank", [",", ", "])
def test_commas_that_may_be_both_are_refused(tmp_path, blank):
    assert "commas" in refusal(saved(tmp_path / "a.xyz", rows(POINTS, blank=blank).replace(".", ",")))
    assert "within numbers" in refusal(saved(tmp_path / "b.xyz", "1.234,5 2,5 3,5\n" * 20))


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("suffix", ["xyz", "npz"])
def test_points_at_one_place_become_one(tmp_path, times, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "xyz":
        saved(path, rows(POINTS, NORMALS) * times)
    else:
        np.savez(path, points=np.tile(POINTS, (times, 1)), normals=np.tile(NORMALS, (times, 1)))
    loaded = read_shape(path)
    assert loaded.notes == (f"merged {300 * (times - 1)} points with others at the same place",)
    assert np.allclose(loaded.shape.points, POINTS, atol=1e-4) and outward(loaded.shape) > 0.99


def test_merged_normals_are_their_mean_and_opposite_ones_the_first(tmp_path):
    points = np.vstack([POINTS, POINTS[:2]])
    normals = np.vstack([NORMALS, -NORMALS[:1], [[0, 0, 1]]])
    np.savez(tmp_path / "a.npz", points=points, normals=normals)
    got = read_shape(tmp_path / "a.npz").shape.normals
    mean = NORMALS[1] + [0, 0, 1]
    assert np.allclose(got[0], NORMALS[0]) and np.allclose(got[1], mean / np.linalg.norm(mean))
    assert np.allclose(got[2:], NORMALS[2:])


def test_distances_to_points_that_meet_in_the_box_are_those_without(tmp_path):
    """Points apart by less than the box resolves, as far from the origin: libigl dies of points at one place."""
    cloud = PointCloud(points=np.round(0.4 * NORMALS * 2**40) / 2**40, normals=NORMALS)
    close = PointCloud(
        points=np.vstack([cloud.points, cloud.points + 1e-14, cloud.points]), normals=np.tile(NORMALS, (3, 1))
    )
    asked = np.random.default_rng(2).uniform(-0.5, 0.5, (200, 3))
    want, got = (CloudTarget(shape).signed_distance(asked) for shape in (cloud, close))
    assert np.allclose(want, got, atol=1e-9)


def test_points_far_out_are_refused_or_said(tmp_path):
    for far, words in ((1e200, "too far out"), (1e12, "too far away")):
        message = refusal(saved(tmp_path / "a.xyz", rows(POINTS) + f"{far:g} 0 0\n"))
        assert words in message and f"number 300 ({far:g}, 0, 0)" in message
    notes = read_shape(saved(tmp_path / "a.xyz", rows(POINTS, NORMALS) + "10000 0 0 1 0 0\n")).notes
    assert "nine tenths of its points" in notes[0] and "(10000, 0, 0)" in notes[0]
    np.savez(tmp_path / "a.npz", points=POINTS * 1e-100)
    assert "too small" in refusal(tmp_path / "a.npz")


def test_vertices_far_out_are_refused(tmp_path):
    for suffix, text in (
        ("obj", "v 0 0 0\nv 1 0 0\nv 0 1e300 0\nf 1 2 3\n"),
        ("off", "OFF 3 1 0\n0 0 0\n1 0 0\n0 -1e300 0\n3 0 1 2\n"),
    ):
        assert "1 of 3 vertices are too far out" in refusal(saved(tmp_path / f"a.{suffix}", text))


def test_numbers_that_only_python_writes_are_none_in_any_row(tmp_path):
    for word in ("1_0", "\u0663"):
        assert f"line 2: '{word}' is not a number" in refusal(saved(tmp_path / "a.xyz", f"1 2 3\n{word} 2 3\n"))
        assert f"line 1: '{word}' is not a number" in refusal(saved(tmp_path / "a.xyz", f"{word}\n1 2 3\n"))


def test_a_row_of_very_many_numbers_is_no_line_of_names(tmp_path, monkeypatch):
    monkeypatch.setattr(text_table, "_UNIT", None)  # nobody looks for the units of its names
    assert "its rows have 40000 numbers" in refusal(saved(tmp_path / "a.xyz", "1 " * 40_000))


def test_one_column_is_refused_in_every_format(tmp_path):
    assert "1 numbers" in refusal(saved(tmp_path / "a.xyz", "1\n2\n3\n"))
    for points in (np.arange(30.0), np.arange(30.0)[:, None], np.float64(3)):
        np.savez(tmp_path / "a.npz", points=points)
        assert "3 columns" in refusal(tmp_path / "a.npz")
    assert "3 numbers" in refusal(saved(tmp_path / "a.obj", "v 1\nv 2\nv 3\n"))


def test_clouds_of_any_size_have_the_same_distances_in_the_box(tmp_path):
    found = []
    for scale in (1.0, 1e-50, 1e50):
        np.savez(tmp_path / "a.npz", points=POINTS * scale, normals=NORMALS)
        shape = read_shape(tmp_path / "a.npz").shape
        target = CloudTarget(published_normalization(shape).shape_to_box(shape))
        found.append(target.signed_distance(0.3 * NORMALS[:20]))
    assert (found[0] < -0.05).all()
    assert np.allclose(found[0], found[1], atol=1e-9) and np.allclose(found[0], found[2], atol=1e-9)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_points_and_normals_that_are_not_finite_are_left_out(tmp_path, value):
    """Depth cameras write them where they saw nothing, and libraries of clouds where they know no normal."""
    points = trimesh.creation.icosphere(subdivisions=2).vertices
    bad, colors = points.copy(), np.arange(3 * len(points)).reshape(-1, 3) % 256
    bad[[4, 9], 2] = float(value)
    np.savetxt(tmp_path / "a.xyz", np.delete(points, [4, 9], axis=0), fmt="%.17g")
    plain = read_shape(tmp_path / "a.xyz")
    np.savetxt(tmp_path / "b.xyz", np.hstack([bad, colors]), fmt="%.17g", header="x y z red green blue", comments="")
    read = read_shape(tmp_path / "b.xyz")
    assert read.notes == ("left out 2 of 162 points: they are not finite", *plain.notes)
    assert np.array_equal(read.shape.points, plain.shape.points)
    assert np.array_equal(read.shape.normals, plain.shape.normals)
    assert np.array_equal(read.colors.points, np.delete(bad, [4, 9], axis=0))
    assert np.array_equal(np.rint(255 * read.colors.colors), np.delete(colors, [4, 9], axis=0))
    np.savez(tmp_path / "c.npz", points=points, normals=bad)
    read = read_shape(tmp_path / "c.npz")
    assert read.notes[0] == "took 2 normals for zero: they are not finite"
    assert np.flatnonzero(~read.shape.normals.any(axis=1)).tolist() == [4, 9]
    assert as_shape((points, bad)).notes == read.notes
