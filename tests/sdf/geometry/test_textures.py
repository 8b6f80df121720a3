"""Textures and materials of surfaces: read as they are meant, from every format that has some, or named."""

import base64
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image as Pillow

from finer_core import InputError
from finer_core.io.glb import srgb_from_linear
from finer_sdf import fit
from finer_sdf.geometry.loaded_shape import LoadedShape
from finer_sdf.geometry.raw import BYTES_A_FACE, PROCESS_BYTES, Room
from finer_sdf.geometry.reader import read_raw, read_shape
from finer_sdf.geometry.textures import Texture
from finer_sdf.inputs import as_shape
from finer_sdf.training import color as color_fits
from finer_sdf.training.color import color_psnr
from tests.sdf.geometry.test_gltf import Builder
from tests.sdf.geometry.test_shape_formats import saved

QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
"""Red and green above blue and white."""


def picture(pixels: np.ndarray = QUARTERS, *, size: int = 16) -> Pillow.Image:
    return Pillow.fromarray(pixels).resize((size, size), Pillow.Resampling.NEAREST)


def png(pixels: np.ndarray = QUARTERS) -> bytes:
    file = io.BytesIO()
    picture(pixels).save(file, "PNG")
    return file.getvalue()


def colors_at(loaded: LoadedShape, *places: tuple[float, float]) -> list[list[float]]:
    """Return the colors at points of a square in the plane z = 0, by x and y in [0, 1]."""
    assert loaded.colors is not None
    points, colors = loaded.colors.samples(40_000, seed=0)
    flat = np.abs(points[:, 2]) < 1e-9
    nearest = [np.flatnonzero(flat)[np.square(points[flat, :2] - place).sum(axis=1).argmin()] for place in places]
    return np.round(colors[nearest].astype(np.float64), 2).tolist()


CORNERS = (0.25, 0.75), (0.75, 0.75), (0.25, 0.25), (0.75, 0.25)
SHOWN = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
"""What the corners of a square show whose lower left one has the lower left one of `QUARTERS`."""


def square() -> trimesh.Trimesh:
    """Return a flat box on the square [0, 1]^2, with its coordinates there as those of a texture."""
    box = trimesh.creation.box(bounds=[[0, 0, -0.2], [1, 1, 0]])
    box.unmerge_vertices()
    return box


def textured(material: Any) -> trimesh.Trimesh:
    mesh = square()
    mesh.visual = trimesh.visual.TextureVisuals(uv=mesh.vertices[:, :2], material=material)
    return mesh


@pytest.mark.parametrize("kind", ["trimesh", "trimesh, simple", "glb", "obj"])
def test_the_corners_of_a_picture_are_where_they_belong(kind, tmp_path):
    if kind in ("trimesh", "glb"):
        mesh = textured(trimesh.visual.material.PBRMaterial(baseColorTexture=picture()))
    else:
        mesh = textured(trimesh.visual.material.SimpleMaterial(image=picture()))
    if "trimesh" in kind:
        loaded = as_shape(mesh)
    else:
        mesh.export(tmp_path / f"a.{kind}")
        loaded = read_shape(tmp_path / f"a.{kind}")
    assert not [note for note in loaded.notes if "texture" in note or "material" in note]
    assert colors_at(loaded, *CORNERS) == SHOWN


@pytest.mark.parametrize(
    ("wrap", "at", "shown"),
    [
        ("repeat", 1.25, [1, 0, 0]),
        ("repeat", -0.25, [0, 1, 0]),
        ("mirror", 1.25, [0, 1, 0]),
        ("mirror", -0.25, [1, 0, 0]),
        ("mirror", 2.25, [1, 0, 0]),
        ("clamp", 1.25, [0, 1, 0]),
        ("clamp", -7e30, [1, 0, 0]),
    ],
)
def test_beyond_its_sides_a_picture_goes_on(wrap, at, shown):
    texture = Texture(pixels=np.array(picture()), wrap=(wrap, wrap))
    np.testing.assert_allclose(texture.linear_colors(np.array([[at, 0.25]])), [shown], atol=1e-6)


def test_pixels_are_blended_in_linear_intensities():
    texture = Texture(pixels=np.array([[[0] * 3, [255] * 3]], dtype=np.uint8), wrap=("clamp", "clamp"))
    found = texture.linear_colors(np.array([[0.25, 0.5], [0.375, 0.1], [0.5, 0.9], [0.75, 0.5]]))
    np.testing.assert_allclose(found, np.repeat([[0], [0.25], [0.5], [1]], 3, axis=1), atol=1e-6)


def glb_square(**info: Any) -> Builder:
    """Return a square of two triangles with a picture in the file, and what its texture info says besides."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype="<f4")
    built = Builder(corners)
    built.json["accessors"][1] |= {"count": 6}
    built.data = bytes(np.array([0, 1, 2, 0, 2, 3], "<u2").tobytes()).join(
        [built.data[: built.json["bufferViews"][1]["byteOffset"]], b""]
    )
    built.json["bufferViews"][1]["byteLength"] = 12
    places = built.add(np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype="<f4"))
    built.json["accessors"][places]["type"] = "VEC2"
    view = {"buffer": 0, "byteOffset": len(built.data), "byteLength": len(png())}
    built.data += png() + bytes(-len(png()) % 4)
    built.json["bufferViews"].append(view)
    built.json["images"] = [{"bufferView": len(built.json["bufferViews"]) - 1, "mimeType": "image/png"}]
    built.json["textures"] = [{"source": 0}]
    built.json["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, **info}}}]
    primitive = built.json["meshes"][0]["primitives"][0]
    primitive["attributes"]["TEXCOORD_0"] = places
    primitive["material"] = 0
    return built


def test_a_picture_in_a_glb_is_multiplied_by_the_material(tmp_path):
    built = glb_square()
    built.json["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [0.5, 1, 1, 1]
    loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
    half = round(float(srgb_from_linear(np.array(0.5))), 2)
    assert colors_at(loaded, *CORNERS) == [[half, 0, 0], [0, 1, 0], [0, 0, 1], [half, 1, 1]]


def test_mirrored_and_repeated_parts_keep_their_pictures(tmp_path):
    built = glb_square()
    built.json["nodes"] = [
        {"mesh": 0, "scale": [-1, 1, 1], "translation": [1, 0, 0]},
        {"mesh": 0, "translation": [0, 0, 5]},
    ]
    built.json["scenes"] = [{"nodes": [0, 1]}]
    loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
    assert colors_at(loaded, *CORNERS) == [SHOWN[1], SHOWN[0], SHOWN[3], SHOWN[2]]


@pytest.mark.parametrize(
    ("transform", "shown"),
    [
        ({"offset": [0.5, 0]}, [SHOWN[1], SHOWN[0], SHOWN[3], SHOWN[2]]),
        ({"scale": [1, -1]}, [SHOWN[2], SHOWN[3], SHOWN[0], SHOWN[1]]),
        # A quarter turn counter-clockwise of where corners lie turns the picture clockwise.
        ({"rotation": np.pi / 2}, [SHOWN[2], SHOWN[0], SHOWN[3], SHOWN[1]]),
    ],
)
def test_a_texture_may_be_moved(transform, shown, tmp_path):
    loaded = read_shape(saved(tmp_path / "a.glb", glb_square(extensions={"KHR_texture_transform": transform}).glb()))
    assert colors_at(loaded, *CORNERS) == shown


def test_a_gltf_names_its_picture_or_has_it_in_a_link(tmp_path):
    built = glb_square()
    data = "data:application/octet-stream;base64," + base64.b64encode(built.data).decode()
    for uri in ("my%20skin.png", "data:image/png;base64," + base64.b64encode(png()).decode()):
        content = {**built.json, "images": [{"uri": uri}], "buffers": [{"byteLength": len(built.data), "uri": data}]}
        (tmp_path / "my skin.png").write_bytes(png())
        path = saved(tmp_path / "a.gltf", json.dumps(content).encode())
        assert colors_at(read_shape(path), *CORNERS) == SHOWN
    (tmp_path / "my skin.png").unlink()
    content["images"] = [{"uri": "my%20skin.png"}]
    loaded = read_shape(saved(tmp_path / "a.gltf", json.dumps(content).encode()))
    assert loaded.colors is None
    assert loaded.notes[0] == "left out a texture: it is in 'my skin.png', which is not there; keep the files together"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda j: j["images"][0].update(uri="../skin.png"), "which is not in its folder"),
        (lambda j: j["images"][0].update(uri="/etc/hostname"), "which is not in its folder"),
        (lambda j: j["textures"][0].pop("source"), "of an extension that is not read"),
        (lambda j: j["textures"][0].update(source=7), "number 7 of 1 images"),
        (lambda j: j["meshes"][0]["primitives"][0]["attributes"].pop("TEXCOORD_0"), "no TEXCOORD_0"),
        (lambda j: j["images"][0].update(bufferView=0), "cannot be read as a picture"),
        (
            lambda j: j["textures"][0].update(sampler=0) or j.update(samplers=[{"wrapS": 3}]),
            "what it says of it is wrong",
        ),
    ],
)
def test_a_texture_that_cannot_be_read_is_left_out_with_the_reason(change, words, tmp_path):
    built = glb_square()
    change(built.json)
    loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
    assert loaded.colors is None
    (note,) = [note for note in loaded.notes if "texture" in note]
    assert words in note and len(note) <= 300


@pytest.mark.parametrize(
    ("material", "words"),
    [
        ({"extensions": None}, "what it says of it is wrong"),
        ({"extensions": {"KHR_materials_pbrSpecularGlossiness": 5}}, "what it says of it is wrong"),
        ({"pbrMetallicRoughness": None}, "what it says of it is wrong"),
        ({"pbrMetallicRoughness": {"baseColorFactor": [0.5, 0]}}, "its factor [0.5, 0] is not of 3 or 4 numbers"),
        ({"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": "red"}}}, "is wrong"),
        (7, "what it says of it is wrong"),
    ],
    ids=str,
)
def test_a_material_that_cannot_be_read_is_left_out_with_the_reason(material, words, tmp_path):
    built = glb_square()
    built.json["materials"].append(material)
    second = json.loads(json.dumps(built.json["meshes"][0])) | {"name": "second"}
    second["primitives"][0]["material"] = 1
    built.json["meshes"].append(second)
    built.json["nodes"] = [{"mesh": 0}, {"mesh": 1, "translation": [0, 0, 5]}]
    built.json["scenes"] = [{"nodes": [0, 1]}]
    loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
    assert colors_at(loaded, *CORNERS) == SHOWN
    points, colors = loaded.colors.samples(1000, seed=0)
    assert (colors[points[:, 2] > 1] == 1).all()
    (note,) = [note for note in loaded.notes if "material" in note]
    assert note.startswith("left out a material: ") and words in note and len(note) <= 300


TOP = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 -1\nv 1 0 -1\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
"""A square, with two vertices below its side y = 0."""


def obj(folder: Path, *, faces: str, materials: str, head: str = TOP) -> LoadedShape:
    (folder / "my skin.png").write_bytes(png())
    (folder / "a.mtl").write_text(materials)
    return read_shape(saved(folder / "a.obj", (head + faces).encode()))


def test_the_corners_of_polygons_have_places_of_their_own(tmp_path):
    materials = "newmtl skin\nKd 0.8 0.8 0.8\nmap_Kd -s 1 1 1 my skin.png\nnewmtl red\nKd 1 0 0\n"
    faces = "usemtl skin\nf 1/1/7 2/2 3/-2 4/4\nusemtl red\nf 1 2 6 5\n"
    loaded = obj(tmp_path, faces=faces, materials=materials)
    assert colors_at(loaded, *CORNERS) == SHOWN
    points, colors = loaded.colors.samples(1000, seed=0)
    assert (np.round(colors[points[:, 2] < -0.01]) == [1, 0, 0]).all()
    assert not [note for note in loaded.notes if "left out" in note]


@pytest.mark.parametrize(
    ("materials", "faces", "note", "is_colored"),
    [
        ("newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 1 0\n", "usemtl a\nf 1 2 3 4\nusemtl b\nf 1 2 6 5\n", None, True),
        ("newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 1 0\n", "usemtl a\nf 1 2 3 4\nf 1 2 6 5\n", None, False),
        ("newmtl a\nmap_Kd gone.png\n", "usemtl a\nf 1/1 2/2 3/3 4/4\n", "'gone.png', which is not there", False),
        ("newmtl a\nmap_Kd ../my skin.png\n", "usemtl a\nf 1/1 2/2 3/3\n", "which is not in its folder", False),
        ("newmtl a\nmap_Kd -o 0.5 0 my skin.png\n", "usemtl a\nf 1/1 2/2 3/3\n", "option -o 0.5 0 is not read", False),
        ("newmtl a\nmap_Kd a.mtl\n", "usemtl a\nf 1/1 2/2 3/3 4/4\n", "cannot be read as a picture", False),
        ("newmtl a\nmap_Kd my skin.png\n", "usemtl none\nf 1/1 2/2 3/3\n", "'none', which no library has", False),
        ("newmtl a\nKd 1 red 0\n", "usemtl a\nf 1/1 2/2 3/3 4/4\n", "a.mtl, line 2: 'red'", False),
    ],
)
def test_materials_of_obj_are_read_or_named(materials, faces, note, is_colored, tmp_path):
    loaded = obj(tmp_path, faces=faces, materials=materials)
    assert (loaded.colors is not None) == is_colored
    notes = [each for each in loaded.notes if "left out" in each]
    assert (note is None) == (not notes)
    assert not notes or note in notes[0]


def test_a_library_that_is_not_there_or_below_the_faces_is_named(tmp_path):
    loaded = read_shape(saved(tmp_path / "b.obj", (TOP.replace("a.mtl", "b.mtl") + "f 1 2 3 4\n").encode()))
    assert "left out its materials: it is in 'b.mtl', which is not there; keep the files together" in loaded.notes
    late = TOP.partition("\n")[2] + "usemtl a\nf 1 2 3 4\nmtllib a.mtl\nf 1/1 2/2 6/3 5/4\n"
    loaded = obj(tmp_path, faces="", materials="newmtl a\nmap_Kd my skin.png\n", head=late)
    assert "1 face above its material library left without material" in loaded.notes


def test_names_with_a_number_sign_and_places_above_the_library(tmp_path):
    head = TOP.partition("\n")[2] + "usemtl Material #26\nmtllib a.mtl\n"
    materials = "newmtl Material #25\nKd 1 0 0\nnewmtl Material #26\nmap_Kd my skin.png\n"
    assert colors_at(obj(tmp_path, faces="f 1/1 2/2 3/3 4/4\n", materials=materials, head=head), *CORNERS) == SHOWN


def test_faces_without_a_place_and_long_names_are_said(tmp_path):
    loaded = obj(tmp_path, faces="usemtl a\nf 1/9 2/2 3/3\n", materials="newmtl a\nmap_Kd my skin.png\n")
    assert "1 face of a texture have no place in it" in loaded.notes
    loaded = obj(tmp_path, faces="f 1 2 3\n", materials="", head=TOP.replace("a.mtl", "a" * 300 + ".mtl"))
    assert any("left out its materials" in note for note in loaded.notes)


def test_another_picture_is_another_surface(tmp_path):
    materials, faces = "newmtl a\nmap_Kd my skin.png\n", "usemtl a\nf 1/1 2/2 3/3 4/4\n"
    first = obj(tmp_path, faces=faces, materials=materials).sha256
    (tmp_path / "my skin.png").write_bytes(png(QUARTERS[::-1]))
    assert read_shape(tmp_path / "a.obj").sha256 != first


def test_the_factor_of_a_trimesh_material_is_multiplied_and_damaged_pictures_are_named(tmp_path):
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture(), baseColorFactor=[255, 0, 255, 255])
    assert colors_at(as_shape(textured(material)), *CORNERS) == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1]]
    (tmp_path / "cut.png").write_bytes(png()[:60])
    with Pillow.open(tmp_path / "cut.png") as half:
        mesh = textured(trimesh.visual.material.SimpleMaterial(image=half))
        (note,) = [note for note in as_shape(mesh).notes if note.startswith("read without its colors: ")]
        assert "truncated" in note


def test_the_materials_of_a_trimesh_are_read_face_by_face():
    mesh = square()
    top = (mesh.vertices[mesh.faces][..., 2] == 0).all(axis=1)
    skin = trimesh.visual.material.PBRMaterial(baseColorTexture=picture(), baseColorFactor=[255, 0, 255, 255])
    simple, plain = trimesh.visual.material.SimpleMaterial, trimesh.visual.material.PBRMaterial
    for other in (simple(diffuse=[0, 255, 0, 255]), plain(baseColorFactor=[0, 255, 0, 255])):
        mesh.visual = trimesh.visual.TextureVisuals(
            uv=mesh.vertices[:, :2],
            material=trimesh.visual.material.MultiMaterial([other, skin]),
            face_materials=top.astype(int),
        )
        loaded = as_shape(mesh)
        assert colors_at(loaded, *CORNERS) == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1]]
        points, colors = loaded.colors.samples(1000, seed=0)
        assert (np.round(colors[points[:, 2] < -0.01]) == [0, 1, 0]).all()
    mesh.visual.face_materials = np.where(top, 1, 7)
    loaded = as_shape(mesh)
    assert f"read {(~top).sum()} faces as white, without the number of a material" in loaded.notes
    assert colors_at(loaded, *CORNERS) == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1]]


def test_only_the_materials_that_faces_of_a_trimesh_have_are_read():
    deep = Pillow.fromarray(np.zeros((4, 4), dtype=np.uint16))
    simple = trimesh.visual.material.SimpleMaterial
    mesh = textured(trimesh.visual.material.MultiMaterial([simple(image=deep), simple(image=picture())]))
    mesh.visual.face_materials = np.ones(len(mesh.faces), dtype=int)
    assert colors_at(as_shape(mesh), *CORNERS) == SHOWN
    mesh.visual.face_materials[0] = 0
    loaded = as_shape(mesh)
    assert "read a material as white: its pixels are of mode I;16" in loaded.notes[0]
    assert "8 bits a channel" in loaded.notes[0] and colors_at(loaded, *CORNERS)[1:] == SHOWN[1:]


@pytest.mark.parametrize(
    ("material", "change", "words"),
    [
        ({"image": Pillow.new("RGB", (8, 8), (255, 0, 0))}, {}, "its picture is of one color"),
        ({"diffuse": [255, 0, 0, 255]}, {}, "it has no picture, and is of one color"),
        ({"image": picture()}, {"uv": None}, "its picture has no texture coordinates; set visual.uv"),
        ({"image": picture()}, {"uv": np.full((24, 2), np.nan)}, "must be two finite numbers for each vertex"),
        ({"image": picture()}, {"face_materials": None}, "the number of a material for each of 12 faces"),
    ],
)
def test_what_the_texture_of_a_trimesh_lacks_is_said(material, change, words):
    found = trimesh.visual.material.SimpleMaterial(**material)
    if "face_materials" in change:
        found = trimesh.visual.material.MultiMaterial([found])
    mesh = square()
    given = {"uv": mesh.vertices[:, :2], "material": found} | change
    mesh.visual = trimesh.visual.TextureVisuals(**given)
    loaded = as_shape(mesh)
    (note,) = [note for note in loaded.notes if note.startswith("read without its colors: ")]
    assert loaded.colors is None and words in note


def test_a_picture_too_large_for_the_memory_is_left_out(tmp_path):
    Pillow.new("RGB", (12_000, 12_000)).save(tmp_path / "big.png", compress_level=1)
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd big.png\n")
    path = saved(tmp_path / "a.obj", (TOP + "usemtl a\nf 1/1 2/2 3/3 4/4\n").encode())
    (note,) = [note for note in read_shape(path, memory="600MB").notes if "texture" in note]
    assert "MB" in note and len(note) <= 300


def test_a_trimesh_with_texture_coordinates_alone_says_so():
    loaded = as_shape(textured(trimesh.visual.material.SimpleMaterial()))
    assert loaded.colors is None and "no picture" in loaded.notes[0]


PLY = "ply\nformat ascii 1.0\ncomment TextureFile my skin.png\n"
PLY += "element vertex 6\nproperty float x\nproperty float y\nproperty float z\n"
PLY_FACES = "element face 2\nproperty list uchar int vertex_indices\n"
PLY_POINTS = ("0 0 0", "1 0 0", "1 1 0", "0 1 0", "0 0 -1", "1 0 -1")


def ply(folder: Path, head: str, vertices: tuple[str, ...], faces: tuple[str, ...]) -> LoadedShape:
    (folder / "my skin.png").write_bytes(png())
    (folder / "other.png").write_bytes(png(QUARTERS[::-1]))
    rows = "\n".join([*vertices, *faces])
    return read_shape(saved(folder / "a.ply", f"{head}end_header\n{rows}\n".encode()))


@pytest.mark.parametrize("names", [("s", "t"), ("u", "v"), ("texture_u", "texture_v")])
def test_the_vertices_of_a_ply_have_places_in_its_picture(names, tmp_path):
    head = PLY + "".join(f"property float {name}\n" for name in names) + PLY_FACES
    vertices = tuple(f"{point} {' '.join(point.split()[:2])}" for point in PLY_POINTS)
    loaded = ply(tmp_path, head, vertices, ("4 0 1 2 3", "4 0 1 5 4"))
    assert colors_at(loaded, *CORNERS) == SHOWN and not [note for note in loaded.notes if "left out" in note]


def test_the_corners_of_a_ply_have_places_in_its_pictures(tmp_path):
    head = PLY.replace("skin.png\n", "skin.png\ncomment TextureFile other.png\n")
    head += "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    head += PLY_FACES.replace("face 2", "face 3") + "property list uchar float texcoord\nproperty int texnumber\n"
    vertices = tuple(f"{point} 9 9 9" for point in PLY_POINTS)
    faces = ("3 0 1 2 6 0 0 1 0 1 1 0", "3 0 2 3 6 0 0 1 1 0 1 1", "4 0 1 5 4 0 0")
    loaded = ply(tmp_path, head, vertices, faces)
    assert colors_at(loaded, CORNERS[0], CORNERS[3]) == [SHOWN[2], SHOWN[3]]
    assert "left out the colors of its vertices: it has a texture" in loaded.notes
    assert "2 faces of a texture have no place in it" in loaded.notes


def test_a_ply_without_picture_or_place_in_it_says_so(tmp_path):
    faces = ("4 0 1 2 3 8 0 0 1 0 1 1 0 1", "4 0 1 5 4 8 0 0 1 0 1 1 0 1")
    wedges = PLY_FACES + "property list uchar float texcoord\n"
    for head, words in (
        (PLY.replace("my skin", "gone"), "'gone.png', which is not there; keep the files together"),
        (PLY.replace("TextureFile", "file"), "no line `comment TextureFile` of its header names a picture"),
    ):
        loaded = ply(tmp_path, head + wedges, PLY_POINTS, faces)
        (note,) = [note for note in loaded.notes if "left out its texture: " in note]
        assert words in note and loaded.colors is None
    for head, end in ((PLY + PLY_FACES, ""), (PLY + wedges, " 0")):
        loaded = ply(tmp_path, head, PLY_POINTS, (f"4 0 1 2 3{end}", f"4 0 1 5 4{end}"))
        assert loaded.colors is None
        assert "left out its texture: neither its corners nor its vertices have places in it" in loaded.notes


def test_only_the_pictures_that_faces_of_a_ply_have_are_read(tmp_path):
    head = PLY.replace("my skin.png", "gone.png\ncomment TextureFile my skin.png\ncomment TextureFile gone too.png")
    colors = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    head += colors + PLY_FACES + "property list uchar float texcoord\nproperty int texnumber\n"
    vertices = tuple(f"{point} 0 0 255" for point in PLY_POINTS)
    first, second = "4 0 1 2 3 8 0 0 1 0 1 1 0 1", "4 0 1 5 4 8 0 0 1 0 1 1 0 1"
    loaded = ply(tmp_path, head, vertices, (f"{first} 1", f"{second} 1"))
    assert colors_at(loaded, *CORNERS) == SHOWN and not [note for note in loaded.notes if "left out its" in note]
    for number in (-1, 3):
        loaded = ply(tmp_path, head, vertices, (f"{first} 1", f"{second} {number}"))
        assert colors_at(loaded, *CORNERS) == SHOWN
        assert "read 1 face as white, without the number of a texture" in loaded.notes
    loaded = ply(tmp_path, head, vertices, (f"{first} -1", f"{second} 3"))
    assert colors_at(loaded, *CORNERS) == [[0, 0, 1]] * 4
    assert "left out its texture: no face has a texnumber from 0 to 2" in loaded.notes
    loaded = ply(tmp_path, head, vertices, (f"{first} 1", f"{second} 2"))
    assert colors_at(loaded, *CORNERS) == SHOWN
    (note,) = [note for note in loaded.notes if "left out a texture: " in note]
    assert "'gone too.png', which is not there" in note


def test_the_diffuse_color_of_the_older_extension_of_gltf_is_read(tmp_path):
    built, half = glb_square(), round(float(srgb_from_linear(np.array(0.5))), 2)
    info = built.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    older = {"diffuseTexture": info, "diffuseFactor": [0.5, 1, 1, 1]}
    extensions = {"KHR_materials_pbrSpecularGlossiness": older}
    built.json["extensionsRequired"] = list(extensions)
    for usual in ({}, {"baseColorFactor": [1, 0, 0, 1]}):
        built.json["materials"] = [{"pbrMetallicRoughness": usual, "extensions": extensions}]
        loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
        assert colors_at(loaded, *CORNERS) == [[half, 0, 0], [0, 1, 0], [0, 0, 1], [half, 1, 1]]
    built.json["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": info}, "extensions": extensions}]
    assert colors_at(read_shape(saved(tmp_path / "a.glb", built.glb())), *CORNERS) == SHOWN


def test_parts_of_a_gltf_count_together(tmp_path):
    built = glb_square()
    built.json["nodes"] = [{"mesh": 0, "translation": [0, 0, height]} for height in range(50)]
    built.json["scenes"] = [{"nodes": list(range(50))}]
    path = saved(tmp_path / "a.glb", built.glb())
    needed = PROCESS_BYTES + 50 * (2 * BYTES_A_FACE + 3 * 100)
    assert read_raw(path, Room(memory=needed + 10_000), known=(".glb",)).faces is not None
    with pytest.raises(InputError, match="reading 100 faces needs about"):
        read_raw(path, Room(memory=needed - 1), known=(".glb",))


def test_pictures_that_are_held_count_with_the_faces(tmp_path):
    side = 2000
    Pillow.new("RGB", (side, side)).save(tmp_path / "big.png", compress_level=1)
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd big.png\n")
    path = saved(tmp_path / "a.obj", (TOP + "usemtl a\n" + "f 1/1 2/2 3/3\n" * 75_000).encode())
    assert read_raw(path, Room(memory=522_000_000), known=(".obj",)).texture is not None
    with pytest.raises(InputError, match=r"reading .* faces needs about"):
        read_raw(path, Room(memory=512_000_000), known=(".obj",))


def test_a_fit_learns_the_colors_of_a_texture(monkeypatch):
    monkeypatch.setattr(color_fits, "COLOR_BATCH", 1024)
    monkeypatch.setattr(color_fits, "color_samples", lambda steps: 2048 * steps)
    monkeypatch.setattr(color_fits, "color_psnr", partial(color_psnr, samples=20_000))
    monkeypatch.setattr(color_fits, "_GRID", {**color_fits._GRID, "log2_table_size": 14})
    ball = trimesh.creation.icosphere(subdivisions=3, radius=2.0)
    u, v = 0.5 + ball.vertices[:, 0] / 5, 0.5 + ball.vertices[:, 1] / 5
    ramp = np.linspace(0, 1, 64)
    pixels = np.stack(np.broadcast_arrays(ramp[None, :], ramp[::-1, None], 0.5), axis=2)
    skin = Pillow.fromarray((255 * pixels).astype(np.uint8))
    material = trimesh.visual.material.SimpleMaterial(image=skin)
    ball.visual = trimesh.visual.TextureVisuals(uv=np.stack([u, v], axis=1), material=material)
    small = {"samples": 20_000, "batch_points": 256, "network": {"hidden_features": 16}}
    model, _ = fit(ball, steps=150, device="cpu", precision="fp32", **small)
    points = np.array([[2.0, 0, 0], [-2, 0, 0], [0, 2, 0], [0, -2, 0]])
    wanted = [[0.9, 0.5, 0.5], [0.1, 0.5, 0.5], [0.5, 0.9, 0.5], [0.5, 0.1, 0.5]]
    np.testing.assert_allclose(model.colors(points), wanted, atol=0.06)
