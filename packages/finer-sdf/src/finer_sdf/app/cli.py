"""The command line `finer-sdf`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finer_core.app.cli import OneLineParser, run_command, version_text
from finer_core.app.download_command import add_download_command
from finer_core.app.export_command import add_export_command
from finer_core.app.fit_command import FitCommand, add_command, add_habits
from finer_core.app.mesh_options import UP, add_mesh_options
from finer_core.app.network_options import add_network_options
from finer_core.app.reproduce_command import add_reproduce_command
from finer_core.app.sharing import add_benchmark_options
from finer_sdf._version import __version__
from finer_sdf.config import BUILT_IN, SdfConfig
from finer_sdf.formats import POINT_SUFFIXES, SUFFIXES

SHAPES_TO_DOWNLOAD = ("armadillo", "bunny", "dragon", "lucy", "thai")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(build_parser, arguments)


def build_parser() -> OneLineParser:
    """Describe every command."""
    parser = OneLineParser(
        prog="finer-sdf", description="Fit signed distance fields to surfaces, mesh, judge and render them."
    )
    parser.add_argument("--version", action="version", version=version_text("finer-sdf", __version__))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    text = "Fit a distance field to a mesh or a point cloud and write a run folder."
    FIT.add(commands, "fit", text, metavar="SHAPE", inputs=" ".join(SUFFIXES))
    _add_mesh(commands)
    _add_combine(commands)
    _add_query(commands)
    _add_evaluate(commands)
    _add_render(commands)
    _add_benchmark(commands)
    add_reproduce_command(
        commands,
        "finer_sdf.reproducing",
        what="TABLE",
        inputs=f"files of surfaces, or folders of the table's shapes (default: the built-in {BUILT_IN})",
        out="runs/sdf-reproduction",
        size="grid points per axis of the mesh that is judged, with as many times fewer samples",
    )
    add_download_command(
        commands,
        "finer_sdf.geometry.download",
        names=SHAPES_TO_DOWNLOAD,
        text="Fetch scans of the Stanford 3D Scanning Repository; the only command that uses the network.",
        what="shapes of the papers",
        out=".",
    )
    _add_import(commands)
    mapping = "points (n, 3) of the input's coordinates to distances (n,)"
    add_export_command(commands, "finer_sdf.model:SdfModel.load", inputs=mapping)
    return parser


def _summary(figures: Mapping[str, Any]) -> str:
    """Return the most telling figures in a line."""
    chamfer = figures["chamfer_l2_sum"]
    parts = ["no surface" if chamfer is None else f"Chamfer (L2 sum) {chamfer:.3e}"]
    if figures["iou"] is not None:
        parts.append(f"IoU {figures['iou']:.4f}")
    return ", ".join(parts)


FIT = FitCommand(
    task="sdf",
    settings=SdfConfig,
    experiment="finer_sdf.app.experiment:EXPERIMENT",
    built_in=BUILT_IN,
    runs="runs/sdf",
    name_of=lambda signal: Path(signal).stem,
    summary=_summary,
)
"""Fit, save, mesh, judge, report."""


def _add_mesh(commands: Any) -> None:
    parser = add_command(
        commands, "mesh", "finer_sdf.app.commands:mesh_model", "Extract the surface of a model as a triangle mesh."
    )
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("--level", type=float, default=0.0, help="distance of the surface, in the input's units")
    parser.add_argument(
        "--dense", action="store_true", help="evaluate the whole grid, not only what is near the surface"
    )
    add_mesh_options(parser, resolution=512)
    add_habits(parser)


def _add_combine(commands: Any) -> None:
    text = "Extract the union, intersection, difference, offset or shell of models as a triangle mesh."
    parser = add_command(commands, "combine", "finer_sdf.app.combine:combine_models", text)
    parser.add_argument("operation", choices=("union", "intersection", "difference", "offset", "shell"))
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="model.safetensors; a difference cuts from the first"
    )
    parser.add_argument(
        "--by", type=float, metavar="D", help="distance of an offset, thickness of a shell, in the input's units"
    )
    add_mesh_options(parser, resolution=512)
    add_habits(parser)


def _add_query(commands: Any) -> None:
    text = "Say how far points are from a model's surface, in which direction, and where it is nearest."
    parser = add_command(commands, "query", "finer_sdf.app.query:query_model", text)
    parser.set_defaults(prints=True)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("points", metavar="POINTS", help=f"{' '.join(POINT_SUFFIXES)}, in the input's coordinates")
    parser.add_argument("--out", metavar="FILE", help=".csv or .npz (default: a table on stdout)")
    add_habits(parser)


def _add_evaluate(commands: Any) -> None:
    parser = add_command(commands, "evaluate", run_evaluate, "Compare a model or a mesh with a reference surface.")
    parser.add_argument("candidate", metavar="MODEL|MESH", help="model.safetensors, or a mesh file")
    parser.add_argument("reference", metavar="REFERENCE", help=f"mesh or point cloud, or '{BUILT_IN}'")
    parser.add_argument("--resolution", type=int, help="grid points per axis for a model (default: 512)")
    parser.add_argument("--samples", type=int, default=300_000, help="surface samples a side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_habits(parser, overwrite=False)


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Print the figures."""
    from finer_core.io.files import json_text
    from finer_sdf.app.commands import evaluate_candidate

    figures = evaluate_candidate(arguments)
    if arguments.json:
        print(json_text(figures, indent=None))
        return
    for name, value in _flat(figures):
        print(f"{name:<38}{_shown(value)}")


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested figures as dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _add_render(commands: Any) -> None:
    parser = add_command(
        commands, "render", "finer_sdf.app.commands:render_model", "Render a model to a PNG, or a turntable to an MP4."
    )
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("--out", required=True, metavar="FILE", help=".png or .mp4")
    parser.add_argument("--size", default="720x720", metavar="HxW", help="size in pixels (default: %(default)s)")
    parser.add_argument(
        "--kind",
        default="shaded",
        choices=("shaded", "color", "normals", "error"),
        help="what is shown (default: %(default)s)",
    )
    parser.add_argument("--reference", metavar="MESH", help="what --kind error measures against")
    parser.add_argument("--azimuth", type=float, help="degrees round the shape, of a PNG (default: 30)")
    parser.add_argument("--elevation", type=float, default=20.0, help="degrees above it (default: %(default)s)")
    parser.add_argument("--up", default="y", choices=UP, help="axis that is up (default: %(default)s)")
    parser.add_argument("--frames", type=int, help="frames of a turntable (default: 72)")
    add_habits(parser)


def _add_benchmark(commands: Any) -> None:
    text = "Fit every shape of a folder by several methods and write a table (md, csv, json)."
    parser = add_command(commands, "benchmark", run_benchmark, text)
    parser.add_argument("folder", metavar="FOLDER", help="folder of shapes, or one shape file")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N shapes")
    add_benchmark_options(parser, SdfConfig, out="runs/sdf-benchmark")


def run_benchmark(arguments: argparse.Namespace) -> None:
    """Fit methods x shapes and print the table."""
    from finer_core.app.benchmark import compare_methods, files_in
    from finer_sdf.app.benchmark import BENCHMARK

    shapes = files_in(arguments.folder, suffixes=SUFFIXES, what="shapes", limit=arguments.limit)
    compare_methods(BENCHMARK, shapes, arguments)


def _add_import(commands: Any) -> None:
    text = "Turn weights of the reference code (.pth) into a model file, and check that the outputs are equal."
    parser = add_command(commands, "import", "finer_sdf.app.commands:import_model", text)
    parser.add_argument("reference", metavar="REFERENCE.pth", help="state dict written by the reference code")
    parser.add_argument("--method", required=True, metavar="NAME", help="the file does not say which method it is")
    parser.add_argument("--out", default="model.safetensors", metavar="FILE", help="model file (default: %(default)s)")
    parser.add_argument(
        "--shape", metavar="FILE", help="what was fitted, for its coordinates (default: the box itself)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_network_options(parser)
