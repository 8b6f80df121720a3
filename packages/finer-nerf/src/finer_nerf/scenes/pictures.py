"""Read pictures as bytes, and make them smaller as the published loader does."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from finer_core.errors import InputError


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as uint8 (height, width, 3), or 4 with straight alpha.

    Gray becomes RGB; 16-bit gray becomes 8-bit by rounding.

    Raises:
        InputError: If it is missing or no picture.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I") or picture.mode == "F":
                values = np.asarray(picture, dtype=np.float64)
                most = 65535.0 if picture.mode.startswith("I") else 1.0
                gray = np.rint(np.clip(values / most, 0, 1) * 255).astype(np.uint8)
                return np.repeat(gray[..., None], 3, axis=-1)
            transparent = "A" in picture.getbands() or "transparency" in picture.info
            return np.asarray(picture.convert("RGBA" if transparent else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot read this picture ({reason})") from error


def downscale_picture(picture: np.ndarray, factor: int) -> np.ndarray:
    """Return a picture at a `factor`-th of its size, by area averaging.

    Formula: size // factor; every channel averaged by itself, colours straight and not weighted by alpha, rounded to 8
    bits (the published loader, held by golden vectors).

    Raises:
        InputError: If no pixel would be left.
    """
    if factor == 1:
        return picture
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    if min(height, width) < 1:
        raise InputError(f"--downscale {factor} leaves no pixel of a picture of {picture.shape[0]}x{picture.shape[1]}")
    if picture.shape[0] % height == 0 and picture.shape[1] % width == 0:
        tall, wide = picture.shape[0] // height, picture.shape[1] // width
        blocks = picture.reshape(height, tall, width, wide, -1).astype(np.int64).sum(axis=(1, 3))
        if tall == wide == 2:
            return ((blocks + 2) // 4).astype(np.uint8)  # the library behind the published loader rounds halves up here
        return np.rint(blocks.astype(np.float32) * np.float32(1 / (tall * wide))).astype(np.uint8)
    rows = _area_weights(picture.shape[0], height)
    columns = _area_weights(picture.shape[1], width)
    averaged = np.einsum("hi,ijc,wj->hwc", rows, picture.astype(np.float64), columns, optimize=True)
    return np.clip(np.rint(averaged), 0, 255).astype(np.uint8)


def _area_weights(old: int, new: int) -> np.ndarray:
    """Return the share of each old line in each new one, (new, old)."""
    edges = np.linspace(0, old, new + 1)
    left, right = edges[:-1, None], edges[1:, None]
    covered = np.minimum(right, np.arange(1, old + 1)) - np.maximum(left, np.arange(old))
    return np.clip(covered, 0, None) / (right - left)


def stack_pictures(pictures: list[np.ndarray], names: list[str]) -> Tensor:
    """Return pictures of one size as one tensor; RGB joins RGBA as opaque.

    Raises:
        InputError: If their sizes differ; two are named.
    """
    for picture, name in zip(pictures, names, strict=True):
        if picture.shape[:2] != pictures[0].shape[:2]:
            raise InputError(
                f"pictures of different sizes: {names[0]} is {pictures[0].shape[0]}x{pictures[0].shape[1]}, "
                f"{name} is {picture.shape[0]}x{picture.shape[1]}; a scene's pictures must have one size"
            )
    channels = max(picture.shape[-1] for picture in pictures)
    out = np.full((len(pictures), *pictures[0].shape[:2], channels), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        out[place, ..., : picture.shape[-1]] = picture
    return torch.from_numpy(out)


def find_picture(folder: Path, name: str) -> Path | None:
    """Return the picture that a frame names, with or without its suffix, or None."""
    path = folder / name
    if path.is_file():
        return path
    for suffix in (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".webp"):
        candidate = path.with_name(path.name + suffix)
        if candidate.is_file():
            return candidate
    return None
