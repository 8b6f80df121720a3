"""Fit several images of one size at once, each into its own run folder.

The fits share the computing and nothing else: every image has its network, seed, optimisers, guard, log and checkpoint
(see `finer_core.experimental.batched_fits`), and comes out as it would alone, up to rounding.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from finer_core.app.run_folder import RunFolder
from finer_core.app.session import session
from finer_core.errors import DivergenceError, InputError
from finer_core.experimental.batched_fits import Update, run_together, update_of
from finer_core.metrics import psnr_of_mse
from finer_core.progress import Progress
from finer_core.training import Fit, LogPoint
from finer_core.training.state import TrainState
from finer_image.app.folder_fit import save_and_evaluate
from finer_image.io.raster import Raster
from finer_image.training.build import build_fit, metrics_of, network_of
from finer_image.training.plan import FitPlan

Fitted = tuple[Raster, dict[str, Any]]
"""A fitted image's reconstruction and the figures of its `metrics.json`."""


def kind_of_fit(plan: FitPlan, image: Raster) -> tuple[Any, ...]:
    """Return what fits must have in common to go together: everything but the image's content and the seed."""
    settings = dataclasses.replace(plan.settings, seed=0)
    plain = dataclasses.replace(plan, settings=settings).to_dict()
    return image.height, image.width, image.channels, repr(sorted(plain.items()))


def fit_images(
    plans: Sequence[FitPlan],
    images: Sequence[Raster],
    runs: Sequence[RunFolder],
    *,
    resume: Sequence[bool] | None = None,
    quiet: bool = False,
    tensorboard: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    stacked: bool | None = None,
) -> list[Fitted | DivergenceError | InputError]:
    """Fit all images at once, save the models, and judge them.

    On a CPU a fit's bits depend on its own image, settings and the number of threads alone, so a group that was killed
    may be resumed in any composition. Elsewhere they depend on who is in the group, as rounding does.

    Args:
        plans: A plan an image, from `plan_fit` or read back from a run's config.
        images: Images of equal size and channels.
        runs: Where each one's results go.
        resume: Which go on from their run's checkpoint, if it has one yet; None for none.
        quiet: Show no progress.
        tensorboard: Also write TensorBoard scalars.
        should_stop: Asked before every step; must go on saying True once it has.
        stacked: See `update_of`.

    Returns:
        For each image what `fit_image` returns, or the error that ended its fit and no other. The seconds of the
        figures are those of the group, whose size is `together`.

    Raises:
        InputError: If the images or plans differ in more than content and seed.
        Interrupted: If `should_stop` said so; every checkpoint is written.
    """
    kinds = [kind_of_fit(plan, image) for plan, image in zip(plans, images, strict=True)]
    if any(kind != kinds[0] for kind in kinds):
        sizes = sorted({f"{image.height}x{image.width}x{image.channels}" for image in images})
        raise InputError(f"images fitted at once need one size and one set of settings, got {', '.join(sizes)}")
    if plans[0].settings.sampling == "importance":
        raise InputError(
            "--sampling importance needs each image's own errors and cannot be fitted together; use --together 1"
        )
    networks = [network_of(plan) for plan in plans]
    fits = [
        build_fit(plan, network, image, together=len(plans))
        for plan, network, image in zip(plans, networks, images, strict=True)
    ]
    ends: dict[int, LogPoint | DivergenceError | InputError] = {}
    states: dict[int, TrainState | None] = {}
    with contextlib.ExitStack() as sessions:
        for number, (plan, fit, run) in enumerate(zip(plans, fits, runs, strict=True)):
            again = resume is not None and resume[number]
            member = _quiet_session(plan, fit, run, resume=again, tensorboard=tensorboard, should_stop=should_stop)
            try:
                states[number] = sessions.enter_context(member)
            except InputError as error:  # a damaged checkpoint, say
                ends[number] = error
        members = [fits[number] for number in states]
        progress = _GroupProgress(plans[0], members, list(states.values()), quiet=quiet)
        sessions.callback(progress.close)
        update = progress.shown(update_of(members, stacked=stacked))
        ends |= dict(zip(states, run_together(members, update, states=list(states.values())), strict=True))
    results: list[Fitted | DivergenceError | InputError] = []
    for number, (plan, network, image, run) in enumerate(zip(plans, networks, images, runs, strict=True)):
        end = ends[number]
        if isinstance(end, LogPoint):
            reconstruction, figures = save_and_evaluate(plan, network, image, run, last=end, quiet=quiet)
            results.append((reconstruction, {**figures, "together": len(plans)}))
        else:
            results.append(end)
    return results


def _quiet_session(
    plan: FitPlan, fit: Fit, run: RunFolder, *, resume: bool, tensorboard: bool, should_stop: Callable[[], bool]
) -> contextlib.AbstractContextManager[TrainState | None]:
    """Connect a member to its run folder; the group shows the progress."""
    return session(
        fit,
        run,
        name=f"fit {plan.settings.method}",
        metrics_of=lambda point: metrics_of(plan, point),
        figure=str,
        resume=resume,
        quiet=True,
        tensorboard=tensorboard,
        should_stop=should_stop,
    )


class _GroupProgress:
    """Show the steps of all fits as one piece of work, with the mean PSNR of those in it."""

    def __init__(self, plan: FitPlan, fits: Sequence[Fit], states: Sequence[TrainState | None], *, quiet: bool) -> None:
        self._span = plan.target_range[1] - plan.target_range[0]
        self._done = {number: state.step if state else 0 for number, state in enumerate(states)}
        self._progress = Progress(
            f"fit {plan.settings.method} x {len(fits)}",
            total=max(1, sum(fit.steps for fit in fits)),
            quiet=quiet,
            done=sum(self._done.values()),
        )

    def shown(self, update: Update) -> Update:
        """Return `update`, with progress."""

        def with_progress(steps: Mapping[int, int]) -> Mapping[int, Tensor]:
            losses = update(steps)
            self._done |= {number: step + 1 for number, step in steps.items()}
            self._progress.update(sum(self._done.values()), lambda: self._figure(list(losses.values())))
            return losses

        return with_progress

    def _figure(self, losses: Sequence[Tensor]) -> str:
        mean = sum(psnr_of_mse(float(loss), data_range=self._span) for loss in losses) / len(losses)
        return f"mean PSNR {mean:.2f} dB"

    def close(self) -> None:
        """End the line."""
        self._progress.close()
