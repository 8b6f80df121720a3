"""A step of finer-sdf's paper preset, sampling included, against plain eager PyTorch.

    python benchmarks/bench_sdf_step.py [SHAPE] [--steps 15] [--rounds 3] [--json]

Plain eager: draw 10,000 points, ask a k-d tree (SciPy's; and pykdtree's, the faster one) for three neighbors, then
forward, backward, clipping and Adam, one after the other. Ours is what `finer-sdf fit --preset paper` runs. The three
alternate in one process, so that all see the same machine. Prints the median of each and the ratios.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from pykdtree.kdtree import KDTree
from scipy.spatial import cKDTree
from torch import nn

from eager import EagerFiner
from finer_core.c_library import allow_building
from finer_core.training.own_code import network_of
from finer_sdf.config import SdfConfig
from finer_sdf.inputs import read_input
from finer_sdf.training.build import build_fit, build_sampler, cloud_of
from finer_sdf.training.plan import chunk_points, plan_fit


def eager_step(points: np.ndarray, normals: np.ndarray, tree: object) -> Callable[[], None]:
    """Return a step of the published protocol as anyone would write it."""
    network = EagerFiner(in_features=3, out_features=1, hidden_features=256, hidden_layers=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, amsgrad=True)
    random = np.random.RandomState(0)

    def step() -> None:
        at = points[random.randint(0, len(points), 10_000)]
        at[::2] += random.laplace(scale=0.1, size=(5000, 3))
        at[1::2] += random.laplace(scale=0.001, size=(5000, 3))
        at[at > 0.5] -= 1
        at[at < -0.5] += 1
        _, index = tree.query(at, k=3)
        sdf = ((at - points[index[:, 0]]) * normals[index].mean(axis=1)).sum(axis=1, keepdims=True)
        error = (network(torch.from_numpy(at).float()) - torch.from_numpy(sdf).float()) ** 2
        optimizer.zero_grad()
        (error[1::2].sum() + 0.01 * error[::2].sum()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def our_steps(shape: str | None, *, most: int) -> tuple[Callable[[int], None], np.ndarray, np.ndarray]:
    """Return a function that runs some steps of the paper preset, and the cloud it samples."""
    loaded = read_input(shape)
    plan = plan_fit(SdfConfig(preset="paper", steps=most), loaded.shape)
    boxed = plan.frame.shape_to_box(loaded.shape)
    cloud = cloud_of(boxed, points=plan.settings.cloud_points or 0, seed=0)
    network = network_of(plan)
    fit = build_fit(plan, network, build_sampler(plan, boxed), chunk=chunk_points(plan, loaded.shape))
    done = 0

    def run(steps: int) -> None:
        nonlocal done
        for step in range(done, done + steps):
            fit.update(step)
        done += steps

    return run, cloud.points, cloud.normals


def main() -> None:
    """Time all three in turns and print the ratios."""
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", nargs="?", help="mesh or point cloud (default: the built-in shape)")
    parser.add_argument("--steps", type=int, default=15, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    run, points, normals = our_steps(arguments.shape, most=arguments.steps * (arguments.rounds + 1))
    steps = {
        "eager, SciPy's tree": eager_step(points, normals, cKDTree(points)),
        "eager, pykdtree": eager_step(points, normals, KDTree(points)),
    }
    runners: dict[str, Callable[[], None]] = {
        name: lambda step=step: [step() for _ in range(arguments.steps)] and None for name, step in steps.items()
    }
    runners["ours"] = lambda: run(arguments.steps)
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(arguments.rounds + 1):
        for name, runner in runners.items():
            started = time.perf_counter()
            runner()
            if turn:  # the first warms up
                seconds[name].append((time.perf_counter() - started) / arguments.steps)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {name: median[name] / median["ours"] for name in steps}
    if arguments.json:
        print(json.dumps({"seconds_a_step": median, "ratio": ratios}))
        return
    for name, value in median.items():
        ratio = f"{ratios[name]:.2f} x ours" if name in ratios else ""
        print(f"{name:<22}{1e3 * value:8.1f} ms a step  {ratio}")


if __name__ == "__main__":
    main()
