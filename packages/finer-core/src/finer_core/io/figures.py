"""Figures, pictures and films as files; the caller declares Matplotlib, Pillow or imageio-ffmpeg, loaded when used."""

import errno
import io
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import output_path

LAYOUT: Literal["constrained"] | None = "constrained"
"""How the plots of a figure find room for their labels; matplotlib draws it twice for that."""
_GAP = 4
"""Pixels between pictures."""


def subplots(rows: int = 1, columns: int = 1, *, figsize: tuple[float, float]) -> tuple[Any, np.ndarray]:
    """Make a figure without matplotlib's global state, so that no display is ever asked for.

    Returns:
        The figure, and its axes (rows, columns).

    Raises:
        InputError: If matplotlib is not installed, which finer-core has as an extra.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(f"figures need matplotlib: pip install 'finer-core[plots]' ({error})") from error

    figure = Figure(figsize=figsize, layout=LAYOUT)
    return figure, figure.subplots(rows, columns, squeeze=False)


def figure_bytes(figure: Any, *, kind: str = "png", dpi: int = 110) -> bytes:
    """Return a figure as a file, "svg" or "png", which says nothing of the time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure atomically; the suffix chooses the format; InputError if it cannot be written."""
    with output_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def to_bytes(color: np.ndarray) -> np.ndarray:
    """Return colors in [0, 1] as uint8; what lies outside is clipped."""
    return np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return a picture as a PNG file.

    Args:
        pixels: (height, width), or (height, width, 3 or 4), uint8.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def side_by_side(panels: Sequence[np.ndarray]) -> bytes:
    """Return a PNG of pictures beside each other.

    Args:
        panels: (H, W, C) of equal height with values in [0, 1]; those of fewer than three channels become gray, and of
            more than three the first three are shown.
    """
    colored = [panel[..., :3] if panel.shape[-1] >= 3 else panel[..., :1].repeat(3, axis=-1) for panel in panels]
    gap = np.ones((colored[0].shape[0], _GAP, 3))
    row = [part for panel in colored for part in (gap, panel)][1:]
    return png_bytes(to_bytes(np.concatenate(row, axis=1)))


def write_mp4(frames: Iterable[np.ndarray], path: str | os.PathLike[str], *, fps: float) -> None:
    """Write frames as H.264 in an MP4, atomically.

    Args:
        frames: At least one (height, width, 3), uint8, all of one size; a last odd line or column is repeated, for the
            format needs even ones.
        path: The file.
        fps: Frames a second.

    Raises:
        InputError: If the film cannot be written.
        OSError: If it could not be written whole, as where there is no more room.
    """
    import imageio_ffmpeg  # here: its ffmpeg is large

    writer, taken = None, 0
    with output_path(path) as temporary:
        try:
            for frame in frames:
                height, width = frame.shape[:2]
                even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                if writer is None:
                    writer = imageio_ffmpeg.write_frames(
                        str(temporary),
                        (even.shape[1], even.shape[0]),
                        fps=fps,
                        codec="libx264",
                        quality=None,
                        macro_block_size=1,
                        output_params=["-crf", "18", "-movflags", "+faststart"],
                        ffmpeg_log_level="error",
                    )
                    writer.send(None)
                writer.send(np.ascontiguousarray(even))
                taken += 1
        finally:
            if writer is not None:
                writer.close()
        try:
            written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
        except RuntimeError:  # what there is, is no film
            written = 0
        if written != taken:  # the encoder may fail, on a full disk for example, after it took the last picture
            raise OSError(errno.ENOSPC, f"the encoder wrote {written} of {taken} pictures; is the disk full?")
