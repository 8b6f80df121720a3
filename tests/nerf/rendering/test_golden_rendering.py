"""Renderers, held by the published code's vectors; the packed one by the dense one."""

import pytest
import torch

from finer_nerf.rendering.ray_marching import PackedSamples
from finer_nerf.rendering.volume import render_packed
from tests.nerf.golden import golden_field, golden_state, load, tensor

from .dense import render_dense


@pytest.fixture(scope="module")
def arrays():
    return load("render")


def rays(arrays):
    return tensor(arrays["rays_origin"]), tensor(arrays["rays_direction"])


def test_dense_rendering(arrays):
    found = render_dense(golden_field(arrays), *rays(arrays), bound=1.0, samples=64)
    torch.testing.assert_close(found.sample_depths, tensor(arrays["sample_depth"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.sample_sigmas, tensor(arrays["sample_sigma"]), rtol=1e-3, atol=1e-5)
    for name, value in (("image", found.image), ("depth", found.depth), ("weights_sum", found.weights_sum)):
        torch.testing.assert_close(value, tensor(arrays[name]), rtol=0, atol=1e-5)


def test_dense_rendering_in_double_precision(arrays):
    field, (rays_o, rays_d) = golden_field(arrays).double(), rays(arrays)
    found = render_dense(field, rays_o.double(), rays_d.double(), bound=1.0, samples=64)
    for name, value in (("image", found.image), ("depth", found.depth), ("weights_sum", found.weights_sum)):
        torch.testing.assert_close(value, tensor(arrays[f"{name}_f64"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["background_color", "background_per_ray"])
def test_backgrounds(arrays, name):
    found = render_dense(golden_field(arrays), *rays(arrays), bound=1.0, samples=64, background=tensor(arrays[name]))
    torch.testing.assert_close(found.image, tensor(arrays[f"image_{name}"]), rtol=0, atol=1e-5)


def test_jitter_and_fine_samples(arrays):
    found = render_dense(
        golden_field(arrays), *rays(arrays), bound=1.0, samples=64, jitter=tensor(arrays["perturb_uniform"])
    )
    torch.testing.assert_close(found.image, tensor(arrays["perturb_image"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.depth, tensor(arrays["perturb_depth"]), rtol=0, atol=1e-5)
    found = render_dense(golden_field(arrays), *rays(arrays), bound=1.0, samples=64, fine_samples=32)
    torch.testing.assert_close(found.image, tensor(arrays["upsample32_image"]), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.depth, tensor(arrays["upsample32_depth"]), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.weights_sum, tensor(arrays["upsample32_weights_sum"]), rtol=0, atol=1e-4)


def test_photometric_loss_and_gradients(arrays):
    field = golden_field(arrays)
    image = render_dense(field, *rays(arrays), bound=1.0, samples=64).image
    loss = (image - tensor(arrays["target_image"])).square().mean()
    torch.testing.assert_close(loss, tensor(arrays["photometric_loss"]), rtol=1e-5, atol=0)
    loss.backward()
    for key, expected in golden_state(arrays, "photometric_grad.").items():
        found = dict(field.named_parameters())[f"parts.{key}"].grad
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()), msg=key)


def test_rays_that_miss_are_background_without_nan(arrays):
    origin, direction = tensor(arrays["miss_origin"]), tensor(arrays["miss_direction"])
    found = render_dense(golden_field(arrays), origin, direction, bound=1.0, samples=64)
    assert torch.equal(found.image, torch.ones(4, 3))
    assert torch.equal(found.weights_sum, torch.zeros(4))
    assert torch.equal(found.depth, torch.zeros(4))


def test_packed_rendering_equals_dense_rendering_at_matching_samples(arrays):
    field, (rays_o, rays_d) = golden_field(arrays), rays(arrays)
    depths = tensor(arrays["sample_depth"])
    last = (tensor(arrays["far"]) - tensor(arrays["near"]))[:, None] / 64
    steps = torch.cat([depths[:, 1:] - depths[:, :-1], last], dim=1)
    count, each = depths.shape
    samples = PackedSamples(
        ray=torch.arange(count).repeat_interleave(each),
        slot=torch.arange(each).repeat(count),
        depths=depths.reshape(-1),
        step=steps.reshape(-1),
        rays=count,
    )
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            found = render_packed(field, rays_o, rays_d, samples, background=1.0)
        torch.testing.assert_close(found.image.detach(), tensor(arrays["image"]), rtol=0, atol=1e-3)
        torch.testing.assert_close(found.opacity.detach(), tensor(arrays["weights_sum"]), rtol=0, atol=1e-3)
    loss = (found.image - tensor(arrays["target_image"])).square().mean()
    loss.backward()
    for key, expected in golden_state(arrays, "photometric_grad.").items():
        grad = dict(field.named_parameters())[f"parts.{key}"].grad
        torch.testing.assert_close(grad, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()), msg=key)
