"""finer-sdf: fit signed distance fields to surfaces with implicit neural representations, mesh and evaluate them.

What is exported works on arrays and meshes alone, writes no file and prints nothing unless told. Importing the package
is cheap: names are loaded when first used.
"""

import logging
from typing import TYPE_CHECKING

from finer_core.lazy import lazy_names
from finer_sdf._version import __version__

if TYPE_CHECKING:
    from finer_core.io.export import export
    from finer_sdf import plots as plots
    from finer_sdf.benchmarking import benchmark
    from finer_sdf.config import SdfConfig
    from finer_sdf.distance_field import DistanceField
    from finer_sdf.evaluation.surface_metrics import evaluate
    from finer_sdf.geometry import LoadedShape, Mesh, PointCloud
    from finer_sdf.geometry.download import download
    from finer_sdf.geometry.reader import read_shape
    from finer_sdf.model import SdfModel
    from finer_sdf.normalization import Normalization
    from finer_sdf.operations import CombinedField, difference, intersection, offset, shell, union
    from finer_sdf.reproducing import reproduce
    from finer_sdf.training.fit import fit

_HOME = {
    "CombinedField": "operations",
    "DistanceField": "distance_field",
    "LoadedShape": "geometry",
    "Mesh": "geometry",
    "Normalization": "normalization",
    "PointCloud": "geometry",
    "SdfConfig": "config",
    "SdfModel": "model",
    "benchmark": "benchmarking",
    "difference": "operations",
    "download": "geometry.download",
    "export": "finer_core.io.export",
    "evaluate": "evaluation.surface_metrics",
    "fit": "training.fit",
    "intersection": "operations",
    "offset": "operations",
    "read_shape": "geometry.reader",
    "reproduce": "reproducing",
    "shell": "operations",
    "union": "operations",
}

__all__ = [
    "CombinedField",
    "DistanceField",
    "LoadedShape",
    "Mesh",
    "Normalization",
    "PointCloud",
    "SdfConfig",
    "SdfModel",
    "__version__",
    "benchmark",
    "difference",
    "download",
    "evaluate",
    "export",
    "fit",
    "intersection",
    "offset",
    "read_shape",
    "reproduce",
    "shell",
    "union",
]

logging.getLogger("finer_sdf").addHandler(logging.NullHandler())  # else Python prints notes that nobody asked for

__getattr__, __dir__ = lazy_names(__name__, _HOME, [*__all__, "plots"])
