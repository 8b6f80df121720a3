"""One small file of every format that is read."""

from collections.abc import Callable

import imagecodecs
import numpy as np

from .image_files import noise, pillow_bytes, png, smooth, tiff_bytes

PICTURE = smooth(20, 28)


def hdr() -> bytes:
    return imagecodecs.rgbe_encode(PICTURE.astype(np.float32))


FILES: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: png(PICTURE, depth=8, color_type=2),
    "a.jpg": lambda: pillow_bytes(PICTURE, "JPEG"),
    "a.gif": lambda: pillow_bytes(PICTURE, "GIF"),
    "a.webp": lambda: pillow_bytes(PICTURE, "WEBP"),
    "a.bmp": lambda: pillow_bytes(PICTURE, "BMP"),
    "a.tga": lambda: pillow_bytes(PICTURE, "TGA"),
    "a.qoi": lambda: pillow_bytes(PICTURE, "QOI"),
    "a.ico": lambda: pillow_bytes(noise(16, 16, 4), "ICO", sizes=[(16, 16)]),
    "a.avif": lambda: pillow_bytes(PICTURE, "AVIF"),
    "a.jp2": lambda: pillow_bytes(PICTURE, "JPEG2000"),
    "deep.jp2": lambda: imagecodecs.jpeg2k_encode(noise(20, 28, 3, dtype="uint16"), level=0),
    "a.pbm": lambda: pillow_bytes(PICTURE[..., 0] > 30, "PPM"),
    "a.ppm": lambda: b"P6 28 20 255\n" + PICTURE.tobytes(),
    "a.pfm": lambda: b"PF 28 20 -1\n" + PICTURE.astype(np.float32).tobytes(),
    "a.hdr": hdr,
    "a.tif": lambda: tiff_bytes(PICTURE, photometric="rgb"),
    "jpeg.tif": lambda: tiff_bytes(PICTURE, photometric="rgb", compression="jpeg"),
    "byte.tif": lambda: tiff_bytes(noise(20, 28, dtype="int8")),
    "wide.tif": lambda: tiff_bytes(noise(20, 28, dtype="uint32")),
}
