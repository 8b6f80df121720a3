"""Figures that others published for the shapes of the paper, to stand beside ours.

Source: the project page of SASNet (CVPR 2026), which reran the Bacon protocol for every method and lists the squared
Chamfer distance (both ways added) and the IoU of each shape. Their meshes, normalization and sampling are not
ours, so the figures are neighbors and no target. `published_tables` has them, and others, with their provenance.
"""

from dataclasses import dataclass

from finer_core.reproduction.table import name_in
from finer_sdf.published_tables import FOUR, SASNET


@dataclass(frozen=True, kw_only=True)
class PublishedFigures:
    """Hold the published figures of one shape and method.

    Attributes:
        chamfer_l2_sum: In normalized units.
        iou: As published.
    """

    chamfer_l2_sum: float
    iou: float


SOURCE = "SASNet project page (rerun of the Bacon protocol)"


def published_figures(*, shape: str, method: str) -> PublishedFigures | None:
    """Return the published figures of a shape, or None where there are none.

    Args:
        shape: A file's name; the shape is recognized by the word in it.
        method: A key of `METHODS`.
    """
    name = name_in(shape, FOUR)
    row = next((row for row in SASNET.rows if row.method == method), None)
    if name is None or row is None:
        return None
    values = row.published
    return PublishedFigures(chamfer_l2_sum=values["chamfer_l2_sum"][name], iou=values["iou_published"][name])
