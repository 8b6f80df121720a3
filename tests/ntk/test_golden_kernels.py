"""Kernels, outputs and eigenvalues of the published notebook's networks, in double and single precision."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import Finer, GaussFiner, Siren, WireFiner
from finer_core.encodings import FourierEncoding
from finer_ntk.kernel import empirical_ntk
from finer_ntk.spectrum import all_eigenpairs

GOLDEN = Path(__file__).parent.parent / "golden" / "ntk"
FILES = sorted(path.stem for path in GOLDEN.glob("*.npz"))


class Sequential(nn.Module):
    """The notebook's ReLU networks, with nothing of finer-core but the encoding."""

    def __init__(self, data, encoding):
        super().__init__()
        shapes = [data[name].shape for name in data.files if name.endswith(".weight")]
        self.encoding = encoding
        linear = [nn.Linear(fan_in, fan_out) for fan_out, fan_in in shapes]
        self.layers, self.head = nn.ModuleList(linear[:-1]), linear[-1]

    def forward(self, coords):
        features = self.encoding(coords) if self.encoding else coords
        for layer in self.layers:
            features = torch.relu(layer(features))
        return self.head(features)


def network_of(data, config, dtype):
    sizes = {"in_features": 1, "out_features": 1, "hidden_layers": config["linear_layers"] - 2, "dtype": dtype}
    family = config["family"]
    if family in ("finer", "siren"):
        kind = Finer if family == "finer" else Siren
        omegas = {"first_omega_0": config["first_omega"], "hidden_omega_0": config["hidden_omega"]}
        net = kind(**sizes, **omegas, hidden_features=64)
    elif family == "gauss_finer":
        net = GaussFiner(**sizes, hidden_features=64, scale=config["scale"], omega_0=config["omega"])
    elif family == "wire_finer":
        options = {"scale": config["scale"], "omega_w": config["omega_wavelet"], "omega_0": config["omega"]}
        net = WireFiner(**sizes, **options, hidden_features=91, complex_factor="modulus")
    else:
        fourier = FourierEncoding(in_features=1, num_frequencies=64, frequency_std=1.0)
        net = Sequential(data, fourier if family == "fourier" else None)
    state = net.state_dict()
    net.load_state_dict({name: torch.from_numpy(data[name]) for name in state if name in data.files}, strict=False)
    return net.double() if dtype == torch.float64 and not isinstance(net, WireFiner) else net


@pytest.mark.parametrize("path", ["layers", "jacobian", "products"])
@pytest.mark.parametrize("name", FILES)
def test_kernel_output_and_eigenvalues(name, path):
    data = np.load(GOLDEN / f"{name}.npz")
    config = json.loads(str(data["config"]))
    net = network_of(data, config, torch.float64)
    x = torch.from_numpy(data["x"]).double()
    output = net(x).detach().numpy() + config["output_offset"]
    np.testing.assert_allclose(output, data["output_f64"], atol=1e-11 * np.abs(data["output_f64"]).max())
    proper = "real_parameters_f64" if config["family"] == "wire_finer" else "f64"
    expected = data[f"kernel_{proper}"]
    kernel = empirical_ntk(net, x, path=path).numpy()
    np.testing.assert_allclose(kernel, expected, atol=1e-11 * np.abs(expected).max(), rtol=0)
    top = data[f"eigenvalues_{proper}"][:5]
    np.testing.assert_allclose(all_eigenpairs(kernel).values[:5], top, rtol=1e-4, atol=1e-9 * top[0])


@pytest.mark.parametrize("name", FILES)
def test_single_precision(name):
    data = np.load(GOLDEN / f"{name}.npz")
    config = json.loads(str(data["config"]))
    net = network_of(data, config, torch.float32)
    kernel = empirical_ntk(net, torch.from_numpy(data["x"])).numpy()
    wire = config["family"] == "wire_finer"
    expected = data["kernel_real_parameters_f64"] if wire else data["kernel_f64"]
    tolerance = 1e-3 if wire else 1e-4
    np.testing.assert_allclose(kernel, expected, atol=tolerance * np.abs(expected).max(), rtol=0)
