"""Real activations as formulas: value, exact derivative, and the published rule with the factor held constant.

`h` below is the FINER phase omega_0 (|z| + 1) z; its slope is omega_0 (2|z| + 1), or omega_0 (|z| + 1) by the
published rule (FINER, CVPR 2024, section 3; see `finer_core.activations.derivative_mode`).
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from finer_core.activations.derivative_mode import operations_are_recorded
from finer_core.activations.tails import without_tail, without_tail_
from finer_core.errors import InputError
from finer_core.schema import check_flag, check_within


def checked_constants(
    constants: Mapping[str, Any], *, numbers: Collection[str], flags: Collection[str] = ()
) -> dict[str, Any]:
    """Return an activation's constants by name, a tensor of one number as that number.

    Args:
        constants: The constants.
        numbers: The names of those that are numbers.
        flags: The names of those that are true or false.

    Raises:
        InputError: If one of these is something else, a number not finite, or one a parameter, which would not be
            trained.
    """
    found = {}
    for name, value in constants.items():
        if isinstance(value, Tensor) and value.requires_grad:
            raise InputError(
                f"{name} is a constant of the activation and would not be trained; give a number, and multiply the "
                "activation's input by the parameter"
            )
        found[name] = value
        if name in numbers:
            found[name] = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
            check_within(found[name], "(-inf, inf)", what=name)
        elif name in flags:
            check_flag(value, what=name)
            found[name] = bool(value)
    return found


def constants_of(activation: type) -> dict[str, list[str]]:
    """Return which constants the function of an activation takes "numbers" and "flags" for, as its defaults say."""
    try:
        taken = inspect.signature(activation.function).parameters.items()  # type: ignore[attr-defined]
    except (AttributeError, ValueError):  # no function, or one of PyTorch's, of whose defaults Python knows nothing
        return {"numbers": [], "flags": []}
    kinds = {"numbers": (int, float), "flags": (bool,)}
    return {kind: [name for name, each in taken if type(each.default) in types] for kind, types in kinds.items()}


def check_tensors(formula: Any) -> None:
    """Raise InputError if a constant of a formula, or of one inside it, is a parameter, or a tensor of many numbers.

    In `torch.compile`'s graph, where numbers are not known, only parameters are looked for.
    """
    is_compiling = torch.compiler.is_compiling()
    for name, value in vars(formula).items():
        if isinstance(value, RealFormula):
            check_tensors(value)
        elif isinstance(value, Tensor) and (value.requires_grad or not is_compiling):
            checked_constants({name: value}, numbers=(name,))


def finer_phase(z: Tensor, *, omega_0: float) -> Tensor:
    """Return h = omega_0 (|z| + 1) z in a new buffer, for use where no graph is recorded."""
    return z.abs().add_(1).mul_(z).mul_(omega_0)


def finer_phase_and_slope(z: Tensor, *, omega_0: float, exact: bool) -> tuple[Tensor, Tensor]:
    """Return h = omega_0 (|z| + 1) z and dh/dz, both differentiable; the factor is a constant unless `exact`."""
    if exact:
        magnitude = z.abs()
        return omega_0 * (magnitude + 1) * z, omega_0 * (2 * magnitude + 1)
    slope = (z.detach().abs() + 1) * omega_0
    return slope * z, slope


def _bell_(t: Tensor) -> Tensor:
    """Turn t into exp(-t^2) in place; `mul_`, because torch.func has no batching rule for `square_`."""
    return without_tail_(t.mul_(t).neg_().exp_())


class RealFormula(ABC):
    """Give a real activation its `vjp` and `jvp` from `derivative`."""

    @abstractmethod
    def value(self, z: Tensor) -> Tensor:
        """Return f(z) in a new buffer; runs without a graph."""

    @abstractmethod
    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return df/dz, the shape of `z`, by differentiable operations."""

    @abstractmethod
    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz with what they have in common computed once, in few buffers; runs without a graph."""

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return grad * df/dz."""
        slope = self.derivative(z, exact=exact)
        # A gradient of `torch.func` may be a batch of them, which does not fit into the memory of the slope.
        keep = operations_are_recorded() or torch._C._are_functorch_transforms_active()
        return grad * slope if keep else slope.mul_(grad)

    def jvp(self, z: Tensor, tangent: Tensor, *, exact: bool) -> Tensor:
        """Return tangent * df/dz."""
        return tangent * self.derivative(z, exact=exact)


@dataclass(frozen=True)
class SineFormula(RealFormula):
    """sin(omega_0 z)."""

    omega_0: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return z.mul(self.omega_0).sin_()

    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return omega_0 cos(omega_0 z)."""
        if operations_are_recorded():
            return self.omega_0 * torch.cos(self.omega_0 * z)
        return z.mul(self.omega_0).cos_().mul_(self.omega_0)

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        phase = z.mul(self.omega_0)
        return phase.sin(), phase.cos_().mul_(self.omega_0)


@dataclass(frozen=True)
class FinerFormula(RealFormula):
    """sin(omega_0 (|z| + 1) z)."""

    omega_0: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return finer_phase(z, omega_0=self.omega_0).sin_()

    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return cos(h) dh/dz, in two buffers where no graph is recorded."""
        if operations_are_recorded():
            phase, slope = finer_phase_and_slope(z, omega_0=self.omega_0, exact=exact)
            return torch.cos(phase) * slope
        phase, slope = self._phase_and_factor(z)
        return phase.cos_().mul_(self._slope_(slope, exact=exact))

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        phase, slope = self._phase_and_factor(z)
        return phase.sin(), phase.cos_().mul_(self._slope_(slope, exact=exact))

    def _phase_and_factor(self, z: Tensor) -> tuple[Tensor, Tensor]:
        factor = z.abs().add_(1).mul_(self.omega_0)
        return factor * z, factor

    def _slope_(self, factor: Tensor, *, exact: bool) -> Tensor:
        return factor.mul_(2).sub_(self.omega_0) if exact else factor  # omega_0 (2|z| + 1)


@dataclass(frozen=True)
class GaussFormula(RealFormula):
    """exp(-(scale z)^2)."""

    scale: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return _bell_(z.mul(self.scale))

    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return -2 scale^2 z f(z)."""
        if operations_are_recorded():
            return (-2 * self.scale**2) * z * without_tail(torch.exp(-((self.scale * z) ** 2)))
        return self.value(z).mul_(z).mul_(-2 * self.scale**2)

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        value = self.value(z)
        return value, (value * z).mul_(-2 * self.scale**2)


@dataclass(frozen=True)
class RealWireFormula(RealFormula):
    """cos(omega_w z) exp(-(scale z)^2)."""

    omega_w: float
    scale: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return _bell_(z.mul(self.scale)).mul_(z.mul(self.omega_w).cos_())

    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return -(omega_w sin(omega_w z) + 2 scale^2 z cos(omega_w z)) exp(-(scale z)^2)."""
        if not operations_are_recorded():
            return self.value_and_slope(z, exact=exact)[1]
        carrier = self.omega_w * z
        oscillation = self.omega_w * torch.sin(carrier) + (2 * self.scale**2) * z * torch.cos(carrier)
        return -oscillation * without_tail(torch.exp(-((self.scale * z) ** 2)))

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        bell = _bell_(z.mul(self.scale))
        carrier = z.mul(self.omega_w)
        value = carrier.cos().mul_(bell)
        slope = carrier.sin_().mul_(bell).mul_(-self.omega_w)
        return value, slope.sub_((value * z).mul_(2 * self.scale**2))


@dataclass(frozen=True)
class OfFinerSine(RealFormula):
    """outer(sin h): a FINER++ activation, the outer function fed with FINER's variable-periodic sine."""

    outer: GaussFormula | RealWireFormula
    omega_0: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return self.outer.value(finer_phase(z, omega_0=self.omega_0).sin_())

    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return outer'(sin h) cos(h) dh/dz."""
        if not operations_are_recorded():
            return self.value_and_slope(z, exact=exact)[1]
        phase, slope = finer_phase_and_slope(z, omega_0=self.omega_0, exact=exact)
        return self.outer.derivative(torch.sin(phase), exact=exact) * torch.cos(phase) * slope

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        inner, inner_slope = FinerFormula(self.omega_0).value_and_slope(z, exact=exact)
        value, slope = self.outer.value_and_slope(inner, exact=exact)
        return value, slope.mul_(inner_slope)


@dataclass(frozen=True)
class NormalizedGaussFinerFormula(RealFormula):
    """(g - e) / (1 - e) with g = exp(-(scale sin h)^2) and e = exp(-scale^2): Gauss-FINER mapped onto [0, 1]."""

    scale: float
    omega_0: float

    @property
    def _floor(self) -> float:
        return math.exp(-(self.scale**2))

    @property
    def _plain(self) -> OfFinerSine:
        return OfFinerSine(GaussFormula(self.scale), self.omega_0)

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return self._plain.value(z).sub_(self._floor).div_(1 - self._floor)

    def derivative(self, z: Tensor, *, exact: bool) -> Tensor:
        """Return df/dz of the plain activation over 1 - e."""
        return self._plain.derivative(z, exact=exact) / (1 - self._floor)

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        value, slope = self._plain.value_and_slope(z, exact=exact)
        return value.sub_(self._floor).div_(1 - self._floor), slope.div_(1 - self._floor)


def gauss_finer_formula(*, scale: float, omega_0: float, normalized: bool) -> OfFinerSine | NormalizedGaussFinerFormula:
    """Return FINER++'s Gaussian."""
    check_flag(normalized, what="normalized")
    if normalized:
        return NormalizedGaussFinerFormula(scale, omega_0)
    return OfFinerSine(GaussFormula(scale), omega_0)


def real_wire_finer_formula(*, omega_0: float, omega_w: float, scale: float) -> OfFinerSine:
    """Return the real wavelet of FINER's sine."""
    return OfFinerSine(RealWireFormula(omega_w, scale), omega_0)
