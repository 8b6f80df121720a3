"""One `finer-sdf fit`, from the input file to the finished run folder."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from finer_core.app.run_folder import Mode, RunFolder, open_run_folder
from finer_core.app.saved_run import common_figures, config_content, finished, resumed
from finer_core.app.session import run_session
from finer_core.app.shared_fit import (
    Assemble,
    help_fit,
    help_timing,
    refuse_another_input,
    shared_fit,
    shared_steps_within,
)
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.errors import InputError, shortened
from finer_core.io.files import printable, write_json
from finer_core.progress import reporting
from finer_core.resources import memory_figures, parse_memory
from finer_core.training import Fit
from finer_sdf.app.pictures import fill_report
from finer_sdf.config import BUILT_IN, SdfConfig
from finer_sdf.evaluation.surface_metrics import compare_surfaces, no_surface
from finer_sdf.geometry import LoadedShape, Mesh, Shape
from finer_sdf.inputs import facts_of, read_input
from finer_sdf.meshing.extract import check_resolution
from finer_sdf.meshing.writer import write_mesh
from finer_sdf.model import SdfModel
from finer_sdf.normalization import THE_BOX_ITSELF
from finer_sdf.training.build import assembled_fit
from finer_sdf.training.color import add_color
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.timed_plan import plan_timed_fit

_COMMAND = "finer-sdf fit"


def start_run(
    out: Path,
    *,
    settings: SdfConfig,
    signal: str | None,
    mode: Mode,
    quiet: bool,
    tensorboard: bool,
    team: Team | None = None,
) -> dict[str, Any]:
    """Check everything, make the run folder, fit, and fill it; return the figures.

    With a team of several processes, its first calls this and the others `help_run`.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    team = team or Team()
    memory = parse_memory(settings.memory)
    check_resolution(settings.resolution, memory=memory)
    loaded = read_input(signal, memory=memory)

    def shared_steps(seconds: float, trial: FitPlan) -> int:
        team.tell({**config_of(trial, loaded, signal=signal or BUILT_IN), "is_timed": True})
        return shared_steps_within(seconds, team, _assembly(trial, loaded, team))

    timed = None if team.ranks.is_alone else shared_steps
    plan = plan_timed_fit(settings, loaded.shape, colors=loaded.colors, shared_steps=timed)
    run = open_run_folder(out, mode=mode)
    config = config_of(plan, loaded, signal=signal or BUILT_IN)
    write_json(run.config, config)
    team.tell(config)
    return _fit_and_fill(run, plan, loaded, config, resume=False, quiet=quiet, tensorboard=tensorboard, team=team)


def resume_run(
    out: Path,
    *,
    signal: str | None,
    given: Mapping[str, Any],
    quiet: bool,
    tensorboard: bool,
    team: Team | None = None,
) -> dict[str, Any]:
    """Go on with a run to the result that it would have had without interruption; return the figures.

    With a team of several processes, its first calls this and the others `help_run`.

    Raises:
        InputError: If the input changed since, or an argument contradicts the run's settings.
    """
    saved = resumed(
        out,
        command=_COMMAND,
        plan_of=FitPlan.from_config,
        read=_read,
        kind="shape",
        signal=signal,
        given=given,
    )
    run, config, plan, loaded = saved.run, saved.config, saved.plan, saved.data
    config["shape"] = facts_of(loaded)  # the report shows it
    team = team or Team()
    team.tell({**config, "signal": saved.signal})
    return _fit_and_fill(run, plan, loaded, config, resume=True, quiet=quiet, tensorboard=tensorboard, team=team)


def finished_run(out: Path, *, signal: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run that is complete, without computing anything.

    Raises:
        InputError: If the input changed since, or an argument contradicts the run's settings.
    """
    about: dict[str, Any] = {"command": _COMMAND, "plan_of": FitPlan.from_config, "kind": "shape"}
    return finished(out, digest_of=_digest_of, signal=signal, given=given, **about)


def help_run(team: Team) -> None:
    """Do this process's part of the run that the team's first process starts or resumes.

    Raises:
        ToldByFirst: For whatever the first process reports.
    """
    config, loaded = team.listen(), None

    def assemble(gradient_sum: GradientReducer) -> AbstractContextManager[tuple[SdfModel, Fit]]:
        nonlocal loaded
        plan, name = FitPlan.from_config(config, source=Path("config.json")), config["signal"]
        loaded = loaded or read_input(name, memory=parse_memory(plan.settings.memory))
        refuse_another_input(loaded.sha256, config["input_sha256"], name=name, kind="shape")
        return _assembly(plan, loaded, team)(gradient_sum)

    if "is_timed" in config:
        help_timing(team, assemble)
        config = team.listen()
    help_fit(team, assemble)


def _assembly(plan: FitPlan, loaded: LoadedShape, team: Team, *, progress: bool = False) -> Assemble[SdfModel]:
    """Return what puts the fit together in a process of the team."""

    def assemble(gradient_sum: GradientReducer) -> AbstractContextManager[tuple[SdfModel, Fit]]:
        team.take_device(plan.device)
        return assembled_fit(plan, loaded, gradient_sum=gradient_sum, progress=progress)

    return assemble


def _digest_of(name: str, plan: FitPlan) -> str:
    return _read(name, plan)[1]


def _read(name: str, plan: FitPlan) -> tuple[LoadedShape, str]:
    loaded = read_input(name, memory=parse_memory(plan.settings.memory))
    return loaded, loaded.sha256


def config_of(plan: FitPlan, loaded: LoadedShape, *, signal: str) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return config_content(
        plan,
        command=_COMMAND,
        signal=signal,
        input_sha256=loaded.sha256,
        networks=[plan.network],
        shape=facts_of(loaded),
    )


def _fit_and_fill(
    run: RunFolder,
    plan: FitPlan,
    loaded: LoadedShape,
    config: Mapping[str, Any],
    *,
    resume: bool,
    quiet: bool,
    tensorboard: bool,
    team: Team,
) -> dict[str, Any]:
    settings = plan.settings
    if not quiet:
        for note in loaded.notes:
            print(shortened(f"{loaded.name}: {note}"), file=sys.stderr)
    assemble = _assembly(plan, loaded, team, progress=not quiet)
    with team.interruptible() as asked, shared_fit(team, assemble, should_stop=asked) as (model, fit, should_stop):
        last = run_session(
            fit,
            run,
            name=f"fit {settings.method}",
            figure=lambda loss: f"loss {loss:.3e}",
            resume=resume,
            quiet=quiet,
            tensorboard=tensorboard,
            should_stop=should_stop,
            team=team,
        )
    color_psnr = add_color(model, plan, loaded, progress=not quiet)
    boxed = plan.frame.shape_to_box(loaded.shape)
    model.eval().save(run.model)
    mesh = _mesh(run, model, plan, quiet=quiet)
    figures = {
        "method": settings.method,
        "preset": settings.preset,
        **_judgement(mesh, boxed, plan, quiet=quiet),
        **({} if color_psnr is None else {"color_psnr": round(color_psnr, 3)}),
        **common_figures(
            plan,
            last,
            has_target=settings.target_rms is not None,
            parameters=sum(p.numel() for p in model.parameters()),
            processes=team.ranks.size,
        ),
        "resolution": settings.resolution,
    }
    fill_report(run, model=model, mesh=mesh, reference=boxed, figures=figures, config=config, quiet=quiet)
    run.write_metrics({**figures, **memory_figures(plan.device)})  # last: the run is complete
    if not quiet:
        print(f"report: {printable(run.report)}", file=sys.stderr)
    return run.read_metrics()


def _mesh(run: RunFolder, model: SdfModel, plan: FitPlan, *, quiet: bool) -> Mesh | None:
    """Extract the surface into the run folder; return it in box coordinates, or None where there is none."""
    settings = plan.settings
    try:
        found = model.extract(resolution=settings.resolution, memory=parse_memory(settings.memory), progress=not quiet)
    except InputError as error:  # the fit is kept: its report shows what went wrong
        print(f"no mesh: {error}", file=sys.stderr)
        return None
    finished = model.finish(found)
    mesh = model.normalization.mesh_to_input(finished.mesh)
    colors = model.vertex_colors(mesh.vertices)
    write_mesh(run.path / "mesh.ply", mesh, vertex_normals=finished.normals, vertex_colors=colors)
    if finished.parts > 1 and not quiet:
        print(f"mesh: {finished.parts} parts; `finer-sdf mesh --min-component` leaves small ones out", file=sys.stderr)
    return found.mesh


def _judgement(mesh: Mesh | None, reference: Shape, plan: FitPlan, *, quiet: bool) -> dict[str, Any]:
    if mesh is None:
        return no_surface()
    with reporting("judge", unit="stage", progress=not quiet) as tell:
        figures = compare_surfaces(
            mesh,
            reference,
            normalization=THE_BOX_ITSELF,
            samples=plan.settings.eval_samples,
            seed=plan.settings.seed,
            on_stage=tell,
        )
    for note in () if quiet else figures["notes"]:
        print(f"figures: {note}", file=sys.stderr)
    return figures
