"""Put a fit together from its plan: the network, what it is trained on, and the loop."""

from torch import nn

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.metrics import psnr_of_mse
from finer_core.resources import parse_memory
from finer_core.training import DivergenceGuard, Fit
from finer_core.training.own_code import fit_of
from finer_image.io.image import Image
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.presets.lengths import steps_per_pass
from finer_image.training.importance import ErrorSampledObjective
from finer_image.training.objective import ImageObjective, PixelTarget, Sampler, Target
from finer_image.training.plan import FitPlan, chunk_pixels
from finer_image.training.stratified import PixelsWithData, StratifiedPixels, enlarged_batch
from finer_image.training.streamed_target import DiskTarget
from finer_image.training.target_psnr import target_test
from finer_image.training.tiles import tiled_pixels_of


def passes_of(plan: FitPlan, image: Raster, *, steps: int) -> float:
    """Return how often so many steps use every pixel."""
    batch_pixels = plan.settings.batch_pixels or 0
    return steps / steps_per_pass(image.height, image.width, batch_pixels, missing=image.missing)


def build_fit(
    plan: FitPlan,
    network: nn.Module,
    image: Raster,
    *,
    gradient_sum: GradientReducer | None = None,
) -> Fit:
    """Assemble the fit loop of a plan."""
    gradient_sum = gradient_sum or GradientReducer()
    chunk = chunk_pixels(plan.network, memory=parse_memory(plan.settings.memory), image=image, device=plan.device)
    objective = _objective_of(plan, image, chunk=chunk, gradient_sum=gradient_sum)
    fit = fit_of(plan, network, objective, ranks=gradient_sum.ranks, guard=DivergenceGuard(feeble_part=0.25))
    fit.is_reached = target_test(plan, network, image)
    return fit


def _objective_of(
    plan: FitPlan, image: Raster, *, chunk: int, gradient_sum: GradientReducer
) -> ImageObjective | ErrorSampledObjective:
    settings = plan.settings
    if settings.sampling == "importance":
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


def psnr_of_loss(plan: FitPlan, loss: float) -> float:
    """Return the PSNR (dB, unclipped) that a training loss is."""
    low, high = plan.target_range
    return psnr_of_mse(loss, data_range=high - low)
