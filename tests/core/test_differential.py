"""Derivatives with respect to coordinates are exact for every method, whatever rule trains it."""

import pytest
import torch

from finer_core import METHODS, NetworkConfig, build_network
from finer_core.differential import divergence, gradient, jacobian, laplacian, value_and_gradient
from finer_core.errors import InputError

METHOD_NAMES = [name for name in METHODS if name not in ("multiscale-bacon", "ngp")]
SOFT = {  # settings that finite differences resolve
    "finer": {"first_omega_0": 3.0, "hidden_omega_0": 3.0, "first_bias_scale": 1.0},
    "siren": {"first_omega_0": 3.0, "hidden_omega_0": 3.0},
    "gauss": {"scale": 1.0},
    "wire": {"first_omega_0": 2.0, "hidden_omega_0": 2.0, "scale": 1.0},
    "gauss-finer": {"scale": 1.0, "omega_0": 2.0},
    "wire-finer": {"scale": 1.0, "omega_w": 2.0, "omega_0": 1.5},
    "real-wire": {"scale": 1.0, "omega_w": 2.0},
    "real-wire-finer": {"scale": 1.0, "omega_w": 2.0, "omega_0": 1.5},
    "pemlp": {"num_frequencies": 3},
    "ff": {"frequency_std": 0.5},
    "bacon": {"max_frequency": 8.0},
}


def network_of(method: str, *, in_features: int = 3, out_features: int = 1, **options):
    config = NetworkConfig(
        method=method,
        in_features=in_features,
        out_features=out_features,
        hidden_features=16,
        hidden_layers=2,
        options={**SOFT[method], **options},
    )
    return build_network(config, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def coords_of(count: int = 20, in_features: int = 3) -> torch.Tensor:
    return torch.rand(count, in_features, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1


def central_difference(field, coords: torch.Tensor, *, step: float) -> torch.Tensor:
    """Return d field / d coords as (n, out, in)."""
    columns = []
    for j in range(coords.shape[-1]):
        shift = torch.zeros_like(coords)
        shift[:, j] = step
        columns.append((field(coords + shift) - field(coords - shift)) / (2 * step))
    return torch.stack(columns, dim=-1)


@pytest.mark.parametrize("method", METHOD_NAMES)
@torch.no_grad()
def test_jacobian_against_central_differences(method):
    network = network_of(method, out_features=2)
    expected = central_difference(network, coords_of(), step=1e-6)
    torch.testing.assert_close(jacobian(network, coords_of()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_laplacian_against_central_differences_of_the_gradient(method):
    network = network_of(method)
    second = central_difference(lambda x: gradient(network, x), coords_of(), step=1e-6)
    expected = second.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    torch.testing.assert_close(laplacian(network, coords_of()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["finer", "gauss-finer", "wire-finer", "real-wire-finer"])
def test_plain_autograd_is_not_the_derivative_under_the_published_rule(method):
    network = network_of(method)
    x = coords_of().requires_grad_(True)
    (naive,) = torch.autograd.grad(network(x).sum(), x)
    exact = gradient(network, coords_of())
    assert (naive.norm() / exact.norm() - 1).abs() > 0.02
    through = network_of(method, scale_req_grad=True)
    (honest,) = torch.autograd.grad(through(x).sum(), x)
    torch.testing.assert_close(honest, exact, rtol=1e-10, atol=1e-12)


def test_divergence_is_the_trace_of_the_jacobian():
    network = network_of("finer", out_features=3)
    expected = jacobian(network, coords_of()).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(divergence(network, coords_of()), expected)


def test_known_field():
    x = coords_of(5, 2)
    torch.testing.assert_close(laplacian(lambda c: (c**3).sum(-1, keepdim=True), x), 6 * x.sum(-1, keepdim=True))
    values, grad = value_and_gradient(lambda c: (c**2).sum(-1, keepdim=True), x)
    torch.testing.assert_close(grad, 2 * x)
    assert not values.requires_grad
    assert torch.equal(gradient(lambda c: c[..., :1] * 0 + 1, x), torch.zeros_like(x))
    assert torch.equal(laplacian(lambda c: c[..., :1], x), torch.zeros(5, 1, dtype=torch.float64))


def test_an_eikonal_loss_has_exact_parameter_gradients():
    network = network_of("finer")
    x = coords_of()

    def loss() -> torch.Tensor:
        return (gradient(network, x, create_graph=True).norm(dim=-1) - 1).square().mean()

    value = loss()
    value.backward()
    weight = network.layers[1].weight
    with torch.no_grad():
        direction = torch.randn(weight.shape, dtype=weight.dtype, generator=torch.Generator().manual_seed(3))
        weight.add_(1e-6 * direction)
        up = loss().item()
        weight.sub_(2e-6 * direction)
        down = loss().item()
    assert (weight.grad * direction).sum().item() == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_shapes_without_and_with_batch_axes():
    network = network_of("finer", out_features=2)
    for shape in ((3,), (4, 3), (2, 4, 3)):
        x = torch.zeros(shape, dtype=torch.float64)
        assert jacobian(network, x).shape == (*shape[:-1], 2, 3)
        assert laplacian(network, x).shape == (*shape[:-1], 2)


def test_wrong_shapes_are_named():
    network = network_of("finer", out_features=2)
    with pytest.raises(ValueError, match=r"\(20, 2\); use jacobian"):
        gradient(network, coords_of())
    with pytest.raises(ValueError, match="as many outputs as coordinates"):
        divergence(network, coords_of())
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\), got \(4, 2\)"):
        network(torch.zeros(4, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="floating point"):
        gradient(network, torch.zeros(4, 3, dtype=torch.int64))


@pytest.mark.parametrize("derivative", [value_and_gradient, gradient, jacobian, divergence, laplacian])
def test_a_flag_that_is_none_is_refused(derivative):
    with pytest.raises(InputError, match="create_graph must be True or False, got 'no'"):
        derivative(network_of("finer"), coords_of(), create_graph="no")


@pytest.mark.parametrize("create_graph", [False, True])
def test_inference_mode_loses_no_derivative(create_graph):
    network, field, coords = network_of("finer"), network_of("finer", out_features=3), coords_of()
    calls = ((gradient, network), (jacobian, field), (divergence, field), (laplacian, field))
    expected = [derivative(function, coords, create_graph=create_graph) for derivative, function in calls]
    with torch.inference_mode():
        found = [derivative(function, coords, create_graph=create_graph) for derivative, function in calls]
        copied = [derivative(function, coords * 1, create_graph=create_graph) for derivative, function in calls]
        assert not torch.is_grad_enabled()
    for a, b, c in zip(expected, found, copied, strict=True):
        assert a.abs().max() > 0 and torch.equal(a, b) and torch.equal(a, c)
        assert b.requires_grad == create_graph


def test_a_field_that_has_no_derivatives_by_itself_is_refused():
    network = network_of("finer")
    for derivative in (gradient, jacobian, laplacian):
        with pytest.raises(ValueError, match=r"under torch\.inference_mode"):
            derivative(torch.inference_mode()(network.forward), coords_of())
    for derivative in (gradient, jacobian, divergence, laplacian):
        with pytest.raises(ValueError, match=r"at least one output.* \(20, 0\)"):
            derivative(lambda x: network(x)[..., :0], coords_of())


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("function", [gradient, jacobian, laplacian])
def test_autocast_rounds_no_derivative(method, function):
    network, coords = network_of(method).float(), coords_of().float()
    expected = function(network, coords, create_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(network, coords, create_graph=True)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    weights = [each for each in network.parameters() if each.requires_grad]
    for a, b in zip(
        torch.autograd.grad(found.square().sum(), weights, allow_unused=True),
        torch.autograd.grad(expected.square().sum(), weights, allow_unused=True),
        strict=True,
    ):
        assert (a is None and b is None) or torch.allclose(a, b, rtol=1e-5)
