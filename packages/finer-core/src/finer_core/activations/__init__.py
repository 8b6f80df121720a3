"""Activations of implicit neural representations: functions, modules, and the rule of the FINER factor.

`functional` holds the formulas' public functions, `modules` their `nn.Module` wrappers; `real` and `wavelet` the
formulas with their derivatives; `pointwise` the one autograd function; `rules` the switch to exact derivatives;
`fusion` the choice of compiled kernels, `native` those in C, of `kernels.c` and `wavelets.c`.
"""

from finer_core.activations.functional import (
    finer,
    gauss,
    gauss_finer,
    real_wire,
    real_wire_finer,
    relu,
    sine,
    wire,
    wire_finer,
)
from finer_core.activations.fusion import fuse_activations, fusion_kept
from finer_core.activations.modules import (
    Activation,
    FinerActivation,
    GaussActivation,
    GaussFinerActivation,
    RealWireActivation,
    RealWireFinerActivation,
    ReluActivation,
    SineActivation,
    WireActivation,
    WireFinerActivation,
)
from finer_core.activations.rules import derivatives_are_exact, exact_derivatives, first_derivatives_only

__all__ = [
    "Activation",
    "FinerActivation",
    "GaussActivation",
    "GaussFinerActivation",
    "RealWireActivation",
    "RealWireFinerActivation",
    "ReluActivation",
    "SineActivation",
    "WireActivation",
    "WireFinerActivation",
    "derivatives_are_exact",
    "exact_derivatives",
    "finer",
    "first_derivatives_only",
    "fuse_activations",
    "fusion_kept",
    "gauss",
    "gauss_finer",
    "real_wire",
    "real_wire_finer",
    "relu",
    "sine",
    "wire",
    "wire_finer",
]
