"""The report of a distance-field fit: what was asked, what came out, how well, in one page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from finer_core.app.run_folder import RunFolder
from finer_core.casts import home_of
from finer_core.io.figures import figure_bytes, png_bytes, subplots
from finer_core.io.report import Report
from finer_core.plots import log_figure
from finer_core.training import read_jsonl
from finer_sdf.geometry import Mesh, Shape
from finer_sdf.model import SdfModel
from finer_sdf.normalization import BOX_HALF_SIDE
from finer_sdf.rendering.viewer import viewer_markup

_SLICE_POINTS = 256
_CHUNK_POINTS = 16_384


def write_report(
    run: RunFolder,
    *,
    model: SdfModel,
    mesh: Mesh | None,
    reference: Shape | None,
    errors: np.ndarray | None,
    pictures: Mapping[str, np.ndarray],
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
) -> None:
    """Write `report.html`.

    Args:
        run: The run folder.
        model: The fitted field.
        mesh: The extracted surface in box coordinates, or None where the field has none.
        reference: What was fitted, in box coordinates.
        errors: (n,), the unsigned distance to the reference at every vertex of the mesh, in box units.
        pictures: Caption to picture, (h, w, 3) uint8.
        metrics: The figures; nested mappings become names with dots.
        config: The settings, as in `config.json`.
    """
    versions = config["versions"]
    page = Report(
        f"{config['signal']}: {metrics['method']}",
        note=f"finer-sdf {versions['finer-sdf']}, {config['started']}, {metrics['device']}",
    )
    page.heading("Surface")
    if mesh is None or not len(mesh.faces):
        page.paragraph("The field has no zero level set in its box, so there is no surface to show.")
    else:
        page.html(viewer_markup(mesh, reference, errors=errors))
    if pictures:
        page.heading("Pictures")
        page.figures([(caption, png_bytes(picture)) for caption, picture in pictures.items()])
    page.heading("Figures")
    page.table(flat(metrics))
    page.heading("Field and training")
    page.figures(_plots(model, mesh, reference, read_jsonl(run.metrics_log)))
    shape = config["shape"]
    page.heading("Input")
    page.table({"name": shape["name"], "kind": shape["kind"], "elements": shape["elements"]})
    for note in shape["notes"]:
        page.paragraph(note)
    page.heading("Settings")
    page.table({**config["settings"], "network": json.dumps(config["network"])})
    page.table({"input": f"SHA-256 {config['input_sha256']}", **versions}, folded="versions")
    page.write(run.report)


def flat(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return a table of plain values: {"iou": {"box": 1}} becomes {"iou.box": 1}, a missing value "-"."""
    rows: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows |= flat(value, prefix=f"{prefix}{name}.")
        else:
            rows[f"{prefix}{name}"] = "-" if value is None else value
    return rows


def field_on_slice(model: SdfModel, *, height: float, points: int = _SLICE_POINTS) -> np.ndarray:
    """Return the distance on the plane z = height of the box, (points, points): rows along y, columns along x."""
    like = home_of(model.network)
    axis = torch.linspace(-BOX_HALF_SIDE, BOX_HALF_SIDE, points, dtype=like.dtype)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    coords = torch.stack([x, y, torch.full_like(x, height)], dim=-1).reshape(-1, 3)
    with torch.no_grad():
        pieces = [model.field(piece.to(like.device)).cpu() for piece in coords.split(_CHUNK_POINTS)]
    values: np.ndarray = torch.cat(pieces).reshape(points, points).double().numpy()
    return values


def cut_by_plane(mesh: Mesh, *, height: float) -> np.ndarray:
    """Return where a mesh meets the plane z = height, as line segments (n, 2, 2) of x and y.

    A corner on the plane counts as above it, so that neighboring faces agree and no segment is drawn twice.
    """
    corners = mesh.triangles
    above = corners[:, :, 2] >= height
    crossing = corners[above.any(axis=1) & ~above.all(axis=1)]
    above = crossing[:, :, 2] >= height
    # Two of the three edges cross: those at the corner that is alone on its side.
    alone = np.where(above.sum(axis=1) == 1, above.argmax(axis=1), (~above).argmax(axis=1))
    rows = np.arange(len(crossing))
    apex = crossing[rows, alone]
    ends = []
    for step in (1, 2):
        other = crossing[rows, (alone + step) % 3]
        share = (height - apex[:, 2]) / (other[:, 2] - apex[:, 2])
        ends.append(apex[:, :2] + share[:, None] * (other - apex)[:, :2])
    return np.stack(ends, axis=1)


def _plots(
    model: SdfModel, mesh: Mesh | None, reference: Shape | None, lines: Sequence[Mapping[str, float]]
) -> list[tuple[str, str | bytes]]:
    height = _slice_height(reference if reference is not None else mesh)
    segments = cut_by_plane(reference, height=height) if isinstance(reference, Mesh) else None
    caption = f"distance on the plane z = {height:.3g} of the box; bold: the fitted surface"
    caption += "; orange: the reference" if segments is not None else ""
    plots: list[tuple[str, str | bytes]] = [
        (caption, figure_bytes(_draw_slice(field_on_slice(model, height=height), segments), dpi=130))
    ]
    if any(line.get("loss") is not None for line in lines):
        figure = log_figure(lines, ("loss", "learning_rate"))
        plots.append(("training", figure_bytes(figure, kind="svg", dpi=130).decode()))
    return plots


def _slice_height(shape: Shape | None) -> float:
    """Return z of the slice: the middle of the shape, which need not be that of the box: a flat one may lie aside."""
    if shape is None or not len(shape.faces if isinstance(shape, Mesh) else shape.points):
        return 0.0
    return float(np.clip(shape.bounds[:, 2].mean(), -BOX_HALF_SIDE, BOX_HALF_SIDE))


def _draw_slice(values: np.ndarray, segments: np.ndarray | None) -> Any:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    figure, ((axes,),) = subplots(figsize=(6, 5.1))
    axis = np.linspace(-BOX_HALF_SIDE, BOX_HALF_SIDE, values.shape[0])
    shown = np.ma.masked_invalid(values)
    top = float(np.abs(shown).max()) if shown.count() else 0.0
    top = top or 1.0
    filled = axes.contourf(axis, axis, shown, levels=np.linspace(-top, top, 41), cmap="RdBu")
    if shown.count() and shown.min() < 0 < shown.max():
        axes.contour(axis, axis, shown, levels=[0.0], colors="black", linewidths=1.8)
    if segments is not None:
        axes.add_collection(LineCollection(list(segments), colors="#ff9f1c", linewidths=0.9))
    axes.set(aspect="equal", xlabel="x", ylabel="y", xlim=(axis[0], axis[-1]), ylim=(axis[0], axis[-1]))
    figure.colorbar(filled, ax=axes, fraction=0.045, pad=0.02, label="distance (box units)", ticks=MaxNLocator(8))
    return figure
