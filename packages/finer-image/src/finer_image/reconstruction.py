"""Judge a fitted image and write what it renders, in one pass over its rows when it does not fit into memory."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from finer_image.band_writer import write_bands
from finer_image.evaluate import Judge, unit_bands
from finer_image.model import ImageModel
from finer_image.raster import Raster


def judge_and_write(
    model: ImageModel,
    image: Raster,
    path: str | os.PathLike[str],
    *,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> dict[str, float | None]:
    """Compare a fitted image with the original and write its reconstruction; every pixel is predicted once.

    Args:
        model: The fitted image.
        image: The original.
        path: Where the reconstruction goes: .tif, .npy or .zarr.
        on_rows: Called with the number of rows done.

    Returns:
        The figures of `finer_image.evaluate.evaluate`.

    Raises:
        InputError: If size or channels differ, or a file cannot be read or written.
    """
    judge = Judge(model, image)

    def bands() -> Iterator[np.ndarray]:
        for pred in unit_bands(model):
            judge.add(pred)
            yield model.pixels_of(pred)
            on_rows(judge.rows)

    write_bands(path, bands(), kind=model.kind(), height=model.height, width=model.width)
    return judge.figures()
