"""Settings of an image fit; `presets.resolve` completes them. Needs no PyTorch."""

from dataclasses import dataclass, field
from typing import Any

from finer_core.config import setting
from finer_core.training_config import TrainingConfig, check_at_least, check_positive

BUILT_IN = "astronaut"
"""What `fit` takes when no image is given: NASA's photograph of Eileen Collins (public domain), from scikit-image."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig(TrainingConfig):
    """Hold every setting of a fit; None is filled from the preset, the method and the image's size.

    `finer-image fit --help` says what each of them means.

    Raises:
        InputError: For a value outside its range.

    Example:
        >>> from finer_image import ImageConfig
        >>> config = ImageConfig(method="siren", passes=20.0, network={"hidden_features": 128})
        >>> config.method, config.preset, config.steps
        ('siren', 'fast', None)
    """

    passes: float | None = setting(
        None, "length of the fit: how often every pixel is used (default: 40; more of small images, fewer of huge ones)"
    )
    target_psnr: float | None = setting(None, "end the fit as soon as the whole image has this PSNR, in dB")
    batch_pixels: int | None = setting(None, "pixels a step; 0 for all of them (full batch)")
    sampling: str | None = setting(
        None,
        "where a batch's pixels lie: spread evenly, or more of them where the fit is still wrong",
        choices=("stratified", "importance"),
    )
    network: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, float] | None = None
    """Decay rates of Adam; SOAP takes the second."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 0, "batch_pixels")
        check_positive(self, "passes", "target_psnr")
