"""What a file names for its values, which are fitted as they are stored: units, an exposure, primaries."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_GDAL_ITEM = re.compile(r"""<Item\b[^>]*\brole=["'](scale|offset)["'][^>]*>\s*([^<]{1,40}?)\s*</Item>""")
_NOTHING = {"scale": (1.0,), "offset": (0.0,), "exposure": (1.0,)}
_CF_NAMES = {"scale_factor": "scale", "add_offset": "offset"}
_SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x and y of red, green, blue and white."""
_NEAR = 0.005


def note_of_gdal(metadata: str) -> str | None:
    """Return what is to be said of the scales and offsets in a GeoTIFF's GDAL_METADATA; None where there are none."""
    return note_of_scaling(_GDAL_ITEM.findall(metadata))


def note_of_attributes(attributes: Mapping[str, Any]) -> str | None:
    """Return the same of a Zarr array's attributes `scale_factor` and `add_offset`, by the CF conventions."""
    return note_of_scaling([(kind, str(attributes[name])) for name, kind in _CF_NAMES.items() if name in attributes])


def note_of_scaling(named: list[tuple[str, str]]) -> str | None:
    """Return what is to be said of scales, offsets and exposures, each with its text; None where none changes a value.

    Example:
        >>> note_of_scaling([("scale", "1.0"), ("offset", "-1000")])
        'names offset -1000 for its values, which are fitted and written as they are stored'
    """
    said = {f"{kind} {text[:40]}" for kind, text in named if as_number(text) not in _NOTHING[kind]}
    if not said:
        return None
    return f"names {', '.join(sorted(said)[:4])} for its values, which are fitted and written as they are stored"


def as_number(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def other_primaries(named: Sequence[float], *, place: str) -> str:
    """Return in words that a file names other primaries than sRGB's; nothing if it does not.

    Args:
        named: x and y of red, green, blue and white; another number of them says nothing, and neither do zeros.
        place: What the format calls them.
    """
    is_said = len(named) == len(_SRGB) and all(0 < value < 1e3 for value in named[6:])
    if not is_said or all(abs(value - usual) < _NEAR for value, usual in zip(named, _SRGB, strict=True)):
        return ""
    return f"primaries that are not those of sRGB ({place})"


def note_of_colors(space: str) -> str:
    """Return what is to be said of colors that a file describes in such words."""
    return f"names {space} of its values, which a written image does not"
