"""Activations as modules, each a thin wrapper of its function: two lines change an existing MLP.

Example:
    >>> import torch
    >>> from torch import nn
    >>> from finer_core.activations import FinerActivation
    >>> mlp = nn.Sequential(nn.Linear(2, 64), FinerActivation(omega_0=30.0), nn.Linear(64, 3))
"""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from finer_core.activations import functional
from finer_core.activations._kernels.cpu import kernel_of
from finer_core.activations._kernels.fused_mlp import is_hooked
from finer_core.activations.formulas import (
    FinerFormula,
    GaussFormula,
    RealFormula,
    RealWireFormula,
    SineFormula,
    checked_constants,
    constants_of,
    gauss_finer_formula,
    real_wire_finer_formula,
)
from finer_core.activations.wavelets import ComplexFactor, WireFinerFormula, WireFormula
from finer_core.shapes import Inexact


class Activation(nn.Module):
    """Hold an activation's hyper-parameters and apply its function.

    Subclasses name the function and pass their hyper-parameters to `__init__`. Not for direct use.

    Args:
        **hyper_parameters: Keyword arguments of the function; numbers, where its own defaults are.

    Raises:
        InputError: For what is no finite number, or a parameter, which would not be trained.

    Example:
        >>> from finer_core.activations import Activation, SineActivation
        >>> isinstance(SineActivation(omega_0=10.0), Activation), SineActivation(omega_0=10.0)
        (True, SineActivation(omega_0=10.0))
    """

    function: ClassVar[Callable[..., Tensor]]
    formula: ClassVar[Callable[..., Any] | None] = None
    """Makes what `function` computes from the hyper-parameters: a real formula, or a complex wavelet."""

    def __init__(self, **hyper_parameters: Any) -> None:
        super().__init__()
        self.hyper_parameters = checked_constants(hyper_parameters, **constants_of(type(self)))

    def forward(self, z: Inexact[Tensor, "*shape"]) -> Inexact[Tensor, "*shape"]:
        """Return the activation of `z`, any shape."""
        return type(self).function(z, **self.hyper_parameters)

    def real_formula(self) -> RealFormula | None:
        """Return the formula that this module stands for; None where it does more, or something else."""
        if type(self).forward is not Activation.forward or is_hooked(self):
            return None
        return formula if isinstance(formula := self._formula(), RealFormula) else None

    def complex_formula(self) -> Any:
        """Return the formula that this module stands for if it is a complex one; None if it is not."""
        return None if isinstance(formula := self._formula(), RealFormula) else formula

    def kernel(self) -> tuple[str, str] | None:
        """Return name and digest of the compiled kernels that compute it on a CPU; None without compiler or kernels."""
        return None if (formula := self._formula()) is None else kernel_of(formula)

    def _formula(self) -> Any:
        make = type(self).formula
        constants = {name: value for name, value in self.hyper_parameters.items() if name != "scale_req_grad"}
        return None if make is None else make(**constants)

    def extra_repr(self) -> str:
        """Show every hyper-parameter."""
        return ", ".join(f"{name}={value!r}" for name, value in self.hyper_parameters.items())


class SineActivation(Activation):
    """sin(omega_0 z); see `functional.sine`.

    Args:
        omega_0: Frequency factor.

    Example:
        >>> import torch
        >>> from finer_core.activations import SineActivation
        >>> SineActivation(omega_0=2.0)(torch.tensor([0.0, 0.5]))
        tensor([0.0000, 0.8415])
    """

    function = functional.sine
    formula = SineFormula

    def __init__(self, *, omega_0: float = 30.0) -> None:
        super().__init__(omega_0=omega_0)


class FinerActivation(Activation):
    """sin(omega_0 (|z| + 1) z); see `functional.finer`.

    Args:
        omega_0: Frequency factor.
        scale_req_grad: Differentiate through (|z| + 1); see `functional.finer`.

    Example:
        >>> import torch
        >>> from finer_core.activations import FinerActivation
        >>> FinerActivation(omega_0=2.0)(torch.tensor([0.0, 0.5]))
        tensor([0.0000, 0.9975])
    """

    function = functional.finer
    formula = FinerFormula

    def __init__(self, *, omega_0: float = 30.0, scale_req_grad: bool = False) -> None:
        super().__init__(omega_0=omega_0, scale_req_grad=scale_req_grad)


class GaussActivation(Activation):
    """exp(-(scale z)^2); see `functional.gauss`.

    Args:
        scale: Inverse width.

    Example:
        >>> import torch
        >>> from finer_core.activations import GaussActivation
        >>> GaussActivation(scale=2.0)(torch.tensor([0.0, 0.5]))
        tensor([1.0000, 0.3679])
    """

    function = functional.gauss
    formula = GaussFormula

    def __init__(self, *, scale: float = 30.0) -> None:
        super().__init__(scale=scale)


class GaussFinerActivation(Activation):
    """FINER++'s Gaussian; see `functional.gauss_finer`.

    Args:
        scale: Inverse width of the Gaussian.
        omega_0: Frequency factor of the inner sine.
        normalized: Map the range onto [0, 1].
        scale_req_grad: Differentiate through (|z| + 1); see `functional.finer`.

    Example:
        >>> import torch
        >>> from finer_core.activations import GaussFinerActivation
        >>> GaussFinerActivation(omega_0=2.0)(torch.tensor([0.0, 0.5]))
        tensor([1.0000e+00, 1.2909e-04])
    """

    function = functional.gauss_finer
    formula = staticmethod(gauss_finer_formula)

    def __init__(
        self,
        *,
        scale: float = 3.0,
        omega_0: float = 10.0,
        normalized: bool = False,
        scale_req_grad: bool = False,
    ) -> None:
        super().__init__(scale=scale, omega_0=omega_0, normalized=normalized, scale_req_grad=scale_req_grad)


class WireActivation(Activation):
    """exp(i omega_0 z - |scale z|^2), complex; see `functional.wire`.

    Args:
        omega_0: Frequency of the carrier.
        scale: Inverse width of the envelope.

    Example:
        >>> import torch
        >>> from finer_core.activations import WireActivation
        >>> WireActivation(omega_0=2.0, scale=1.0)(torch.tensor([0.0, 0.5]))
        tensor([1.0000+0.0000j, 0.4208+0.6553j])
    """

    function = functional.wire
    formula = WireFormula

    def __init__(self, *, omega_0: float = 20.0, scale: float = 10.0) -> None:
        super().__init__(omega_0=omega_0, scale=scale)


class WireFinerActivation(Activation):
    """FINER++'s wavelet, complex; see `functional.wire_finer`.

    Args:
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.
        complex_factor: "separate" or "modulus"; see `functional.wire_finer`.
        scale_req_grad: Differentiate through (|z| + 1); see `functional.finer`.

    Example:
        >>> import torch
        >>> from finer_core.activations import WireFinerActivation
        >>> WireFinerActivation(omega_0=2.0)(torch.tensor([0.0, 0.5]))
        tensor([ 1.0000+0.0000j, -0.0124-0.0140j])
    """

    function = functional.wire_finer
    formula = WireFinerFormula

    def __init__(
        self,
        *,
        omega_0: float = 5.0,
        omega_w: float = 4.0,
        scale: float = 2.0,
        complex_factor: ComplexFactor = "separate",
        scale_req_grad: bool = False,
    ) -> None:
        super().__init__(
            omega_0=omega_0,
            omega_w=omega_w,
            scale=scale,
            complex_factor=complex_factor,
            scale_req_grad=scale_req_grad,
        )


class RealWireActivation(Activation):
    """cos(omega_w z) exp(-(scale z)^2); see `functional.real_wire`.

    Args:
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.

    Example:
        >>> import torch
        >>> from finer_core.activations import RealWireActivation
        >>> RealWireActivation(omega_w=2.0, scale=1.0)(torch.tensor([0.0, 0.5]))
        tensor([1.0000, 0.4208])
    """

    function = functional.real_wire
    formula = RealWireFormula

    def __init__(self, *, omega_w: float = 20.0, scale: float = 10.0) -> None:
        super().__init__(omega_w=omega_w, scale=scale)


class RealWireFinerActivation(Activation):
    """The real wavelet of FINER's sine; see `functional.real_wire_finer`.

    Args:
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.
        scale_req_grad: Differentiate through (|z| + 1); see `functional.finer`.

    Example:
        >>> import torch
        >>> from finer_core.activations import RealWireFinerActivation
        >>> RealWireFinerActivation(omega_0=2.0)(torch.tensor([0.0, 0.5]))
        tensor([ 1.0000, -0.0124])
    """

    function = functional.real_wire_finer
    formula = staticmethod(real_wire_finer_formula)

    def __init__(
        self,
        *,
        omega_0: float = 5.0,
        omega_w: float = 4.0,
        scale: float = 2.0,
        scale_req_grad: bool = False,
    ) -> None:
        super().__init__(omega_0=omega_0, omega_w=omega_w, scale=scale, scale_req_grad=scale_req_grad)


class ReluActivation(Activation):
    """max(z, 0); see `functional.relu`.

    Example:
        >>> import torch
        >>> from finer_core.activations import ReluActivation
        >>> ReluActivation()(torch.tensor([0.0, 0.5]))
        tensor([0.0000, 0.5000])
    """

    function = functional.relu

    def __init__(self) -> None:
        super().__init__()
