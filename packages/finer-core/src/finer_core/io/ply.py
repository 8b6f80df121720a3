"""Write triangle meshes as PLY."""

from pathlib import Path

import numpy as np

from finer_core.shapes import Int, Real


def write_ply(
    path: Path,
    vertices: Real[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    *,
    normals: Real[np.ndarray, "vertices 3"] | None = None,
    colors: Int[np.ndarray, "vertices 3"] | None = None,
    is_double: bool = False,
) -> None:
    """Write a mesh as binary PLY; trimesh's would always round coordinates to single precision.

    Args:
        path: The file.
        vertices: (n, 3).
        faces: (m, 3).
        normals: (n, 3); None for none.
        colors: (n, 3) uint8; None for none.
        is_double: Whether coordinates are written in double precision.
    """
    kind, name = ("<f8", "double") if is_double else ("<f4", "float")
    columns = [(axis, kind, name, vertices[:, i]) for i, axis in enumerate("xyz")]
    if normals is not None:
        columns += [(f"n{axis}", "<f4", "float", normals[:, i]) for i, axis in enumerate("xyz")]
    if colors is not None:
        columns += [(channel, "u1", "uchar", colors[:, i]) for i, channel in enumerate(("red", "green", "blue"))]
    rows = np.empty(len(vertices), dtype=[(column, dtype) for column, dtype, _, _ in columns])
    for column, _, _, values in columns:
        rows[column] = values
    corners = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    corners["count"], corners["index"] = 3, faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {name} {column}" for column, _, name, _ in columns]
    header += [f"element face {len(corners)}", "property list uchar int vertex_indices", "end_header", ""]
    with open(path, "wb") as file:
        file.write("\n".join(header).encode("ascii"))
        for table in (rows, corners):
            file.write(table.view(np.uint8).data)  # NumPy's tofile does not say why it cannot write
