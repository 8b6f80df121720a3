"""Build image files for the tests, byte by byte where a library would hide what is tested."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import tifffile

PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Draw an array that fills an integer type's range, or a float's -1..3."""
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (generator.random(shape) * 4 - 1).astype(dtype)
    info = np.iinfo(dtype)
    return generator.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def chunk(name: bytes, body: bytes) -> bytes:
    """Make one PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(samples: np.ndarray, *, depth: int, color_type: int, extra: bytes = b"", interlaced: bool = False) -> bytes:
    """Encode (H, W, C) samples, or palette indices, as a PNG with filter 0 and `extra` chunks before IDAT."""
    height, width = samples.shape[:2]
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + _packed(row, depth) for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _packed(row: np.ndarray, depth: int) -> bytes:
    """Pack one row of samples, the leftmost in the highest bits."""
    if depth >= 8:
        return row.astype(">u2" if depth == 16 else "u1").tobytes()
    bits = row.ravel()[:, None] >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def exif(orientation: int) -> bytes:
    """Make an EXIF block, without the Exif mark, that holds an orientation and nothing else."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def saved(path: Path, data: bytes) -> Path:
    """Write bytes to a path; return the path."""
    path.write_bytes(data)
    return path


def pillow_bytes(pixels: np.ndarray | PIL.Image.Image, format_name: str, **options: object) -> bytes:
    """Encode an array or picture with Pillow."""
    image = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def tiff_bytes(pixels: np.ndarray, **options: object) -> bytes:
    """Encode an array as a plain TIFF: gray unless `photometric` says otherwise, no description."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **{"photometric": "minisblack", "metadata": None, **options})
    return buffer.getvalue()


def exr_file(path: Path, planes: dict[str, np.ndarray], **header: object) -> Path:
    """Write (H, W) planes as EXR channels; return the path."""
    import OpenEXR  # an extra that a machine with a GPU may lack

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    with OpenEXR.File(header, dict(planes)) as file:
        file.write(str(path))
    return path


def smooth(height: int, width: int) -> np.ndarray:
    """Make an RGB picture that lossy codecs keep well."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 3, columns * 2, rows + columns], axis=-1).astype(np.uint8)
