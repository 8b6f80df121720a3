"""The pictures of a run folder, and the report that shows them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finer_core.app.run_folder import RunFolder
from finer_core.progress import Progress
from finer_sdf.app.report import write_report
from finer_sdf.geometry import Mesh, Shape
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.model import SdfModel
from finer_sdf.queries import colors_in_box
from finer_sdf.rendering.images import paint, write_png
from finer_sdf.rendering.raycast import raycast_field, raycast_mesh

SIDE = 400
"""Pixels of a picture's side."""


def fill_report(
    run: RunFolder,
    *,
    model: SdfModel,
    mesh: Mesh | None,
    reference: Shape,
    figures: Mapping[str, Any],
    config: Mapping[str, Any],
    quiet: bool,
) -> None:
    """Draw the surface, save the pictures beside the mesh, and write `report.html`."""
    pictures: dict[str, np.ndarray] = {}
    errors: np.ndarray | None = None
    if mesh is not None:
        progress = Progress("pictures", total=SIDE, unit="row", quiet=quiet)
        seen = raycast_field(model, height=SIDE, width=SIDE, supersample=1, on_rows=progress.update)
        progress.close()
        pictures["shaded"] = paint(seen, "shaded")
        if isinstance(reference, Mesh):
            pictures["reference"] = paint(raycast_mesh(reference, height=SIDE, width=SIDE))
        if (colors := colors_in_box(model)) is not None:
            pictures["color"] = paint(seen, "color", colors=colors)
        pictures["normals"] = paint(seen, "normals")
        if isinstance(reference, Mesh):
            distance = MeshDistance(reference)
            errors = distance.nearest(mesh.vertices).distance
            pictures["error"] = paint(seen, "error", reference=distance)
        for kind, pixels in pictures.items():
            write_png(run.path / f"{kind}.png", pixels)
    write_report(
        run,
        model=model,
        mesh=mesh,
        reference=reference,
        errors=errors,
        pictures=pictures,
        metrics=figures,
        config=config,
    )
