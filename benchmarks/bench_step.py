"""Full-batch FINER step at 512x512, 3 x 256, float32: time, memory and gradients against plain eager PyTorch.

    python benchmarks/bench_step.py [--size 512] [--rounds 5] [--json] [--no-unfused]

"ours" is what every fit runs, "unfused" without its kernels in C, and "floor" nothing but the step's
matrix products and one sine and one cosine a unit. They run in alternation, each in a process of its own so that the
peak memory is its own. Prints the medians of their times and of the ratios within a round, each peak memory, and the
largest relative difference (in norm) of a parameter's gradient.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from skimage import data
from torch import nn

from eager import EagerFiner, full_batch_step
from finer_core import NetworkConfig, build_network
from finer_core.activations import fuse_activations
from finer_core.c_library import allow_building
from finer_core.coords import grid_coords
from finer_core.resources import peak_memory_mb
from finer_image.io.image import Image
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.plan import chunk_pixels
from floor import floor_of


def worker(kind: str, size: int, rounds: int, out: Path) -> None:
    """Run one implementation on request (a line on stdin), report seconds a step on stdout, then save gradients."""
    if kind == "floor":
        answer(floor_of(size, 256), rounds)
        return
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

    fuse_activations(kind == "ours")
    answer(step, rounds)
    torch.save([p.grad for p in network.parameters()], out)
    print(peak_memory_mb(), flush=True)


def answer(step: Callable[[], object], rounds: int) -> None:
    """Do a step for each line on stdin, and answer with its seconds."""
    for _ in range(rounds):
        sys.stdin.readline()
        started = time.perf_counter()
        step()
        print(time.perf_counter() - started, flush=True)


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--unfused", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--worker", choices=("floor", "eager", "ours", "unfused"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.size, arguments.rounds, arguments.out)
        return
    kinds = ("floor", "eager", "ours", *(["unfused"] if arguments.unfused else []))
    with tempfile.TemporaryDirectory() as folder:
        result = compare(kinds, arguments.size, arguments.rounds, Path(folder))
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
    memory = {kind: float(process.stdout.readline()) for kind, process in processes.items() if kind != "floor"}
    for process in processes.values():
        process.communicate()
    grads = {kind: torch.load(folder / kind, weights_only=True) for kind in memory}
    result: dict[str, float] = {}
    for kind in kinds:
        timed = seconds[kind][1:]  # the first round warms up allocators, caches and compilers
        result[f"{kind}_seconds"] = statistics.median(timed)
        if kind == "floor":
            continue
        result[f"{kind}_over_floor"] = statistics.median(
            a / b for a, b in zip(timed, seconds["floor"][1:], strict=True)
        )
        result[f"{kind}_peak_mb"] = memory[kind]
        if kind != "eager":
            pairs = zip(seconds["eager"][1:], timed, strict=True)
            result[f"{kind}_times_faster"] = statistics.median(a / b for a, b in pairs)
            both = zip(grads["eager"], grads[kind], strict=True)
            result[f"{kind}_gradient_difference"] = max(float((a - b).norm() / a.norm()) for a, b in both)
    return result


if __name__ == "__main__":
    main()
