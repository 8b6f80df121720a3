"""`--preset paper` follows the published full-batch algorithm step by step."""

import json

import numpy as np
import pytest
import torch

from finer_core import NetworkConfig, build_network
from finer_core.metrics import psnr_of_mse
from finer_core.training import Fit, build_optimizers, exponential_decay
from finer_image.config import ImageConfig
from finer_image.io.image import Image
from finer_image.presets import resolve
from finer_image.training.build import build_fit
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.plan import FitPlan
from tests.core import golden

STEPS = 100
"""Of the recorded runs, and of the schedule."""
SINGLE_STEPS = 60
DOUBLE_STEPS = 20
"""In double precision a step that is another one shows at once, and what rounds in single precision never does."""
TARGET_RANGES = {"finer": (-1.0, 1.0), "siren": (-1.0, 1.0), "pemlp": (0.0, 1.0)}
# tests/golden/image/README.md: rounding grows with the steps, most where phases are largest.
CURVE_TOLERANCE = {"finer": 1e-3, "finer_fbs5": 2e-2, "siren": 1e-3, "pemlp": 1e-3}
FIRST_TEN_TOLERANCE = {"finer": 3e-5, "finer_fbs5": 1e-4, "siren": 1e-5, "pemlp": 1e-5}


def crop() -> Image:
    return Image.from_pixels(golden.load("image/crop")["image"])


class SingleTarget(PixelTarget):
    """Serve coordinates and targets rounded to single precision, as the recorded double run took them."""

    def at(self, index):
        loss_type, self.dtype = self.dtype, torch.float32
        coords, values = super().at(index)
        self.dtype = loss_type
        return coords.double(), values.double()


def paper_fit(name: str, *, dtype: torch.dtype) -> tuple[Fit, torch.nn.Module, tuple[float, float]]:
    """Return the paper preset's fit loop on the golden crop, from the golden weights."""
    arrays = golden.load(f"image/{name}")
    raw = json.loads(str(arrays["config"]))
    method = raw["model_type"]
    config = NetworkConfig(method=method, in_features=2, out_features=3, hidden_features=128, hidden_layers=3)
    network = build_network(config, dtype=dtype)
    network.load_state_dict({key: torch.from_numpy(arrays[key]).to(dtype) for key in network.state_dict()})
    image, target_range = crop(), TARGET_RANGES[method]
    settings = resolve(
        ImageConfig(method=method, preset="paper", steps=STEPS, log_every=1),
        height=64,
        width=64,
        channels=3,
        hidden_features=128,
        learning_rate=raw["learning_rate"],
        bf16_is_native=True,
        compiles=True,
    )
    plan = FitPlan(settings=settings, network=config, target_range=target_range, device="cpu")
    fit = build_fit(plan, network, image)
    if dtype == torch.float64:
        target = SingleTarget(image.pixels, value_range=(0, 255), target_range=target_range)
        target.dtype = torch.float64  # of the loss that the objective accumulates
        fit.objective = ImageObjective(target, sampler=None, chunk_pixels=1000)
    return fit, network, target_range


def run(
    name: str, *, dtype: torch.dtype, until: int
) -> tuple[np.ndarray, np.ndarray, torch.nn.Module, tuple[float, float]]:
    fit, network, target_range = paper_fit(name, dtype=dtype)
    points = []
    fit.on_log = points.append
    fit.is_reached = lambda point: point.step == until
    fit.run()
    return np.array([p.loss for p in points]), np.array([p.learning_rate for p in points]), network, target_range


@pytest.mark.parametrize("name", CURVE_TOLERANCE)
def test_loss_curve_in_single_precision(name):
    arrays = golden.load(f"image/{name}")
    loss, rate, network, target_range = run(name, dtype=torch.float32, until=SINGLE_STEPS)
    np.testing.assert_allclose(loss[:10], arrays["loss"][:10], rtol=FIRST_TEN_TOLERANCE[name])
    np.testing.assert_allclose(loss, arrays["loss"][:SINGLE_STEPS], rtol=CURVE_TOLERANCE[name])
    np.testing.assert_allclose(rate, arrays["learning_rate"][:SINGLE_STEPS], rtol=1e-6)
    # PSNR after the last update, recorded after every tenth, unclipped as FINER's code has it.
    low, high = target_range
    target = PixelTarget(crop().pixels, value_range=(0, 255), target_range=target_range)
    coords, values = target.at(slice(0, 4096))
    with torch.no_grad():
        final = network(coords)
    psnr = psnr_of_mse(float((((final - values) / (high - low)) ** 2).double().mean()))
    assert psnr == pytest.approx(
        float(arrays["psnr"][SINGLE_STEPS // 10 - 1]), abs=0.1 if name == "finer_fbs5" else 0.01
    )


@pytest.mark.parametrize("name", CURVE_TOLERANCE)
def test_loss_curve_in_double_precision(name):
    loss, _, _, _ = run(name, dtype=torch.float64, until=DOUBLE_STEPS)
    np.testing.assert_allclose(loss, golden.load(f"image/{name}")["loss_f64"][:DOUBLE_STEPS], rtol=1e-6)


def test_coordinates_and_targets():
    arrays = golden.load("image/data_semantics")
    rows = slice(0, 4096)
    for target_range, key in (((-1.0, 1.0), "target_zero_mean"), ((0.0, 1.0), "target_unit")):
        coords, values = PixelTarget(crop().pixels, value_range=(0, 255), target_range=target_range).at(rows)
        np.testing.assert_allclose(coords.numpy(), arrays["coords"], rtol=0, atol=1e-7)
        np.testing.assert_allclose(values[::37].numpy(), arrays[key], rtol=0, atol=2e-7)


def test_the_paper_preset_states_the_published_settings():
    settings = resolve(
        ImageConfig(preset="paper"),
        height=512,
        width=512,
        channels=3,
        hidden_features=256,
        learning_rate=5e-4,
        bf16_is_native=True,
        compiles=True,
    )
    assert (settings.steps, settings.batch_pixels, settings.learning_rate) == (5000, 0, 5e-4)
    assert (settings.optimizer, settings.betas, settings.schedule) == ("adam", (0.9, 0.999), "exponential")
    assert (settings.precision, settings.guard, settings.max_grad_norm) == ("fp32", False, None)


def test_optimiser_and_schedule_of_the_paper():
    network = build_network(NetworkConfig(method="finer", in_features=2, out_features=3, hidden_features=8))
    (adam,) = build_optimizers(network, learning_rate=5e-4)
    assert adam.defaults["betas"] == (0.9, 0.999)
    assert adam.defaults["eps"] == 1e-8
    assert exponential_decay()(50, 100) == pytest.approx(0.1**0.5)
