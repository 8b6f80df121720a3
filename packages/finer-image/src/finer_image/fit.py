"""Fit a network to one image and fill a run folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from finer_core.metrics import psnr_of_mse
from finer_core.model_file import save_model
from finer_core.networks import Network
from finer_core.progress import Progress
from finer_core.resources import memory_figures, parse_memory
from finer_core.run_folder import RunFolder
from finer_core.team import Team
from finer_core.training import (
    DivergenceGuard,
    Fit,
    GradientSum,
    LogPoint,
    build_optimizers,
    follow_session,
    fresh_network,
    run_session,
    schedule_of,
)
from finer_image.disk_image import DiskImage
from finer_image.disk_target import DiskTarget
from finer_image.error_sampling import ErrorSampledObjective
from finer_image.evaluate import evaluate
from finer_image.image_writer import default_suffix
from finer_image.model import TASK, ImageModel
from finer_image.objective import ImageObjective, PixelTarget, Sampler, Target
from finer_image.pixel_sampling import PixelsWithData, StratifiedPixels, enlarged_batch
from finer_image.pixels import Image
from finer_image.plan import FitPlan, chunk_pixels, plan_of
from finer_image.presets import steps_per_pass
from finer_image.raster import Raster
from finer_image.reconstruction import judge_and_write
from finer_image.tile_sampling import tiled_pixels_of


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
) -> tuple[Raster, dict[str, Any]]:
    """Fit, save the model and its reconstruction, and judge it.

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
        The reconstruction and the figures of `metrics.json`.

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
    reconstruction, figures = save_and_judge(plan, network, image, run, last=last, quiet=quiet)
    return reconstruction, {**figures, "processes": team.ranks.size}


def save_and_judge(
    plan: FitPlan, network: Network, image: Raster, run: RunFolder, *, last: LogPoint, quiet: bool
) -> tuple[Raster, dict[str, Any]]:
    """Save a trained network as the run's model, and its reconstruction, and judge it.

    Args:
        plan: What it was trained by.
        network: The network.
        image: The image.
        run: Where the model goes.
        last: The fit's last log point.
        quiet: Show no progress.

    Returns:
        The reconstruction and the figures of `metrics.json`.
    """
    settings = plan.settings
    model = ImageModel.of(network.eval(), image, target_range=plan.target_range)
    judging = Progress("evaluate", total=image.height, unit="row", quiet=quiet)
    save_model(network, run.model, task=TASK, task_data=model.task_data())
    path = run.path / f"reconstruction{default_suffix(image)}"
    reconstruction, figures = judge_and_write(model, image, path, on_rows=lambda rows: judging.update(rows))
    judging.close()
    return reconstruction, {
        "method": settings.method,
        "preset": settings.preset,
        **figures,
        "steps": last.step,
        "passes": round(passes_of(plan, image, steps=last.step), 3),
        "target_reached": None if settings.target_psnr is None else last.is_reached,
        "seconds": round(last.seconds, 3),
        "parameters": sum(p.numel() for p in network.parameters()),
        **memory_figures(plan.device),
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


def target_test(plan: FitPlan, network: Network, image: Raster) -> Callable[[LogPoint], bool]:
    """Return what tells at a log point whether the whole image has the PSNR that ends the fit.

    All pixels are predicted only where those that were trained on come near it, so that asking costs little.
    """
    target = plan.settings.target_psnr
    if target is None:
        return lambda point: False
    span = plan.target_range[1] - plan.target_range[0]

    def is_reached(point: LogPoint) -> bool:
        if psnr_of_mse(point.loss, data_range=span) < target - _NEAR:
            return False
        psnr = evaluate(ImageModel.of(network, image, target_range=plan.target_range), image)["psnr"]
        return psnr is None or psnr >= target

    return is_reached


_NEAR = 0.5
"""Decibels below its target from which on a fit is judged: its training PSNR is of unclipped values, and lags."""


def passes_of(plan: FitPlan, image: Raster, *, steps: int) -> float:
    """Return how often so many steps use every pixel."""
    return steps / steps_per_pass(image.height, image.width, plan.settings.batch_pixels or 0)


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
    network: Network,
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
            precision=settings.precision or "fp32",
            ranks=gradient_sum.ranks,
        ),
        schedule=schedule_of(settings.schedule),
        steps=settings.steps,
        log_every=settings.log_every,
        max_grad_norm=settings.max_grad_norm,
        guard=DivergenceGuard() if settings.guard else DivergenceGuard(max_rollbacks=0),
        is_reached=target_test(plan, network, image),
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
    pixels = image.height * image.width
    sampled = 0 < batch_pixels < pixels - image.missing
    batch_pixels = enlarged_batch(batch_pixels, pixels=pixels, missing=image.missing)
    if isinstance(image, DiskImage):
        tiles = tiled_pixels_of(image, batch_pixels=batch_pixels, seed=seed) if sampled else None
        served = DiskTarget(image, sampler=tiles, target_range=plan.target_range, device=plan.device)
        return served, served if sampled else None
    assert isinstance(image, Image)
    if not sampled:
        return _target_of(plan, image), None
    missing = image.missing_in(image.pixels)
    sampler = StratifiedPixels(
        height=image.height,
        width=image.width,
        batch_pixels=batch_pixels,
        seed=seed,
        device=plan.device if missing is None else "cpu",
    )
    return _target_of(plan, image), sampler if missing is None else PixelsWithData(sampler, missing)


def _target_of(plan: FitPlan, image: Image) -> PixelTarget:
    return PixelTarget(
        image.pixels,
        value_range=image.value_range,
        target_range=plan.target_range,
        device=plan.device,
        missing=image.missing_in(image.pixels),
    )


def figures_of(point: LogPoint, span: float) -> dict[str, float]:
    """Return a log line: the stretch's loss, and the PSNR (unclipped) that it is."""
    return {
        "loss": point.loss,
        "psnr": psnr_of_mse(point.loss, data_range=span),
        "learning_rate": point.learning_rate,
        "seconds": round(point.seconds, 3),
        "rollbacks": point.rollbacks,
    }
