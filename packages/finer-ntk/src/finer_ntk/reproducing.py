"""Compute published kernel figures again, and compare."""

import io
import time
from collections.abc import Sequence
from typing import Any

from finer_core.errors import InputError
from finer_core.reproduction import Cell, Input, Outcome, Reproduction, Study, Table
from finer_core.reproduction import reproduce as run_study
from finer_ntk.published_tables import LINE, POINTS, TABLES

_CLIFF = 1.2e-7
"""Share of the largest eigenvalue below which single precision says nothing."""
_MOST_POINTS = 4096
_PICTURE = 256


def reproduce(figure: str, *, size: int | None = None, **options: Any) -> Reproduction:
    """Compute a published kernel figure and compare; as `finer-ntk reproduce` does.

    Args:
        figure: Its name; `finer-ntk reproduce --list` describes all.
        preset: "paper" draws networks as the published notebook does, "fast" as finer-core does.
        size: Points on [0, 1) in place of the published; the figure is then labeled as scaled, and compared with
            nothing.
        **options: As `finer_core.reproduction.reproduce` takes them: preset, limit, methods, seeds, out,
            workers, scheduler, threads, run, progress.

    Returns:
        The comparison: `rows` for `pandas.DataFrame`, `records`, and `render("md")`, "csv", "json", "tex" or "html".

    Raises:
        InputError: For an unknown figure or row, or a setting that cannot be used, before the first kernel.

    Example:
        >>> import finer_ntk
        >>> found = finer_ntk.reproduce("finer-kernels", methods=["FINER, k 1"], size=32)
        >>> found.rows[0]["published"], found.rows[0]["verdict"]
        (12.7, 'not comparable (scaled: size 32 of 1024)')
    """
    return run_study(STUDY, figure, size=size, **options)


def find_inputs(table: Table, paths: Sequence[str]) -> list[Input]:
    """Return the figure's points.

    Raises:
        InputError: If a path is given: there is nothing to read.
    """
    if paths:
        raise InputError(f"{paths[0]}: figure {table.name!r} takes no inputs; its points are made")
    return [Input(name=LINE, source=LINE, sha256="")]


def compute_cell(cell: Cell) -> Outcome:
    """Draw a network and compute its kernel.

    Raises:
        InputError: If there are too many points, or the notebook has no such network.
    """
    import numpy as np

    from finer_core.networks.base import parameter_count
    from finer_ntk.config import SubjectSettings
    from finer_ntk.inputs.networks import subject_at_start
    from finer_ntk.inputs.points import grid_points
    from finer_ntk.kernel import empirical_ntk
    from finer_ntk.spectrum import all_eigenpairs, diagonal_energy, effective_rank

    points = cell.size or POINTS
    if points > _MOST_POINTS:
        raise InputError(f"--size {points}: all eigenvalues are computed, of at most {_MOST_POINTS} points")
    started = time.monotonic()
    settings = SubjectSettings(**{**cell.settings, "method": cell.method, "seed": cell.seed})
    subject = subject_at_start(settings, points=grid_points(str(points)))
    kernel = empirical_ntk(subject.network, subject.coords).cpu().numpy()
    values = all_eigenpairs(kernel).values
    return Outcome(
        metrics={
            "ln_top_eigenvalue": float(np.log(values[0])),
            "large_eigenvalues": float((values > _CLIFF * values[0]).sum()),
            "max_entry": float(kernel.max()),
            "min_entry": float(kernel.min()),
            "mean_diagonal": float(np.diagonal(kernel).mean()),
            "diagonal_energy": diagonal_energy(kernel),
            "effective_rank": effective_rank(values),
        },
        facts={"points": points},
        curve={
            "step": list(range(1, points + 1)),
            "ln_eigenvalue": np.log(np.maximum(values, values[0] * 1e-12)).tolist(),
        },
        seconds=time.monotonic() - started,
        sha256="",
        parameters=parameter_count(subject.network),
        picture=_picture(kernel),
    )


def _picture(kernel: Any) -> bytes:
    """Return a PNG of the kernel, black at 0 or below and white at its largest entry."""
    import numpy as np
    from matplotlib import image

    every = max(1, len(kernel) // _PICTURE)
    file = io.BytesIO()
    image.imsave(file, np.maximum(kernel[::every, ::every], 0), cmap="viridis", format="png")
    return file.getvalue()


STUDY = Study(
    application="finer-ntk",
    tables=TABLES,
    compute="finer_ntk.reproducing:compute_cell",
    find_inputs=find_inputs,
    lengths=(),
    pictures="The kernel between all pairs of points, from dark, 0 or less, to light, its largest entry.",
)
