"""PSNR that others published on Blender's scenes, to stand beside ours.

Source: the project page of SL2A (ICCV 2025), whose lego figures are those of FINER's own paper: 25 training views at
200x200, 200 test views, white background. Its column headers are out of order; they are put right by the values.
`published_tables` has them, and others, with their provenance.
"""

from finer_core.reproduction.table import name_in
from finer_nerf.config import SCENES
from finer_nerf.published_tables import FINER_NERF

SOURCE = "SL2A project page (25 views, 200x200, white background); lego as in FINER's paper"


def published_psnr(*, scene: str, method: str) -> float | None:
    """Return the published PSNR of a scene, recognized by the word in its name, or None where there is none."""
    row = next((row for row in FINER_NERF.rows if row.method == method), None)
    name = name_in(scene, SCENES)
    return None if row is None or name is None else row.published["psnr"].get(name)
