"""Train a radiance field and fill a run folder."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finer_core.app.run_folder import Habits, RunFolder
from finer_core.app.saved_run import common_figures
from finer_core.app.session import follow_session, run_session
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.io.files import write_json
from finer_core.metrics import psnr_of_mse
from finer_core.training import Fit, LogEntry
from finer_nerf.app.pictures import fill_report, judge_and_write
from finer_nerf.app.view_table import failed_views
from finer_nerf.evaluation import mean_figures
from finer_nerf.inputs import judged_views
from finer_nerf.model import NerfModel
from finer_nerf.scenes import Scene
from finer_nerf.training.build import metrics_of, run_attempts
from finer_nerf.training.objective import PhotometricObjective
from finer_nerf.training.plan import FitPlan


def fit_scene(
    run: RunFolder, plan: FitPlan, scene: Scene, habits: Habits, *, first: int
) -> tuple[NerfModel, PhotometricObjective, LogEntry]:
    """Train, with checkpoint and logs in a run folder.

    Returns:
        The model, the objective and the last log point.

    Raises:
        Interrupted: If any process was asked to stop.
        DivergenceError: If the training diverged for good.
        CollectiveError: If another process is gone.
    """
    team, goes_on = habits.team, habits.resume and run.checkpoint.is_file()

    def train(fit: Fit, objective: PhotometricObjective) -> LogEntry:
        fit.on_length = lambda steps: _write_length(run, steps)
        return run_session(
            fit,
            run,
            name=f"train {plan.settings.method}",
            metrics_of=lambda loss: metrics_of(loss, objective),
            figure=lambda loss: f"training PSNR {psnr_of_mse(loss):.2f} dB",
            habits=replace(habits, resume=goes_on),
            should_stop=gradient_sum.should_stop,
        )

    def start_over(text: str) -> None:
        nonlocal goes_on
        goes_on = False
        if not habits.quiet:
            print(text, file=sys.stderr)
        run.checkpoint.unlink(missing_ok=True)

    with team.agreed():
        team.take_device(plan.device)
    with team.interruptible() as asked:
        gradient_sum = GradientReducer(team.ranks, asked_to_stop=asked)
        shared: dict[str, Any] = {"gradient_sum": gradient_sum, "agreed": team.agreed}
        trained = run_attempts(plan, scene, train, first=first, on_restart=start_over, **shared)
    team.leave()
    return trained


def help_scene(plan: FitPlan, scene: Scene, team: Team, *, first: int) -> None:
    """Do this process's part of a training that the first process leads by `fit_scene`.

    Raises:
        Interrupted: If any process was asked to stop.
        DivergenceError: If the training diverged for good.
        CollectiveError: If another process is gone.
    """
    with team.interruptible() as asked:
        gradient_sum = GradientReducer(team.ranks, asked_to_stop=asked)
        run_attempts(
            plan,
            scene,
            lambda fit, objective: follow_session(fit, team, should_stop=gradient_sum.should_stop),
            first=first,
            on_restart=lambda text: None,  # the first process says it
            gradient_sum=gradient_sum,
            agreed=team.agreed,
        )
    team.leave()


def _write_length(run: RunFolder, steps: int) -> None:
    """Write down how many steps a training that may take so many seconds has."""
    config = run.read_config()
    write_json(run.config, {**config, "settings": {**config["settings"], "steps": steps}})


def fill_run(
    run: RunFolder,
    plan: FitPlan,
    scene: Scene,
    config: Mapping[str, Any],
    habits: Habits,
    *,
    model: NerfModel,
    objective: PhotometricObjective,
    last: LogEntry,
) -> dict[str, Any]:
    """Save a trained model, judge it, and write views, video and report; return the figures."""
    settings, quiet = plan.settings, habits.quiet
    model.save(run.model)
    judged, shown = judge_and_write(
        model,
        judged_views(scene),
        background=model.background,
        folder=run.path / "views",
        quiet=quiet,
        title="judge",
    )
    figures = {
        "method": settings.method,
        "preset": settings.preset,
        **mean_figures(judged, background=model.background),
        **common_figures(
            plan, last, model.field, has_target=settings.target_psnr is not None, processes=habits.team.ranks.size
        ),
        "rays_per_second": round(objective.rays_seen / max(last.seconds, 1e-9)),
        "train_views": len(scene.train),
        "size": f"{scene.train.height}x{scene.train.width}",
        "restarts": objective.attempt,
        "occupied_fraction": model.grid.share,
        "per_view": (rows := {view.name: view.row for view in judged}),
        "failed_views": failed_views(rows),
        "notes": [*scene.notes, *plan.notes],
    }
    fill_report(
        run,
        model=model,
        judged=shown,
        figures=figures,
        config=config,
        held_out=plan.frame.poses_to_box(judged_views(scene).poses),
        orbit_frames=settings.orbit_frames,
        quiet=quiet,
    )
    return figures
