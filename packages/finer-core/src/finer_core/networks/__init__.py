"""Coordinate networks: each maps coords (..., in_features) to a signal (..., out_features)."""

from finer_core.networks.bacon import Bacon, MultiscaleBacon
from finer_core.networks.base import CoordinateMLP, Network
from finer_core.networks.encoded import PEMLP, FourierFeatures
from finer_core.networks.gauss import Gauss, GaussFiner
from finer_core.networks.hash_grid import HashGridMLP
from finer_core.networks.sine import Finer, Siren
from finer_core.networks.wire import RealWire, RealWireFiner, Wire, WireFiner

__all__ = [
    "PEMLP",
    "Bacon",
    "CoordinateMLP",
    "Finer",
    "FourierFeatures",
    "Gauss",
    "GaussFiner",
    "HashGridMLP",
    "MultiscaleBacon",
    "Network",
    "RealWire",
    "RealWireFiner",
    "Siren",
    "Wire",
    "WireFiner",
]
