"""Envelopes end before their products are subnormal numbers, which CPUs compute a hundred times slower."""

import math

import pytest
import torch

from finer_core.activations import first_order_only, functional
from finer_core.activations._kernels.chunked import SMALLEST

SINGLE = torch.finfo(torch.float32)
ENVELOPES = {
    "gauss": lambda z: functional.gauss(z, scale=1.0),
    "gauss_finer": lambda z: functional.gauss_finer(z, scale=30.0, omega_0=1.0),
    "real_wire": lambda z: functional.real_wire(z, omega_w=3.0, scale=1.0),
    "real_wire_finer": lambda z: functional.real_wire_finer(z, omega_0=1.0, omega_w=3.0, scale=30.0),
    "wire": lambda z: functional.wire(z, omega_0=3.0, scale=1.0).real,
    "wire_finer": lambda z: functional.wire_finer(z, omega_0=1.0, omega_w=3.0, scale=30.0).real,
}


def subnormal(numbers: torch.Tensor) -> int:
    return int(((numbers != 0) & (numbers.abs() < SINGLE.tiny)).sum())


@pytest.mark.parametrize("numbers", [4096, SMALLEST], ids=["small", "large"])
@pytest.mark.parametrize("name", ENVELOPES)
def test_neither_values_nor_gradients_nor_their_products_are_subnormal(name, numbers):
    z = torch.linspace(-16, 16, numbers, requires_grad=True)
    for mode in (torch.enable_grad, first_order_only):
        with mode():
            value = ENVELOPES[name](z)
            (gradient,) = torch.autograd.grad(value.sum() * 1e-6, z)
        assert (value.detach() == 0).any() and (gradient == 0).any()
        assert not subnormal(value.detach()) and not subnormal(gradient)
        assert not subnormal(value.detach() * 1e-6) and not subnormal(gradient * 1e-6)


@pytest.mark.parametrize("name", ENVELOPES)
def test_nothing_else_is_cut_off(name):
    z = torch.linspace(-16, 16, 4097)
    exact = ENVELOPES[name](z.double())
    assert (exact != 0).sum() > (ENVELOPES[name](z) != 0).sum()  # in double precision they end at 1.5e-154
    torch.testing.assert_close(ENVELOPES[name](z).double(), exact, rtol=1e-3, atol=1e-4)
    near = exact.abs() > 1e-18
    assert (ENVELOPES[name](z)[near] != 0).all()


def test_second_derivatives_end_where_values_do():
    z = torch.tensor([0.5, 6.0, 7.0, 9.5], dtype=torch.float32, requires_grad=True)
    (slope,) = torch.autograd.grad(functional.gauss(z, scale=1.0).sum(), z, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), z)
    want = [(4 * x * x - 2) * math.exp(-x * x) if x < 6.6 else 0.0 for x in (0.5, 6.0, 7.0, 9.5)]
    torch.testing.assert_close(bend, torch.tensor(want), rtol=1e-5, atol=0)


def test_what_is_undefined_stays_so_and_half_precision_keeps_its_small_numbers():
    assert functional.gauss(torch.tensor([math.nan]), scale=1.0).isnan().all()
    z = torch.tensor([2.5], dtype=torch.float16)
    torch.testing.assert_close(functional.gauss(z, scale=1.0), torch.exp(-(z.float() ** 2)).half(), rtol=1e-2, atol=0)
