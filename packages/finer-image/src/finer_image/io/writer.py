"""Write an image so that the file holds exactly its pixels, or say which formats could."""

import contextlib
import errno
import os
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from finer_core.errors import InputError
from finer_core.io.files import atomic_path, given_path, unwritable
from finer_core.io.partial_files import TEMPORARY_PREFIX, temporary_folder
from finer_image.io.image import DTYPES, MODES, Image
from finer_image.io.raster import Raster
from finer_image.io.source import file_error
from finer_image.io.windows.zarr import import_zarr
from finer_image.io.windows.zarr_metadata import is_zarr
from finer_image.io.zarr_writer import write_zarr

_COLOR_MODES = ("L", "LA", "RGB", "RGBA")
# What each suffix holds, without loss of depth or channels: dtypes, modes.
_HOLDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    ".png": (("uint8", "uint16"), _COLOR_MODES),
    ".tif": (DTYPES, MODES),
    ".tiff": (DTYPES, MODES),
    ".exr": (("float16", "float32", "uint32"), MODES),
    ".npy": (DTYPES, MODES),
    ".zarr": (DTYPES, MODES),
    ".webp": (("uint8",), _COLOR_MODES),
    ".jpg": (("uint8",), ("L", "RGB")),
    ".jpeg": (("uint8",), ("L", "RGB")),
    ".bmp": (("uint8",), ("L", "RGB")),
    ".hdr": (("float16", "float32"), ("RGB",)),
}
WRITABLE = tuple(_HOLDS)
_MAX_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383, ".png": 1_000_000}
_NODATA_TAG = 42113  # GDAL_NODATA
_EXR_NAMES = {"L": ("Y",), "LA": ("Y", "A"), "RGB": ("R", "G", "B"), "RGBA": ("R", "G", "B", "A")}


def default_suffix(image: Raster) -> str:
    """Choose the suffix of the most widely readable format that holds an image.

    Returns:
        ".png" for 8- and 16-bit gray and color, ".exr" for half and single precision, ".tif" for the rest, and for
        what the others cannot be: written in parts, for an image not in memory, or with pixels that hold no data.
    """
    if not isinstance(image, Image) or image.missing:
        return ".tif"
    if image.mode != "CHANNELS" and image.dtype.name in ("uint8", "uint16"):
        return ".png"
    if image.mode != "CHANNELS" and image.dtype.name in ("float16", "float32"):
        return ".exr"
    return ".tif"


def check_writable(path: str | os.PathLike[str], image: Image) -> None:
    """Check that a path's suffix can hold an image, so that long work does not end in a refusal.

    Args:
        path: Where the image is to go.
        image: An image of the size, dtype and mode to be written; its pixel values matter only to .hdr.

    Raises:
        InputError: The suffix is unknown or cannot hold the image; the line names those that can. Or the library that
            it needs is not installed, or nobody may write there.
    """
    path = given_path(path)
    check_place(path)
    suffix = path.suffix.lower()
    fitting = ", ".join(
        name for name, (dtypes, modes) in _HOLDS.items() if image.dtype.name in dtypes and image.mode in modes
    )
    kind = f"{image.dtype.name} {image.mode} pixels"
    if suffix not in _HOLDS:
        raise file_error(path, f"the suffix {suffix!r} is not one that can be written; for {kind} use {fitting}")
    dtypes, modes = _HOLDS[suffix]
    if image.dtype.name not in dtypes or image.mode not in modes:
        raise file_error(path, f"{suffix} cannot hold {kind}; use {fitting}")
    if suffix == ".zarr":
        import_zarr(path)
    if suffix == ".hdr" and image.pixels.min() < 0:
        raise file_error(path, f".hdr cannot hold negative values such as {image.pixels.min()}; use .exr")
    side = max(image.height, image.width)
    if side > _MAX_SIDE.get(suffix, side):
        limit = _MAX_SIDE[suffix]
        raise file_error(path, f"{suffix} allows sides up to {limit}, the image has {side}; use .tif or .npy")


def write_image(path: str | os.PathLike[str], image: Image | ArrayLike) -> Path:
    """Write an image in the format its suffix names, replacing what was there only once it is complete.

    PNG, TIFF, EXR, .npy, Zarr, BMP and WebP (lossless) give back the same pixels; JPEG and Radiance .hdr are lossy by
    nature. WebP stores gray as RGB. Color profiles go into PNG, JPEG, WebP and TIFF. Missing folders are made.

    Args:
        path: Where to write; the suffix is one of `WRITABLE`.
        image: The image, or what is an array of (H, W) or (H, W, C), whose mode follows from its channels.

    Returns:
        The path.

    Raises:
        InputError: The suffix is unknown or cannot hold the image (see `check_writable`), or the place is not writable.

    Example:
        >>> from finer_image import write_image
        >>> write_image("ramp.tif", [[0.0, 0.5, 1.0]]).name
        'ramp.tif'
    """
    path = given_path(path)
    try:
        image = image if isinstance(image, Image) else Image.from_pixels(np.asarray(image))
    except InputError as error:
        raise file_error(path, f"the array {error}") from None
    check_writable(path, image)
    with replacing(path) as temporary:
        _ENCODERS[path.suffix.lower()](temporary, image)
    return path


def check_place(path: Path) -> None:
    """Check that a file, or the folder of a Zarr array, can be made or replaced, without making anything.

    Raises:
        InputError: It cannot.
    """
    try:
        if path.is_dir() and not (path.suffix.lower() == ".zarr" and (is_zarr(path) or not any(path.iterdir()))):
            raise file_error(path, "is a folder; name a file in it")
        # os.path, because pathlib raises for a name that is too long.
        nearest = next(parent for parent in path.absolute().parents if os.path.exists(parent))
        with contextlib.suppress(FileNotFoundError):
            os.lstat(nearest / path.name)  # too long a name
    except OSError as error:
        raise file_error(path, f"cannot be written ({error.strerror or error}); choose another place") from None
    if not nearest.is_dir():
        raise file_error(path, f"cannot be written ({nearest} is no folder); choose another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise file_error(path, f"cannot be written ({os.strerror(errno.EACCES)}); choose another place")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; put what was written there in its place if the block succeeds.

    Args:
        path: A file, or the folder of a Zarr array, whose parents are made.

    Yields:
        A name of the same suffix: of an empty file, or of no folder yet.

    Raises:
        InputError: The place cannot be written to, or holds a folder that is no Zarr array.
        OSError: There is no more room.
    """
    check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _replacing_folder(path) if path.suffix.lower() == ".zarr" else atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    """Do what `atomic_path` does, for a folder, which cannot replace anything in one go."""
    old = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.old")  # nobody's, so that nothing ever removes it
    with temporary_folder(path) as scratch:
        temporary = scratch / "array.zarr"
        try:
            yield temporary
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
        finally:
            if os.path.lexists(old) and not os.path.lexists(path):  # stopped, by whatever it was, between the two
                os.replace(old, path)
            with contextlib.suppress(OSError):  # there is none, or nobody may write to it, and it stays
                os.replace(old, scratch / "old")


def _write_png(path: Path, image: Image) -> None:
    import imagecodecs

    data = imagecodecs.png_encode(np.ascontiguousarray(image.pixels[:, :, 0] if image.mode == "L" else image.pixels))
    with path.open("wb") as handle:
        if image.icc_profile is None:
            handle.write(data)
            return
        # The encoder takes no profile; its chunk belongs right after IHDR, the first 8 + 25 bytes.
        body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(image.icc_profile)
        handle.write(data[:33])
        handle.write(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
        handle.write(memoryview(data)[33:])


def _write_pillow(path: Path, image: Image, *, format_name: str, options: dict[str, object]) -> None:
    from PIL import Image as pillow

    picture = pillow.fromarray(image.pixels[:, :, 0] if image.mode == "L" else image.pixels)
    profile = {} if image.icc_profile is None or format_name == "BMP" else {"icc_profile": image.icc_profile}
    if format_name == "WEBP" and image.mode in ("L", "LA"):
        # WebP has no gray; a profile of gray would not fit what it stores.
        picture, profile = picture.convert("RGBA" if image.mode == "LA" else "RGB"), {}
    with path.open("wb") as handle:
        picture.save(handle, format=format_name, **options, **profile)


_write_jpeg = partial(_write_pillow, format_name="JPEG", options={"quality": 95, "subsampling": 0})
# exact: keep the colors under transparent pixels, which belong to the image too.
_write_webp = partial(_write_pillow, format_name="WEBP", options={"lossless": True, "exact": True})
_write_bmp = partial(_write_pillow, format_name="BMP", options={})


def tiff_options(image: Image) -> dict[str, Any]:
    """Return what `tifffile.imwrite` needs to know to write an image of this kind, compressed without loss.

    The value that stands for "no data" is named as GDAL does; NaN needs no name.
    """
    options: dict[str, Any] = {"photometric": "rgb" if image.mode in ("RGB", "RGBA") else "minisblack"}
    if image.channels > 1:
        options["planarconfig"] = "contig"
    if image.mode in ("LA", "RGBA"):
        options["extrasamples"] = ["unassalpha"]
    return {
        **options,
        "compression": "zlib",
        # Differences of neighbors compress well; other readers know them for these types.
        "predictor": image.dtype.name in ("uint8", "uint16", "float32"),
        "metadata": None,
        "software": False,
        "iccprofile": image.icc_profile,
        "extratags": [] if image.nodata is None else [(_NODATA_TAG, "s", 0, str(image.nodata), True)],
    }


def _write_tiff(path: Path, image: Image) -> None:
    import tifffile

    with path.open("wb") as handle:
        tifffile.imwrite(handle, image.pixels[:, :, 0] if image.channels == 1 else image.pixels, **tiff_options(image))


def _write_exr(path: Path, image: Image) -> None:
    import OpenEXR as openexr

    names = image.channel_names if len(set(image.channel_names)) == image.channels else _EXR_NAMES.get(image.mode)
    # EXR sorts channels by name; the zeros keep them in order.
    names = names or tuple(f"channel{index:05d}" for index in range(image.channels))
    planes = {name: np.ascontiguousarray(image.pixels[..., channel]) for channel, name in enumerate(names)}
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    path.open("wb").close()  # Says why a place cannot be written to; OpenEXR does not.
    with openexr.File(header, planes) as file:
        file.write(str(path))


def _write_hdr(path: Path, image: Image) -> None:
    import imagecodecs

    data = imagecodecs.rgbe_encode(image.pixels.astype(np.float32))
    with path.open("wb") as handle:
        handle.write(data)


def _write_zarr(path: Path, image: Image) -> None:
    write_zarr(path, [image.pixels], image, image.height, image.width)


def _write_npy(path: Path, image: Image) -> None:
    with path.open("wb") as handle:
        np.save(handle, image.pixels, allow_pickle=False)


_ENCODERS: dict[str, Callable[[Path, Image], None]] = {
    ".png": _write_png,
    ".jpg": _write_jpeg,
    ".jpeg": _write_jpeg,
    ".webp": _write_webp,
    ".bmp": _write_bmp,
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".exr": _write_exr,
    ".hdr": _write_hdr,
    ".npy": _write_npy,
    ".zarr": _write_zarr,
}
