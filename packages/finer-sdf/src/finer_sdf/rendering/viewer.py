"""The interactive 3D view of a report: a page of trimesh's viewer, which holds three.js, inside the report's own."""

import html
from typing import Any

import numpy as np

from finer_sdf.geometry import Mesh, PointCloud, Shape

MOST_FACES = 150_000
"""A mesh of more faces (a cloud of more points) is reduced for the view: two of this size make a page of 15 MB."""
_TOP_QUANTILE = 0.99
"""The colors of the errors end here, so that one outlier does not make everything else look perfect."""
_GRAY = (225, 225, 225, 255)
_GAP = 1.15
"""From the middle of one shape to that of the other, in widths of the wider one."""


def viewer_markup(result: Mesh, reference: Shape | None, *, errors: np.ndarray | None = None) -> str:
    """Return the HTML of the view: the result, colored by its errors, and the reference beside it in one scene.

    The markup holds its data and its script, and loads nothing. Meshes of more than `MOST_FACES` faces are reduced,
    which the caption says.

    Args:
        result: In box coordinates, with at least one face.
        reference: In box coordinates; a cloud is drawn as points; None for a view of the result alone.
        errors: (n,), the unsigned distance to the reference at every vertex of the result, in box units.

    Raises:
        ValueError: If the errors are not one finite, non-negative number a vertex.
    """
    import trimesh
    from trimesh.viewer import scene_to_html

    if errors is not None:
        errors = np.asarray(errors, dtype=np.float64)
        if errors.shape != (len(result.vertices),) or not (np.isfinite(errors).all() and (errors >= 0).all()):
            raise ValueError(f"errors: {len(result.vertices)} finite distances expected, got shape {errors.shape}")
    drawn, words = _drawn_mesh(result, errors)
    scene, captions = trimesh.Scene([drawn]), [f"result: {words}"]
    if reference is not None:
        beside, words = _drawn_cloud(reference) if isinstance(reference, PointCloud) else _drawn_mesh(reference)
        width = max(np.ptp(shape.bounds[:, 0]) for shape in (result, reference))
        scene.add_geometry(beside, transform=trimesh.transformations.translation_matrix([_GAP * width, 0, 0]))
        captions.append(f"beside it the reference: {words}")
    captions.append("drag to turn, wheel to zoom")
    page = html.escape(scene_to_html(scene))
    style = "width: 100%; aspect-ratio: 2; border: 1px solid var(--line, #8884)"
    return (
        f'<iframe title="3D view" style="{style}" srcdoc="{page}"></iframe>'
        f"<p class=note>{html.escape('; '.join(captions))}</p>"
    )


def reduce_mesh(mesh: Mesh, *, limit: int, values: np.ndarray | None = None) -> tuple[Mesh, np.ndarray | None]:
    """Reduce a mesh by vertex clustering: vertices of one grid cell become their mean (Rossignac and Borrel, 1993).

    A vertex moves by less than the diagonal of a cell. Faces that lose a corner are dropped. For looking only: the
    result may touch itself where two sheets share a cell.

    Args:
        mesh: The mesh.
        limit: Most faces of the result.
        values: (n,), one a vertex; a merged vertex keeps the largest, so that no error is averaged away.

    Returns:
        The mesh as it is if it has no more than `limit` faces, else a smaller one; and its values.
    """
    # A surface crosses about 1.5 cells per cell face of its area, each a vertex, and a closed mesh has two faces each.
    cell = max(float(np.sqrt(3 * mesh.area() / limit)), 1e-6 * float(np.ptp(mesh.bounds, axis=0).max()))
    reduced, largest = mesh, values
    while len(reduced.faces) > limit:
        reduced, largest = _clustered(mesh, cell=cell, values=values)
        cell *= 1.02 * max(1.0, float(np.sqrt(len(reduced.faces) / limit)))
    return reduced, largest


def _clustered(mesh: Mesh, *, cell: float, values: np.ndarray | None) -> tuple[Mesh, np.ndarray | None]:
    place = np.floor((mesh.vertices - mesh.vertices.min(axis=0)) / cell).astype(np.int64)
    sides = place.max(axis=0) + 1
    key = (place[:, 0] * sides[1] + place[:, 1]) * sides[2] + place[:, 2]
    _, owner, sizes = np.unique(key, return_inverse=True, return_counts=True)
    owner = owner.reshape(-1)
    means = np.stack([np.bincount(owner, weights=column) / sizes for column in mesh.vertices.T], axis=1)
    faces = owner[mesh.faces]
    a, b, c = faces.T
    used, faces = np.unique(faces[(a != b) & (b != c) & (c != a)], return_inverse=True)
    largest = np.zeros(len(means))
    if values is not None:
        np.maximum.at(largest, owner, values)
    kept = Mesh(vertices=means[used], faces=faces.reshape(-1, 3).astype(np.int64))
    return kept, None if values is None else largest[used]


def _drawn_mesh(mesh: Mesh, errors: np.ndarray | None = None) -> tuple[Any, str]:
    """Return a mesh of trimesh's with its colors, and what the caption says of it."""
    import matplotlib
    import trimesh

    reduced, values = reduce_mesh(mesh, limit=MOST_FACES, values=errors)
    words, colors = f"{len(mesh.faces):,} faces", np.array(_GRAY, dtype=np.uint8)
    if reduced is not mesh:
        words += f", here reduced to {len(reduced.faces):,}"
    if errors is not None and values is not None:
        top = float(np.quantile(errors, _TOP_QUANTILE)) or float(errors.max()) or 1e-6
        colors = np.rint(matplotlib.colormaps["YlOrRd"](np.clip(values / top, 0, 1)) * 255).astype(np.uint8)
        words += f", colored by the distance to the reference, from light (0) to dark red ({top:.2g} box units or more)"
    drawn = trimesh.Trimesh(reduced.vertices, reduced.faces, vertex_colors=colors, process=False)
    assert len(drawn.vertex_normals)  # known normals are exported: shading is smooth
    return drawn, words


def _drawn_cloud(cloud: PointCloud) -> tuple[Any, str]:
    """Return points of trimesh's, colored by their normals for want of shading, and what the caption says of them."""
    import trimesh

    step = -(-len(cloud.points) // MOST_FACES)
    colors = np.rint((cloud.normals[::step] + 1) / 2 * 255).clip(0, 255).astype(np.uint8)
    words = f"{len(cloud.points):,} points" + (f", of which one of {step} is shown" if step > 1 else "")
    return trimesh.PointCloud(cloud.points[::step], colors=colors), words
