"""The cost of a full-batch step as images and networks grow, over the floor of its own matrix products and sines.

    python benchmarks/bench_scaling.py [--sides 64 128 ... 2048] [--widths 64 128 ... 1024] [--json]

Sides vary at width 256, widths at 256x256 pixels; three hidden layers, FINER, float32. `floor` times the
step's matrix products and one sine and one cosine a unit by themselves, in pieces that stay in the cache, on as many
threads. The two are timed in turns, at least three times and for ten seconds, and the best of each is taken: another
machine's load comes and goes within seconds.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence

import numpy as np

from finer_core.c_library import allow_building
from finer_core.networks.build import published_config
from finer_core.training import fresh_network
from finer_image.io.image import Image
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.plan import chunk_pixels
from floor import floor_of


def step_of(side: int, width: int) -> Callable[[], object]:
    """Return one full-batch step, gradients included, the optimizer not."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    image = Image.from_pixels(pixels)
    config = published_config(method="finer", task="image", in_features=2, out_features=3, hidden_features=width)
    network = fresh_network(config, seed=0, device="cpu", compiled=True, precision="fp32")
    objective = ImageObjective(
        PixelTarget(pixels, value_range=(0, 255), target_range=(-1, 1)),
        sampler=None,
        chunk_pixels=chunk_pixels(config, memory=4 * 10**9, image=image, device="cpu"),
    )
    return lambda: objective.backward(network, 0)


def best_of(actions: Sequence[Callable[[], object]], *, rounds: int = 3, seconds: float = 10.0) -> list[float]:
    """Return the least seconds of each action, all of them in turns."""
    for action in actions:
        action()
    times: list[list[float]] = [[] for _ in actions]
    begun = time.perf_counter()
    while len(times[0]) < rounds or time.perf_counter() - begun < seconds:
        for action, found in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            found.append(time.perf_counter() - started)
    return [min(found) for found in times]


def row(side: int, width: int) -> dict[str, float]:
    ours, floor = best_of([step_of(side, width), floor_of(side, width)])
    return {
        "side": side,
        "width": width,
        "seconds": ours,
        "microseconds_a_pixel": 1e6 * ours / side**2,
        "floor_seconds": floor,
        "over_floor": ours / floor,
    }


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--widths", type=int, nargs="*", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sizes = [(side, 256) for side in arguments.sides] + [(256, width) for width in arguments.widths if width != 256]
    rows = []
    for side, width in sizes:
        rows.append(row(side, width))
        if not arguments.json:
            print("  ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
