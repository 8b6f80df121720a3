"""What the model file of an image says beside its network: size, ranges, and the kind of its pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

from finer_core.errors import InputError
from finer_core.io.model_header import ModelInfo
from finer_core.schema import check_entries
from finer_image.io.image import DTYPES, LARGEST_SIDE

TASK = "image"
_TASK_DATA = {"height": int, "width": int, "target_range": tuple[float, float], "image": Mapping[str, Any]}
_IMAGE = {
    **{"dtype": str, "channels": int, "mode": str, "value_range": tuple[float, float]},
    **{"channel_names": Sequence[str], "icc_profile": str | None, "source_mode": str},
}


def checked_task_data(info: ModelInfo, path: str) -> Mapping[str, Any]:
    """Return a model file's `task_data`, which may have been changed by anybody.

    Raises:
        InputError: If the model is of another task, or the data is not an image's.
    """
    if info.task != TASK:
        raise info.of_another_task(path, wanted="an image")
    data = info.task_data
    check_entries(data, _TASK_DATA, what=f"{path}: image data")
    check_entries(data["image"], _IMAGE, what=f"{path}: image")
    (low, high), (black, white) = data["target_range"], data["image"]["value_range"]
    if not (low < high and black <= white) or data["image"]["dtype"] not in DTYPES:
        raise InputError(
            f"{path}: no image has a range of {low!r} to {high!r}, or pixels of {data['image']['dtype']!r}"
        )
    if not all(1 <= data[side] <= LARGEST_SIDE for side in ("height", "width")):
        raise InputError(
            f"{path}: a size of {data['height']} x {data['width']}; each side must be 1 to {LARGEST_SIDE} pixels"
        )
    return data
