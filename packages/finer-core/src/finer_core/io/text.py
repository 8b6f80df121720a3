"""Lines and numbers of text formats, read in bounded pieces."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from finer_core.errors import InputError

LINES_A_CLAIM = 1 << 16
"""After so many lines it is asked again whether there is room."""
LONGEST_LINE = 1 << 24
"""Characters; no format that people write has such a line."""
_TELLING_DIGITS = 3
"""Fewer may be meant as they stand: 3e38."""


def text_lines(path: Path, *, claim: Callable[[], None] = lambda: None) -> Iterator[tuple[str, str]]:
    """Yield the place ("line 1" ...) and the text of every line, whatever ends it; a byte-order mark is left out.

    Bytes that are not UTF-8, as comments have them, become replacement characters.

    Args:
        path: The file.
        claim: Called now and then; refuses what does not fit.

    Raises:
        InputError: If a line is longer than any of these formats has.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for count, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), start=1):
            if len(line) == LONGEST_LINE:
                raise InputError(f"line {count} is longer than {LONGEST_LINE} characters; it may be of another format")
            if count % LINES_A_CLAIM == 0:
                claim()
            yield f"line {count}", line


def numbers(text: str, *, where: str) -> np.ndarray:
    """Return all numbers of a text, between blanks and line ends, as float64; InputError names a word that is none."""
    if not text.strip():
        return np.empty(0)
    is_blank = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8) <= ord(" ")
    words = np.count_nonzero(is_blank[:-1] & ~is_blank[1:]) + int(not is_blank[0])
    try:
        values = np.fromstring(text, dtype=np.float64, sep=" ")
    except (DeprecationWarning, ValueError):
        values = np.empty(0)
    if len(values) == words:  # NumPy stops at what is no number, and may only warn, or not even that
        return values
    return np.array([number(word, where=where) for word in text.split()])


def notes_of(found: Mapping[str, object]) -> list[str]:
    """Return the sentences, of all that there may be to say of a file, whose conditions hold, in their order."""
    return [note for note, holds in found.items() if holds]


def counted(count: int, one: str, many: str = "") -> str:
    """Return "1 face" or "3 faces"; the plural is `one` with an s, or `many`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; a bar within a cell, which would end it, becomes a slash.

    Example:
        >>> from finer_core.io.text import markdown_table
        >>> markdown_table(["image", "PSNR"], [["a|b.png", "31.25"]])
        ['| image | PSNR |', '| --- | --- |', '| a/b.png | 31.25 |']
    """
    lines = (headings, ["---"] * len(headings), *rows)
    return ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]


def number(word: str, *, where: str) -> float:
    """Return a word as a number, with a message that names both."""
    try:
        return float(_plain(word))
    except ValueError:
        hint = "write decimal points, not commas" if "," in word else "it may be corrupt or of another format"
        raise InputError(f"{where}: {word[:30]!r} is not a number; {hint}") from None


def _plain(word: str) -> str:
    """Return a word unless it is a number to Python alone, as 1_0 is; ValueError then."""
    if "_" in word or not word.isascii():
        raise ValueError
    return word


def float_of(word: str, dtype: np.dtype) -> float:
    """Return a word as a type of real numbers holds it; ValueError if it is no number.

    The largest number of the type, written with fewer digits than it has, is that number.
    """
    value, largest = float(word), float(np.finfo(dtype).max)
    digits = len(re.sub(r"[eE].*|\D", "", word).lstrip("0"))
    if digits >= _TELLING_DIGITS and abs(value) == float(f"{largest:.{digits - 1}e}"):
        return math.copysign(largest, value)
    with np.errstate(over="ignore"):
        return float(dtype.type(value))


def integer(word: str, *, where: str) -> int:
    """Return a word as an integer, with a message that names both."""
    try:
        value = int(_plain(word))
    except ValueError:
        raise InputError(f"{where}: {word[:30]!r} is not a whole number") from None
    if abs(value) >= 2**62:
        raise InputError(f"{where}: {word[:30]!r} is too large a number")
    return value
