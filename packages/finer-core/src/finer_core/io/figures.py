"""Figures, pictures and films as files; the caller declares Matplotlib, Pillow or imageio-ffmpeg, loaded when used."""

import errno
import io
import itertools
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from finer_core.errors import NO_ROOM, InputError, shortened
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
        InputError: If the film cannot be written, or there are no frames, or some of another size.
        OSError: If there is no more room for it.
        RuntimeError: If the encoder ended before it had written all of them.
    """
    import imageio_ffmpeg  # here: its ffmpeg is large

    rest = iter(frames)
    with output_path(path) as temporary:
        first = next(rest, None)
        if first is None:
            raise InputError(f"{path}: a film has at least one picture")
        size = "{1}x{0}".format(*(side + side % 2 for side in first.shape[:2]))
        read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{fps:.6g}", "-i", "-"]
        write = ["-vcodec", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", *read, *write, "-v", "error", str(temporary)]
        taken, reason = _encode(command, itertools.chain([first], rest), shape=first.shape)
        try:
            written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
        except RuntimeError:  # what there is, is no film
            written = 0
        if reason or written != taken:  # it may fail without a word after it took the last picture
            number = next((number for number in NO_ROOM if os.strerror(number) in reason), None)
            if number is not None:
                raise OSError(number, os.strerror(number))
            done = f"{path}: the encoder (ffmpeg) broke off after {written} pictures; start again"
            raise RuntimeError(shortened(f"{done}: {reason}" if reason else done))


def _encode(command: Sequence[str], frames: Iterable[np.ndarray], *, shape: tuple[int, ...]) -> tuple[int, str]:
    """Give pictures to an encoder, which Ctrl-C does not reach; return how many it took, and why it failed, if so."""
    taken = 0
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stderr=said, start_new_session=True) as encoder,
    ):
        assert encoder.stdin is not None
        try:
            for frame in frames:
                if frame.shape != shape:  # else its pixels would end another's lines
                    raise InputError(f"a film has pictures of one size, got {shape} and {frame.shape}")
                padding = ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0))
                left = np.ascontiguousarray(np.pad(frame, padding, mode="edge")).data.cast("B")
                try:
                    while left:
                        left = left[encoder.stdin.write(left) :]
                except OSError:  # it has ended
                    break
                taken += 1
            encoder.stdin.close()
            encoder.wait()
        except BaseException:
            encoder.kill()
            encoder.wait()  # which `with` does not after Ctrl-C
            raise
        if not encoder.returncode:
            return taken, ""
        if encoder.returncode == -getattr(signal, "SIGXFSZ", 0):  # which a limit on the size of files sends
            return taken, os.strerror(errno.EFBIG)
        said.seek(0)
        return taken, said.read().decode(errors="replace").strip() or f"exit code {encoder.returncode}"
