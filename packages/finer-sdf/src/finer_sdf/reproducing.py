"""Run published tables of surfaces again, and compare."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finer_core.errors import DivergenceError, InputError
from finer_core.io.figures import side_by_side
from finer_core.reproduction import Cell, Input, Outcome, Reproduction, Study, Table, files_of_inputs
from finer_core.reproduction import reproduce as run_study
from finer_core.reproduction.table import name_in
from finer_sdf.config import BUILT_IN
from finer_sdf.published_tables import RESOLUTION, TABLES

_SAMPLES = 300_000
"""Surface samples a side at the published resolution; at others as many times fewer, and at least 2000."""
_PICTURE = 256
"""Side of a picture in pixels."""
_ERROR = 0.01
"""Distance in box units at which a picture's colors end: one for all methods, which are to be compared."""


def reproduce(
    table: str, inputs: Sequence[str | os.PathLike[str]] = (), *, size: int | None = None, **options: Any
) -> Reproduction:
    """Run a published table of surfaces with its exact settings, or scaled, and compare; as `finer-sdf reproduce` does.

    Args:
        table: Its name; `finer-sdf reproduce --list` describes all.
        inputs: Files, or folders of files, whose names have the table's shapes in them ("armadillo.obj"); others are
            fitted too and compared with nothing. None for the built-in shape.
        size: Grid points per axis of the mesh that is judged, with as many times fewer samples; the same holds.
        **options: As `finer_core.reproduction.reproduce` takes them: preset, limit, steps, methods, seeds, out,
            workers, scheduler, threads, run, progress.

    Returns:
        The comparison: `rows` for `pandas.DataFrame`, `records`, and `render("md")`, "csv", "json", "tex" or "html".

    Raises:
        InputError: For an unknown table, row or input, or a setting that cannot be used, before the first fit.

    Example:
        >>> import finer_sdf
        >>> found = finer_sdf.reproduce("sasnet-sdf", methods=["SASNet"])  # which nothing here can run
        >>> row = found.rows[0]
        >>> row["input"], row["published"], row["verdict"]
        ('armadillo', 3.368e-06, 'not run (a method that these packages do not have)')
    """
    return run_study(STUDY, table, inputs, size=size, **options)


def find_inputs(table: Table, paths: Sequence[str]) -> list[Input]:
    """Return the shapes that are fitted: files, those of folders that the table names, or the built-in one.

    Raises:
        InputError: If a path is no shape, or a folder has none that the table names.
    """
    files = files_of_inputs(table, paths, _named, what="shapes")
    return [_input(table, path) for path in files] or [_built_in()]


def _named(folder: Path, name: str) -> Path | None:
    """Return the file of a shape: of those with its name in theirs the one with the shortest."""
    from finer_sdf.formats import SUFFIXES

    there = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and name_in(file.stem, [name])]
    return min(there, default=None, key=lambda file: (len(file.name), file.name))


def _input(table: Table, path: Path) -> Input:
    name = name_in(path.stem, table.inputs) or path.stem
    other = "" if path.stem.lower() == name else f"{path.name} is not the scan as it came"
    return Input(name=name, source=str(path), sha256=_loaded(str(path)).sha256, other=other)


def _built_in() -> Input:
    return Input(name=BUILT_IN, source=BUILT_IN, sha256=_loaded(BUILT_IN).sha256)


def _loaded(source: str) -> Any:
    from finer_sdf.inputs import as_shape

    return as_shape(source)


def compute_cell(cell: Cell) -> Outcome:
    """Fit a method to a shape and judge it.

    Raises:
        InputError: If the shape cannot be read, or the size is none that a mesh can have.
        DivergenceError: If the fit diverged for good, or has no surface in its box.
        KeyboardInterrupt: If it was interrupted.
    """
    from finer_sdf.evaluation.surface_metrics import evaluate
    from finer_sdf.meshing.extract import check_resolution
    from finer_sdf.training.fit import fit

    resolution = cell.size or RESOLUTION
    check_resolution(resolution)
    shape = _loaded(cell.input.source)
    model, history = fit(shape, **{**cell.settings, "method": cell.method, "seed": cell.seed})
    if history.interrupted:
        raise KeyboardInterrupt
    samples = max(2000, min(_SAMPLES, _SAMPLES * resolution // RESOLUTION))
    try:
        figures = evaluate(model, shape, resolution=resolution, samples=samples, seed=cell.seed)
    except InputError as error:  # with these settings and this seed, so it is a result
        raise DivergenceError(f"no surface: {error}") from error
    return Outcome.of_fit(
        model,
        history,
        metrics={name: value for name, value in figures.items() if value is None or isinstance(value, float)},
        facts={"samples": samples, "resolution": resolution},
        sha256=shape.sha256,
        picture=_picture(model, shape.shape),
    )


def _picture(model: Any, reference: Any) -> bytes:
    """Return a PNG: the reference, what was fitted, and that colored by its distance from the reference."""
    from finer_sdf.geometry import Mesh
    from finer_sdf.geometry.mesh_distance import MeshDistance
    from finer_sdf.rendering.images import paint
    from finer_sdf.rendering.raycast import raycast_field, raycast_mesh

    seen = raycast_field(model, height=_PICTURE, width=_PICTURE, supersample=1)
    panels = [paint(seen)]
    if isinstance(reference, Mesh):
        truth = paint(raycast_mesh(reference, height=_PICTURE, width=_PICTURE))
        panels = [truth, *panels, paint(seen, "error", reference=MeshDistance(reference), largest_error=_ERROR)]
    return side_by_side([panel / 255 for panel in panels])


STUDY = Study(
    application="finer-sdf",
    tables=TABLES,
    compute="finer_sdf.reproducing:compute_cell",
    find_inputs=find_inputs,
    pictures=(
        "Left to right: the reference, the fitted surface, and the latter colored by its distance from the reference. "
        "Of a point cloud the fitted surface alone."
    ),
)
