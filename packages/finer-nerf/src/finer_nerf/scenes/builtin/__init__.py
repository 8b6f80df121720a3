"""The built-in scene: textured solids on a plate, ray-traced, with exact depth."""

from finer_nerf.scenes.builtin.scene import BUILT_IN_SIZE, BUILT_IN_VIEWS, builtin_depth, builtin_digest, builtin_scene

__all__ = ["BUILT_IN_SIZE", "BUILT_IN_VIEWS", "builtin_depth", "builtin_digest", "builtin_scene"]
