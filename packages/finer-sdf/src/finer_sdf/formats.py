"""Formats that shapes and points are read from; one table for the readers, their messages and --help."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Format:
    """Describe a format.

    Attributes:
        reader: A module of `finer_sdf.geometry.formats` and its function, loaded when such a file is read. It takes the
            file, and a `Room` that it asks as soon as it knows how large the surface is; it returns a `RawShape`, and
            raises `InputError` for what it understands to be wrong, anything else for what it does not.
        bare_points: Whether points without faces and normals are meant as a cloud; else missing faces are a mistake.
        is_shape: Whether surfaces are read from it; else only points that a model is asked about.
    """

    reader: str
    bare_points: bool = False
    is_shape: bool = True


FORMATS = {
    ".ply": Format(reader="ply.read_ply", bare_points=True),
    ".obj": Format(reader="obj.read_obj"),
    ".stl": Format(reader="stl.read_stl"),
    ".off": Format(reader="off.read_off"),
    ".glb": Format(reader="gltf.read_gltf"),
    ".gltf": Format(reader="gltf.read_gltf"),
    ".xyz": Format(reader="points.read_xyz", bare_points=True),
    ".npz": Format(reader="points.read_npz", bare_points=True),
    ".npy": Format(reader="points.read_npy", bare_points=True),
    ".csv": Format(reader="points.read_xyz", is_shape=False),
    ".txt": Format(reader="points.read_xyz", is_shape=False),
}
"""Formats by suffix."""
SUFFIXES = tuple(suffix for suffix, kind in FORMATS.items() if kind.is_shape)
"""Of shapes."""
POINT_SUFFIXES = tuple(sorted(FORMATS, key=lambda suffix: FORMATS[suffix].is_shape))
"""Of points, among them the vertices of shapes."""
