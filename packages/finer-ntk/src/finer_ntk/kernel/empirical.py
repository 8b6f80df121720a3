"""`empirical_ntk`: the kernel of any network, in blocks, by the cheapest path, into memory or into a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.errors import InputError
from finer_core.resources import parse_memory
from finer_ntk.kernel.jacobian import contract, jacobian_rows, pull_back, push_forward
from finer_ntk.kernel.linear_layers import Factors, factor_kernel, find_linear_maps, layer_factors
from finer_ntk.kernel.plan import Output, Path, Plan, Problem, as_output, plan_kernel
from finer_ntk.kernel.row_function import (
    Call,
    Params,
    RowFunction,
    Rule,
    as_row_function,
    as_rule,
    left_is_exact,
    right_is_exact,
)

OnProgress = Callable[[int, int], None]
"""Called with blocks done and blocks in all."""


def empirical_ntk(
    model: nn.Module | Call,
    params: Params | None,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    output: Output = "trace",
    rule: Rule = "published",
    path: Path | None = None,
    batch_size: int | None = None,
    memory: str = "4GB",
    out: np.ndarray | None = None,
    on_progress: OnProgress | None = None,
) -> Tensor | np.ndarray:
    """Compute the empirical neural tangent kernel of a network.

    Formula: K(x, x') = sum over all parameters of df(x)/dp df(x')/dp (Jacot et al., NeurIPS 2018); real and imaginary
    part of a complex parameter count as two.

    Args:
        model: A module, or a callable of parameters and coords; output row i depends on coordinate row i only.
        params: The parameters to differentiate at; None takes a module's own.
        x1: (n1, in_features).
        x2: (n2, in_features); None is `x1`.
        output: "trace" sums over output channels, "per_channel" keeps them apart, "full" pairs them.
        rule: Which derivative FINER's factor gets; see `Rule`.
        path: "layers", "jacobian" or "products"; None takes the cheapest that fits.
        batch_size: Points a block; None for as many as `memory` allows.
        memory: What the computation may take, the result included unless `out` is given.
        out: Array that receives the result, e.g. a memory-mapped file.
        on_progress: Told after every block.

    Returns:
        (n1, n2), (n1, n2, c) or (n1, n2, c, c): a tensor of the parameters' type, or `out`. Not differentiable.

    Raises:
        InputError: If no path fits into `memory`, or a parameter is not finite.
        ValueError: If an argument is none of the choices, or the model's output is not (n, c).
    """
    as_output(output)
    as_rule(rule)
    function = as_row_function(model, params)
    plan, problem = plan_for(
        function,
        x1,
        x2,
        output=output,
        rule=rule,
        path=path,
        batch_size=batch_size,
        memory=parse_memory(memory),
        in_memory=out is None,
    )
    shape = result_shape(problem)
    if out is not None and out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, the kernel {shape}")
    target: Tensor | np.ndarray = torch.empty(shape, dtype=function.dtype, device=x1.device) if out is None else out
    write_kernel(target, function, x1, x2, plan=plan, problem=problem, rule=rule, on_progress=on_progress)
    return target


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
    rule: Rule,
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
        symmetric=x2 is None and rule != "training",
    )
    left = memory - (problem.result_bytes if in_memory else 0)
    if left <= 0:
        raise InputError(
            f"the kernel of {problem.n1} x {problem.n2} points takes {problem.result_bytes / 1e9:.1f} GB, "
            f"{memory / 1e9:.1f} GB are allowed; raise --memory, take fewer points, or write it to a file"
        )
    return plan_kernel(problem, memory=left, path=path, rows=batch_size), problem


@dataclass(frozen=True, kw_only=True)
class _Block:
    rows: slice
    columns: slice


def write_kernel(
    target: Tensor | np.ndarray,
    function: RowFunction,
    x1: Tensor,
    x2: Tensor | None,
    *,
    plan: Plan,
    problem: Problem,
    rule: Rule,
    on_progress: OnProgress | None = None,
    first_block_row: int = 0,
    on_block_row: Callable[[int], None] = lambda done: None,
) -> None:
    """Fill `target` block by block, rows of blocks from top to bottom.

    Args:
        target: A tensor or an array of the result's shape.
        function: The function.
        x1: (n1, in_features).
        x2: (n2, in_features), or None for `x1`.
        plan: How.
        problem: Its sizes.
        rule: Which derivative.
        on_progress: Told after every block.
        first_block_row: Rows of blocks that are already there.
        on_block_row: Told how many rows of blocks are there.
    """
    right = x1 if x2 is None else x2
    starts = range(0, problem.n1, plan.rows)
    blocks = [_row_of_blocks(start, plan.rows, problem) for start in starts]
    done, total = sum(len(row) for row in blocks[:first_block_row]), sum(len(row) for row in blocks)
    side = _SIDES[plan.path]
    for number, row in enumerate(blocks[first_block_row:], start=first_block_row):
        one = side.prepare(function, x1[row[0].rows], exact=left_is_exact(rule))
        for block in row:
            same = problem.symmetric and block.rows == block.columns
            two = one if same else side.prepare(function, right[block.columns], exact=right_is_exact(rule))
            found = side.combine(function, one, two, output=problem.output, rule=rule)
            _store(target, found, block, mirror=problem.symmetric and not same, output=problem.output)
            done += 1
            if on_progress:
                on_progress(done, total)
        on_block_row(number + 1)


def _row_of_blocks(start: int, rows: int, problem: Problem) -> list[_Block]:
    """Return the blocks right of and on the diagonal where the kernel is symmetric, else all of a row."""
    of_rows = slice(start, min(start + rows, problem.n1))
    columns = range(start if problem.symmetric else 0, problem.n2, rows)
    return [_Block(rows=of_rows, columns=slice(j, min(j + rows, problem.n2))) for j in columns]


def _store(target: Tensor | np.ndarray, found: Tensor, block: _Block, *, mirror: bool, output: str) -> None:
    flipped = found.transpose(0, 1)
    if output == "full":
        flipped = flipped.transpose(2, 3)
    if isinstance(target, Tensor):
        target[block.rows, block.columns] = found
        if mirror:
            target[block.columns, block.rows] = flipped
        return
    target[block.rows, block.columns] = found.cpu().numpy()
    if mirror:
        target[block.columns, block.rows] = flipped.cpu().numpy()


class _Layers:
    @staticmethod
    def prepare(function: RowFunction, coords: Tensor, *, exact: bool) -> list[Factors]:
        return layer_factors(function, coords, exact=exact)

    @staticmethod
    def combine(function: RowFunction, one: list[Factors], two: list[Factors], *, output: str, rule: Rule) -> Tensor:
        return factor_kernel(one, two, output=output)


class _Jacobian:
    @staticmethod
    def prepare(function: RowFunction, coords: Tensor, *, exact: bool) -> Tensor:
        return jacobian_rows(function, coords, exact=exact)

    @staticmethod
    def combine(function: RowFunction, one: Tensor, two: Tensor, *, output: str, rule: Rule) -> Tensor:
        return contract(one, two, output=output)


class _Products:
    """Columns of the full kernel, each the product with a unit vector; the slowest, and the one that always fits."""

    @staticmethod
    def prepare(function: RowFunction, coords: Tensor, *, exact: bool) -> Tensor:
        return coords

    @staticmethod
    def combine(function: RowFunction, one: Tensor, two: Tensor, *, output: str, rule: Rule) -> Tensor:
        columns = list(_columns(function, one, two, rule=rule))
        full = torch.stack(columns, dim=1)  # (n1, n2, c, c)
        if output == "full":
            return full
        per_channel = full.diagonal(dim1=2, dim2=3)
        return per_channel.sum(-1) if output == "trace" else per_channel


def _columns(function: RowFunction, one: Tensor, two: Tensor, *, rule: Rule) -> Iterator[Tensor]:
    for row in two.split(1):
        out = function(function.params, row, exact=False)
        parts = []
        for unit in torch.eye(out.shape[1], dtype=out.dtype, device=out.device):
            gradient = pull_back(function, row, unit[None], exact=right_is_exact(rule))
            parts.append(push_forward(function, one, gradient, exact=left_is_exact(rule)))
        yield torch.stack(parts, dim=-1)


_SIDES: dict[Path, Any] = {
    "layers": _Layers,
    "jacobian": _Jacobian,
    "products": _Products,
}
