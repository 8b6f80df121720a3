"""A file that is read at given places, from any thread, without mapping it into memory."""

import os
import threading
import weakref
from pathlib import Path

import numpy as np

from finer_image.io.source import file_error


class PositionedFile:
    """Read bytes of a file at any place.

    Unlike a memory map this never counts towards the process's resident memory, and a file that is cut short or a
    network disk that goes away while it is read gives an error and not a killed process.

    Args:
        path: The file; it is closed when this object goes away.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._descriptor)

    def read_into(self, out: np.ndarray, *, offset: int) -> None:
        """Fill an array with the bytes from `offset` on.

        Raises:
            InputError: The file ends before, or cannot be read.
        """
        view = out.reshape(-1).view(np.uint8).data
        done = 0
        try:
            while done < len(view):
                got = self._read(view[done:], offset + done)
                if not got:
                    raise file_error(self.path, f"ends at byte {offset + done}; it was cut while it was read")
                done += got
        except OSError as error:
            raise file_error(self.path, f"cannot be read ({error.strerror or error})") from error

    def read(self, *, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on; see `read_into`."""
        out = np.empty(count, dtype=np.uint8)
        self.read_into(out, offset=offset)
        return out.tobytes()

    def _read(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [view], offset)
        with self._lock:  # the place belongs to the descriptor, which threads share
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            data = os.read(self._descriptor, len(view))
        view[: len(data)] = data
        return len(data)
