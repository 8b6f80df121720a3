"""The built-in scene: textured solids on a plate, ray-traced, with exact depth."""

from finer_nerf.scenes.builtin.scene import builtin_depth, builtin_scene

__all__ = ["builtin_depth", "builtin_scene"]
