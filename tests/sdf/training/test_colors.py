"""Colors of meshes and clouds: read, fitted beside the distance, kept in the model, and on the meshes that come out."""

import dataclasses
import json
import struct
from functools import partial

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from finer_core import build_network
from finer_core.errors import InputError
from finer_core.io.meshes.writer import write_mesh
from finer_sdf import Mesh, Normalization, PointCloud, SdfConfig, SdfModel, fit, read_shape
from finer_sdf.app.cli import main
from finer_sdf.geometry.loaded_shape import SurfaceColors
from finer_sdf.geometry.raw import color_table
from finer_sdf.geometry.textures import Texture, TextureMap
from finer_sdf.inputs import as_shape
from finer_sdf.training import color as color_fits
from finer_sdf.training.color import add_color, color_psnr
from finer_sdf.training.plan import color_samples, plan_fit
from tests.sdf.distance_fields import Ball
from tests.sdf.shape_files import SMALL

TINY = {
    **{"steps": 12, "device": "cpu", "precision": "fp32", "samples": 2000, "batch_points": 256, "learning_rate": 1e-2},
    "network": {"hidden_features": 32, "hidden_layers": 1, "first_omega_0": 8.0, "hidden_omega_0": 8.0},
}


@pytest.fixture(scope="module", autouse=True)
def small_colors():
    """Fit colors by an eighth of their points into a quarter of the tables, and judge a fifth of the points."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(color_fits, "COLOR_BATCH", 512)  # these are smooth
        patch.setattr(color_fits, "color_samples", lambda steps: color_samples(steps) // 8)
        patch.setattr(color_fits, "_GRID", {**color_fits._GRID, "log2_table_size": 14})
        patch.setattr(color_fits, "color_psnr", partial(color_psnr, samples=20_000))
        yield


def paint(points: np.ndarray) -> np.ndarray:
    """Return smooth colors in [0, 1] with some periods over a ball of radius 2."""
    return 0.5 + 0.5 * np.sin(points @ np.array([[1.5, 0, 2.0], [0, 2.0, 1.0], [2.0, 1.0, 0]]) + [0, 1, 2])


@pytest.fixture(scope="module")
def ball() -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(radius=2.0, subdivisions=4).apply_translation([5, 0, 0])
    mesh.visual.vertex_colors = np.rint(255 * paint(mesh.vertices)).astype(np.uint8)
    return mesh


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_colors_of_a_ply_mesh_and_of_a_cloud_are_read(ball, tmp_path, encoding):
    ball.export(tmp_path / "mesh.ply", encoding=encoding)
    loaded = read_shape(tmp_path / "mesh.ply")
    assert loaded.colors is not None and loaded.colors.faces is not None
    np.testing.assert_allclose(loaded.colors.colors * 255, ball.visual.vertex_colors[:, :3], atol=1e-4)
    cloud = trimesh.PointCloud(ball.vertices, colors=ball.visual.vertex_colors)
    cloud.export(tmp_path / "cloud.ply", encoding=encoding)
    loaded = read_shape(tmp_path / "cloud.ply")
    assert isinstance(loaded.shape, PointCloud) and loaded.colors is not None and loaded.colors.faces is None
    np.testing.assert_allclose(loaded.colors.colors * 255, ball.visual.vertex_colors[:, :3], atol=1e-4)
    trimesh.creation.box().export(tmp_path / "plain.ply")
    assert read_shape(tmp_path / "plain.ply").colors is None and as_shape(trimesh.creation.box()).colors is None


@pytest.mark.parametrize("names", ["diffuse_red diffuse_green diffuse_blue", "r g b", "Red Green Blue"])
@pytest.mark.parametrize("kind", ["uchar", "float"])
def test_colors_and_normals_of_a_ply_under_their_other_names(ball, tmp_path, names, kind):
    axes = "XYZ" if names.istitle() else "xyz"  # as GIS software has them
    names = [*axes, "normal_x", "normal_y", "normal_z", *names.split()]
    kinds = ["double"] * 6 + [kind] * 3
    head = "".join(f"property {kind} {name}\n" for kind, name in zip(kinds, names, strict=True))
    colors = np.rint(255 * paint(ball.vertices))
    rows = np.hstack([ball.vertices, ball.vertex_normals, colors if kind == "uchar" else colors / 255])
    text = f"ply\nformat ascii 1.0\nelement vertex {len(rows)}\n{head}end_header\n"
    path = tmp_path / "cloud.ply"
    path.write_text(text + "\n".join(" ".join(f"{value:.9g}" for value in row) for row in rows) + "\n")
    loaded = read_shape(path)
    assert loaded.colors is not None and loaded.notes == ()
    np.testing.assert_allclose(loaded.colors.colors * 255, colors, atol=1e-4)
    np.testing.assert_allclose(loaded.shape.normals, ball.vertex_normals, atol=1e-6)


def test_colors_that_are_left_out_are_said(tmp_path):
    corners, names = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n", ("red", "green", "blue")
    head = "ply\nformat ascii 1.0\nelement vertex 4\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    head += "element face 4\nproperty list uchar int vertex_indices\n"
    head += "".join(f"property uchar {name}\n" for name in names) + "end_header\n"
    faces = ["3 0 2 1", "3 0 1 3", "3 0 3 2", "3 1 2 3"]
    for named in (head, head.replace("uchar ", "uchar diffuse_").replace("uchar diffuse_int", "uchar int")):
        (tmp_path / "a.ply").write_text(named + corners + "".join(f"{face} 9 8 7\n" for face in faces))
        assert read_shape(tmp_path / "a.ply").notes == ("left out the colors of its faces",)
    one = head.replace("property uchar red\nproperty uchar green\n", "").replace("uchar blue", "uchar b")  # a number
    (tmp_path / "a.ply").write_text(one + corners + "".join(f"{face} 9\n" for face in faces))
    assert not read_shape(tmp_path / "a.ply").notes
    shown = corners.replace("\n", " 255 0 0 255\n"), [f"{face} 255 0 0" for face in faces]
    for word, vertices, polygons in (("C", shown[0], faces), ("", shown[0], faces), ("", corners, shown[1])):
        (tmp_path / "a.off").write_text(f"{word}OFF\n4 4 6\n{vertices}" + "\n".join(polygons) + "\n")
        assert read_shape(tmp_path / "a.off").notes == ("left out its colors",)
    for word in ("N", "ST", "STN"):  # other numbers than colors
        (tmp_path / "a.off").write_text(f"{word}OFF\n4 4 6\n{shown[0]}" + "\n".join(faces) + "\n")
        assert read_shape(tmp_path / "a.off").notes == ()
    content = bytearray(trimesh.creation.box().export(file_type="stl"))
    content[84 + 48 : 84 + 50] = b"\x1f\x80"  # blue
    (tmp_path / "a.stl").write_bytes(content)
    assert "left out the attributes of its triangles, which may be colors" in read_shape(tmp_path / "a.stl").notes
    np.savez(tmp_path / "a.npz", points=np.eye(4, 3), normals=np.eye(4, 3), colors=np.ones((4, 3)), **{"scale\x1b": 2})
    assert "left out its arrays colors, scale\\x1b" in read_shape(tmp_path / "a.npz").notes


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_what_was_written_is_read_again(ball, tmp_path, suffix):
    mesh = Mesh(vertices=np.array(ball.vertices), faces=np.array(ball.faces, dtype=np.int64))
    colors = np.array(ball.visual.vertex_colors[:, :3])
    write_mesh(tmp_path / f"m{suffix}", mesh.vertices, mesh.faces, package="finer-sdf", colors=colors)
    found = read_shape(tmp_path / f"m{suffix}").colors
    assert found is not None and found.faces is not None
    np.testing.assert_allclose(255 * found.colors, colors, atol=1e-3)
    write_mesh(tmp_path / f"n{suffix}", mesh.vertices, mesh.faces, package="finer-sdf")
    assert read_shape(tmp_path / f"n{suffix}").colors is None


def test_numbers_become_shares():
    np.testing.assert_allclose(color_table(np.array([[0, 51, 255]], dtype=np.uint8)), [[0, 0.2, 1]], atol=1e-7)
    np.testing.assert_allclose(color_table(np.array([[65535, 0, 13107]], dtype=np.uint16)), [[1, 0, 0.2]], atol=1e-7)
    np.testing.assert_allclose(color_table(np.array([[0.5, 0.25, 1.0]])), [[0.5, 0.25, 1]])
    np.testing.assert_allclose(color_table(np.array([[51.0, 0, 255]])), [[0.2, 0, 1]], atol=1e-7)
    assert color_table(np.array([[np.nan, 0, 0]])) is None


@pytest.mark.parametrize(
    ("numbers", "kind", "full"),
    [
        ([1, 0, 1], "u1", 255),
        ([3, 2, 100], "u2", 65535),
        ([255, 128, 0], "i4", 255),
        ([65535, 128, 0], "i4", 65535),
        ([2**32 - 1, 2**31, 0], "u4", 2**32 - 1),
        ([32767, 300, 0], "i2", 32767),
        ([1, 0, 1], "f8", 1),
        ([1.02, 0.5, 0.2], "f4", 1),
        ([2, 0, 1], "f8", 255),
        ([65535, 100, 0], "f8", 65535),
        ([255.4, 127.5, 0], "f8", 255),
    ],
)
def test_what_numbers_are_shares_of(numbers, kind, full):
    values = np.array([numbers], dtype=kind)
    np.testing.assert_allclose(color_table(values)[0], np.minimum(np.array(numbers) / full, 1), atol=1e-6)


@pytest.mark.parametrize("rest", ["", "property list uchar int more\n"])
@pytest.mark.parametrize(
    ("kind", "color"), [("ushort", (65535, 13107, 100)), ("uchar", (1, 0, 1)), ("float", (1.02, 0, 0.2))]
)
@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian"])
def test_colors_of_a_ply_file_are_of_their_declared_type(tmp_path, encoding, kind, color, rest):
    letter, full = {"ushort": ("H", 65535), "uchar": ("B", 255), "float": ("f", 1)}[kind]
    head = "".join(f"property float {axis}\n" for axis in "xyz")
    head += "".join(f"property {kind} {name}\n" for name in ("red", "green", "blue")) + rest
    points = np.random.default_rng(0).normal(size=(20, 3))
    data = b""
    for number, point in enumerate(points):
        more = [number % 2, *[0] * (number % 2)] if rest else []  # lists of several lengths: row by row
        if encoding == "ascii":
            data += (" ".join(map(str, [*point, *color, *more])) + "\n").encode()
        else:
            lists = struct.pack(f"<B{number % 2}i", *more) if rest else b""
            data += struct.pack(f"<3f3{letter}", *point, *color) + lists
    text = f"ply\nformat {encoding} 1.0\nelement vertex {len(points)}\n{head}end_header\n"
    (tmp_path / "a.ply").write_bytes(text.encode() + data)
    loaded = read_shape(tmp_path / "a.ply")
    np.testing.assert_allclose(loaded.colors.colors, [np.minimum(np.array(color) / full, 1)] * 20, atol=1e-6)


def test_colors_of_16_bits_in_a_text_table(tmp_path):
    rows = "".join(
        f"{x:.4f},{y:.4f},{z:.4f},65535,100,0\n" for x, y, z in np.random.default_rng(0).normal(size=(50, 3))
    )
    (tmp_path / "las.csv.xyz").write_text("X,Y,Z,Red,Green,Blue\n" + rows)
    loaded = read_shape(tmp_path / "las.csv.xyz")
    np.testing.assert_allclose(loaded.colors.colors, [[1, 100 / 65535, 0]] * 50, atol=1e-7)


def test_colors_of_an_obj_file_may_have_an_alpha_or_are_said_to_be_left_out(tmp_path):
    corners, faces = ["0 0 0", "1 0 0", "0 1 0", "0 0 1"], "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    path = tmp_path / "a.obj"
    path.write_text("".join(f"v {corner} 1 0.5 0.2 0.7\n" for corner in corners) + faces)
    np.testing.assert_allclose(read_shape(path).colors.colors, [[1, 0.5, 0.2]] * 4, atol=1e-6)
    path.write_text("".join(f"v {corner}{' 1 0 0' * (corner[0] == '0')}\n" for corner in corners) + faces)
    loaded = read_shape(path)
    assert loaded.colors is None and loaded.notes == ("left out its colors: 3 of 4 vertices have some",)
    path.write_text("".join(f"v {corner} nan 0 0\n" for corner in corners) + faces)
    loaded = read_shape(path)
    assert loaded.colors is None and loaded.notes == ("left out its colors: some are not finite",)


def test_colors_of_faces_given_in_python_are_said_to_be_left_out():
    box = trimesh.creation.box()
    box.visual.face_colors = [255, 0, 0, 255]
    loaded = as_shape(box)
    assert loaded.colors is None and loaded.notes == ("left out the colors of its faces",)


def test_samples_are_interpolated_over_faces(ball):
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    colors = SurfaceColors(points=corners, colors=np.eye(3, dtype=np.float32), faces=np.array([[0, 1, 2]]))
    points, drawn = colors.samples(1000, seed=0)
    np.testing.assert_allclose(drawn[:, 1:], points[:, :2], atol=1e-6)
    np.testing.assert_allclose(drawn.sum(axis=1), 1, atol=1e-6)


def test_colors_on_the_surface_are_those_of_the_scan(ball):
    """The bar: 30 dB. The distance is exact here, so that the mesh tells of colors alone."""

    loaded = as_shape(ball)
    plan = plan_fit(SdfConfig(steps=80, device="cpu", precision="fp32"), loaded.shape)
    model = SdfModel(network=Ball(radius=0.45), normalization=plan.frame)
    with pytest.raises(InputError, match="no colors"):
        model.colors(ball.vertices)
    psnr = add_color(model, plan, loaded)
    assert psnr is not None and psnr > 30
    assert color_psnr(model, loaded.colors, seed=1) == pytest.approx(psnr, abs=0.2)
    mesh = model.mesh(resolution=40)
    error = mesh.visual.vertex_colors[:, :3] / 255 - paint(mesh.vertices)
    assert -10 * np.log10(np.square(error).mean()) > 30


def head_of(shape, path) -> SdfModel:
    """Return a model with colors alone, fitted to what a file of the shape says."""
    shape.export(path)
    loaded = read_shape(path)
    plan = plan_fit(SdfConfig(steps=120, device="cpu", precision="fp32"), loaded.shape)
    model = SdfModel(network=torch.nn.Linear(3, 1), normalization=plan.frame)
    assert add_color(model, plan, loaded) is not None
    return model


def directions(count: int, *, seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def error_between(model: SdfModel, *, radius: float) -> float:
    """Return the RMS error at points of a sphere whose colors are (x, y, z) of the unit sphere."""
    points = directions(2000, seed=1)
    return float(np.sqrt(np.square(model.colors(radius * points) - (points + 1) / 2).mean()))


def test_between_the_points_of_a_sparse_cloud_there_are_colors_too(tmp_path):
    points = directions(200, seed=0)
    cloud = trimesh.PointCloud(points, colors=np.rint(127.5 * (points + 1)).astype(np.uint8))
    model = head_of(cloud, tmp_path / "cloud.ply")
    assert error_between(model, radius=1.0) < 0.08


def test_details_that_are_none_elsewhere_are_left_out(tmp_path):
    points = directions(2000, seed=0)
    noise = np.random.default_rng(0).integers(256, size=(2000, 3), dtype=np.uint8)
    model = head_of(trimesh.PointCloud(points, colors=noise), tmp_path / "cloud.ply")
    assert model.color is not None and model.color.detail is None
    model.network = build_network("finer", task="sdf", in_features=3, out_features=1, hidden_features=4)
    model.save(tmp_path / "m.safetensors")
    again = SdfModel.load(tmp_path / "m.safetensors")
    assert np.array_equal(again.colors(points), model.colors(points))


def test_beside_the_surface_colors_are_those_of_the_surface_nearby(tmp_path):
    mesh = trimesh.creation.icosphere(subdivisions=4)
    mesh.visual.vertex_colors = np.rint(127.5 * (mesh.vertices + 1)).astype(np.uint8)
    model = head_of(mesh, tmp_path / "mesh.ply")
    assert model.color is not None and model.color.detail is not None
    for radius, bound in ((1.0, 0.005), (1.02, 0.03), (1.05, 0.08)):
        assert error_between(model, radius=radius) < bound, radius


def test_colors_of_a_cloud_are_judged_where_they_were_not_fitted():
    points, colors = np.arange(300.0).reshape(100, 3), np.zeros((100, 3), dtype=np.float32)
    cloud = SurfaceColors(points=points, colors=colors)
    fitted, judged = ({*cloud.samples(3000, seed=0, held_out=each)[0][:, 0]} for each in (False, True))
    assert len(judged) == 5 and len(fitted) == 95 and not fitted & judged
    few = SurfaceColors(points=points[:10], colors=colors[:10])
    assert {*few.samples(300, seed=0)[0][:, 0]} == {*few.samples(300, seed=0, held_out=True)[0][:, 0]}


@pytest.fixture(scope="module")
def model(ball) -> SdfModel:
    return fit(ball, **TINY)[0]


def test_a_model_keeps_its_colors_in_its_file(model, ball, tmp_path):
    assert model.color is not None
    model.save(tmp_path / "m.safetensors")
    loaded = SdfModel.load(tmp_path / "m.safetensors")
    points = ball.vertices[:50]
    assert np.array_equal(loaded.colors(points), model.colors(points))
    assert np.array_equal(loaded(points), model(points))
    tensor = loaded.colors(torch.from_numpy(np.array(points)).reshape(5, 10, 3))
    assert tensor.shape == (5, 10, 3) and not tensor.requires_grad
    np.testing.assert_allclose(tensor.reshape(-1, 3), model.colors(points), atol=1e-6)
    assert loaded.colors(points).min() >= 0 and loaded.colors(points).max() <= 1


def test_colors_may_be_left_out_and_change_no_distance(model, ball):
    plain, _ = fit(ball, **TINY, color="off")
    assert plain.color is None and plain.mesh(resolution=16).visual.kind is None
    assert np.array_equal(plain(ball.vertices), model(ball.vertices))
    with pytest.raises(InputError, match="color"):
        fit(ball, **TINY, color="on")
    own, _ = fit(ball, **{**TINY, "network": torch.nn.Linear(3, 1)})
    assert own.color is None  # no file could hold both


def test_the_memory_of_a_fit_counts_pictures_and_points_with_colors(ball):
    loaded = as_shape(ball)
    side = np.broadcast_to(np.uint8(0), (12_000, 12_000, 3))
    faces = len(loaded.colors.faces)
    places = {"of_face": np.zeros(faces, dtype=np.int64), "places": np.zeros((faces, 3, 2))}
    texture = TextureMap(textures=(Texture(pixels=side),), **places)
    large = dataclasses.replace(loaded.colors, texture=texture)
    few = {"samples": 2000, "batch_points": 256, "device": "cpu"}
    for colors, memory, color in ((large, "800MB", "off"), (loaded.colors, "600MB", "auto")):
        plan_fit(SdfConfig(**few, memory=memory, color=color), loaded.shape)
        with pytest.raises(InputError, match=f"--memory {memory} leaves no room"):
            plan_fit(SdfConfig(**few, memory=memory, color=color), loaded.shape, colors=colors)
    plan_fit(SdfConfig(**few, memory="600MB", color="off"), loaded.shape, colors=loaded.colors)


def test_a_checkpoint_is_of_its_colors_too(ball, tmp_path):
    habits = {**TINY, "checkpoint": tmp_path / "fit.safetensors"}
    fit(ball, **habits)
    other = ball.copy()
    other.visual.vertex_colors = ball.visual.vertex_colors[::-1]
    for given in (other, trimesh.Trimesh(ball.vertices, ball.faces, process=False)):
        with pytest.raises(InputError, match="shape"):
            fit(given, **habits, resume=True)
    assert fit(ball, **habits, resume=True)[0].color is not None


def test_a_file_of_other_networks_is_refused(ball, tmp_path):
    from finer_core.io.model_file import save_model
    from finer_core.networks.network_dict import NetworkDict
    from finer_sdf.model_data import TASK

    size = {"task": TASK, "in_features": 3, "hidden_features": 4, "hidden_layers": 1}
    data = {"frame": Normalization(scale=1.0, offset=(0.0, 0.0, 0.0)).to_dict(), "shape": {}}
    for outputs, names, words in ((1, ("distance", "color"), "not a color field"), (3, ("a", "b"), "2 networks")):
        parts = {
            names[0]: build_network("finer", out_features=1, **size),
            names[1]: build_network("finer", out_features=outputs, **size),
        }
        save_model(NetworkDict(parts), tmp_path / "m.safetensors", task=TASK, task_data=data)
        with pytest.raises(InputError, match=words):
            SdfModel.load(tmp_path / "m.safetensors")


@pytest.mark.usefixtures("no_report")
def test_the_run_folder_of_a_colored_scan_has_a_colored_mesh(ball, tmp_path, capsys):
    ball.export(tmp_path / "scan.ply")
    out = tmp_path / "run"
    assert main(["fit", str(tmp_path / "scan.ply"), "--out", str(out), *SMALL, "--steps", "60"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["color_psnr"] > 10 and 0 < metrics["color_seconds"] < 1000  # beside those of the distance
    mesh = trimesh.load(out / "mesh.ply", process=False)
    loaded = SdfModel.load(out / "model.safetensors")
    wanted = np.rint(255 * loaded.colors(np.array(mesh.vertices)))
    assert np.abs(mesh.visual.vertex_colors[:, :3] - wanted).max() <= 1
    for suffix in ("glb", "obj", "stl"):
        path = str(tmp_path / f"m.{suffix}")
        assert main(["mesh", str(out / "model.safetensors"), "--resolution", "24", "--out", path, "--quiet"]) == 0
        (back,) = trimesh.load_scene(path, process=False).geometry.values()
        assert len(back.faces) > 100
        if suffix == "obj":
            assert np.ptp(back.visual.vertex_colors[:, 0]) > 50


@pytest.mark.parametrize("share", [0.4, 1.0])
@pytest.mark.parametrize("first", ["front", "back"])
@pytest.mark.parametrize("kind", ["vertices", "texture"])
def test_the_color_of_a_back_side_is_none_of_the_surface(share, first, kind):
    """Drawing programs paint both sides of a face; the mean of the two is on neither."""
    ball = trimesh.creation.icosphere(subdivisions=2)
    count, some = len(ball.vertices), np.arange(round(share * len(ball.faces)))
    sides = [ball.faces, ball.faces[some][:, ::-1] + count]
    faces = np.concatenate(sides if first == "front" else sides[::-1])
    is_back = np.repeat([False, True], count)
    if kind == "vertices":
        colors = np.where(is_back[:, None], [0, 0, 255, 255], [255, 0, 0, 255]).astype(np.uint8)
        visual = {"vertex_colors": colors}
    else:
        picture = Image.fromarray(np.repeat(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8), 2, axis=1))
        uv = np.stack([np.where(is_back, 0.875, 0.125), np.full(2 * count, 0.5)], axis=1)
        visual = {"visual": trimesh.visual.TextureVisuals(uv=uv, image=picture)}
    mesh = trimesh.Trimesh(np.vstack([ball.vertices] * 2), faces, process=False, **visual)
    loaded = as_shape(mesh)
    assert len(loaded.shape.faces) == len(ball.faces)
    _, colors = loaded.colors.samples(500, seed=0)
    np.testing.assert_allclose(colors, np.tile([1.0, 0, 0], (500, 1)), atol=1e-6)
    inwards = trimesh.Trimesh(ball.vertices, ball.faces[:, ::-1], process=False, vertex_colors=ball.vertices)
    assert len(as_shape(inwards).colors.faces) == len(ball.faces)
