"""Bands of rows: how an image passes through a program that never holds all of it."""

from collections.abc import Iterable, Iterator

import numpy as np

_BAND_BYTES = 32_000_000
"""Most bytes of a row of tiles, unless it would be lower than 16 rows, the least that TIFF allows."""


def regrouped(bands: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Yield the same rows in bands of another height.

    Args:
        bands: (any number of rows, W, C) each, from the top.
        rows: Rows that a band is to have.

    Yields:
        (rows, W, C), the last perhaps lower.
    """
    waiting: list[np.ndarray] = []
    count = 0
    for band in bands:
        while len(band):
            part, band = band[: rows - count], band[rows - count :]
            waiting.append(part)
            count += len(part)
            if count == rows:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def rows_of_tiles(most: int, *, row_bytes: int) -> int:
    """Return how many rows tiles should have.

    Args:
        most: A power of 2, at least 16.
        row_bytes: Bytes of a row of the image.

    Returns:
        `most`, or halves of it where a row of tiles would take too much memory; at least 16.
    """
    while most > 16 and most * row_bytes > _BAND_BYTES:
        most //= 2
    return most
