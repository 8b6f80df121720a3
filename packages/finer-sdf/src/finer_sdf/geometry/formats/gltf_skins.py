"""Pose the vertices of a skinned glTF mesh by its bones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_sdf.geometry.formats.gltf_buffers import GltfFile, check_places, item


def posed(
    file: GltfFile, skin: Any, attributes: Mapping[str, Any], positions: np.ndarray, *, places: Mapping[Any, np.ndarray]
) -> np.ndarray:
    """Return the positions (n, 3) of a skinned part in the scene, where the node that it is of places nothing.

    Formula: x' = sum_i w_i J_i B_i x / sum_i w_i, with a joint's place J_i and its inverse bind matrix B_i.

    Args:
        file: What it is in.
        skin: The number of its skin.
        attributes: Of its primitive.
        positions: As they are stored.
        places: The matrix (4, 4) that places each node of the scene.

    Raises:
        InputError: If its bones are not in the scene, or its vertices have no weights of them.
    """
    stored = item(file.json, "skins", skin)
    if absent := [joint for joint in stored["joints"] if joint not in places]:
        raise InputError(f"node {absent[0]!s:.20} is a bone and not in the scene")
    moves = np.array([places[joint] for joint in stored["joints"]])
    if "inverseBindMatrices" in stored:
        bound = file.accessor(stored["inverseBindMatrices"])[: len(moves)]
        moves = moves @ bound.reshape(-1, 4, 4).transpose(0, 2, 1)  # stored by columns
    extended = np.column_stack([positions, np.ones(len(positions))])
    found = np.zeros((len(positions), 4))
    number = 0
    while f"JOINTS_{number}" in attributes:
        joints = file.accessor(attributes[f"JOINTS_{number}"]).astype(np.int64)
        check_places(joints, len(moves), what="bone")
        weights = file.accessor(attributes[f"WEIGHTS_{number}"], is_share=True)
        for joint, weight in zip(joints.T, weights.T, strict=True):
            found += weight[:, None] * np.einsum("nij,nj->ni", moves[joint], extended)
        number += 1
    if not (found[:, 3] > 0).all():  # the sum of the weights, for the last row of every move is 0 0 0 1
        raise InputError("some of its vertices hang on no bone")
    return found[:, :3] / found[:, 3:]
