"""Binary glTF: whole chunks, linear colors, a matrix that turns upright, a material that is no metal."""

import json
import struct

import numpy as np
import pytest

from finer_core.io.glb import UPRIGHT, glb_bytes, linear_from_srgb, srgb_from_linear

CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
COLORS = np.array([[0, 0, 0], [255, 0, 10], [188, 128, 1], [3, 250, 255]], dtype=np.uint8)


def chunks_of(data: bytes) -> tuple[dict, bytes]:
    """Take a file apart, checking what the format says of its frame."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    tree = json.loads(data[20 : 20 + size])
    rest, kind = struct.unpack_from("<I4s", data, 20 + size)
    content = data[28 + size :]
    assert kind == b"BIN\0" and rest == len(content) == tree["buffers"][0]["byteLength"] and rest % 4 == 0
    return tree, content


def table_of(tree: dict, content: bytes, number: int) -> np.ndarray:
    accessor = tree["accessors"][number]
    view = tree["bufferViews"][accessor["bufferView"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
    assert view["byteOffset"] % 4 == 0 and view["byteLength"] == 4 * width * accessor["count"]
    return np.frombuffer(content, kind, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)


def test_what_is_written_is_there():
    normals = CORNERS + [0, 0, 1]
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    tree, content = chunks_of(glb_bytes(CORNERS, FACES, normals=normals, colors=COLORS))
    (primitive,) = tree["meshes"][0]["primitives"]
    tables = {name: table_of(tree, content, number) for name, number in primitive["attributes"].items()}
    np.testing.assert_array_equal(tables["POSITION"], CORNERS)
    np.testing.assert_allclose(tables["NORMAL"], normals, atol=1e-7)
    np.testing.assert_allclose(tables["COLOR_0"][:, :3], linear_from_srgb(COLORS / 255), atol=1e-7)
    assert (tables["COLOR_0"][:, 3] == 1).all()
    np.testing.assert_array_equal(table_of(tree, content, primitive["indices"]).ravel(), FACES.ravel())
    first = tree["accessors"][primitive["attributes"]["POSITION"]]
    assert (first["min"], first["max"]) == ([0, 0, 0], [1, 2, 3])
    material = tree["materials"][primitive["material"]]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0 and "baseColorFactor" not in str(material)
    assert "matrix" not in tree["nodes"][0]


def test_a_texture_is_there_as_it_was_given():
    uv = np.array([[0, 0], [1, 0], [0.25, 1], [0.5, 0.5]])
    tree, content = chunks_of(glb_bytes(CORNERS, FACES, uv=uv, texture=b"a file of seventeen."[:17]))
    (primitive,) = tree["meshes"][0]["primitives"]
    np.testing.assert_allclose(table_of(tree, content, primitive["attributes"]["TEXCOORD_0"]), uv)
    surface = tree["materials"][0]["pbrMetallicRoughness"]
    assert surface["baseColorTexture"] == {"index": 0} and "baseColorFactor" not in surface
    view = tree["bufferViews"][tree["images"][tree["textures"][0]["source"]]["bufferView"]]
    assert content[view["byteOffset"] :][: view["byteLength"]] == b"a file of seventeen."[:17]
    table_of(tree, content, primitive["indices"])


@pytest.mark.parametrize(
    "given",
    [
        {"texture": b"x"},
        {"uv": np.zeros((4, 2))},
        {"texture": b"x", "uv": np.zeros((4, 3))},
        {"texture": b"x", "uv": np.zeros((4, 2)), "colors": COLORS},
    ],
)
def test_half_a_texture_is_refused(given):
    with pytest.raises(ValueError, match="uv"):
        glb_bytes(CORNERS, FACES, **given)


def test_a_mesh_without_colors_is_gray():
    tree, _ = chunks_of(glb_bytes(CORNERS, FACES))
    assert tree["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] == [0.6, 0.6, 0.6, 1.0]
    assert set(tree["meshes"][0]["primitives"][0]["attributes"]) == {"POSITION"}


@pytest.mark.parametrize("up", UPRIGHT)
def test_the_axis_that_is_up_becomes_y_and_nothing_is_mirrored(up):
    offset = np.array([1e7, 2e7 + 0.125, -3e7])
    tree, _ = chunks_of(glb_bytes(CORNERS, FACES, up=up, offset=offset))
    matrix = np.array(tree["nodes"][0]["matrix"]).reshape(4, 4).T
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    direction = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    np.testing.assert_array_equal(matrix[:3, :3] @ direction, [0, 1, 0])
    np.testing.assert_array_equal(matrix[:3, 3], matrix[:3, :3] @ offset)  # to the last bit
    assert matrix[3].tolist() == [0, 0, 0, 1]


def test_colors_go_to_linear_and_back():
    values = np.arange(256) / 255
    linear = linear_from_srgb(values)
    assert linear[0] == 0 and linear[255] == 1 and linear[188] == pytest.approx(0.5029, abs=1e-4)
    assert (np.diff(linear) > 0).all()
    np.testing.assert_allclose(srgb_from_linear(linear), values, atol=1e-12)


def test_tables_of_another_mesh_are_refused():
    with pytest.raises(ValueError, match=r"vertex colors must be \(4, 3\), got \(3, 3\)"):
        glb_bytes(CORNERS, FACES, colors=COLORS[:3])
    with pytest.raises(ValueError, match="up must be one of x, y, z, -x, -y, -z, got 'w'"):
        glb_bytes(CORNERS, FACES, up="w")
