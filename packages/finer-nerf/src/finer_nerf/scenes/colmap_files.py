"""Records of COLMAP models' files, text and binary.

Read here and not by COLMAP's library: that one cuts names at blanks in text models, and believes whatever number of
points a binary file claims to hold.
"""

import codecs
import itertools
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finer_core.errors import InputError
from finer_core.resources import check_room
from finer_nerf.cameras import LARGEST_NUMBER, LARGEST_SIDE
from finer_nerf.lenses import MODELS, Distortion
from finer_nerf.scenes.checks import brief, readable
from finer_nerf.scenes.frames import Lens

_NUMBERS = (
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
    "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE", "SIMPLE_DIVISION",
    "DIVISION", "SIMPLE_FISHEYE", "FISHEYE", "EUCM", "EQUIRECTANGULAR",
)  # fmt: skip
"""The models' names by their numbers in binary files."""
_LONGEST_NAME = 4096
_RECORDS_A_CLAIM = 1 << 14
"""Of a text file, which does not say how many it has."""
_CAMERA, _IMAGE, _POINT = struct.Struct("<IiQQ"), struct.Struct("<I7dI"), struct.Struct("<Q3d3BdQ")
_COUNT = struct.Struct("<Q")
_POINT_IN_IMAGE, _SIGHTING = 24, 8


class Image(NamedTuple):
    """An image: rotation as a quaternion w x y z and translation, world to camera."""

    name: str
    camera: int
    pose: tuple[float, ...]


def _lens(model: str, width: int, height: int, values: list[float]) -> Lens:
    if model not in MODELS:
        raise InputError(f"camera model {brief(model)} is not supported; undistort the pictures with COLMAP first")
    projection, order = MODELS[model]
    names = order.split()
    if len(values) != len(names):
        raise InputError(f"{model} has {len(names)} parameters, got {len(values)}")
    given = dict(zip(names, values, strict=True))
    if projection == "equirectangular":
        return Lens(projection=projection, size=(height, width))
    focal_x, focal_y = (given.get("f", given.get(name, 0.0)) for name in ("fx", "fy"))
    sizes = min(width, height) > 0 and max(width, height) <= LARGEST_SIDE
    if not (sizes and all(abs(value) < LARGEST_NUMBER for value in values) and min(focal_x, focal_y) > 0):
        raise InputError(f"{width}x{height} with {brief(values)} is no camera")
    return Lens(
        projection=projection,
        size=(height, width),
        focals=((focal_x, None), (focal_y, None)),
        center=(given["cx"], given["cy"]),
        distortion=tuple(Distortion(**{name: given[name] for name in Distortion._fields if name in given})),
    )


class _Binary:
    """Read from a binary file of a model; InputError where it ends too early."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self._size = file, os.fstat(file.fileno()).st_size

    @property
    def left(self) -> int:
        """Return how many bytes follow."""
        return self._size - self.file.tell()

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Read the numbers of a layout."""
        content = self.file.read(layout.size)
        if len(content) < layout.size:
            raise InputError(f"the file ends at byte {self._size}, in the middle of a record")
        return layout.unpack(content)

    def skip(self, count: int, each: int) -> None:
        """Go past a list of as many entries as the file claims, of so many bytes."""
        if count * each > self.left:
            raise InputError(f"it claims a list of {count} entries, and {self.left} bytes follow")
        self.file.seek(count * each, os.SEEK_CUR)


def _plain_words(words: Sequence[bytes]) -> Sequence[bytes]:
    """Return words as they are; ValueError if one is a number to Python alone, as 1_0 is."""
    if any(b"_" in word for word in words):
        raise ValueError("no number has a _")
    return words


def _text_camera(line: bytes) -> tuple[int, Lens]:
    first, model, *rest = line.split()
    number, width, height, *values = _plain_words([first, *rest])
    name = model.decode("ascii", errors="replace")
    return int(number), _lens(name, int(width), int(height), [float(value) for value in values])


def _binary_camera(file: _Binary) -> tuple[int, Lens]:
    number, model, width, height = file.unpack(_CAMERA)
    name = _NUMBERS[model] if 0 <= model < len(_NUMBERS) else f"number {model}"
    count = len(MODELS[name][1].split()) if name in MODELS else 0
    return number, _lens(name, width, height, list(file.unpack(struct.Struct(f"<{count}d"))))


def _text_image(line: bytes) -> Image:
    """Read an image's line; its name is all that follows the ninth number, blanks included."""
    values = line.rstrip(b"\r\n").split(maxsplit=9)
    if len(values) < 10:
        raise ValueError("fewer than ten words")
    _, *pose, camera = _plain_words(values[:9])
    return Image(os.fsdecode(values[9]), int(camera), tuple(map(float, pose)))


def _binary_image(file: _Binary) -> Image:
    _, *pose, camera = file.unpack(_IMAGE)
    name = bytearray()
    while (letter := file.file.read(1)) != b"\0":
        if not letter or len(name) >= _LONGEST_NAME:
            raise InputError("its name does not end")
        name += letter
    (points,) = file.unpack(_COUNT)
    file.skip(points, _POINT_IN_IMAGE)
    return Image(os.fsdecode(bytes(name)), camera, tuple(pose))


def _names_an_image(line: bytes) -> bool:
    """Return whether a line ends in a name after nine numbers, as no list of points x y id does."""
    words = line.split(maxsplit=9)
    try:
        return len(words) == 10 and not [float(word) for word in words[9].split()]
    except ValueError:
        return True


def _text_point(line: bytes) -> tuple[float, float, float]:
    _, x, y, z = _plain_words(line.split(maxsplit=4)[:4])
    return float(x), float(y), float(z)


def _binary_point(file: _Binary) -> tuple[float, float, float]:
    _, x, y, z, *_, sightings = file.unpack(_POINT)
    if sightings:
        file.skip(sightings, _SIGHTING)
    return x, y, z


class Kind(NamedTuple):
    """A kind of records: their readers, the least bytes of one in a binary file, and those that it takes here."""

    what: str
    of_text: Callable[[bytes], Any]
    of_binary: Callable[[_Binary], Any]
    least: int
    held: int


CAMERAS = Kind("cameras", _text_camera, _binary_camera, _CAMERA.size, 1000)
IMAGES = Kind("images", _text_image, _binary_image, _IMAGE.size + 1 + _COUNT.size, 2000)
POINTS = Kind("points", _text_point, _binary_point, _POINT.size, 120)  # five times, for their quantiles are asked


def records(path: Path, kind: Kind, memory: int | None) -> Iterator[Any]:
    """Yield the records of one file of a model; InputError before there are more than memory allows."""

    def claim(count: int) -> None:
        check_room(count * kind.held, memory, what=f"reading {count} {kind.what}", advice="use a smaller model")

    with open(path, "rb", buffering=1 << 18) as file:
        if path.suffix == ".txt":
            yield from _text_records(path, file, kind, claim)
            return
        binary, done, count = _Binary(file), -1, 0
        try:
            (count,) = binary.unpack(_COUNT)
            if count * kind.least > binary.left:
                raise InputError(f"it claims {count} {kind.what}, and {binary.left} bytes follow; it was cut short")
            claim(count)
            done = 0
            while done < count:
                yield kind.of_binary(binary)
                done += 1
        except InputError as error:
            where = f"record {done} of {count}: " if done >= 0 else ""
            raise InputError(f"{path}: {where}{error}") from error
        if binary.left:
            raise InputError(f"{path}: {binary.left} bytes follow after the {count} {kind.what} that it claims to hold")


def _text_records(path: Path, file: BinaryIO, kind: Kind, claim: Callable[[int], None]) -> Iterator[Any]:
    lines, done = enumerate(file, 1), 0
    for number, line in lines:
        line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            yield kind.of_text(line)
            done += 1
            if done % _RECORDS_A_CLAIM == 0:
                claim(done)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        except ValueError as error:
            raise InputError(f"{path}: line {number}: not a line of a COLMAP model: {brief(line)}") from error
        if kind is IMAGES:
            _, points = next(lines, (0, b""))  # the image's, maybe none: an empty line
            if _names_an_image(points):
                raise InputError(
                    f"{path}: line {number + 1}: an image where the points of the one above belong; "
                    "a line, which may be empty, must follow every image"
                )


def count_images(model: Path) -> int:
    """Return how many images a model has, by the number that a binary file begins with, or by the lines of a text."""
    with readable(model):
        if (model / "images.bin").is_file():
            with open(model / "images.bin", "rb") as file:
                return int.from_bytes(file.read(_COUNT.size), "little")
        if not (model / "images.txt").is_file():
            return 0
        with open(model / "images.txt", "rb") as file:
            return sum(not line.startswith(b"#") for line in file) // 2


def wrong_comment(path: Path, found: int) -> list[str]:
    """Return a note where the comment above the records of a text file gives another number of them."""
    if path.suffix != ".txt":
        return []
    with open(path, "rb") as file:
        comments = [line for line in itertools.islice(file, 20) if line.startswith(b"#")]
    said = re.search(rb"Number of \w+: (\d{1,18})\b", b"".join(comments))
    wrong = said is not None and int(said[1]) != found
    return [f"{path.name} says that it has {int(said[1])} records, and has {found}"] if said and wrong else []
