"""The pictures of a run folder: held-out views, the film, and the report."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finer_core.files import atomic_path
from finer_core.progress import Progress
from finer_core.run_folder import RunFolder
from finer_nerf.cameras import Intrinsics
from finer_nerf.judging import JudgedView, ViewFigures, judge_views, load_lpips
from finer_nerf.model import RadianceModel
from finer_nerf.rendering.views import render_view
from finer_nerf.run_report import HeldOutView, write_report
from finer_nerf.scenes import Views
from finer_nerf.seeing.camera_paths import orbit
from finer_nerf.seeing.colormaps import depth_picture
from finer_nerf.seeing.movie import write_movie

_REPORTED_VIEWS = 6
JUDGED_BYTES = _REPORTED_VIEWS * 56
"""A pixel of all views that a report shows: truth, rendering, depth, opacity and points."""
_FILM_SIDE = 256
"""Longest side of the film in the report, in pixels."""
_FRAMES_A_SECOND = 24
_LONGEST_NAME = 150
"""Bytes of a view's file name: file systems take 255, with what is written before and after it."""
_PICTURE_SUFFIX = r"(?i)\.(png|jpe?g|webp|tiff?|bmp|gif|ppm|tga|jp2|avif)$"


def to_bytes(color: np.ndarray) -> np.ndarray:
    """Return colours in [0, 1] as uint8."""
    return np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)


def judge_and_write(
    model: RadianceModel, views: Views, *, background: str, folder: Path | None, quiet: bool, title: str
) -> tuple[list[ViewFigures], list[JudgedView]]:
    """Judge views one after another, and write truth and rendering side by side, and the depth.

    Args:
        model: The model.
        views: What to compare with.
        background: "white" or "black", for both sides.
        folder: Where to write, made if need be; None for nowhere.
        quiet: No progress.
        title: Of the progress.

    Returns:
        The figures of every view, and the few views that a report shows; to keep all would take much memory.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(title, total=len(views), unit="view", quiet=quiet)
    lpips = load_lpips(say=lambda line: None if quiet else print(line, file=sys.stderr))
    figures, shown = [], []
    every = max(1, -(-len(views) // _REPORTED_VIEWS))
    judged = judge_views(model, views, background=background, lpips=lpips, on_view=progress.update)
    for number, (view, name) in enumerate(zip(judged, file_names(views.names), strict=True)):
        figures.append(view.figures)
        if number % every == 0:
            shown.append(view)
        if folder is not None:
            both = np.concatenate([to_bytes(view.truth), to_bytes(view.view.color)], axis=1)
            for suffix, picture in (("", both), ("_depth", depth_picture(view.view.depth))):
                with atomic_path(folder / f"{name}{suffix}.png") as temporary:
                    Image.fromarray(picture).save(temporary)
    progress.close()
    return figures, shown


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


def small_camera(camera: Intrinsics, *, side: int) -> Intrinsics:
    """Return the camera at a size whose longest side is at most `side`, even in both directions, for films."""
    factor = min(1.0, side / max(camera.width, camera.height))
    width, height = (max(2, int(size * factor) // 2 * 2) for size in (camera.width, camera.height))
    return camera.pinhole().resized(width=width, height=height)


def fill_report(
    run: RunFolder,
    *,
    model: RadianceModel,
    judged: Sequence[JudgedView],
    figures: Mapping[str, Any],
    config: Mapping[str, Any],
    curve: Sequence[Mapping[str, Any]],
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

        def frames() -> Any:
            for i, pose in enumerate(path.poses):
                yield to_bytes(render_view(model, pose, camera).color)
                progress.update(i + 1)

        write_movie(frames(), film, fps=_FRAMES_A_SECOND)
        progress.close()
    views = [
        HeldOutView(
            name=view.name,
            truth=view.truth,
            rendered=view.view.color,
            depth=depth_picture(view.view.depth),
            psnr=view.psnr,
            ssim=view.ssim,
        )
        for view in judged
    ]
    write_report(
        run.report,
        title=f"{config['scene']['name']}: {figures['method']}, {figures['preset']} preset",
        note=f"{figures['psnr']:.2f} dB on {figures['background']} over {figures['views']} held-out views",
        figures=figures,
        config=config,
        curve=curve,
        views=views,
        poses={"training": model.train_poses, "held out": held_out},
        bound=model.bound,
        orbit_mp4=film.read_bytes() if film is not None else None,
        orbit_note=note,
    )
