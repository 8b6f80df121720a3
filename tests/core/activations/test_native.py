"""Activations in C: the formulas' numbers, wherever phases lie, and PyTorch's operations where C cannot serve."""

import contextlib
import logging
import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from finer_core import activations
from finer_core.activations import formulas as real
from finer_core.activations import fuse_activations
from finer_core.activations import wavelets as wavelet
from finer_core.activations._kernels import cpu as native
from finer_core.activations._kernels.chunked import SMALLEST
from finer_core.activations._kernels.cpu import native_kernels
from finer_core.activations._kernels.dispatch import kernels_for
from finer_core.c_library import CannotBuild

FORMULAS = {
    "sine": real.SineFormula(2.0),
    "finer": real.FinerFormula(2.0),
    "gauss": real.GaussFormula(2.0),
    "real_wire": real.RealWireFormula(4.0, 0.5),
    "gauss_finer": real.gauss_finer_formula(scale=1.5, omega_0=2.0, normalized=False),
    "gauss_finer, normalized": real.gauss_finer_formula(scale=1.5, omega_0=2.0, normalized=True),
    "real_wire_finer": real.real_wire_finer_formula(omega_0=2.0, omega_w=4.0, scale=0.5),
}
WAVELETS = {
    "wire": wavelet.WireFormula(4.0, 0.5),
    "wire_finer": wavelet.WireFinerFormula(2.0, 4.0, 0.5, "separate"),
    "wire_finer, modulus": wavelet.WireFinerFormula(2.0, 4.0, 0.5, "modulus"),
}
EPS = torch.finfo(torch.float32).eps
Z = torch.arange(-150, 151) / 64
"""Every phase of these is a float32 without rounding."""


@pytest.fixture(autouse=True)
def compiler():
    if native_kernels(real.FinerFormula(30.0)) is None:
        pytest.skip("no C compiler on this machine")


@pytest.fixture
def forget():
    """Build kernels anew, before and after."""
    for cached in (native_kernels, native._library):
        cached.cache_clear()
    yield
    for cached in (native_kernels, native._library):
        cached.cache_clear()


def kernels(name: str) -> native.NativeKernels:
    found = native_kernels(FORMULAS[name])
    assert found is not None
    return found


@pytest.mark.parametrize("name", WAVELETS)
def test_wavelets_far_out_and_undefined_ones_are_pytorchs(name):
    formula, ours = WAVELETS[name], native_kernels(WAVELETS[name])
    parts = torch.tensor([0.0, 1e-4, -0.3, 40.0, 3e5, -2e7, math.inf, math.nan])
    z = torch.complex(*torch.meshgrid(parts, parts, indexing="ij")).contiguous()
    theirs = formula.value(z.to(torch.complex128)).to(torch.complex64)
    got = ours.value(z)
    sensible = theirs.abs() < 1e30
    if name == "wire":  # the others' phases are rounded by more than a period there
        assert torch.allclose(got[sensible], theirs[sensible], rtol=1e-5, atol=1e-6)
    assert got[parts.isnan()].isnan().all()
    assert torch.equal(ours.value(z.flatten()[2:3]), got.flatten()[2:3])


def test_conjugates_that_are_not_made_yet_are_left_to_pytorch():
    z = torch.complex(Z, -Z)
    assert not native_kernels(WAVELETS["wire"]).serves(z.conj())
    torch.testing.assert_close(activations.wire(z.conj()), activations.wire(z.conj().resolve_conj()))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_slope_takes_the_arguments_place(name):
    z = Z.clone()
    value, slope = kernels(name).value_and_slope_(z, exact=False)
    assert slope.data_ptr() == z.data_ptr() != value.data_ptr()
    for got, want in zip((value, slope), kernels(name).value_and_slope(Z, exact=False), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("phase", [1.0, 1e3, 9.99e5, 1.1e6, 1e9, 3e38])
def test_sine_and_cosine_hold_at_every_phase(phase):
    z = torch.linspace(-1, 1, 1001) * phase
    value, slope = native_kernels(real.SineFormula(1.0)).value_and_slope(z, exact=False)
    assert (value - z.double().sin()).abs().max() < 1.2e-7
    assert (slope - z.double().cos()).abs().max() < 1.2e-7


@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 1300])
def test_a_number_does_not_depend_on_its_place_or_neighbors(size):
    alone = kernels("finer").value(torch.tensor([0.7]))
    for filling in (0.1, 1e20, math.nan):
        z = torch.full((size,), filling)
        z[-1] = 0.7
        assert torch.equal(kernels("finer").value(z)[-1:], alone)


@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_no_number_stays_none(name):
    z = torch.tensor([math.nan, 0.5, math.inf, -math.inf])
    value, slope = kernels(name).value_and_slope(z, exact=False)
    assert value[0].isnan() and slope[0].isnan()
    assert value[1].isfinite() and slope[1].isfinite()
    if name != "gauss":
        assert value[2:].isnan().all()


def test_a_bell_ends_at_nothing():
    value, slope = native_kernels(real.GaussFormula(1.0)).value_and_slope(torch.tensor([9.0, -30.0, 1e15]), exact=False)
    assert (value >= 0).all() and value.max() < 1e-34 and slope.abs().max() < 1e-18


def test_large_tensors_are_shared_out_to_the_same_bits(monkeypatch):
    z = torch.linspace(-1, 1, SMALLEST + 1001)
    grad = z.flip(0)
    both = []
    for cores in (1, 3):
        monkeypatch.setattr(native, "worker_count", lambda cores=cores: cores)
        value, slope = kernels("finer").value_and_slope(z, exact=True)
        both.append((value, slope, kernels("finer").value(z), kernels("finer").vjp(z, grad, exact=True)))
    assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "z",
    [
        torch.zeros(4, dtype=torch.float64),
        torch.zeros(4, 2).t(),
        torch.zeros(0),
        torch.zeros(4, device="meta"),
        torch.zeros(4).as_subclass(Subclass),
        torch.ones(4)._neg_view(),
    ],
    ids=["double", "strided", "empty", "meta", "subclass", "negative"],
)
def test_what_they_cannot_be_called_with_is_left_to_pytorch(z):
    assert not kernels("finer").serves(z)
    assert activations.finer(z).shape == z.shape


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the tracer
def test_transforms_tracers_and_modes_see_pytorchs_operations():
    z = torch.linspace(-1, 1, 12).reshape(4, 3)
    wanted = activations.finer(z)
    torch.testing.assert_close(torch.func.vmap(activations.finer)(z), wanted)
    (of_z,) = torch.func.grad(lambda x: activations.finer(x[0]).sum())((z,))
    assert of_z.shape == z.shape
    other = torch.zeros(4, 3)
    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda x: activations.finer(x))(other)
    torch.testing.assert_close(graph(z), wanted)
    torch.testing.assert_close(torch.jit.trace(lambda x: activations.finer(x), other)(z), wanted)


@contextlib.contextmanager
def double_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS = {
    "another device": lambda: torch.device("meta"),
    "another type": double_by_default,
    "no memory": lambda: FakeTensorMode(allow_non_fake_inputs=True),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
@pytest.mark.parametrize("formula", [FORMULAS["finer"], WAVELETS["wire"]], ids=["real", "complex"])
@pytest.mark.usefixtures("forget")
def test_kernels_first_wanted_in_odd_surroundings_see_their_own_kind_of_numbers(monkeypatch, surroundings, formula):
    run, kinds = native._Kernels._run, set()

    def watched(self, name, exact, *tensors) -> None:
        kinds.update((type(t), t.device.type, t.dtype.to_real()) for t in tensors)
        assert kinds == {(torch.Tensor, "cpu", torch.float32)}  # before memory that is not there is written to
        run(self, name, exact, *tensors)

    monkeypatch.setattr(native._Kernels, "_run", watched)
    with surroundings():
        assert activations.apply_formula(torch.zeros(4, 3), formula).shape == (4, 3)
        activations.apply_formula(Z, formula)
    value = activations.apply_formula(Z, formula)
    assert kinds and kernels_for(formula, Z) is not None
    torch.testing.assert_close(value, formula.value(Z), rtol=1e-5, atol=1e-5)


def test_it_serves_unless_it_is_switched_off(monkeypatch):
    z, formula = Z.clone(), FORMULAS["finer"]
    for choice, served in ((None, True), (True, True), (False, False)):
        fuse_activations(choice)
        assert (kernels_for(formula, z) is not None) is served


@pytest.mark.parametrize("error", ["no C compiler", "cc: the disk is full"])
@pytest.mark.usefixtures("forget")
def test_without_a_compiler_everything_goes_on(monkeypatch, caplog, error):
    def refuse(source, *, defines):
        raise CannotBuild(error)

    z = Z.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(activations.finer(z, omega_0=2.0).sum(), z)
    native_kernels.cache_clear()
    native._library.cache_clear()
    monkeypatch.setattr(native, "c_library", refuse)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            (got,) = torch.autograd.grad(activations.finer(z, omega_0=2.0).sum(), z)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    assert [record.getMessage() for record in caplog.records] == [f"activations stay unfused: {error}"]


@pytest.mark.usefixtures("forget")
def test_kernels_that_compute_something_else_are_not_used(monkeypatch, caplog):
    right = native.c_library
    monkeypatch.setattr(native, "c_library", lambda source, *, defines: right(source, defines={"FUNCTION": "gauss"}))
    assert native_kernels(FORMULAS["sine"]) is None
    assert "something else of sine" in caplog.text


def test_a_formula_of_somebody_elses_has_none():
    class Cube(real.RealFormula):
        def value(self, z):
            return z**3

        def derivative(self, z, *, exact):
            return 3 * z**2

        def value_and_slope(self, z, *, exact):
            return z**3, 3 * z**2

    assert native_kernels(Cube()) is None
