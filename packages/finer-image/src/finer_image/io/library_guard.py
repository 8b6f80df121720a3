"""Keep imaging libraries in bounds: what they print, warn of and raise reaches nobody but as one line of ours."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from finer_core.errors import InputError
from finer_image.io.source import file_error

_LIBRARIES = ("PIL", "imagecodecs", "numcodecs", "tifffile", "zarr")
_PILLOW_LOCK = threading.RLock()


@contextlib.contextmanager
def reading(path: Path, kind: str, *, place: str = "") -> Iterator[None]:
    """Run what reads a file with an imaging library; this is the one place where their errors become ours.

    Args:
        path: The file.
        kind: Name of its format.
        place: Which part of the file is read, as in " at row 5".

    Yields:
        Nothing.

    Raises:
        InputError: Whatever the library raised, as one line that names the file.
    """
    try:
        with silenced(*_LIBRARIES):
            yield
    except InputError:
        raise
    except ImportError as error:
        raise file_error(path, error) from None
    except MemoryError:
        raise file_error(path, "does not fit in this machine's memory; give a smaller image") from None
    except Exception as error:  # Each imaging library has its own family of exceptions for broken files.
        reason = f"is a truncated or corrupt {kind}{place} ({_cause(error, kind)}); copy or download it again"
        raise file_error(path, reason) from error


def _cause(error: Exception, kind: str) -> str:
    """Say in a few words what a library found."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":  # Pillow's, whose message names an object of Python's
        return "or of a kind that is not read" + ", such as 12-bit or lossless JPEG" * (kind == "JPEG")
    return str(error).strip() or "its data do not decode"


@contextlib.contextmanager
def strict_pillow(*, most_pixels: int | None = None) -> Iterator[None]:
    """Let Pillow open images of any declared size, refuse truncated ones, and keep its warnings in.

    `ImageSource.check_size` does the size check with our own limits. Pillow has only module-wide switches for
    it, so they are set under a lock and put back.

    Args:
        most_pixels: Pixels of the largest picture, for files that hold one of another size than they declare.

    Yields:
        Nothing.
    """
    from PIL import Image as pillow
    from PIL import ImageFile

    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        saved = pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = most_pixels, False
        try:
            yield
        finally:
            pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = saved


@contextlib.contextmanager
def silenced(*names: str) -> Iterator[None]:
    """Drop the log records of libraries and of their modules: they report each defect twice, and interlaced PNG as one.

    Args:
        names: Names of the libraries' loggers.

    Yields:
        Nothing.
    """
    with _SILENCE_LOCK:
        for name in names:
            _silences[name] = _silences.get(name, 0) + 1
            logger = logging.getLogger(name)
            logger.propagate = False
            if _NOWHERE not in logger.handlers:
                logger.addHandler(_NOWHERE)
    try:
        yield
    finally:
        with _SILENCE_LOCK:
            for name in names:
                _silences[name] -= 1
                if not _silences[name]:
                    logger = logging.getLogger(name)
                    logger.propagate = True
                    logger.removeHandler(_NOWHERE)


_NOWHERE = logging.NullHandler()
_SILENCE_LOCK = threading.Lock()
_silences: dict[str, int] = {}
"""How many threads read with each library at the moment."""
