"""Decide everything about a fit of an image, write it down, and take it back."""

import dataclasses
import hashlib
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
from finer_image.config import ImageConfig
from finer_image.io.image import Image
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.memory import PROCESS_BYTES
from finer_image.model_data import TASK
from finer_image.presets import resolve
from finer_image.presets.crowding import crowding_of
from finer_image.presets.networks import fast_network

_LARGE_SIDE = 8192
"""Pixels: of an image so large that no batch, unless it is asked for, is all of it."""


@dataclass(frozen=True, kw_only=True)
class FitPlan(SavedPlan):
    """Hold a fit completely decided: what `config.json` says and a resumed run takes back.

    Attributes:
        settings: Every setting, resolved.
        network: The network, or what a module of the user's own takes.
        target_range: What the image is scaled to for training.
        device: Where it runs, resolved.
    """

    settings: ImageConfig
    network: NetworkConfig | OwnNetwork
    target_range: tuple[float, float]
    device: str
    resolved = (*RESOLVED, "batch_pixels", "betas", "sampling", "schedule")

    def __post_init__(self) -> None:
        low, high = self.target_range
        if not low < high:
            raise InputError(f"target_range must be two numbers, the lower first, got {low!r} {high!r}")


def plan_fit(
    settings: ImageConfig,
    image: Raster,
    *,
    shared: bool = False,
    passes: float | None = None,
    own: OwnNetwork | None = None,
) -> FitPlan:
    """Decide everything about a fit before anything is written.

    Args:
        settings: As given.
        image: The image.
        shared: Whether several processes share the fit.
        passes: How often every pixel can be used in `settings.seconds`, where these are given.
        own: The module of the user's own that is trained; None for the method's network.

    Raises:
        InputError: For an unknown method or option, a device that is absent, or an image too large for the memory.
    """
    method = find_method(settings.method, task=TASK)
    values = method.for_task(TASK)
    network = own or _network_config(settings, channels=image.channels)
    device = resolve_device(settings.device, shared=shared)
    resolved = resolve(
        settings,
        height=image.height,
        width=image.width,
        channels=image.channels,
        hidden_features=network.hidden_features,
        hidden_layers=network.hidden_layers if isinstance(network, NetworkConfig) else None,
        learning_rate=values.learning_rate,
        bf16_is_native=bf16_products_are_native(device),
        compiles=device == "cpu",
        missing=image.missing,
        passes=passes,
    )
    if isinstance(network, NetworkConfig) and settings.preset == "fast":
        network = _fast_network(network, resolved, image)
    if resolved.sampling == "importance" and (shared or isinstance(image, DiskImage)):
        raise InputError(
            "--sampling importance needs the image in one process's memory; use --sampling stratified, or more --memory"
        )
    if resolved.sampling == "importance" and image.missing:
        raise InputError(
            "--sampling importance needs an image without pixels that hold no data; use --sampling stratified"
        )
    chunk_pixels(network, memory=parse_memory(resolved.memory), image=image, device=device)
    return FitPlan(settings=resolved, network=network, target_range=values.target_range, device=device)


def check_settings(settings: ImageConfig) -> None:
    """Refuse settings that no fit can have, whatever the image, such as its length in two ways.

    Raises:
        InputError: For those, and an unknown method or option.
    """
    network = _network_config(settings, channels=1)
    resolve(
        settings,
        height=_LARGE_SIDE,
        width=_LARGE_SIDE,
        channels=1,
        hidden_features=network.hidden_features,
        learning_rate=find_method(settings.method, task=TASK).for_task(TASK).learning_rate,
        bf16_is_native=False,
        compiles=False,
    )


def _network_config(settings: ImageConfig, *, channels: int) -> NetworkConfig:
    check_option_names(settings.method, settings.network, sizes=SIZES_GIVEN)
    network = published_config(
        method=settings.method, task=TASK, in_features=2, out_features=channels, **settings.network
    )
    build_network(network, device="meta")  # refuses bad sizes and options now, at no cost
    return network


def _fast_network(network: NetworkConfig, settings: ImageConfig, image: Raster) -> NetworkConfig:
    """Return a method's network with the fast preset's hyper-parameters, but for those that were given."""
    assert settings.passes
    width, values = network.hidden_features, image.pixels_with_data * image.channels
    crowding = crowding_of(values, hidden_features=width, hidden_layers=network.hidden_layers)
    ours = fast_network(network.method, passes=settings.passes, crowding=crowding, hidden_features=width)
    given = {name: value for name, value in settings.network.items() if name not in SIZES_GIVEN}
    return dataclasses.replace(network, options={**network.options, **ours, **given})


def chunk_pixels(network: NetworkConfig | OwnNetwork, *, memory: int, image: Raster, device: str) -> int:
    """Return how many pixels go through the network at once in training.

    On a CPU that is what the cache holds; elsewhere as many as the memory allows, up to a million.

    Args:
        network: The network.
        memory: Bytes that the run may use.
        image: The image.
        device: Where it trains.

    Raises:
        InputError: If not even a small piece fits beside the image, or beside what is read of it.
    """
    taken = PROCESS_BYTES + image.working_bytes
    rows = chunk_rows(network, room=memory - taken, device=device)
    if rows < SMALLEST_CHUNK:
        needed = (taken + SMALLEST_CHUNK * bytes_per_row(network)) / 1e6
        raise InputError(f"--memory leaves no room: this fit needs about {needed:.0f} MB")
    return rows


def digest_of(image: Image) -> str:
    """Return the SHA-256 of an image's content, for inputs that are not files."""
    digest = hashlib.sha256(f"{image.pixels.dtype} {image.pixels.shape}".encode())
    digest.update(image.pixels.tobytes())
    return digest.hexdigest()
