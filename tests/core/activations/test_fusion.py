"""The choice of compiled activations, with a stand-in for the compiler: what is compiled, when, what if it fails.

A compiler that is really there is asked in `tests/core/networks/test_torch_compile.py`: it takes long to begin.
"""

import logging

import pytest
import torch

from finer_core import activations
from finer_core.activations import exact_derivatives, functional, fuse_activations
from finer_core.activations._kernels import dispatch as fusion
from tests.core import small

CURVES = {
    "sine": lambda z: activations.sine(z, omega_0=3.0),
    "finer": lambda z: activations.finer(z, omega_0=3.0),
    "gauss": lambda z: activations.gauss(z, scale=2.0),
    "gauss_finer": lambda z: activations.gauss_finer(z, scale=1.5, omega_0=2.0),
    "real_wire": lambda z: activations.real_wire(z, omega_w=3.0, scale=1.5),
}


@pytest.fixture(autouse=True)
def forget():
    """Begin and end with nothing compiled."""

    def clear() -> None:
        fusion._compiled.cache_clear()
        fusion._can_compile.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def elsewhere(monkeypatch):
    """Let tensors of the CPU pass for those of another device, which PyTorch's compiler serves."""
    monkeypatch.setattr(fusion, "_is_cpu", lambda device: False)


@pytest.fixture
def calls(elsewhere, monkeypatch):
    """Replace the compiler by one that leaves functions as they are; list the names of those that run."""
    names = []

    def compile_(function, *, dynamic):
        def run(*arguments):
            names.append(function.__name__)
            return function(*arguments)

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    return names


def gradient_of(name: str, *, create_graph: bool = False) -> torch.Tensor:
    z = torch.linspace(-1, 1, 21, dtype=torch.float64).requires_grad_(True)
    return torch.autograd.grad(CURVES[name](z).sum(), z, create_graph=create_graph)[0]


@pytest.mark.parametrize("choice", [None, False])
def test_it_is_off_until_asked_for(calls, choice):
    fuse_activations(choice)
    gradient_of("finer")
    assert calls == []


@pytest.mark.parametrize("name", CURVES)
def test_fused_values_and_gradients_are_the_formulas(calls, name):
    z = torch.linspace(-1, 1, 21, dtype=torch.float64)
    value, held = CURVES[name](z), gradient_of(name)
    with exact_derivatives():
        exact = gradient_of(name)
    fuse_activations(True)
    CURVES[name](z)
    calls.clear()
    torch.testing.assert_close(CURVES[name](z), value)
    torch.testing.assert_close(gradient_of(name), held)
    with exact_derivatives():
        torch.testing.assert_close(gradient_of(name), exact)
    assert calls == ["value", "value", "held", "value", "exact"]


def test_higher_derivatives_are_not_fused(calls):
    fuse_activations(True)
    gradient_of("finer")
    calls.clear()
    assert gradient_of("finer", create_graph=True).requires_grad
    assert calls == ["value"]


def test_complex_wavelets_are_never_fused(calls):
    fuse_activations(True)
    functional.wire(small.coords_of().requires_grad_(True)).abs().sum().backward()
    assert calls == []


@pytest.mark.usefixtures("elsewhere")
def test_each_setting_is_compiled_once(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, *, dynamic: compiled.append(function) or function)
    fuse_activations(True)
    activations.sine(torch.zeros(3))
    compiled.clear()
    for _ in range(3):
        for omega_0 in (1.0, 2.0):
            activations.sine(torch.zeros(3), omega_0=omega_0)
    assert len(compiled) == 2 * 5


def test_it_can_be_switched_off(calls):
    fuse_activations(True)
    gradient_of("finer")
    fuse_activations(False)
    calls.clear()
    gradient_of("finer")
    assert calls == []


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("error", [RuntimeError("no g++\nand more"), RuntimeError(), ImportError("triton")])
def test_without_a_compiler_everything_stays_as_it_is(monkeypatch, caplog, error):
    def compile_(function, *, dynamic):
        raise error

    monkeypatch.setattr(torch, "compile", compile_)
    expected = gradient_of("finer")
    fuse_activations(True)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(gradient_of("finer"), expected)
    (record,) = caplog.records
    assert record.getMessage().startswith("nothing is compiled: ")
    assert "\n" not in record.getMessage()


@pytest.mark.usefixtures("elsewhere")
def test_a_compiler_that_computes_something_else_is_not_used(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, *, dynamic: lambda *arguments: function(*arguments) + 0.1)
    expected = gradient_of("finer")
    fuse_activations(True)
    assert torch.equal(gradient_of("finer"), expected)


def test_tensors_without_numbers_are_left_alone():
    fuse_activations(True)
    assert activations.finer(torch.zeros(3, device="meta")).shape == (3,)
