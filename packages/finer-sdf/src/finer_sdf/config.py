"""Settings of a distance-field fit; `presets.resolve` completes them. Needs no PyTorch."""

from dataclasses import dataclass, field
from typing import Any

from finer_core.config import setting
from finer_core.training_config import TrainingConfig, check_at_least, check_positive

BUILT_IN = "armillary"
"""What `fit` takes when no shape is given; `geometry/armillary.py` makes it."""


@dataclass(frozen=True, kw_only=True)
class SdfConfig(TrainingConfig):
    """Hold every setting of a fit; None is filled from the preset and the method.

    Each field is an option of `finer-sdf fit`, whose help says what it does; `network` holds those of the network.
    `resolution` and `eval_samples` are of the run folder alone, and of `benchmark`.

    Example:
        >>> from finer_sdf import SdfConfig
        >>> config = SdfConfig(method="siren", preset="paper", steps=1000, network={"hidden_features": 128})
        >>> config.steps, config.batch_points
        (1000, None)
    """

    target_rms: float | None = setting(
        None, "end the fit as soon as the surface's points are this close to the level set, RMS in units of the box"
    )
    batch_points: int | None = setting(None, "points a step")
    samples: int | None = setting(None, "exact distances computed before training (preset fast)", preset="fast")
    cloud_points: int | None = setting(None, "points that a mesh is turned into (preset paper)", preset="paper")
    resolution: int = setting(256, "grid points per axis of the mesh in the run folder")
    eval_samples: int = setting(300_000, "surface samples a side that the result is judged by")
    color: str = setting("auto", "more networks for colors that the input has", choices=("auto", "off"))
    network: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, float] | None = None
    """Decay rates of Adam and SOAP."""
    amsgrad: bool | None = None
    """Whether Adam keeps the maximum of its second moments."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 2, "batch_points", "resolution")
        check_positive(self, "target_rms")
        check_at_least(self, 1000, "samples", "cloud_points", "eval_samples")
