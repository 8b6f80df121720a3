"""A surface as it was read, with what was done to it."""

from dataclasses import dataclass

from finer_sdf.geometry.colors import SurfaceColors
from finer_sdf.geometry.shapes import Shape


@dataclass(frozen=True, kw_only=True)
class LoadedShape:
    """Hold a surface as read from its source.

    Attributes:
        shape: The surface.
        name: Where it came from: a file name, or the name of the built-in shape.
        sha256: Digest of the file, or of the content of the built-in shape.
        notes: What was repaired, estimated or reversed on the way, one sentence each, for the user to read.
        colors: Colors of the vertices or points as they were before that; None if there are none.

    Example:
        >>> import trimesh
        >>> from finer_sdf import read_shape
        >>> _ = trimesh.creation.icosphere(radius=3.0).export("ball.ply")
        >>> loaded = read_shape("ball.ply")
        >>> loaded.name, loaded.notes, type(loaded.shape).__name__
        ('ball.ply', (), 'Mesh')
    """

    shape: Shape
    name: str
    sha256: str
    notes: tuple[str, ...] = ()
    colors: SurfaceColors | None = None
