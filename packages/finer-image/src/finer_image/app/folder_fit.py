"""Fit a network to one image and fill a run folder."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn

from finer_core.app.run_folder import Habits, RunFolder
from finer_core.app.saved_run import common_figures
from finer_core.app.session import run_session
from finer_core.app.shared_fit import Assemble, shared_fit
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.progress import Progress
from finer_core.training import Fit
from finer_core.training.own_code import network_of
from finer_image.io.raster import Raster
from finer_image.io.writer import default_suffix
from finer_image.model import ImageModel
from finer_image.reconstruction import judge_and_write
from finer_image.training.build import build_fit, passes_of, psnr_of_loss
from finer_image.training.plan import FitPlan


def assembly(plan: FitPlan, image: Raster, team: Team) -> Assemble[nn.Module]:
    """Return what puts the fit together in a process of the team."""

    def assemble(gradient_sum: GradientReducer) -> AbstractContextManager[tuple[nn.Module, Fit]]:
        team.take_device(plan.device)
        network = network_of(plan)
        return nullcontext((network, build_fit(plan, network, image, gradient_sum=gradient_sum)))

    return assemble


def fit_image(
    plan: FitPlan,
    image: Raster,
    run: RunFolder,
    *,
    habits: Habits,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Raster, dict[str, Any]]:
    """Fit, save the model and its reconstruction, and judge it.

    Returns:
        The reconstruction and the figures of `metrics.json`.

    Raises:
        Interrupted: If `should_stop` said so.
        DivergenceError: If the fit diverged for good.
        CollectiveError: If another process is gone.
    """
    settings, team = plan.settings, habits.team
    with shared_fit(team, assembly(plan, image, team), should_stop=should_stop) as (network, fit, any_should_stop):
        last = run_session(
            fit,
            run,
            name=f"fit {settings.method}",
            metrics_of=lambda loss: {"psnr": psnr_of_loss(plan, loss)},
            figure=lambda loss: f"PSNR {psnr_of_loss(plan, loss):.2f} dB",
            habits=habits,
            should_stop=any_should_stop,
        )
    model = ImageModel.of(network.eval(), image, target_range=plan.target_range)
    judging = Progress("evaluate", total=image.height, unit="row", quiet=habits.quiet)
    model.save(run.model)
    path = run.path / f"reconstruction{default_suffix(image)}"
    reconstruction, figures = judge_and_write(model, image, path, on_rows=lambda rows: judging.update(rows))
    judging.close()
    return reconstruction, {
        "method": settings.method,
        "preset": settings.preset,
        **figures,
        **common_figures(plan, last, network, has_target=settings.target_psnr is not None, processes=team.ranks.size),
        "passes": round(passes_of(plan, image, steps=last.step), 3),
    }
