"""The interactive 3D view of a report: meshes packed into the page itself, drawn by the browser, offline."""

import base64
import html
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np

from finer_sdf.geometry import Mesh, PointCloud, Shape
from finer_sdf.normalization import BOX_HALF_SIDE

MOST_FACES = 150_000
"""A mesh of more faces (a cloud of more points) is reduced for the view: two of this size make a page of 6 MB."""
_TOP_QUANTILE = 0.99
"""The colours of the errors end here, so that one outlier does not make everything else look perfect."""
_COLORS = 16
_STYLE = """
.view3d canvas { width: 100%; aspect-ratio: 1; display: block; border: 1px solid var(--line, #8884); cursor: grab;
  touch-action: none; user-select: none; -webkit-user-select: none; box-sizing: border-box }
.view3d canvas:active { cursor: grabbing }
.view3d-bar { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: .75rem 0 }
.view3d-bar button { font: inherit; font-size: .9rem; padding: .15rem .8rem; border: 1px solid var(--line, #8884);
  border-radius: 4px; background: transparent; color: inherit; cursor: pointer }
.view3d-bar button[aria-pressed=true] { background: #2f6fb5; border-color: #2f6fb5; color: #fff }
.view3d-hint { font-size: .85rem; opacity: .75; margin-left: .4rem }
.view3d-scale { display: flex; align-items: center; gap: .6rem; font-size: .85rem; margin: .5rem 0;
  font-variant-numeric: tabular-nums }
.view3d-scale[hidden], .view3d-missing[hidden] { display: none }
.view3d-ramp { flex: 0 1 22rem; min-width: 8rem }
.view3d-ramp i { display: block; height: .8rem; border: 1px solid var(--line, #8884) }
.view3d-ramp span { display: flex; justify-content: space-between }
"""


@dataclass(frozen=True, kw_only=True)
class ReducedMesh:
    """Hold a mesh with fewer faces.

    Attributes:
        mesh: The smaller mesh.
        values: (n,), the largest value of the vertices that became each vertex; None without values.
        cell: Side of the grid cells whose vertices were merged, in the mesh's units; 0 for an unchanged mesh.
    """

    mesh: Mesh
    values: np.ndarray | None
    cell: float


def viewer_markup(result: Mesh, reference: Shape | None, *, errors: np.ndarray | None = None) -> str:
    """Return the HTML of the view: result and reference side by side under one camera.

    The markup holds its data, style and script, and loads nothing. Meshes of more than `MOST_FACES` faces are reduced,
    which their caption says.

    Args:
        result: In box coordinates, with at least one face.
        reference: In box coordinates; a cloud is drawn as points; None for a view of the result alone.
        errors: (n,), the unsigned distance to the reference at every vertex of the result, in box units.

    Raises:
        ValueError: If the errors are not one finite, non-negative number a vertex.
    """
    if errors is not None:
        errors = np.asarray(errors, dtype=np.float64)
        if errors.shape != (len(result.vertices),) or not (np.isfinite(errors).all() and (errors >= 0).all()):
            raise ValueError(f"errors: {len(result.vertices)} finite distances expected, got shape {errors.shape}")
    top = _top_error(errors)
    views = [_packed_mesh(result, name="result", errors=errors, top=top)]
    if isinstance(reference, Mesh):
        views.append(_packed_mesh(reference, name="reference"))
    elif reference is not None:
        views.append(_packed_cloud(reference, name="reference"))
    center, radius = _ball_around(result if reference is None else reference)
    scene = {
        "center": center.tolist(),
        "radius": radius,
        "ramp": _ramp(),
        "errorScale": top,  # the error that 255 stands for
        "views": [view.data for view in views],
    }
    script = resources.files("finer_sdf.rendering").joinpath("viewer.js").read_text(encoding="utf-8")
    return (
        f'<div class="view3d"><style>{_STYLE}</style>'
        f"{_buttons(with_errors=errors is not None)}{_color_bar(top, errors=errors)}"
        '<p class="view3d-missing" hidden>This browser draws no WebGL 2, so the 3D view is empty; '
        "the pictures of this page and the mesh file show the surface.</p>"
        "<noscript><p>The 3D view needs JavaScript.</p></noscript>"
        f'<div class="row">{"".join(_figure(view) for view in views)}</div>'
        f'<script type="application/json">{json.dumps(scene, separators=(",", ":"))}</script>'
        f"<script>{script}</script></div>"
    )


def reduce_mesh(mesh: Mesh, *, limit: int, values: np.ndarray | None = None) -> ReducedMesh:
    """Reduce a mesh by vertex clustering: vertices of one grid cell become their mean (Rossignac and Borrel, 1993).

    A vertex moves by less than the diagonal of a cell. Faces that lose a corner are dropped. For looking only: the
    result may touch itself where two sheets share a cell.

    Args:
        mesh: The mesh.
        limit: Most faces of the result.
        values: (n,), one a vertex; a merged vertex keeps the largest, so that no error is averaged away.

    Returns:
        The mesh as it is if it has no more than `limit` faces, else a smaller one.
    """
    if len(mesh.faces) <= limit:
        return ReducedMesh(mesh=mesh, values=values, cell=0.0)
    extent = float(np.ptp(mesh.bounds, axis=0).max())
    # A surface crosses about 1.5 cells per cell face of its area, each a vertex, and a closed mesh has two faces each.
    cell = max(float(np.sqrt(3 * mesh.area() / limit)), 1e-6 * extent)
    while True:
        reduced = _clustered(mesh, cell=cell, values=values)
        if len(reduced.mesh.faces) <= limit:
            return reduced
        cell *= 1.02 * float(np.sqrt(len(reduced.mesh.faces) / limit))


def _clustered(mesh: Mesh, *, cell: float, values: np.ndarray | None) -> ReducedMesh:
    low = mesh.vertices.min(axis=0)
    place = np.floor((mesh.vertices - low) / cell).astype(np.int64)
    sides = place.max(axis=0) + 1
    key = (place[:, 0] * sides[1] + place[:, 1]) * sides[2] + place[:, 2]
    _, owner, sizes = np.unique(key, return_inverse=True, return_counts=True)
    owner = owner.reshape(-1)
    means = np.stack([np.bincount(owner, weights=column) / sizes for column in mesh.vertices.T], axis=1)
    faces = owner[mesh.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    used, faces = np.unique(faces, return_inverse=True)
    largest = None
    if values is not None:
        largest = np.zeros(len(means))
        np.maximum.at(largest, owner, values)
        largest = largest[used]
    kept = Mesh(vertices=means[used], faces=faces.reshape(-1, 3).astype(np.int64))
    return ReducedMesh(mesh=kept, values=largest, cell=cell)


@dataclass(frozen=True, kw_only=True)
class _View:
    name: str
    caption: str
    data: dict[str, str]


def _packed_mesh(mesh: Mesh, *, name: str, errors: np.ndarray | None = None, top: float = 1.0) -> _View:
    reduced = reduce_mesh(mesh, limit=MOST_FACES, values=errors)
    caption = f"{name}: {len(mesh.faces):,} faces"
    if reduced.cell:
        merged = f"vertices within {reduced.cell:.2g} of the box merged"
        worst = ", the largest error of each kept" if errors is not None else ""
        caption += f"; this view is reduced to {len(reduced.mesh.faces):,} ({merged}{worst})"
    data = {
        "positions": _base64(_quantized(reduced.mesh.vertices)),
        "faces": _base64(reduced.mesh.faces.astype("<u4")),
    }
    if reduced.values is not None:
        data["errors"] = _base64(np.rint(np.clip(reduced.values / top, 0, 1) * 255).astype(np.uint8))
    return _View(name=name, caption=caption, data=data)


def _packed_cloud(cloud: PointCloud, *, name: str) -> _View:
    step = -(-len(cloud.points) // MOST_FACES)
    points, normals = cloud.points[::step], cloud.normals[::step]
    caption = f"{name}: {len(cloud.points):,} points"
    if step > 1:
        caption += f"; this view shows {len(points):,}, one of {step}"
    data = {
        "positions": _base64(_quantized(points)),
        "normals": _base64(np.rint(np.clip(normals, -1, 1) * 127).astype(np.int8)),
    }
    return _View(name=name, caption=caption, data=data)


def _ball_around(shape: Shape) -> tuple[np.ndarray, float]:
    """Return the middle of a shape's bounds, and the radius of the ball around it that holds the shape."""
    points = shape.vertices[np.unique(shape.faces)] if isinstance(shape, Mesh) else shape.points
    center = shape.bounds.mean(axis=0)
    return center, float(np.linalg.norm(points - center, axis=1).max()) or 1.0


def _quantized(points: np.ndarray) -> np.ndarray:
    """Return points of the box as 16-bit numbers: 0 and 65535 are its faces; what lies outside is moved to them."""
    unit = (points + BOX_HALF_SIDE) / (2 * BOX_HALF_SIDE)
    return np.rint(np.clip(unit, 0, 1) * 65535).astype("<u2")


def _base64(table: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(table).tobytes()).decode()


def _top_error(errors: np.ndarray | None) -> float:
    """Return the error at which the colours end; positive."""
    if errors is None or not len(errors):
        return 1.0
    return float(np.quantile(errors, _TOP_QUANTILE)) or float(errors.max()) or 1e-6


def _ramp() -> list[str]:
    """Return the colours of the errors: light for none, so that the shading still shows the shape."""
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in matplotlib.colormaps["YlOrRd"](np.linspace(0, 1, _COLORS))]


def _buttons(*, with_errors: bool) -> str:
    modes = ["shaded", "normals"] + (["error"] if with_errors else [])
    buttons = "".join(
        f'<button type="button" data-mode="{mode}" aria-pressed="{str(mode == "shaded").lower()}">{mode}</button>'
        for mode in modes
    )
    hint = "drag to turn, wheel or pinch to zoom, shift-drag to move, double-click to reset"
    return (
        '<div class="view3d-bar" role="group" aria-label="What the 3D view shows">'
        f'{buttons}<span class="view3d-hint">{hint}</span></div>'
    )


def _color_bar(top: float, *, errors: np.ndarray | None) -> str:
    if errors is None:
        return ""
    gradient = ", ".join(_ramp())
    largest = float(errors.max()) if len(errors) else 0.0
    end = f"{top:.2g}" if largest <= top else f"≥ {top:.2g}"
    return (
        '<div class="view3d-scale" hidden><div class="view3d-ramp">'
        f'<i style="background:linear-gradient(to right, {gradient})"></i>'
        f"<span><span>0</span><span>{top / 2:.2g}</span><span>{end}</span></span></div>"
        f"<span>distance to the reference, box units; largest {largest:.2g}</span></div>"
    )


def _figure(view: _View) -> str:
    label = f"3D view of the {view.name}; arrow keys turn it, plus and minus zoom, Home resets"
    return (
        f'<figure><canvas tabindex="0" role="img" aria-label="{html.escape(label)}">'
        f"The {html.escape(view.name)} in 3D.</canvas><figcaption>{html.escape(view.caption)}</figcaption></figure>"
    )
