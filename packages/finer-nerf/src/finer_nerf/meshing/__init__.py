"""Colored meshes of radiance fields: the level set, its texture, its file."""

from finer_nerf.meshing.extract import ColoredMesh, check_resolution, default_level, extract_mesh

__all__ = ["ColoredMesh", "check_resolution", "default_level", "extract_mesh"]
