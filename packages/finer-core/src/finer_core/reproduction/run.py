"""Run cells one after the other, or hand them to Dask."""

from collections.abc import Iterator, Sequence
from functools import partial

from finer_core.c_library import building_is_allowed
from finer_core.progress import ProgressOption, reporting
from finer_core.reproduction.cell import Cell
from finer_core.reproduction.compute import Computed, computed
from finer_core.reproduction.folder import ResultsFolder


def run_cells(
    cells: Sequence[Cell],
    compute: str,
    *,
    folder: ResultsFolder,
    workers: int,
    scheduler: str | None,
    threads: int,
    progress: ProgressOption,
    extra: str,
) -> dict[str, str]:
    """Compute cells and put each record into the folder as soon as it is there.

    Args:
        cells: Different ones.
        compute: "module:function" of a cell.
        folder: Takes the records.
        workers: Local processes; 0 for none.
        scheduler: Address of a Dask scheduler; None for none.
        threads: Of every fit.
        progress: See `ProgressOption`.
        extra: What Dask is installed by, for the message.

    Returns:
        Why cells could not be run, by digest.

    Raises:
        InputError: If Dask is not installed, or there is no scheduler at the address.
    """
    function = partial(computed, compute=compute, threads=threads, building=building_is_allowed())
    results: Iterator[tuple[Cell, Computed]]
    if workers or scheduler:
        from finer_core.distributed.by_dask import shared_by_dask

        by_digest = {cell.digest: cell for cell in cells}
        shared = shared_by_dask(
            function, by_digest, workers=workers, scheduler=scheduler, extra=extra, name_of=_name_of
        )
        results = ((by_digest[digest], result) for digest, result in shared)
    else:
        results = ((cell, function(cell)) for cell in cells)
    failures: dict[str, str] = {}
    with reporting("reproduce", unit="cell", progress=progress) as tell:
        tell(0, len(cells), f"{cells[0].row}, {cells[0].input.name}")
        for done, (cell, (result, picture)) in enumerate(results, start=1):
            name = _name_of(cell)
            if isinstance(result, str):
                failures[cell.digest] = f"{name}: {result}"
            else:
                folder.add(result, picture)
            tell(done, len(cells), name)
    return failures


def _name_of(cell: Cell) -> str:
    return f"{cell.row}, {cell.input.name}, seed {cell.seed}"
