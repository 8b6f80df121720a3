"""Normals of a mesh's vertices by the field that it is a level set of."""

import numpy as np
import torch

from finer_core.differential import value_and_gradient
from finer_core.io.meshes.normals import vertex_normals as normals_of_faces
from finer_core.parallel import parallel_map
from finer_core.shapes import Float
from finer_sdf.geometry import Mesh, unit_vectors
from finer_sdf.meshing.field_values import DEVICE_POINTS
from finer_sdf.normalization import Field

_CACHED_POINTS = 2048
"""Points a piece on a CPU, like `field_values`' for values and their derivatives."""


def vertex_normals(field: Field, mesh: Mesh, *, device: torch.device | str = "cpu") -> Float[np.ndarray, "vertices 3"]:
    """Return the direction of the field's exact gradient at every vertex.

    Where the gradient is zero, as on the seam of a `shell`, the vertex has the mean normal of its faces, or z where
    these have no area.

    Returns:
        (n, 3) float64, of length 1.
    """
    on_cpu = torch.device(device).type == "cpu"
    points = torch.from_numpy(mesh.vertices.astype(np.float32))

    def gradients(piece: torch.Tensor) -> np.ndarray:
        found: np.ndarray = value_and_gradient(field, piece.to(device))[1].cpu().numpy()
        return found

    pieces = points.split(_CACHED_POINTS if on_cpu else DEVICE_POINTS)
    found = parallel_map(gradients, pieces, device=device)
    normals = unit_vectors(np.concatenate(found).astype(np.float64))
    flat = ~(np.abs(normals).sum(axis=1) > 0)  # NaN too
    if flat.any():
        normals[flat] = normals_of_faces(mesh.vertices, mesh.faces)[flat]
        normals[~normals.any(axis=1)] = [0, 0, 1]
    return normals
