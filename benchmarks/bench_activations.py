"""Each activation, forward and backward, against its formula in eager PyTorch: time, and numbers kept in between.

    python benchmarks/bench_activations.py [--rows 65536] [--width 256] [--rounds 5] [--no-fused] [--json]

Eager is the formula as anyone would write it, differentiated by autograd, the FINER factor detached. Ours is the
function of `finer_core.activations`, alone (any derivative may follow) and inside `first_order_only`, as every
fit calls it. They run in alternation in one process; the ratio is the median over rounds. --no-fused leaves out the
kernels in C.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from finer_core import activations
from finer_core.activations import first_order_only, fuse_activations
from finer_core.c_library import allow_building

Function = Callable[[Tensor], Tensor]


def held(z: Tensor) -> Tensor:
    """Return |z| + 1 as a constant, part by part where z is complex."""
    with torch.no_grad():
        return torch.complex(z.real.abs() + 1, z.imag.abs() + 1) if z.is_complex() else z.abs() + 1


def phase(z: Tensor, omega: float) -> Tensor:
    factor = held(z)
    if z.is_complex():
        return omega * torch.complex(factor.real * z.real, factor.imag * z.imag)
    return omega * factor * z


def gabor(z: Tensor, *, omega: float, scale: float) -> Tensor:
    return torch.exp(1j * omega * z - (scale * z).abs().square())


EAGER: dict[str, Function] = {
    "sine": lambda z: torch.sin(30 * z),
    "finer": lambda z: torch.sin(phase(z, 30)),
    "gauss": lambda z: torch.exp(-((30 * z) ** 2)),
    "gauss_finer": lambda z: torch.exp(-((3 * torch.sin(phase(z, 10))) ** 2)),
    "real_wire": lambda z: torch.cos(20 * z) * torch.exp(-((10 * z) ** 2)),
    "real_wire_finer": lambda z: (lambda u: torch.cos(4 * u) * torch.exp(-((2 * u) ** 2)))(torch.sin(phase(z, 5))),
    "wire": lambda z: gabor(z, omega=20, scale=10),
    "wire_finer": lambda z: gabor(torch.sin(phase(z, 5)), omega=4, scale=2),
}
OURS: dict[str, Function] = {name: getattr(activations, name) for name in EAGER}


def seconds_and_kept(function: Function, z: Tensor, grad: Tensor) -> tuple[float, int, Tensor]:
    """Return the time of one forward and backward pass, the tensors of z's size kept in between, and the gradient."""
    kept: set[int] = set()

    def pack(tensor: Tensor) -> Tensor:
        if tensor.numel() == z.numel():
            kept.add(tensor.data_ptr())
        return tensor

    x = z.detach().requires_grad_(True)
    started = time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = function(x)
    out.backward(grad)
    return time.perf_counter() - started, len(kept), x.grad


def compare(name: str, *, rows: int, width: int, rounds: int) -> dict[str, float | str]:
    """Return one activation's row of the table."""
    generator = torch.Generator().manual_seed(0)
    is_complex = name in ("wire", "wire_finer")
    dtype = torch.complex64 if is_complex else torch.float32
    z = torch.randn(rows, width, dtype=dtype, generator=generator) * 0.1
    grad = torch.randn(rows, width, dtype=dtype, generator=generator)

    def promised(x: Tensor) -> Tensor:
        with first_order_only():
            return OURS[name](x)

    kinds = {"eager": EAGER[name], "ours": OURS[name], "in a fit": promised}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    kept, grads = {}, {}
    for _ in range(rounds + 1):
        for kind, function in kinds.items():
            seconds, kept[kind], grads[kind] = seconds_and_kept(function, z, grad)
            times[kind].append(seconds)
    row: dict[str, float | str] = {"activation": name, "eager_seconds": statistics.median(times["eager"][1:])}
    for kind in ("ours", "in a fit"):
        label = kind.replace(" ", "_")
        pairs = zip(times["eager"][1:], times[kind][1:], strict=True)
        row[f"{label}_times_faster"] = statistics.median(a / b for a, b in pairs)
        row[f"{label}_kept"] = kept[kind]
        row[f"{label}_difference"] = float((grads[kind] - grads["eager"]).norm() / grads["eager"].norm())
    row["eager_kept"] = kept["eager"]
    return row


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    fuse_activations(arguments.fused)
    sizes = {"rows": arguments.rows, "width": arguments.width, "rounds": arguments.rounds}
    rows = [compare(name, **sizes) for name in EAGER]
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
