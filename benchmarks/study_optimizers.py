"""Which optimizer, schedule, batch and sampling reach most in equal time: images, a surface, a radiance field.

    python benchmarks/study_optimizers.py run --images FOLDER... --shapes FILE... --scenes FOLDER... --out study.jsonl
    python benchmarks/study_optimizers.py table study.jsonl

Every arm trains for the same wall time (--seconds), on one core (--threads), from each of --seeds seeds; its number of
steps follows from the speed of its first few, and its schedule ends with them. One line a fit goes to --out; what is
there already is not run again, and --shard 0/2 and 1/2 share the work between two processes.

Figures: images PSNR in dB on all pixels (reduced to --side by box averages); surfaces 10 log10 of 1 over the mean
square of |f| / |grad f| at fresh points of the surface, in dB as well: 6 dB are half the distance; radiance fields PSNR
on the test views.
"""

import argparse
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench_quality import load
from finer_core.c_library import allow_building
from finer_core.differential import gradient
from finer_core.training import Fit
from finer_core.training.own_code import network_of as image_network
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.model import ImageModel
from finer_image.training.build import build_fit as build_image_fit
from finer_image.training.plan import plan_fit as plan_image

PUBLISHED = {"preset": "paper"}
"""Adam at the method's rate, times 0.1^(step/steps)."""
ADAM, MUON, SOAP = ({"optimizer": name, "schedule": "linear"} for name in ("adam", "muon", "soap"))
SHARED_ARMS: dict[str, dict[str, Any]] = {
    "adam, cosine": {**ADAM, "schedule": "cosine"},
    "adam": ADAM,
    "adam, average": {**ADAM, "ema_decay": 0.99},
    "muon": MUON,
    "soap, cosine": {**SOAP, "schedule": "cosine"},
    "soap": SOAP,
}
"""Rates warm up and then fall in a straight line to 0, unless an arm says otherwise."""
SHARES = (256, 64, 4, 1)


def image_arms(pixels: int, batch: int) -> dict[str, dict[str, Any]]:
    """Return the arms of an image: the shared ones, and SOAP by other batches, samplers and first layers.

    All but the two published ones have the fast preset's batch and first layer, unless they say otherwise.
    """
    published_layer = {"network": {"first_omega_0": 30.0, "first_bias_scale": None}}
    arms = {
        "adam, published, full batch": PUBLISHED,
        "adam, published": {**PUBLISHED, "batch_pixels": batch},
        **SHARED_ARMS,
        "adam, published first layer": {**ADAM, **published_layer},
        "soap, published first layer": {**SOAP, **published_layer},
        "soap, by error": {**SOAP, "sampling": "error"},
    }
    for share in SHARES:
        name = "full batch" if share == 1 else f"1/{share}"
        arms[f"soap, {name}"] = {**SOAP, "batch_pixels": 0 if share == 1 else pixels // share}
    return arms


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Hold one fit to be made: `start` assembles it for a number of steps and returns how it is judged."""

    kind: str
    signal: str
    arm: str
    seed: int
    start: Callable[[int], tuple[Fit, Callable[[], float]]]

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.kind, self.signal, self.arm, self.seed


def image_trials(files: list[Path], arguments: argparse.Namespace) -> Iterator[Trial]:
    for file in files:
        image = load(str(file), arguments.side)
        pixels = image.height * image.width
        batch = plan_image(ImageConfig(), image).settings.batch_pixels or 0
        for arm, changes in image_arms(pixels, batch).items():
            for seed in range(arguments.seeds):

                def start(steps: int, image=image, changes=changes, seed=seed):
                    plan = plan_image(ImageConfig(**changes, steps=steps, seed=seed), image)
                    network = image_network(plan)
                    model = ImageModel.of(network, image, target_range=plan.target_range)
                    return build_image_fit(plan, network, image), lambda: evaluate(model, image)["psnr"]

                yield Trial(kind="image", signal=f"{file.parent.name}/{file.stem}", arm=arm, seed=seed, start=start)


def shape_trials(files: list[Path], arguments: argparse.Namespace) -> Iterator[Trial]:
    from finer_core.training.own_code import network_of
    from finer_sdf.config import SdfConfig
    from finer_sdf.geometry.surface_sampling import sample_surface
    from finer_sdf.inputs import read_input
    from finer_sdf.training.build import build_fit, build_sampler
    from finer_sdf.training.plan import chunk_points, plan_fit

    for file in files:
        shape = read_input(str(file)).shape
        for seed in range(arguments.seeds):
            plan = plan_fit(SdfConfig(seed=seed, samples=400_000), shape)
            placed = plan.frame.shape_to_box(shape)
            sampler = build_sampler(plan, placed)  # the same exact distances for every arm, made before the clock runs
            points = torch.from_numpy(sample_surface(placed, count=50_000, seed=10_000 + seed).points).float()
            for arm, changes in SHARED_ARMS.items():

                def start(steps: int, changes=changes, seed=seed, shape=shape, sampler=sampler, points=points):
                    settings = SdfConfig(**changes, steps=steps, seed=seed, samples=400_000)
                    plan = plan_fit(settings, shape)
                    network = network_of(plan)
                    return build_fit(plan, network, sampler, chunk=chunk_points(plan, shape)), lambda: nearness(
                        network, points
                    )

                yield Trial(kind="surface", signal=file.stem, arm=arm, seed=seed, start=start)


def nearness(network: torch.nn.Module, points: torch.Tensor) -> float:
    """Return -10 log10 mean (f / |grad f|)^2 at points of the surface."""
    total = 0.0
    for piece in points.split(8192):
        slope = gradient(network, piece).norm(dim=-1).clamp_min(1e-6)
        with torch.no_grad():
            total += float((network(piece)[..., 0] / slope).square().sum(dtype=torch.float64))
    return -10 * math.log10(total / len(points))


def scene_trials(folders: list[Path], arguments: argparse.Namespace) -> Iterator[Trial]:
    from finer_nerf.config import NerfConfig
    from finer_nerf.evaluation import judge_views, mean_figures
    from finer_nerf.inputs import judged_views, read_input
    from finer_nerf.training.build import build_fit, build_objective, field_of, model_of
    from finer_nerf.training.plan import plan_fit

    for folder in folders:
        scene = read_input(str(folder))
        for arm, changes in SHARED_ARMS.items():
            for seed in range(arguments.seeds):

                def start(steps: int, changes=changes, seed=seed, scene=scene):
                    plan = plan_fit(NerfConfig(**changes, steps=steps, seed=seed), scene)
                    field, objective = field_of(plan), build_objective(plan, scene)

                    def figure() -> float:
                        model = model_of(plan, field.eval(), scene, objective)
                        views = judge_views(model, judged_views(scene), background="white")
                        return mean_figures(list(views), background="white")["psnr"]

                    return build_fit(plan, field, objective), figure

                yield Trial(kind="radiance field", signal=folder.name, arm=arm, seed=seed, start=start)


def run_trial(trial: Trial, *, seconds: float, tried: float) -> dict[str, Any]:
    """Find an arm's speed, then train it for the time; return its line."""
    steps, spent = 4, 0.0
    while True:  # doubling, until it took long enough to be believed
        fit, _ = trial.start(steps)
        started = time.perf_counter()
        fit.run()
        spent = time.perf_counter() - started
        if spent >= tried or steps > 4096:
            break
        steps *= 2
    fit, figure = trial.start(max(8, round(steps * seconds / spent)))
    started = time.perf_counter()
    fit.run()
    trained = time.perf_counter() - started
    return {
        "kind": trial.kind,
        "signal": trial.signal,
        "arm": trial.arm,
        "seed": trial.seed,
        "steps": fit.steps,
        "seconds": round(trained, 3),
        "figure": figure(),
        "rollbacks": fit.guard.rollbacks,
    }


def files_of(places: list[Path]) -> list[Path]:
    """Return the files named, and those in the folders named."""
    return [f for place in places for f in (sorted(place.iterdir()) if place.is_dir() else [place])]


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    number, shards = map(int, arguments.shard.split("/"))
    done = {tuple(line[k] for k in ("kind", "signal", "arm", "seed")) for line in lines_of(arguments.out)}
    trials: list[Iterator[Trial]] = [
        image_trials(files_of(arguments.images), arguments),
        shape_trials(arguments.shapes, arguments),
        scene_trials(arguments.scenes, arguments),
    ]
    for index, trial in enumerate(trial for kind in trials for trial in kind):
        if index % shards != number or trial.key in done or trial.arm not in (arguments.arms or [trial.arm]):
            continue
        line = run_trial(trial, seconds=arguments.seconds, tried=arguments.seconds / 10)
        with open(arguments.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print("  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items()), flush=True)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def table(arguments: argparse.Namespace) -> None:
    """Print each arm's mean figure, by kind of signal, the best first."""
    groups: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines_of(arguments.out):
        family = line["signal"].split("/")[0] if line["kind"] == "image" else line["signal"]
        groups[line["kind"], family][line["arm"]].append(line["figure"])
    for (kind, family), arms in groups.items():
        print(f"\n{kind}, {family}\n\n| arm | mean, dB | spread | fits |\n| --- | --- | --- | --- |")
        for arm, figures in sorted(arms.items(), key=lambda item: -statistics.mean(item[1])):
            spread = statistics.stdev(figures) if len(figures) > 1 else 0.0
            print(f"| {arm} | {statistics.mean(figures):.2f} | {spread:.2f} | {len(figures)} |")


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    study = commands.add_parser("run")
    study.add_argument("--images", type=Path, nargs="*", default=[])
    study.add_argument("--shapes", type=Path, nargs="*", default=[])
    study.add_argument("--scenes", type=Path, nargs="*", default=[])
    study.add_argument("--arms", nargs="*", metavar="NAME", help="only these (default: all)")
    study.add_argument("--side", type=int, default=128)
    study.add_argument("--seconds", type=float, default=8.0)
    study.add_argument("--seeds", type=int, default=3)
    study.add_argument("--threads", type=int, default=1)
    study.add_argument("--shard", default="0/1")
    study.add_argument("--out", type=Path, required=True)
    study.set_defaults(command=run)
    show = commands.add_parser("table")
    show.add_argument("out", type=Path)
    show.set_defaults(command=table)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
