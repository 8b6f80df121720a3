"""Read the windows of a TIFF that are asked for: plain samples in place, else the strips or tiles that hold them."""

import math
from typing import Any

import numpy as np

from finer_image.io.formats.pillow import decode_pillow
from finer_image.io.formats.tiff import SampleKind, check_page, needs_pillow
from finer_image.io.library_guard import reading
from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.tiff_pages import picture_page
from finer_image.io.windows.positioned_file import PositionedFile
from finer_image.io.windows.reader import BlockReader, PartReader, Parts, PlainReader

_JPEG_COMPRESSIONS = (6, 7, 33007, 34892)


def open_tiff(source: ImageSource) -> Parts | DecodedImage:
    """Open the picture of a TIFF or BigTIFF for reading in parts.

    White-is-zero, palette, CMYK, YCbCr and Lab become L or RGB; premultiplied alpha becomes straight alpha,
    which is what `Image` holds. 2 and 4 channels count as having alpha only where the file declares it: the
    fourth band of a satellite image is no transparency.

    Returns:
        The parts, in the file's own dtype, the samples of planar files beside each other; or the pixels of a page that
        can only be decoded whole.

    Raises:
        InputError: The file is cut, has missing data, is too large, or is a volume or a raw camera mosaic.
    """
    import tifffile

    with tifffile.TiffFile(source.handle, name=source.path.name) as tiff:
        page = picture_page(source, tiff)
        check_page(source, page)
        if needs_pillow(page):
            if page is not tiff.pages[0]:
                raise source.error("holds its picture behind a thumbnail, in Lab or YCbCr; save the picture alone")
            # tifffile hands these out unconverted; Pillow's libtiff converts them, 8-bit only.
            return decode_pillow(source, format_name="TIFF")
        kind = SampleKind.of(source, page)
        if page.jpegheader is not None:
            height, width = page.imagelength, page.imagewidth
            source.check_size(height=height, width=width, channels=page.samplesperpixel, item_bytes=page.dtype.itemsize)
            return kind.decoded(np.squeeze(page.asarray(maxworkers=1)))
        file = PositionedFile(source.path)
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
        channels = reader.shape[2] if kind.colormap is None else 3
        return Parts(reader, kind.decoded, channels)


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
        # What is longer than its pixels by far holds something else behind them.
        self._most_packed = 2 * self.piece_bytes + 65536
        self._decode = page.decode
        self._options: dict[str, Any] = {"_fullsize": False}
        if int(page.compression) in _JPEG_COMPRESSIONS:
            self._options |= {"jpegtables": page.jpegtables, "jpegheader": None}

    def load(self, row: int, column: int) -> np.ndarray:
        """Decode the strip or tile of every plane."""
        height, width, channels = self.shape
        top, left = row * self.piece[0], column * self.piece[1]
        tall, wide = min(self.piece[0], height - top), min(self.piece[1], width - left)
        block = None if self._planes == 1 else np.empty((tall, wide, channels), dtype=self.dtype)
        for plane in range(self._planes):
            number = plane * self._in_a_plane + row * self._across + column
            offset, count = self._places[number]
            data = self._file.read(offset=offset, count=min(count, self._most_packed))
            with reading(self._file.path, "TIFF", place=f" at row {top}, column {left}"):
                segment = self._decode(data, number, **self._options)[0][0, :tall, :wide]
                if segment.shape != (tall, wide, self._samples):
                    raise ValueError(f"{segment.shape[0]} of {tall} rows and {segment.shape[1]} of {wide} columns")
                segment = segment.astype(self.dtype, copy=False)
            if block is None:
                return segment
            block[..., plane * self._samples : (plane + 1) * self._samples] = segment
        assert block is not None
        return block
