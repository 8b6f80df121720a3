"""glTF files: quantized, instanced and nested ones are read as they are meant, others refused by name."""

import base64
import copy
import json
import struct
from typing import Any

import numpy as np
import pytest
import trimesh

from finer_sdf.geometry.reader import read_shape
from tests.sdf.geometry.test_shape_formats import refusal, saved

CUBE = trimesh.creation.box(bounds=[[0, 0, 0], [1, 1, 1]])
INDICES = np.asarray(CUBE.faces, dtype="<u2").ravel()
INSTANCES = "EXT_mesh_gpu_instancing"


class Builder:
    """Put a glTF file together: a node with a mesh of one primitive."""

    def __init__(self, positions: np.ndarray, **accessor: Any) -> None:
        self.data = b""
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "accessors": [],
            "bufferViews": [],
        }
        primitive = {"attributes": {"POSITION": self.add(positions, **accessor)}, "indices": self.add(INDICES)}
        self.json["meshes"] = [{"primitives": [primitive]}]

    def add(self, values: np.ndarray, **accessor: Any) -> int:
        kinds = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "float32": 5126}
        width = 1 if values.ndim == 1 else values.shape[1]
        table = values.reshape(len(values), width)
        stride = -(-width * values.itemsize // 4) * 4 if width > 1 else values.itemsize
        padded = np.zeros((len(values), stride // values.itemsize), dtype=values.dtype)
        padded[:, :width] = table
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": padded.nbytes}
        self.json["bufferViews"].append(view | ({"byteStride": stride} if width > 1 else {}))
        self.data += padded.tobytes() + bytes(-padded.nbytes % 4)
        kind = {"componentType": kinds[values.dtype.name], "type": ("SCALAR", "", "VEC3", "VEC4")[width - 1]}
        self.json["accessors"].append({"bufferView": len(self.json["bufferViews"]) - 1, "count": len(values), **kind})
        self.json["accessors"][-1] |= accessor
        return len(self.json["accessors"]) - 1

    def glb(self, **changes: Any) -> bytes:
        text = json.dumps({**self.json, "buffers": [{"byteLength": len(self.data)}], **changes}).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(self.data), b"BIN\0")
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks) + len(self.data)) + chunks + self.data


def plain() -> Builder:
    return Builder(np.asarray(CUBE.vertices, dtype="<f4"))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("normalized", [True, False])
def test_quantised_positions(tmp_path, kind, normalized):
    """The largest integer stands for 1, or for itself."""
    largest = np.iinfo(kind).max
    made = Builder(
        (np.asarray(CUBE.vertices) * largest).astype(np.dtype(kind).newbyteorder("<")), normalized=normalized
    )
    scale = (np.array([3, 2, 1]) if normalized else np.array([3, 2, 1]) / largest).tolist()
    nodes = [{"mesh": 0, "scale": scale}]
    content = made.glb(nodes=nodes, extensionsRequired=["KHR_mesh_quantization"])
    shape = read_shape(saved(tmp_path / "a.glb", content)).shape
    assert shape.bounds == pytest.approx(np.array([[0, 0, 0], [3, 2, 1]])) and shape.volume() == pytest.approx(6)


@pytest.mark.parametrize("required", [True, False])
def test_instances_are_placed(tmp_path, required):
    made = plain()
    turned = [[0, 0, 0, 32767], [0, 0, 23170, 23170], [0, 0, 0, 32767]]  # the second by 90 degrees about z
    attributes = {
        "TRANSLATION": made.add(np.array([[0, 0, 0], [10, 0, 0], [20, 0, 0]], dtype="<f4")),
        "ROTATION": made.add(np.array(turned, dtype="<i2"), normalized=True),
        "SCALE": made.add(np.array([[1, 1, 1], [3, 1, 1], [1, 2, 1]], dtype="<f4")),
        "_FEATURE": made.add(np.zeros(3, dtype="<f4")),
    }
    nodes = [{"mesh": 0, "translation": [0, 0, 5], "extensions": {INSTANCES: {"attributes": attributes}}}]
    content = made.glb(nodes=nodes, **({"extensionsRequired": [INSTANCES]} if required else {}))
    shape = read_shape(saved(tmp_path / "a.glb", content)).shape
    assert shape.volume() == pytest.approx(1 + 3 + 2)
    assert shape.bounds == pytest.approx(np.array([[0, 0, 5], [21, 3, 6]]), abs=1e-3)


@pytest.mark.parametrize("name", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "X_of_tomorrow"])
def test_required_extensions_are_refused_by_name(tmp_path, name):
    assert name in refusal(saved(tmp_path / "a.glb", plain().glb(extensionsRequired=[name])))


def test_extensions_that_change_no_vertex_are_read(tmp_path):
    content = plain().glb(extensionsRequired=["KHR_materials_unlit", "KHR_texture_transform"])
    assert read_shape(saved(tmp_path / "a.glb", content)).shape.volume() == pytest.approx(1)


def test_compressed_parts_are_refused_although_nothing_is_required(tmp_path):
    made = plain()
    empty = [{key: value for key, value in stored.items() if key != "bufferView"} for stored in made.json["accessors"]]
    made.json["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    assert "draco" in refusal(saved(tmp_path / "a.glb", made.glb(accessors=empty)))
    for name in ("EXT_meshopt_compression", "KHR_meshopt_compression"):
        views = [view | {"extensions": {name: {}}} for view in made.json["bufferViews"]]
        assert name in refusal(saved(tmp_path / "b.glb", plain().glb(bufferViews=views)))


def test_a_second_buffer_without_a_link_holds_nothing(tmp_path):
    """The chunk behind the JSON is the first one's alone."""
    made = plain()
    buffers = 2 * [{"byteLength": 168}]
    views = [view | {"buffer": 1} for view in made.json["bufferViews"]]
    assert "its buffer holds 0 bytes" in refusal(
        saved(tmp_path / "a.glb", made.glb(bufferViews=views, buffers=buffers))
    )


def test_nodes_stand_in_one_another(tmp_path):
    turn = [0, 0, np.sqrt(0.5), np.sqrt(0.5)]
    nodes = [
        {"children": [1, 2], "translation": [10, 0, 0]},
        {"mesh": 0, "rotation": turn, "scale": [2, 1, 1]},
        {"children": [3], "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 0, 0, 1]},
        {"mesh": 0},
    ]
    loaded = read_shape(saved(tmp_path / "a.glb", plain().glb(nodes=nodes)))
    assert loaded.shape.volume() == pytest.approx(3) and loaded.notes == ("it has 2 separate parts; all are kept",)
    assert loaded.shape.bounds == pytest.approx(np.array([[9, 0, 0], [15, 2, 1]]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "twice"),
        ({"nodes": [{"children": [1, 1]}, {"mesh": 0}]}, "twice"),
        ({"nodes": [{"mesh": 0, "children": [7]}]}, "number 7 of 1"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 8}] * 2}, "beyond"),
        ({"buffers": [{"byteLength": 168, "uri": "absent.bin"}]}, "absent.bin"),
        ({"asset": {"version": "1.0"}}, "version 2"),
        ({"accessors": 7}, "cannot be read as .glb"),
    ],
)
def test_files_that_contradict_themselves(tmp_path, changes, words):
    assert words in refusal(saved(tmp_path / "a.glb", plain().glb(**changes)))


def test_a_name_that_stands_twice_is_refused(tmp_path):
    text = json.dumps({**plain().json, "buffers": []}).replace('{"asset"', '{"scene": 5, "asset"', 1)
    assert "'scene' stands there twice" in refusal(saved(tmp_path / "a.gltf", text))


def test_counts_are_bounded_by_the_data_and_the_memory(tmp_path):
    made = plain()
    made.json["accessors"][0]["count"] = 10**12
    assert "beyond" in refusal(saved(tmp_path / "a.glb", made.glb()))
    made.json["accessors"][0] |= {"sparse": {}}
    del made.json["accessors"][0]["bufferView"]
    assert "--memory" in refusal(saved(tmp_path / "a.glb", made.glb()), memory=10**9)
    assert "cut short" in refusal(saved(tmp_path / "a.glb", plain().glb()[:-20]))


def test_sparse_accessors_strips_and_files_beside(tmp_path):
    made = plain()
    moved = made.add(np.array([6], dtype="<u2")), made.add(np.array([[1, 1, 4]], dtype="<f4"))
    views = [{"bufferView": made.json["accessors"][index]["bufferView"]} for index in moved]
    corner = int(np.flatnonzero((np.asarray(CUBE.vertices) == [1, 1, 1]).all(axis=1))[0])
    made.data = made.data.replace(np.array([6], "<u2").tobytes() + b"\0\0", np.array([corner, 0], "<u2").tobytes())
    sparse = {"count": 1, "indices": views[0] | {"componentType": 5123}, "values": views[1]}
    made.json["accessors"][0]["sparse"] = sparse
    assert read_shape(saved(tmp_path / "a.glb", made.glb())).shape.bounds[1].tolist() == [1, 1, 4]
    for name, index in (("b", -1), ("b", 8), ("H", 8)):  # neither counts from the end
        wrong = copy.deepcopy(made)
        wrong.json["accessors"][0]["sparse"]["indices"]["componentType"] = {"b": 5120, "H": 5123}[name]
        start = made.json["bufferViews"][views[0]["bufferView"]]["byteOffset"]
        wrong.data = wrong.data[:start] + struct.pack(f"<{name}", index) + wrong.data[start + struct.calcsize(name) :]
        assert f"element {index} of 8" in refusal(saved(tmp_path / "w.glb", wrong.glb()))
    (tmp_path / "b c.bin").write_bytes(made.data)
    uris = ["b%20c.bin", "data:application/octet-stream;base64," + base64.b64encode(made.data).decode()]
    for uri in uris:
        text = json.dumps({**made.json, "buffers": [{"byteLength": len(made.data), "uri": uri}]})
        assert read_shape(saved(tmp_path / "a.gltf", text)).shape.bounds[1].tolist() == [1, 1, 4]
    strip = Builder(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype="<f4"))
    primitive = {"attributes": {"POSITION": 0}, "mode": 5}
    shape = read_shape(saved(tmp_path / "s.glb", strip.glb(meshes=[{"primitives": [primitive]}]))).shape
    assert shape.area() == 1 and (shape.face_vectors()[:, 2] > 0).all()
    primitive["mode"] = 6
    shape = read_shape(saved(tmp_path / "f.glb", strip.glb(meshes=[{"primitives": [primitive]}]))).shape
    assert len(shape.faces) == 2 and (shape.faces[:, 0] == shape.faces[0, 0]).all()


@pytest.mark.parametrize(
    "uri", ["../secret.bin", "%2e%2e/secret.bin", "a/../../secret.bin", "..%5Csecret.bin", "/proc/self/environ", "{}"]
)
def test_data_outside_of_the_folder_are_refused_by_name(tmp_path, uri):
    made = plain()
    (tmp_path / "secret.bin").write_bytes(made.data)
    (tmp_path / "in" / "a").mkdir(parents=True)
    uri = uri.format(tmp_path / "secret.bin")
    text = json.dumps({**made.json, "buffers": [{"byteLength": len(made.data), "uri": uri}]})
    message = refusal(saved(tmp_path / "in" / "a.gltf", text))
    assert "which is not in its folder" in message and "names vertices" not in message
    (tmp_path / "in" / "a" / "b.bin").write_bytes(made.data)
    text = json.dumps({**made.json, "buffers": [{"byteLength": len(made.data), "uri": "./a/b.bin"}]})
    assert len(read_shape(saved(tmp_path / "in" / "a.gltf", text)).shape.faces) == 12


@pytest.mark.parametrize(
    "link",
    [
        lambda data: "data:application/octet-stream;base64," + base64.b64encode(data).decode(),
        lambda data: "data:;base64," + base64.b64encode(data).decode().rstrip("="),
        lambda data: "data:;BASE64," + base64.b64encode(data).decode(),
        lambda data: "data:;base64," + base64.urlsafe_b64encode(data).decode(),
        lambda data: "data:;base64," + base64.encodebytes(data).decode(),
        lambda data: "data:application/octet-stream," + "".join(f"%{byte:02X}" for byte in data),
    ],
    ids=["usual", "unpadded", "in capitals", "of addresses", "in lines", "escaped"],
)
def test_data_in_a_link_itself(tmp_path, link):
    made = plain()
    made.data += bytes([251, 255, 0])  # + and / in base64, and a rest that is padded
    text = json.dumps({**made.json, "buffers": [{"byteLength": len(made.data), "uri": link(made.data)}]})
    assert read_shape(saved(tmp_path / "a.gltf", text)).shape.volume() == pytest.approx(1)


def test_data_in_a_link_that_are_damaged_are_refused(tmp_path):
    made = plain()
    link = "data:;base64," + base64.b64encode(made.data).decode().replace("A", "!", 4)
    text = json.dumps({**made.json, "buffers": [{"byteLength": len(made.data), "uri": link}]})
    assert "cannot be read as .gltf" in refusal(saved(tmp_path / "a.gltf", text))


def test_what_is_left_out_is_said(tmp_path):
    made = plain()
    made.json["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}, "mode": 0})
    made.json["meshes"][0]["primitives"][0]["targets"] = [{}]
    content = made.glb(nodes=[{"mesh": 0, "skin": 0}], scenes=[{"nodes": [0]}, {"nodes": []}])
    notes = " ".join(read_shape(saved(tmp_path / "a.glb", content)).notes)
    assert all(word in notes for word in ("bones", "morph targets", "2 scenes", "points and lines")), notes


@pytest.mark.parametrize("above", [True, False])
def test_hidden_nodes_are_left_out_with_all_below_them(tmp_path, above):
    hidden = {"extensions": {"KHR_node_visibility": {"visible": False}}}
    nodes = [
        {"mesh": 0, "extensions": {"KHR_node_visibility": {"visible": True}}},
        {"children": [2], **(hidden if above else {})},
        {"mesh": 0, "translation": [5, 0, 0], **({} if above else hidden)},
    ]
    changes = {"nodes": nodes, "scenes": [{"nodes": [0, 1]}], "extensionsRequired": ["KHR_node_visibility"]}
    loaded = read_shape(saved(tmp_path / "a.glb", plain().glb(**changes)))
    assert loaded.shape.bounds == pytest.approx(np.array([[0, 0, 0], [1, 1, 1]]))
    assert loaded.notes == ("left out 1 hidden mesh",)


def test_bones_place_a_mesh_and_its_node_does_not(tmp_path):
    """The upper corners hang on the second bone, which stands 3 higher than where the mesh was bound to it."""
    made = plain()
    vertices = np.asarray(CUBE.vertices)
    is_upper = (vertices[:, 2] > 0.5)[:, None]
    joints = np.where(is_upper, [1, 0, 0, 0], [0, 1, 0, 0]).astype("u1")
    weights = np.tile(np.array([255, 0, 0, 0], dtype="u1"), (8, 1))
    binds = np.tile(np.eye(4), (2, 1, 1))
    binds[1, 2, 3] = -1.0
    primitive = made.json["meshes"][0]["primitives"][0]
    primitive["attributes"] |= {"JOINTS_0": made.add(joints), "WEIGHTS_0": made.add(weights, normalized=True)}
    bound = made.add(binds.transpose(0, 2, 1).reshape(8, 4).astype("<f4"))
    made.json["accessors"][bound] |= {"count": 2, "type": "MAT4"}
    del made.json["bufferViews"][-1]["byteStride"]
    nodes = [
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},
        {"children": [2], "translation": [7, 0, 0]},
        {"translation": [0, 0, 4]},
    ]
    skins = [{"joints": [1, 2], "inverseBindMatrices": bound}]
    loaded = read_shape(saved(tmp_path / "a.glb", made.glb(nodes=nodes, skins=skins, scenes=[{"nodes": [0, 1]}])))
    assert loaded.shape.bounds == pytest.approx(np.array([[7, 0, 0], [8, 1, 4]]))
    assert loaded.notes == ("it has bones; read in the pose that they have in the file",)
    loaded = read_shape(saved(tmp_path / "b.glb", made.glb(nodes=nodes[:1] + [{}, {}], skins=skins)))
    assert loaded.shape.bounds == pytest.approx(np.array([[0, 0, 0], [1, 1, 1]]))
    assert "node 1 is a bone and not in the scene" in loaded.notes[0]
    below = np.where(is_upper, [-1, 0, 0, 0], [0, -1, 0, 0]).astype("i1")
    primitive["attributes"]["JOINTS_0"] = made.add(below)
    loaded = read_shape(saved(tmp_path / "c.glb", made.glb(nodes=nodes, skins=skins, scenes=[{"nodes": [0, 1]}])))
    assert "bone -1 of 2" in loaded.notes[0]


LINEAR = 0.21404114
"""What sRGB shows as 0.5."""


def colored(*parts: tuple[bool, list[float] | None]) -> Builder:
    """Return cubes, a node each: with colors, half gray, or without, and of a material of this color or of none."""
    built = plain()
    first = built.json["meshes"][0]["primitives"][0]
    gray = built.add(np.full((8, 3), LINEAR, dtype="<f4"))
    factors = [factor for _, factor in parts if factor]
    built.json["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": factor}} for factor in factors]
    built.json["meshes"] = [
        {
            "primitives": [
                {
                    **first,
                    "attributes": first["attributes"] | ({"COLOR_0": gray} if has_colors else {}),
                    **({"material": factors.index(factor)} if factor else {}),
                }
            ]
        }
        for has_colors, factor in parts
    ]
    built.json["nodes"] = [{"mesh": i, "translation": [3 * i, 0, 0]} for i in range(len(parts))]
    built.json["scenes"] = [{"nodes": list(range(len(parts)))}]
    return built


@pytest.mark.parametrize(
    ("parts", "colors"),
    [
        ([(True, None), (False, None)], [(0.5, 0.5, 0.5), (1, 1, 1)]),
        ([(True, [1, 0, LINEAR, 1])], [(0.5, 0, 0.236967)]),
        ([(False, [0, LINEAR, 1, 1]), (True, [1, 1, 1, 0.5])], [(0, 0.5, 1), (0.5, 0.5, 0.5)]),
        ([(False, [1, 0, 0, 1]), (False, None)], [(1, 0, 0), (1, 1, 1)]),
        ([(False, [1, 0, 0, 1]), (False, [1, 0, 0, 1])], None),
    ],
)
def test_vertex_colors_are_multiplied_by_the_materials_and_white_where_there_are_none(tmp_path, parts, colors):
    loaded = read_shape(saved(tmp_path / "a.glb", colored(*parts).glb()))
    assert not [note for note in loaded.notes if "color" in note]
    if colors is None:
        assert loaded.colors is None
    else:
        np.testing.assert_allclose(loaded.colors.colors, np.repeat(colors, 8, axis=0), atol=1e-4)


@pytest.mark.parametrize("normalized", [{"normalized": True}, {}])
def test_integer_colors_are_shares_of_the_largest_whether_it_is_said_or_not(tmp_path, normalized):
    built = plain()
    table = np.array([[0, 51, 255]] * 8, dtype=np.uint8)
    built.json["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = built.add(table, **normalized)
    loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
    np.testing.assert_allclose(loaded.colors.colors, [[0, 0.484529, 1]] * 8, atol=1e-4)


def test_vertex_colors_that_are_none_are_said_to_be_left_out(tmp_path):
    built = colored((True, None), (True, None))
    bad = built.add(np.full((7, 3), 0.5, dtype="<f4"))
    built.json["meshes"][1]["primitives"][0]["attributes"]["COLOR_0"] = bad
    loaded = read_shape(saved(tmp_path / "a.glb", built.glb()))
    assert "left out the colors of a part: they are not three finite numbers a vertex" in loaded.notes
    np.testing.assert_allclose(loaded.colors.colors, np.repeat([[0.5] * 3, [1] * 3], 8, axis=0), atol=1e-4)


def test_points_alone_keep_colors_and_normals(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    points = np.asarray(ball.vertices, dtype="<f4")
    made = Builder(points)
    gray = np.full((len(points), 3), LINEAR, dtype="<f4")
    attributes = {"POSITION": 0, "NORMAL": made.add(points), "COLOR_0": made.add(gray)}
    bare = {"attributes": {"POSITION": 0, "NORMAL": attributes["NORMAL"]}, "mode": 0}
    made.json["meshes"] = [{"primitives": [{"attributes": attributes, "mode": 0}]}, {"primitives": [bare]}]
    # Half as high, and a quarter turn about x beside it: normals follow the surface, and not its points.
    turn = {"mesh": 1, "translation": [9, 0, 0], "rotation": [0.5**0.5, 0, 0, 0.5**0.5]}
    content = made.glb(nodes=[{"mesh": 0, "scale": [1, 0.5, 1]}, turn], scenes=[{"nodes": [0, 1]}])
    loaded = read_shape(saved(tmp_path / "a.glb", content))
    count = len(points)
    np.testing.assert_allclose(loaded.colors.colors, np.repeat([[0.5] * 3, [1.0] * 3], count, axis=0), atol=1e-4)
    assert loaded.colors.faces is None and len(loaded.shape.points) == 2 * count
    wanted = points.astype(np.float64) * [1, 2, 1]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.shape.normals[:count], wanted, atol=1e-6)
    np.testing.assert_allclose(loaded.shape.normals[count:], points[:, [0, 2, 1]] * [1, -1, 1], atol=1e-6)
