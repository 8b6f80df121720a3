"""Choose how a kernel is computed, and in blocks of how many rows, from what each way costs in time and memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from finer_core.errors import InputError
from finer_core.schema import check
from finer_ntk.kernel.layerwise import LinearMap

Output = Literal["trace", "per_channel", "full"]
Path = Literal["layers", "jacobian", "products"]
PATHS: tuple[Path, ...] = ("layers", "jacobian", "products")

_PRODUCT_PENALTY = 6.0
"""Automatic differentiation of a whole pass against a matrix product of the same count of operations, measured."""
_LIVE_COPIES = 4
"""Tensors of a layer's width alive during a pass: input, pre-activation, signal, and one in work."""


def as_output(name: str) -> Output:
    """Return an output mode by name; raise InputError for an unknown one."""
    check(name, Output, name="output")
    return cast(Output, name)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Hold the sizes that a choice depends on.

    Attributes:
        n1: Rows of the kernel.
        n2: Columns.
        channels: Outputs of the function.
        parameters: Real parameters.
        maps: The linear maps that hold them, or why there are none.
        itemsize: Bytes of a real number.
        output: What is asked for.
        symmetric: Whether both sides are the same points under the same derivative.
    """

    n1: int
    n2: int
    channels: int
    parameters: int
    maps: Sequence[LinearMap] | str
    itemsize: int
    output: Output
    symmetric: bool

    @property
    def entries_per_pair(self) -> int:
        """Return the numbers that one pair of points takes in the result."""
        return {"trace": 1, "per_channel": self.channels, "full": self.channels**2}[self.output]

    @property
    def result_bytes(self) -> int:
        """Return the size of the whole result."""
        return self.n1 * self.n2 * self.entries_per_pair * self.itemsize


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Say how a kernel is computed.

    Attributes:
        path: "layers", "jacobian" or "products".
        rows: Points a block, on both sides.
        working_bytes: Memory beside the result.
        operations: Multiplications, roughly.
    """

    path: Path
    rows: int
    working_bytes: int
    operations: float


def plan_kernel(problem: Problem, *, memory: int, path: Path | None = None, rows: int | None = None) -> Plan:
    """Choose the cheapest path that stays within `memory`, or plan the one asked for.

    Args:
        problem: The sizes.
        memory: Bytes for the work, without the result.
        path: A path to take whatever it costs; None to choose.
        rows: Points a block; None for as many as fit.

    Raises:
        InputError: If nothing fits, or the asked path cannot be taken.
    """
    if path == "layers" and isinstance(problem.maps, str):
        raise InputError(f"the structured path does not apply: {problem.maps}")
    candidates = [path] if path else [name for name in PATHS if name != "layers" or not isinstance(problem.maps, str)]
    plans = [_plan(name, problem, memory=memory, rows=rows) for name in candidates]
    fitting = [plan for plan in plans if plan.working_bytes <= memory]
    if not fitting:
        least = min(plans, key=lambda plan: plan.working_bytes)
        raise InputError(
            f"a kernel of {problem.n1} x {problem.n2} points and {problem.parameters} parameters needs at least "
            f"{least.working_bytes / 1e6:.0f} MB to work in, {memory / 1e6:.0f} MB are allowed; raise --memory"
        )
    return min(fitting, key=lambda plan: plan.operations)


def _plan(path: Path, problem: Problem, *, memory: int, rows: int | None) -> Plan:
    most = max(problem.n1, problem.n2)
    count = min(most, rows or _rows_that_fit(path, problem, memory=memory))
    return Plan(
        path=path,
        rows=count,
        working_bytes=_bytes(path, problem, count),
        operations=_operations(path, problem, count),
    )


def _rows_that_fit(path: Path, problem: Problem, *, memory: int) -> int:
    """Return the largest block within `memory`, at least 1, found by bisection because the cost only grows."""
    low, high = 1, max(problem.n1, problem.n2)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _bytes(path, problem, middle) <= memory else (low, middle - 1)
    return low


def _bytes(path: Path, problem: Problem, rows: int) -> int:
    sides = 1 if problem.symmetric and rows >= problem.n1 else 2
    pair = 3 * rows * rows * problem.entries_per_pair
    if path == "layers":
        assert not isinstance(problem.maps, str)
        widths = sum(map_.fan_in + (problem.channels + _LIVE_COPIES) * map_.fan_out for map_ in problem.maps)
        return 2 * problem.itemsize * (sides * rows * widths + pair)  # 2: complex parts, or what the allocator keeps
    if path == "jacobian":
        return problem.itemsize * (int((sides + 1) * rows * problem.channels * problem.parameters) + pair)
    # products: columns one by one; a few copies of the parameters, and a pass over the rows whose graph is kept
    width = math.isqrt(problem.parameters) + 1
    return problem.itemsize * (6 * problem.parameters + 16 * _LIVE_COPIES * rows * width)


def _operations(path: Path, problem: Problem, rows: int) -> float:
    pairs = problem.n1 * problem.n2 / (2 if problem.symmetric and rows < problem.n1 else 1)
    passes = 6.0 * problem.parameters * problem.channels  # forward and backward at one row
    blocks = math.ceil(problem.n1 / rows)
    repeated = problem.n1 + problem.n2 * (1 if blocks == 1 else blocks)  # rows that are passed through, in all
    if path == "layers":
        assert not isinstance(problem.maps, str)
        channels = {"trace": problem.channels, "per_channel": problem.channels, "full": problem.channels**2}
        grams = sum(map_.fan_in + channels[problem.output] * map_.fan_out for map_ in problem.maps)
        return pairs * grams + repeated * passes
    if path == "jacobian":
        return pairs * problem.parameters * problem.entries_per_pair**0.5 * problem.channels + 4 * repeated * passes
    return _PRODUCT_PENALTY * problem.n2 * problem.channels * (problem.n1 * 2.0 * problem.parameters)
