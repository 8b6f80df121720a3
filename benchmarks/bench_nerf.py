"""Training a radiance field against the plain dense renderer: rays a second, and test PSNR after equal time.

    python benchmarks/bench_nerf.py SCENE [--seconds 120] [--json]

Plain dense: the same FINER networks in eager PyTorch, 512 stratified samples on every ray, color and density of all of
them, Adam. Ours: the default preset of `finer-nerf train`. Each trains for the same wall time, one after the other in
one process, and both are judged on all test views on white.
"""

import argparse
import json
import math
import time

import torch
from torch import Tensor, nn

from eager import EagerFiner
from finer_core.c_library import allow_building
from finer_core.metrics import psnr
from finer_nerf.cameras import all_pixels, camera_rays
from finer_nerf.config import NerfConfig
from finer_nerf.evaluation import judge_views, mean_figures
from finer_nerf.inputs import judged_views, read_input
from finer_nerf.scenes import Scene
from finer_nerf.training.build import build_fit, build_objective, field_of, model_of
from finer_nerf.training.plan import FitPlan, plan_fit
from finer_nerf.training.rays import blend

NEAR_LEAST = 0.2


class EagerField(nn.Module):
    """Density and color networks of a plan's sizes, as anyone would write them."""

    def __init__(self, plan: FitPlan) -> None:
        super().__init__()
        sizes = {
            name: {
                "in_features": config.in_features,
                "out_features": config.out_features,
                "hidden_features": config.hidden_features,
                "hidden_layers": config.hidden_layers,
            }
            for name, config in (("density", plan.field.density), ("color", plan.field.color))
        }
        self.density, self.color = EagerFiner(**sizes["density"]), EagerFiner(**sizes["color"])

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        out = self.density(points)
        return torch.exp(out[..., 0]), torch.sigmoid(self.color(torch.cat([directions, out[..., 1:]], dim=-1)))


def dense_image(field: nn.Module, rays_o: Tensor, rays_d: Tensor, *, samples: int, jitter: bool) -> Tensor:
    """Render rays through the box [-1, 1]^3 with equal steps on every ray, on white."""
    lower, upper = (-1 - rays_o) / rays_d, (1 - rays_o) / rays_d
    near = torch.minimum(lower, upper).amax(-1, keepdim=True).clamp_min(NEAR_LEAST)
    far = torch.maximum(lower, upper).amin(-1, keepdim=True)
    far = torch.maximum(far, near)
    share = torch.rand(len(rays_o), samples) if jitter else torch.full((1, samples), 0.5)
    step = (far - near) / samples
    depths = near + (torch.arange(samples) + share) * step
    points = rays_o[:, None] + rays_d[:, None] * depths[..., None]
    sigmas, colors = field(points, rays_d[:, None].expand_as(points))
    alphas = 1 - torch.exp(-sigmas * step)
    passing = torch.cumprod(torch.cat([torch.ones(len(rays_o), 1), 1 - alphas + 1e-10], dim=1), dim=1)[:, :-1]
    weights = alphas * passing
    return (weights[..., None] * colors).sum(dim=1) + 1 - weights.sum(dim=1, keepdim=True)


def train_dense(plan: FitPlan, scene: Scene, *, seconds: float, rays: int, samples: int, rate: float) -> tuple:
    """Train the plain way for some time; return the field, rays drawn, and seconds."""
    torch.manual_seed(0)
    field = EagerField(plan)
    optimizer = torch.optim.Adam(field.parameters(), lr=rate, betas=(0.9, 0.99), eps=1e-15)
    camera = scene.train.cameras[0]
    poses = torch.from_numpy(plan.frame.poses_to_box(scene.train.poses))
    every = [camera_rays(pose, camera, all_pixels(camera)) for pose in poses]
    rays_o, rays_d = (torch.cat([pair[i] for pair in every]) for i in (0, 1))
    target = torch.from_numpy(blend(scene.train.images, background=1.0)).reshape(-1, 3)
    started, drawn = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds:
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * spent / seconds))
        chosen = torch.randint(len(rays_o), (rays,))
        image = dense_image(field, rays_o[chosen], rays_d[chosen], samples=samples, jitter=True)
        optimizer.zero_grad()
        (image - target[chosen]).square().mean().backward()
        optimizer.step()
        drawn += rays
    return field, drawn, time.perf_counter() - started


@torch.no_grad()
def judge_dense(field: nn.Module, plan: FitPlan, scene: Scene, *, samples: int) -> float:
    """Return the mean test PSNR of a plainly trained field."""
    views, total = judged_views(scene), 0.0
    for image, pose, camera in zip(views.images, plan.frame.poses_to_box(views.poses), views.cameras, strict=True):
        rays_o, rays_d = camera_rays(torch.from_numpy(pose), camera, all_pixels(camera))
        pieces = zip(rays_o.split(256), rays_d.split(256), strict=True)
        picture = torch.cat([dense_image(field, o, d, samples=samples, jitter=False) for o, d in pieces])
        truth = torch.from_numpy(blend(image, background=1.0)).reshape(-1, 3)
        total += psnr(picture.clamp(0, 1), truth)
    return total / len(views)


def train_ours(plan: FitPlan, scene: Scene, *, seconds: float) -> tuple:
    """Train by the default preset in about the given time; return the PSNR, rays drawn, and seconds.

    The time of a step is only known while training, so the number of steps is set by a first training of a fifth of the
    time, and the second one is what counts.
    """

    def train(steps: int) -> tuple:
        settings = NerfConfig(**{**plan.settings.__dict__, "steps": steps, "log_every": max(1, steps // 50)})
        whole = plan_fit(settings, scene)
        field, objective = field_of(whole), build_objective(whole, scene)
        started = time.perf_counter()
        build_fit(whole, field, objective).run()
        return whole, field, objective, time.perf_counter() - started

    steps = 100
    _, _, _, spent = train(steps)
    steps = max(steps, int(steps * 0.2 * seconds / spent))
    _, _, _, spent = train(steps)
    whole, field, objective, spent = train(int(steps * seconds / spent))
    model = model_of(whole, field.eval(), scene, objective)
    figures = mean_figures(list(judge_views(model, judged_views(scene), background="white")), background="white")
    return figures["psnr"], objective.rays_seen, spent, whole.settings.steps


def main() -> None:
    """Train both ways and print the ratio."""
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", nargs="?", help="Blender scene (default: the built-in one)")
    parser.add_argument("--seconds", type=float, default=120.0, help="training time of each")
    parser.add_argument("--rays", type=int, default=512, help="rays a step of the plain renderer")
    parser.add_argument("--samples", type=int, default=512, help="samples a ray of the plain renderer")
    parser.add_argument("--rate", type=float, default=1e-3, help="Adam's rate of the plain renderer")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    scene = read_input(arguments.scene)
    plan = plan_fit(NerfConfig(device="cpu"), scene)
    psnr_ours, rays_ours, seconds_ours, steps = train_ours(plan, scene, seconds=arguments.seconds)
    field, rays, seconds = train_dense(
        plan,
        scene,
        seconds=arguments.seconds,
        rays=arguments.rays,
        samples=arguments.samples,
        rate=arguments.rate,
    )
    figures = {
        "scene": scene.name,
        "ours": {
            "rays_per_second": rays_ours / seconds_ours,
            "seconds": seconds_ours,
            "steps": steps,
            "psnr": psnr_ours,
        },
        "dense": {
            "rays_per_second": rays / seconds,
            "seconds": seconds,
            "psnr": judge_dense(field, plan, scene, samples=arguments.samples),
        },
    }
    figures["rays_ratio"] = figures["ours"]["rays_per_second"] / figures["dense"]["rays_per_second"]
    if arguments.json:
        print(json.dumps(figures))
        return
    for name in ("dense", "ours"):
        row = figures[name]
        print(f"{name:<6}{row['rays_per_second']:>10.0f} rays/s  {row['psnr']:.2f} dB after {row['seconds']:.0f} s")
    print(f"ratio {figures['rays_ratio']:.1f}")


if __name__ == "__main__":
    main()
