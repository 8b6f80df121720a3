"""Mean squared error and PSNR at known values."""

import math

import pytest
import torch

from finer_core.metrics import mse, psnr, psnr_of_mse


def test_mse_is_the_mean_over_all_entries():
    pred, target = torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    assert float(mse(pred, target)) == pytest.approx((0 + 1 + 4 + 9) / 4)


def test_mse_can_be_trained():
    pred = torch.tensor([2.0, -1.0], requires_grad=True)
    mse(pred, torch.zeros(2)).backward()
    assert pred.grad.tolist() == [2.0, -1.0]


def test_mse_does_not_broadcast():
    with pytest.raises(ValueError, match=r"pred has shape \(4, 3\), target \(4, 1\)"):
        mse(torch.zeros(4, 3), torch.zeros(4, 1))


@pytest.mark.parametrize(
    ("value", "data_range", "expected"),
    [
        (1.0, 1.0, 0.0),
        (0.01, 1.0, 20.0),
        (0.01, 2.0, 20 + 20 * math.log10(2)),
        (65025.0, 255.0, 0.0),
        (100.0, 1.0, -20.0),
        (0.0, 1.0, math.inf),
        (5e-324, 1.0, math.inf),
        (math.inf, 1.0, -math.inf),
    ],
)
def test_psnr_of_mse(value, data_range, expected):
    assert psnr_of_mse(value, data_range=data_range) == pytest.approx(expected)


def test_psnr_of_a_loss_that_is_not_a_number():
    assert math.isnan(psnr_of_mse(math.nan))


def test_psnr():
    target = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    assert psnr(target + 0.1, target) == pytest.approx(20.0, abs=1e-4)
    assert psnr(2 * (target + 0.1), 2 * target, data_range=2.0) == pytest.approx(20.0, abs=1e-4)
    assert psnr(target, target) == math.inf


def test_psnr_does_not_clip():
    assert psnr(torch.tensor([3.0]), torch.tensor([1.0])) == pytest.approx(-20 * math.log10(2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integers_whose_differences_wrap_around_are_refused(dtype):
    values = torch.zeros(3)
    for pred, target, name in ((values.to(dtype), values, "pred"), (values, values.to(dtype), "target")):
        with pytest.raises(ValueError, match=rf"{name} must be floating point, got {dtype}"):
            psnr(pred, target)


def test_errors_of_half_precision_neither_vanish_nor_overflow():
    pred = torch.full((100,), 0.125, dtype=torch.float16)
    assert psnr(pred, pred + 2**-13) == pytest.approx(20 * math.log10(2**13))
    assert float(mse(torch.full((3,), 300.0, dtype=torch.float16), torch.zeros(3, dtype=torch.float16))) == 90_000.0


def test_a_complex_error_counts_by_its_modulus():
    pred = torch.tensor([3 + 4j, 0j], requires_grad=True)
    error = mse(pred, torch.zeros(2, dtype=torch.complex64))
    assert error.dtype == torch.float32 and error.item() == pytest.approx(12.5)
    assert psnr(pred, torch.zeros_like(pred)) == pytest.approx(-10 * math.log10(12.5))
    error.backward()
    assert pred.grad.tolist() == pytest.approx([3 + 4j, 0j])
