"""The mesh that a command writes: where it goes, how it is finished, and the line about it."""

import argparse
import sys

from finer_core.app.cli import refuse_without_effect
from finer_core.errors import shortened
from finer_core.io.files import check_output_path
from finer_core.resources import parse_memory
from finer_sdf.distance_field import DistanceField
from finer_sdf.meshing.painting import check_painting
from finer_sdf.meshing.parts import check_min_component
from finer_sdf.meshing.simplify import check_simplify
from finer_sdf.meshing.writer import check_mesh_path, has_an_axis_up, holds_normals, write_mesh


def mesh_path(arguments: argparse.Namespace) -> str:
    """Return the file that is asked for, after everything about it and the mesh's options was checked.

    Raises:
        InputError: For a format, a place or an option that cannot be used.
    """
    out = str(arguments.out or f"mesh.{arguments.format or 'ply'}")
    suffix = check_mesh_path(out, file_type=arguments.format, is_textured=arguments.texture is not None)
    if not has_an_axis_up(suffix):
        refuse_without_effect(arguments, "up", why=f"to {suffix} files, which do not say which axis is up")
    check_output_path(out, overwrite=arguments.overwrite)
    check_min_component(arguments.min_component)
    check_simplify(arguments.simplify)
    return out


def write_surface(
    model: DistanceField, out: str, arguments: argparse.Namespace, *, level: float = 0.0, sparse: bool = True
) -> str:
    """Extract, finish and write a surface in the input's coordinates; return the line to print."""
    memory = parse_memory(arguments.memory)
    check_painting(model, arguments.texture, memory=memory)
    found = model.extract(
        resolution=arguments.resolution,
        memory=memory,
        level=level,
        sparse=sparse,
        progress=not arguments.quiet,
    )
    options = {name: getattr(arguments, name) for name in ("min_component", "simplify", "texture")}
    finished = model.finish(found, **options)
    suffix = check_mesh_path(out, file_type=arguments.format)
    has_colors = holds_normals(suffix) and finished.texture is None
    mesh = model.normalization.mesh_to_input(finished.mesh)
    notes = write_mesh(
        out,
        mesh,
        vertex_normals=finished.normals if holds_normals(suffix) else None,
        vertex_colors=model.vertex_colors(mesh.vertices) if has_colors else None,
        uv=finished.uv,
        texture=finished.texture,
        file_type=arguments.format,
        up=arguments.up or "y",
    )
    for note in () if arguments.quiet else notes:
        print(shortened(f"{out}: {note}"), file=sys.stderr)
    effort = f"{100 * found.share:.1f} % of {found.resolution}^3 points, {found.seconds:.1f} s"
    return f"{finished.title()}, {effort}: {out}"
