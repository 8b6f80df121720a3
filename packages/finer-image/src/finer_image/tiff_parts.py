"""Read the windows of a TIFF that are asked for: plain samples in place, else the strips or tiles that hold them."""

import math
import warnings
from typing import Any

import numpy as np

from finer_image.decode_tiff import SampleKind, check_page, needs_pillow
from finer_image.image_source import ImageSource, file_error, import_library, silenced
from finer_image.part_reader import BlockReader, PartReader, PlainReader
from finer_image.positioned_file import PositionedFile

_JPEG_COMPRESSIONS = (6, 7, 33007, 34892)


def open_tiff(source: ImageSource) -> tuple[PartReader, SampleKind, int] | None:
    """Open the first page of a TIFF or BigTIFF for reading in parts.

    Args:
        source: The open file.

    Returns:
        The reader, what turns its samples into pixels, and the number of pages; None for a page that can only be
        decoded whole.

    Raises:
        InputError: The page cannot be decoded; see `finer_image.decode_tiff.check_page`.
    """
    tifffile = import_library("tifffile", package="tifffile", purpose="TIFF")
    import_library("imagecodecs", package="imagecodecs", purpose="compressed TIFF")
    with warnings.catch_warnings(), silenced("tifffile"):
        warnings.simplefilter("ignore")
        with tifffile.TiffFile(source.handle, name=source.path.name) as tiff:
            page = tiff.pages[0]
            check_page(source, page)
            if needs_pillow(page) or page.jpegheader is not None:
                return None
            kind, file = SampleKind.of(page), PositionedFile(source.path)
            if page.is_contiguous and page.predictor == 1 and page.fillorder == 1 and not page.is_subsampled:
                planes, _, height, width, samples = page.shaped
                reader: PartReader = PlainReader(
                    file,
                    offset=page.dataoffsets[0],
                    shape=(height, width, planes * samples),
                    dtype=page.dtype.newbyteorder(page.parent.byteorder),
                    axes="YXC" if planes == 1 else "CYX",
                )
            else:
                reader = _SegmentReader(file, page)
            return reader, kind, len(tiff.pages)


class _SegmentReader(BlockReader):
    """Decode strips or tiles; the samples of planes are put beside each other."""

    def __init__(self, file: PositionedFile, page: Any) -> None:
        self._planes, _, height, width, samples = page.shaped
        tiled = page.is_tiled
        block = (page.tilelength, page.tilewidth) if tiled else (min(page.rowsperstrip, height), width)
        super().__init__(shape=(height, width, self._planes * samples), dtype=page.dtype, block=block)
        self._file, self._samples = file, samples
        self._across = math.ceil(width / block[1])
        self._in_a_plane = math.ceil(height / block[0]) * self._across
        self._places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        self._decode = page.decode
        self._options: dict[str, Any] = {"_fullsize": False}
        if int(page.compression) in _JPEG_COMPRESSIONS:
            self._options |= {"jpegtables": page.jpegtables, "jpegheader": None}

    def load(self, row: int, column: int) -> np.ndarray:
        """Decode the strip or tile of every plane."""
        height, width, channels = self.shape
        tall, wide = (
            min(self.piece[0], height - row * self.piece[0]),
            min(self.piece[1], width - column * self.piece[1]),
        )
        block = np.empty((tall, wide, channels), dtype=self.dtype)
        for plane in range(self._planes):
            number = plane * self._in_a_plane + row * self._across + column
            offset, count = self._places[number]
            data = self._file.read(offset=offset, count=count)
            try:
                segment = self._decode(data, number, **self._options)[0]
                block[..., plane * self._samples : (plane + 1) * self._samples] = segment[0, :tall, :wide]
            except Exception as error:  # each codec has its own exceptions for broken data
                raise file_error(
                    self._file.path,
                    f"is a truncated or corrupt TIFF at row {row * self.piece[0]}, column {column * self.piece[1]} "
                    f"({str(error) or type(error).__name__}); copy or download it again",
                ) from error
        return block
