"""Full-batch FINER step at 512x512, 3 x 256, float32: time, memory and gradients against plain eager PyTorch.

    python benchmarks/bench_step.py [--size 512] [--rounds 5] [--json] [--no-fused]

"ours" runs unfused, "fused" with compiled activations (needs a C++ compiler). They run in alternation, each in a
process of its own so that the peak memory is its own. Prints the ratio of the median times, each peak memory, the
largest relative difference (in norm) of a parameter's gradient, and the floor: the same matrix products and one sine
and one cosine a unit, timed alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from skimage import data
from torch import nn

from eager import EagerFiner, full_batch_step
from finer_core import NetworkConfig, build_network
from finer_core.activations import fuse_activations
from finer_core.coords import grid_coords
from finer_core.resources import peak_memory_mb
from finer_image.objective import ImageObjective, PixelTarget
from finer_image.pixels import Image
from finer_image.plan import chunk_pixels


def worker(kind: str, size: int, rounds: int, out: Path) -> None:
    """Run one implementation on request (a line on stdin), report seconds a step on stdout, then save gradients."""
    torch.manual_seed(0)
    eager = EagerFiner(in_features=2, out_features=3, hidden_features=256, hidden_layers=3)
    whole = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float()
    pixels = (
        nn.functional.interpolate(whole, size=(size, size), mode="area")[0].permute(1, 2, 0).round().byte().contiguous()
    )
    if kind == "eager":
        coords, target = grid_coords(size, size), pixels.reshape(-1, 3) / 255 * 2 - 1
        network, step = eager, lambda: full_batch_step(eager, coords, target)
    else:
        config = NetworkConfig(method="finer", in_features=2, out_features=3)
        network = build_network(config)
        network.load_state_dict(dict(zip(network.state_dict(), eager.state_dict().values(), strict=True)))
        image = Image.from_pixels(pixels.numpy())
        objective = ImageObjective(
            PixelTarget(image.pixels, value_range=(0, 255), target_range=(-1, 1)),
            sampler=None,
            chunk_pixels=chunk_pixels(config, memory=4 * 10**9, image=image, device="cpu"),
        )

        def step() -> torch.Tensor:
            network.zero_grad(set_to_none=True)
            return objective.backward(network, 0)

    if kind == "fused":
        fuse_activations(True)
    for _ in range(rounds):
        sys.stdin.readline()
        started = time.perf_counter()
        step()
        print(time.perf_counter() - started, flush=True)
    torch.save([p.grad for p in network.parameters()], out)
    print(peak_memory_mb(), flush=True)


def floor(size: int) -> float:
    """Return the seconds of the matrix products and of one sine and one cosine a unit, in pieces that stay in cache."""
    n, width = 2048, 256
    h, g, w = torch.randn(n, width), torch.randn(n, width), torch.randn(width, width)
    thin, narrow = torch.randn(n, 3), torch.randn(3, width)
    out, square = torch.empty(n, width), torch.empty(width, width)
    started = time.perf_counter()
    for _ in range(size * size // n):
        for _ in range(3):
            torch.mm(h, w.t(), out=out)
            torch.mm(g, w, out=out)
            torch.mm(g.t(), h, out=square)
        h @ narrow.t(), thin @ narrow, thin.t() @ h, thin @ narrow, g.t() @ thin
        for _ in range(4):
            torch.sin(h, out=out)
            torch.cos(h, out=out)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--worker", choices=("eager", "ours", "fused"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.size, arguments.rounds, arguments.out)
        return
    kinds = ("eager", "ours", "fused") if arguments.fused and fuse_activations(True) else ("eager", "ours")
    fuse_activations(False)
    with tempfile.TemporaryDirectory() as folder:
        result = compare(kinds, arguments.size, arguments.rounds, Path(folder))
    result["floor_seconds"] = min(floor(arguments.size) for _ in range(3))
    for kind in kinds[1:]:
        result[f"{kind}_over_floor"] = result[f"{kind}_seconds"] / result["floor_seconds"]
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<34}{value:.4g}")


def compare(kinds: Sequence[str], size: int, rounds: int, folder: Path) -> dict[str, float]:
    """Run the workers in alternation and compare what they report."""
    command = [sys.executable, __file__, "--size", str(size), "--rounds", str(rounds + 1)]
    processes = {
        kind: subprocess.Popen(
            [*command, "--worker", kind, "--out", str(folder / kind)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in kinds
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds + 1):
        for kind, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            seconds[kind].append(float(process.stdout.readline()))
    memory = {kind: float(process.stdout.readline()) for kind, process in processes.items()}
    for process in processes.values():
        process.communicate()
    grads = {kind: torch.load(folder / kind, weights_only=True) for kind in kinds}
    result: dict[str, float] = {}
    for kind in kinds:
        timed = seconds[kind][1:]  # the first round warms up allocators, caches and compilers
        result[f"{kind}_seconds"] = statistics.median(timed)
        result[f"{kind}_peak_mb"] = memory[kind]
        if kind != "eager":
            pairs = zip(seconds["eager"][1:], timed, strict=True)
            result[f"{kind}_times_faster"] = statistics.median(a / b for a, b in pairs)
            both = zip(grads["eager"], grads[kind], strict=True)
            result[f"{kind}_gradient_difference"] = max(float((a - b).norm() / a.norm()) for a, b in both)
    return result


if __name__ == "__main__":
    main()
