"""What somebody else's program does with the packages: `./dev run check` checks its types."""

import numpy as np
import torch
from torch import Tensor, nn

import finer_core as fc
import finer_image
from finer_core import training
from finer_core.activations import FinerActivation, exact_derivatives, finer
from finer_core.layers import InrLayer
from finer_core.shapes import Float
from finer_image import ImageModel, benchmark, evaluate, fit, read_image, reproduce
from finer_nerf import NerfModel, read_scene
from finer_nerf import evaluate as evaluate_scene
from finer_nerf import fit as fit_scene
from finer_ntk import analyze, empirical_ntk, line_grid, predict_training
from finer_sdf import SdfModel, read_shape, union
from finer_sdf import fit as fit_shape


class Field(nn.Module):
    """Two layers of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = InrLayer(in_features=2, out_features=8, activation=FinerActivation(omega_0=30.0))
        self.head = nn.Linear(8, 3)

    def forward(self, coords: Tensor) -> Tensor:
        out: Tensor = self.head(self.first(coords))
        return out


def radius(points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
    waves: Tensor = finer(points.norm(dim=-1), omega_0=5.0)
    return waves


def image(path: str) -> tuple[float, np.ndarray]:
    model, history = fit(read_image(path, memory="1GB"), method="finer", steps=10)
    finer_image.plots.history(history).savefig("history.png")
    benchmark({"image": path}, {"mine": Field(), "siren": "siren"}, steps=2)
    assert isinstance(model, ImageModel)
    model.save("image.safetensors")
    psnr = evaluate(model, path)["psnr"]
    return (psnr or 0.0) + history[-1].loss, model.render(scale=2)


def shape(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    model, _ = fit_shape((points, normals), steps=10)
    assert isinstance(model, SdfModel)
    distance: np.ndarray = model(points)
    other, _ = fit_shape(read_shape("part.ply", memory="1GB"), steps=10, progress=True)
    found = union(model, other).query(points)
    return distance + found.distance + len(model.mesh(resolution=32).faces)


def scene() -> NerfModel:
    read = read_scene("lego", memory="1GB")
    model, _ = fit_scene(read, steps=2)
    view = model.render(read.test.poses[0], read.test.cameras[0])
    print(view["rgb"].shape, evaluate_scene(model, read.test)["psnr"])
    model.video("orbit.mp4", model.orbit(6))
    return model


def kernel() -> tuple[Tensor, float]:
    network = fc.build_network("finer", task="ntk", in_features=1, out_features=1, first_bias_scale=5.0)
    points = line_grid(16)
    with exact_derivatives():
        network(points.coords)
    found = analyze(network, points.coords, points.target)
    predicted = predict_training(network, points.coords, points.target, steps=3).deviation
    return empirical_ntk(network, points.coords), found.effective_rank + float(found.target_energy[0]) + predicted


class Printer(training.Callback):
    """Look on at a fit."""

    def on_log(self, entry: training.LogEntry) -> None:
        print(entry.step, entry.loss, dict(entry.metrics))


def own_loss(coords: Tensor, target: Tensor) -> list[float]:
    def loss(network: nn.Module, step: int) -> Tensor:
        difference: Tensor = network(coords) - target
        return difference.square().mean()

    loggers = [Printer(), training.JsonlLogger("metrics.jsonl")]
    history = training.fit(Field(), loss, steps=20, schedule=training.warmup_cosine(), callbacks=loggers, progress=True)
    losses: list[float] = history["loss"].tolist()
    return losses


def table() -> str:
    return reproduce("finerpp-notebook", methods=["finer"], steps=2, size=8, out=None).render("md")


def slope(coords: Tensor) -> Tensor:
    return fc.differential.gradient(Field(), coords).sum(dim=-1) + torch.ones(1)
