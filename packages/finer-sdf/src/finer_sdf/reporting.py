"""Progress of the work that has no steps: meshing, judging, downloading."""

from finer_core.progress import Progress
from finer_sdf.meshing.extract import Extraction, extract_mesh
from finer_sdf.model import SdfModel


def extract(model: SdfModel, *, resolution: int, memory: int, quiet: bool, sparse: bool = True) -> Extraction:
    """Extract a model's surface in box coordinates, with progress."""
    progress = MovingProgress("mesh", unit="point", quiet=quiet)
    try:
        return extract_mesh(
            model.field,
            resolution=resolution,
            memory=memory,
            sparse=sparse,
            device=model.device,
            on_points=progress.update,
        )
    finally:
        progress.close()


class MovingProgress:
    """Show progress towards a total that becomes known, or larger, on the way."""

    def __init__(self, what: str, *, unit: str, quiet: bool) -> None:
        self._what, self._unit, self._quiet = what, unit, quiet
        self._bar: Progress | None = None
        self._total = 0

    def update(self, done: int, total: int) -> None:
        """Report `done` of `total` units."""
        if self._bar is None or total > self._total:
            self._total = total
            self._bar = Progress(self._what, total=max(total, 1), unit=self._unit, quiet=self._quiet, done=done)
        self._bar.update(done)

    def close(self) -> None:
        """End the line on a terminal."""
        if self._bar:
            self._bar.close()


class Stages:
    """Show which part of a judgement is under way."""

    _MOST = 5

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._progress = Progress(what, total=self._MOST, unit="stage", quiet=quiet)
        self._done = 0

    def begin(self, name: str) -> None:
        """Report that the stage `name` begins."""
        self._progress.update(self._done, lambda: name)
        self._done += 1

    def close(self) -> None:
        """End the line on a terminal."""
        self._progress.close()
