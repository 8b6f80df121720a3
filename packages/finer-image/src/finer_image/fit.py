"""Fit a network to one image and fill a run folder."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finer_core.config import NetworkConfig, build_network, find_method, published_config
from finer_core.errors import InputError
from finer_core.files import write_json
from finer_core.metrics import psnr_of_mse
from finer_core.model_file import save_model
from finer_core.networks import Network
from finer_core.precision import bf16_products_are_native
from finer_core.progress import Progress
from finer_core.resources import parse_memory, peak_memory_mb, resolve_device
from finer_core.run_folder import RunFolder, environment_versions
from finer_core.team import Team
from finer_core.training import (
    SMALLEST_PIECE,
    DivergenceGuard,
    Fit,
    GradientSum,
    LogPoint,
    build_optimizers,
    bytes_a_row,
    exponential_decay,
    follow_session,
    fresh_network,
    rows_a_piece,
    run_session,
    warmup_cosine,
)
from finer_image.budget import PROCESS_BYTES
from finer_image.disk_image import DiskImage
from finer_image.disk_target import DiskTarget
from finer_image.error_sampling import ErrorSampledObjective
from finer_image.evaluate import evaluate
from finer_image.image_writer import default_suffix
from finer_image.model import TASK, ImageModel
from finer_image.objective import ImageObjective, PixelTarget, Sampler, Target
from finer_image.pixel_sampling import StratifiedPixels
from finer_image.pixels import Image
from finer_image.raster import Raster
from finer_image.reconstruction import judge_and_write
from finer_image.settings import FAST_NETWORK, ImageFitSettings, resolve
from finer_image.tile_sampling import tiled_pixels_of


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """Hold a fit completely decided: what `config.json` says and a resumed run takes back.

    Attributes:
        settings: Every setting, resolved.
        network: The network.
        target_range: What the image is scaled to for training.
        device: Where it runs, resolved.
    """

    settings: ImageFitSettings
    network: NetworkConfig
    target_range: tuple[float, float]
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `config.json`."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "network": self.network.to_dict(),
            "target_range": list(self.target_range),
            "device": self.device,
        }


def plan_fit(settings: ImageFitSettings, image: Raster, *, shared: bool = False) -> FitPlan:
    """Decide everything about a fit before anything is written.

    Args:
        settings: As given.
        image: The image.
        shared: Whether several processes share the fit.

    Raises:
        InputError: For an unknown method or option, a device that is absent, or an image too large for the memory.
    """
    method = find_method(settings.method)
    values = method.for_task(TASK)
    ours = FAST_NETWORK.get(settings.method, {}) if settings.preset == "fast" else {}
    network = published_config(
        method=settings.method, task=TASK, in_features=2, out_features=image.channels, **{**ours, **settings.network}
    )
    build_network(network, device="meta")  # refuses bad sizes and options now, at no cost
    device = resolve_device(settings.device, shared=shared)
    resolved = resolve(
        settings,
        height=image.height,
        width=image.width,
        learning_rate=values.learning_rate,
        bf16_is_native=bf16_products_are_native(device),
    )
    if resolved.sampling == "error" and (shared or isinstance(image, DiskImage)):
        raise InputError(
            "--sampling error needs the whole image in one process's memory; use --sampling even, or more --memory"
        )
    chunk_pixels(network, memory=parse_memory(resolved.memory), image=image, device=device)
    return FitPlan(settings=resolved, network=network, target_range=values.target_range, device=device)


def chunk_pixels(network: NetworkConfig, *, memory: int, image: Raster, device: str, together: int = 1) -> int:
    """Return how many pixels go through the network at once in training.

    On a CPU that is what the cache holds; elsewhere as many as the memory allows, up to a million.

    Args:
        network: The network.
        memory: Bytes that the run may use.
        image: The image.
        device: Where it trains.
        together: How many such images are fitted at once. On a CPU their pieces take turns; elsewhere they share the
            memory.

    Raises:
        InputError: If not even a small piece fits beside the image, or beside what is read of it.
    """
    taken = PROCESS_BYTES + image.working_bytes * together
    room = (memory - taken) // (1 if device == "cpu" else together)
    rows = rows_a_piece(network, room=room, device=device)
    if rows < SMALLEST_PIECE:
        needed = (taken + SMALLEST_PIECE * bytes_a_row(network)) / 1e6
        raise InputError(f"--memory leaves no room: this fit needs about {needed:.0f} MB")
    return rows


def fit_image(
    plan: FitPlan,
    image: Raster,
    run: RunFolder,
    *,
    resume: bool = False,
    quiet: bool = False,
    tensorboard: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    team: Team | None = None,
) -> tuple[ImageModel, dict[str, Any]]:
    """Fit, save the model, and judge it.

    Of an image on disk the reconstruction is written into the run's folder too, in the same pass that judges it.

    Args:
        plan: From `plan_fit`, or read back from a run's config.
        image: The image.
        run: Where the results go.
        resume: Go on from the run's checkpoint, if it has one yet.
        quiet: Show no progress.
        tensorboard: Also write TensorBoard scalars.
        should_stop: Asked before every step.
        team: The processes that share the fit; the others call `fit_along`. They part after training.

    Returns:
        The fitted image and the figures of `metrics.json`.

    Raises:
        Interrupted: If `should_stop` said so.
        DivergenceError: If the fit diverged for good.
        CollectiveError: If another process is gone.
    """
    team = team or Team()
    gradient_sum = GradientSum(team.ranks, asked_to_stop=should_stop)
    with team.agreed():
        team.take_device(plan.device)
        network = network_of(plan)
        fit = build_fit(plan, network, image, gradient_sum=gradient_sum)
    span = plan.target_range[1] - plan.target_range[0]
    last = run_session(
        fit,
        run,
        name=f"fit {plan.settings.method}",
        figures_of=lambda point: figures_of(point, span),
        figure=lambda loss: f"PSNR {psnr_of_mse(loss, data_range=span):.2f} dB",
        resume=resume,
        quiet=quiet,
        tensorboard=tensorboard,
        should_stop=gradient_sum.should_stop,
        team=team,
    )
    team.leave()
    model, figures = save_and_judge(plan, network, image, run, last=last, quiet=quiet)
    return model, {**figures, "processes": team.ranks.size}


def save_and_judge(
    plan: FitPlan, network: Network, image: Raster, run: RunFolder, *, last: LogPoint, quiet: bool
) -> tuple[ImageModel, dict[str, Any]]:
    """Save a trained network as the run's model, and judge it.

    Args:
        plan: What it was trained by.
        network: The network.
        image: The image.
        run: Where the model goes.
        last: The fit's last log point.
        quiet: Show no progress.

    Returns:
        The fitted image and the figures of `metrics.json`.
    """
    settings = plan.settings
    model = ImageModel.of(network.eval(), image, target_range=plan.target_range)
    judging = Progress("evaluate", total=image.height, unit="row", quiet=quiet)
    save_model(network, run.model, task=TASK, task_data=model.task_data())
    if isinstance(image, DiskImage):
        figures = judge_and_write(
            model, image, reconstruction_file(run, image), on_rows=lambda rows: judging.update(rows)
        )
    else:
        figures = evaluate(model, image, on_rows=lambda rows: judging.update(rows))
    judging.close()
    return model, {
        "method": settings.method,
        "preset": settings.preset,
        **figures,
        "steps": settings.steps,
        "seconds": round(last.seconds, 3),
        "parameters": sum(p.numel() for p in network.parameters()),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "device": plan.device,
        "seed": settings.seed,
        "rollbacks": last.rollbacks,
        "processes": 1,
    }


def fit_along(config: Mapping[str, Any], image_of: Callable[[FitPlan], Raster], team: Team) -> None:
    """Do this process's part of a fit that the first process leads with `fit_image`.

    Args:
        config: The first process's `config.json`.
        image_of: Reads the image.
        team: The processes that share the fit.

    Raises:
        ToldByFirst: If any process cannot begin.
        Interrupted: If any process was asked to stop.
        DivergenceError: If the fit diverged for good.
        CollectiveError: If another process is gone.
    """
    with team.interruptible() as should_stop:
        gradient_sum = GradientSum(team.ranks, asked_to_stop=should_stop)
        with team.agreed():
            plan = plan_of(config, source=Path("config.json"))
            team.take_device(plan.device)
            fit = build_fit(plan, network_of(plan), image_of(plan), gradient_sum=gradient_sum)
        follow_session(fit, team, should_stop=gradient_sum.should_stop)
    team.leave()


def reconstruction_file(run: RunFolder, image: Raster) -> Path:
    """Return where a run's reconstruction goes."""
    return run.path / f"reconstruction{default_suffix(image)}"


def network_of(plan: FitPlan) -> Network:
    """Build the plan's network, drawn from its seed, ready to train."""
    settings = plan.settings
    return fresh_network(
        plan.network,
        seed=settings.seed,
        device=plan.device,
        compiled=bool(settings.compile),
        precision=settings.precision or "fp32",
    )


def build_fit(
    plan: FitPlan,
    network: torch.nn.Module,
    image: Raster,
    *,
    together: int = 1,
    gradient_sum: GradientSum | None = None,
) -> Fit:
    """Assemble the fit loop of a plan, for one of `together` such images that are fitted at once.

    Args:
        plan: The plan.
        network: Changed in place by the fit.
        image: The image.
        together: Images that share the memory.
        gradient_sum: Adds up gradients over the processes that share the fit; None for one process.
    """
    settings = plan.settings
    assert settings.steps and settings.log_every and settings.learning_rate and settings.matrix_learning_rate
    memory = parse_memory(settings.memory)
    gradient_sum = gradient_sum or GradientSum()
    chunk = chunk_pixels(plan.network, memory=memory, image=image, device=plan.device, together=together)
    return Fit(
        network=network,
        checkpoint_seconds=settings.checkpoint_seconds,
        objective=_objective_of(plan, image, chunk=chunk, gradient_sum=gradient_sum),
        optimizers=build_optimizers(
            network,
            name=settings.optimizer or "adam",
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate,
            betas=settings.betas,
            ema_decay=settings.ema_decay or 0.0,
            ranks=gradient_sum.ranks,
        ),
        schedule=exponential_decay() if settings.schedule == "exponential" else warmup_cosine(),
        steps=settings.steps,
        log_every=settings.log_every,
        max_grad_norm=settings.max_grad_norm,
        guard=DivergenceGuard() if settings.guard else DivergenceGuard(max_rollbacks=0),
    )


def _objective_of(
    plan: FitPlan, image: Raster, *, chunk: int, gradient_sum: GradientSum
) -> ImageObjective | ErrorSampledObjective:
    settings = plan.settings
    if settings.sampling == "error":
        assert isinstance(image, Image) and settings.batch_pixels
        return ErrorSampledObjective(
            _target_of(plan, image),
            batch_pixels=settings.batch_pixels,
            seed=settings.seed,
            chunk_pixels=chunk,
        )
    target, sampler = _batches(plan, image)
    return ImageObjective(target, sampler=sampler, chunk_pixels=chunk, gradient_sum=gradient_sum)


def _batches(plan: FitPlan, image: Raster) -> tuple[Target, Sampler | None]:
    """Return what serves pixels and what draws them; None draws all, every step."""
    batch_pixels, seed = plan.settings.batch_pixels or 0, plan.settings.seed
    sampled = 0 < batch_pixels < image.height * image.width
    if isinstance(image, DiskImage):
        tiles = tiled_pixels_of(image, batch_pixels=batch_pixels, seed=seed) if sampled else None
        served = DiskTarget(image, sampler=tiles, target_range=plan.target_range, device=plan.device)
        return served, served if sampled else None
    assert isinstance(image, Image)
    if not sampled:
        return _target_of(plan, image), None
    sampler = StratifiedPixels(height=image.height, width=image.width, batch_pixels=batch_pixels, seed=seed)
    return _target_of(plan, image), sampler


def _target_of(plan: FitPlan, image: Image) -> PixelTarget:
    return PixelTarget(image.pixels, value_range=image.value_range, target_range=plan.target_range, device=plan.device)


def figures_of(point: LogPoint, span: float) -> dict[str, float]:
    """Return a log line: the stretch's loss, and the PSNR (unclipped) that it is."""
    return {
        "loss": point.loss,
        "psnr": psnr_of_mse(point.loss, data_range=span),
        "learning_rate": point.learning_rate,
        "seconds": round(point.seconds, 3),
        "rollbacks": point.rollbacks,
    }


def config_of(plan: FitPlan, *, signal: str, image: Raster, input_sha256: str) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "command": "finer-image fit",
        "signal": signal,
        "input_sha256": input_sha256,
        "image": {name: value for name, value in image.to_metadata().items() if name != "icc_profile"},
        "image_on_disk": isinstance(image, DiskImage),
        **plan.to_dict(),
        "versions": environment_versions("finer-core", "finer-image", "torch", "numpy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def plan_of(config: Mapping[str, Any], *, source: Path) -> FitPlan:
    """Take a plan back from a run's config.

    Raises:
        InputError: If the config is not of an image fit.
    """
    try:
        settings = dict(config["settings"])
        settings["betas"] = tuple(settings["betas"])
        low, high = config["target_range"]
        return FitPlan(
            settings=ImageFitSettings(**settings),
            network=NetworkConfig.from_dict(config["network"]),
            target_range=(float(low), float(high)),
            device=resolve_device(config["device"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: not the config of an image fit ({error!r})") from error


def digest_of(image: Image) -> str:
    """Return the SHA-256 of an image's content, for inputs that are not files."""
    digest = hashlib.sha256(f"{image.pixels.dtype} {image.pixels.shape}".encode())
    digest.update(image.pixels.tobytes())
    return digest.hexdigest()


def write_config(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Write `config.json`."""
    write_json(run.config, config)
