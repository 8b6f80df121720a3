"""Cameras of COLMAP models, text and binary.

Read here and not by COLMAP's library: that one cuts names at blanks in text models, and believes whatever number of
points a binary file claims to hold.
"""

import codecs
import itertools
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from finer_core.errors import InputError
from finer_nerf.cameras import LARGEST_NUMBER, LARGEST_SIDE
from finer_nerf.lenses import MODELS, Distortion
from finer_nerf.scenes.checks import brief, printable, readable
from finer_nerf.scenes.frames import Found, Lens, PosedFrame, check_pose, split_by_names
from finer_nerf.scenes.images import find_picture, missing_note

_PLACES = (".", "sparse/0", "sparse", "colmap/sparse/0")
_NUMBERS = (
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
    "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE", "SIMPLE_DIVISION",
    "DIVISION", "SIMPLE_FISHEYE", "FISHEYE", "EUCM", "EQUIRECTANGULAR",
)  # fmt: skip
"""The models' names by their numbers in binary files."""
_LONGEST_NAME = 4096
_CAMERA, _IMAGE, _POINT = struct.Struct("<IiQQ"), struct.Struct("<I7dI"), struct.Struct("<Q3d3Bd")
_COUNT = struct.Struct("<Q")
_POINT_IN_IMAGE, _SIGHTING = 24, 8


class _Image(NamedTuple):
    """An image: rotation as a quaternion w x y z and translation, world to camera."""

    name: str
    camera: int
    pose: tuple[float, ...]


def find_colmap(folder: Path) -> Path | None:
    """Return the folder of a COLMAP model in or below a scene's folder, or None."""
    for place in _PLACES:
        model = folder / place
        if any((model / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return model
    return None


def read_colmap(folder: Path) -> Found:
    """Read a COLMAP model; its pictures lie in images/ beside sparse/, masks in masks/ under the picture's name + .png.

    A camera_mask.png in the scene's folder holds for every picture, and sparse/0/test.txt lists the views to judge by.
    """
    model = find_colmap(folder)
    assert model is not None
    suffix = ".bin" if (model / "cameras.bin").is_file() else ".txt"
    files = [model / f"{part}{suffix}" for part in ("cameras", "images", "points3D")]
    with readable(model):
        cameras = dict(_records(files[0], _text_camera, _binary_camera))
        images = sorted(_records(files[1], _text_image, _binary_image))
        values = _records(files[2], _text_point, _binary_point) if files[2].is_file() else iter(())
        points = np.fromiter(itertools.chain.from_iterable(values), dtype=np.float64).reshape(-1, 3)
        points = points[np.isfinite(points).all(axis=1)]
    frames, missing, unmasked = [], [], 0
    common = find_picture(folder, "camera_mask.png")
    for image in images:
        where = f"{model}: image {brief(image.name)}"
        picture = find_picture(folder / "images", image.name) or find_picture(folder, image.name)
        if picture is None:
            missing.append(image.name)
            continue
        if image.camera not in cameras:
            raise InputError(f"{where}: its camera {image.camera} is not in {files[0].name}")
        own = _own_mask(folder / "masks", image.name)
        unmasked += own is None
        frames.append(
            PosedFrame(
                name=printable(image.name),
                where=where,
                picture=picture,
                pose=_pose(image, where=where),
                lens=cameras[image.camera],
                masks=tuple((mask, False) for mask in (own, common) if mask is not None),
            )
        )
    if not frames:
        first = f", the first: {brief(missing[0])}" if missing else ""
        raise InputError(f"{model}: no posed picture exists ({len(missing)} are missing in {folder / 'images'}{first})")
    notes = missing_note(missing)
    if 0 < unmasked < len(frames):
        notes.append(f"{unmasked} of {len(frames)} pictures have no mask in masks/")
    listed, lists = model / "test.txt", {}
    if listed.is_file():
        files.append(listed)
        names = [line.strip() for line in listed.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()]
        lists["test"] = [printable(os.fsdecode(name)) for name in names if name]
    splits, more = split_by_names(frames, lists)
    return Found(
        kind="colmap",
        frames=frames,
        files=[file for file in files if file.is_file()],
        splits=splits,
        skipped=len(missing),
        notes=[*notes, *more],
        points=points if len(points) else None,
    )


def _own_mask(masks: Path, name: str) -> Path | None:
    """Return the mask of a picture; a name that leads out of the folder would find the picture itself."""
    if os.path.isabs(name) or ".." in Path(name).parts:
        return None
    return find_picture(masks, f"{name}.png") or find_picture(masks, name)


def _pose(image: _Image, *, where: str) -> np.ndarray:
    """Return camera-to-world from COLMAP's world-to-camera, x right, y down, z forwards to y up, z backwards."""
    from scipy.spatial.transform import Rotation

    if not 1e-6 < math.hypot(*image.pose[:4]) < 1e6:
        raise InputError(f"{where}: its rotation {brief(image.pose[:4])} is no quaternion")
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = Rotation.from_quat([*image.pose[1:4], image.pose[0]]).as_matrix()
    world_to_camera[:3, 3] = image.pose[4:]
    check_pose(world_to_camera, where=where)
    return np.linalg.inv(world_to_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])


def _lens(model: str, width: int, height: int, values: list[float], *, where: str) -> Lens:
    """Return the lens of a camera model's parameters."""
    if model not in MODELS:
        raise InputError(
            f"{where}: camera model {brief(model)} is not supported; undistort the pictures with COLMAP first"
        )
    projection, order = MODELS[model]
    names = order.split()
    if len(values) != len(names):
        raise InputError(f"{where}: {model} has {len(names)} parameters, got {len(values)}")
    given = dict(zip(names, values, strict=True))
    if projection == "equirectangular":
        return Lens(projection=projection, size=(height, width))
    focal_x, focal_y = (given.get("f", given.get(name, 0.0)) for name in ("fx", "fy"))
    sizes = min(width, height) > 0 and max(width, height) <= LARGEST_SIDE
    if not (sizes and all(abs(value) < LARGEST_NUMBER for value in values) and min(focal_x, focal_y) > 0):
        raise InputError(f"{where}: {width}x{height} with {brief(values)} is no camera")
    return Lens(
        projection=projection,
        size=(height, width),
        focals=((focal_x, None), (focal_y, None)),
        centre=(given["cx"], given["cy"]),
        distortion=tuple(Distortion(**{name: given[name] for name in Distortion._fields if name in given})),
    )


def _records(path: Path, of_text, of_binary) -> Iterator:  # type: ignore[no-untyped-def]
    """Yield the records of one file of a model, by the reader of a text line or of a binary record."""
    with open(path, "rb") as file:
        if path.suffix == ".txt":
            lines = enumerate(file, 1)
            for number, line in lines:
                line = line.removeprefix(codecs.BOM_UTF8)
                if not line.strip() or line.lstrip().startswith(b"#"):
                    continue
                try:
                    yield of_text(line, where=f"{path}: line {number}")
                except InputError:
                    raise
                except ValueError as error:
                    raise InputError(f"{path}: line {number}: not a line of a COLMAP model: {brief(line)}") from error
                if of_text is _text_image:
                    _, points = next(lines, (0, b""))  # the image's, maybe none: an empty line
                    if _names_an_image(points):
                        raise InputError(
                            f"{path}: line {number + 1}: an image where the points of the one above belong; "
                            "a line, which may be empty, must follow every image"
                        )
            return
        (count,) = _unpack(_COUNT, file)
        for number in range(count):
            yield of_binary(file, where=f"{path}: record {number} of {count}")


def _text_camera(line: bytes, *, where: str) -> tuple[int, Lens]:
    number, model, width, height, *values = line.decode("ascii", errors="replace").split()
    lens = _lens(model, int(width), int(height), [float(value) for value in values], where=where)
    return int(number), lens


def _text_image(line: bytes, *, where: str) -> _Image:
    """Read an image's line; its name is all that follows the ninth number, blanks included."""
    values = line.rstrip(b"\r\n").split(maxsplit=9)
    if len(values) < 10:
        raise ValueError(where)
    return _Image(os.fsdecode(values[9]), int(values[8]), tuple(float(value) for value in values[1:8]))


def _names_an_image(line: bytes) -> bool:
    """Return whether a line ends in a name after nine numbers, as no list of points x y id does."""
    words = line.split(maxsplit=9)
    try:
        return len(words) == 10 and not [float(word) for word in words[9].split()]
    except ValueError:
        return True


def _text_point(line: bytes, *, where: str) -> tuple[float, float, float]:
    _, x, y, z = line.split(maxsplit=4)[:4]
    return float(x), float(y), float(z)


def _unpack(layout: struct.Struct, file: BinaryIO) -> tuple:
    content = file.read(layout.size)
    if len(content) < layout.size:
        raise InputError(f"{file.name}: the COLMAP file ends at byte {file.tell()}, in the middle of a record")
    return layout.unpack(content)


def _skip_list(file: BinaryIO, each: int, *, where: str) -> None:
    """Go past a list of entries of so many bytes, whose length the file claims."""
    (count,) = _unpack(_COUNT, file)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if count * each > left:
        raise InputError(f"{where}: it claims a list of {count} entries, and {left} bytes follow")
    file.seek(count * each, os.SEEK_CUR)


def _binary_camera(file: BinaryIO, *, where: str) -> tuple[int, Lens]:
    number, model, width, height = _unpack(_CAMERA, file)
    name = _NUMBERS[model] if 0 <= model < len(_NUMBERS) else f"number {model}"
    count = len(MODELS[name][1].split()) if name in MODELS else 0
    values = _unpack(struct.Struct(f"<{count}d"), file)
    return number, _lens(name, width, height, list(values), where=where)


def _binary_image(file: BinaryIO, *, where: str) -> _Image:
    _, *pose, camera = _unpack(_IMAGE, file)
    name = bytearray()
    while (letter := file.read(1)) != b"\0":
        if not letter or len(name) >= _LONGEST_NAME:
            raise InputError(f"{where}: its name does not end")
        name += letter
    _skip_list(file, _POINT_IN_IMAGE, where=where)
    return _Image(os.fsdecode(bytes(name)), camera, tuple(pose))


def _binary_point(file: BinaryIO, *, where: str) -> tuple[float, float, float]:
    _, x, y, z, *_ = _unpack(_POINT, file)
    _skip_list(file, _SIGHTING, where=where)
    return x, y, z
