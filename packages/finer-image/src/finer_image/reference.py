"""Turn weights that the published image scripts saved into a model file of ours."""

import os
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.reference_weights import network_of_reference, read_reference, save_checked
from finer_core.networks.config import find_method
from finer_image.io.image import Image
from finer_image.model import ImageModel
from finer_image.model_data import TASK


def import_reference(
    reference: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    method: str,
    height: int = 512,
    width: int = 512,
    target_range: tuple[float, float] | None = None,
    options: dict[str, Any] | None = None,
) -> ImageModel:
    """Write a model file with a reference file's weights, and check that it gives equal outputs.

    The published scripts fit 8-bit images, so the model renders as one; its channels are those of the network's head.

    Args:
        reference: A .pt file of FINER's or FINER++'s image scripts.
        out: The model file.
        method: What the weights are of; the file does not say.
        height: Rows of the fitted image; the file does not say.
        width: Columns of the fitted image.
        target_range: What black and white were scaled to; None for the method's published range.
        options: Hyper-parameters that differ from the published ones.

    Returns:
        The model.

    Raises:
        InputError: If the weights are not of that method, or the range is empty.
        RuntimeError: If the model file, read back, does not give the same outputs.
    """
    low, high = target_range or find_method(method).for_task(TASK).target_range
    if not low < high < float("inf") or low == -float("inf"):
        raise InputError(f"--target-range must be two numbers, the lower first, got {low!r} {high!r}")
    weights = read_reference(reference)
    network = network_of_reference(
        weights, method=method, task=TASK, in_features=2, source=os.fspath(reference), options=options
    )
    kind = Image.from_pixels(np.zeros((1, 1, network.config.out_features), dtype=np.uint8))
    model = ImageModel(
        network=network,
        height=height,
        width=width,
        target_range=(low, high),
        image={**kind.to_metadata(), "height": height, "width": width},
    )
    save_checked(network, out, task=TASK, task_data=model.task_data())
    return model
