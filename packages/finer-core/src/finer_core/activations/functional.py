"""Activations as stateless functions of the pre-activation z = W x + b.

Real in, real out, except `wire` and `wire_finer`, which return complex values. All keep only `z` for the backward
pass, all support second derivatives, `torch.func` and half-precision input (evaluated in float32).

Those with a FINER factor (|z| + 1) hold it constant in the backward pass unless `scale_req_grad=True`: the
published training rule. Inside `exact_derivatives()` the derivative is exact whatever `scale_req_grad` says.
"""

import torch
from torch import Tensor

from finer_core.activations._kernels.autograd import apply_formula
from finer_core.activations.formulas import (
    FinerFormula,
    GaussFormula,
    RealWireFormula,
    SineFormula,
    gauss_finer_formula,
    real_wire_finer_formula,
)
from finer_core.activations.wavelets import ComplexFactor, WireFinerFormula, WireFormula
from finer_core.shapes import Float, Inexact


def sine(z: Float[Tensor, "*shape"], *, omega_0: float = 30.0) -> Float[Tensor, "*shape"]:
    r"""Apply SIREN's sine.

    Formula: sin(omega_0 z) (SIREN, NeurIPS 2020, section 3).

    Args:
        z: Pre-activation, any shape, real.
        omega_0: Frequency factor.

    Returns:
        The shape of `z`, in [-1, 1].

    Example:
        >>> import torch
        >>> from finer_core.activations import sine
        >>> sine(torch.tensor([0.0, 0.5]), omega_0=3.141592653589793)
        tensor([0., 1.])
    """
    return apply_formula(z, SineFormula(omega_0))


def finer(
    z: Float[Tensor, "*shape"], *, omega_0: float = 30.0, scale_req_grad: bool = False
) -> Float[Tensor, "*shape"]:
    r"""Apply FINER's variable-periodic sine.

    Formula: sin(omega_0 (|z| + 1) z) (FINER, CVPR 2024, section 3.2). The local frequency
    omega_0 (2|z| + 1) grows with |z|, so the range of the bias chooses the frequencies.

    Args:
        z: Pre-activation, any shape, real.
        omega_0: Frequency factor.
        scale_req_grad: Differentiate through (|z| + 1). False is the published rule: the derivative is then
            omega_0 (|z| + 1) cos(.), which is *not* the derivative of the function.

    Returns:
        The shape of `z`, in [-1, 1].

    Example:
        >>> import torch
        >>> from finer_core.activations import finer
        >>> finer(torch.tensor([0.0, 0.5]), omega_0=2.0)
        tensor([0.0000, 0.9975])
    """
    return apply_formula(z, FinerFormula(omega_0), scale_req_grad=scale_req_grad)


def gauss(z: Float[Tensor, "*shape"], *, scale: float = 30.0) -> Float[Tensor, "*shape"]:
    r"""Apply the Gaussian activation.

    Formula: exp(-(scale z)^2) (Ramasinghe and Lucey, ECCV 2022).

    What is below the root of the smallest normal number, 1.1e-19 in single precision, is 0: products of it would be
    subnormal, which some processors compute dozens of times slower.

    Args:
        z: Pre-activation, any shape, real.
        scale: Inverse width.

    Returns:
        The shape of `z`, in [0, 1].

    Example:
        >>> import torch
        >>> from finer_core.activations import gauss
        >>> gauss(torch.tensor([0.0, 0.5]), scale=2.0)
        tensor([1.0000, 0.3679])
    """
    return apply_formula(z, GaussFormula(scale))


def gauss_finer(
    z: Float[Tensor, "*shape"],
    *,
    scale: float = 3.0,
    omega_0: float = 10.0,
    normalized: bool = False,
    scale_req_grad: bool = False,
) -> Float[Tensor, "*shape"]:
    r"""Apply FINER++'s Gaussian.

    Formula: g = exp(-(scale sin(omega_0 (|z| + 1) z))^2) (FINER++, section 3); `normalized` maps its range
    [e, 1] with e = exp(-scale^2) onto [0, 1] as (g - e) / (1 - e).

    Args:
        z: Pre-activation, any shape, real.
        scale: Inverse width of the Gaussian.
        omega_0: Frequency factor of the inner sine.
        normalized: Map the range onto [0, 1] (the published SDF variant).
        scale_req_grad: Differentiate through (|z| + 1); see `finer`.

    Returns:
        The shape of `z`.

    Example:
        >>> import torch
        >>> from finer_core.activations import gauss_finer
        >>> gauss_finer(torch.tensor([0.0, 0.5]), omega_0=2.0)
        tensor([1.0000e+00, 1.2909e-04])
    """
    formula = gauss_finer_formula(scale=scale, omega_0=omega_0, normalized=normalized)
    return apply_formula(z, formula, scale_req_grad=scale_req_grad)


def wire(z: Inexact[Tensor, "*shape"], *, omega_0: float = 20.0, scale: float = 10.0) -> Inexact[Tensor, "*shape"]:
    r"""Apply WIRE's complex Gabor wavelet.

    Formula: exp(i omega_0 z - |scale z|^2) (WIRE, CVPR 2023, section 3).

    An envelope below the root of the smallest normal number is 0, as `gauss` is.

    Args:
        z: Pre-activation, any shape, real or complex.
        omega_0: Frequency of the carrier.
        scale: Inverse width of the envelope.

    Returns:
        Complex, the shape of `z`.

    Example:
        >>> import torch
        >>> from finer_core.activations import wire
        >>> wire(torch.tensor([0.0, 0.5]), omega_0=2.0, scale=1.0)
        tensor([1.0000+0.0000j, 0.4208+0.6553j])
    """
    return apply_formula(z, WireFormula(omega_0, scale))


def wire_finer(
    z: Inexact[Tensor, "*shape"],
    *,
    omega_0: float = 5.0,
    omega_w: float = 4.0,
    scale: float = 2.0,
    complex_factor: ComplexFactor = "separate",
    scale_req_grad: bool = False,
) -> Inexact[Tensor, "*shape"]:
    r"""Apply FINER++'s complex wavelet.

    Formula: u = sin(omega_0 (|z| + 1) z), then exp(i omega_w u - |scale u|^2) (FINER++, section 3). For complex z
    the factor acts on real and imaginary part separately, (|x|+1) x + i (|y|+1) y, or by the modulus, (|z|+1) z.

    Args:
        z: Pre-activation, any shape, real or complex.
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the wavelet's carrier.
        scale: Inverse width of the wavelet's envelope.
        complex_factor: "separate" (FINER++'s images) or "modulus" (its SDF code). The same weights give different
            functions under the two.
        scale_req_grad: Differentiate through (|z| + 1); see `finer`.

    Returns:
        Complex, the shape of `z`.

    Raises:
        ValueError: If `complex_factor` is neither of the two.

    Example:
        >>> import torch
        >>> from finer_core.activations import wire_finer
        >>> wire_finer(torch.tensor([0.0, 0.5]), omega_0=2.0)
        tensor([ 1.0000+0.0000j, -0.0124-0.0140j])
    """
    if complex_factor not in ("separate", "modulus"):
        raise ValueError(f"complex_factor must be 'separate' or 'modulus', got {complex_factor!r}")
    formula = WireFinerFormula(omega_0, omega_w, scale, complex_factor)
    return apply_formula(z, formula, scale_req_grad=scale_req_grad)


def real_wire(z: Float[Tensor, "*shape"], *, omega_w: float = 20.0, scale: float = 10.0) -> Float[Tensor, "*shape"]:
    r"""Apply the real part of WIRE's wavelet, for devices and layers without complex arithmetic.

    Formula: cos(omega_w z) exp(-(scale z)^2).

    An envelope below the root of the smallest normal number is 0, as `gauss` is.

    Args:
        z: Pre-activation, any shape, real.
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.

    Returns:
        The shape of `z`, in [-1, 1].

    Example:
        >>> import torch
        >>> from finer_core.activations import real_wire
        >>> real_wire(torch.tensor([0.0, 0.5]), omega_w=2.0, scale=1.0)
        tensor([1.0000, 0.4208])
    """
    return apply_formula(z, RealWireFormula(omega_w, scale))


def real_wire_finer(
    z: Float[Tensor, "*shape"],
    *,
    omega_0: float = 5.0,
    omega_w: float = 4.0,
    scale: float = 2.0,
    scale_req_grad: bool = False,
) -> Float[Tensor, "*shape"]:
    r"""Apply the real wavelet to FINER's sine.

    Formula: u = sin(omega_0 (|z| + 1) z), then cos(omega_w u) exp(-(scale u)^2).

    Args:
        z: Pre-activation, any shape, real.
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.
        scale_req_grad: Differentiate through (|z| + 1); see `finer`.

    Returns:
        The shape of `z`, in [-1, 1].

    Example:
        >>> import torch
        >>> from finer_core.activations import real_wire_finer
        >>> real_wire_finer(torch.tensor([0.0, 0.5]), omega_0=2.0)
        tensor([ 1.0000, -0.0124])
    """
    formula = real_wire_finer_formula(omega_0=omega_0, omega_w=omega_w, scale=scale)
    return apply_formula(z, formula, scale_req_grad=scale_req_grad)


def relu(z: Tensor) -> Tensor:
    """Apply max(z, 0), the activation of networks on a positional encoding.

    Args:
        z: Pre-activation, any shape, real.

    Returns:
        The shape of `z`, non-negative.

    Example:
        >>> import torch
        >>> from finer_core.activations import relu
        >>> relu(torch.tensor([0.0, 0.5]))
        tensor([0.0000, 0.5000])
    """
    return torch.relu(z)
