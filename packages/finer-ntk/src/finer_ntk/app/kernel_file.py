"""A kernel on disk: assembled block by block into a memory-mapped .npy file, and gone on with after an interruption."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from finer_core.app.run_folder import RunFolder
from finer_core.distributed.interruption import interruptible
from finer_core.errors import InputError, Interrupted
from finer_core.io.files import small_file, write_json
from finer_core.progress import reporting
from finer_core.resources import parse_memory
from finer_core.schema import fits
from finer_ntk.app.arrays import mapped_array
from finer_ntk.app.runs import working_memory
from finer_ntk.config import KernelSettings
from finer_ntk.inputs.networks import Subject
from finer_ntk.inputs.points import Points
from finer_ntk.kernel.cost_model import as_output
from finer_ntk.kernel.empirical import plan_for, result_shape, write_kernel
from finer_ntk.kernel.functional_model import as_derivative, as_row_function

KERNEL = "kernel.npy"
_DISK_MARGIN = 1.05
_MOST_STATE_BYTES = 1 << 16


def check_disk(folder: Path, needed: int) -> None:
    """Raise InputError if a folder's disk has no room for that many bytes."""
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(nearest).free
    if needed * _DISK_MARGIN > free:
        raise InputError(
            f"the kernel takes {needed / 1e9:.1f} GB, {nearest} has {free / 1e9:.1f} GB free; take fewer points "
            "(--grid, --max-points), or `spectrum --top`, which never forms it"
        )


def assemble(
    run: RunFolder, subject: Subject, settings: KernelSettings, *, against: Points | None, quiet: bool
) -> tuple[np.ndarray, str, float]:
    """Compute the kernel into the run folder, going on where an earlier process stopped.

    What is known of the work so far stays in the folder `checkpoint`, which the caller removes.

    Returns:
        The kernel, mapped from `kernel.npy`, the path that computed it, and the seconds of earlier processes.

    Raises:
        InputError: If neither memory nor disk suffices.
        Interrupted: When asked to stop; rows of blocks that are there are kept.
    """
    function = as_row_function(subject.network)
    x2 = None if against is None else against.coords.to(subject.coords)
    plan, problem = plan_for(
        function,
        subject.coords,
        x2,
        output=as_output(settings.output),
        derivative=as_derivative(settings.derivative),
        path=None,
        batch_size=settings.batch_size,
        memory=parse_memory(working_memory(settings.memory)),
        in_memory=False,
    )
    final, partial, state = run.path / KERNEL, run.checkpoint.parent / KERNEL, run.checkpoint.parent / "kernel.json"
    shape, dtype = result_shape(problem), subject.coords.cpu().numpy().dtype
    if final.is_file():
        kept = _mapped(final)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            raise InputError(f"{final}: not this run's kernel, {dtype} {shape}; remove it, or use --overwrite")
        return kept, plan.path, _work_left(state)[1]
    rows_in_all = -(-problem.n1 // plan.rows)
    done, seconds = _work_left(state, rows=plan.rows) if _fits(partial, shape=shape, dtype=dtype) else (0, 0.0)
    done, started = min(rows_in_all, done), time.monotonic()
    if not done:
        check_disk(run.path, problem.result_bytes)
        partial.parent.mkdir(exist_ok=True)
        state.unlink(missing_ok=True)  # it speaks of another file
        np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
    with interruptible() as should_stop, reporting("kernel", unit="block", progress=not quiet) as tell:

        def on_block_row(number: int) -> None:
            with partial.open("r+b") as written:
                os.fsync(written.fileno())
            spent = round(1000 * (seconds + time.monotonic() - started))
            write_json(state, {"rows": plan.rows, "done": number, "milliseconds": spent})
            if should_stop():
                raise Interrupted(number)

        write_kernel(
            _Stored(partial),
            function,
            subject.coords,
            x2,
            plan=plan,
            problem=problem,
            derivative=as_derivative(settings.derivative),
            on_progress=tell,
            first_block_row=done,
            on_block_row=on_block_row,
        )
    partial.replace(final)
    return np.load(final, mmap_mode="r"), plan.path, seconds


class _Stored:
    """Store blocks in a .npy file, mapped for each anew: what is mapped and was written counts as memory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __setitem__(self, block: tuple[slice, slice], values: np.ndarray) -> None:
        np.lib.format.open_memmap(self._path, mode="r+")[block] = values


def _mapped(path: Path) -> np.ndarray | None:
    """Return the array of a .npy file without reading it; None where it is none, or cut short."""
    try:
        return mapped_array(path)
    except InputError:
        return None


def _fits(partial: Path, *, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether an earlier process left the file of such a kernel."""
    kept = _mapped(partial)
    return kept is not None and kept.shape == shape and kept.dtype == dtype


def _work_left(state: Path, *, rows: int | None = None) -> tuple[int, float]:
    """Return how many rows of blocks earlier processes left, cut as `rows` says if it does, and in how many seconds."""
    try:
        left = json.loads(small_file(state, most=_MOST_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return 0, 0.0
    if not fits(left, Mapping[str, int]) or rows not in (None, left.get("rows")):
        return 0, 0.0
    return max(0, left.get("done", 0)), max(0, left.get("milliseconds", 0)) / 1000
