"""The options of every command that writes a mesh, and what is checked of them before any work."""

import argparse

from finer_core.app.cli import refuse_without_effect
from finer_core.io.files import check_output_path

FORMATS = ("ply", "obj", "stl", "off", "glb", "usdc", "usda", "usdz", "usd")
UP = ("x", "y", "z", "-x", "-y", "-z")


def add_mesh_options(
    parser: argparse.ArgumentParser, *, resolution: int, up: str = "y", min_component: float = 0.0
) -> None:
    """Add what a mesh may be asked for.

    Args:
        parser: Of a command.
        resolution: The default.
        up: The axis that is up unless another is given.
        min_component: The default.
    """
    parser.add_argument(
        "--resolution", type=int, default=resolution, help="grid points per axis (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="FILE", help=f".{' .'.join(FORMATS)} (USD is an extra; default: mesh.ply)")
    parser.add_argument("--format", choices=FORMATS, help="format of the file (default: by its suffix)")
    parser.add_argument(
        "--min-component",
        type=float,
        default=min_component,
        metavar="SHARE",
        help="leave out connected parts with fewer than this share of the faces (default: %(default)g)",
    )
    parser.add_argument(
        "--simplify", type=int, metavar="FACES", help="collapse edges until so many faces are left (an extra)"
    )
    parser.add_argument(
        "--texture",
        type=int,
        metavar="PIXELS",
        help="paint a texture of so many pixels a side (.glb .usdz; an extra) in the place of vertex colors",
    )
    parser.add_argument(
        "--up",
        choices=UP,
        help=f"axis that is up; for .glb and USD files, which have y up, and are turned (default: {up})",
    )


def mesh_path(arguments: argparse.Namespace, *, package: str) -> str:
    """Return the file that is asked for, after everything about it and the mesh's options was checked.

    Args:
        arguments: Of a command with these options.
        package: Whose extras install what an option needs, "finer-sdf" for example.

    Raises:
        InputError: For a format, a place or an option that cannot be used.
    """
    from finer_core.io.meshes.parts import check_min_component
    from finer_core.io.meshes.simplify import check_simplify
    from finer_core.io.meshes.writer import check_mesh_path, has_an_axis_up

    out = str(arguments.out or f"mesh.{arguments.format or 'ply'}")
    is_textured = arguments.texture is not None
    suffix = check_mesh_path(out, package=package, file_type=arguments.format, is_textured=is_textured)
    if not has_an_axis_up(suffix):
        refuse_without_effect(arguments, "up", why=f"to {suffix} files, which do not say which axis is up")
    check_output_path(out, overwrite=arguments.overwrite)
    check_min_component(arguments.min_component)
    check_simplify(arguments.simplify, extra=f"{package}[simplify]")
    return out
