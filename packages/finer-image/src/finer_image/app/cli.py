"""The command line `finer-image`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finer_core.app.cli import OneLineParser, parse_size, run_command, version_text
from finer_core.app.download_command import add_download_command
from finer_core.app.export_command import add_export_command
from finer_core.app.fit_command import FitCommand, add_command, add_habits
from finer_core.app.network_options import add_network_options
from finer_core.app.reproduce_command import STEPS, add_reproduce_command
from finer_core.app.sharing import add_benchmark_options
from finer_core.errors import InputError
from finer_core.io.files import check_output_path, printable
from finer_core.methods import method_names
from finer_image._version import __version__
from finer_image.config import BUILT_IN, ImageConfig
from finer_image.io.notes import with_notes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(build_parser, arguments, around=with_notes)


def build_parser() -> OneLineParser:
    """Describe every command."""
    parser = OneLineParser(
        prog="finer-image", description="Fit images with implicit neural representations, render and judge them."
    )
    parser.add_argument("--version", action="version", version=version_text("finer-image", __version__))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    FIT.add(commands, "fit", "Fit a network to an image and write a run folder.", metavar="IMAGE", inputs="image file")
    _add_render(commands)
    _add_evaluate(commands)
    _add_benchmark(commands)
    add_download_command(
        commands,
        "finer_image.io.download",
        names=("div2k",),
        text="Fetch the photographs of the published image tables; the only command that uses the network.",
        what="sets",
        out="div2k",
        kind="folder",
    )
    add_reproduce_command(
        commands,
        "finer_image.reproducing",
        what="TABLE",
        inputs=f"image files, or folders of the table's images (default: the built-in {BUILT_IN})",
        out="runs/image-reproduction",
        size="side that images are reduced to",
        lengths={**STEPS, "passes": "use every pixel so often, in the place of published steps"},
    )
    _add_import(commands)
    _add_neurons(commands)
    _add_activations(commands)
    add_export_command(commands, "finer_image.model:ImageModel.load", inputs=_MAPPING)
    return parser


_MAPPING = "coordinates (n, 2), (row, column) in [-1, 1], to (n, channels) in [0, 1]"


def _summary(figures: Mapping[str, Any]) -> str:
    """Return the most telling figures in a line."""
    psnr = "infinite" if figures["psnr"] is None else f"{figures['psnr']:.2f} dB"
    ssim = "" if figures["ssim"] is None else f", SSIM {figures['ssim']:.4f}"
    return f"PSNR {psnr}{ssim}"


FIT = FitCommand(
    task="image",
    settings=ImageConfig,
    experiment="finer_image.app.experiment:EXPERIMENT",
    built_in=BUILT_IN,
    runs="runs/image",
    name_of=lambda signal: Path(signal).stem,
    summary=_summary,
)
"""Fit, save, judge, report."""


def _add_render(commands: Any) -> None:
    parser = add_command(commands, "render", run_render, "Render a fitted image at any size or crop.")
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("--out", required=True, metavar="FILE", help="image file; the suffix chooses the format")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, metavar="FACTOR", help="size relative to the fitted image")
    size.add_argument("--size", metavar="HxW", help="size in pixels")
    parser.add_argument("--crop", metavar="Y0:Y1,X0:X1", help="window of the rendered size, ends excluded")
    add_habits(parser)


def run_render(arguments: argparse.Namespace) -> None:
    """Render to a file."""
    from finer_core.progress import Progress
    from finer_core.resources import parse_memory, resolve_device
    from finer_image.app.render_file import check_file, render_to_file
    from finer_image.model import ImageModel, log_filled_pixels
    from finer_image.rendering import parse_crop, scaled_size, window_of

    crop = parse_crop(arguments.crop) if arguments.crop else None
    size = parse_size(arguments.size) if arguments.size else None
    memory = parse_memory(arguments.memory)
    model = ImageModel.load(arguments.model, device=resolve_device(arguments.device))
    if arguments.scale is not None:
        size = scaled_size(model, arguments.scale)
    size = size or (model.height, model.width)
    log_filled_pixels(model)
    is_zarr = Path(arguments.out).suffix.lower() == ".zarr"
    check_output_path(arguments.out, overwrite=arguments.overwrite, may_be_folder=is_zarr)
    window = window_of(crop, height=size[0], width=size[1])
    check_file(arguments.out, model, window=window, memory=memory)
    progress = Progress("render", total=window.y1 - window.y0, unit="row", quiet=arguments.quiet)
    render_to_file(
        arguments.out, model, size=size, window=window, memory=memory, on_rows=lambda done: progress.update(done)
    )
    progress.close()
    kind = model.kind()
    print(f"{window.y1 - window.y0}x{window.x1 - window.x0}, {kind.dtype}, {kind.mode}: {printable(arguments.out)}")


def _add_evaluate(commands: Any) -> None:
    parser = add_command(commands, "evaluate", run_evaluate, "Compare a fitted image with the original.")
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("signal", metavar="IMAGE", help=f"the original image, or '{BUILT_IN}' for the built-in one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_habits(parser, overwrite=False)


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Print PSNR and SSIM."""
    from finer_core.io.files import json_text
    from finer_core.resources import parse_memory, resolve_device
    from finer_image.evaluation import check_same_size, evaluate
    from finer_image.inputs import open_signal
    from finer_image.model import ImageModel

    model = ImageModel.load(arguments.model, device=resolve_device(arguments.device))
    image = open_signal(arguments.signal, memory=parse_memory(arguments.memory), copies=1)
    check_same_size(model, image)
    figures = evaluate(model, image, progress=not arguments.quiet)
    if arguments.json:
        print(json_text(figures, indent=None))
    else:
        for name, value in figures.items():
            print(f"{name:<15}{'-' if value is None else format(value, '.4f')}")


def _add_benchmark(commands: Any) -> None:
    text = "Fit every image of a folder by several methods and write a table (md, csv, json)."
    parser = add_command(commands, "benchmark", run_benchmark, text)
    parser.epilog = f"methods: {', '.join(method_names('image'))}"
    parser.add_argument("folder", metavar="FOLDER", help="folder of images, or one image file")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N images")
    add_benchmark_options(parser, ImageConfig, out="runs/image-benchmark")


def run_benchmark(arguments: argparse.Namespace) -> None:
    """Fit methods x images and print the table."""
    from finer_core.app.benchmark import compare_methods
    from finer_image.app.benchmark import BENCHMARK, images_in

    compare_methods(BENCHMARK, images_in(arguments.folder, limit=arguments.limit), arguments)


def _add_import(commands: Any) -> None:
    text = "Turn weights of the published image scripts (.pt) into a model file, and check that the outputs are equal."
    parser = add_command(commands, "import", "finer_image.app.commands:import_model", text)
    parser.epilog = f"methods: {', '.join(method_names('image'))}"
    parser.add_argument("reference", metavar="REFERENCE.pt", help="state dict written by the published code")
    parser.add_argument("--method", required=True, metavar="NAME", help="the file does not say which method it is")
    parser.add_argument("--out", default="model.safetensors", metavar="FILE", help="model file (default: %(default)s)")
    parser.add_argument(
        "--size", default="512x512", metavar="HxW", help="size of the fitted image, which the file does not hold"
    )
    parser.add_argument(
        "--target-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="what black and white were scaled to (default: the method's published range)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_network_options(parser)


def _add_neurons(commands: Any) -> None:
    text = "Draw the first layer's responses over the image plane (FINER, figure 6)."
    parser = add_command(commands, "neurons", run_neurons, text)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument(
        "--out", default="neurons.png", metavar="FILE", help="figure: .png, .svg or .pdf (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=64, help="neurons to draw (default: %(default)s)")
    parser.add_argument("--size", default="128x128", metavar="HxW", help="pixels of a map (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run_neurons(arguments: argparse.Namespace) -> None:
    """Draw neurons to a file."""
    from finer_image.model import ImageModel
    from finer_image.plots import neurons, save_figure

    if arguments.count < 1:
        raise InputError(f"--count must be at least 1, got {arguments.count}")
    size = parse_size(arguments.size)
    check_output_path(arguments.out, overwrite=arguments.overwrite)
    model = ImageModel.load(arguments.model)
    title = f"first-layer neurons, {model.config.method}"
    save_figure(neurons(model.network, count=arguments.count, size=size, title=title), arguments.out)
    print(printable(arguments.out))


_WIDEST = 1e6
"""Extent up to which single precision holds what the curves are made of."""


def _add_activations(commands: Any) -> None:
    parser = add_command(commands, "activations", run_activations, "Draw the curves of the activation family.")
    parser.add_argument(
        "--out", default="activations.png", metavar="FILE", help="figure: .png, .svg or .pdf (default: %(default)s)"
    )
    parser.add_argument("--extent", type=float, default=1.0, help="draw over [-EXTENT, EXTENT] (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run_activations(arguments: argparse.Namespace) -> None:
    """Draw the curves to a file."""
    from finer_image.plots import activations, save_figure

    if not 0 < arguments.extent <= _WIDEST:
        raise InputError(f"--extent must be above 0 and at most {_WIDEST:g}, got {arguments.extent!r}")
    check_output_path(arguments.out, overwrite=arguments.overwrite)
    save_figure(activations(extent=arguments.extent), arguments.out)
    print(printable(arguments.out))
