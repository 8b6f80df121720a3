"""The paper preset's fit loop follows the recorded 50 steps of all nine networks (tests/golden/sdf)."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from finer_core import NetworkConfig, build_network
from finer_core.activations import fuse_activations
from finer_core.networks.config import find_method
from finer_core.training import Fit
from finer_sdf.config import SdfConfig
from finer_sdf.normalization import Normalization
from finer_sdf.presets import resolve
from finer_sdf.training.bacon import published_weights
from finer_sdf.training.build import build_fit
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.samples import SdfSamples
from tests.core import golden

STEPS, POINTS = 50, 500
METHODS = {
    "finer": "finer",
    "siren": "siren",
    "wire": "wire",
    "nerf_encoding": "pemlp",
    "fourier_features": "ff",
    "gauss": "gauss",
    "gauss_finer": "gauss-finer",
    "wire_finer": "wire-finer",
    "bacon_multiscale": "multiscale-bacon",
}
# tests/golden/sdf/README.md: how far single precision strays from double.
TOLERANCE = {name: 2e-4 if name == "fourier_features" else 2e-5 for name in METHODS}


class Recorded:
    """Serve the recorded batches, in the type of the network."""

    def __init__(self, dtype: torch.dtype) -> None:
        arrays = golden.load("sdf/trajectory_batches")
        self.coords = torch.from_numpy(arrays["coords"]).to(dtype)
        self.sdf = torch.from_numpy(arrays["sdf"]).to(dtype)
        self.weight = published_weights(POINTS).to(dtype)

    def batch(self, step: int) -> SdfSamples:
        return SdfSamples(coords=self.coords[step], sdf=self.sdf[step], weight=self.weight)


def config_of(name: str) -> NetworkConfig:
    """Return the published network of the method, at the recorded size."""
    values = find_method(METHODS[name]).for_task("sdf")
    bacon = name == "bacon_multiscale"
    return NetworkConfig(
        method=METHODS[name],
        in_features=3,
        out_features=1,
        hidden_features=32 if bacon else 64,
        hidden_layers=8 if bacon else 2,
        options=values.options,
    )


def recorded_weights(name: str, network: torch.nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the initial weights under our names."""
    arrays = golden.load(f"sdf/trajectory_{name}")
    raw = {"family": "bacon_multiscale", "output_layers": [2, 4, 6, 8], "reuse_filters": True, "hidden_layers": 8}
    state = network.state_dict()
    for key, value in state.items():
        source = torch.from_numpy(arrays[golden.golden_key(key, raw) if name == "bacon_multiscale" else key])
        assert source.shape == value.shape, key
        state[key] = source.to(value.dtype)
    return state


def paper_fit(name: str, dtype: torch.dtype) -> Fit:
    """Return the paper preset's fit from the recorded weights and batches."""
    config = config_of(name)
    network = build_network(config, dtype=dtype)
    network.load_state_dict(recorded_weights(name, network, dtype))
    values = find_method(METHODS[name]).for_task("sdf")
    settings = resolve(
        SdfConfig(method=METHODS[name], preset="paper", steps=STEPS, log_every=1, batch_points=POINTS),
        learning_rate=values.learning_rate,
        amsgrad=values.amsgrad,
        bf16_is_native=True,
        compiles=False,
    )
    plan = FitPlan(
        settings=settings, network=config, frame=Normalization(scale=1.0, offset=(0.0, 0.0, 0.0)), device="cpu"
    )
    return build_fit(plan, network, Recorded(dtype), chunk=200)


def curve(fit: Fit) -> tuple[list[float], list[float]]:
    losses: list[float] = []
    rates: list[float] = []
    fit.on_log = lambda point: (losses.append(point.loss), rates.append(point.learning_rate))
    fit.run()
    return losses, rates


@pytest.fixture
def operations_as_recorded() -> Iterator[None]:
    """Take PyTorch's sines and the recorded order of sums; in another order alone siren's curve moves by 2e-5."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    fuse_activations(False)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("operations_as_recorded")
@pytest.mark.parametrize("name", METHODS)
def test_single_precision_follows_the_recorded_run(name):
    arrays = golden.load(f"sdf/trajectory_{name}")
    losses, rates = curve(paper_fit(name, torch.float32))
    np.testing.assert_allclose(losses, arrays["loss"], rtol=TOLERANCE[name])
    np.testing.assert_allclose(rates, arrays["learning_rate"], rtol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_double_precision_follows_the_recorded_double_run(name):
    arrays = golden.load(f"sdf/trajectory_{name}")
    losses, _ = curve(paper_fit(name, torch.float64))
    np.testing.assert_allclose(losses, arrays["loss_f64"], rtol=1e-6)


def test_the_recorded_final_weights_are_reached():
    fit = paper_fit("finer", torch.float32)
    fit.run()
    arrays = golden.load("sdf/trajectory_finer")
    for key, value in fit.network.state_dict().items():
        np.testing.assert_allclose(value.numpy(), arrays[f"final.{key}"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", METHODS)
def test_amsgrad_and_clipping_are_as_recorded(name):
    recorded = json.loads(str(golden.load(f"sdf/trajectory_{name}")["config"]))
    fit = paper_fit(name, torch.float32)
    assert fit.max_grad_norm == recorded["max_grad_norm"]
    assert [group["amsgrad"] for o in fit.optimizers for group in o.param_groups] == [recorded["adam"]["amsgrad"]]
    assert fit.optimizers[0].param_groups[0]["initial_lr"] == recorded["adam"]["lr"]
