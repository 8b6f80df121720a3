"""Sentences on what limits the figures of a comparison."""

from typing import Any

from finer_sdf.evaluation.inner_walls import Outside
from finer_sdf.evaluation.topology import topology_report
from finer_sdf.geometry import Mesh, PointCloud, Shape

_OTHER_UNIT = 9.0
"""How many times as large as the other one of two surfaces is that can hardly be in the same unit."""


def inside_notes(topology: dict[str, Any], reference: Shape) -> list[str]:
    """Say what limits the figures that ask what is inside."""
    notes = []
    if topology["outward"] is False:
        notes.append("the mesh is inside out: nothing is inside it")
    if isinstance(reference, PointCloud):
        return [*notes, "the reference is a point cloud: no inside and no exact distances to it"]
    for name, watertight in (
        ("mesh", topology["watertight"]),
        ("reference", topology_report(reference)["watertight"]),
    ):
        if not watertight:
            notes.append(f"the {name} is not watertight: its inside is where its winding number is above 1/2")
    return notes


def place_notes(mesh: Mesh, reference: Shape) -> list[str]:
    """Return a note where both can hardly be in the same unit, at the same place."""
    (low, high), (other_low, other_high) = mesh.bounds, reference.bounds
    times = (high - low).max() / (other_high - other_low).max()
    apart = ", and they are apart" if (low > other_high).any() or (high < other_low).any() else ""
    is_usual = not apart and 1 / _OTHER_UNIT < times < _OTHER_UNIT
    found = f"the mesh is {times:.3g} times as large as the reference{apart}: both in one unit, one place?"
    return [] if is_usual else [found]


def wall_notes(which: str, outside: Outside) -> list[str]:
    """Say how much of a surface is left out because it lies inside it."""
    if not outside.share:
        return []
    return [f"{100 * outside.share:.1f} % of the {which}'s surface lies inside it, as where parts overlap; left out"]
