"""What products of less precision cost in quality: every factor rounded to TF32 or bfloat16, sums in single precision.

    python benchmarks/bench_precision.py [IMAGE ...] [--side 128] [--seeds 2] [--arms NAME ...] [--threads N]
        [--json FILE]

The rounding is done here, number by number, so the figures hold for any processor that multiplies such numbers and
sums in single precision; they say nothing of its speed. Each arm is `finer-image fit` of the image reduced to `--side`,
with its default settings. It is judged as it was trained, and with products in single precision, as a saved model is.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench_quality import load, name_of
from finer_core.c_library import allow_building
from finer_core.linear import InrLinear
from finer_core.training.own_code import network_of
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.model import ImageModel
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit

Rounding = Callable[[Tensor], Tensor]


def exactly(x: Tensor) -> Tensor:
    """Return x."""
    return x


def tf32(x: Tensor) -> Tensor:
    """Round to TensorFloat-32: 10 of the 23 bits behind the point, to the nearest, ties away from 0."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def bf16(x: Tensor) -> Tensor:
    """Round to bfloat16."""
    return x.bfloat16().float()


ARMS: dict[str, tuple[Rounding, Rounding]] = {
    "single precision": (exactly, exactly),
    "backward TF32": (exactly, tf32),
    "backward bfloat16": (exactly, bf16),
    "all TF32": (tf32, tf32),
    "forward TF32, backward bfloat16": (tf32, bf16),
    "all bfloat16": (bf16, bf16),
}
"""How the factors of forward and of backward products are rounded."""


class _RoundedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, forward: Rounding, backward: Rounding) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.backward = backward
        return nn.functional.linear(forward(x), forward(weight), bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), rounded = ctx.saved_tensors, ctx.backward(grad_outputs[0])
        of_weight = rounded.t() @ ctx.backward(x)
        return rounded @ ctx.backward(weight), of_weight, grad_outputs[0].sum(0), None, None


def set_products(network: nn.Module, forward: Rounding, backward: Rounding) -> None:
    """Round the factors of every linear map's products."""
    for module in network.modules():
        if isinstance(module, InrLinear):
            module.linear = lambda x, weight, bias: _RoundedLinear.apply(x, weight, bias, forward, backward)


def trial(file: str | None, side: int, seed: int, arm: str) -> dict[str, Any]:
    """Fit an image once and return its line."""
    image = load(file, side)
    plan = plan_fit(ImageConfig(seed=seed, precision="fp32"), image)
    network = network_of(plan)
    set_products(network, *ARMS[arm])
    fit = build_fit(plan, network, image)
    fit.run()
    model = ImageModel.of(network, image, target_range=plan.target_range)
    as_trained = evaluate(model, image)["psnr"]
    set_products(network, exactly, exactly)
    return {
        "image": name_of(file),
        "seed": seed,
        "arm": arm,
        "steps": fit.steps,
        "psnr_as_trained": as_trained,
        "psnr": evaluate(model, image)["psnr"],
    }


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=[None])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="NAME", help="only these")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = []
    for file in arguments.images:
        for seed in range(arguments.seeds):
            for arm in arguments.arms:
                line = trial(file, arguments.side, seed, arm)
                print("  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items()))
                lines.append(line)
    print("\n| arm | as trained, dB | in single precision, dB |\n| --- | --- | --- |")
    for arm in arguments.arms:
        mine = [line for line in lines if line["arm"] == arm]
        trained, saved = (statistics.mean(line[k] for line in mine) for k in ("psnr_as_trained", "psnr"))
        print(f"| {arm} | {trained:.2f} | {saved:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
