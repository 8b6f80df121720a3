"""One formula: every spelling of an activation is the same function, and it stands wherever an activation stands."""

import numpy as np
import pytest
import torch

from finer_core import activations, layers
from finer_core.activations import formulas as real
from finer_core.activations import functional, wavelets
from finer_core.activations._kernels.cpu import native_kernels
from finer_core.activations.formulas import RealFormula

from ..core import golden
from ..docs.test_code_blocks import ROOT, blocks_of, run
from .formulas import CLASSES, FORMULAS, MODULES, breaches

A = activations
CURVES = {
    "sine_omega30": A.SineActivation(),
    "finer_omega30": A.FinerActivation(),
    "finer_omega1": A.FinerActivation(omega_0=1.0),
    "finer_omega5": A.FinerActivation(omega_0=5.0),
    "gauss_scale30": A.GaussActivation(),
    "gauss_scale2.5": A.GaussActivation(scale=2.5),
    "wire_scale10_omega20": A.WireActivation(),
    "gauss_finer_scale3_omega10": A.GaussFinerActivation(),
    "gauss_finer_scale2.5_omega12": A.GaussFinerActivation(scale=2.5, omega_0=12.0),
    "gauss_finer_normalised_scale3_omega10": A.GaussFinerActivation(normalized=True),
    "gauss_finer_normalised_scale1_omega1": A.GaussFinerActivation(scale=1.0, omega_0=1.0, normalized=True),
    "wire_finer_scale2_wavelet4_omega5": A.WireFinerActivation(),
    "real_wire_scale10_omega20": A.RealWireActivation(),
    "real_wire_finer_scale2_wavelet4_omega5": A.RealWireFinerActivation(),
    "relu": A.ReluActivation(),
}
COMPLEX_CURVES = {
    "complex_wire": A.WireActivation(),
    "complex_wire_finer_separate": A.WireFinerActivation(),
    "complex_wire_finer_modulus": A.WireFinerActivation(complex_factor="modulus"),
}
EPS = torch.finfo(torch.float32).eps


def choices(module: activations.Activation) -> tuple:
    """Return which of the table's rows a module belongs to, whatever its numbers."""
    chosen = {name: value for name, value in module.hyper_parameters.items() if not isinstance(value, float)}
    return type(module), tuple(sorted(chosen.items()))


def test_the_table_has_every_formula():
    assert {type(formula) for formula in FORMULAS.values()} == CLASSES
    assert len(FORMULAS) >= 10


@pytest.mark.parametrize("name", FORMULAS)
def test_every_spelling_is_the_values(name):
    assert breaches(FORMULAS[name]) == []


class WithoutFactor(real.SineFormula):
    def derivative(self, z, *, exact):
        return torch.cos(self.omega_0 * z)


class AlwaysExact(real.FinerFormula):
    def derivative(self, z, *, exact):
        return super().derivative(z, exact=True)


class WithoutAGraph(real.GaussFormula):
    def derivative(self, z, *, exact):
        return super().derivative(z.detach(), exact=exact)


class HalfASlope(real.RealWireFormula):
    def value_and_slope(self, z, *, exact):
        value, slope = super().value_and_slope(z, exact=exact)
        return value, slope / 2


class OtherTangent(wavelets.WireFormula):
    def jvp(self, z, tangent, *, exact):
        return super().jvp(z, 2 * tangent, exact=exact)


class Conjugated(wavelets.WireFormula):
    def vjp(self, z, grad, *, exact):
        return super().vjp(z, grad.conj().resolve_conj(), exact=exact)


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        (WithoutFactor(2.0), {"derivative of order 1", "gradcheck", "derivative", "vjp", "jvp"}),
        (AlwaysExact(2.0), {"derivative of order 1", "derivative", "vjp", "jvp"}),
        (HalfASlope(4.0, 0.5), {"value_and_slope"}),
        (OtherTangent(4.0, 0.5), {"jvp"}),
        (Conjugated(4.0, 0.5), {"derivative of order 1", "gradcheck", "vjp"}),
    ],
)
def test_a_wrong_spelling_is_seen(formula, told):
    assert told <= {line.partition(",")[0] for line in breaches(formula)}


def test_a_derivative_without_derivative_is_seen():
    with pytest.raises(RuntimeError, match="does not require grad"):
        breaches(WithoutAGraph(2.0))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_c_kernel_is_the_formula(name, exact):
    if native_kernels(real.FinerFormula(30.0)) is None:
        pytest.skip("no C compiler on this machine")
    kernels = native_kernels(FORMULAS[name])
    assert kernels is not None, "a formula without a kernel in C"
    assert wrong_numbers(kernels, FORMULAS[name], exact=exact) == []


def wrong_numbers(kernels, formula, *, exact):
    """Return in what single-precision kernels differ from the formula in double precision."""
    z = torch.arange(-150, 151) / 64  # every phase of these is a float32 without rounding
    grad = torch.linspace(1, -2, len(z))
    if isinstance(formula, RealFormula):
        wanted = formula.value_and_slope(z.double(), exact=exact)
        value, slope = kernels.value_and_slope(z, exact=exact)
        pairs = [(value, wanted[0]), (slope, wanted[1]), (kernels.vjp(z, grad, exact=exact), wanted[1] * grad)]
        pairs.append((kernels.value(z), value))
        rounding = 8
    else:
        pairs, rounding = [], 30
        grad = torch.complex(grad, grad.flip(0))
        for at in (z / 4, torch.complex(z / 4, z.roll(100) / 4)):
            assert kernels.serves(at, grad)
            double = at.to(torch.complex128 if at.is_complex() else torch.float64)
            gradient = kernels.vjp(at, grad, exact=exact)
            assert gradient.dtype == at.dtype
            pairs.append((kernels.value(at), formula.value(double)))
            pairs.append((gradient, formula.vjp(double, grad.to(torch.complex128), exact=exact)))
    # a composed function's inner rounding grows by the outer slope
    return [
        (got - want).abs().max()
        for got, want in pairs
        if not (got - want).abs().max() < rounding * EPS * (1 + want.abs().max())
    ]


def test_a_wrong_kernel_is_seen():
    kernels = native_kernels(real.SineFormula(2.0))
    if kernels is None:
        pytest.skip("no C compiler on this machine")
    assert len(wrong_numbers(kernels, real.SineFormula(2.00001), exact=False)) == 3


@pytest.mark.parametrize("name", MODULES)
def test_function_module_layer_and_golden_vector_are_there(name):
    module = MODULES[name]
    kind = type(module).__name__.removesuffix("Activation")
    function = type(module).function
    assert type(module).__name__ in activations.__all__ and function.__name__ in activations.__all__
    assert getattr(functional, function.__name__) is function
    layer = getattr(layers, f"{kind}Layer")(in_features=2, out_features=3, **module.hyper_parameters)
    assert isinstance(layer.activation, type(module))
    assert layer.activation.hyper_parameters == module.hyper_parameters
    z = torch.linspace(-1, 1, 8).reshape(4, 2)
    wanted = function(torch.nn.functional.linear(z, layer.weight, layer.bias), **module.hyper_parameters)
    torch.testing.assert_close(layer(z), wanted, rtol=1e-5, atol=1e-5)
    recorded = {choices(curve) for curve in (*CURVES.values(), *COMPLEX_CURVES.values())}
    assert choices(module) in recorded


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


def test_the_formula_of_the_guide_keeps_the_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/add_an_activation.md"
    blocks = blocks_of(page.read_text("utf-8"))
    names = run(page, [block for block in blocks if "HoscFormula" in block[1] or "plain_hosc" in block[1]][:2])
    assert breaches(names["HoscFormula"](3.0, 2.0)) == []
