"""Videos as MP4, or as a folder of PNG frames."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from finer_core.errors import InputError
from finer_core.io.figures import write_mp4
from finer_core.io.files import given_path, output_path
from finer_core.schema import check_within, shown
from finer_nerf.cameras import Camera
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.rendering.images import KINDS, frame_of

FRAME_RATES = "[0.01, 1000]"
"""Frames a second that a film may have."""


def render_video(
    model: FittedScene,
    path: str | os.PathLike[str],
    poses: Tensor,
    *,
    camera: Camera,
    kind: str = "color",
    fps: float = 24.0,
    background: str | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> None:
    """Render a video.

    Args:
        model: The model.
        path: See `check_movie_path`.
        poses: Camera-to-box matrices (n, 4, 4): x right, y down, z forwards.
        camera: Lens and size.
        kind: One of `KINDS`.
        fps: Frames a second.
        background: "white", "black" or "#rrggbb"; None for the model's.
        on_frame: Called with the number of frames done.

    Raises:
        InputError: If the file cannot be made, or kind or rate are none.
    """
    check_movie_path(path)
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {shown(kind)}")
    check_within(fps, FRAME_RATES, what="fps")

    def frames() -> Iterator[np.ndarray]:
        for number, pose in enumerate(poses):
            yield frame_of(model, pose, camera, kind=kind, background=background)
            on_frame(number + 1)

    write_movie(frames(), path, fps=fps)


def check_movie_path(path: str | os.PathLike[str]) -> None:
    """Raise InputError for a path that cannot take a film: .mp4, or a folder's name without a suffix."""
    out = given_path(path)
    if out.suffix.lower() not in (".mp4", ""):
        raise InputError(f"{out}: a film is .mp4, a picture .png, and frames go to a folder's name")
    if not os.path.isdir(out.parent):
        raise InputError(f"{out.parent}: the folder does not exist")


def write_movie(frames: Iterable[np.ndarray], path: str | os.PathLike[str], *, fps: float) -> None:
    """Write frames as H.264 in an MP4, or as frame_0000.png ... in a folder, in place of the frames that are there.

    Args:
        frames: uint8 (height, width, 3), all of one size; a last odd line or column is repeated, for the
            format needs even ones.
        path: See `check_movie_path`.
        fps: Frames a second.
    """
    out = Path(path)
    if out.suffix.lower() == ".mp4":
        write_mp4(frames, out, fps=fps)
        return
    out.mkdir(exist_ok=True)
    written = set()
    for number, frame in enumerate(frames):
        written.add(path := out / f"frame_{number:04d}.png")
        with output_path(path) as temporary:
            Image.fromarray(frame).save(temporary)
    for file in set(out.iterdir()) - written:
        if re.fullmatch(r"frame_\d{4,}\.png", file.name):  # of a longer film
            file.unlink()
