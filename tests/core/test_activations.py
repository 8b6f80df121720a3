"""Activations: golden curves, derivative rules, gradcheck, memory, torch.func, half precision."""

import numpy as np
import pytest
import torch

from finer_core import activations
from finer_core.activations import exact_derivatives

from . import golden

CURVES = {
    "sine_omega30": lambda z: activations.sine(z),
    "finer_omega30": lambda z: activations.finer(z),
    "finer_omega1": lambda z: activations.finer(z, omega_0=1.0),
    "finer_omega5": lambda z: activations.finer(z, omega_0=5.0),
    "gauss_scale30": lambda z: activations.gauss(z),
    "gauss_scale2.5": lambda z: activations.gauss(z, scale=2.5),
    "wire_scale10_omega20": lambda z: activations.wire(z),
    "gauss_finer_scale3_omega10": lambda z: activations.gauss_finer(z),
    "gauss_finer_scale2.5_omega12": lambda z: activations.gauss_finer(z, scale=2.5, omega_0=12.0),
    "gauss_finer_normalised_scale3_omega10": lambda z: activations.gauss_finer(z, normalized=True),
    "gauss_finer_normalised_scale1_omega1": lambda z: activations.gauss_finer(
        z, scale=1.0, omega_0=1.0, normalized=True
    ),
    "wire_finer_scale2_wavelet4_omega5": lambda z: activations.wire_finer(z),
    "real_wire_scale10_omega20": lambda z: activations.real_wire(z),
    "real_wire_finer_scale2_wavelet4_omega5": lambda z: activations.real_wire_finer(z),
    "relu": lambda z: activations.relu(z),
}
COMPLEX_CURVES = {
    "complex_wire": lambda z: activations.wire(z),
    "complex_wire_finer_separate": lambda z: activations.wire_finer(z),
    "complex_wire_finer_modulus": lambda z: activations.wire_finer(z, complex_factor="modulus"),
}
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
COMPLEX = {
    "wire": REAL["wire"],
    "wire_finer_separate": REAL["wire_finer"],
    "wire_finer_modulus": lambda z, **k: activations.wire_finer(
        z, omega_0=2.0, omega_w=3.0, scale=1.2, complex_factor="modulus", **k
    ),
}
FINER_FAMILY = ("finer", "gauss_finer", "gauss_finer_normalised", "wire_finer", "real_wire_finer")


def points(*, complex_valued: bool = False) -> torch.Tensor:
    """Return points away from 0, where |z| has its kink."""
    generator = torch.Generator().manual_seed(0)
    size = torch.rand(12, dtype=torch.float64, generator=generator) * 0.8 + 0.15
    sign = torch.where(torch.arange(12) % 2 == 0, 1.0, -1.0)
    real = size * sign
    return torch.complex(real, real.flip(0) * 0.7) if complex_valued else real


@pytest.mark.parametrize("name", CURVES)
def test_golden_curves(name):
    arrays = golden.load("core/activations")
    single = CURVES[name](torch.from_numpy(arrays["x"]))
    double = CURVES[name](torch.from_numpy(arrays["x_f64"]))
    # In single precision the phase itself is rounded: up to 30 (3 + 1) 3 = 360 radians.
    np.testing.assert_allclose(single.numpy(), arrays[name], rtol=0, atol=1e-4 if "finer" in name else 2e-5)
    tolerance = 1e-7 if "normalised" in name else 1e-12
    np.testing.assert_allclose(double.numpy(), arrays[f"{name}_f64"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", COMPLEX_CURVES)
def test_golden_complex_curves(name):
    arrays = golden.load("core/activations")
    z = torch.from_numpy(arrays["complex_z"])
    # Imaginary parts make the wavelets as large as exp(omega^2 / 4 s^2) and their sines grow exponentially.
    np.testing.assert_allclose(COMPLEX_CURVES[name](z).numpy(), arrays[name], rtol=1e-4, atol=1e-6)
    double = COMPLEX_CURVES[name](z.to(torch.complex128)).numpy()
    np.testing.assert_allclose(double, arrays[f"{name}_f64"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_exact_first_and_second_derivatives(name):
    def exact(z: torch.Tensor) -> torch.Tensor:
        with exact_derivatives():
            return REAL[name](z)

    z = points().requires_grad_(True)
    assert torch.autograd.gradcheck(exact, z, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(exact, z)


@pytest.mark.parametrize("name", COMPLEX)
def test_exact_complex_derivatives(name):
    def exact(z: torch.Tensor) -> torch.Tensor:
        with exact_derivatives():
            return COMPLEX[name](z)

    z = points(complex_valued=True).requires_grad_(True)
    assert torch.autograd.gradcheck(exact, z, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(exact, z)


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


@pytest.mark.parametrize("name", ["finer", "gauss_finer", "real_wire_finer", "sine"])
def test_published_rule_equals_a_detached_factor_in_plain_autograd(name):
    def plain(z: torch.Tensor) -> torch.Tensor:
        h = (z.detach().abs() + 1) * z
        return {
            "sine": lambda: torch.sin(3.0 * z),
            "finer": lambda: torch.sin(3.0 * h),
            "gauss_finer": lambda: torch.exp(-((1.5 * torch.sin(2.0 * h)) ** 2)),
            "real_wire_finer": lambda: (
                torch.cos(3.0 * torch.sin(2.0 * h)) * torch.exp(-((1.2 * torch.sin(2.0 * h)) ** 2))
            ),
        }[name]()

    z = points().requires_grad_(True)
    for order in (1, 2):
        ours, reference = REAL[name](z), plain(z)
        for _ in range(order):
            ours = torch.autograd.grad(ours.sum(), z, create_graph=True)[0]
            reference = torch.autograd.grad(reference.sum(), z, create_graph=True)[0]
        torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", ["sine", "finer"])
def test_in_place_backward_equals_the_differentiable_one(name, exact):
    z = points().requires_grad_(True)
    out = REAL[name](z, scale_req_grad=exact).sum()
    (fast,) = torch.autograd.grad(out, z, retain_graph=True)
    (graphed,) = torch.autograd.grad(out, z, create_graph=True)
    torch.testing.assert_close(fast, graphed.detach(), rtol=1e-12, atol=1e-12)


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
