"""A fit computes the same bits whatever the program around it has set, and leaves those settings as they were."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

import finer_image
import finer_nerf
import finer_sdf
from finer_core.activations import derivatives_are_exact, exact_derivatives, first_order_only
from finer_core.activations.derivative_mode import is_first_order_only
from finer_core.c_library import allow_building, building_is_allowed
from finer_core.training.batching import apart_from_the_program


@contextmanager
def double_precision():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES: dict[str, Callable[[], AbstractContextManager]] = {
    "float64": double_precision,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "exact": exact_derivatives,
    "first order": first_order_only,
}
SMALL = {"steps": 4, "log_every": 2, "device": "cpu", "precision": "fp32"}
NETWORK = {"hidden_features": 8}
SDF = {"samples": 1000, "batch_points": 128, "network": {**NETWORK, "hidden_layers": 1}}
NERF = {"network": NETWORK, "max_samples": 8, "grid_resolution": 8, "steps": 3, "log_every": 1, "device": "cpu"}
FITS: dict[str, Callable[[], tuple]] = {
    "image": lambda: finer_image.fit(np.eye(16), network=NETWORK, **SMALL),
    "sdf": lambda: finer_sdf.fit(trimesh.creation.icosphere(subdivisions=1), **SMALL, **SDF),
    "nerf": lambda: finer_nerf.fit(finer_nerf.builtin_scene(size=8), **NERF),
}


def weights_of(fit: Callable[[], tuple]) -> list[torch.Tensor]:
    model, _ = fit()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.fixture(scope="module", params=FITS)
def plain(request) -> tuple[Callable[[], tuple], list[torch.Tensor]]:
    fit = FITS[request.param]
    return fit, weights_of(fit)


@pytest.mark.parametrize("mode", MODES)
def test_a_fit_is_the_same_in_every_mode(plain, mode):
    fit, expected = plain
    with MODES[mode]():
        found = weights_of(fit)
    assert len(found) == len(expected)
    assert all(a.device.type == "cpu" and torch.equal(a, b) for a, b in zip(found, expected, strict=True))


class OwnField(nn.Module):
    """A radiance field of a user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(6, 4)

    def forward(self, points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.map(torch.cat([points, directions], dim=1)).sigmoid()
        return out[:, 0], out[:, 1:]


OWN: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], tuple]]] = {
    "image": (lambda: nn.Linear(2, 1), lambda own: finer_image.fit(np.eye(16), network=own, **SMALL)),
    "sdf": (
        lambda: nn.Linear(3, 1),
        lambda own: finer_sdf.fit(trimesh.creation.icosphere(subdivisions=1), **SMALL, **{**SDF, "network": own}),
    ),
    "nerf": (OwnField, lambda own: finer_nerf.fit(finer_nerf.builtin_scene(size=8), **{**NERF, "network": own})),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_module_of_ones_own_is_fitted_in_every_mode(kind, tmp_path):
    make, fit = OWN[kind]
    first = make()
    expected = weights_of(lambda: fit(copy.deepcopy(first)))
    for mode, entered in MODES.items():
        module, again = copy.deepcopy(first), copy.deepcopy(first)
        with entered():
            model, _ = fit(module)
            model.save(tmp_path / f"{mode}.safetensors")
            type(model).load(tmp_path / f"{mode}.safetensors", network=again)
        for network in (module, again):
            assert all(torch.equal(a, b) for a, b in zip(network.parameters(), expected, strict=True)), mode


@pytest.mark.parametrize("kind", OWN)
def test_a_compiled_module_is_fitted(kind):
    make, fit = OWN[kind]
    module = make()
    compiled = torch.compile(module, backend="eager")
    model, _ = fit(compiled)
    assert compiled in list(model.modules())


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_of_the_caller_stays(mode):
    def modes() -> tuple:
        grad = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        derivatives = derivatives_are_exact(), is_first_order_only()
        return grad, derivatives, torch.get_default_dtype(), torch.get_default_device()

    with apart_from_the_program():
        plain = modes()
    with MODES[mode]():
        before = modes()
        with apart_from_the_program():
            assert modes() == plain
        assert modes() == before != plain


def test_leave_to_build_kernels_ends_with_the_fit(monkeypatch):
    monkeypatch.setenv("FINER_KERNELS", "")
    before = building_is_allowed()
    allow_building(False)
    try:
        FITS["image"]()
        assert not building_is_allowed()
    finally:
        allow_building(before)
