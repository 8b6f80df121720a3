"""One `finer-nerf train`, from the scene to the finished run folder."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from finer_core.errors import InputError
from finer_core.files import write_json
from finer_core.fit_command import refuse_changes
from finer_core.interruption import interruptible
from finer_core.resources import memory_figures, parse_memory
from finer_core.run_folder import Mode, RunFolder, environment_versions, open_run_folder
from finer_core.saved_run import check_weights, kernels_of, read_run, tell_of_other_kernels
from finer_core.schema import check
from finer_core.training import LogPoint, read_jsonl, read_state, run_session
from finer_nerf.fields.radiance_field import RadianceField
from finer_nerf.judging import judge_views, mean_figures
from finer_nerf.model import RadianceModel
from finer_nerf.pictures import fill_report, judge_and_write
from finer_nerf.scenes import Scene, Views
from finer_nerf.scenes.builtin import BUILT_IN_SIZE, BUILT_IN_VIEWS, builtin_scene
from finer_nerf.scenes.reader import measure_scene, read_scene
from finer_nerf.settings import BUILT_IN, NerfSettings, resolve
from finer_nerf.training.fit import build_fit, build_objective, field_of, model_of
from finer_nerf.training.objective import EmptySceneError, PhotometricObjective
from finer_nerf.training.plan import TrainingPlan, plan_training

_MOST_ATTEMPTS = 4


def read_input(
    name: str | None, *, downscale: int = 1, every: int = 1, test_every: int = 8, memory: int | None = None
) -> Scene:
    """Read the scene, or make the built-in one.

    Args:
        name: Folder or file; None or the built-in scene's name for that, unless a file has that name.
        downscale: Divide the pictures' size by this.
        every: Keep every n-th training view.
        test_every: Hold out every n-th view where the scene has no test views.
        memory: Bytes that the process may take; None for no limit.

    Raises:
        InputError: If it cannot be read as a scene, or does not fit the memory.
    """
    if name is not None and (name != BUILT_IN or Path(name).exists()):
        return read_scene(name, downscale=downscale, every=every, test_every=test_every, memory=memory)
    scene = builtin_scene(size=max(1, BUILT_IN_SIZE // downscale))
    if every == 1:
        return scene
    kept = scene.train.take(list(range(0, len(scene.train), every)))
    return Scene(**{**scene.__dict__, "train": kept})


def start_run(
    out: Path, *, settings: NerfSettings, signal: str | None, mode: Mode, quiet: bool, tensorboard: bool
) -> dict[str, Any]:
    """Check everything, make the run folder, train, judge, and fill it; return the figures.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    views, height = BUILT_IN_VIEWS, BUILT_IN_SIZE
    # The paper preset chooses views and size by what the scene has: known before pictures are read, and not read twice.
    if settings.preset == "paper" and signal is not None and (signal != BUILT_IN or Path(signal).exists()):
        views, height = measure_scene(signal, test_every=settings.test_every)
    sizes = resolve(settings, views=views, height=height, learning_rate=1.0, compiles=False)
    scene = read_input(
        signal,
        downscale=sizes.downscale or 1,
        every=sizes.train_every or 1,
        test_every=settings.test_every,
        memory=parse_memory(settings.memory),
    )
    plan = plan_training(settings, scene, original_views=views, original_height=height)
    run = open_run_folder(out, mode=mode)
    config = config_of(plan, scene, signal=signal or BUILT_IN)
    write_json(run.config, config)
    return _train_and_fill(run, plan, scene, config, resume=False, quiet=quiet, tensorboard=tensorboard)


def resume_run(
    out: Path, *, signal: str | None, given: Mapping[str, Any], quiet: bool, tensorboard: bool
) -> dict[str, Any]:
    """Go on with a run to the result that it would have had without interruption; return the figures.

    Raises:
        InputError: If the scene changed since, or an argument contradicts the run's settings.
    """
    run = open_run_folder(out, mode="resume")
    config = read_run(run, command="finer-nerf train")
    plan = TrainingPlan.from_config(config, source=run.config)
    refuse_changes(plan.settings, plan.network, given, out)
    check_weights(run, [plan.field.density, plan.field.color], memory=parse_memory(plan.settings.memory))
    tell_of_other_kernels(config, _kernels(plan), out=out)
    name = signal or config["signal"]
    scene = read_input(
        name,
        downscale=plan.settings.downscale or 1,
        every=plan.settings.train_every or 1,
        test_every=plan.settings.test_every,
        memory=parse_memory(plan.settings.memory),
    )
    if scene.digest != config["input_sha256"]:
        raise InputError(f"{name}: not the scene this run was started with; start a new run with another --out")
    config["scene"] = config_of(plan, scene, signal=name)["scene"]  # the report shows it
    return _train_and_fill(run, plan, scene, config, resume=True, quiet=quiet, tensorboard=tensorboard)


def config_of(plan: TrainingPlan, scene: Scene, *, signal: str) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "command": "finer-nerf train",
        "signal": signal,
        "input_sha256": scene.digest,
        "scene": {
            "name": scene.name,
            "kind": scene.kind,
            "train_views": len(scene.train),
            "size": f"{scene.train.height}x{scene.train.width}",
            "skipped_frames": scene.skipped,
            "notes": [*scene.notes, *plan.notes],
        },
        **plan.to_dict(),
        "kernels": _kernels(plan),
        "versions": environment_versions("finer-core", "finer-nerf", "torch", "numpy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _kernels(plan: TrainingPlan) -> dict[str, str]:
    networks = [plan.field.density, plan.field.color]
    return kernels_of(networks, device=plan.device, compiled=plan.settings.compile)


def _train_and_fill(
    run: RunFolder,
    plan: TrainingPlan,
    scene: Scene,
    config: Mapping[str, Any],
    *,
    resume: bool,
    quiet: bool,
    tensorboard: bool,
) -> dict[str, Any]:
    settings = plan.settings
    if not quiet:
        for note in [*scene.notes, *plan.notes]:
            print(f"{scene.name}: {note}", file=sys.stderr)
    with interruptible() as should_stop:
        model, objective, last = _train(
            run, plan, scene, resume=resume, quiet=quiet, tensorboard=tensorboard, should_stop=should_stop
        )
    model.save(str(run.model))
    judged, shown = judge_and_write(
        model,
        judged_views(scene),
        background=settings.background,
        folder=run.path / "views",
        quiet=quiet,
        title="judge",
    )
    figures = {
        "method": settings.method,
        "preset": settings.preset,
        **mean_figures(judged, background=settings.background),
        "steps": last.step,
        "target_reached": None if settings.target_psnr is None else last.is_reached,
        "seconds": round(last.seconds, 3),
        "parameters": sum(p.numel() for p in model.field.parameters()),
        "device": plan.device,
        "seed": settings.seed,
        "rays_per_second": round(objective.rays_seen / max(last.seconds, 1e-9)),
        "train_views": len(scene.train),
        "size": f"{scene.train.height}x{scene.train.width}",
        "rollbacks": last.rollbacks,
        "restarts": objective.attempt,
        "occupied_share": model.grid.share,
        "per_view": {view.name: view.row for view in judged},
        "notes": [*scene.notes, *plan.notes],
    }
    fill_report(
        run,
        model=model,
        judged=shown,
        figures=figures,
        config=config,
        curve=list(read_jsonl(run.metrics_log)),
        held_out=plan.frame.poses_to_box(judged_views(scene).poses),
        orbit_frames=settings.orbit_frames,
        quiet=quiet,
    )
    run.write_metrics({**figures, **memory_figures(plan.device)})  # last: the run is complete
    if not quiet:
        print(f"report: {run.report}", file=sys.stderr)
    return run.read_metrics()


def _train(
    run: RunFolder,
    plan: TrainingPlan,
    scene: Scene,
    *,
    resume: bool,
    quiet: bool,
    tensorboard: bool,
    should_stop: Any,
) -> tuple[RadianceModel, PhotometricObjective, LogPoint]:
    """Train; a field that becomes empty is drawn again from another seed and training starts over."""
    settings = plan.settings
    attempt = 0
    if resume and run.checkpoint.is_file():
        attempt = read_state(run.checkpoint).objective.get("attempt", 0)
        check(attempt, int, name=f"{run.checkpoint}: attempt")

    def log_line(point: LogPoint) -> dict[str, float]:
        return figures_of(point, objective)

    while True:
        field = field_of(plan, attempt=attempt)
        objective = build_objective(plan, scene, attempt=attempt)
        fit = build_fit(plan, field, objective)
        fit.on_length = lambda steps: _write_length(run, steps)
        if settings.target_psnr is not None:
            fit.is_reached = _target_test(plan, field, scene, objective, target=settings.target_psnr)
        try:
            last = run_session(
                fit,
                run,
                name=f"train {settings.method}",
                figures_of=log_line,
                figure=lambda loss: f"training PSNR {training_psnr(loss):.2f} dB",
                resume=resume,
                quiet=quiet,
                tensorboard=tensorboard,
                should_stop=should_stop,
            )
            break
        except EmptySceneError as error:
            attempt += 1
            if attempt == _MOST_ATTEMPTS:
                raise RuntimeError(
                    f"{error}, and so did {attempt - 1} restarts; lower the learning rate or check bound and cameras"
                ) from error
            if not quiet:
                print(f"{error}: starting over with other initial weights ({attempt})", file=sys.stderr)
            run.checkpoint.unlink(missing_ok=True)
            resume = False
    return model_of(plan, field.eval(), scene, objective.grid), objective, last


def _write_length(run: RunFolder, steps: int) -> None:
    """Write down how many steps a training that may take so many seconds has."""
    config = run.read_config()
    write_json(run.config, {**config, "settings": {**config["settings"], "steps": steps}})


def _target_test(
    plan: TrainingPlan, field: RadianceField, scene: Scene, objective: PhotometricObjective, *, target: float
) -> Callable[[LogPoint], bool]:
    """Return what tells at a log point whether the held-out views have the PSNR that ends the training.

    They are rendered only where the rays that were trained on have come near it: unseen views are no better than these.
    """

    def is_reached(point: LogPoint) -> bool:
        if training_psnr(point.loss) < target - _NEAR:
            return False
        field.eval()
        model = model_of(plan, field, scene, objective.grid)
        judged = list(judge_views(model, judged_views(scene), background=plan.settings.background))
        field.train()
        return sum(view.psnr for view in judged) >= target * len(judged)

    return is_reached


_NEAR = 0.5
"""Decibels below the target from which on views are rendered: the training PSNR is a mean over steps, and lags."""


def judged_views(scene: Scene) -> Views:
    """Return the views a training is judged by: the test views, or the validation views where there are none."""
    return scene.split("test" if scene.test is not None and len(scene.test) else "val")


def training_psnr(loss: float) -> float:
    """Return a mean squared error in dB."""
    from finer_core.metrics import psnr_of_mse

    return psnr_of_mse(loss)


def figures_of(point: LogPoint, objective: PhotometricObjective) -> dict[str, float]:
    """Return a log line."""
    return {
        "loss": point.loss,
        "psnr": training_psnr(point.loss),
        "learning_rate": point.learning_rate,
        "seconds": round(point.seconds, 3),
        "samples_per_ray": objective.samples_per_ray,
        "rays": objective.rays_seen,
        "rollbacks": point.rollbacks,
    }
