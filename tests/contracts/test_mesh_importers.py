"""Mesh files elsewhere: no word of the validators, and a marked cube that stands as it should in Blender.

USD's validators come with the package usd-core. That of glTF, Khronos', is the npm package gltf-validator, found by
Node.js (`npm install --prefix DIR gltf-validator`, then NODE_PATH=DIR/node_modules). Blender is the Python package bpy,
of this Python or of the one that FINER_BLENDER_PYTHON names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from finer_core.io.meshes import writer
from finer_nerf.meshing import ColoredMesh
from tests.usd_meshes import complaints

CORNERS = np.array([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])
MARKS = np.array([[3.0, 0, 0], [0, 5, 0], [0, 0, 9]])
"""Ends of three spikes, so that no turn and no mirror leaves the cube as it is."""
VERTICES = np.concatenate([CORNERS, MARKS])
SIDES = [[0, 2, 6, 4], [1, 5, 7, 3], [0, 4, 5, 1], [2, 3, 7, 6], [0, 1, 3, 2], [4, 6, 7, 5]]
SQUARES = [[side[0], *side[i : i + 2]] for side in SIDES for i in (1, 2)]
FACES = np.array([*SQUARES, [4, 8, 6], [2, 9, 3], [1, 10, 5]])
NORMALS = np.tile([0.0, 0, 1], (len(VERTICES), 1))
COLORS = np.linspace(0, 255, 3 * len(VERTICES)).astype(np.uint8).reshape(-1, 3)
FAR = np.array([4e6, -2e6, 3e5])
"""Where single precision is worth half a unit."""
VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
const all = process.argv.slice(1).map(file => validator.validateBytes(new Uint8Array(fs.readFileSync(file))));
Promise.all(all).then(reports => console.log(JSON.stringify(reports.map(report => report.issues))));
"""
IMPORT = """
import json, sys
import bpy
found = {}
for path in sys.argv[1:]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    suffix = path.rsplit(".", 1)[1]
    if suffix == "glb":
        bpy.ops.import_scene.gltf(filepath=path)
    elif suffix == "obj":
        bpy.ops.wm.obj_import(filepath=path, forward_axis="Y", up_axis="Z")
    elif suffix.startswith("usd"):
        bpy.ops.wm.usd_import(filepath=path)
    else:
        getattr(bpy.ops.wm, suffix + "_import")(filepath=path)
    (mesh,) = [each for each in bpy.data.objects if each.type == "MESH"]
    found[path] = {
        "vertices": [list(mesh.matrix_world @ vertex.co) for vertex in mesh.data.vertices],
        "normals": [list(mesh.matrix_world.to_3x3() @ face.normal) for face in mesh.data.polygons],
        "colors": [name for name in mesh.data.color_attributes.keys()],
        "images": [list(image.size) for image in bpy.data.images if image.size[0]],
    }
print("FOUND " + json.dumps(found))
"""


def write_mesh(path: Path, *, offset: np.ndarray | float = 0.0, **tables) -> None:
    """Write what finer-sdf writes."""
    writer.write_mesh(path, VERTICES + offset, FACES, package="finer-sdf", up="z", **tables)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Write what both applications write, of every format that Blender reads and needs no extra."""
    folder = tmp_path_factory.mktemp("meshes")
    kinds = {"plain": {}, "full": {"normals": NORMALS, "colors": COLORS}}
    for name, tables in kinds.items():
        for suffix in ("glb", "ply", "obj", *(["stl"] if name == "plain" else [])):
            write_mesh(folder / f"{name}.{suffix}", **tables)
    write_mesh(folder / "far.glb", offset=FAR, **kinds["full"])
    for name, mesh in colored_meshes().items():
        for up in ("z", "-y"):
            mesh.write(folder / f"{name}{up}.glb", up=up)
    for suffix in ("ply", "obj"):
        colored_meshes()["scene"].write(folder / f"scene.{suffix}")
    return {path.name: path for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def usd_files(tmp_path_factory) -> dict[str, Path]:
    """Write what both applications write as USD."""
    pytest.importorskip("pxr", reason="the extra finer-sdf[usd] is not installed")
    folder = tmp_path_factory.mktemp("usd")
    tables = {"normals": NORMALS, "colors": COLORS}
    write_mesh(folder / "plain.usda")
    for suffix in ("usd", "usdc", "usda", "usdz"):
        write_mesh(folder / f"full.{suffix}", **tables)
    write_mesh(folder / "far.usdc", offset=FAR, **tables)
    for name, mesh in colored_meshes().items():
        for up in ("z", "-y"):
            mesh.write(folder / f"{name}{up}.usdz", up=up)
    return {path.name: path for path in sorted(folder.iterdir())}


def colored_meshes() -> dict[str, ColoredMesh]:
    draws = np.random.default_rng(0)
    texture = {"uv": draws.random((len(VERTICES), 2)), "texture": draws.integers(256, size=(64, 64, 3), dtype=np.uint8)}
    common = {"vertices": VERTICES, "faces": FACES, "colors": COLORS, "normals": NORMALS}
    return {"scene": ColoredMesh(**common), "textured": ColoredMesh(**common, **texture)}


def test_the_validator_of_gltf_has_nothing_to_say(files):
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "require('gltf-validator')"], capture_output=True).returncode:
        pytest.skip("no Node.js with the package gltf-validator here")
    paths = [path for name, path in files.items() if name.endswith(".glb")]
    run = subprocess.run([node, "-e", VALIDATE, "--", *paths], capture_output=True, text=True, check=True)
    issues = json.loads(run.stdout)
    assert len(issues) == len(paths) == 7
    assert {path.name: issue["messages"] for path, issue in zip(paths, issues, strict=True) if issue["messages"]} == {}


def test_the_validators_of_usd_have_nothing_to_say(usd_files):
    pytest.importorskip("pxr.UsdValidation", reason="this usd-core has no validators")
    assert {name: said for name, path in usd_files.items() if (said := complaints(path))} == {} and len(usd_files) == 10


def test_blender_has_the_cube_as_it_stands(files, tmp_path):
    check_in_blender(files, tmp_path)


def test_blender_has_the_cube_of_usd_as_it_stands(usd_files, tmp_path):
    check_in_blender(usd_files, tmp_path)


def check_in_blender(files: dict[str, Path], folder: Path) -> None:
    python = os.environ.get("FINER_BLENDER_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import bpy"], capture_output=True).returncode:
        pytest.skip("no Blender here: neither bpy nor FINER_BLENDER_PYTHON")
    command = [python, "-c", IMPORT, *map(str, files.values())]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert "FOUND " in run.stdout, run.stdout[-2000:] + run.stderr[-2000:]
    found = json.loads(run.stdout.split("FOUND ")[1].splitlines()[0])
    for name, path in files.items():
        seen = found[str(path)]
        expected = VERTICES + FAR if name.startswith("far") else VERTICES
        if "-y" in name:
            expected = np.stack([VERTICES[:, 0], VERTICES[:, 2], -VERTICES[:, 1]], axis=1)
        corners = np.unique(np.round(seen["vertices"], 3 if name.startswith("far") else 5), axis=0)
        assert corners.shape == expected.shape, name
        np.testing.assert_allclose(corners, np.unique(expected, axis=0), atol=0.5 if name.startswith("far") else 1e-5)
        assert bool(seen["colors"]) == name.startswith(("full", "far", "scene")), name
        assert ([64, 64] in seen["images"]) == name.startswith("textured"), name
