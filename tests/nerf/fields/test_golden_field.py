"""The field, held by the published code's vectors."""

import pytest
import torch

from finer_nerf.fields.trunc_exp import truncated_exponential
from tests.nerf.golden import golden_field, golden_state, load, tensor


@pytest.mark.parametrize("name", ["network", "network_fbs1"])
def test_density_features_and_color(name):
    arrays = load(name)
    field = golden_field(arrays)
    sigmas, features = field.density_and_features(tensor(arrays["x"]))
    torch.testing.assert_close(sigmas, tensor(arrays["sigma"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features, tensor(arrays["geometry_features"]), rtol=1e-5, atol=1e-5)
    colors = field.color(tensor(arrays["d"]), features)
    torch.testing.assert_close(colors, tensor(arrays["color"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["network", "network_fbs1"])
def test_double_precision(name):
    arrays = load(name)
    field = golden_field(arrays).double()
    sigmas, colors = field(tensor(arrays["x"]).double(), tensor(arrays["d"]).double())
    torch.testing.assert_close(sigmas, tensor(arrays["sigma_f64"]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(colors, tensor(arrays["color_f64"]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["network", "network_fbs1"])
def test_loss_and_gradients(name):
    arrays = load(name)
    field = golden_field(arrays)
    sigmas, colors = field(tensor(arrays["x"]), tensor(arrays["d"]))
    loss = (sigmas - tensor(arrays["target_sigma"])).square().mean()
    loss = loss + (colors - tensor(arrays["target_color"])).square().mean()
    torch.testing.assert_close(loss, tensor(arrays["loss"]), rtol=1e-5, atol=0)
    loss.backward()
    for key, expected in golden_state(arrays, "grad.").items():
        found = dict(field.named_parameters())[f"parts.{key}"].grad
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()), msg=key)


def test_truncated_exponential_and_its_derivative():
    arrays = load("truncated_exponential")
    x = tensor(arrays["x"]).requires_grad_(True)
    y = truncated_exponential(x)
    torch.testing.assert_close(y.detach(), tensor(arrays["y"]), rtol=1e-6, atol=0)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad, tensor(arrays["grad"]), rtol=1e-6, atol=0)
