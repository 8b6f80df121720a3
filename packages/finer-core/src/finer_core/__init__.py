"""finer-core: activations, initializers, layers and networks of implicit neural representations.

Importing the package is cheap: names below are loaded when first used, so a command line can print its help without
loading PyTorch.
"""

from typing import TYPE_CHECKING

from finer_core._version import __version__
from finer_core.lazy import lazy_names

if TYPE_CHECKING:
    from finer_core.coords import grid_coords
    from finer_core.diagnostics import init_report
    from finer_core.errors import InputError
    from finer_core.io.export import export
    from finer_core.io.model_file import load_model, load_network, save_model
    from finer_core.io.model_header import model_info
    from finer_core.methods import METHODS
    from finer_core.networks import (
        PEMLP,
        Bacon,
        Finer,
        FourierFeatures,
        Gauss,
        GaussFiner,
        HashGridMLP,
        MultiscaleBacon,
        RealWire,
        RealWireFiner,
        Siren,
        Wire,
        WireFiner,
    )
    from finer_core.networks.build import build_network, published_config
    from finer_core.networks.config import NetworkConfig
    from finer_core.networks.network_dict import NetworkDict
    from finer_core.networks.own_network import set_activation

_HOME = {
    "NetworkConfig": "networks.config",
    "build_network": "networks.build",
    "NetworkDict": "networks.network_dict",
    "published_config": "networks.build",
    "grid_coords": "coords",
    "init_report": "diagnostics",
    "InputError": "errors",
    "export": "io.export",
    "METHODS": "methods",
    "load_model": "io.model_file",
    "load_network": "io.model_file",
    "model_info": "io.model_header",
    "save_model": "io.model_file",
    "set_activation": "networks.own_network",
    **dict.fromkeys(
        (
            "PEMLP",
            "Bacon",
            "Finer",
            "FourierFeatures",
            "Gauss",
            "GaussFiner",
            "HashGridMLP",
            "MultiscaleBacon",
            "RealWire",
            "RealWireFiner",
            "Siren",
            "Wire",
            "WireFiner",
        ),
        "networks",
    ),
}

__all__ = [
    "METHODS",
    "PEMLP",
    "Bacon",
    "Finer",
    "FourierFeatures",
    "Gauss",
    "GaussFiner",
    "HashGridMLP",
    "InputError",
    "MultiscaleBacon",
    "NetworkConfig",
    "NetworkDict",
    "RealWire",
    "RealWireFiner",
    "Siren",
    "Wire",
    "WireFiner",
    "__version__",
    "build_network",
    "export",
    "grid_coords",
    "init_report",
    "load_model",
    "load_network",
    "model_info",
    "published_config",
    "save_model",
    "set_activation",
]

_MODULES = (
    *("activations", "coords", "differential", "encodings", "initializers", "layers", "networks", "reproduction"),
    "training",
)
"""Those that have names of their own for users; `dir` lists them."""

__getattr__, __dir__ = lazy_names(__name__, _HOME, [*__all__, *_MODULES])
