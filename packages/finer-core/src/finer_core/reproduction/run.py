"""Run cells one after the other, or hand them to Dask; a cell is computed in one way wherever it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from finer_core.c_library import allow_building, building_is_allowed
from finer_core.errors import DivergenceError, InputError
from finer_core.progress import ProgressOption, reporting
from finer_core.reproduction.cell import Cell, Outcome
from finer_core.reproduction.folder import ResultsFolder
from finer_core.reproduction.record import Record, record_of

Computed = tuple[Record | str, bytes | None]
"""A record and its picture, or why the cell could not be run."""


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
    results: Iterator[tuple[Cell, Computed]]
    if workers or scheduler:
        from finer_core.reproduction.by_dask import computed_by_dask

        results = computed_by_dask(cells, compute, workers=workers, scheduler=scheduler, threads=threads, extra=extra)
    else:
        building = building_is_allowed()
        results = ((cell, computed(cell, compute, threads=threads, building=building)) for cell in cells)
    failures: dict[str, str] = {}
    with reporting("reproduce", unit="cell", progress=progress) as tell:
        tell(0, len(cells), f"{cells[0].row}, {cells[0].input.name}")
        for done, (cell, (result, picture)) in enumerate(results, start=1):
            name = f"{cell.row}, {cell.input.name}, seed {cell.seed}"
            if isinstance(result, str):
                failures[cell.digest] = f"{name}: {result}"
            else:
                folder.add(result, picture)
            tell(done, len(cells), name)
    return failures


def computed(cell: Cell, compute: str, *, threads: int, building: bool) -> Computed:
    """Compute one cell in this process and thread; return its record, or why there is none.

    The number of threads is part of the computation, because sums are split by it, and so are the C kernels: both are
    the same in every process of a run.

    Args:
        cell: The cell.
        compute: "module:function" of a cell.
        threads: Of PyTorch's operations.
        building: Whether a C compiler may be started for kernels that are not there yet.
    """
    import torch

    if building:
        allow_building()
    module, _, name = compute.partition(":")
    with _threads(threads), torch.random.fork_rng(devices=[]):
        try:
            outcome: Outcome = getattr(import_module(module), name)(cell)
        except DivergenceError as error:
            return record_of(cell, error, threads=threads), None
        except InputError as error:
            return str(error), None
    if outcome.sha256 != cell.input.sha256:
        return f"{cell.input.source}: is not what it was when the run began, or other than on the first machine", None
    return record_of(cell, outcome, threads=threads), outcome.picture


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
