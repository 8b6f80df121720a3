"""Colors of surface points: clay or their own under two lights, normals, or distances to a reference."""

import numpy as np
from matplotlib import colormaps

from finer_core.shapes import Float, UInt8

WHITE = (1.0, 1.0, 1.0)
ERROR_MAP = "inferno"
CLAY = np.array([0.62, 0.50, 0.40])
"""Share of light that the surface returns, red, green and blue, on a linear scale."""
_KEY, _FILL = (each / np.linalg.norm(each) for each in (np.array([-0.5, 0.7, 0.65]), np.array([0.9, 0.05, 0.4])))
"""Directions to the two lights, in the camera's right, up and backward: from above on the left, from the right."""
_KEY_COLOR, _FILL_COLOR = np.array([1.05, 1.0, 0.92]), np.array([0.13, 0.17, 0.24])
_SKY, _GROUND = np.array([0.24, 0.26, 0.29]), np.array([0.09, 0.08, 0.07])
"""What comes from all round, from above and from below."""
_SHINE, _SHARPNESS = 0.10, 24
_EXPOSURE = 0.78
"""Share of the light that colors of the surface get, so that white is hardly cut."""


def shaded(normals: Float[np.ndarray, "points 3"], basis: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "points 3"]:
    """Return the colors of clay under two lights and a sky, (n, 3) in [0, 1].

    Formula: (Lambert's cosine law for each light + a mix of sky and ground by the normal's height) * clay, a highlight
    of the first light by Blinn (SIGGRAPH 1977), and the gamma 1 / 2.2 of displays.

    Args:
        normals: (n, 3), of length 1.
        basis: The camera's right, up and backward directions, one a row: the lights move with it.
    """
    seen = normals @ basis.T
    halfway = _KEY + np.array([0.0, 0.0, 1.0])
    shine = _SHINE * _facing(seen, halfway / np.linalg.norm(halfway)) ** _SHARPNESS
    return np.clip(CLAY * _light(seen) + shine, 0, 1) ** (1 / 2.2)


def lit(
    colors: Float[np.ndarray, "points 3"], normals: Float[np.ndarray, "points 3"], basis: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "points 3"]:
    """Return colors (n, 3) in [0, 1] under the lights of `shaded`, without a highlight, (n, 3) in [0, 1]."""
    return np.clip(_EXPOSURE * colors**2.2 * _light(normals @ basis.T), 0, 1) ** (1 / 2.2)


def _light(seen: np.ndarray) -> np.ndarray:
    """Return what light falls where the normal is `seen` (n, 3) in the camera's axes, (n, 3)."""
    height = 0.5 + 0.5 * seen[:, 1:2]
    direct: np.ndarray = _facing(seen, _KEY) * _KEY_COLOR + _facing(seen, _FILL) * _FILL_COLOR
    return direct + (height * _SKY + (1 - height) * _GROUND)


def _facing(normals: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the cosine between normals (n, 3) and a direction, 0 where they look away, (n, 1)."""
    return np.clip(normals @ direction, 0, 1)[:, None]


def normal_colors(normals: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
    """Return (n + 1) / 2, (n, 3): x red, y green, z blue, in the box's axes."""
    return np.clip(0.5 * normals + 0.5, 0, 1)


def error_colors(errors: Float[np.ndarray, " points"], *, largest: float) -> Float[np.ndarray, "points 3"]:
    """Return the colors of distances (n,), (n, 3); `largest` and above have the last color of the map."""
    scaled = np.clip(errors / largest, 0, 1) if largest > 0 else np.zeros_like(errors)
    colors: np.ndarray = colormaps[ERROR_MAP](scaled)[:, :3]
    return colors


def round_up(value: float) -> float:
    """Return the next number of the form 1, 2 or 5 times a power of ten: a color bar's end."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)))


def with_color_bar(
    pixels: UInt8[np.ndarray, "height width 3"], *, largest: float, label: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture (h, w, 3) uint8 with a color bar and its numbers in the lower left corner."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    size = max(9, min(height, width) // 36)
    font = ImageFont.load_default(size)
    left, bar, thick = size, max(2, int(0.4 * width)), size
    top = height - 3 * size - thick
    ramp = (255 * colormaps[ERROR_MAP](np.linspace(0, 1, bar))[:, :3]).astype(np.uint8)
    picture.paste(Image.fromarray(np.repeat(ramp[None], thick, axis=0)), (left, top))
    draw.rectangle((left - 1, top - 1, left + bar, top + thick), outline=(90, 90, 90))
    draw.text((left, top - size * 1.4), label, fill=(40, 40, 40), font=font)
    draw.text((left, top + thick + 2), "0", fill=(40, 40, 40), font=font)
    draw.text((left + bar, top + thick + 2), f"{largest:g}", fill=(40, 40, 40), font=font, anchor="ra")
    return np.asarray(picture)
