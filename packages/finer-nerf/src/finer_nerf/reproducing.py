"""Run published tables of radiance fields again, and compare."""

import os
from collections.abc import Sequence
from typing import Any

from finer_core.errors import InputError
from finer_core.io.figures import side_by_side
from finer_core.reproduction import Cell, Input, Outcome, Reproduction, Study, Table
from finer_core.reproduction import reproduce as run_study
from finer_core.reproduction.table import name_in
from finer_nerf.config import BUILT_IN, NerfConfig, scene_name
from finer_nerf.published_tables import TABLES


def reproduce(
    table: str, inputs: Sequence[str | os.PathLike[str]] = (), *, size: int | None = None, **options: Any
) -> Reproduction:
    """Run a published table of radiance fields with its exact settings, or scaled, and compare.

    `finer-nerf reproduce` does the same.

    Args:
        table: Its name; `finer-nerf reproduce --list` describes all.
        inputs: Scenes, whose names have the table's scenes in them ("lego"); others are trained on too and compared
            with nothing. None for the built-in scene.
        size: Height in pixels that pictures are reduced to, a divisor of their own; the same holds.
        **options: As `finer_core.reproduction.reproduce` takes them: preset, limit, steps, methods, seeds, out,
            workers, scheduler, threads, run, progress.

    Returns:
        The comparison: `rows` for `pandas.DataFrame`, `records`, and `render("md")`, "csv", "json", "tex" or "html".

    Raises:
        InputError: For an unknown table, row or input, or a setting that cannot be used, before the first training.

    Example:
        >>> import finer_nerf
        >>> found = finer_nerf.reproduce("finer-nerf", methods=["SL2A"])  # which nothing here can run
        >>> row = found.rows[0]
        >>> row["input"], row["published"], row["verdict"]
        ('chair', 34.7, 'not run (a method that these packages do not have)')
    """
    return run_study(STUDY, table, inputs, size=size, **options)


def find_inputs(table: Table, paths: Sequence[str]) -> list[Input]:
    """Return the scenes that are trained on: folders or files, or the built-in one.

    Raises:
        InputError: If a path is no scene.
    """
    found = []
    for source in paths or [BUILT_IN]:
        stem = scene_name(source)
        found.append(Input(name=name_in(stem, table.inputs) or stem, source=source, sha256=_digest(source)))
    return found


def _digest(source: str) -> str:
    from finer_nerf.inputs import input_digest

    return input_digest(source)


def compute_cell(cell: Cell) -> Outcome:
    """Train a method on a scene and judge it by the scene's test views.

    Raises:
        InputError: If the scene cannot be read, or reduced to the size.
        DivergenceError: If the training diverged for good.
        KeyboardInterrupt: If it was interrupted.
    """
    from finer_nerf.evaluation import evaluate
    from finer_nerf.inputs import judged_views, open_scene
    from finer_nerf.training.fit import fit

    digest = _digest(cell.input.source)
    reading: dict[str, Any] = {} if cell.size is None else {"downscale": _downscale(cell.input.source, cell.size)}
    scene, _ = open_scene(cell.input.source, NerfConfig(preset=cell.settings["preset"], **reading))
    model, history = fit(scene, **{**cell.settings, "method": cell.method, "seed": cell.seed})
    if history.interrupted:
        raise KeyboardInterrupt
    views = judged_views(scene)
    figures = evaluate(model, views)
    return Outcome.of_fit(
        model,
        history,
        columns=("step", "loss", "psnr"),
        metrics={name: figures[name] for name in ("psnr", "ssim", "lpips")},
        facts={
            "height": views.height,
            "width": views.width,
            "train_views": len(scene.train),
            "test_views": len(views),
        },
        sha256=digest,
        picture=_picture(model, views),
    )


def _downscale(source: str, size: int) -> int:
    from finer_nerf.inputs import measure_input

    _, height = measure_input(source)
    factor, rest = divmod(height, size)
    if rest or not factor:
        raise InputError(f"--size {size}: the pictures of {source} are {height} high; give a divisor of that")
    return factor


def _picture(model: Any, views: Any) -> bytes:
    """Return a PNG of the first view: the original, what is rendered, and five times the error, side by side."""
    from finer_nerf.evaluation import judge_views

    judged = next(iter(judge_views(model, views.take([0]), background=model.background)))
    return side_by_side([judged.truth, judged.view.color, judged.error * 5])


STUDY = Study(
    application="finer-nerf",
    tables=TABLES,
    compute="finer_nerf.reproducing:compute_cell",
    find_inputs=find_inputs,
    pictures="Left to right: the first test view, what is rendered of it, five times the error.",
)
