"""Turn weights that the reference code saved into a model file of ours."""

import os
from typing import Any

from finer_core.io.reference_weights import network_of_reference, read_reference, save_checked
from finer_sdf.geometry import LoadedShape
from finer_sdf.model import SdfModel
from finer_sdf.model_data import TASK
from finer_sdf.normalization import THE_BOX_ITSELF, published_normalization


def import_reference(
    reference: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    method: str,
    loaded: LoadedShape | None = None,
    options: dict[str, Any] | None = None,
) -> SdfModel:
    """Write a model file with a reference file's weights, and check that it gives equal outputs.

    Args:
        reference: A .pth file.
        out: The model file.
        method: What the weights are of; the file does not say.
        loaded: The shape that was fitted, whose published normalization the reference used; None leaves the model in
            box coordinates, because the reference does not save them.
        options: Hyper-parameters that differ from the published ones.

    Returns:
        The model.

    Raises:
        InputError: If the weights are not of that method.
        RuntimeError: If the model file, read back, does not give the same outputs.
    """
    weights = read_reference(reference)
    network = network_of_reference(
        weights, method=method, task=TASK, in_features=3, source=os.fspath(reference), options=options
    )
    normalization = published_normalization(loaded.shape) if loaded else THE_BOX_ITSELF
    model = SdfModel(network=network, normalization=normalization, shape={"name": loaded.name} if loaded else {})
    save_checked(network, out, task=TASK, task_data=model.task_data())
    return model
