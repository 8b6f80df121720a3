"""Run cells one after the other, or hand them to Dask."""

import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from finer_core.distributed.sharing import Sharing, found_from_anywhere, shared_results
from finer_core.errors import DivergenceError, error_of_one_fit
from finer_core.progress import ProgressOption, reporting
from finer_core.reproduction.cell import Cell, Outcome
from finer_core.reproduction.folder import ResultsFolder
from finer_core.reproduction.record import Record, record_of

Computed = tuple[Record | str, bytes | None]
"""A record and its picture, or why the cell could not be run."""


def run_cells(
    cells: Sequence[Cell], compute: str, *, folder: ResultsFolder, sharing: Sharing, progress: ProgressOption
) -> dict[str, str]:
    """Compute cells and put each record into the folder as soon as it is there.

    Args:
        cells: Different ones.
        compute: "module:function" of a cell.
        folder: Takes the records.
        sharing: Who computes.
        progress: See `ProgressOption`.

    Returns:
        Why cells could not be run, by digest.

    Raises:
        InputError: If Dask is not installed, or there is no scheduler at the address.
        CollectiveError: If the scheduler is gone, or a cell's workers die again and again.
    """
    function = partial(_computed, compute)
    advice = "start the command again: what is finished is kept"
    if sharing.is_on:
        sent = [
            replace(each, input=replace(each.input, source=found_from_anywhere(each.input.source))) for each in cells
        ]
        results = shared_results(function, sent, sharing=sharing, name_of=_name_of, advice=advice)
    else:
        results = _results_here(function, cells, sharing)
    failures: dict[str, str] = {}
    with reporting("reproduce", unit="cell", progress=progress) as tell:
        tell(0, len(cells), f"{cells[0].row}, {cells[0].input.name}")
        for done, (place, (result, picture)) in enumerate(results, start=1):
            name = _name_of(cells[place])
            if isinstance(result, str):
                failures[cells[place].digest] = f"{name}: {result}"
            else:
                folder.add(result, picture)
            tell(done, len(cells), name)
    return failures


def _name_of(cell: Cell) -> str:
    return f"{cell.row}, {cell.input.name}, seed {cell.seed}"


def _results_here(
    function: partial[Computed], cells: Sequence[Cell], sharing: Sharing
) -> Iterator[tuple[int, Computed]]:
    import torch

    for place, cell in enumerate(cells):
        with sharing.threads_here(), torch.random.fork_rng(devices=[]):
            result = function(cell)
        yield place, result


def _computed(compute: str, cell: Cell) -> Computed:
    """Compute one cell in this process and thread; return its record, or why there is none."""
    try:
        outcome: Outcome = pkgutil.resolve_name(compute)(cell)
    except DivergenceError as error:
        return record_of(cell, error), None
    except Exception as error:
        return str(error_of_one_fit(error)), None
    if outcome.sha256 != cell.input.sha256:
        return f"{cell.input.source}: is not what it was when the run began, or other than on the first machine", None
    return record_of(cell, outcome), outcome.picture
