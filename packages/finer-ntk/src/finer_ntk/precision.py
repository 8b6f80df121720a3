"""Cast a whole network, complex parameters included, to single or double precision."""

import torch
from torch import Tensor

from finer_core.networks import Network
from finer_core.networks.base import complex_of

DTYPES = {"fp32": torch.float32, "fp64": torch.float64}


def with_precision(network: Network, dtype: torch.dtype) -> Network:
    """Cast every real parameter and buffer to `dtype`, every complex one to its complex counterpart, in place."""

    def cast(tensor: Tensor) -> Tensor:
        if tensor.is_complex():
            return tensor.to(complex_of(dtype))
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return network._apply(cast)
