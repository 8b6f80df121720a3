"""Settings of a radiance-field training; `presets.resolve` completes them. Needs no PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finer_core.config import setting
from finer_core.training_config import TrainingConfig, check_at_least, check_positive
from finer_nerf.backgrounds import LEARNED, check_background

BUILT_IN = "workbench"
"""What `train` takes when no scene is given; `scenes/builtin` makes it."""


SCENES = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
"""Blender scenes of the NeRF paper, which `download` fetches and published tables are of."""


@dataclass(frozen=True, kw_only=True)
class NerfConfig(TrainingConfig):
    """Hold every setting of a training; None is filled by `presets.resolve` from the preset and the method.

    Example:
        >>> from finer_nerf import NerfConfig
        >>> config = NerfConfig(method="siren", steps=500, network={"hidden_features": 32})
        >>> config.preset, config.background, config.batch_rays
        ('fast', None, None)
    """

    target_psnr: float | None = setting(None, "end the training as soon as the held-out views have this PSNR, in dB")
    downscale: int | None = setting(None, "divide the pictures' size by this")
    train_every: int | None = setting(None, "learn from every n-th training view")
    test_every: int = setting(8, "hold out every n-th view where the scene has no test or validation views")
    scene_scale: float | None = setting(
        None, "box units per unit of the scene (default: from the cameras; Blender 0.8)"
    )
    bound: float | None = setting(None, "half the box's side (default: from the cameras; Blender 1)")
    contract: bool | None = setting(
        None, "contract all space into the box, for surroundings without bounds (default: if cameras look outwards)"
    )
    min_near: float = setting(0.2, "nearest that a ray sees, in box units")
    background: str | None = setting(
        None,
        "behind everything, in training and judging: white, black, #rrggbb, or learned, of opaque pictures "
        "(default: white; of opaque pictures the one color of their edges, or else learned)",
        metavar="COLOR",
    )
    train_background: str | None = setting(
        None,
        "what training rays end on: a fresh random color keeps the field opaque (default: random for transparent "
        "pictures)",
        choices=("random", "same"),
    )
    exposure: bool = setting(
        False, "fit an affine color of each training picture: exposure and white balance that differ; opaque pictures"
    )
    backend: str = setting(
        "auto", "who computes the hash grid of ngp; tcnn needs tinycudann", choices=("auto", "torch", "tcnn")
    )
    renderer: str = setting("torch", "who marches rays; nerfacc needs CUDA", choices=("torch", "nerfacc"))
    batch_rays: int | None = setting(None, "most rays a step")
    batch_samples: int | None = setting(None, "samples a step that the number of rays is chosen for; 0 for no limit")
    max_samples: int | None = setting(None, "most samples a ray: sets the step along it")
    grid_resolution: int | None = setting(None, "cells per axis of the occupancy grid")
    grid_every: int = setting(16, "steps between two looks at the density for the occupancy grid")
    density_threshold: float | None = setting(None, "density from which on a cell is occupied")
    visual_hull: bool | None = setting(None, "leave out what the pictures' transparency shows to be empty")
    min_weight: float | None = setting(None, "smallest weight of a sample that is trained and seen")
    ema_every: int | None = setting(None, "steps between two updates of that average")
    geometry_features: int | None = setting(None, "features that the density network hands to the color network")
    color_layers: int | None = setting(None, "hidden-to-hidden layers of the color network")
    orbit_frames: int = setting(48, "frames of the film in the report; 0 for none")
    network: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay rates of Adam and SOAP."""
    eps: float = 1e-15
    """Adam's epsilon."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "downscale", "train_every", "batch_rays", "grid_every", "ema_every")
        check_at_least(self, 1, "geometry_features")
        check_at_least(self, 2, "test_every", "max_samples", "grid_resolution")
        check_at_least(self, 0, "batch_samples", "min_weight", "color_layers", "orbit_frames", "min_near")
        check_positive(self, "target_psnr", "scene_scale", "bound", "density_threshold")
        if self.background not in (None, LEARNED):
            check_background(self.background)


def scene_name(signal: str | None) -> str:
    """Return a scene's name for a run folder."""
    path = Path(signal or BUILT_IN)
    return (path.resolve().parent if path.suffix == ".json" else path.resolve()).name
