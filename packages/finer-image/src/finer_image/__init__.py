"""finer-image: fit still images with implicit neural representations, render them at any size, and judge them.

What is exported works on arrays alone, writes no file and prints nothing unless told. Importing the package is cheap:
names are loaded when first used.
"""

import logging
from typing import TYPE_CHECKING

from finer_core.lazy import lazy_names
from finer_image._version import __version__

if TYPE_CHECKING:
    from finer_core.io.export import export
    from finer_image import plots as plots
    from finer_image.benchmarking import benchmark
    from finer_image.config import ImageConfig
    from finer_image.evaluation import evaluate
    from finer_image.io.download import download
    from finer_image.io.image import Image
    from finer_image.io.reader import read_image
    from finer_image.io.writer import write_image
    from finer_image.model import ImageModel
    from finer_image.reproducing import reproduce
    from finer_image.training.fit import fit

_HOME = {
    "Image": "io.image",
    "ImageConfig": "config",
    "ImageModel": "model",
    "benchmark": "benchmarking",
    "download": "io.download",
    "export": "finer_core.io.export",
    "evaluate": "evaluation",
    "fit": "training.fit",
    "read_image": "io.reader",
    "reproduce": "reproducing",
    "write_image": "io.writer",
}

__all__ = [
    "Image",
    "ImageConfig",
    "ImageModel",
    "__version__",
    "benchmark",
    "download",
    "evaluate",
    "export",
    "fit",
    "read_image",
    "reproduce",
    "write_image",
]

logging.getLogger("finer_image").addHandler(logging.NullHandler())  # else Python prints notes that nobody asked for

__getattr__, __dir__ = lazy_names(__name__, _HOME, [*__all__, "plots"])
