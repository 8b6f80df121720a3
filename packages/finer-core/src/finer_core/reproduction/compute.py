"""Compute a cell, in one way wherever it runs."""

from importlib import import_module

from finer_core.c_library import allow_building
from finer_core.errors import DivergenceError, InputError
from finer_core.reproduction.cell import Cell, Outcome
from finer_core.reproduction.record import Record, record_of

Computed = tuple[Record | str, bytes | None]
"""A record and its picture, or why the cell could not be run."""


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

    from finer_core.parallel import threads_an_operation  # which loads PyTorch

    if building:
        allow_building()
    module, _, name = compute.partition(":")
    with threads_an_operation(threads), torch.random.fork_rng(devices=[]):
        try:
            outcome: Outcome = getattr(import_module(module), name)(cell)
        except DivergenceError as error:
            return record_of(cell, error, threads=threads), None
        except InputError as error:
            return str(error), None
    if outcome.sha256 != cell.input.sha256:
        return f"{cell.input.source}: is not what it was when the run began, or other than on the first machine", None
    return record_of(cell, outcome, threads=threads), outcome.picture
