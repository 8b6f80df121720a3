"""`empirical_ntk`: the kernel of any network, in blocks, by the cheapest path, into memory or into a file."""

from collections.abc import Callable
from typing import Any, Protocol, overload

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import as_array, without_autocast
from finer_core.errors import InputError
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import parse_memory
from finer_core.schema import check, plain
from finer_ntk.kernel.cost_model import Output, Path, Plan, Problem, as_output, plan_kernel
from finer_ntk.kernel.functional_model import (
    Call,
    Derivative,
    Params,
    RowFunction,
    as_coords,
    as_derivative,
    as_row_function,
    left_is_exact,
    right_is_exact,
)
from finer_ntk.kernel.layerwise import find_linear_maps
from finer_ntk.kernel.paths import COMBINE, PREPARE

OnProgress = Callable[[int, int], None]
"""Called with blocks done and blocks in all."""


@overload
def empirical_ntk(
    model: nn.Module | Call,
    x1: Tensor,
    x2: Tensor | np.ndarray | None = None,
    *,
    params: Params | None = None,
    output: Output = "trace",
    derivative: Derivative = "published",
    path: Path | None = None,
    batch_size: int | None = None,
    memory: str | int = "4GB",
    out: None = None,
    progress: ProgressOption = False,
) -> Tensor: ...


@overload
def empirical_ntk(
    model: nn.Module | Call,
    x1: np.ndarray,
    x2: Tensor | np.ndarray | None = None,
    *,
    params: Params | None = None,
    output: Output = "trace",
    derivative: Derivative = "published",
    path: Path | None = None,
    batch_size: int | None = None,
    memory: str | int = "4GB",
    out: None = None,
    progress: ProgressOption = False,
) -> np.ndarray: ...


@overload
def empirical_ntk(
    model: nn.Module | Call,
    x1: Tensor | np.ndarray,
    x2: Tensor | np.ndarray | None = None,
    *,
    params: Params | None = None,
    output: Output = "trace",
    derivative: Derivative = "published",
    path: Path | None = None,
    batch_size: int | None = None,
    memory: str | int = "4GB",
    out: np.ndarray,
    progress: ProgressOption = False,
) -> np.ndarray: ...


@torch.inference_mode(False)
@without_autocast()
def empirical_ntk(
    model: nn.Module | Call,
    x1: Tensor | np.ndarray | None,
    x2: Tensor | np.ndarray | None = None,
    *,
    params: Params | None = None,
    output: Output = "trace",
    derivative: Derivative = "published",
    path: Path | None = None,
    batch_size: int | None = None,
    memory: str | int = "4GB",
    out: np.ndarray | None = None,
    progress: ProgressOption = False,
) -> Tensor | np.ndarray:
    """Compute the empirical neural tangent kernel of a network.

    Formula: K(x, x') = sum over all parameters of df(x)/dp df(x')/dp (Jacot et al., NeurIPS 2018); real and imaginary
    part of a complex parameter count as two.

    Args:
        model: A module, or a callable of parameters and coords; output row i depends on coordinate row i only.
        x1: (n1, in_features), a tensor or an array, in the model's coordinates; brought to its parameters' type. None
            is `x2`.
        x2: (n2, in_features); None is `x1`.
        params: The parameters to differentiate at; None takes a module's own.
        output: "trace" sums over output channels, "per_channel" keeps them apart, "full" pairs them.
        derivative: Which derivative FINER's factor gets: "published" holds it constant, "exact" differentiates it,
            "training" has the exact one on the left only: how outputs move in training with the published gradient.
        path: "layers", "jacobian" or "products"; None takes the cheapest that fits.
        batch_size: Points a block; None for as many as `memory` allows.
        memory: What the computation may take, the result included unless `out` is given.
        out: Array or memory-mapped file that receives the result.
        progress: False, True for a bar on stderr, or a function of (blocks done, blocks in all, {}).

    Returns:
        (n1, n2), (n1, n2, c) or (n1, n2, c, c), of the parameters' real type: a tensor of a tensor, an array of an
        array, or `out`. Not differentiable.

    Raises:
        InputError: If no path fits into `memory`, a parameter or a coordinate is not finite, the module has no such
            parameters, or its outputs depend on other points or on chance, or `out` is of integers.
        ValueError: If an argument is none of the choices, or the model's output is not (n, c).

    Example:
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import empirical_ntk, line_grid
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> kernel = empirical_ntk(build_network(config), line_grid(32).coords)
        >>> kernel.shape, bool((kernel == kernel.T).all())
        (torch.Size([32, 32]), True)
    """
    as_output(output)
    as_derivative(derivative)
    if path is not None:
        check(path, Path, name="path")
    if out is not None and not isinstance(out, np.ndarray):
        raise InputError(f"out must be an array, or one mapped to a file, got {type(out).__name__}")
    if out is not None and out.dtype.kind not in "fc":
        raise InputError(f"out has values of {out.dtype}, and a kernel needs floating-point ones; make it of float32")
    if out is not None and not out.flags.writeable:
        raise InputError("out must not be written to; give an array of its own, or a file mapped with mode r+ or w+")
    if x1 is None:
        if x2 is None:
            raise InputError("a kernel needs points: x1 and x2 are both None")
        x1, x2 = x2, None
    function = as_row_function(model, params)
    left, right = as_coords(x1, function), None if x2 is None else as_coords(x2, function)
    if right is not None:
        function.channels(right)  # refuses coordinates of a type that the model does not take
    plan, problem = plan_for(
        function,
        left,
        right,
        output=output,
        derivative=derivative,
        path=path,
        batch_size=batch_size,
        memory=parse_memory(memory),
        in_memory=out is None,
    )
    shape = result_shape(problem)
    if out is not None and out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, the kernel {shape}")
    target: Tensor | np.ndarray = torch.empty(shape, dtype=function.dtype, device=left.device) if out is None else out
    with reporting("kernel", unit="block", progress=progress) as tell:
        write_kernel(target, function, left, right, plan=plan, problem=problem, derivative=derivative, on_progress=tell)
    return target if isinstance(x1, Tensor) or isinstance(target, np.ndarray) else as_array(target)


def result_shape(problem: Problem) -> tuple[int, ...]:
    """Return the shape of the kernel."""
    c = problem.channels
    return problem.n1, problem.n2, *{"trace": (), "per_channel": (c,), "full": (c, c)}[problem.output]


def plan_for(
    function: RowFunction,
    x1: Tensor,
    x2: Tensor | None,
    *,
    output: Output,
    derivative: Derivative,
    path: Path | None,
    batch_size: int | None,
    memory: int,
    in_memory: bool,
) -> tuple[Plan, Problem]:
    """Return how a kernel would be computed; see `empirical_ntk`."""
    if x1.ndim != 2 or (x2 is not None and (x2.ndim != 2 or x2.shape[1] != x1.shape[1])):
        raise ValueError(
            f"expected points (n, in_features), got {tuple(x1.shape)} and {None if x2 is None else tuple(x2.shape)}"
        )
    check(plain(batch_size), int | None, name="batch_size")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    channels = function.channels(x1)
    problem = Problem(
        n1=len(x1),
        n2=len(x1 if x2 is None else x2),
        channels=channels,
        parameters=function.count,
        maps=find_linear_maps(function, x1) if path in (None, "layers") else "not asked for",
        itemsize=function.dtype.itemsize,
        output=output,
        symmetric=x2 is None and derivative != "training",
    )
    left = memory - (problem.result_bytes if in_memory else 0)
    if left <= 0:
        raise InputError(
            f"the kernel of {problem.n1} x {problem.n2} points takes {problem.result_bytes / 1e9:.1f} GB, "
            f"{memory / 1e9:.1f} GB are allowed; raise --memory, take fewer points, or write it to a file"
        )
    return plan_kernel(problem, memory=left, path=path, rows=batch_size), problem


class Blocks(Protocol):
    """Take values block by block, as a tensor or an array does."""

    def __setitem__(self, block: Any, values: Any, /) -> None:
        """Store values (rows, columns, ...), of a tensor where this is one, else of an array."""
        ...


def write_kernel(
    target: Blocks,
    function: RowFunction,
    x1: Tensor,
    x2: Tensor | None,
    *,
    plan: Plan,
    problem: Problem,
    derivative: Derivative,
    on_progress: OnProgress | None = None,
    first_block_row: int = 0,
    on_block_row: Callable[[int], None] = lambda done: None,
) -> None:
    """Fill `target` block by block, rows of blocks from top to bottom.

    Args:
        target: A tensor, an array or what else takes blocks of the result's shape.
        function: The function.
        x1: (n1, in_features).
        x2: (n2, in_features), or None for `x1`.
        plan: How.
        problem: Its sizes.
        derivative: Which derivative.
        on_progress: Told after every block.
        first_block_row: Rows of blocks that are already there.
        on_block_row: Told how many rows of blocks are there.
    """
    right = x1 if x2 is None else x2
    starts = range(0, problem.n1, plan.rows)
    blocks = [_row_of_blocks(start, plan.rows, problem) for start in starts]
    done, total = sum(len(row) for row in blocks[:first_block_row]), sum(len(row) for row in blocks)
    prepare, combine = PREPARE[plan.path], COMBINE[plan.path]
    for number, row in enumerate(blocks[first_block_row:], start=first_block_row):
        one = prepare(function, x1[row[0][0]], exact=left_is_exact(derivative))
        for rows, columns in row:
            same = problem.symmetric and rows == columns
            two = one if same else prepare(function, right[columns], exact=right_is_exact(derivative))
            found = combine(function, one, two, output=problem.output, derivative=derivative)
            _store(target, found, rows, columns, mirror=problem.symmetric and not same, output=problem.output)
            done += 1
            if on_progress:
                on_progress(done, total)
        on_block_row(number + 1)


def _row_of_blocks(start: int, rows: int, problem: Problem) -> list[tuple[slice, slice]]:
    """Return rows and columns of the blocks from the diagonal on where the kernel is symmetric, else of a whole row."""
    of_rows = slice(start, min(start + rows, problem.n1))
    columns = range(start if problem.symmetric else 0, problem.n2, rows)
    return [(of_rows, slice(j, min(j + rows, problem.n2))) for j in columns]


def _store(target: Blocks, found: Tensor, rows: slice, columns: slice, *, mirror: bool, output: str) -> None:
    target[rows, columns] = found if isinstance(target, Tensor) else as_array(found)
    if mirror:
        flipped = found.transpose(0, 1)
        flipped = flipped.transpose(2, 3) if output == "full" else flipped
        target[columns, rows] = flipped if isinstance(target, Tensor) else as_array(flipped)
