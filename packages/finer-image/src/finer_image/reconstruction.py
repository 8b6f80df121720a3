"""Judge a fitted image and write what it renders, in one pass over its rows."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from finer_image.evaluation import Judge, fitted_bands
from finer_image.io.image import Image
from finer_image.io.nodata import mark_missing
from finer_image.io.opening import open_in_parts
from finer_image.io.raster import Raster
from finer_image.io.strip_writer import write_bands
from finer_image.io.writer import write_image
from finer_image.model import ImageModel


def judge_and_write(
    model: ImageModel,
    image: Raster,
    path: str | os.PathLike[str],
    *,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> tuple[Raster, dict[str, float | None]]:
    """Compare a fitted image with the original and write its reconstruction; every pixel is predicted once.

    Pixels of which the original has no data have none in the reconstruction either.

    Args:
        model: The fitted image.
        image: The original. If it is in memory, so is the reconstruction.
        path: Where the reconstruction goes; of an image on disk .tif, .npy or .zarr.
        on_rows: Called with the number of rows done.

    Returns:
        The reconstruction, and the figures of `finer_image.evaluation.evaluate`.

    Raises:
        InputError: If size or channels differ, or a file cannot be read or written.
    """
    judge = Judge(model, image)

    def bands() -> Iterator[np.ndarray]:
        for pred in fitted_bands(model):
            missing = judge.add(pred)
            pixels = model.pixels_of(pred)
            if missing is not None:
                mark_missing(pixels, missing, nodata=image.nodata)
            yield pixels
            on_rows(judge.rows)

    if isinstance(image, Image):
        pixels, done = np.empty(image.shape, dtype=model.image["dtype"]), 0
        for band in bands():
            pixels[done : done + len(band)] = band
            done += len(band)
        whole = model.with_pixels(pixels)
        write_image(path, whole)
        return whole, judge.figures()
    write_bands(path, bands(), kind=model.kind(), height=model.height, width=model.width)
    return open_in_parts(path), judge.figures()
