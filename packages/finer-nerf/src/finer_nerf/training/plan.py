"""Decide everything about a training before anything is written."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from finer_core.config import SavedPlan
from finer_core.errors import InputError
from finer_core.networks.build import build_network
from finer_core.networks.config import SIZES_GIVEN, NetworkConfig, check_option_names, find_method
from finer_core.networks.own_network import OwnNetwork
from finer_core.resources import PROCESS_BYTES, parse_memory, resolve_device
from finer_core.training import bytes_per_row
from finer_core.training_config import RESOLVED
from finer_nerf.backends.nerfacc import check_renderer
from finer_nerf.backends.tinycudann import choose_backend
from finer_nerf.backgrounds import LEARNED
from finer_nerf.config import NerfConfig
from finer_nerf.fields.radiance_field import FieldConfig, field_config
from finer_nerf.model_data import TASK
from finer_nerf.normalization import Normalization
from finer_nerf.presets import FAST_COLOR_LAYERS, FAST_NETWORK, FAST_SIZES, resolve
from finer_nerf.rendering.views import BYTES_PER_PIXEL
from finer_nerf.scenes import Scene
from finer_nerf.scenes.auto_scale import look_outwards, place_scene
from finer_nerf.scenes.scene import note_of_trained_views
from finer_nerf.training.background import with_backgrounds
from finer_nerf.training.exposure import check_exposure

_RAY_BYTES = 12
"""A pixel of every lens: the direction of its ray."""
_SHOWN_VIEWS, _SHOWN_BYTES = 6, 56
"""Views that a report shows at most, and a pixel of each: truth, rendering, depth, opacity and points."""
_FOG_SAMPLES_A_RAY = 64
"""Samples a ray may need at first, when nothing is known to be empty."""
_LEAST_AT_ONCE = 4 * 12_000
"""Samples that must fit in the networks together, or a training is refused: of the pieces that are at work at once."""


@dataclass(frozen=True, kw_only=True)
class FitPlan(SavedPlan):
    """Hold a training completely decided: what `config.json` says and a resumed run takes back.

    Attributes:
        settings: Every setting, resolved.
        field: The networks, or what a module of the user's own takes.
        frame: From the input's coordinates to the box.
        bound: Half the box's side.
        device: Where it runs, resolved.
        backend: Who computes a hash grid, resolved.
        notes: How the scene was placed, where that is not as usual, to be shown to the user.
    """

    settings: NerfConfig
    field: FieldConfig | OwnNetwork
    frame: Normalization
    bound: float
    device: str
    backend: str
    notes: tuple[str, ...] = ()
    resolved = (
        *(*RESOLVED, "background", "train_background", "contract", "batch_rays", "max_samples", "grid_resolution"),
        *("density_threshold", "min_weight", "schedule"),
    )

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise InputError(f"bound must be positive, got {self.bound!r}")

    @property
    def network(self) -> NetworkConfig | OwnNetwork:
        """Return the density network, which the user's network options speak of, or the user's own module."""
        return self.field if isinstance(self.field, OwnNetwork) else self.field.density

    @property
    def config(self) -> FieldConfig:
        """Return our field.

        Raises:
            InputError: If the training is of a module of its user's own.
        """
        if isinstance(self.field, OwnNetwork):
            raise InputError(f"the training is of a module of its user's own, {self.field.own}; give it by network=")
        return self.field

    @property
    def networks(self) -> tuple[NetworkConfig, NetworkConfig]:
        """Return density and color network; see `config`."""
        return self.config.density, self.config.color


def plan_fit(
    settings: NerfConfig,
    scene: Scene,
    *,
    processes: int = 1,
    own: OwnNetwork | None = None,
) -> FitPlan:
    """Decide everything about a training.

    Args:
        settings: As given, or as `open_scene` returns them.
        scene: The scene as it will be trained on.
        processes: How many share the training.
        own: What a module of the user's own takes, which is in the place of our networks.

    Raises:
        InputError: For an unknown method or option, a device or backend that is absent, or a memory limit that leaves
            no room; or for what several processes cannot do together.
    """
    values = find_method(settings.method, task=TASK).for_task(TASK)
    device = resolve_device(settings.device, shared=processes > 1)
    resolved = resolve(settings, views=len(scene.train), learning_rate=values.learning_rate, compiles=device == "cpu")
    resolved = _with_contraction(with_backgrounds(resolved, scene), scene)
    if resolved.exposure:
        check_exposure(scene)
    check_renderer(resolved.renderer, device=device)
    if own:
        refuse_network_settings(settings, own)
    field = own or _field_config(settings)
    is_grid = settings.method == "ngp" and own is None
    if settings.backend == "tcnn" and not is_grid:
        what = own.own if own else f"method {settings.method}"
        raise InputError(f"--backend tcnn computes hash grids, and {what} has none of ours; leave it out, or use ngp")
    by_us = settings.backend == "auto" and processes > 1
    backend = choose_backend(settings.backend, device) if is_grid and not by_us else "torch"
    frame, bound, notes = place_scene(
        scene, scale=resolved.scene_scale, bound=resolved.bound, contract=bool(resolved.contract)
    )
    notes += tuple(_decisions(settings, resolved, scene))
    notes += tuple(note_of_trained_views((scene.test or scene.val).poses, scene.train.poses))
    plan = FitPlan(
        settings=resolved, field=field, frame=frame, bound=bound, device=device, backend=backend, notes=notes
    )
    _check_memory(plan, scene)
    check_sharing(plan, processes=processes)
    return plan


def check_settings(settings: NerfConfig) -> None:
    """Refuse settings that no training can have, whatever the scene, such as its length in two ways.

    Raises:
        InputError: For those, and an unknown method or option.
    """
    values = find_method(settings.method, task=TASK).for_task(TASK)
    resolve(settings, views=1, learning_rate=values.learning_rate, compiles=False)
    _field_config(settings)


def _field_config(settings: NerfConfig) -> FieldConfig:
    check_option_names(settings.method, settings.network, sizes=SIZES_GIVEN)
    fast = settings.preset == "fast" and settings.method != "ngp"
    tuned = {**(FAST_SIZES if fast else {}), **(FAST_NETWORK.get(settings.method, {}) if fast else {})}
    field = field_config(
        method=settings.method,
        geometry_features=settings.geometry_features,
        color_layers=FAST_COLOR_LAYERS if fast and settings.color_layers is None else settings.color_layers,
        **{**tuned, **settings.network},
    )
    for network in (field.density, field.color):
        build_network(network, device="meta")  # refuses bad sizes and options now, at no cost
    return field


def refuse_network_settings(settings: NerfConfig, own: OwnNetwork) -> None:
    """Raise InputError for a setting of our networks where a module of the user's own is in their place."""
    for name in ("geometry_features", "color_layers"):
        if (value := getattr(settings, name)) is not None:
            raise InputError(f"{name} {value!r} is of our networks, and {own.own} has its own layers; leave it out")


def check_sharing(plan: FitPlan, *, processes: int, resumed: bool = False) -> None:
    """Raise InputError for what several processes cannot do together, yet.

    Args:
        plan: The plan.
        processes: How many there are.
        resumed: Whether it is of a run that is gone on with, whose options stay as they are.
    """
    settings = plan.settings
    assert settings.batch_rays
    if processes == 1:
        return
    for option, computes, ours in (
        ("--backend", plan.backend, "torch"),
        ("--renderer", settings.renderer, "torch"),
    ):
        if computes != ours:
            what = f"{option} {computes} is for one process, and there are {processes}"
            if resumed:
                raise InputError(f"{what}; the run was begun with it: go on without torchrun")
            raise InputError(f"{what}; use {option} {ours} with torchrun")
    if settings.batch_rays < processes:
        raise InputError(
            f"--batch-rays {settings.batch_rays} are fewer than the {processes} processes; "
            f"{'' if resumed else 'raise it, or '}lower --nproc-per-node"
        )


def _with_contraction(settings: NerfConfig, scene: Scene) -> NerfConfig:
    """Decide whether space is contracted: where opaque pictures are taken outwards, unless the box is given."""
    if settings.contract is None:
        around = scene.kind != "blender" and not scene.train.is_transparent and settings.bound is None
        can = settings.renderer == "torch"
        settings = dataclasses.replace(settings, contract=around and can and look_outwards(scene.train.poses))
    if settings.contract and settings.renderer != "torch":
        raise InputError(
            f"--renderer {settings.renderer} does not contract space; use --renderer torch or --no-contract"
        )
    return settings


def _decisions(given: NerfConfig, resolved: NerfConfig, scene: Scene) -> Iterator[str]:
    """Yield notes on what was decided by the pictures and cameras, where that is not as usual."""
    if given.visual_hull and resolved.contract:
        yield "--visual-hull does nothing with --contract, which holds all space"
    elif given.visual_hull and not scene.train.is_transparent:
        yield "--visual-hull finds nothing empty: the pictures are opaque"
    if given.contract is None and resolved.contract:
        yield "the cameras look outwards: all space is contracted into the box; --no-contract takes a box"
    if given.background is None and resolved.train_background == "same" and scene.kind != "blender":
        shown = "a learned color" if resolved.background == LEARNED else f"{resolved.background}, as at their edges"
        yield f"the pictures are opaque: what is behind everything is {shown}; --background overrules this"


def chunk_samples(plan: FitPlan, scene: Scene) -> int:
    """Return how many samples go through the networks at once elsewhere than on a CPU: as many as the memory holds."""
    room = parse_memory(plan.settings.memory) - _kept_bytes(plan, scene)
    return max(_LEAST_AT_ONCE, int(room / _sample_bytes(plan)))


def _check_memory(plan: FitPlan, scene: Scene) -> None:
    """Raise InputError if a step cannot fit the memory, cut into pieces as it is."""
    settings = plan.settings
    needed = _kept_bytes(plan, scene) + min(_samples(settings), _LEAST_AT_ONCE) * _sample_bytes(plan)
    if needed > parse_memory(settings.memory):
        raise InputError(
            f"--memory {settings.memory} leaves no room: this training needs about {needed / 1e6:.0f} MB; "
            "lower --batch-samples, --batch-rays or the width, or use --downscale"
        )


def _samples(settings: NerfConfig) -> int:
    """Return the samples of a step."""
    assert settings.batch_rays
    return settings.batch_samples or settings.batch_rays * _FOG_SAMPLES_A_RAY


def _sample_bytes(plan: FitPlan) -> int:
    """Return what the networks keep of a sample for its gradients."""
    if isinstance(plan.field, OwnNetwork):
        return 2 * bytes_per_row(plan.field)  # for its density, and again for its color
    return sum(bytes_per_row(network) for network in plan.networks)


def _kept_bytes(plan: FitPlan, scene: Scene) -> int:
    """Return what is there all the time: the process, pictures, lenses, grid, samples of a step, judged views."""
    settings = plan.settings
    assert settings.grid_resolution
    pictures = sum(
        views.images.numel() + (0 if views.masks is None else 5 * views.masks.numel())
        for views in (scene.train, scene.test, scene.val)
    )
    pixels = scene.train.height * scene.train.width
    shown = _SHOWN_BYTES * min(_SHOWN_VIEWS, len(scene.test or scene.val))
    pictures += pixels * (_RAY_BYTES * len(set(scene.train.cameras)) + shown + BYTES_PER_PIXEL)
    return PROCESS_BYTES + pictures + settings.grid_resolution**3 * 24 + _samples(settings) * 64
