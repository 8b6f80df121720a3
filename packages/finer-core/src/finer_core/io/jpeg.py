"""Tell JPEG files that were cut and then closed by an end marker from whole ones, which libjpeg does not."""

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

_SCAN, _END = 0xDA, 0xD9
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
"""Markers before the size of a picture, by how its scans are coded; of others nothing is told."""
_ALONE = (0x01, *range(0xD0, 0xDA))
"""Markers that hold nothing, not even a length."""
_AFTER_DATA = re.compile(rb"(?<!\xff)\xff+[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan: there, 0xff stands before a zero or the number of a restart alone.

A match begins where its 0xff do, or all of a long row of them would be tried, each to its end.
"""
_FIRST_PIECE, _PIECE = 1 << 6, 1 << 20
"""Bytes that are read at first, as a file may have many markers, and at most: each piece is twice as long."""
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

    return JpegImageFile(io.BufferedReader(_Reader(picture.fp), _FIRST_PIECE))  # Pillow reads headers byte by byte


class _Reader(io.RawIOBase):
    """Read a JPEG file, up to its end marker where `never_half` says so.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at = file, 0
        self._header = next((at + 4 + len(content) for kind, content, at in _markers(file) if kind == _SCAN), 0)
        self._end: tuple[int | None, bytes] | None = None

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that places can be gone to."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        assert not whence
        self._at = offset
        return offset

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes: of the header alone, or of what follows."""
        size = len(buffer)
        if self._at < self._header:
            size = min(size, self._header - self._at)
        elif self._end is None:
            self._end = _end_of(self._file)
        place, instead = self._end or (None, b"")
        self._file.seek(self._at)
        found = self._file.read(size if place is None else max(0, min(size, place - self._at)))
        if place is not None:
            found += instead[max(0, self._at + len(found) - place) :][: size - len(found)]
        self._at += len(found)
        buffer[: len(found)] = found
        return len(found)


def _end_of(file: BinaryIO) -> tuple[int | None, bytes]:
    """Return where a file is to end and what is to stand there; None where it is to be read as it is."""
    precision, scans, is_progressive = dict[int, list[int]](), list[int](), False
    try:
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
    except (IndexError, KeyError, ValueError):
        pass  # a scan of another kind of JPEG, or tables that libjpeg refuses in its own words
    return None, b""


def _markers(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield the kind of each marker, what it holds, and where it begins, up to the end or what is no JPEG."""
    begin = 2
    while (at := _after_fill(file, begin)) > begin:
        file.seek(at)
        head = file.read(3)
        if not head:
            return
        length = 0 if head[0] in _ALONE else int.from_bytes(head[1:], "big")
        yield head[0], file.read(max(0, length - 2)), begin
        if head[0] == _END:
            return
        begin = at + 1 + length
        if head[0] == _SCAN:
            begin = _after_data(file, begin)


def _after_data(file: BinaryIO, at: int) -> int:
    """Return where the marker is that ends a scan's data, which begin at a place; the file's end without one."""
    size = _FIRST_PIECE
    while True:
        file.seek(at)
        piece = file.read(size)
        if found := _AFTER_DATA.search(piece):
            return at + found.start()
        if len(piece) < size:
            return at + len(piece)
        if done := len(piece.rstrip(b"\xff")):
            at += done  # a marker may lie across
        else:
            end = _after_fill(file, at)
            file.seek(end)
            if _AFTER_DATA.match(b"\xff" + file.read(1)):
                return at
            at = end
        size = min(2 * size, _PIECE)


def _after_fill(file: BinaryIO, at: int) -> int:
    """Return where the first byte from a place on is that is not 0xff, of which a marker may begin with many."""
    size = _FIRST_PIECE
    file.seek(at)
    while piece := file.read(size):
        if rest := piece.lstrip(b"\xff"):
            return at + len(piece) - len(rest)
        at += len(piece)
        size = min(2 * size, _PIECE)
    return at
