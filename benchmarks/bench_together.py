"""Images a second: N small images fitted at once against one after the other, on whatever device there is.

    python benchmarks/bench_together.py [--count 8] [--size 64] [--steps 20] [--rounds 3] [--optimizer adam] [--json]

The images are crops of the built-in photograph, the network is FINER's 3 x 256, the batch every pixel. Only the fits
are timed, `--steps` steps of each; the three ways run in turn, and the ratios are of the median times. "together" is
what `finer-image benchmark --together` does on this device: pieces dealt out to the cores on a CPU, stacked networks
elsewhere; "stacked" stacks them in any case. Printed too: the relative difference (in norm) of all fitted weights.
"""

import argparse
import json
import statistics
import time

import torch
from skimage import data

from finer_core.c_library import allow_building
from finer_core.experimental.batched_fits import run_together, update_of
from finer_core.resources import resolve_device
from finer_core.training import Fit
from finer_image.config import ImageConfig
from finer_image.io.image import Image
from finer_image.training.build import build_fit, network_of
from finer_image.training.plan import plan_fit

WAYS = ("alone", "together", "stacked")


def crops(count: int, size: int) -> list[Image]:
    """Cut squares out of the photograph, row by row."""
    whole = data.astronaut()
    across = whole.shape[1] // size
    corners = [(number // across * size % whole.shape[0], number % across * size) for number in range(count)]
    return [Image.from_pixels(whole[y : y + size, x : x + size].copy()) for y, x in corners]


def fits_of(images: list[Image], settings: ImageConfig, *, together: int) -> list[Fit]:
    plans = [plan_fit(settings, image) for image in images]
    return [build_fit(p, network_of(p), image, together=together) for p, image in zip(plans, images, strict=True)]


def seconds_of(way: str, fits: list[Fit], device: str) -> float:
    started = time.perf_counter()
    if way == "alone":
        for fit in fits:
            fit.run()
    else:
        run_together(fits, update_of(fits, stacked=True if way == "stacked" else None))
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--optimizer", default="adam", choices=("adam", "muon"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = resolve_device("auto")
    images = crops(arguments.count, arguments.size)
    settings = ImageConfig(
        preset="paper", steps=arguments.steps, optimizer=arguments.optimizer, log_every=arguments.steps, device=device
    )
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    weights: dict[str, torch.Tensor] = {}
    for number in range(arguments.rounds + 1):  # the first one warms up
        for way in WAYS:
            fits = fits_of(images, settings, together=1 if way == "alone" else len(images))
            seconds = seconds_of(way, fits, device)
            if number:
                times[way].append(seconds)
            weights[way] = torch.cat([p.detach().flatten().cpu() for fit in fits for p in fit.network.parameters()])
    median = {way: statistics.median(each) for way, each in times.items()}
    result: dict[str, float | str] = {"device": device, "threads": torch.get_num_threads(), **vars(arguments)}
    for way in WAYS:
        result[f"{way}_seconds"] = median[way]
        result[f"{way}_images_per_second"] = len(images) / median[way]
    for way in WAYS[1:]:
        result[f"{way}_times_faster"] = median["alone"] / median[way]
        result[f"{way}_difference"] = float((weights[way] - weights["alone"]).norm() / weights["alone"].norm())
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<32}{value:.6g}" if isinstance(value, float) else f"{name:<32}{value}")


if __name__ == "__main__":
    main()
