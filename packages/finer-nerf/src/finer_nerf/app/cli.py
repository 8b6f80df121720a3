"""The command line `finer-nerf`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from finer_core.app.cli import OneLineParser, run_command, version_text
from finer_core.app.download_command import add_download_command
from finer_core.app.export_command import add_export_command
from finer_core.app.fit_command import FitCommand, add_command, add_habits
from finer_core.app.mesh_options import add_mesh_options
from finer_core.app.reproduce_command import add_reproduce_command
from finer_core.app.sharing import add_benchmark_options
from finer_nerf._version import __version__
from finer_nerf.config import BUILT_IN, SCENES, NerfConfig, scene_name

_MAPPING = "points (n, 3) of the scene's coordinates and directions (n, 3) to densities (n,) and colors (n, 3)"
_SCENE = "folder of a Blender, instant-ngp or COLMAP scene, or a transforms.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(build_parser, arguments)


def build_parser() -> OneLineParser:
    """Describe every command."""
    parser = OneLineParser(prog="finer-nerf", description="Train, judge, render and mesh radiance fields.")
    parser.add_argument("--version", action="version", version=version_text("finer-nerf", __version__))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    text = "Train a radiance field on posed pictures and write a run folder."
    TRAIN.add(commands, "train", text, metavar="SCENE", inputs=_SCENE)
    _add_evaluate(commands)
    _add_render(commands)
    _add_mesh(commands)
    _add_view(commands)
    _add_scene(commands)
    _add_benchmark(commands)
    add_download_command(
        commands,
        "finer_nerf.scenes.download",
        names=SCENES,
        text="Fetch Blender scenes of the NeRF paper; the only command that uses the network.",
        what="scenes, of which one archive holds all",
        out=".",
        kind="archive",
    )
    add_export_command(
        commands, "finer_nerf.model:NerfModel.load", inputs=_MAPPING, export="finer_nerf.exporting:export"
    )
    add_reproduce_command(
        commands,
        "finer_nerf.reproducing",
        what="TABLE",
        inputs=f"scenes, named as the table's (default: the built-in {BUILT_IN})",
        out="runs/nerf-reproduction",
        size="height of the pictures",
    )
    return parser


def figures_line(figures: Mapping[str, Any]) -> str:
    """Return the most telling figures in a line."""
    psnr = "infinite" if figures["psnr"] is None else f"{figures['psnr']:.2f} dB"  # as JSON has it
    parts = [f"PSNR {psnr} on {figures['background']}"]
    if figures["ssim"] is not None:
        parts.append(f"SSIM {figures['ssim']:.4f}")
    if figures["lpips"] is not None:
        parts.append(f"LPIPS {figures['lpips']:.4f}")
    return ", ".join([*parts, f"{figures['views']} views"])


TRAIN = FitCommand(
    task="nerf",
    settings=NerfConfig,
    experiment="finer_nerf.app.experiment:EXPERIMENT",
    built_in=BUILT_IN,
    runs="runs/nerf",
    name_of=scene_name,
    summary=figures_line,
)
"""Train, save, judge, film, report."""


def _add_evaluate(commands: Any) -> None:
    text = "Compare a model with the views of a scene: PSNR, SSIM, LPIPS where installed."
    parser = add_command(commands, "evaluate", run_evaluate, text)
    parser.set_defaults(prints=True)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("scene", metavar="SCENE", help=f"{_SCENE}, or '{BUILT_IN}'")
    parser.add_argument("--split", choices=("train", "val", "test"), help="views (default: test, or val without)")
    parser.add_argument(
        "--background", metavar="COLOR", help="behind everything: white, black or #rrggbb (default: the model's)"
    )
    parser.add_argument("--downscale", type=int, default=1, help="divide the pictures' size by this")
    parser.add_argument(
        "--test-every", type=int, default=8, help="as in training, where the scene has no such views of its own"
    )
    parser.add_argument("--out", metavar="DIR", help="also write the views, truth and rendering side by side")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_habits(parser)


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Print the figures, a view and on average."""
    from finer_core.io.files import json_text
    from finer_nerf.app.commands import evaluate_model

    figures = evaluate_model(arguments)
    if arguments.json:
        print(json_text(figures, indent=None))
        return
    for name, row in figures["per_view"].items():
        print(f"{name:<32}" + "  ".join(f"{key} {_shown(value)}" for key, value in row.items()))
    print(figures_line(figures))


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"


def _add_render(commands: Any) -> None:
    text = "Render a film (.mp4), a folder of frames, one picture (.png), or maps of one view (.npz) of a model."
    parser = add_command(commands, "render", "finer_nerf.app.commands:render_model", text)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("--out", required=True, metavar="FILE", help=".mp4, .png, .npz (numbers), or a folder")
    parser.epilog = (
        "An .npz holds color, depth (along the ray, in the scene's units), opacity and normals of the first view."
    )
    parser.add_argument(
        "--path", default="orbit", metavar="PATH", help="orbit, spiral, or a JSON file of cameras, with their lens"
    )
    parser.add_argument("--kind", choices=("color", "depth", "normals"), help="what is shown (default: color)")
    parser.add_argument("--frames", type=int, help="frames of an orbit or spiral (default: 96)")
    parser.add_argument("--fps", type=float, help="frames a second of a film (default: 24)")
    parser.add_argument("--size", metavar="HxW", help="size in pixels (default: the training pictures')")
    parser.add_argument("--background", metavar="COLOR", help="white, black or #rrggbb (default: the model's)")
    add_habits(parser)


def _add_mesh(commands: Any) -> None:
    text = "Extract a colored mesh: a level set of the density."
    parser = add_command(commands, "mesh", "finer_nerf.app.commands:mesh_model", text)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument(
        "--level",
        type=float,
        help="density of the surface, per unit of the scene (default: half opaque in 1 %% of the box)",
    )
    add_mesh_options(parser, resolution=256, up="z", min_component=0.001)
    add_habits(parser)


def _add_view(commands: Any) -> None:
    text = "Show a model in the browser, to move around in; needs the extra finer-nerf[viewer]."
    parser = add_command(commands, "view", "finer_nerf.app.commands:view", text)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="(default: %(default)s)")
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where to compute (default: auto)"
    )


def _add_scene(commands: Any) -> None:
    text = f"Write the built-in scene '{BUILT_IN}' as a Blender-format scene with exact depths."
    parser = add_command(commands, "scene", "finer_nerf.app.commands:write_scene", text)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in the folder")


def _add_benchmark(commands: Any) -> None:
    text = "Train every method on every scene and write a table (md, csv, json)."
    parser = add_command(commands, "benchmark", run_benchmark, text)
    parser.add_argument("scenes", nargs="+", metavar="SCENE", help=f"{_SCENE}, or '{BUILT_IN}'")
    add_benchmark_options(parser, NerfConfig, out="runs/nerf-benchmark", fits="trainings")


def run_benchmark(arguments: argparse.Namespace) -> None:
    """Train methods x scenes and print the table."""
    from finer_core.app.benchmark import BenchmarkInput, compare_methods
    from finer_nerf.app.benchmark import BENCHMARK

    scenes = [BenchmarkInput(scene, (scene_name(scene),)) for scene in arguments.scenes]
    compare_methods(BENCHMARK, scenes, arguments)
