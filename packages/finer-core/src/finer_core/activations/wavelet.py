"""Complex wavelet activations (WIRE, Wire-FINER) as formulas.

They are not holomorphic, so a derivative is the pair of Wirtinger derivatives: df = a dz + b conj(dz) with
a = df/dz and b = df/dconj(z). PyTorch's gradient convention (dL/dRe + i dL/dIm) then gives
vjp = conj(a) g + b conj(g). Real input (the first layer) keeps only the real part of it.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from finer_core.activations.real import finer_phase_and_slope

ComplexFactor = Literal["separate", "modulus"]
"""How |z| + 1 acts on complex z: on the real and imaginary parts "separate"ly, or by the "modulus"."""


def _gabor(z: Tensor, *, omega_0: float, scale: float) -> Tensor:
    """Return exp(i omega_0 z - |scale z|^2); complex whatever `z` is."""
    return torch.exp(1j * omega_0 * z - (scale * z).abs().square())


def _gabor_vjp(z: Tensor, grad: Tensor, *, omega_0: float, scale: float) -> Tensor:
    """Pull `grad` back through the Gabor wavelet at complex or real `z`."""
    f = _gabor(z, omega_0=omega_0, scale=scale)
    back = f.conj() * grad  # conj(a) g + b conj(g) = (-i omega_0 - s^2 z) back - s^2 z conj(back)
    if not z.is_complex():
        return omega_0 * back.imag - (2 * scale**2) * z * back.real
    return -1j * omega_0 * back - (2 * scale**2) * z * back.real


def _gabor_jvp(z: Tensor, tangent: Tensor, *, omega_0: float, scale: float) -> Tensor:
    """Push `tangent` forward through the Gabor wavelet: f (i omega_0 t - 2 scale^2 Re(conj(z) t))."""
    radial = (z.conj() * tangent).real if z.is_complex() else z * tangent
    return _gabor(z, omega_0=omega_0, scale=scale) * (1j * omega_0 * tangent - (2 * scale**2) * radial)


@dataclass(frozen=True)
class WireFormula:
    """exp(i omega_0 z - |scale z|^2)."""

    omega_0: float
    scale: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z), complex."""
        return _gabor(z, omega_0=self.omega_0, scale=self.scale)

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, of z's own (real or complex) type."""
        return _gabor_vjp(z, grad, omega_0=self.omega_0, scale=self.scale)

    def jvp(self, z: Tensor, tangent: Tensor, *, exact: bool) -> Tensor:
        """Return the directional derivative along `tangent`."""
        return _gabor_jvp(z, tangent, omega_0=self.omega_0, scale=self.scale)


@dataclass(frozen=True)
class WireFinerFormula:
    """exp(i omega_w u - |scale u|^2) with u = sin(h), h the FINER phase of a real or complex pre-activation."""

    omega_0: float
    omega_w: float
    scale: float
    complex_factor: ComplexFactor

    def value(self, z: Tensor) -> Tensor:
        """Return f(z), complex."""
        u = torch.sin(self._phase(z, exact=True))
        return _gabor(u, omega_0=self.omega_w, scale=self.scale)

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, of z's own (real or complex) type."""
        phase = self._phase(z, exact=exact)
        grad_u = _gabor_vjp(torch.sin(phase), grad, omega_0=self.omega_w, scale=self.scale)
        grad_phase = grad_u * torch.cos(phase).conj()  # the sine is holomorphic
        return self._phase_vjp(z, grad_phase, exact=exact)

    def jvp(self, z: Tensor, tangent: Tensor, *, exact: bool) -> Tensor:
        """Return the directional derivative along `tangent`."""
        phase = self._phase(z, exact=exact)
        tangent_u = torch.cos(phase) * self._phase_jvp(z, tangent, exact=exact)
        return _gabor_jvp(torch.sin(phase), tangent_u, omega_0=self.omega_w, scale=self.scale)

    def _phase(self, z: Tensor, *, exact: bool) -> Tensor:
        if not z.is_complex():
            return finer_phase_and_slope(z, omega_0=self.omega_0, exact=exact)[0]
        if self.complex_factor == "separate":
            parts = (finer_phase_and_slope(p, omega_0=self.omega_0, exact=exact)[0] for p in (z.real, z.imag))
            return torch.complex(*parts)
        modulus = z.abs() if exact else z.detach().abs()
        return self.omega_0 * (modulus + 1) * z

    def _phase_vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        if not z.is_complex() or self.complex_factor == "separate":
            return self._scale_parts(z, grad, exact=exact)
        modulus, along = self._modulus_and_direction(z, grad, exact=exact)
        return self.omega_0 * ((modulus + 1) * grad + along)

    # |z| z is its own kind of symmetric: the same real-linear map serves vjp and jvp in both rules.
    _phase_jvp = _phase_vjp

    def _scale_parts(self, z: Tensor, t: Tensor, *, exact: bool) -> Tensor:
        if not z.is_complex():
            return finer_phase_and_slope(z, omega_0=self.omega_0, exact=exact)[1] * t
        slopes = (finer_phase_and_slope(p, omega_0=self.omega_0, exact=exact)[1] for p in (z.real, z.imag))
        return torch.complex(*(slope * part for slope, part in zip(slopes, (t.real, t.imag), strict=True)))

    @staticmethod
    def _modulus_and_direction(z: Tensor, t: Tensor, *, exact: bool) -> tuple[Tensor, Tensor | float]:
        if not exact:
            return z.detach().abs(), 0.0
        modulus = z.abs()
        radius = torch.where(modulus == 0, torch.ones_like(modulus), modulus)  # |z| z is smooth enough at 0: slope 0
        return modulus, z * (z.conj() * t).real / radius
