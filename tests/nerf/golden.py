"""The golden vectors of radiance fields, and networks made from them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finer_core.networks.build import published_config
from finer_nerf.fields.radiance_field import FieldConfig, RadianceField

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "nerf"


def load(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a golden file."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def tensor(array: np.ndarray) -> Tensor:
    """Return an array as a tensor of its own type."""
    return torch.from_numpy(np.array(array))


def golden_field(arrays: dict[str, np.ndarray]) -> RadianceField:
    """Build the small FINER field of a golden file: four linear maps a network, 32 wide, 32 geometry features."""

    def config(in_features: int, out_features: int):
        return published_config(
            method="finer", task="nerf", in_features=in_features, out_features=out_features, hidden_features=32
        )

    field = RadianceField.build(FieldConfig(density=config(3, 33), color=config(35, 3)))
    state = {f"parts.{key}": value for key, value in golden_state(arrays).items()}
    field.load_state_dict(state)
    return field


def golden_state(arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, Tensor]:
    """Return golden weights (or gradients, by prefix) under our names."""
    state = {}
    for part in ("density", "color"):
        for layer in range(4):
            ours = "head" if layer == 3 else f"layers.{layer}"
            for kind in ("weight", "bias"):
                state[f"{part}.{ours}.{kind}"] = tensor(arrays[f"{prefix}{part}.{layer}.{kind}"])
    return state
