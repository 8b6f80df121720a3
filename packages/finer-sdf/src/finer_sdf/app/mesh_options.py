"""The options of every command that writes a mesh; loads nothing heavy."""

import argparse

FORMATS = ("ply", "obj", "stl", "off", "glb", "usdc", "usda", "usdz", "usd")
UP = ("x", "y", "z", "-x", "-y", "-z")


def add_mesh_options(parser: argparse.ArgumentParser) -> None:
    """Add what a mesh may be asked for."""
    parser.add_argument("--resolution", type=int, default=512, help="grid points per axis (default: %(default)s)")
    parser.add_argument("--out", metavar="FILE", help=f".{' .'.join(FORMATS)} (USD is an extra; default: mesh.ply)")
    parser.add_argument("--format", choices=FORMATS, help="format of the file (default: by its suffix)")
    parser.add_argument(
        "--min-component",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out connected parts with fewer than this share of the faces (default: none)",
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
        help="axis that is up; for .glb and USD files, which have y up, and are turned (default: y)",
    )
