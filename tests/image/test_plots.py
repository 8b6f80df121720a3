"""First-layer maps equal the recorded ones."""

import numpy as np
import pytest
import torch

from finer_core import NetworkConfig, build_network
from finer_core.errors import InputError
from finer_image.plots import first_layer_responses, save_figure
from finer_image.spectrum import radial_spectrum

from ..core import golden


def network_of(arrays: dict[str, np.ndarray], method: str, dtype: torch.dtype) -> torch.nn.Module:
    config = NetworkConfig(
        method=method,
        in_features=2,
        out_features=3,
        hidden_features=16,
        hidden_layers=0,
        options={"first_omega_0": 1.0},
    )
    network = build_network(config, dtype=dtype)
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.from_numpy(arrays[f"{method}.layers.0.weight"]))
        network.layers[0].bias.copy_(torch.from_numpy(arrays[f"{method}.layers.0.bias"]))
    return network


@pytest.mark.parametrize("method", ["finer", "siren"])
def test_neurons(method):
    arrays = golden.load("figure/first_layer_neurons")
    maps = first_layer_responses(network_of(arrays, method, torch.float64), height=32, width=32)
    np.testing.assert_allclose(maps.numpy(), arrays[f"{method}.neurons_f64"], rtol=0, atol=1e-6)
    maps = first_layer_responses(network_of(arrays, method, torch.float32), height=32, width=32)
    np.testing.assert_allclose(maps.numpy(), arrays[f"{method}.neurons"], rtol=0, atol=2e-4)


def test_neurons_of_a_rectangle():
    arrays = golden.load("figure/first_layer_neurons")
    maps = first_layer_responses(network_of(arrays, "finer", torch.float32), height=20, width=28)
    np.testing.assert_allclose(maps.numpy(), arrays["finer.neurons_rect"], rtol=0, atol=2e-4)


def test_spectrum_of_a_wave_peaks_at_its_frequency():
    x = np.arange(256)
    wave = np.sin(2 * np.pi * 0.125 * x)[None, :] + np.zeros((256, 1))
    frequency, power = radial_spectrum(wave)
    assert frequency[np.argmax(power)] == pytest.approx(0.125, abs=1 / 256)
    assert radial_spectrum(np.zeros((4, 100)))[0].size == 0


@pytest.mark.parametrize("shape", [(64, 64), (48, 65), (33, 20)])
def test_a_spectrum_is_the_mean_over_whole_rings_whichever_way_waves_run(shape):
    rows = np.random.default_rng(0).normal(size=(shape[0], 1)).repeat(shape[1], axis=1)
    frequency, power = radial_spectrum(rows)
    window = np.hanning(shape[0])[:, None] * np.hanning(shape[1])
    every = np.abs(np.fft.fft2((rows - rows.mean()) * window)) ** 2 / window.sum() ** 2
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    means = [every[np.round(radius / frequency[0]) == ring].mean() for ring in range(1, len(frequency) + 1)]
    np.testing.assert_allclose(power, means)
    np.testing.assert_allclose(power, radial_spectrum(rows.T)[1])


def test_save_figure_names_the_formats(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt: a figure is written as \.png, \.svg, \.pdf"):
        save_figure(None, tmp_path / "a.txt")
