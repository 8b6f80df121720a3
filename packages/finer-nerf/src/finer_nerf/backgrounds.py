"""Colors behind everything, by name. Needs no PyTorch."""

import re
from collections.abc import Sequence

from finer_core.errors import InputError
from finer_core.schema import shown

BACKGROUNDS = {"white": 1.0, "black": 0.0}
"""Colors with a name of their own, as a number, the same for every channel."""
LEARNED = "learned"
"""What is said of a training that finds the color itself; a model has the color it found."""
_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)


def is_background(name: object) -> bool:
    """Return whether this names a color: white, black, or #rrggbb."""
    return isinstance(name, str) and (name in BACKGROUNDS or bool(_HEX.fullmatch(name)))


def check_background(name: object) -> None:
    """Raise InputError for what names no color."""
    if not is_background(name):
        known = ", ".join(BACKGROUNDS)
        raise InputError(f"background must be one of {known}, got {shown(name)}; another color is written #rrggbb")


def color_of(name: str) -> tuple[float, float, float]:
    """Return a background's red, green and blue in [0, 1].

    Args:
        name: "white", "black" or "#rrggbb".

    Raises:
        InputError: If it is none.

    Example:
        >>> color_of("white"), color_of("#ff0033")
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.2))
    """
    check_background(name)
    if name in BACKGROUNDS:
        return (BACKGROUNDS[name],) * 3
    red, green, blue = (int(name[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def background_name(color: Sequence[float]) -> str:
    """Return the name of a color, rounded to 255ths.

    Args:
        color: Red, green and blue in [0, 1].

    Example:
        >>> background_name((0.0, 0.0, 0.0)), background_name((1.0, 0.0, 0.2))
        ('black', '#ff0033')
    """
    written = "#" + "".join(f"{min(max(round(255 * value), 0), 255):02x}" for value in color)
    return {"#ffffff": "white", "#000000": "black"}.get(written, written)
