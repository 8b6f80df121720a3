"""Encodings: golden values, formulas, what is stored, bad settings."""

import math

import numpy as np
import pytest
import torch

from finer_core.encodings import FourierEncoding, PositionalEncoding
from tests.core import golden, small


@pytest.mark.parametrize(
    ("key", "num_frequencies", "spacing"), [("encoding_log10", 10, "log"), ("encoding_linear4", 4, "linear")]
)
def test_golden_positional_encoding(key, num_frequencies, spacing):
    arrays = golden.load("core/activations")
    encoding = PositionalEncoding(in_features=2, num_frequencies=num_frequencies, spacing=spacing)
    out = encoding(torch.from_numpy(arrays["encoding_input"]))
    np.testing.assert_allclose(out.numpy(), arrays[key], rtol=0, atol=1e-6)
    assert encoding.out_features == arrays[key].shape[1]


def test_golden_positional_encoding_in_double_precision():
    arrays = golden.load("core/activations")
    x = torch.from_numpy(arrays["encoding_input"]).double()
    out = PositionalEncoding(in_features=2, num_frequencies=10)(x)
    np.testing.assert_allclose(out.numpy(), arrays["encoding_log10_f64"], rtol=0, atol=1e-12)


def test_order_of_positional_features():
    x = torch.tensor([0.3, -0.7])
    expected = torch.cat([x, torch.sin(x), torch.cos(x), torch.sin(2 * x), torch.cos(2 * x)])
    assert torch.equal(PositionalEncoding(in_features=2, num_frequencies=2)(x), expected)


@pytest.mark.parametrize(
    ("spacing", "count", "expected"),
    [("log", 4, [1, 2, 4, 8]), ("linear", 4, [1, 10 / 3, 17 / 3, 8]), ("log", 1, [1]), ("linear", 1, [1])],
)
def test_frequencies(spacing, count, expected):
    encoding = PositionalEncoding(in_features=1, num_frequencies=count, spacing=spacing)
    assert encoding.frequencies() == pytest.approx(expected)


def test_fourier_encoding_against_numpy():
    encoding = FourierEncoding(in_features=3, num_frequencies=6, frequency_std=2.0, dtype=torch.float64)
    x = small.coords_of(5, 3, dtype=torch.float64)
    phase = 2 * math.pi * x.numpy() @ encoding.frequencies.numpy().T
    np.testing.assert_allclose(encoding(x).numpy(), np.concatenate([np.sin(phase), np.cos(phase)], axis=1))
    assert encoding.out_features == 12


def test_amplitudes_weigh_sine_and_cosine():
    encoding = FourierEncoding(in_features=2, num_frequencies=4, frequency_std=1.0)
    plain = encoding(small.coords_of(5))
    encoding.amplitudes.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(encoding(small.coords_of(5)), plain * torch.tensor([1.0, 2, 3, 4, 1, 2, 3, 4]))


def test_frequencies_are_reproducible_saved_and_not_trained():
    first, second = (
        FourierEncoding(
            in_features=3, num_frequencies=500, frequency_std=5.0, generator=torch.Generator().manual_seed(4)
        )
        for _ in range(2)
    )
    assert torch.equal(first.frequencies, second.frequencies)
    assert float(first.frequencies.std()) == pytest.approx(5.0, rel=0.05)
    assert set(first.state_dict()) == {"frequencies", "amplitudes"}
    assert not list(first.parameters())


def test_encodings_show_every_hyper_parameter():
    positional = PositionalEncoding(in_features=2, num_frequencies=5, spacing="linear")
    assert repr(positional) == "PositionalEncoding(in_features=2, num_frequencies=5, spacing='linear')"
    fourier = FourierEncoding(in_features=2, num_frequencies=5, frequency_std=0.5)
    assert repr(fourier) == "FourierEncoding(in_features=2, num_frequencies=5, frequency_std=0.5)"


def test_no_frequencies_leave_the_coordinates_as_they_are():
    coords = torch.rand(5, 3)
    encoding = PositionalEncoding(in_features=3, num_frequencies=0)
    assert encoding.out_features == 3
    assert torch.equal(encoding(coords), coords)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_features": 0}, "got 0, 10"),
        ({"in_features": 2, "num_frequencies": -1}, "got 2, -1"),
        ({"in_features": 2, "spacing": "octaves"}, "'octaves'"),
    ],
)
def test_bad_positional_encoding(settings, message):
    with pytest.raises(ValueError, match=message):
        PositionalEncoding(**settings)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_frequency_std(std):
    with pytest.raises(ValueError, match="frequency_std must be positive"):
        FourierEncoding(in_features=2, num_frequencies=4, frequency_std=std)


def test_bad_fourier_sizes():
    with pytest.raises(ValueError, match="got 2 and 0"):
        FourierEncoding(in_features=2, num_frequencies=0, frequency_std=1.0)


def test_octaves_that_float32_does_not_hold_are_refused():
    most = PositionalEncoding(in_features=1, num_frequencies=120)
    assert torch.isfinite(most(torch.tensor([[255.0]]))).all()
    for spacing in ("log", "linear"):
        for octaves in (121, 2000):
            with pytest.raises(ValueError, match=f"at most 120, got {octaves}"):
                PositionalEncoding(in_features=1, num_frequencies=octaves, spacing=spacing)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_phase_in_float32(dtype):
    coords = torch.linspace(-1, 1, 9, dtype=dtype)[:, None] * 1.5
    positional = PositionalEncoding(in_features=1, num_frequencies=17)
    fourier = FourierEncoding(
        in_features=1, num_frequencies=4, frequency_std=30.0, generator=torch.Generator().manual_seed(0)
    ).to(dtype)
    found = positional(coords)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), positional(coords.float()), rtol=0, atol=2**-7)
    found = fourier(coords)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), fourier.float()(coords.float()), rtol=0, atol=2**-7)
