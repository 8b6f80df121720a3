"""Physical units: a scale and an offset that a file names for its values, which are fitted as they are stored."""

import re
from collections.abc import Mapping
from typing import Any

_GDAL_ITEM = re.compile(r"""<Item\b[^>]*\brole=["'](scale|offset)["'][^>]*>\s*([^<]{1,40}?)\s*</Item>""")
_NOTHING = {"scale": (1.0,), "offset": (0.0,)}
_CF_NAMES = {"scale_factor": "scale", "add_offset": "offset"}


def note_of_gdal(metadata: str) -> str | None:
    """Return what is to be said of the scales and offsets in a GeoTIFF's GDAL_METADATA; None where there are none."""
    return _note(_GDAL_ITEM.findall(metadata))


def note_of_attributes(attributes: Mapping[str, Any]) -> str | None:
    """Return the same of a Zarr array's attributes `scale_factor` and `add_offset`, by the CF conventions."""
    return _note([(kind, str(attributes[name])) for name, kind in _CF_NAMES.items() if name in attributes])


def _note(named: list[tuple[str, str]]) -> str | None:
    said = {f"{kind} {text[:40]}" for kind, text in named if _number(text) not in _NOTHING[kind]}
    if not said:
        return None
    return f"names {', '.join(sorted(said)[:4])} for its values, which are fitted and written as they are stored"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
