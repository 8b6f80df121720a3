"""What the commands other than `train` and `benchmark` do, once their modules may be loaded."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finer_core.app.cli import parse_size, refuse_without_effect
from finer_core.app.mesh_options import mesh_path
from finer_core.errors import InputError, shortened
from finer_core.io.files import check_output_path, output_path
from finer_core.io.text import counted
from finer_core.io.texture_atlas import check_texture
from finer_core.progress import Progress
from finer_core.resources import check_room, parse_memory, resolve_device
from finer_core.schema import check_within
from finer_nerf.app.pictures import JUDGED_BYTES, judge_and_write
from finer_nerf.arguments import check_background
from finer_nerf.camera_paths import CameraPath, orbit, read_path, spiral
from finer_nerf.cameras import Camera
from finer_nerf.config import BUILT_IN
from finer_nerf.evaluation import mean_figures
from finer_nerf.inputs import judged_views, read_input
from finer_nerf.meshing import check_resolution, extract_mesh
from finer_nerf.meshing.extract import TEXTURE_EXTRA
from finer_nerf.model import NerfModel
from finer_nerf.rendering.images import frame_of
from finer_nerf.rendering.maps import maps_of
from finer_nerf.rendering.video import FRAME_RATES, check_movie_path, write_movie
from finer_nerf.rendering.views import BYTES_PER_PIXEL
from finer_nerf.scenes.builtin import builtin_depth, builtin_scene
from finer_nerf.scenes.scene import note_of_another_scene, note_of_trained_views
from finer_nerf.scenes.writer import write_blender_scene

_FRAMES, _FRAMES_A_SECOND = 96, 24.0
"""Of a film, where none are asked for."""
_FRAME_BYTES = 1000
"""Of a path, for a frame: its pose and its camera, and what they are made of."""
_PATHS: dict[str, Callable[..., CameraPath]] = {"orbit": orbit, "spiral": spiral}


def evaluate_model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare a model with a scene's views; return the figures."""
    if arguments.downscale < 1 or arguments.test_every < 2:
        raise InputError(
            f"--downscale must be at least 1 and --test-every at least 2, got {arguments.downscale} and "
            f"{arguments.test_every}"
        )
    check_background(arguments.background)
    out = Path(arguments.out) if arguments.out else None
    if out is not None:
        _check_folder(out, overwrite=arguments.overwrite)
    memory = parse_memory(arguments.memory)
    model = NerfModel.load(arguments.model, device=resolve_device(arguments.device))
    scene = read_input(arguments.scene, downscale=arguments.downscale, test_every=arguments.test_every, memory=memory)
    views = scene.split(arguments.split) if arguments.split else judged_views(scene)
    poses = np.concatenate([part.poses for part in (scene.train, scene.val, scene.test)])
    inside = model.frame.poses_to_box(poses)
    notes = [*scene.notes, *note_of_another_scene(inside, model.train_poses, name=model.scene.get("name", ""))]
    if arguments.split != "train":  # which asks for trained ones
        notes += note_of_trained_views(model.frame.poses_to_box(views.poses), model.train_poses)
    if not arguments.quiet:
        for note in notes:
            print(shortened(f"{scene.name}: {note}"), file=sys.stderr)
    check_room(
        sum(part.images.numel() for part in (scene.train, scene.val, scene.test))
        + views.height * views.width * (JUDGED_BYTES + BYTES_PER_PIXEL),
        memory,
        what=f"judging views of {views.height}x{views.width}",
        advice="use --downscale",
    )
    background = arguments.background or model.background
    judged, _ = judge_and_write(
        model, views, background=background, folder=out, quiet=arguments.quiet, title="evaluate"
    )
    rows = {view.name: view.row for view in judged}
    return {**mean_figures(judged, background=background), "per_view": rows, "notes": notes}


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError for an output folder that cannot be made or written to, or that holds something."""
    if not os.path.isdir(folder):
        check_output_path(folder, overwrite=False)
        return
    if not overwrite and os.listdir(folder):
        raise InputError(f"{folder}: already exists; use --overwrite or another --out")
    check_output_path(folder / "file")


def render_model(arguments: argparse.Namespace) -> str:
    """Render a film, frames, or one picture; return the line to print."""
    check_background(arguments.background)
    out = Path(arguments.out)
    maps = out.suffix.lower() == ".npz"
    single = maps or out.suffix.lower() == ".png"
    if not single:
        check_movie_path(out)
    if os.path.isdir(out) and not single:
        _check_folder(out, overwrite=arguments.overwrite)
    else:
        check_output_path(out, overwrite=arguments.overwrite)
    _check_film(arguments, maps=maps, single=single)
    count = _FRAMES if arguments.frames is None else arguments.frames
    fps = _FRAMES_A_SECOND if arguments.fps is None else arguments.fps
    check_within(count, "[1, inf)", what="--frames", is_whole=True)
    check_within(fps, FRAME_RATES, what="--fps")
    memory = parse_memory(arguments.memory)
    check_room(count * _FRAME_BYTES, memory, what=f"a path of {count} frames", advice="give fewer --frames")
    kind = arguments.kind or "color"
    size = parse_size(arguments.size, least=2) if arguments.size else None
    model = NerfModel.load(arguments.model, device=resolve_device(arguments.device))
    path = _path(arguments.path, model, frames=1 if single else count)
    if single:
        path = dataclasses.replace(path, poses=path.poses[:1], cameras=path.cameras[:1])
    cameras = _cameras(path, model, size)
    camera = cameras[0]
    check_room(
        camera.width * camera.height * BYTES_PER_PIXEL,
        memory,
        what=f"a picture of {camera.height}x{camera.width}",
        advice="give a smaller --size",
    )
    progress = Progress("render", total=len(path.poses), unit="frame", quiet=arguments.quiet)

    def frames() -> Iterator[np.ndarray]:
        for i, (pose, lens) in enumerate(zip(path.poses, cameras, strict=True)):
            yield frame_of(model, pose, lens, kind=kind, background=arguments.background)
            progress.update(i + 1)

    if maps:
        arrays = maps_of(model, path.poses[0], camera, background=arguments.background)
        with output_path(out) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stubs take a flag beside the arrays
    elif single:
        with output_path(out) as temporary:
            Image.fromarray(next(frames())).save(temporary)
    else:
        write_movie(frames(), out, fps=fps)
    progress.close()
    if path.note and not arguments.quiet:
        print(path.note, file=sys.stderr)
    if maps:
        return f"color, depth, opacity and normals, {camera.height}x{camera.width}: {out}"
    made = "1 picture" if single else counted(len(path.poses), "frame")
    return f"{made}, {camera.height}x{camera.width}, {kind}: {out}"


def _check_film(arguments: argparse.Namespace, *, maps: bool, single: bool) -> None:
    """Refuse options that do nothing to what is written."""
    if maps:
        refuse_without_effect(arguments, "kind", why="to an .npz, which holds color, depth and normals")
    if single:
        refuse_without_effect(arguments, "frames", "fps", why="to one view: it is of a film or a folder")
    elif Path(arguments.out).suffix.lower() != ".mp4":
        refuse_without_effect(arguments, "fps", why="to a folder of frames: it is of a film, .mp4")
    if arguments.path not in _PATHS:
        refuse_without_effect(arguments, "frames", why="to a file of cameras, which has a frame for each")


def _path(name: str, model: NerfModel, *, frames: int) -> CameraPath:
    return _PATHS[name](model, frames=frames) if name in _PATHS else read_path(name, model)


def _cameras(path: CameraPath, model: NerfModel, size: tuple[int, int] | None) -> list[Camera]:
    """Return the camera of each pose: the path's own or the model's, without distortion, at a size if one is given."""
    cameras = list(path.cameras) or [model.camera.pinhole()] * len(path.poses)
    if size is not None:
        return [_resized(camera, *size) for camera in cameras]
    sizes = {(camera.height, camera.width) for camera in cameras}
    if len(sizes) > 1:
        raise InputError(f"the path has pictures of {len(sizes)} sizes, and a film has one; give --size")
    return cameras


def _resized(camera: Camera, height: int, width: int) -> Camera:
    """Return a camera at a size, with the same field of view along the shorter change of size."""
    if camera.projection == "equirectangular":
        return camera.resized(height=height, width=width)
    factor = min(height / camera.height, width / camera.width)
    return Camera(width=width, height=height, fx=camera.fx * factor, fy=camera.fy * factor, cx=width / 2, cy=height / 2)


def mesh_model(arguments: argparse.Namespace) -> str:
    """Extract a colored mesh into a file, in the scene's coordinates; return the line to print."""
    out = mesh_path(arguments, package="finer-nerf")
    check_resolution(arguments.resolution)
    memory = parse_memory(arguments.memory)
    check_texture(arguments.texture, memory=memory, extra=TEXTURE_EXTRA)
    model = NerfModel.load(arguments.model, device=resolve_device(arguments.device))
    progress = Progress("mesh", total=arguments.resolution**3, unit="point", quiet=arguments.quiet)
    mesh = extract_mesh(
        model,
        resolution=arguments.resolution,
        level=arguments.level,
        memory=memory,
        min_component=arguments.min_component,
        simplify=arguments.simplify,
        texture=arguments.texture,
        on_points=progress.update,
    )
    progress.close()
    notes = mesh.write(out, file_type=arguments.format, up=arguments.up or "z")
    for note in () if arguments.quiet else notes:
        print(shortened(f"{out}: {note}"), file=sys.stderr)
    kind = "colored" if mesh.texture is None else "textured"
    is_more = arguments.simplify is not None and len(mesh.faces) > arguments.simplify
    more = ", none fewer without turning some over" if is_more else ""
    return f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces{more}, {kind}: {out}"


def view(arguments: argparse.Namespace) -> None:
    """Show a model in the browser until interrupted."""
    model = NerfModel.load(arguments.model, device=resolve_device(arguments.device))
    model.view(host=arguments.host, port=arguments.port)


def write_scene(arguments: argparse.Namespace) -> str:
    """Write the built-in scene; return the line to print."""
    if not 8 <= arguments.size <= 2048:
        raise InputError(f"--size must be between 8 and 2048, got {arguments.size}")
    out = Path(arguments.out)
    _check_folder(out, overwrite=arguments.overwrite)
    scene = builtin_scene(size=arguments.size)
    depths = {
        name: np.stack([builtin_depth(pose, camera) for pose, camera in zip(views.poses, views.cameras, strict=True)])
        for name, views in (("train", scene.train), ("val", scene.val), ("test", scene.test))
    }
    write_blender_scene(scene, out, depths=depths)
    counts = ", ".join(f"{len(depth)} {name}" for name, depth in depths.items())
    return f"{BUILT_IN}: {counts} views of {arguments.size}x{arguments.size}, with depths: {out}"
