"""Surfaces of every format that finer-sdf reads, its models, and a run to go on with."""

import io
import json
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image as Pillow

from finer_sdf.app.cli import main
from finer_sdf.geometry.reader import read_shape
from finer_sdf.model import SdfModel
from finer_sdf.model_data import TASK
from finer_sdf.normalization import THE_BOX_ITSELF
from tests.sdf.geometry.test_shape_formats import CORNERS, OUTLINE, QUADS, RELATIVE, off, ply, prism

from .model_files import model_sample, run_sample
from .sample import Sample

NETWORK = (
    "--method",
    "siren",
    "--hidden-features",
    "8",
    "--hidden-layers",
    "0",
    "--first-omega-0",
    "1",
    "--hidden-omega-0",
    "1",
)
TINY = (
    *("--steps", "4", *NETWORK, "--batch-points", "64", "--samples", "1000", "--resolution", "16"),
    *("--eval-samples", "1000", "--quiet"),
)


def _contents() -> dict[str, bytes]:
    box = trimesh.creation.box((3, 2, 1))
    points = np.random.default_rng(0).normal(size=(40, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    both = np.hstack([points * 2 + [5, 6, 7], points])
    colors = np.hstack([both[:, :3], np.arange(120).reshape(-1, 3)])
    archive, cloud, table_of_both = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(archive, vertices=box.vertices, faces=box.faces)
    np.savez_compressed(cloud, points=points, normals=points)
    np.save(table_of_both, both)
    gltf = trimesh.exchange.gltf.export_gltf(trimesh.Scene(box), merge_buffers=True, embed_buffers=True)
    table = _table(both)
    return {
        "quads.ply": ply(CORNERS, QUADS),
        "prism.ply": ply(*prism(OUTLINE), kind="binary_little_endian"),
        "scalar.ply": ply(*prism(OUTLINE), kind="binary_big_endian", scalar=True),
        "cloud.ply": trimesh.PointCloud(points).export(file_type="ply"),
        "relative.obj": RELATIVE.encode(),
        "normals.obj": trimesh.creation.icosphere(subdivisions=1)
        .export(file_type="obj", include_normals=True)
        .encode(),
        "binary.stl": box.export(file_type="stl"),
        "text.stl": box.export(file_type="stl_ascii").encode(),
        "prism.off": off(*prism(OUTLINE)).encode(),
        "box.glb": box.export(file_type="glb"),
        "instances.gltf": _instances(gltf["model.gltf"]),
        "oriented.xyz": table.encode(),
        "colors.xyz": _table(colors).encode(),
        "comma.xyz": table.replace(".", ",").encode(),
        "named.xyz": b"x;y;z;red;nx;ny;nz\n" + _table(np.hstack([both[:, :3], both[:, 2:]])).replace(" ", ";").encode(),
        "mesh.npz": archive.getvalue(),
        "cloud.npz": cloud.getvalue(),
        "oriented.npy": table_of_both.getvalue(),
    }


def _table(rows: np.ndarray) -> str:
    return "".join(" ".join(f"{value:.4f}" for value in row) + "\n" for row in rows)


def _instances(content: bytes) -> bytes:
    """Return a glTF file with a second, transformed and mirrored, node of the same mesh."""
    data = json.loads(content)
    mesh = next(node["mesh"] for node in data["nodes"] if "mesh" in node)
    data["nodes"].append({"mesh": mesh, "translation": [9, 0, 0], "rotation": [0, 0, 1, 0], "scale": [-1, 1, 2]})
    data["scenes"][data.get("scene", 0)]["nodes"].append(len(data["nodes"]) - 1)
    return json.dumps(data).encode()


def _skins() -> dict[str, dict[str, bytes]]:
    """Return files with a texture, by the name of the surface: it lies in them or beside them."""
    box = trimesh.creation.box((3, 2, 1))
    skin = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    box.visual = trimesh.visual.TextureVisuals(
        uv=box.vertices[:, :2] / 3, material=trimesh.visual.material.PBRMaterial(baseColorTexture=skin)
    )
    picture = io.BytesIO()
    skin.save(picture, "JPEG")
    materials = b"newmtl a\nKd 1 0 0\nnewmtl b\nmap_Kd -s 1 1 1 my skin.jpg\n"
    corners = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in box.vertices) + "vt 0 0\nvt 1 0\nvt 0.5 1\n"
    faces = [f"f {a + 1}/1 {b + 1}/2 {c + 1}/-1\n" for a, b, c in box.faces]
    obj = f"mtllib skin.mtl\n{corners}usemtl a\n{''.join(faces[:6])}usemtl b\n{''.join(faces[6:])}"
    beside = {"skin.obj": obj.encode(), "skin.mtl": materials, "my skin.jpg": picture.getvalue()}
    head = "ply\nformat ascii 1.0\ncomment TextureFile my skin.jpg\n" + f"element vertex {len(box.vertices)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + f"element face {len(box.faces)}\n"
    head += "property list uchar int vertex_indices\nproperty list uchar float texcoord\nproperty int texnumber\n"
    rows = [f"{x:g} {y:g} {z:g}\n" for x, y, z in box.vertices]
    rows += [f"3 {a} {b} {c} 6 0 0 1 0 0.5 1 0\n" for a, b, c in box.faces]
    named = {"skin.ply": (head + "end_header\n" + "".join(rows)).encode(), "my skin.jpg": picture.getvalue()}
    return {"skin.glb": {"skin.glb": box.export(file_type="glb")}, "skin.obj": beside, "skin.ply": named}


def _reader(name: str):
    def read(folder: Path) -> None:
        loaded = read_shape(folder / name, memory="700MB")
        assert np.isfinite(loaded.shape.bounds).all()
        if loaded.colors is not None:
            colors = loaded.colors.samples(100, seed=0)[1]
            assert ((colors >= 0) & (colors <= 1)).all()

    return read


def samples(folder: Path) -> dict[str, Sample]:
    """Return the samples of finer-sdf; `folder` is for making them."""
    found = {
        name: Sample(
            files=files,
            read=_reader(name),
            command=("finer-sdf", "fit", f"{{input}}/{name}", "--out", "{out}", *TINY),
        )
        for name, files in ({name: {name: content} for name, content in _contents().items()} | _skins()).items()
    }
    data = {"name": "n", "bounds": [[-1, -1, -1], [1, 1, 1]]}
    render = ("finer-sdf", "render", "{input}/model.safetensors", "--out", "{out}.png", "--size", "8x8", "--quiet")
    return found | {
        "model": model_sample(
            method="siren",
            task=TASK,
            in_features=3,
            out_features=1,
            task_data=lambda network: SdfModel(network=network, normalization=THE_BOX_ITSELF, shape=data).task_data(),
            read=SdfModel.load,
            folder=folder / "model",
            command=render,
        ),
        "run": run_sample(main, ["fit", str(_saved(folder, "quads.ply")), *TINY], folder / "run"),
    }


def _saved(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(_contents()[name])
    return folder / name
