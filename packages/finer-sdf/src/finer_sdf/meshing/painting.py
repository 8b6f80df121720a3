"""Colors of the mesh that is handed over: at its vertices, or in a texture."""

from dataclasses import replace
from typing import TYPE_CHECKING

from finer_core.errors import InputError
from finer_core.io.texture_atlas import bake, check_texture, texture_visuals, unwrap
from finer_sdf.geometry import Mesh
from finer_sdf.meshing.surface_mesh import SurfaceMesh
from finer_sdf.queries import Colored, colors_in_box

if TYPE_CHECKING:
    import trimesh


def check_painting(field: Colored, size: int | None, *, memory: int) -> None:
    """Raise InputError for a texture that cannot be made, or one of a surface without colors.

    Args:
        field: What is to be meshed.
        size: Pixels of the texture's side; None for none.
        memory: Bytes to stay within.
    """
    check_texture(size, memory=memory, extra="finer-sdf[texture]")
    if size is not None and colors_in_box(field) is None:
        raise InputError("--texture paints colors: the input (or one of those combined) had none, or color was 'off'")


def painted(field: Colored, found: SurfaceMesh, *, size: int) -> SurfaceMesh:
    """Return a mesh cut along seams, where vertices are there twice, with a texture that it lies in.

    Raises:
        InputError: If the texture is too small for it.
    """
    colors = colors_in_box(field)
    assert colors is not None  # `check_painting` refused it
    vertices, normals = found.mesh.vertices, found.normals
    atlas = unwrap(vertices, found.mesh.faces, size=size)
    texture = bake(lambda points, _: colors(points), vertices, normals, atlas, size=size)
    mesh = Mesh(vertices=vertices[atlas.vertices], faces=atlas.faces)
    return replace(found, mesh=mesh, normals=normals[atlas.vertices], uv=atlas.uv, texture=texture)


def as_trimesh(field: Colored, found: SurfaceMesh) -> "trimesh.Trimesh":
    """Return a mesh in the input's coordinates, with its texture, or the colors of its vertices if there are any."""
    import trimesh

    mesh = field.normalization.mesh_to_input(found.mesh)
    colors = field.vertex_colors(mesh.vertices) if found.texture is None else None
    made = trimesh.Trimesh(
        vertices=mesh.vertices, faces=mesh.faces, vertex_normals=found.normals, vertex_colors=colors, process=False
    )
    if found.texture is not None and found.uv is not None:
        made.visual = texture_visuals(found.uv, found.texture)
    return made
