"""finer-ntk: the neural tangent kernel of any network, and its spectrum.

As a library: `finer_ntk.kernel.empirical_ntk`, `finer_ntk.kernel.kernel_operator`, and what is in `finer_ntk.spectrum`.
"""

from finer_ntk._version import __version__

__all__ = ["__version__"]
