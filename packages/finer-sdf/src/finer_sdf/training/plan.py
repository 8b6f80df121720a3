"""Decide everything about a fit before anything is written."""

from dataclasses import dataclass

from finer_core.config import SavedPlan
from finer_core.errors import InputError
from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import SIZES_GIVEN, NetworkConfig, check_option_names, find_method
from finer_core.networks.own_network import OwnNetwork
from finer_core.resources import parse_memory, resolve_device
from finer_core.training import SMALLEST_CHUNK, bytes_per_row, chunk_rows
from finer_core.training.precision import bf16_products_are_native
from finer_core.training_config import RESOLVED
from finer_sdf.config import SdfConfig
from finer_sdf.geometry import Mesh, PointCloud, Shape
from finer_sdf.geometry.loaded_shape import SurfaceColors
from finer_sdf.geometry.raw import BYTES_A_FACE, PROCESS_BYTES, SMOOTH_SURFACE_BYTES
from finer_sdf.meshing.extract import check_resolution
from finer_sdf.model_data import TASK
from finer_sdf.normalization import Normalization, published_normalization
from finer_sdf.presets import FAST_NETWORK, PUBLISHED_CLOUD, resolve

_BYTES_A_SAMPLE = 4 * 4
_BYTES_A_POINT = 400
_BYTES_A_COLOR = 320
_MOST_COLORS = 1_200_000
COLOR_BATCH, SMOOTH_STEPS, DETAIL_STEPS = 4096, 500, 750
"""Of the networks for colors: points a step, and most steps."""


@dataclass(frozen=True, kw_only=True)
class FitPlan(SavedPlan):
    """Hold a fit completely decided: what `config.json` says and a resumed run takes back.

    Attributes:
        settings: Every setting, resolved.
        network: The network, or what a module of the user's own takes.
        frame: From the input's coordinates to the box.
        device: Where it runs, resolved.
    """

    settings: SdfConfig
    network: NetworkConfig | OwnNetwork
    frame: Normalization
    device: str
    resolved = (*RESOLVED, "batch_points", "betas", "amsgrad")


def plan_fit(
    settings: SdfConfig,
    shape: Shape,
    *,
    colors: SurfaceColors | None = None,
    shared: bool = False,
    own: OwnNetwork | None = None,
) -> FitPlan:
    """Decide everything about a fit.

    Args:
        settings: As given.
        shape: The surface.
        colors: What is known of its colors.
        shared: Whether several processes share the fit.
        own: The module of the user's own that is trained; None for the method's network.

    Raises:
        InputError: For an unknown method or option, a device that is absent, a shape without extent, or a memory limit
            that leaves no room.
    """
    method = find_method(settings.method, task=TASK)
    values = method.for_task(TASK)
    network = own or _network_config(settings)
    device = resolve_device(settings.device, shared=shared)
    resolved = resolve(
        settings,
        learning_rate=values.learning_rate,
        amsgrad=values.amsgrad,
        bf16_is_native=bf16_products_are_native(device),
        compiles=device == "cpu",
    )
    # A config file of another run has the published number, which nobody may have given.
    if settings.cloud_points not in (None, PUBLISHED_CLOUD) and isinstance(shape, PointCloud):
        raise InputError(
            f"--cloud-points {settings.cloud_points} is how many a mesh is turned into, and this input is a cloud of "
            f"{len(shape.points)} points, which are all taken; leave it out"
        )
    _check_batch(resolved)
    plan = FitPlan(settings=resolved, network=network, frame=published_normalization(shape), device=device)
    chunk_points(plan, shape, colors=colors)
    return plan


def check_settings(settings: SdfConfig) -> None:
    """Refuse settings that no fit can have, whatever the shape, such as its length in two ways.

    Raises:
        InputError: For those, an unknown method or option, and a resolution that no mesh can be judged at.
    """
    _network_config(settings)
    values = find_method(settings.method, task=TASK).for_task(TASK)
    resolved = resolve(
        settings, learning_rate=values.learning_rate, amsgrad=values.amsgrad, bf16_is_native=False, compiles=False
    )
    _check_batch(resolved)
    check_resolution(settings.resolution, memory=parse_memory(settings.memory))


def _check_batch(settings: SdfConfig) -> None:
    if settings.preset == "paper" and settings.batch_points and settings.batch_points % 2:
        raise InputError(f"--batch-points must be even (half near, half far), got {settings.batch_points}")


def _network_config(settings: SdfConfig) -> NetworkConfig:
    check_option_names(settings.method, settings.network, sizes=SIZES_GIVEN)
    tuned = FAST_NETWORK.get(settings.method, {}) if settings.preset == "fast" else {}
    network = published_config(
        method=settings.method, task=TASK, in_features=3, out_features=1, **{**tuned, **settings.network}
    )
    build_network(network, device="meta")  # refuses bad sizes and options now, at no cost
    return network


def color_samples(steps: int) -> int:
    """Return how many points with colors are drawn for a fit of so many steps."""
    return min(_MOST_COLORS, (min(steps, SMOOTH_STEPS) + min(steps, DETAIL_STEPS)) * COLOR_BATCH)


def chunk_points(plan: FitPlan, shape: Shape, *, colors: SurfaceColors | None = None) -> int:
    """Return how many points go through the network at once in training; see `chunk_rows`.

    Raises:
        InputError: If not even a small piece fits beside the shape, its colors and the samples.
    """
    settings = plan.settings
    geometry = len(shape.faces) * BYTES_A_FACE if isinstance(shape, Mesh) else len(shape.points) * _BYTES_A_POINT
    taken = PROCESS_BYTES + geometry + (settings.samples or 0) * _BYTES_A_SAMPLE
    taken += (settings.cloud_points or 0) * _BYTES_A_POINT
    taken += SMOOTH_SURFACE_BYTES if isinstance(shape, PointCloud) and shape.noise else 0
    if colors is not None:
        is_fitted = settings.color == "auto" and isinstance(plan.network, NetworkConfig)
        taken += colors.nbytes + is_fitted * _BYTES_A_COLOR * color_samples(settings.steps or 0)
    rows = chunk_rows(plan.network, room=parse_memory(settings.memory) - taken, device=plan.device)
    if rows < SMALLEST_CHUNK:
        needed = (taken + SMALLEST_CHUNK * bytes_per_row(plan.network)) / 1e6
        raise InputError(f"--memory {settings.memory} leaves no room: this fit needs about {needed:.0f} MB")
    return rows
