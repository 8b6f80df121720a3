"""The mesh that a command writes: how it is finished, and the line about it."""

import argparse
import sys

from finer_core.errors import shortened
from finer_core.io.meshes.writer import write_mesh
from finer_core.resources import parse_memory
from finer_sdf.distance_field import DistanceField
from finer_sdf.meshing.painting import check_painting


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
    finished = model.finish(found, memory=memory, **options)
    mesh = model.normalization.mesh_to_input(finished.mesh)
    notes = write_mesh(
        out,
        mesh.vertices,
        mesh.faces,
        package="finer-sdf",
        normals=finished.normals,
        colors=model.vertex_colors(mesh.vertices) if finished.texture is None else None,
        uv=finished.uv,
        texture=finished.texture,
        file_type=arguments.format,
        up=arguments.up or "y",
    )
    for note in () if arguments.quiet else notes:
        print(shortened(f"{out}: {note}"), file=sys.stderr)
    effort = f"{100 * found.share:.1f} % of {found.resolution}^3 points, {found.seconds:.1f} s"
    return f"{finished.title()}, {effort}: {out}"
