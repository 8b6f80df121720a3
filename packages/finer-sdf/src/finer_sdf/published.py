"""Figures that others published for the shapes of the paper, to stand beside ours.

Source: the project page of SASNet (CVPR 2026), which reran the Bacon protocol for every method and lists the squared
Chamfer distance (both ways added) and the IoU of each shape. Their meshes, normalisation and sampling are not
ours, so the figures are neighbours and no target.
"""

from dataclasses import dataclass


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
_SHAPES = ("armadillo", "dragon", "lucy", "thai")
_ROWS = {  # Chamfer in 1e-6 and IoU, in the order of the shapes
    "pemlp": ((3.465, 0.9878), (2.039, 0.9803), (2.387, 0.9677), (4.460, 0.9561)),
    "gauss": ((7.283, 0.9806), (13.04, 0.9561), (11.78, 0.9581), (11.62, 0.9418)),
    "siren": ((3.599, 0.9872), (2.871, 0.9694), (2.405, 0.9716), (4.381, 0.9561)),
    "wire": ((3.274, 0.9910), (2.172, 0.9747), (2.419, 0.9693), (3.296, 0.9635)),
    "finer": ((4.040, 0.9837), (2.477, 0.9728), (2.536, 0.9671), (4.201, 0.9518)),
}


def published_figures(*, shape: str, method: str) -> PublishedFigures | None:
    """Return the published figures of a shape, or None where there are none.

    Args:
        shape: A file's name; the shape is recognised by the word in it.
        method: A key of `METHODS`.
    """
    place = next((i for i, name in enumerate(_SHAPES) if name in shape.lower()), None)
    if place is None or method not in _ROWS:
        return None
    chamfer, iou = _ROWS[method][place]
    return PublishedFigures(chamfer_l2_sum=chamfer * 1e-6, iou=iou)
