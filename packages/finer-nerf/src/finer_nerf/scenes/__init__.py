"""Scenes: posed pictures from Blender, instant-ngp and COLMAP files, and a built-in one."""

from finer_nerf.scenes.scene import Scene, Views

__all__ = ["Scene", "Views"]
