"""Parse mesh files through trimesh, with what it leaves out: normals of points, and text files that were cut."""

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from finer_core.errors import InputError
from finer_sdf.shapes.raw_shape import RawShape, check_indices, index_table, number_table

logging.getLogger("trimesh").addHandler(logging.NullHandler())  # else its warnings reach stderr without any set-up


def parse_mesh_file(path: Path) -> RawShape:
    """Read .ply, .obj, .stl, .off, .glb or .gltf: the triangles of all objects, placed as their scene says.

    Without any triangle, the points of the file and, from .ply and .obj, their normals.

    Raises:
        InputError: If the file holds neither triangles nor points, or fewer than it declares.
        Exception: Whatever trimesh raises for a broken file.
    """
    kind = path.suffix[1:].lower()
    options: dict[str, Any] = {"fix_texture": False} if kind == "ply" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # numpy's way of saying that a line stops being numbers
        warnings.filterwarnings("error", message="string or file could not be read")
        try:
            scene = trimesh.load_scene(str(path), file_type=kind, process=False, skip_materials=True, **options)
        except ValueError as error:
            if kind == "ply" and "unexpected length" in str(error):
                raise InputError(
                    "its data is not as long as it declares; it was cut short, or it mixes triangles with larger "
                    "polygons in binary form: export triangles only"
                ) from error
            raise
    nodes = map(scene.graph.get, scene.graph.nodes_geometry)
    placed = [(scene.geometry[name], np.asarray(move)) for move, name in nodes]
    solid = [(piece, move) for piece, move in placed if isinstance(piece, trimesh.Trimesh) and len(piece.faces)]
    placed = solid or [(piece, move) for piece, move in placed if len(getattr(piece, "vertices", ()))]
    if not placed:
        raise InputError("it holds no triangles and no points; it may be empty, cut short, or of another format")
    for piece, _ in placed:
        _refuse_cut(path, piece, kind=kind)
    vertices = [_moved(piece, move) for piece, move in placed]
    if not solid:
        return RawShape(vertices=np.concatenate(vertices), normals=_normals(path, placed[0][0], kind=kind))
    starts = np.cumsum([0] + [len(table) for table in vertices])
    faces = [_faces(piece, move) + start for (piece, move), start in zip(placed, starts[:-1], strict=True)]
    return RawShape(vertices=np.concatenate(vertices), faces=np.concatenate(faces))


def _moved(piece: Any, move: np.ndarray) -> np.ndarray:
    """Return the vertices of a piece where the 4x4 matrix puts them."""
    vertices = number_table("vertices", np.asarray(piece.vertices))
    return vertices if np.array_equal(move, np.eye(4)) else vertices @ move[:3, :3].T + move[:3, 3]


def _faces(piece: trimesh.Trimesh, move: np.ndarray) -> np.ndarray:
    """Return the triangles of a piece; a mirror turns their sense around."""
    faces = index_table("faces", np.asarray(piece.faces))
    check_indices(faces, count=len(piece.vertices))
    return faces[:, ::-1] if np.linalg.det(move[:3, :3]) < 0 else faces


def _refuse_cut(path: Path, piece: Any, *, kind: str) -> None:
    """Refuse what would silently be read in part: text files cut short (trimesh refuses binary ones), and strips."""
    if kind == "ply":
        raw = piece.metadata["_ply_raw"]
        if "tristrips" in raw:
            raise InputError("its triangles are stored as strips, which are not read; convert them to faces")
        declared = [raw.get(element, {}).get("length", 0) for element in ("vertex", "face")]
    elif kind == "off":
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8", errors="replace"))
        declared = [int(number) for number in text.split("OFF", 1)[1].split()[:2]]
    else:
        return
    present = [len(piece.vertices), len(getattr(piece, "faces", ()))]
    for what, wanted, got in zip(("vertices", "faces"), declared, present, strict=True):
        if got < wanted:
            raise InputError(f"it declares {wanted} {what} but holds {got}; it was cut short, copy it again")


def _normals(path: Path, piece: Any, *, kind: str) -> np.ndarray | None:
    """Return the normals (n, 3) that a file without faces gives for its points, or None."""
    if kind == "ply":
        data = piece.metadata["_ply_raw"]["vertex"]["data"]
        names = data.dtype.names if isinstance(data, np.ndarray) else data
        if {"nx", "ny", "nz"} <= set(names):
            return number_table("normals", np.stack([np.ravel(data[axis]) for axis in ("nx", "ny", "nz")], axis=1))
    elif kind == "obj":
        with path.open(encoding="utf-8", errors="replace") as file:
            rows = [line.split()[1:4] for line in file if line.startswith("vn ")]
        if len(rows) == len(piece.vertices):
            return number_table("normals", np.array(rows, dtype=np.float64))
    return None
