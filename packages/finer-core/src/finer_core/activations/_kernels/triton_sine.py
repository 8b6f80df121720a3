"""FINER's sine and SIREN's as Triton kernels: value and slope in one pass over memory, in place of PyTorch's six."""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from finer_core.activations.formulas import FinerFormula, RealFormula, SineFormula

_BLOCK = 1024


class TritonKernels:
    """Serve sin(omega h), h = z or (|z| + 1) z, of contiguous float32 tensors on an NVIDIA GPU.

    Args:
        omega_0: Frequency factor.
        has_factor: Whether there is the FINER factor.
    """

    def __init__(self, *, omega_0: float, has_factor: bool) -> None:
        self.omega_0, self.has_factor = omega_0, has_factor

    def serves(self, *tensors: Tensor) -> bool:
        """Return whether the kernels take such tensors."""
        return all(t.dtype == torch.float32 and t.is_contiguous() and 0 < t.numel() < 2**31 - _BLOCK for t in tensors)

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        return self._run(z, exact=False, has_slope=False, slope=z)[0]

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, given `grad` with respect to f(z)."""
        return self.value_and_slope(z, exact=exact)[1].mul_(grad)

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        return self._run(z, exact=exact, has_slope=True, slope=torch.empty_like(z))

    def value_and_slope_(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz, and use up z."""
        return self._run(z, exact=exact, has_slope=True, slope=z)

    def _run(self, z: Tensor, *, exact: bool, has_slope: bool, slope: Tensor) -> tuple[Tensor, Tensor]:
        value = torch.empty_like(z)
        count = z.numel()
        _kernel[(triton.cdiv(count, _BLOCK),)](
            *(z, value, slope, count, self.omega_0),
            HAS_FACTOR=self.has_factor,
            EXACT=exact,
            HAS_SLOPE=has_slope,
            BLOCK=_BLOCK,
        )
        return value, slope


@triton.jit
def _kernel(  # type: ignore[no-untyped-def]
    z_in, value_out, slope_out, count, omega,
    HAS_FACTOR: tl.constexpr, EXACT: tl.constexpr, HAS_SLOPE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write sin(omega h) and, unless it is not wanted, its derivative; slope_out may be z_in."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    z = tl.load(z_in + place, mask=inside, other=0.0)
    factor = omega
    phase = omega * z
    if HAS_FACTOR:
        factor = omega * (tl.abs(z) + 1.0)
        phase = factor * z
        if EXACT:
            factor = 2.0 * factor - omega
    tl.store(value_out + place, tl.sin(phase), mask=inside)
    if HAS_SLOPE:
        tl.store(slope_out + place, tl.cos(phase) * factor, mask=inside)


@lru_cache(maxsize=64)
def triton_kernels(formula: RealFormula) -> TritonKernels | None:
    """Return a formula's kernels; None for one that has none."""
    if isinstance(formula, FinerFormula):
        return TritonKernels(omega_0=formula.omega_0, has_factor=True)
    return TritonKernels(omega_0=formula.omega_0, has_factor=False) if isinstance(formula, SineFormula) else None
