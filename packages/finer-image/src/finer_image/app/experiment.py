"""One `finer-image fit`, from the input file to the finished run folder."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from finer_core.app.experiment import Experiment
from finer_core.app.run_folder import Habits, RunFolder
from finer_core.app.shared_fit import Assemble, shared_measurement
from finer_core.distributed.team import Team
from finer_core.resources import memory_figures, parse_memory
from finer_core.training.budget import seconds_per_step
from finer_image.app.folder_fit import assembly, fit_image
from finer_image.app.report import write_report
from finer_image.config import BUILT_IN, ImageConfig
from finer_image.inputs import is_built_in, open_signal
from finer_image.io.image import Image
from finer_image.io.input_digest import sha256_of_input
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.training.plan import FitPlan, digest_of
from finer_image.training.timed_plan import plan_timed_fit


def read_signal(signal: str | None, *, memory: int) -> tuple[Raster, str]:
    """Open the input image; return it and the SHA-256 of its file (of its content for the built-in one).

    Raises:
        InputError: See `open_signal`.
    """
    image = open_signal(signal, memory=memory)
    if isinstance(image, Image) and is_built_in(signal):
        return image, digest_of(image)
    assert signal is not None
    return image, sha256_of_input(signal)


class ImageExperiment(Experiment):
    """Runs of `finer-image fit`."""

    plan_class, command, kind, built_in = FitPlan, "finer-image fit", "image", BUILT_IN

    def read(self, name: str | None, settings: ImageConfig) -> tuple[Raster, str]:
        """Return an image and its SHA-256."""
        return read_signal(name, memory=parse_memory(settings.memory))

    def digest(self, name: str, settings: ImageConfig) -> str:
        """Return the SHA-256 of an image, which is not decoded."""
        return self.read(name, settings)[1] if is_built_in(name) else sha256_of_input(name)

    def plan(
        self, settings: ImageConfig, data: Raster, team: Team, config_of: Callable[[FitPlan], dict[str, Any]]
    ) -> FitPlan:
        """Return the plan of a new run; several processes measure together how long its steps take."""

        def shared_time(trial: FitPlan, within: float) -> float:
            team.tell({**config_of(trial), "is_timed": True})
            return shared_measurement(team, self.assembly(trial, data, team), partial(seconds_per_step, within=within))

        return plan_timed_fit(settings, data, shared_time=None if team.ranks.is_alone else shared_time)

    def assembly(self, plan: FitPlan, data: Raster, team: Team) -> Assemble[nn.Module]:
        """Return what puts the fit together in a process of the team."""
        return assembly(plan, data, team)

    def about(self, plan: FitPlan, data: Raster) -> dict[str, Any]:
        """Return what `config.json` says of the image."""
        return {
            "image": {name: value for name, value in data.to_metadata().items() if name != "icc_profile"},
            "image_on_disk": isinstance(data, DiskImage),
            "notes": list(data.notes),
        }

    def fill(
        self, run: RunFolder, plan: FitPlan, data: Raster, config: Mapping[str, Any], habits: Habits
    ) -> dict[str, Any]:
        """Fit, judge, and fill the run folder but for the figures; return these."""
        with habits.team.interruptible() as should_stop:
            reconstruction, figures = fit_image(plan, data, run, habits=habits, should_stop=should_stop)
        figures |= memory_figures(plan.device)  # for the report, which cannot tell its own
        write_report(run, target=data, reconstruction=reconstruction, metrics=figures, config=config)
        return figures


EXPERIMENT = ImageExperiment()
