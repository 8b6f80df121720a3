"""What the commands other than `fit` and `benchmark` do, once their modules may be loaded."""

import argparse
import sys
from pathlib import Path
from typing import Any

from finer_core.app.cli import parse_size, refuse_without_effect
from finer_core.app.mesh_options import mesh_path
from finer_core.app.network_options import given_options
from finer_core.errors import InputError, shortened
from finer_core.io.files import check_output_path
from finer_core.resources import check_room, parse_memory, resolve_device
from finer_sdf.app.mesh_file import write_surface
from finer_sdf.evaluation.surface_metrics import evaluate, mesh_of
from finer_sdf.geometry import LoadedShape
from finer_sdf.geometry.reader import load_shape
from finer_sdf.inputs import read_input
from finer_sdf.meshing.extract import DEFAULT_RESOLUTION, check_resolution
from finer_sdf.model import SdfModel
from finer_sdf.reference import import_reference
from finer_sdf.rendering.images import LARGEST_SIDE, check_view_path, write_png
from finer_sdf.rendering.raycast import BYTES_PER_RAY, SUPERSAMPLE


def mesh_model(arguments: argparse.Namespace) -> str:
    """Extract a model's surface into a file, in the input's coordinates; return the line to print."""
    out = mesh_path(arguments, package="finer-sdf")
    memory = parse_memory(arguments.memory)
    check_resolution(arguments.resolution, memory=memory, sparse=not arguments.dense)
    model = SdfModel.load(arguments.model, device=resolve_device(arguments.device))
    return write_surface(model, out, arguments, level=arguments.level, sparse=not arguments.dense)


def evaluate_candidate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare a model or a mesh with a reference surface; return the figures."""
    memory = parse_memory(arguments.memory)
    is_model = Path(arguments.candidate).suffix.lower() == ".safetensors"
    if not is_model:
        refuse_without_effect(arguments, "resolution", why="to a mesh: it is of a model's")
    resolution = DEFAULT_RESOLUTION if arguments.resolution is None else arguments.resolution
    loaded = read_input(arguments.reference, memory=memory)
    _say(loaded, quiet=arguments.quiet)
    surface: SdfModel | LoadedShape
    if is_model:
        check_resolution(resolution, memory=memory)
        surface = SdfModel.load(arguments.candidate, device=resolve_device(arguments.device))
    else:
        surface = load_shape(arguments.candidate, memory=memory)
        mesh_of(surface)  # refuses a point cloud before anything is told of it
        _say(surface, quiet=arguments.quiet)
    return evaluate(
        surface,
        loaded,
        resolution=resolution,
        samples=arguments.samples,
        seed=arguments.seed,
        memory=arguments.memory,
        progress=not arguments.quiet,
    )


def _say(loaded: LoadedShape, *, quiet: bool) -> None:
    """Print what was repaired, estimated or left out in reading."""
    for note in () if quiet else loaded.notes:
        print(shortened(f"{loaded.name}: {note}"), file=sys.stderr)


def import_model(arguments: argparse.Namespace) -> str:
    """Import a reference file; return the line to print."""
    check_output_path(arguments.out, overwrite=arguments.overwrite)
    loaded = load_shape(arguments.shape) if arguments.shape else None
    if loaded:
        _say(loaded, quiet=False)
    model = import_reference(
        arguments.reference, arguments.out, method=arguments.method, loaded=loaded, options=given_options(arguments)
    )
    config = model.config
    size = f"{config.method}, {config.hidden_layers}x{config.hidden_features}"
    return f"{size}, every tensor equal, 1000 outputs equal: {arguments.out}"


def render_model(arguments: argparse.Namespace) -> str:
    """Render a model to a PNG or a turntable; return the line to print."""
    check_view_path(arguments.out)
    height, width = parse_size(arguments.size, most=LARGEST_SIDE)
    check_output_path(arguments.out, overwrite=arguments.overwrite)
    if arguments.kind == "error" and not arguments.reference:
        raise InputError("--kind error needs --reference, the mesh to measure against")
    if arguments.kind != "error":
        refuse_without_effect(arguments, "reference", why=f"with --kind {arguments.kind}: it is for --kind error")
    is_film = Path(arguments.out).suffix.lower() == ".mp4"
    if is_film:
        refuse_without_effect(arguments, "azimuth", why="to a film, which turns once round the shape")
    else:
        refuse_without_effect(arguments, "frames", why="to a picture: it is of a film, .mp4")
    if arguments.frames is not None and arguments.frames < 1:
        raise InputError(f"--frames must be at least 1, got {arguments.frames}")
    memory = parse_memory(arguments.memory)
    rays = height * width * (1 if is_film else SUPERSAMPLE**2)
    check_room(BYTES_PER_RAY * rays, memory, what=f"a picture of {height}x{width}", advice="give a smaller --size")
    given = {name: value for name in ("frames", "azimuth") if (value := getattr(arguments, name)) is not None}
    model = SdfModel.load(arguments.model, device=resolve_device(arguments.device))
    view: dict[str, Any] = {
        "size": (height, width),
        "elevation": arguments.elevation,
        "up": arguments.up,
        "kind": arguments.kind,
        "reference": _reference(arguments) if arguments.reference else None,
        "progress": not arguments.quiet,
    }
    if is_film:
        model.turntable(arguments.out, **given, **view)
    else:
        write_png(arguments.out, model.render(**given, **view))
    return f"{height}x{width}, {arguments.kind}: {arguments.out}"


def _reference(arguments: argparse.Namespace) -> LoadedShape:
    loaded = read_input(arguments.reference, memory=parse_memory(arguments.memory))
    _say(loaded, quiet=arguments.quiet)
    return loaded
