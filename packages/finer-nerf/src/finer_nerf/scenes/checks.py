"""Checks of what scene files say, in one place: numbers by a table, texts, JSON, and errors of libraries."""

import json
import math
import os
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from finer_core.errors import InputError
from finer_core.io.files import reason_of, without_repetition
from finer_core.resources import check_room
from finer_core.schema import fits
from finer_nerf.cameras import LARGEST_NUMBER, LARGEST_SIDE, LEAST_FOCAL

T = TypeVar("T")
NUMBERS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("w", "h"), (0, LARGEST_SIDE)),
    **dict.fromkeys(("fl_x", "fl_y"), (LEAST_FOCAL, LARGEST_NUMBER)),
    **dict.fromkeys(("camera_angle_x", "camera_angle_y"), (1e-6, math.pi)),
    **dict.fromkeys(("x_fov", "y_fov"), (1e-4, 180)),
    **dict.fromkeys(
        ["cx", "cy", "k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "sx1", "sy1", "omega"],
        (-LARGEST_NUMBER, LARGEST_NUMBER),
    ),
    "aabb_scale": (0, LARGEST_NUMBER),
}
"""The numbers that are read of a scene's JSON, and the open interval that each must lie in."""
_LARGEST_JSON = 200_000_000
"""Bytes; a hundred thousand frames take a quarter of that."""
_PARSED = 20
"""Bytes that a byte of JSON may take when it is read: most for lists of nothing."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60


def brief(value: object) -> str:
    """Return a value for a message, in at most some 60 characters and on one line."""
    return _SHORT.repr(value)


@contextmanager
def readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever reading a scene raises into an `InputError`.

    Args:
        path: What is being read, named where an error does not name it.
    """
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RecursionError) as error:
        named = getattr(error, "filename", None) or path
        raise InputError(f"{str(named)[-150:]}: cannot be read ({' '.join(reason_of(error).split())[:100]})") from error


def read_json(path: Path, *, memory: int | None = None) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: If it is missing, too large, or something else.
    """
    with readable(path):
        size = path.stat().st_size
        what = f"{path}: a file of {size / 1e6:.0f} MB"
        check_room(_PARSED * size, memory, what=what, advice="give a smaller one")
        if size > _LARGEST_JSON:
            raise InputError(f"{path}: {size / 1e6:.0f} MB; a file of cameras has less than 200")
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text, parse_int=_integer, object_pairs_hook=without_repetition)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({str(error)[:120]})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def _integer(text: str) -> int | float:
    """Return an integer; one that no float can hold is infinite, and refused where it is used."""
    return int(text) if len(text) < 300 else math.inf


def numbers_of(entry: Mapping[str, Any], *, where: object) -> dict[str, float]:
    """Return the numbers of `NUMBERS` that an object gives; null is as good as absent.

    Raises:
        InputError: For one that is no number, or not in its interval.
    """
    found = {}
    for name, (low, high) in NUMBERS.items():
        value = entry.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
            raise InputError(f"{where}: {name} must be a number between {low:.6g} and {high:.6g}, got {brief(value)}")
        found[name] = float(value)
    return found


def value_of(entry: Mapping[str, Any], name: str, kind: type[T], *, where: object) -> T | None:
    """Return what an object gives of a kind, `str` or `list[str]`, or None; InputError if it is something else."""
    value: T | None = entry.get(name)
    if value is not None and not fits(value, kind):
        what = "a text" if kind is str else "a list of texts"
        raise InputError(f"{where}: {name} must be {what}, got {brief(value)}")
    return value


def printable(name: str) -> str:
    """Return a name as it can be shown and written anywhere: without control characters and halves of characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
