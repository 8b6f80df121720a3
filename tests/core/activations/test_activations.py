"""Activations: the published rule, memory, torch.func, half precision; `tests/contracts/formulas.py` has the rest."""

import pytest
import torch

from finer_core import activations
from finer_core.activations import exact_derivatives

# Soft settings for numerical differentiation, where finite differences resolve the function.
REAL = {
    "sine": lambda z, **k: activations.sine(z, omega_0=3.0),
    "finer": lambda z, **k: activations.finer(z, omega_0=3.0, **k),
    "gauss": lambda z, **k: activations.gauss(z, scale=2.0),
    "gauss_finer": lambda z, **k: activations.gauss_finer(z, scale=1.5, omega_0=2.0, **k),
    "gauss_finer_normalised": lambda z, **k: activations.gauss_finer(z, scale=1.5, omega_0=2.0, normalized=True, **k),
    "wire": lambda z, **k: activations.wire(z, omega_0=3.0, scale=1.5),
    "wire_finer": lambda z, **k: activations.wire_finer(z, omega_0=2.0, omega_w=3.0, scale=1.2, **k),
    "real_wire": lambda z, **k: activations.real_wire(z, omega_w=3.0, scale=1.5),
    "real_wire_finer": lambda z, **k: activations.real_wire_finer(z, omega_0=2.0, omega_w=3.0, scale=1.2, **k),
}
FINER_FAMILY = ("finer", "gauss_finer", "gauss_finer_normalised", "wire_finer", "real_wire_finer")


def points(*, complex_valued: bool = False) -> torch.Tensor:
    """Return points away from 0, where |z| has its kink."""
    generator = torch.Generator().manual_seed(0)
    size = torch.rand(12, dtype=torch.float64, generator=generator) * 0.8 + 0.15
    sign = torch.where(torch.arange(12) % 2 == 0, 1.0, -1.0)
    real = size * sign
    return torch.complex(real, real.flip(0) * 0.7) if complex_valued else real


@pytest.mark.parametrize("name", FINER_FAMILY)
def test_scale_req_grad_is_the_exact_derivative(name):
    z = points().requires_grad_(True)
    through = torch.autograd.grad(_total(REAL[name](z, scale_req_grad=True)), z)[0]
    with exact_derivatives():
        exact = torch.autograd.grad(_total(REAL[name](z)), z)[0]
    torch.testing.assert_close(through, exact, rtol=1e-12, atol=1e-12)
    held = torch.autograd.grad(_total(REAL[name](z)), z)[0]
    assert (held - exact).abs().max() > 0.05 * exact.abs().max(), "the published rule must differ from the derivative"


def test_published_rule_of_finer_by_hand():
    z = points().requires_grad_(True)
    (held,) = torch.autograd.grad(activations.finer(z, omega_0=7.0).sum(), z)
    factor = z.detach().abs() + 1
    torch.testing.assert_close(held, 7 * factor * torch.cos(7 * factor * z.detach()))


@pytest.mark.parametrize("name", REAL)
def test_only_the_pre_activation_is_saved(name):
    saved = []
    z = points().requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        REAL[name](z)
    assert len(saved) == 1
    assert saved[0].data_ptr() == z.data_ptr()


@pytest.mark.parametrize("name", REAL)
def test_torch_func_transforms(name):
    z = points()

    def total(v: torch.Tensor) -> torch.Tensor:
        return _total(REAL[name](v))

    per_point = torch.func.vmap(torch.func.grad(total))(z)
    torch.testing.assert_close(per_point, torch.func.grad(total)(z))
    torch.testing.assert_close(torch.func.jacfwd(total)(z), torch.func.jacrev(total)(z))


def test_exactness_is_decided_where_the_activation_runs():
    z = points().requires_grad_(True)
    with exact_derivatives():
        inside = activations.finer(z, omega_0=2.0)
    outside = activations.finer(z, omega_0=2.0)
    (exact,) = torch.autograd.grad(inside.sum(), z)
    (held,) = torch.autograd.grad(outside.sum(), z)
    assert not torch.allclose(exact, held)
    assert not activations.derivatives_are_exact()


def test_half_precision_keeps_the_phase_in_float32():
    z = torch.linspace(-1, 1, 101).bfloat16()
    out = activations.finer(z)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), activations.finer(z.float()), rtol=0, atol=2**-8)


def test_unknown_complex_factor():
    with pytest.raises(ValueError, match="'both'"):
        activations.wire_finer(points(complex_valued=True), complex_factor="both")


@pytest.mark.parametrize(
    "module",
    [
        activations.SineActivation(omega_0=7.0),
        activations.FinerActivation(omega_0=7.0, scale_req_grad=True),
        activations.GaussActivation(scale=7.0),
        activations.GaussFinerActivation(scale=7.0, omega_0=2.0, normalized=True),
        activations.WireActivation(omega_0=7.0, scale=2.0),
        activations.WireFinerActivation(omega_0=7.0, omega_w=2.0, complex_factor="modulus"),
        activations.RealWireActivation(omega_w=7.0),
        activations.RealWireFinerActivation(omega_0=7.0),
        activations.ReluActivation(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_modules_apply_their_function_and_show_every_hyper_parameter(module):
    z = points()
    torch.testing.assert_close(module(z), type(module).function(z, **module.hyper_parameters))
    for name, value in module.hyper_parameters.items():
        assert f"{name}={value!r}" in repr(module)


def _total(values: torch.Tensor) -> torch.Tensor:
    """Reduce to a real scalar that depends on real and imaginary part differently."""
    return (values.real + 2 * values.imag).sum() if values.is_complex() else values.sum()
