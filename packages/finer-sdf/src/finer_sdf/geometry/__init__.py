"""Surfaces: what they are, how files become one, and the built-in one."""

from finer_sdf.geometry.loaded_shape import LoadedShape
from finer_sdf.geometry.shapes import Mesh, PointCloud, Shape, bounds_of, unit_vectors

__all__ = ["LoadedShape", "Mesh", "PointCloud", "Shape", "bounds_of", "unit_vectors"]
