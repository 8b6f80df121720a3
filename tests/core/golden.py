"""Golden vectors of finer-core: read a file, build our network with its weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core import NetworkConfig, build_network

FOLDER = Path(__file__).resolve().parent.parent / "golden"

_METHODS = {
    "finer": "finer",
    "siren": "siren",
    "gauss": "gauss",
    "wire": "wire",
    "pemlp": "pemlp",
    "gauss_finer": "gauss-finer",
    "wire_finer": "wire-finer",
    "real_wire": "real-wire",
    "real_wire_finer": "real-wire-finer",
    "fourier_features": "ff",
    "bacon": "bacon",
    "bacon_multiscale": "multiscale-bacon",
}
_OPTIONS = {
    "first_omega": "first_omega_0",
    "hidden_omega": "hidden_omega_0",
    "omega": "omega_0",
    "omega_wavelet": "omega_w",
    "scale": "scale",
    "first_bias_scale": "first_bias_scale",
    "hidden_bias_scale": "hidden_bias_scale",
    "gradient_through_scale": "scale_req_grad",
    "normalised": "normalized",
    "frequency_std": "frequency_std",
    "max_frequency": "max_frequency",
    "reuse_filters": "reuse_filters",
}
_RULES = {"separate real and imaginary": "separate", "complex modulus": "modulus"}


def load(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of tests/golden/NAME.npz."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def config_of(arrays: dict[str, np.ndarray]) -> NetworkConfig:
    """Translate a golden file's config into ours."""
    config = json.loads(str(arrays["config"]))
    family = config["family"]
    options: dict[str, Any] = {_OPTIONS[key]: config[key] for key in _OPTIONS if key in config}
    if "complex_rule" in config:
        options["complex_factor"] = _RULES[config["complex_rule"]]
    if family == "pemlp":
        options["num_frequencies"] = config["num_frequencies"]
    if family == "bacon_multiscale":
        options["frequency_fractions"] = config["frequency_fractions"]
        options["output_layers"] = config["output_layers"]
    return NetworkConfig(
        method=_METHODS[family],
        in_features=config["in_features"],
        out_features=config["out_features"],
        hidden_features=config.get("hidden_features_requested", config["hidden_features"]),
        hidden_layers=config["hidden_layers"],
        options=options,
    )


def golden_key(name: str, config: dict[str, Any]) -> str:
    """Return the golden file's name for one of our parameters (BACON keeps only used filters and heads)."""
    if not config["family"].startswith("bacon"):
        return name
    kind, _, rest = name.partition(".")
    if kind == "filters":
        kept = config["output_layers"] if config["reuse_filters"] else range(config["hidden_layers"] + 1)
        index, _, leaf = rest.partition(".")
        return f"filters.{list(kept)[int(index)]}.{leaf}"
    if kind == "heads":
        index, _, leaf = rest.partition(".")
        return f"heads.{config['output_layers'][int(index)]}.{leaf}"
    return name


def network_of(arrays: dict[str, np.ndarray], *, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Build our network and give it the golden weights."""
    network = build_network(config_of(arrays), dtype=dtype)
    raw = json.loads(str(arrays["config"]))
    state = network.state_dict()
    for name, value in state.items():
        source = torch.from_numpy(arrays[golden_key(name, raw)])
        assert source.shape == value.shape, name
        state[name] = source.to(value.dtype)
    network.load_state_dict(state)
    return network


def tensor(arrays: dict[str, np.ndarray], name: str, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return one array as a tensor of `dtype`."""
    return torch.from_numpy(arrays[name]).to(dtype)
