"""Images on an NVIDIA GPU: whole fits, a step with and without a CUDA graph, full-batch steps against eager PyTorch.

    python benchmarks/bench_gpu.py [--size 512] [--steps 100] [IMAGE ...]

Prints the card, then a line a measurement. Without images, the photograph that scikit-image brings. Every measurement
is repeated in this process after the first run has compiled what there is to compile; `--device cpu --size 32` only
shows that it works.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from skimage import data

from eager import EagerFiner, full_batch_step
from finer_core.c_library import allow_building
from finer_core.coords import grid_coords
from finer_core.training.optimizers.build import set_learning_rates
from finer_core.training.own_code import network_of
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.io.image import Image
from finer_image.model import ImageModel
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=100, help="steps that are timed")
    parser.add_argument("--passes", type=float, nargs="+", default=[40, 125])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    arguments = parser.parse_args()
    size, device = arguments.size, arguments.device
    card = torch.cuda.get_device_name(0) if device == "cuda" else "CPU"
    print(f"{card}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}, {time.strftime('%Y-%m-%d')}")
    pictures = {path.name: Pillow.open(path).convert("RGB") for path in arguments.images}
    pictures = pictures or {"astronaut": Pillow.fromarray(data.astronaut())}
    pictures = {name: picture.resize((size, size), Pillow.Resampling.LANCZOS) for name, picture in pictures.items()}
    images = {name: Image.from_pixels(np.asarray(picture)) for name, picture in pictures.items()}
    first = next(iter(images.values()))
    fit_of(first, device, steps=20)[2].run()
    for passes in arguments.passes:
        for name, image in images.items():
            print(f"fit, {passes:g} passes, {name}: {whole_fit(image, device, passes=passes)}")
    for optimizer in ("soap", "muon", "adam"):
        ms = [step_ms(first, device, arguments.steps, graph=graph, optimizer=optimizer) for graph in (False, True)]
        print(f"step, {optimizer}: {ms[0]:.2f} ms plain, {ms[1]:.2f} ms as a CUDA graph")
    print(f"full-batch step, 3 x 256, float32: {against_eager(first, device, arguments.steps)}")


def fit_of(image: Image, device: str, **settings: Any) -> tuple[Any, Any, Any]:
    """Return plan, network and fit."""
    plan = plan_fit(ImageConfig(device=device, **settings), image)
    network = network_of(plan)
    return plan, network, build_fit(plan, network, image)


def whole_fit(image: Image, device: str, **settings: Any) -> str:
    """Return PSNR and seconds of training."""
    plan, network, fit = fit_of(image, device, **settings)
    seconds = timed(fit.run, device)
    psnr = evaluate(ImageModel.of(network.eval(), image, target_range=plan.target_range), image)["psnr"]
    return f"{psnr:.2f} dB, {plan.settings.steps} steps, {seconds:.2f} s"


def step_ms(image: Image, device: str, steps: int, *, graph: bool, **settings: Any) -> float:
    """Return the milliseconds of a step of the default fit."""
    fit = fit_of(image, device, **settings)[2]
    if not graph:
        fit._graphed = None
    return per_step(fit, device, steps)


def per_step(fit: Any, device: str, steps: int) -> float:
    set_learning_rates(fit.optimizers, factor=0.5)
    for number in range(12):  # SOAP renews its bases once, and the step is recorded
        fit.update(number)
    return 1e3 * timed(lambda: [fit.update(number) for number in range(12, 12 + steps)], device) / steps


def against_eager(image: Image, device: str, steps: int) -> str:
    """Return the times of a step of the published run, and of what anyone would write, in alternation."""
    fit = fit_of(image, device, preset="paper", steps=5000)[2]
    eager = EagerFiner(in_features=2, out_features=3, hidden_features=256, hidden_layers=3).to(device)
    coords = grid_coords(image.height, image.width, device=device)
    target = torch.from_numpy(image.pixels.reshape(-1, 3).astype(np.float32)).to(device) / 127.5 - 1
    optimizer = torch.optim.Adam(eager.parameters(), lr=5e-4)

    def eager_step() -> None:
        full_batch_step(eager, coords, target)
        optimizer.step()

    rounds, count = 5, max(1, steps // 5)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(per_step(fit, device, count))
        eager_step()
        theirs.append(1e3 * timed(lambda: [eager_step() for _ in range(count)], device) / count)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ours):.2f} ms, eager {statistics.median(theirs):.2f} ms, {ratio:.2f} times faster"


def timed(work: Callable[[], object], device: str) -> float:
    """Return the seconds of some work, what it asked of the device included."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
