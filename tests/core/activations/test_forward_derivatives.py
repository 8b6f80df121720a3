"""Forward derivatives of forward derivatives, which `torch.func` may ask for, against reverse ones."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import jacfwd, jacrev, jvp, vmap

from finer_core import activations, build_network
from finer_core.activations import exact_derivatives, first_order_only, fuse_activations, fusion_kept
from finer_core.activations._kernels.chunked import SMALLEST
from finer_core.differential import laplacian

from ...contracts.formulas import MODULES, points, total

METHODS = ("finer", "siren", "gauss", "wire", "gauss-finer", "wire-finer", "real-wire", "real-wire-finer")


def derivative(function, order: int, by):
    for _ in range(order):
        function = by(function)
    return function


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_forward_over_forward_is_reverse_over_reverse(name, exact):
    """Also by the published rule, which is the derivative of no function."""
    z = points()[:3]

    def function(v: torch.Tensor) -> torch.Tensor:
        if exact:
            with exact_derivatives():
                return total(MODULES[name](v))
        return total(MODULES[name](v))

    for order in (2, 3):
        expected = derivative(function, order, jacrev)(z)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(derivative(function, order, jacfwd)(z), expected, rtol=1e-11, atol=1e-11)
        with torch.no_grad():
            found = derivative(function, order, jacfwd)(z)
        assert not found.requires_grad
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("fused", [False, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_closed_form_of_the_sine(dtype, fused):
    z = torch.tensor([-0.7, 0.3], dtype=dtype)
    with fusion_kept():
        fuse_activations(fused)
        found = jacfwd(jacfwd(lambda v: activations.sine(v, omega_0=2.0).sum()))(z)
    torch.testing.assert_close(found, torch.diag(-4 * torch.sin(2 * z)))


@pytest.mark.parametrize("method", METHODS)
def test_a_network_has_the_same_hessian_and_laplacian_forward(method):
    network = build_network(
        method,
        in_features=2,
        out_features=1,
        hidden_features=6,
        hidden_layers=1,
        generator=torch.Generator().manual_seed(0),
    ).double()
    x = torch.tensor([[0.3, -0.2], [0.1, 0.7]], dtype=torch.float64)

    def field(v: torch.Tensor) -> torch.Tensor:
        with exact_derivatives():
            return network(v)[..., 0]

    found = vmap(jacfwd(jacfwd(field)))(x)
    torch.testing.assert_close(found, vmap(jacrev(jacrev(field)))(x), rtol=1e-10, atol=1e-10)
    traces = torch.zeros(2, dtype=torch.float64)
    for axis in torch.eye(2, dtype=torch.float64):
        along = axis.expand_as(x)
        traces += jvp(lambda v, t=along: jvp(field, (v,), (t,))[1], (x,), (along,))[1]
    expected = laplacian(network, x)[:, 0]
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(traces, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["sine", "wire"])
def test_a_batch_inside_two_forward_derivatives(name):
    function = {"sine": activations.sine, "wire": activations.wire}[name]
    z = points()

    def second(apply):
        return jvp(lambda v: jvp(apply, (v,), (torch.ones_like(z),))[1], (z,), (torch.ones_like(z),))[1]

    torch.testing.assert_close(
        second(vmap(lambda v: function(v, omega_0=2.0))), second(lambda v: function(v, omega_0=2.0))
    )


@pytest.mark.parametrize("numbers", [4, SMALLEST])
def test_a_tangent_goes_through_a_backward_pass_without_a_graph(numbers):
    """Where it could be computed in buffers, or by kernels, which know nothing of tangents."""
    z = torch.linspace(-1, 1, numbers)
    with forward_ad.dual_level():
        x = forward_ad.make_dual(z.clone().requires_grad_(True), torch.ones_like(z))
        value = activations.sine(x, omega_0=2.0)
        (slope,) = torch.autograd.grad(value, x, torch.full_like(value, 3.0))
        found = forward_ad.unpack_dual(slope).tangent
    torch.testing.assert_close(found, -12 * torch.sin(2 * z))


def test_a_forward_derivative_where_one_was_promised_is_refused():
    z = torch.tensor([0.3], requires_grad=True)
    with first_order_only(), forward_ad.dual_level(), pytest.raises(RuntimeError, match="forward mode AD"):
        activations.sine(forward_ad.make_dual(z, torch.ones(1)))


def test_reverse_derivatives_of_many_outputs_without_a_graph():
    z = points()
    with torch.no_grad():
        found = jacrev(lambda v: activations.finer(v, omega_0=2.0))(z)
    torch.testing.assert_close(found, jacfwd(lambda v: activations.finer(v, omega_0=2.0))(z))


def test_another_pytorch_without_the_private_names_says_so(monkeypatch):
    from finer_core.activations._kernels import autograd

    monkeypatch.setattr(autograd, "keep_forward_derivatives", None)
    z = torch.linspace(-1, 1, 5)
    assert torch.isfinite(jacrev(activations.finer)(z)).all()
    with pytest.raises(RuntimeError, match=r"PyTorch .* take reverse ones, as torch\.func\.jacrev"):
        jacfwd(activations.finer)(z)
