"""The kernel of 1024 points: the structured path against contracted Jacobians and against neural-tangents.

    python benchmarks/bench_ntk.py [--skip nt2] [--json]
    python benchmarks/bench_ntk.py --top 64 --points 16384      eigenpairs of a kernel that is never formed

One process, 1024 points on [0, 1), FINER 1 -> 256 x 4 -> 1 (three hidden-to-hidden layers), single precision, two
threads. jacrev: torch.func's `vmap(jacrev)` a parameter and a product, as PyTorch's tutorial on tangent kernels has it.
nt1, nt2, nt3: neural-tangents' implementations, compiled; nt2 is the published notebook's, nt3 its fastest, warm. They
need the environment of the extra (`./dev -e jax run python benchmarks/bench_ntk.py`) and are left out elsewhere. Peak
memory is that of a process which does nothing but ours.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, jacrev, vmap

from finer_core import build_network
from finer_core.c_library import allow_building
from finer_core.errors import InputError
from finer_core.networks import Network
from finer_core.networks.build import published_config
from finer_core.resources import peak_memory_mb
from finer_ntk.kernel import empirical_ntk, ntk_operator
from finer_ntk.spectrum import top_eigenpairs

JACREV_ROWS = 128


def build(*, points: int, in_features: int = 1, out_features: int = 1, hidden_layers: int = 3) -> Network:
    """Return the network, drawn from seed 0."""
    config = published_config(
        method="finer", task="image", in_features=in_features, out_features=out_features, hidden_layers=hidden_layers
    )
    return build_network(config, generator=torch.Generator().manual_seed(0))


def by_jacrev(network: Network, x: torch.Tensor) -> torch.Tensor:
    """Return the kernel by whole Jacobians, a block of rows at a time."""
    params = {name: value.detach() for name, value in network.named_parameters()}

    def one(params: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        return functional_call(network, params, (row[None],))[0]

    parts = [vmap(jacrev(one), (None, 0))(params, rows) for rows in x.split(JACREV_ROWS)]
    kernel = torch.zeros(len(x), len(x))
    for name in params:
        flat = torch.cat([part[name].flatten(1) for part in parts])
        kernel += flat @ flat.T
    return kernel


def by_neural_tangents(network: Network, x: torch.Tensor, implementation: int) -> Callable[[], Any] | None:
    """Return a call that computes the kernel, warm for the third implementation; None where it is absent."""
    from finer_ntk.neural_tangents import load_neural_tangents
    from finer_ntk.neural_tangents.kernel import compiled_kernel

    try:
        jax, _ = load_neural_tangents()
    except InputError as error:
        print(f"nt{implementation}: {error}", file=sys.stderr)
        return None
    function, params = compiled_kernel(network, output="trace", derivative="published", implementation=implementation)
    points = jax.numpy.asarray(x.numpy())

    def call() -> np.ndarray:
        return np.asarray(jax.block_until_ready(function(points, points, params)))

    if implementation == 3:
        call()
    return call


def seconds(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the median time and the last result."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every way and return seconds, ratios to ours, and the largest difference over the largest entry."""
    x = torch.arange(arguments.points)[:, None] / arguments.points
    network = build(points=arguments.points)
    calls: dict[str, tuple[Callable[[], Any] | None, int]] = {
        "ours": (lambda: empirical_ntk(network, x), 9),
        "jacrev": (lambda: by_jacrev(network, x), 3),
    }
    for implementation, rounds in ((3, 9), (1, 1), (2, 1)):
        name = f"nt{implementation}"
        if name not in arguments.skip:
            calls[name] = (by_neural_tangents(network, x, implementation), rounds)
    seconds(calls["ours"][0], 2)  # type: ignore[arg-type]
    ours = np.asarray(empirical_ntk(network, x))
    found: dict[str, Any] = {}
    for name, (call, rounds) in calls.items():
        if call is None or name in arguments.skip:
            continue
        taken, kernel = seconds(call, rounds)
        found[name] = {
            "seconds": taken,
            "ratio": taken / found["ours"]["seconds"] if found else 1.0,
            "difference": float(np.abs(np.asarray(kernel) - ours).max() / np.abs(ours).max()),
        }
        print(name, found[name], file=sys.stderr, flush=True)
    child = [sys.executable, __file__, "--memory-only", "--points", str(arguments.points)]
    found["peak_memory_mb"] = float(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    return found


def eigenpairs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take the top eigenpairs of a 3 x 256 image network on a square grid of points, from products alone."""
    side = round(arguments.points**0.5)
    axis = torch.linspace(-1, 1, side)
    x = torch.cartesian_prod(axis, axis)
    network = build(points=len(x), in_features=2, out_features=3, hidden_layers=arguments.hidden_layers)
    start = time.perf_counter()
    operator = ntk_operator(network, x, memory="1GB")
    pairs = top_eigenpairs(operator, count=arguments.top)
    return {
        "points": len(x),
        "seconds": time.perf_counter() - start,
        "largest_residual": float(pairs.residuals.max()),
        "largest": float(pairs.values[0]),
        "smallest": float(pairs.values[-1]),
        "peak_memory_mb": peak_memory_mb(),
    }


def main() -> None:
    """Parse, measure, print."""
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--skip", nargs="*", default=[], choices=("jacrev", "nt1", "nt2", "nt3"))
    parser.add_argument("--top", type=int, help="eigenpairs instead")
    parser.add_argument("--hidden-layers", type=int, default=2, help="of the eigenpairs' network")
    parser.add_argument("--memory-only", action="store_true", help="compute once, print the peak memory")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.memory_only:
        empirical_ntk(build(points=arguments.points), torch.arange(arguments.points)[:, None] / arguments.points)
        print(peak_memory_mb())
        return
    found = eigenpairs(arguments) if arguments.top else compare(arguments)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<16}{value}")


if __name__ == "__main__":
    main()
