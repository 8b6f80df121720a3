"""finer-ntk: empirical neural tangent kernels, with implicit neural representations.

Planned: the empirical kernel of a network, at initialisation or trained, its spectrum, and sweeps of both
over a method's hyper-parameters.
Version 0.1.0.dev0 has no commands and no functions yet.
"""

from finer_ntk._version import __version__

__all__ = ["__version__"]
