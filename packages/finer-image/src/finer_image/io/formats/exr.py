"""Decode OpenEXR: half, float or integer channels under any names."""

import contextlib
import io
import struct
import threading
from dataclasses import dataclass

import numpy as np

from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.value_meaning import note_of_colors, other_primaries

_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
_ITEM_BYTES = {0: 4, 1: 2, 2: 4}  # uint32, half, float
_MODES = {("R", "G", "B"): "RGB", ("R", "G", "B", "A"): "RGBA", ("Y", "A"): "LA"}
_MAX_HEADER_BYTES = 1 << 22
_STDOUT_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class ExrHeader:
    """Hold what an EXR file declares before its pixels.

    Args:
        window: First column and row and last column and row of the data window.
        display: The same of the display window.
        height: Rows of the data window.
        width: Columns of the data window.
        item_bytes: Bytes of a value once all channels share one type.
        channels: Number of channels.
        subsampled: Whether some channel has fewer pixels than the window.
        flags: Version field with its flag bits.
        offsets_at: Where the table of chunk offsets starts.
        primaries: x and y of red, green, blue and white; none where it does not say.
    """

    window: tuple[int, ...]
    display: tuple[int, ...]
    height: int
    width: int
    item_bytes: int
    channels: int
    subsampled: bool
    flags: int
    offsets_at: int
    primaries: tuple[float, ...]


def decode_exr(source: ImageSource) -> DecodedImage:
    """Decode the data window of an EXR file, R, G, B and A first and other channels after them by name.

    All-half files stay float16; mixed types widen to one that holds them all. Alpha is kept as stored, which
    in EXR means premultiplied. A lone channel of any name is gray; three channels that are not colors are
    not RGB.

    Args:
        source: The open file; OpenEXR opens its path again.

    Returns:
        float16, float32, float64 or uint32 pixels, with the channel names.

    Raises:
        InputError: The file is cut, corrupt, too large, deep, or stores chroma at lower resolution.
    """
    import OpenEXR as openexr

    header = _read_header(source)
    if header.flags & _DEEP:
        raise source.error("is a deep EXR; flatten it first")
    if header.subsampled:
        raise source.error("stores chroma at lower resolution; convert it to R, G, B channels first")
    source.check_size(
        height=header.height,
        width=header.width,
        channels=header.channels,
        item_bytes=header.item_bytes,
        beside=header.height * header.width * header.channels * header.item_bytes,  # the planes, before they are joined
    )
    if header.display != header.window:
        left, top, right, bottom = header.window
        x0, y0, x1, y1 = header.display
        size = f"{y1 - y0 + 1}x{x1 - x0 + 1}"
        source.note(f"has pixels of rows {top} to {bottom}, columns {left} to {right} only, of a display of {size}")
    if not header.flags & _MULTIPART:
        _check_chunks(source, header)
    else:
        source.note("has several parts; only the first is used")
    printed = io.StringIO()
    try:
        # OpenEXR prints the cause of a failure to stdout, which belongs to results.
        with _STDOUT_LOCK, contextlib.redirect_stdout(printed):
            file = openexr.File(str(source.path), separate_channels=True)
            planes = {name: channel.pixels for name, channel in file.channels().items()}
    except Exception as error:
        raise source.error(f"is a corrupt EXR ({printed.getvalue() or error}); copy or render it again") from None
    image = _interleave(planes)
    if image.mode in ("RGB", "RGBA") and (space := other_primaries(header.primaries, place="chromaticities")):
        source.note(note_of_colors(space))
    if image.mode in ("LA", "RGBA") and (image.pixels[..., -1] != 1).any():
        source.note(
            "has colors multiplied by alpha, as EXR keeps them; they stay so, also in files of formats that do not"
        )
    return image


def _interleave(planes: dict[str, np.ndarray]) -> DecodedImage:
    """Order (H, W) planes by name and join them as (H, W, C)."""
    layers = {name.rpartition(".")[0] for name in planes}
    # Names of a single layer, such as diffuse.R, mean what they mean without the layer.
    plain = {(name.rpartition(".")[2] if len(layers) == 1 else name): name for name in planes}
    # Y is luminance unless it stands beside X, as in a normal or motion vector.
    leading = ("R", "G", "B", "A") if "R" in plain else () if "X" in plain else ("Y", "A")
    order = [name for name in leading if name in plain]
    order += sorted(plain.keys() - set(order))
    names = tuple(plain[name] for name in order)
    dtype = np.result_type(*(plane.dtype for plane in planes.values()))
    pixels = np.empty((*planes[names[0]].shape, len(names)), dtype=dtype)
    for channel, name in enumerate(names):
        pixels[..., channel] = planes[name]
    mode = "L" if len(names) == 1 else _MODES.get(tuple(order), "CHANNELS")
    return DecodedImage(pixels=pixels, mode=mode, channel_names=names)


def _read_header(source: ImageSource) -> ExrHeader:
    """Read the (first) header; OpenEXR itself tells pixel types only after decoding all of them."""
    data = source.handle.read(_MAX_HEADER_BYTES)
    attributes: dict[bytes, bytes] = {}
    try:
        (flags,) = struct.unpack_from("<I", data, 4)
        position = 8
        while data[position] != 0:
            name_end = data.index(b"\0", position)
            kind_end = data.index(b"\0", name_end + 1)
            (size,) = struct.unpack_from("<I", data, kind_end + 1)
            attributes[data[position:name_end]] = data[kind_end + 5 : kind_end + 5 + size]
            position = kind_end + 5 + size
        window = left, top, right, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
        display = struct.unpack("<4i", attributes.get(b"displayWindow", attributes[b"dataWindow"]))
        kinds, samplings, listing = set(), set(), attributes[b"channels"]
        count = 0
        while listing[0] != 0:
            start = listing.index(b"\0") + 1
            kind, _, *sampling = struct.unpack_from("<4i", listing, start)
            kinds.add(kind)
            samplings.add(tuple(sampling))
            listing, count = listing[start + 16 :], count + 1
    except (IndexError, KeyError, ValueError, struct.error):
        raise source.error("is a truncated or corrupt EXR; copy or render it again") from None
    mixed = len(kinds) > 1 and 0 in kinds  # uint32 beside floats widens to float64.
    return ExrHeader(
        window=window,
        display=display,
        height=bottom - top + 1,
        width=right - left + 1,
        item_bytes=8 if mixed else max((_ITEM_BYTES.get(kind, 4) for kind in kinds), default=4),
        channels=count,
        subsampled=samplings - {(1, 1)} != set(),
        flags=flags,
        offsets_at=position + 1,
        primaries=tuple(np.frombuffer(attributes.get(b"chromaticities", b"")[:32], "<f4").tolist()),
    )


def _check_chunks(source: ImageSource, header: ExrHeader) -> None:
    """Check that every chunk lies inside the file, so that a cut file is named as such.

    The table of offsets ends where the first chunk begins, wherever in the table that chunk stands.
    """
    source.handle.seek(header.offsets_at)
    farthest, lowest, position = 0, source.file_bytes, header.offsets_at
    complete = True
    while complete and position < lowest:
        (offset,) = struct.unpack("<Q", source.handle.read(8).ljust(8, b"\0"))
        # A writer that was stopped leaves zeros in the table.
        complete = 0 < offset <= source.file_bytes - 8
        farthest, lowest, position = max(farthest, offset), min(lowest, offset), position + 8
    if complete:
        source.handle.seek(farthest + (16 if header.flags & _TILED else 4))
        (packed,) = struct.unpack("<I", source.handle.read(4).ljust(4, b"\0"))
        complete = source.handle.tell() + packed <= source.file_bytes
    if not complete:
        raise source.error("is a truncated EXR; copy or render it again")
