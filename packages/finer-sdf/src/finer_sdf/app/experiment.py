"""One `finer-sdf fit`, from the input file to the finished run folder."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from finer_core.app.experiment import Experiment
from finer_core.app.run_folder import Habits, RunFolder
from finer_core.app.saved_run import common_figures
from finer_core.app.session import run_session
from finer_core.app.shared_fit import Assemble, shared_fit, shared_measurement
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.errors import InputError, shortened
from finer_core.io.meshes.writer import write_mesh
from finer_core.progress import reporting
from finer_core.resources import parse_memory
from finer_core.training import Fit
from finer_core.training.budget import steps_within
from finer_sdf.app.pictures import fill_report
from finer_sdf.config import BUILT_IN, SdfConfig
from finer_sdf.evaluation.surface_metrics import compare_surfaces, no_surface
from finer_sdf.geometry import LoadedShape, Mesh, Shape
from finer_sdf.inputs import facts_of, read_input
from finer_sdf.meshing.extract import check_resolution
from finer_sdf.model import SdfModel
from finer_sdf.normalization import THE_BOX_ITSELF
from finer_sdf.training.build import assembled_fit
from finer_sdf.training.color import add_color
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.timed_plan import plan_timed_fit


class SdfExperiment(Experiment):
    """Runs of `finer-sdf fit`."""

    plan_class, command, kind, built_in = FitPlan, "finer-sdf fit", "shape", BUILT_IN

    def open(self, name: str | None, settings: SdfConfig) -> tuple[LoadedShape, str, SdfConfig]:
        """Return a shape, its SHA-256 and the settings, once it is known that the mesh fits the memory."""
        check_resolution(settings.resolution, memory=parse_memory(settings.memory))
        return *self.read(name, settings), settings

    def read(self, name: str | None, settings: SdfConfig) -> tuple[LoadedShape, str]:
        """Return a shape and its SHA-256."""
        loaded = read_input(name, memory=parse_memory(settings.memory))
        return loaded, loaded.sha256

    def plan(
        self, settings: SdfConfig, data: LoadedShape, team: Team, config_of: Callable[[FitPlan], dict[str, Any]]
    ) -> FitPlan:
        """Return the plan of a new run; several processes measure together how long its steps take."""

        def shared_steps(seconds: float, trial: FitPlan) -> int:
            team.tell({**config_of(trial), "is_timed": True})
            return shared_measurement(team, self.assembly(trial, data, team), partial(steps_within, seconds))

        timed = None if team.ranks.is_alone else shared_steps
        return plan_timed_fit(settings, data, shared_steps=timed)

    def assembly(self, plan: FitPlan, data: LoadedShape, team: Team, *, progress: bool = False) -> Assemble[SdfModel]:
        """Return what puts the fit together in a process of the team."""

        def assemble(gradient_sum: GradientReducer) -> AbstractContextManager[tuple[SdfModel, Fit]]:
            team.take_device(plan.device)
            return assembled_fit(plan, data, gradient_sum=gradient_sum, progress=progress)

        return assemble

    def about(self, plan: FitPlan, data: LoadedShape) -> dict[str, Any]:
        """Return what `config.json` says of the shape."""
        return {"shape": facts_of(data)}

    def fill(
        self, run: RunFolder, plan: FitPlan, data: LoadedShape, config: Mapping[str, Any], habits: Habits
    ) -> dict[str, Any]:
        """Fit, mesh, judge, and fill the run folder but for the figures; return these."""
        settings, team, quiet = plan.settings, habits.team, habits.quiet
        if not quiet:
            for note in data.notes:
                print(shortened(f"{data.name}: {note}"), file=sys.stderr)
        assemble = self.assembly(plan, data, team, progress=not quiet)
        with team.interruptible() as asked, shared_fit(team, assemble, should_stop=asked) as (model, fit, should_stop):
            last = run_session(
                fit,
                run,
                name=f"fit {settings.method}",
                figure=lambda loss: f"loss {loss:.3e}",
                habits=habits,
                should_stop=should_stop,
            )
        started = time.monotonic()
        color_psnr = add_color(model, plan, data, progress=not quiet)
        color_seconds = round(time.monotonic() - started, 3)  # of no length that was asked for: that is the distance's
        boxed = plan.frame.shape_to_box(data.shape)
        model.eval().save(run.model)
        mesh = _mesh(run, model, plan, quiet=quiet)
        figures = {
            "method": settings.method,
            "preset": settings.preset,
            **_judgment(mesh, boxed, plan, quiet=quiet),
            **({} if color_psnr is None else {"color_psnr": round(color_psnr, 3), "color_seconds": color_seconds}),
            **common_figures(plan, last, model, has_target=settings.target_rms is not None, processes=team.ranks.size),
            "resolution": settings.resolution,
        }
        fill_report(run, model=model, mesh=mesh, reference=boxed, figures=figures, config=config, quiet=quiet)
        return figures


EXPERIMENT = SdfExperiment()


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
    write_mesh(
        run.path / "mesh.ply",
        mesh.vertices,
        mesh.faces,
        package="finer-sdf",
        normals=finished.normals,
        colors=colors,
    )
    if finished.parts > 1 and not quiet:
        print(f"mesh: {finished.parts} parts; `finer-sdf mesh --min-component` leaves small ones out", file=sys.stderr)
    return found.mesh


def _judgment(mesh: Mesh | None, reference: Shape, plan: FitPlan, *, quiet: bool) -> dict[str, Any]:
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
