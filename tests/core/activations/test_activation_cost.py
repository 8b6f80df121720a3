"""What activations keep and how they go through large tensors: the same numbers, one tensor kept."""

from contextlib import nullcontext

import pytest
import torch

from finer_core import activations
from finer_core.activations import exact_derivatives, first_order_only, functional
from finer_core.activations._kernels import chunked as blocks
from finer_core.activations.large_pages import SMALLEST_BYTES, empty_in_large_pages

REAL = {
    "sine": lambda z: functional.sine(z, omega_0=3.0),
    "finer": lambda z: functional.finer(z, omega_0=3.0),
    "finer, exact": lambda z: functional.finer(z, omega_0=3.0, scale_req_grad=True),
    "gauss": lambda z: functional.gauss(z, scale=2.0),
    "gauss_finer": lambda z: functional.gauss_finer(z, scale=1.5, omega_0=2.0),
    "gauss_finer, normalized": lambda z: functional.gauss_finer(z, scale=1.5, omega_0=2.0, normalized=True),
    "real_wire": lambda z: functional.real_wire(z, omega_w=3.0, scale=1.5),
    "real_wire_finer": lambda z: functional.real_wire_finer(z, omega_0=2.0, omega_w=3.0, scale=1.5),
}
COMPLEX = {
    "wire": lambda z: functional.wire(z, omega_0=3.0, scale=1.5),
    "wire_finer": lambda z: functional.wire_finer(z, omega_0=2.0, omega_w=3.0, scale=1.5),
}
ALL = {**REAL, **COMPLEX}


def values_and_gradient(function, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = z.clone().requires_grad_(True)
    out = function(x)
    weights = torch.linspace(1, -2, out.numel(), dtype=z.dtype.to_real()).reshape(out.shape)
    (torch.view_as_real(out).sum(-1) * weights if out.is_complex() else out * weights).sum().backward()
    return out.detach(), x.grad


def kept_numbers(function, z: torch.Tensor) -> list[int]:
    """Return the sizes of the tensors that a forward pass keeps for the backward pass."""
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(z.clone().requires_grad_(True))
    return sizes


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_first_derivatives_alone_are_the_same(name, dtype):
    z = torch.linspace(-2, 2, 101, dtype=dtype)
    plain = values_and_gradient(REAL[name], z)
    with first_order_only():
        once = values_and_gradient(REAL[name], z)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for a, b in zip(plain, once, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("promised", [False, True])
def test_one_tensor_is_kept(name, promised):
    z = torch.linspace(-1, 1, 64)
    if promised:
        with first_order_only():
            sizes = kept_numbers(ALL[name], z)
    else:
        sizes = kept_numbers(ALL[name], z)
    assert sizes == [64]


@pytest.mark.parametrize("name", REAL)
def test_a_second_derivative_after_the_promise_is_refused(name):
    z = torch.linspace(-1, 1, 5).requires_grad_(True)
    with first_order_only():
        out = REAL[name](z).sum()
    with pytest.raises(RuntimeError, match="second derivative was asked for"):
        torch.autograd.grad(out, z, create_graph=True)


@pytest.mark.parametrize("name", REAL)
def test_exact_derivatives_come_before_the_promise(name):
    z = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_(True)
    with first_order_only(), exact_derivatives():
        assert torch.autograd.gradgradcheck(REAL[name], z.detach()[:4].add(0.05).requires_grad_(True))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("promise", [nullcontext, first_order_only])
def test_large_tensors_give_what_small_ones_give(name, threads, promise, monkeypatch):
    monkeypatch.setattr(blocks, "SMALLEST", 100)
    monkeypatch.setattr(blocks, "BLOCK", 32)
    z = torch.linspace(-2, 2, 330, dtype=torch.float64).reshape(11, 30)
    if name in COMPLEX:
        z = torch.complex(z, z.flip(0) / 3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with promise():
            split = values_and_gradient(ALL[name], z)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr(blocks, "SMALLEST", 10**9)
    for a, b in zip(values_and_gradient(ALL[name], z), split, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_large_tensors_go_through_torch_func(name, monkeypatch):
    monkeypatch.setattr(blocks, "SMALLEST", 10)
    z = torch.linspace(-1, 1, 60).reshape(4, 15)

    def size(row: torch.Tensor) -> torch.Tensor:
        return activations_norm(ALL[name], row)

    each = torch.func.vmap(torch.func.grad(size))(z)
    torch.testing.assert_close(each[2], torch.func.grad(size)(z[2]))


def activations_norm(function, row: torch.Tensor) -> torch.Tensor:
    out = function(row)
    return (out.real + out.imag if out.is_complex() else out).square().sum()


def test_tensors_that_are_not_contiguous(monkeypatch):
    monkeypatch.setattr(blocks, "SMALLEST", 10)
    z = torch.linspace(-1, 1, 60).reshape(6, 10).t()
    assert torch.equal(activations.sine(z), torch.sin(30 * z))


@pytest.mark.parametrize("numbers", [0, 1, SMALLEST_BYTES // 4, SMALLEST_BYTES // 4 + 12_345])
def test_results_in_large_pages_are_tensors_like_any_other(numbers):
    tensor = empty_in_large_pages(torch.Size([numbers]), dtype=torch.float32)
    assert tensor.shape == (numbers,)
    assert torch.equal(tensor.fill_(3.0), torch.full((numbers,), 3.0))
