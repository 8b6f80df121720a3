"""What the model file of a surface says beside its network: the way back to the input's coordinates, and the shape."""

from collections.abc import Mapping
from typing import Any

from finer_core.errors import InputError
from finer_core.io.model_header import ModelInfo
from finer_core.schema import build, check_entries
from finer_sdf.normalization import Normalization

TASK = "sdf"
PARTS = {"distance": 1, "color": 3, "detail": 3}
"""Networks of a model that has colors too, by name, with their outputs; details may be missing."""


def has_color(info: ModelInfo) -> bool:
    """Return whether a model file has networks for colors beside the one for distances."""
    return set(info.configs) | {"detail"} == set(PARTS)


def checked_task_data(info: ModelInfo, path: str) -> tuple[Normalization, Mapping[str, Any]]:
    """Return normalization and shape of a model file's `task_data`, which may have been changed by anybody.

    Raises:
        InputError: If the model is of another task, or the data is not a surface's.
    """
    if info.task != TASK:
        raise info.of_another_task(path, wanted="a distance field")
    data = info.task_data
    check_entries(data, {"frame": Mapping, "shape": Mapping[str, Any]}, what=f"{path}: shape data")
    if not info.own_network:
        for name in info.configs if has_color(info) else ("",):
            config, outputs = (info.configs[name], PARTS[name]) if name else (info.config, 1)
            if config.in_features != 3 or config.out_features != outputs:
                sizes = f"{config.in_features} coordinates to {config.out_features} values"
                raise InputError(f"{path}: not a {name or 'distance'} field (it maps {sizes})")
    return build(Normalization, data["frame"], what=f"{path}: frame"), data["shape"]
