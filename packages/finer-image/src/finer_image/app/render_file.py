"""Render a fitted image to a file: whole where it fits into memory, else band by band."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_image import memory as budget
from finer_image.io.strip_writer import check_written_in_parts, write_bands
from finer_image.io.writer import check_writable, write_image
from finer_image.model import ImageModel
from finer_image.rendering import Crop, pixel_bands, render

_MOST_COMPRESSION = 100
"""What a format can make of flat pixels at best, roughly."""


def fits(model: ImageModel, *, window: Crop, memory: int) -> bool:
    """Return whether a window, and its encoding, can be held in memory."""
    kind = model.kind()
    nbytes = (window.y1 - window.y0) * (window.x1 - window.x0) * kind.channels * kind.dtype.itemsize
    return nbytes <= budget.room_for_pixels(memory, copies=2)


def check_file(path: str | os.PathLike[str], model: ImageModel, *, window: Crop, memory: int) -> None:
    """Check that a path's suffix can hold a window, so that long work does not end in a refusal.

    Raises:
        InputError: It cannot; the line names the formats that can.
    """
    if fits(model, window=window, memory=memory):
        check_writable(path, model.kind())
    else:
        height, width, kind = window.y1 - window.y0, window.x1 - window.x0, model.kind()
        check_written_in_parts(path, kind, height=height, width=width)
        free = shutil.disk_usage(Path(path).absolute().parent).free
        if height * width * kind.channels * kind.dtype.itemsize > _MOST_COMPRESSION * free:
            raise InputError(
                f"{os.fspath(path)}: {height}x{width} pixels do not fit on the disk; render a smaller size"
            )


def render_to_file(
    path: str | os.PathLike[str],
    model: ImageModel,
    *,
    size: tuple[int, int],
    window: Crop,
    memory: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> None:
    """Render a window of a fitted image to a file.

    Raises:
        InputError: The suffix cannot hold the image, or the place cannot be written to.
    """
    height, width = size
    if fits(model, window=window, memory=memory):
        write_image(path, render(model, height=height, width=width, crop=window, on_rows=on_rows))
        return

    def bands() -> Iterator[np.ndarray]:
        done = 0
        for band in pixel_bands(model, height=height, width=width, window=window):
            yield band
            done += len(band)
            on_rows(done)

    shape = (window.y1 - window.y0, window.x1 - window.x0)
    write_bands(path, bands(), kind=model.kind(), height=shape[0], width=shape[1])
