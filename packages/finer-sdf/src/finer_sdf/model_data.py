"""What the model file of a surface says beside its network: the way back to the input's coordinates, and the shape."""

from collections.abc import Mapping
from typing import Any

from finer_core.errors import InputError
from finer_core.io.model_file import ModelInfo
from finer_core.schema import build, check_entries
from finer_sdf.normalization import Normalization

TASK = "sdf"


def checked_task_data(info: ModelInfo, path: str) -> tuple[Normalization, Mapping[str, Any]]:
    """Return normalization and shape of a model file's `task_data`, which may have been changed by anybody.

    Args:
        info: What the file says.
        path: The file, for messages.

    Raises:
        InputError: If the model is of another task, or the data is not a surface's.
    """
    if info.task != TASK:
        raise InputError(f"{path}: a model of task {info.task!r}, not a distance field; use the command of that task")
    data = info.task_data
    check_entries(data, {"frame": Mapping, "shape": Mapping[str, Any]}, what=f"{path}: shape data")
    if not info.own_network and (info.config.in_features != 3 or info.config.out_features != 1):
        sizes = f"{info.config.in_features} coordinates to {info.config.out_features} values"
        raise InputError(f"{path}: not a distance field (it maps {sizes})")
    return build(Normalization, data["frame"], what=f"{path}: frame"), data["shape"]
