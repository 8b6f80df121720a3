"""Quality per second: the default preset against eager full-batch Adam, at 256x256.

    python benchmarks/bench_quality.py [IMAGE ...] [--steps 500] [--timed-steps 500] [--json]

For each image (the built-in photograph if none is given; anything larger is reduced to 256x256 by box averages) this
runs

1. plain eager full-batch Adam, the papers' algorithm, for --steps steps. With --timed-steps below --steps only that
   many run eagerly and their mean time is extrapolated; the PSNR then comes from this project's own full batch, which
   follows the same curve (tests/image/test_published_curves.py) and takes a third of the time;
2. `finer-image fit` by its default preset, everything included: sampling, optimiser, logging, checkpoints.

Printed: both PSNRs, both times, and how many times sooner the default preset had more than the reference's PSNR (its
whole run).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from eager import EagerFiner, full_batch_step
from finer_core.coords import grid_coords
from finer_core.metrics import psnr_of_mse
from finer_core.run_folder import open_run_folder
from finer_image.evaluate import evaluate
from finer_image.fit import build_fit, fit_image, network_of, plan_fit
from finer_image.model import ImageModel
from finer_image.pixels import Image
from finer_image.run import read_signal
from finer_image.settings import ImageFitSettings


def reduced(image: Image, side: int) -> Image:
    """Return a square image of `side` pixels by box averages; the image's sides are multiples of it."""
    n = min(image.height, image.width) // side
    part = image.pixels[: n * side, : n * side].astype(np.float64)
    boxes = part.reshape(side, n, side, n, image.channels).mean(axis=(1, 3))
    return Image.from_pixels(np.rint(boxes).astype(np.uint8))


def eager_seconds(image: Image, *, steps: int, timed: int) -> tuple[float, float | None]:
    """Return the seconds of `steps` eager steps, and their PSNR if all of them ran."""
    torch.manual_seed(0)
    network = EagerFiner(in_features=2, out_features=image.channels, hidden_features=256, hidden_layers=3)
    coords = grid_coords(image.height, image.width)
    target = torch.from_numpy(image.pixels.reshape(-1, image.channels)) / 255 * 2 - 1
    adam = torch.optim.Adam(network.parameters(), lr=5e-4)
    full_batch_step(network, coords, target)  # warms up
    started = time.perf_counter()
    for step in range(timed):
        adam.param_groups[0]["lr"] = 5e-4 * 0.1 ** (step / steps)
        full_batch_step(network, coords, target)
        adam.step()
    seconds = (time.perf_counter() - started) * steps / timed
    if timed < steps:
        return seconds, None
    with torch.no_grad():
        error = ((network(coords) - target) / 2).clamp(-1, 1).square().mean()
    return seconds, psnr_of_mse(float(error))


def full_batch_psnr(image: Image, *, steps: int) -> float:
    """Return the PSNR of the paper preset after `steps` steps."""
    plan = plan_fit(ImageFitSettings(preset="paper", steps=steps, compile=False), image)
    network = network_of(plan)
    build_fit(plan, network, image).run()
    return psnr_of(plan, network, image)


def psnr_of(plan, network, image: Image) -> float:
    model = ImageModel.of(network, image, target_range=plan.target_range)
    value = evaluate(model, image)["psnr"]
    assert value is not None
    return value


def default_fit(image: Image) -> tuple[float, float]:
    """Return seconds and PSNR of a default fit."""
    with tempfile.TemporaryDirectory() as folder:
        run = open_run_folder(Path(folder) / "run", mode="new")
        _, figures = fit_image(plan_fit(ImageFitSettings(), image), image, run, quiet=True)
    return figures["seconds"], figures["psnr"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=[None])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--timed-steps", type=int, default=500)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--no-reference", action="store_true", help="run the default preset only")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.images:
        image = reduced(read_signal(name, memory=4 * 10**9)[0], arguments.side)
        row: dict[str, float | str | None] = {"image": Path(name or "astronaut").name}
        row["default_seconds"], row["default_psnr"] = default_fit(image)
        if not arguments.no_reference:
            seconds, psnr = eager_seconds(image, steps=arguments.steps, timed=arguments.timed_steps)
            row["eager_seconds"] = seconds
            row["eager_psnr"] = psnr if psnr is not None else full_batch_psnr(image, steps=arguments.steps)
            row["times_sooner"] = seconds / row["default_seconds"] if row["default_psnr"] >= row["eager_psnr"] else None
        if arguments.json:
            print(json.dumps(row), flush=True)
        else:
            print("  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
