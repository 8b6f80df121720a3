"""Quality for time at 256x256: the default preset against plain eager Adam, full batch and minibatch.

    python benchmarks/bench_quality.py equal-time [IMAGE ...] [--seconds 60] [--seeds 3] [--threads N] [--json FILE]
    python benchmarks/bench_quality.py goals [IMAGE ...] [--steps 500] --json goals.json
    python benchmarks/bench_quality.py time-to [IMAGE ...] [--steps 500] [--goals goals.json] [--json FILE]

Images are the built-in photograph if none is given; anything larger is reduced by box averages.

equal-time: every arm trains for the same wall time, and is judged on all pixels after it.
    full       eager, every pixel in every step, Adam at 5e-4, rate times 0.1^(time / seconds): the published algorithm
    minibatch  eager, random batches of the default preset's size, the same schedule, Adam at the best of --rates,
               found on the first image and seed with the same time
    ours       the default preset, whose number of steps is set from the speed of its first 20

goals: the PSNR that the published algorithm has after --steps steps, by this project's own full batch, which follows
the same curve (tests/image/training/test_published_curves.py). Ten minutes an image, whatever else the machine does.

time-to: how long the default preset takes to reach the goal, from a file of goals or found first. Its steps are
--ladder's smallest number that is enough; the published algorithm runs eagerly for --timed-steps (20), and its time is
extrapolated.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from eager import EagerFiner, full_batch_step
from finer_core.c_library import allow_building
from finer_core.coords import grid_coords
from finer_core.metrics import psnr_of_mse
from finer_core.training.own_code import network_of
from finer_image.app.experiment import read_signal
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.io.image import Image
from finer_image.model import ImageModel
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit

PUBLISHED_RATE = 5e-4
TRIED_STEPS = 20


def reduced(image: Image, side: int) -> Image:
    """Return a square image of `side` pixels by box averages; the image's sides are multiples of it."""
    n = min(image.height, image.width) // side
    part = image.pixels[: n * side, : n * side].astype(np.float64)
    boxes = part.reshape(side, n, side, n, image.channels).mean(axis=(1, 3))
    return Image.from_pixels(np.rint(boxes).astype(np.uint8))


def load(name: str | None, side: int) -> Image:
    return reduced(read_signal(name, memory=4 * 10**9)[0], side)


def name_of(image: str | None) -> str:
    return Path(image or "astronaut").stem


class EagerFit:
    """Plain eager training of an image; `batch` pixels a step, or all of them."""

    def __init__(self, image: Image, *, rate: float, batch: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = EagerFiner(in_features=2, out_features=image.channels, hidden_features=256, hidden_layers=3)
        self.coords = grid_coords(image.height, image.width)
        self.target = torch.from_numpy(image.pixels.reshape(-1, image.channels)) / 255 * 2 - 1
        self.adam = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.rate, self.batch = rate, batch

    def step(self, progress: float) -> None:
        """Do one step; `progress` is the share of the training that is over."""
        self.adam.param_groups[0]["lr"] = self.rate * 0.1**progress
        coords, target = self.coords, self.target
        if self.batch:
            index = torch.randint(len(coords), (self.batch,))
            coords, target = coords[index], target[index]
        full_batch_step(self.network, coords, target)
        self.adam.step()

    def for_seconds(self, seconds: float) -> tuple[int, float]:
        """Train for a time; return the steps done and the PSNR."""
        started, steps = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds:
            self.step(elapsed / seconds)
            steps += 1
        return steps, self.psnr()

    def psnr(self) -> float:
        with torch.no_grad():
            pairs = zip(self.coords.split(8192), self.target.split(8192), strict=True)
            errors = [((self.network(x) - y) / 2).clamp(-1, 1).square().sum() for x, y in pairs]
        return psnr_of_mse(float(torch.stack(errors).sum()) / self.target.numel())


def our_fit(image: Image, settings: ImageConfig) -> tuple[float, float]:
    """Return the seconds and the PSNR of a fit, everything included but the files."""
    started = time.perf_counter()
    plan = plan_fit(settings, image)
    network = network_of(plan)
    build_fit(plan, network, image).run()
    seconds = time.perf_counter() - started
    psnr = evaluate(ImageModel.of(network, image, target_range=plan.target_range), image)["psnr"]
    assert psnr is not None
    return seconds, psnr


def our_fit_for_seconds(image: Image, seconds: float, *, seed: int) -> tuple[int, float, float]:
    """Fit by the default preset for about a time; return its steps, the seconds they took, and the PSNR."""
    tried, _ = our_fit(image, ImageConfig(steps=TRIED_STEPS, seed=seed))
    steps = max(1, int(TRIED_STEPS * (seconds - tried) / tried))
    spent, psnr = our_fit(image, ImageConfig(steps=steps, seed=seed))
    return steps, tried + spent, psnr


def equal_time(arguments: argparse.Namespace) -> list[dict]:
    images = {name_of(name): load(name, arguments.side) for name in arguments.images}
    batch = plan_fit(ImageConfig(), next(iter(images.values()))).settings.batch_pixels or 0
    first = next(iter(images.values()))
    found = {
        rate: EagerFit(first, rate=rate, batch=batch, seed=0).for_seconds(arguments.seconds)[1]
        for rate in arguments.rates
    }
    best = max(found, key=found.__getitem__)
    print(f"minibatch of {batch}: PSNR by rate { ({r: round(p, 2) for r, p in found.items()}) }", flush=True)
    rows = []
    for name, image in images.items():
        for seed in range(arguments.seeds):
            row: dict = {"image": name, "seed": seed, "minibatch_rate": best}
            full = EagerFit(image, rate=PUBLISHED_RATE, batch=0, seed=seed).for_seconds(arguments.seconds)
            mini = EagerFit(image, rate=best, batch=batch, seed=seed).for_seconds(arguments.seconds)
            row["full_steps"], row["full_psnr"] = full
            row["minibatch_steps"], row["minibatch_psnr"] = mini
            row["steps"], row["seconds"], row["psnr"] = our_fit_for_seconds(image, arguments.seconds, seed=seed)
            row |= {"over_full": row["psnr"] - full[1], "over_minibatch": row["psnr"] - mini[1]}
            rows.append(row)
            show(row)
    show({key: statistics.mean(row[key] for row in rows) for key in ("psnr", "over_full", "over_minibatch")})
    return rows


def goals(arguments: argparse.Namespace) -> list[dict]:
    rows = []
    for name in arguments.images:
        settings = ImageConfig(preset="paper", steps=arguments.steps)
        _, psnr = our_fit(load(name, arguments.side), settings)
        rows.append({"image": name_of(name), "side": arguments.side, "steps": arguments.steps, "psnr": psnr})
        show(rows[-1])
    return rows


def known_goals(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the PSNR to reach by image, of these sizes and steps."""
    rows = json.loads(arguments.goals.read_text()) if arguments.goals else goals(arguments)
    asked = (arguments.side, arguments.steps)
    return {row["image"]: row["psnr"] for row in rows if (row["side"], row["steps"]) == asked}


def time_to(arguments: argparse.Namespace) -> list[dict]:
    rows = []
    wanted = known_goals(arguments)
    for name in arguments.images:
        image = load(name, arguments.side)
        eager = EagerFit(image, rate=PUBLISHED_RATE, batch=0, seed=0)
        eager.step(0.0)  # warms up
        started = time.perf_counter()
        for step in range(arguments.timed_steps):
            eager.step(step / arguments.steps)
        seconds = (time.perf_counter() - started) * arguments.steps / arguments.timed_steps
        goal = wanted[name_of(name)]
        row: dict = {"image": name_of(name), "eager_seconds": seconds, "eager_psnr": goal}
        for steps in arguments.ladder:
            spent, psnr = our_fit(image, ImageConfig(steps=steps))
            if psnr >= goal:
                row |= {"steps": steps, "seconds": spent, "psnr": psnr, "times_sooner": seconds / spent}
                break
        rows.append(row)
        show(row)
    show({"median_times_sooner": statistics.median(row.get("times_sooner", 0.0) for row in rows)})
    return rows


def show(row: dict) -> None:
    print("  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


MODES: dict[str, Callable[[argparse.Namespace], list[dict]]] = {
    "equal-time": equal_time,
    "goals": goals,
    "time-to": time_to,
}


def main(arguments: Sequence[str] | None = None) -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("images", nargs="*", default=[None])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[2.5e-4, 5e-4, 1e-3, 2e-3])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--timed-steps", type=int, default=20)
    parser.add_argument(
        "--ladder", type=int, nargs="+", default=[100, 130, 160, 200, 250, 320, 400, 500, 640, 800, 1000, 1280]
    )
    parser.add_argument("--goals", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, help="cores to use; with 1, two runs fit beside each other on two cores")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    rows = MODES[given.mode](given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
