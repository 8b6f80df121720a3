"""Loss in pieces, targets of every type, PSNR and SSIM in bands, tiles of a render."""

import logging

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from finer_core import NetworkConfig, build_network
from finer_core.activations import first_order_only
from finer_core.errors import InputError
from finer_image import evaluation, rendering
from finer_image.evaluation import evaluate
from finer_image.io.image import Image
from finer_image.model import ImageModel
from finer_image.rendering import Crop, render
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.plan import chunk_pixels
from finer_image.training.stratified import StratifiedPixels


def network(channels: int = 3) -> torch.nn.Module:
    config = NetworkConfig(method="finer", in_features=2, out_features=channels, hidden_features=16, hidden_layers=1)
    return build_network(config, generator=torch.Generator().manual_seed(0))


def picture(height: int, width: int, channels: int = 3) -> Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.from_pixels(values)


def model_of(image: Image) -> ImageModel:
    return ImageModel(
        network=network(image.channels),
        height=image.height,
        width=image.width,
        target_range=(-1.0, 1.0),
        image=image.to_metadata(),
    )


@pytest.mark.parametrize("chunk", [1, 37, 64, 10_000])
def test_pieces_give_the_whole_batch(chunk):
    image = picture(12, 17)
    target = PixelTarget(image.pixels, value_range=(0, 255), target_range=(-1, 1))
    ours, whole = network(), network()
    loss = ImageObjective(target, sampler=None, chunk_pixels=chunk).backward(ours, 0)
    coords, values = target.at(slice(0, len(target)))
    with first_order_only():  # as a fit has it: the same rounding, so that only the pieces can differ
        reference = torch.mean((whole(coords) - values) ** 2)
    reference.backward()
    torch.testing.assert_close(loss, reference.detach(), rtol=1e-6, atol=0)
    for a, b in zip(ours.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


def test_a_sampled_step_uses_its_own_pixels():
    image = picture(16, 16)
    target = PixelTarget(image.pixels, value_range=(0, 255), target_range=(0, 1))
    sampler = StratifiedPixels(height=16, width=16, batch_pixels=32, seed=4)
    net = network()
    loss = ImageObjective(target, sampler=sampler, chunk_pixels=7).backward(net, 5)
    coords, values = target.at(sampler.batch(5))
    torch.testing.assert_close(loss, torch.mean((net(coords) - values) ** 2).detach(), rtol=1e-5, atol=0)
    index = int(sampler.batch(5)[3])
    assert torch.equal(values[3], torch.from_numpy(image.pixels.reshape(-1, 3)[index] / np.float32(255)))


@pytest.mark.parametrize(
    ("threads", "batch", "chunk", "rows"),
    [(1, 1024, 1024, [1024]), (2, 1024, 1024, [512, 512]), (2, 4096, 1024, [1024] * 4), (8, 1024, 1024, [256] * 4)],
)
def test_every_core_gets_a_piece_of_a_batch_that_is_worth_it(threads, batch, chunk, rows):
    image = picture(64, 64)
    target = PixelTarget(image.pixels, value_range=(0, 255), target_range=(0, 1))
    sampler = StratifiedPixels(height=64, width=64, batch_pixels=batch, seed=4)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        parts, _ = ImageObjective(target, sampler=sampler, chunk_pixels=chunk).pieces(0)
    finally:
        torch.set_num_threads(before)
    assert [len(part) for part in parts] == rows


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float16", "float32", "float64"])
def test_targets_of_every_type(dtype):
    values = (np.linspace(0, 1, 24).reshape(4, 6, 1) * 250 + 3).astype(dtype)
    low, high = float(values.min()), float(values.max())
    target = PixelTarget(values, value_range=(low, high), target_range=(-1, 1))
    expected = (values.reshape(-1, 1).astype(np.float64) - low) / (high - low) * 2 - 1
    np.testing.assert_allclose(target.at(slice(0, 24))[1].numpy(), expected, rtol=0, atol=1e-6)


def test_large_16_bit_values_are_not_negative():
    values = np.array([[[65535], [40000]]], dtype=np.uint16)
    target = PixelTarget(values, value_range=(0, 65535), target_range=(0, 1))
    np.testing.assert_allclose(target.at(torch.tensor([0, 1]))[1].numpy().ravel(), [1.0, 40000 / 65535], rtol=1e-6)


@pytest.mark.parametrize(("height", "width", "channels"), [(40, 30, 3), (11, 11, 1), (12, 90, 4)])
def test_bands_give_the_figures_of_the_whole_image(height, width, channels, monkeypatch):
    image = picture(height, width, channels)
    model = model_of(image)
    monkeypatch.setattr(evaluation, "_BAND_NUMBERS", 1)  # bands as low as they get: 16 rows
    figures = evaluate(model, image)
    pred = model(torch.cartesian_prod(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)))
    pred = pred.detach().numpy().reshape(height, width, channels)
    truth = image.pixels / np.float32(255)
    clipped = np.clip(pred, 0, 1)
    assert figures["psnr"] == pytest.approx(-10 * np.log10(np.mean((clipped - truth) ** 2)), abs=1e-4)
    assert figures["psnr_unclipped"] == pytest.approx(-10 * np.log10(np.mean((pred - truth) ** 2)), abs=1e-4)
    whole = structural_similarity(
        truth, clipped, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1
    )
    assert figures["ssim"] == pytest.approx(whole, abs=1e-5)


def test_evaluation_needs_the_same_size():
    with pytest.raises(InputError, match="12x12 image with 3 channels, the signal has 12x13"):
        evaluate(model_of(picture(12, 12)), picture(12, 13))


def test_tiles_do_not_show(monkeypatch):
    model = model_of(picture(20, 15))
    whole = render(model, height=50, width=33).pixels
    monkeypatch.setattr(rendering, "CHUNK_PIXELS", 40)
    assert np.array_equal(render(model, height=50, width=33).pixels, whole)
    crop = render(model, height=50, width=33, crop=Crop(9, 41, 4, 30)).pixels
    assert np.array_equal(crop, whole[9:41, 4:30])


def test_memory_bounds_the_pieces():
    config = NetworkConfig(method="finer", in_features=2, out_features=3)
    image = picture(8, 8)
    assert chunk_pixels(config, memory=4 * 10**9, image=image, device="cpu") == 1024
    tight = chunk_pixels(config, memory=460_000_000, image=image, device="cpu")
    assert 256 <= tight < 1024
    with pytest.raises(InputError, match="--memory leaves no room: this fit needs about 4"):
        chunk_pixels(config, memory=450_000_000, image=image, device="cpu")


@pytest.mark.parametrize("scale", [1e39, 1e300, 1e-38, 1e-60, 1e-308])
def test_ranges_beyond_single_precision_are_scaled_in_double(scale):
    pixels = np.random.default_rng(0).random((6, 5, 2))
    plain, image = Image.from_pixels(pixels), Image.from_pixels(pixels * scale)
    values, expected = (
        PixelTarget(each.pixels, value_range=each.value_range, target_range=(-1, 1)).values(slice(0, 30))
        for each in (image, plain)
    )
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "pixels", [1e9 + np.arange(30.0), 2**40 + np.arange(30), 2**31 + np.arange(30, dtype=np.uint32)]
)
def test_small_steps_far_from_zero_are_kept(pixels):
    image = Image.from_pixels(pixels.reshape(6, 5))
    target = PixelTarget(image.pixels, value_range=image.value_range, target_range=(0, 1))
    np.testing.assert_allclose(target.values(slice(0, 30))[:, 0], np.arange(30) / 29, atol=1e-6)


def test_a_range_beyond_single_precision_within_its_numbers():
    pixels = np.array([[-3e38, 0.0, 3e38]], dtype=np.float32)
    image = Image.from_pixels(pixels)
    target = PixelTarget(image.pixels, value_range=image.value_range, target_range=(0, 1))
    assert target.values(slice(0, 3))[:, 0].tolist() == [0.0, 0.5, 1.0]


def test_values_of_another_size_are_noted(caplog):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    model = model_of(Image.from_pixels(pixels))
    with caplog.at_level(logging.WARNING, logger="finer_image"):
        for same in (pixels, pixels.astype(np.uint16), pixels.astype(np.float32)):
            evaluate(model, same)
        assert caplog.messages == []
        for other in (pixels / 255, pixels.astype(np.uint16) * 257):
            evaluate(model, other)
    assert "float64 of 0" in caplog.messages[0] and "uint8 of 0 to 255; they are compared" in caplog.messages[0]
    assert len(caplog.messages) == 2 and "uint16" in caplog.messages[1]
