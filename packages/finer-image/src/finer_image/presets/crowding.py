"""How many more values an image has than a network has weights for: what noise and frequencies a long fit bears."""

import math

_CROWDED = 4.0
"""Values for a weight from which on more make no difference."""


def crowding_of(values: int, *, hidden_features: int, hidden_layers: int) -> float:
    """Return c = log4(values per weight between hidden layers), between 0 and 1.

    With three layers of 256 features it is 0 for color images up to 256x256, and 1 from 512x512 on.

    Args:
        values: Numbers in the image: pixels times channels.
        hidden_features: Width of the network.
        hidden_layers: Its depth.
    """
    weights = hidden_features**2 * max(1, hidden_layers)
    return min(1.0, max(0.0, math.log(values / weights, _CROWDED)))
