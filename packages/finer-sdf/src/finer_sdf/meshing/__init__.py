"""From a fitted field to a triangle mesh: sparse evaluation, marching cubes, mesh files."""

from finer_sdf.meshing.extract import Extraction, check_resolution, extract_mesh
from finer_sdf.meshing.field_values import evaluate_points

__all__ = [
    "Extraction",
    "check_resolution",
    "evaluate_points",
    "extract_mesh",
]
