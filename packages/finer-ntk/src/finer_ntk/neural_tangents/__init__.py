"""A second engine, by neural-tangents on JAX: an independent check, and kernels of infinite width.

An extra with pinned versions, for neural-tangents does not import with current JAX. Importing this loads neither.
"""

from finer_ntk.neural_tangents.infinite import infinite_ntk
from finer_ntk.neural_tangents.kernel import neural_tangents_ntk
from finer_ntk.neural_tangents.loading import load_neural_tangents

__all__ = ["infinite_ntk", "load_neural_tangents", "neural_tangents_ntk"]
