"""Exact distances from one surface to the triangles of another: what no sampling density can blur."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finer_core.shapes import Float
from finer_sdf.geometry import Mesh, PointCloud, unit_vectors
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.geometry.surface_sampling import SurfaceSamples


@dataclass(frozen=True, kw_only=True)
class OneWay:
    """Hold what a surface's samples see of another surface.

    Attributes:
        distance: (n,) to the nearest point of the other surface.
        cosine: (m,) of the angle between a sample's normal and that of the nearest face, where both have one;
            None where none has.
    """

    distance: Float[np.ndarray, " n"]
    cosine: Float[np.ndarray, " m"] | None

    def summary(self) -> dict[str, float]:
        """Return mean, root mean square, 99th percentile and maximum of the distance."""
        return {
            "mean": float(self.distance.mean()),
            "rms": float(np.sqrt(np.mean(self.distance**2))),
            "p99": float(np.quantile(self.distance, 0.99)),
            "max": float(self.distance.max()),
        }


def distances_to_mesh(samples: SurfaceSamples | PointCloud, mesh: Mesh, distance: MeshDistance) -> OneWay:
    """Measure samples against a mesh.

    Args:
        samples: Points of the first surface; rows of zero normals are left out of the cosines.
        mesh: The other surface.
        distance: Its distances.
    """
    near = distance.nearest(samples.points)
    known = np.linalg.norm(samples.normals, axis=1) > 0
    normals = unit_vectors(mesh.face_vectors())[near.faces]
    known &= np.linalg.norm(normals, axis=1) > 0
    cosine = np.einsum("ij,ij->i", samples.normals[known], normals[known])
    return OneWay(distance=near.distance, cosine=cosine if known.any() else None)


def f_score(
    to_reference: Float[np.ndarray, " n"], from_reference: Float[np.ndarray, " m"], *, threshold: float
) -> dict[str, float]:
    """Return precision, recall and their harmonic mean at a distance (Knapitsch et al., Tanks and Temples, 2017).

    Args:
        to_reference: (n,) distances of the result's samples to the reference.
        from_reference: (m,) distances of the reference's samples to the result.
        threshold: In the units of the distances.
    """
    precision, recall = float(np.mean(to_reference < threshold)), float(np.mean(from_reference < threshold))
    both = precision + recall
    return {"precision": precision, "recall": recall, "f_score": 2 * precision * recall / both if both else 0.0}


def normal_figures(cosines: Sequence[np.ndarray | None]) -> dict[str, Any]:
    """Return how well normals agree, over both ways.

    Formula: consistency = mean |n . n'|, averaged over the ways; the signed one is the mean of n . n', negative when
    one of the surfaces is inside out; angles are between directions with a sense.

    Args:
        cosines: For each way, (n,) or None where there are no normals.
    """
    ways = [np.clip(cosine, -1, 1) for cosine in cosines if cosine is not None]
    if not ways:
        return dict.fromkeys(
            ("normal_consistency", "normal_consistency_signed", "normal_angle_mean_deg", "normal_angle_median_deg")
        )
    angles = np.degrees(np.arccos(np.concatenate(ways)))
    return {
        "normal_consistency": float(np.mean([np.abs(way).mean() for way in ways])),
        "normal_consistency_signed": float(np.mean([way.mean() for way in ways])),
        "normal_angle_mean_deg": float(angles.mean()),
        "normal_angle_median_deg": float(np.median(angles)),
    }
