"""The pictures of a run folder: held-out views, the film, and the report."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finer_core.app.run_folder import RunFolder
from finer_core.io.figures import to_bytes
from finer_core.io.files import atomic_path
from finer_core.progress import Progress
from finer_nerf.app.report import write_report
from finer_nerf.app.view_table import ShownViews
from finer_nerf.camera_paths import orbit
from finer_nerf.evaluation import JudgedView, ViewFigures, judge_views, load_lpips
from finer_nerf.model import NerfModel
from finer_nerf.plots import camera_plot_svg
from finer_nerf.rendering.colormaps import depth_picture
from finer_nerf.rendering.images import small_camera
from finer_nerf.rendering.video import render_video
from finer_nerf.scenes import Views

_REPORTED_VIEWS = 6
JUDGED_BYTES = _REPORTED_VIEWS * 57
"""A pixel of all views that a report shows: truth, rendering, depth, opacity, points and mask."""
_FILM_SIDE = 256
"""Longest side of the film in the report, in pixels."""
_FRAMES_A_SECOND = 24
_LONGEST_NAME = 150
"""Bytes of a view's file name: file systems take 255, with what is written before and after it."""
_PICTURE_SUFFIX = r"(?i)\.(png|jpe?g|webp|tiff?|bmp|gif|ppm|tga|jp2|avif)$"


def judge_and_write(
    model: NerfModel, views: Views, *, background: str, folder: Path | None, quiet: bool, title: str
) -> tuple[list[ViewFigures], list[JudgedView]]:
    """Judge views one after another, and write truth and rendering side by side, and the depth.

    Args:
        model: The model.
        views: What to compare with.
        background: "white", "black" or "#rrggbb", for both sides.
        folder: Where to write, made if need be, in place of the views that are there; None for nowhere.
        quiet: No progress.
        title: Of the progress.

    Returns:
        The figures of every view, and the few views that a report shows, the worst first; to keep all would take much
        memory.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(title, total=len(views), unit="view", quiet=quiet)
    lpips = load_lpips(say=lambda line: None if quiet else print(line, file=sys.stderr))
    figures, shown = [], ShownViews(views=len(views), most=_REPORTED_VIEWS)
    judged = judge_views(model, views, background=background, lpips=lpips, on_view=progress.update)
    for view, name in zip(judged, file_names(views.names), strict=True):
        figures.append(view.figures)
        shown.add(view)
        if folder is not None:
            both = np.concatenate([to_bytes(view.truth), to_bytes(view.view.color)], axis=1)
            for suffix, picture in (("", both), ("_depth", depth_picture(view.view.depth))):
                with atomic_path(folder / f"{name}{suffix}.png") as temporary:
                    Image.fromarray(picture).save(temporary)
    if folder is not None:
        _remove_others(folder, set(file_names(views.names)))
    progress.close()
    return figures, shown.views


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove the views of an earlier evaluation, which are pictures in pairs, but for those of these names."""
    for depth in folder.glob("*_depth.png"):
        name = depth.name.removesuffix("_depth.png")
        if name not in names and (both := folder / f"{name}.png").is_file():
            depth.unlink()
            both.unlink()


def file_names(names: Sequence[str]) -> list[str]:
    """Return a file name without suffix for each view: of letters that every system takes, short, none twice."""
    used: set[str] = set()
    found = []
    for name in names:
        plain = re.sub(r"[^\w. ()+,=@-]", "_", re.sub(_PICTURE_SUFFIX, "", name)).strip(". ")
        plain = plain.encode()[-_LONGEST_NAME:].decode(errors="ignore") or "view"
        candidate, number = plain, 1
        while used & {candidate.lower(), f"{candidate}_depth".lower()}:
            number += 1
            candidate = f"{plain}_{number}"
        used |= {candidate.lower(), f"{candidate}_depth".lower()}
        found.append(candidate)
    return found


def fill_report(
    run: RunFolder,
    *,
    model: NerfModel,
    judged: Sequence[JudgedView],
    figures: Mapping[str, Any],
    config: Mapping[str, Any],
    held_out: np.ndarray,
    orbit_frames: int,
    quiet: bool,
) -> None:
    """Write the film and report.html."""
    film = run.path / "orbit.mp4" if orbit_frames else None
    note = ""
    if film is not None:
        path = orbit(model, frames=orbit_frames)
        note = path.note
        camera = small_camera(model.camera, side=_FILM_SIDE)
        progress = Progress("film", total=orbit_frames, unit="frame", quiet=quiet)
        render_video(model, film, path.poses, camera=camera, fps=_FRAMES_A_SECOND, on_frame=progress.update)
        progress.close()
    poses = {"training": model.train_poses, "held out": held_out}
    cameras = camera_plot_svg(poses, bound=model.bound)
    write_report(run, figures=figures, config=config, views=judged, cameras=cameras, film=film, film_note=note)
