"""Activations of implicit neural representations: functions, modules, and the rule of the FINER factor.

`functional` holds the public functions, `modules` their `nn.Module` wrappers; `formulas` and `wavelets` the formulas
with their derivatives; `derivative_mode` the switch to exact derivatives; `_kernels` the autograd functions, the choice
of compiled kernels (`dispatch`) and those in C and Triton.
"""

from finer_core.activations._kernels.autograd import apply_formula
from finer_core.activations._kernels.dispatch import fuse_activations, fusion_kept
from finer_core.activations.derivative_mode import derivatives_are_exact, exact_derivatives, first_order_only
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
    "apply_formula",
    "derivatives_are_exact",
    "exact_derivatives",
    "finer",
    "first_order_only",
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
