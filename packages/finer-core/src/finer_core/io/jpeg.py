"""Tell JPEG files that were cut and then closed by an end marker from whole ones, which libjpeg does not."""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

_MARKER, _SCAN, _END = 0xFF, 0xDA, 0xD9
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
"""Markers before the size of a picture, by how its scans are coded; of others nothing is told."""
_AFTER_DATA = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan: there, 0xff stands before a zero or the number of a restart alone."""
_PIECE = 1 << 20
_UNKNOWN = 16
"""Low bits that lack of a coefficient before its first scan: more than any scan leaves out."""
_READ_AHEAD = b"\xfe" * 8
"""What a decoder may have of a block before it decodes it; no more than a few blocks, for such codes are long."""


def never_half(picture: Any) -> Any:
    """Return an opened JPEG whose decoding fails where its picture was cut, if that can be told.

    Before an end marker libjpeg fills what is missing with gray, or leaves it coarse, and Pillow hears nothing of it.
    Without the marker it asks for the rest, which is not there. So it is given a picture of one scan without, and with
    a few bytes in its place, for the decoder of the last block reads ahead; and one of several scans without, where
    these are not all bits of all coefficients. Whether the last of several scans is whole cannot be told.

    Args:
        picture: Not decoded yet. Of its file, the header is read now, and the rest, in pieces, as it is decoded.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    reader: Any = _Reader(picture.fp)  # has what Pillow asks of a file
    return JpegImageFile(reader)


class _Reader:
    """Read a JPEG file, up to its end marker where `never_half` says so.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at = file, 0
        self._header = next((at + 4 + len(content) for kind, content, at in _markers(file) if kind == _SCAN), 0)
        self._end: tuple[int | None, bytes] | None = None

    def seek(self, offset: int) -> None:
        """Go to a place."""
        self._at = offset

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if self._end is None and self._at + size > self._header:
            self._end = _end_of(self._file)
        place, instead = self._end or (None, b"")
        self._file.seek(self._at)
        found = self._file.read(size if place is None else max(0, min(size, place - self._at)))
        if place is not None:
            found += instead[max(0, self._at + len(found) - place) :][: size - len(found)]
        self._at += len(found)
        return found


def _end_of(file: BinaryIO) -> tuple[int | None, bytes]:
    """Return where a file is to end and what is to stand there; None where it is to be read as it is."""
    precision, scans, is_progressive = dict[int, list[int]](), list[int](), False
    for kind, content, at in _markers(file):
        if kind in (*_SEQUENTIAL, _PROGRESSIVE):
            is_progressive = kind == _PROGRESSIVE
            precision = {name: [_UNKNOWN] * 64 for name in content[6::3][: content[5]]}
        elif kind == _SCAN:
            names, (first, last, bits) = content[1 : 1 + 2 * content[0] : 2], content[1 + 2 * content[0] :][:3]
            scans.append(len(names))
            for name in names:
                which = slice(first, last + 1) if is_progressive else slice(64)
                precision[name][which] = [bits & 15 if is_progressive else 0] * len(precision[name][which])
        elif kind == _END and scans == [len(precision)] and not is_progressive:
            return at, _READ_AHEAD
        elif kind == _END and precision:
            return (at, b"") if any(map(any, precision.values())) else (None, b"")
    return None, b""


def _markers(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield the kind of each marker, what it holds, and where it begins, up to the end or what is no JPEG."""
    begin = at = 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 2 or head[0] != _MARKER:
            return
        if head[1] == _MARKER:  # a marker may begin with several
            at += 1
            continue
        length = 0 if head[1] == _END else int.from_bytes(head[2:], "big")
        yield head[1], file.read(max(0, length - 2)), begin
        if head[1] == _END:
            return
        at += 2 + length
        begin = at = _after_data(file, at) if head[1] == _SCAN else at


def _after_data(file: BinaryIO, at: int) -> int:
    """Return where the marker is that ends a scan's data, which begin at a place; the file's end without one."""
    while True:
        file.seek(at)
        piece = file.read(_PIECE)
        if found := _AFTER_DATA.search(piece):
            return at + found.start()
        if len(piece) < _PIECE:
            return at + len(piece)
        at += len(piece.rstrip(b"\xff")) or len(piece) - 1  # a marker may lie across
