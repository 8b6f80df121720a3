"""When a fit has the PSNR that ends it: of the whole image, clipped, and asked often enough."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finer_core.training import LogEntry
from finer_image.config import ImageConfig
from finer_image.io.image import Image
from finer_image.training import target_psnr
from finer_image.training.plan import plan_fit
from finer_image.training.target_psnr import target_test

ENTRY = LogEntry(step=10, loss=0.5, learning_rate=1e-3, seconds=1.0, rollbacks=0)
"""Of a fit whose training loss says nothing good."""


class Halves(nn.Module):
    """Predict a dark upper and a bright lower half, both beyond the range [-1, 1] of the values."""

    def __init__(self, *, error: float = 0.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.error = error

    def forward(self, coords: Tensor) -> Tensor:
        return 1.5 * torch.where(coords[:, :1] > 0, 1.0, -1.0) * (1 - self.error) + self.bias


def halves(side: int, **rest) -> Image:
    pixels = np.zeros((side, side), dtype=np.uint8)
    pixels[side // 2 :] = 255
    return Image.from_pixels(pixels, **rest)


def asked(image: Image, target: float, network: nn.Module) -> bool:
    plan = plan_fit(ImageConfig(target_psnr=target, passes=4, device="cpu"), image)
    return target_test(plan, network, image)(ENTRY)


def test_what_lies_outside_the_range_is_clipped_as_in_the_figures():
    assert asked(halves(200), 60, Halves())


@pytest.mark.parametrize(("target", "is_reached"), [(13.9, True), (14.1, False)])
def test_the_whole_image_decides(target, is_reached):
    assert asked(halves(200), target, Halves(error=1 - 0.6 / 1.5)) is is_reached  # 0.2 off: 13.98 dB


def test_far_from_the_target_only_a_sample_is_predicted(monkeypatch):
    monkeypatch.setattr(target_psnr, "fitted_bands", lambda model: pytest.fail("all pixels are predicted"))
    assert not asked(halves(200), 15, Halves(error=1 - 0.6 / 1.5))
    with pytest.raises(pytest.fail.Exception, match="all pixels"):
        asked(halves(200), 14.1, Halves(error=1 - 0.6 / 1.5))


@pytest.mark.parametrize("side", [1, 7, 200])
def test_pixels_without_data_are_not_asked(side):
    pixels = np.full((side, side), np.nan, dtype=np.float32)
    pixels[-1, -1] = 1.0
    image = Image.from_pixels(pixels, value_range=(0.0, 1.0))
    assert asked(image, 60, Halves()) is (side > 1)  # one pixel has coordinates (-1, -1)


@pytest.mark.parametrize(
    ("rest", "interval"),
    [({"passes": 40}, 25), ({"passes": 320}, 12), ({"passes": 320, "log_every": 70}, 70), ({"preset": "paper"}, 1)],
)
def test_a_fit_with_a_target_is_judged_every_few_seconds(rest, interval):
    image = Image.from_pixels(np.zeros((512, 512, 3), dtype=np.uint8))
    assert plan_fit(ImageConfig(target_psnr=30, **rest), image).settings.log_every == interval
    assert plan_fit(ImageConfig(**rest), image).settings.log_every >= interval
