"""Turn posed frames into views: pictures one after another, made smaller as they are read, cameras and masks."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.io.text import counted, notes_of
from finer_core.resources import check_room
from finer_nerf.cameras import Camera, seen_pixels
from finer_nerf.scenes.frames import PosedFrame
from finer_nerf.scenes.images import Header, downscale_picture, read_mask, read_picture
from finer_nerf.scenes.scene import Views

_SAME_SHAPE = 0.02
"""How much the ratio of a picture's sides may differ from its camera's without a word, besides a pixel's rounding."""
_DECODING = 16
"""Bytes a pixel of the picture that is being read, at most: Pillow's own, ours, and a channel in float64."""


def check_pictures(
    frames: Sequence[PosedFrame], headers: Mapping[Path, Header], *, downscale: int, memory: int | None
) -> list[str]:
    """Refuse, before any picture is decoded, what has no room; return notes on what their headers say."""
    held = largest = turned = pages = 0
    for frame in frames:
        header = headers[frame.picture]
        pixels = header.height * header.width
        largest = max(largest, pixels)
        held += pixels // downscale**2 * (header.channels + bool(frame.masks))
        turned += header.orientation != 1 and not _is_turned(frame, header)
        pages += header.pages > 1
    others = Counter(headers[frame.picture].other for frame in frames)
    needed = held + _DECODING * largest
    check_room(needed, memory, what=f"reading {len(frames)} pictures", advice="use --downscale or --train-every")
    stored = "taken as stored, as COLMAP, instant-ngp and nerfstudio do"
    return notes_of(
        {
            f"{counted(turned, 'picture')} with an EXIF orientation: {stored}": turned,
            f"{counted(pages, 'file')} of several pictures, of which the first is taken": pages,
            **{f"{counted(number, 'picture')} with {other}": bool(other) for other, number in others.items()},
        }
    )


def _is_turned(frame: PosedFrame, header: Header) -> bool:
    """Return whether a picture is to be turned: only so it has the size that its camera is for."""
    size = (header.height, header.width)
    return header.orientation in (5, 6, 7, 8) and frame.lens.size == size[::-1] and frame.lens.size != size


def read_views(
    frames: Sequence[PosedFrame], headers: Mapping[Path, Header], poses: np.ndarray, *, downscale: int
) -> tuple[Views, list[str]]:
    """Read the pictures of one or more frames, whose poses are (n, 4, 4); return the views, and notes for the user.

    Raises:
        InputError: If a picture cannot be read, sizes differ, or a lens does not fit its picture.
    """
    turned = [_is_turned(frame, headers[frame.picture]) for frame in frames]
    height, width = headers[frames[0].picture][:2][:: -1 if turned[0] else 1]
    cameras = []
    for frame, turn in zip(frames, turned, strict=True):
        size = headers[frame.picture][:2][:: -1 if turn else 1]
        if size != (height, width):
            raise InputError(
                f"pictures of different sizes: {frames[0].name} is {height}x{width}, "
                f"{frame.name} is {size[0]}x{size[1]}; a scene's pictures must have one size"
            )
        try:
            cameras.append(frame.lens.camera(height=height, width=width, downscale=downscale))
        except InputError as error:
            raise InputError(f"{frame.where}: {error}") from error
    channels = max(headers[frame.picture].channels for frame in frames)
    images = torch.full((len(frames), height // downscale, width // downscale, channels), 255, dtype=torch.uint8)
    for image, frame, turn in zip(images.numpy(), frames, turned, strict=True):
        small = downscale_picture(read_picture(frame.picture, turn=turn), downscale)
        image[..., : small.shape[-1]] = small
    masks, notes = _masks(frames, cameras, size=(height, width), downscale=downscale)
    resized = {frame.lens.size_for(height=height, width=width) for frame in frames} - {(height, width)}
    notes += [f"cameras of {h}x{w} resized to pictures of {height}x{width}" for h, w in sorted(resized)]
    if any(abs(w * height / (h * width) - 1) > _SAME_SHAPE + 1 / min(height, width) for h, w in resized):
        notes.append("that is another shape: of pictures that were cropped or turned since, the lens is wrong")
    if any(turned):
        notes.append(f"{counted(sum(turned), 'picture')} turned by EXIF orientation, to the size that the cameras have")
    names = tuple(frame.name for frame in frames)
    return Views(names=names, images=images, poses=poses, cameras=tuple(cameras), masks=masks), notes


def _masks(
    frames: Sequence[PosedFrame], cameras: Sequence[Camera], *, size: tuple[int, int], downscale: int
) -> tuple[torch.Tensor | None, list[str]]:
    """Return which pixels count, bool (n, height, width), None for all; and notes."""
    seen = functools.lru_cache(maxsize=8)(seen_pixels)
    partial = [not bool(seen(camera).all()) for camera in cameras]
    masked = sum(bool(frame.masks) for frame in frames)
    if not masked and not any(partial):
        return None, []
    masks = torch.ones(len(frames), size[0] // downscale, size[1] // downscale, dtype=torch.bool)
    for mask, frame, camera in zip(masks, frames, cameras, strict=True):
        mask &= seen(camera).view(mask.shape)
        if not bool(mask.any()):
            raise InputError(f"{frame.where}: its lens shows no pixel of the picture; check its focal length, k1 ...")
        if frame.masks:
            mask &= torch.from_numpy(read_mask(frame.masks, size=size, downscale=downscale))
        if not bool(mask.any()):
            raise InputError(f"{frame.where}: its mask leaves no pixel; remove the frame")
    out = f"{1 - masks.double().mean().item():.1%} of the pixels left out of the loss and of the figures"
    why = [f"masks of {counted(masked, 'picture')}"] * bool(masked) + ["pixels outside what the lens shows"] * any(
        partial
    )
    return masks, [f"{' and '.join(why)}: {out}"]
