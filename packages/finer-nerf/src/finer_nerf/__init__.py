"""finer-nerf: train, judge, render and mesh radiance fields, with every activation.

What is exported works on scenes and models alone, writes no file and prints nothing unless told. Importing the package
is cheap: names are loaded when first used.
"""

import logging
from typing import TYPE_CHECKING

from finer_core.lazy import lazy_names
from finer_nerf._version import __version__

if TYPE_CHECKING:
    from finer_nerf import plots as plots
    from finer_nerf.benchmarking import benchmark
    from finer_nerf.cameras import Camera
    from finer_nerf.config import NerfConfig
    from finer_nerf.evaluation import evaluate
    from finer_nerf.exporting import export
    from finer_nerf.inputs import builtin_scene, read_scene, write_scene
    from finer_nerf.model import NerfModel
    from finer_nerf.reproducing import reproduce
    from finer_nerf.scenes.download import download
    from finer_nerf.scenes.scene import Scene, Views
    from finer_nerf.training.fit import fit

_HOME = {
    "Camera": "cameras",
    "NerfConfig": "config",
    "NerfModel": "model",
    "Scene": "scenes.scene",
    "Views": "scenes.scene",
    "benchmark": "benchmarking",
    "builtin_scene": "inputs",
    "download": "scenes.download",
    "evaluate": "evaluation",
    "export": "exporting",
    "fit": "training.fit",
    "read_scene": "inputs",
    "reproduce": "reproducing",
    "write_scene": "inputs",
}

__all__ = [
    "Camera",
    "NerfConfig",
    "NerfModel",
    "Scene",
    "Views",
    "__version__",
    "benchmark",
    "builtin_scene",
    "download",
    "evaluate",
    "export",
    "fit",
    "read_scene",
    "reproduce",
    "write_scene",
]

logging.getLogger("finer_nerf").addHandler(logging.NullHandler())  # else Python prints notes that nobody asked for

__getattr__, __dir__ = lazy_names(__name__, _HOME, [*__all__, "plots"])
