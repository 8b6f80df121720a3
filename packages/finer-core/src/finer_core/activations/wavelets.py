"""Complex wavelet activations (WIRE, Wire-FINER) as formulas, computed in real arithmetic.

They are not holomorphic, so a derivative is the pair of Wirtinger derivatives: df = a dz + b conj(dz) with
a = df/dz and b = df/dconj(z). PyTorch's gradient convention (dL/dRe + i dL/dIm) then gives
vjp = conj(a) g + b conj(g). Real input (the first layer) keeps only the real part of it.

A complex number is a `Pair` of real tensors here: PyTorch's complex exponential and sine take 40 and 90 ns a number on
a CPU, because they are not vectorized; each real function in their place takes 2 ns.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from finer_core.activations.formulas import finer_phase_and_slope
from finer_core.activations.tails import without_tail

ComplexFactor = Literal["separate", "modulus"]
"""How |z| + 1 acts on complex z: on the real and imaginary parts "separate"ly, or by the "modulus"."""


class Pair(NamedTuple):
    """Hold a complex number's parts, or a real number and None."""

    re: Tensor
    im: Tensor | None

    @classmethod
    def of(cls, z: Tensor) -> "Pair":
        """Take a tensor apart."""
        return cls(z.real.contiguous(), z.imag.contiguous()) if z.is_complex() else cls(z, None)

    def tensor(self) -> Tensor:
        """Return the complex tensor, or the real one."""
        return self.re if self.im is None else torch.complex(self.re, self.im)


def _gabor(z: Pair, *, omega_0: float, scale: float) -> Pair:
    """Return exp(i omega_0 z - |scale z|^2); complex whatever `z` is."""
    exponent = (-(scale**2)) * z.re * z.re
    if z.im is not None:
        exponent = exponent - (scale**2) * z.im * z.im - omega_0 * z.im
    size, phase = without_tail(torch.exp(exponent)), omega_0 * z.re
    return Pair(size * torch.cos(phase), size * torch.sin(phase))


def _gabor_vjp(z: Pair, grad: Tensor, *, omega_0: float, scale: float) -> Pair:
    """Pull the complex `grad` back through the Gabor wavelet at `z`."""
    f, g = _gabor(z, omega_0=omega_0, scale=scale), Pair.of(grad)
    assert f.im is not None and g.im is not None
    # back = conj(f) g; conj(a) g + b conj(g) = -i omega_0 back - 2 s^2 z Re(back)
    back_re = f.re * g.re + f.im * g.im
    back_im = f.re * g.im - f.im * g.re
    radial = (-2 * scale**2) * back_re
    along = omega_0 * back_im + radial * z.re
    return Pair(along, None if z.im is None else radial * z.im - omega_0 * back_re)


def _gabor_jvp(z: Pair, tangent: Pair, *, omega_0: float, scale: float) -> Tensor:
    """Push `tangent` forward through the Gabor wavelet: f (i omega_0 t - 2 scale^2 Re(conj(z) t))."""
    f = _gabor(z, omega_0=omega_0, scale=scale)
    real = (-2 * scale**2) * z.re * tangent.re
    if z.im is not None and tangent.im is not None:
        real = real - (2 * scale**2) * z.im * tangent.im - omega_0 * tangent.im
    return f.tensor() * torch.complex(real, omega_0 * tangent.re)


def _sine_and_cosine(z: Pair) -> tuple[Pair, Pair]:
    """Return sin z = sin x cosh y + i cos x sinh y and cos z = cos x cosh y - i sin x sinh y of z = x + iy."""
    sine, cosine = torch.sin(z.re), torch.cos(z.re)
    if z.im is None:
        return Pair(sine, None), Pair(cosine, None)
    grown, tilted = torch.cosh(z.im), torch.sinh(z.im)
    return Pair(sine * grown, cosine * tilted), Pair(cosine * grown, -(sine * tilted))


@dataclass(frozen=True)
class WireFormula:
    """exp(i omega_0 z - |scale z|^2)."""

    omega_0: float
    scale: float

    def value(self, z: Tensor) -> Tensor:
        """Return f(z), complex."""
        return self.pair_value(Pair.of(z)).tensor()

    def pair_value(self, z: Pair) -> Pair:
        """Return f(z) without a complex number anywhere."""
        return _gabor(z, omega_0=self.omega_0, scale=self.scale)

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, of z's own (real or complex) type."""
        return _gabor_vjp(Pair.of(z), grad, omega_0=self.omega_0, scale=self.scale).tensor()

    def jvp(self, z: Tensor, tangent: Tensor, *, exact: bool) -> Tensor:
        """Return the directional derivative along `tangent`."""
        return _gabor_jvp(Pair.of(z), Pair.of(tangent), omega_0=self.omega_0, scale=self.scale)


@dataclass(frozen=True)
class WireFinerFormula:
    """exp(i omega_w u - |scale u|^2) with u = sin(h), h the FINER phase of a real or complex pre-activation."""

    omega_0: float
    omega_w: float
    scale: float
    complex_factor: ComplexFactor

    def value(self, z: Tensor) -> Tensor:
        """Return f(z), complex."""
        return self.pair_value(Pair.of(z)).tensor()

    def pair_value(self, z: Pair) -> Pair:
        """Return f(z) without a complex number anywhere, but for the modulus of `complex_factor`."""
        u, _ = _sine_and_cosine(self._phase(z, exact=True))
        return _gabor(u, omega_0=self.omega_w, scale=self.scale)

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, of z's own (real or complex) type."""
        parts = Pair.of(z)
        u, slope = _sine_and_cosine(self._phase(parts, exact=exact))
        grad_u = _gabor_vjp(u, grad, omega_0=self.omega_w, scale=self.scale)
        return self._scale(parts, _times_conjugate(grad_u, slope), exact=exact).tensor()  # the sine is holomorphic

    def jvp(self, z: Tensor, tangent: Tensor, *, exact: bool) -> Tensor:
        """Return the directional derivative along `tangent`."""
        parts = Pair.of(z)
        u, slope = _sine_and_cosine(self._phase(parts, exact=exact))
        tangent_u = Pair.of(slope.tensor() * self._scale(parts, Pair.of(tangent), exact=exact).tensor())
        return _gabor_jvp(u, tangent_u, omega_0=self.omega_w, scale=self.scale)

    def _phase(self, z: Pair, *, exact: bool) -> Pair:
        if z.im is None or self.complex_factor == "separate":
            return Pair(*(None if p is None else self._phase_and_slope(p, exact=exact)[0] for p in z))  # type: ignore[arg-type]
        modulus = _modulus(z)
        factor = self.omega_0 * ((modulus if exact else modulus.detach()) + 1)
        return Pair(factor * z.re, factor * z.im)

    def _scale(self, z: Pair, t: Pair, *, exact: bool) -> Pair:
        """Apply the derivative of the phase, a symmetric real-linear map, and so the same for vjp and jvp."""
        if z.im is None or t.im is None:
            return Pair(self._phase_and_slope(z.re, exact=exact)[1] * t.re, None)
        if self.complex_factor == "separate":
            slopes = [self._phase_and_slope(p, exact=exact)[1] for p in (z.re, z.im)]
            return Pair(slopes[0] * t.re, slopes[1] * t.im)
        modulus = _modulus(z)
        factor = self.omega_0 * ((modulus if exact else modulus.detach()) + 1)
        if not exact:
            return Pair(factor * t.re, factor * t.im)
        radius = torch.where(modulus == 0, torch.ones_like(modulus), modulus)  # |z| z is smooth enough at 0: slope 0
        along = self.omega_0 * (z.re * t.re + z.im * t.im) / radius
        return Pair(factor * t.re + along * z.re, factor * t.im + along * z.im)

    def _phase_and_slope(self, part: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        return finer_phase_and_slope(part, omega_0=self.omega_0, exact=exact)


def _times_conjugate(a: Pair, b: Pair) -> Pair:
    """Return a conj(b)."""
    if a.im is None or b.im is None:
        return Pair(a.re * b.re, None)
    return Pair(a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im)


def _modulus(z: Pair) -> Tensor:
    """Return |z|, with the derivative that `torch.abs` gives it at 0."""
    if torch.compiler.is_compiling() and z.im is not None:  # a graph without complex numbers; nothing derives it
        return (z.re * z.re + z.im * z.im).sqrt()
    return z.tensor().abs()
