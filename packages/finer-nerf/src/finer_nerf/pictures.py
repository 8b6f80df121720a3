"""The pictures of a run folder: held-out views, the film, and the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finer_core.files import atomic_path
from finer_core.progress import Progress
from finer_core.run_folder import RunFolder
from finer_nerf.cameras import Intrinsics
from finer_nerf.judging import JudgedView
from finer_nerf.model import RadianceModel
from finer_nerf.rendering.views import render_view
from finer_nerf.run_report import HeldOutView, write_report
from finer_nerf.seeing.camera_paths import orbit
from finer_nerf.seeing.colormaps import depth_picture
from finer_nerf.seeing.movie import write_movie

_REPORTED_VIEWS = 6
_FILM_SIDE = 256
"""Longest side of the film in the report, in pixels."""
_FRAMES_A_SECOND = 24


def to_bytes(color: np.ndarray) -> np.ndarray:
    """Return colours in [0, 1] as uint8."""
    return np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)


def write_views(folder: Path, judged: Sequence[JudgedView]) -> None:
    """Write held-out views: truth and rendering side by side, and the depth."""
    folder.mkdir(exist_ok=True)
    for view in judged:
        name = view.name.replace("/", "_").replace("\\", "_").lstrip(".")
        both = np.concatenate([to_bytes(view.truth), to_bytes(view.view.color)], axis=1)
        for suffix, picture in (("", both), ("_depth", depth_picture(view.view.depth))):
            with atomic_path(folder / f"{Path(name).stem}{suffix}.png") as temporary:
                Image.fromarray(picture).save(temporary)


def small_camera(camera: Intrinsics, *, side: int) -> Intrinsics:
    """Return the camera at a size whose longest side is at most `side`, even in both directions, for films."""
    factor = min(1.0, side / max(camera.width, camera.height))
    width, height = (max(2, int(size * factor) // 2 * 2) for size in (camera.width, camera.height))
    resized = camera.resized(width=width, height=height)
    return Intrinsics(**{**resized.__dict__, "distortion": (0.0, 0.0, 0.0, 0.0)})


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
        for view in judged[:: max(1, -(-len(judged) // _REPORTED_VIEWS))]
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
