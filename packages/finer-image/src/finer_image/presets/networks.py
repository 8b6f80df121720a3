"""What the fast preset takes in place of a method's published hyper-parameters.

High frequencies in the first layer are quicker; low ones end better where there are fewer weights than values.
"""

import math
from typing import Any

from finer_image.presets.lengths import NARROW_WIDTH, PASSES, USUAL_WIDTH

_FIRST_OMEGA, _FIRST_BIAS_SCALE = 15.0, 12.0
"""FINER's in fits of up to `PASSES` and of small images. In equal time they gain 3 to 4 dB on photographs at 256x256
over the published ones, and nothing at 128x128 (docs/studies/equal_time.md)."""
_GAUSS_SCALE = 14.0
"""Gaussian networks hardly learn in so few steps with the published 30."""
_WIRE = {"first_omega_0": 18.0, "hidden_omega_0": 6.0, "scale": 3.0}
"""Nor do WIRE's with the published 20, 20 and 10."""
_SIREN_OMEGA, _SIREN_LOWEST = 90.0, 30.0
"""Of SIREN's first layer; narrow networks have the published 30 at least. Photographs at 256x256 gain 8 dB by 90 in 40
passes. Other methods keep published values (docs/budgets.md)."""
_OMEGA_EXPONENT = 1 / 3
"""First omega falls as the passes to this power where values are crowded (docs/studies/lengths.md)."""
_LOWEST_OMEGA_AT = 160.0
"""Passes from which on first omega of the usual width falls no further: in 320 of a 512x512 image 7.5 ends 0.2 to
0.3 dB below 9.4. Half the width goes on to twice the passes: there it is 9.4 that ends 0.2 dB below."""


def fast_network(method: str, *, passes: float, crowding: float, hidden_features: int = USUAL_WIDTH) -> dict[str, Any]:
    """Return the hyper-parameters that the fast preset takes in place of a method's published ones.

    Formula: FINER's omega = 15 n min(1, 40 / min(P, L))^(c / 3), with n = min(1, w / 128) and
    L = 160 min(2, max(1, 256 / w)), and k = 12; a Gaussian network's scale is 14 sqrt(n), WIRE's first omega 18 n and
    SIREN's 90 n, at least 30.

    Args:
        method: The method.
        passes: P, how often every pixel is used.
        crowding: c, of `crowding_of`.
        hidden_features: w, the network's width; few neurons cover few frequencies.
    """
    narrow = min(1.0, hidden_features / NARROW_WIDTH)
    if method == "gauss":
        return {"scale": round(_GAUSS_SCALE * math.sqrt(narrow), 3)}
    if method == "wire":
        return {**_WIRE, "first_omega_0": round(_WIRE["first_omega_0"] * narrow, 3)}
    if method == "siren":
        return {"first_omega_0": round(max(_SIREN_LOWEST, _SIREN_OMEGA * narrow), 3)}
    if method != "finer":
        return {}
    falling = min(passes, _LOWEST_OMEGA_AT * min(2.0, max(1.0, USUAL_WIDTH / hidden_features)))
    omega = _FIRST_OMEGA * min(1.0, PASSES / falling) ** (_OMEGA_EXPONENT * crowding)
    return {"first_omega_0": round(omega * narrow, 3), "first_bias_scale": _FIRST_BIAS_SCALE}
