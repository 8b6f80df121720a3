"""Every network gives the published outputs, losses and gradients."""

import json

import pytest
import torch

from tests.core import golden

NAMES = sorted(path.stem for path in (golden.FOLDER / "core").glob("*.npz") if path.stem != "activations")
BACON = tuple(name for name in NAMES if name.startswith("bacon"))
LARGE_PHASES = ("finer_fbs5", "finer_omega_mixed")  # phases of hundreds to 1000 radians: see golden/core/README.md

WITH_DOUBLE_GRADIENTS = ("finer", "finer_gradscale", "siren", "wire_soft", "pp_gauss_finer", "pp_wire_finer")


def test_there_are_networks():
    assert len(NAMES) == 31


@pytest.mark.parametrize("name", NAMES)
def test_outputs_in_double_precision(name):
    arrays = golden.load(f"core/{name}")
    network = golden.network_of(arrays, dtype=torch.float64)
    output = network(golden.tensor(arrays, "coords", dtype=torch.float64))
    # The reference computes the normalization floor in single precision even in a double run.
    tolerance = 1e-7 if name == "sdf_gauss_finer_normalised" else 1e-10
    torch.testing.assert_close(output, torch.from_numpy(arrays["output_f64"]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_in_single_precision(name):
    arrays = golden.load(f"core/{name}")
    output = golden.network_of(arrays)(golden.tensor(arrays, "coords"))
    tolerance = 5e-5 if name in BACON else 1e-5
    torch.testing.assert_close(output, torch.from_numpy(arrays["output"]), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "double"),
    [*((name, False) for name in NAMES), *((name, True) for name in WITH_DOUBLE_GRADIENTS)],
)
def test_loss_and_gradients(name, double):
    arrays = golden.load(f"core/{name}")
    dtype = torch.float64 if double else torch.float32
    prefix = "grad_f64." if double else "grad."
    network = golden.network_of(arrays, dtype=dtype)
    loss = torch.mean(
        (network(golden.tensor(arrays, "coords", dtype=dtype)) - golden.tensor(arrays, "target", dtype=dtype)) ** 2
    )
    loss.backward()
    expected_loss = torch.from_numpy(arrays["loss_f64" if double else "loss"])
    torch.testing.assert_close(loss.detach(), expected_loss, rtol=1e-7 if double else 1e-5, atol=0)
    config = json.loads(str(arrays["config"]))
    compared = 0
    for parameter_name, parameter in network.named_parameters():
        key = golden.golden_key(parameter_name, config)
        if key in config["no_gradient"]:
            continue
        expected = torch.from_numpy(arrays[prefix + key])
        scale = expected.abs().max()
        tolerance = 1e-9 if double else (3e-4 if name in LARGE_PHASES else 3e-5)
        assert (parameter.grad - expected).abs().max() <= tolerance * scale, parameter_name
        compared += 1
    assert compared == sum(key.startswith(prefix) for key in arrays)
