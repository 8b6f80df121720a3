"""Figures drawn without the marks and numbers of their axes, and pictures of few pixels: they take longer than a fit.

Where the marks would be and what would stand beside them is computed all the same, and names that stand there are
drawn, so that values and names which cannot be shown fail as they do for a user.
"""

from typing import Any

import pytest


def draw_plainly(patch: pytest.MonkeyPatch) -> None:
    """Draw figures once, leave labels where they come, and leave out the numbers of axes."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    draw: Any = Axis.draw

    def draw_names(axis: Any, renderer: Any) -> None:
        if isinstance(axis.major.formatter, FixedFormatter | FuncFormatter):
            draw(axis, renderer)
            return
        axis.major.formatter.format_ticks(axis.get_majorticklocs())
        axis.minor.formatter.format_ticks(axis.get_minorticklocs())
        axis.label.draw(renderer)

    patch.setattr("finer_core.io.figures.LAYOUT", None)
    patch.setattr(Axis, "draw", draw_names)


def draw_small(patch: pytest.MonkeyPatch) -> None:
    """Draw the pictures of surfaces at few pixels, whose rays give up early: hardly trained fields take long to trace.

    A ray of a sensible field ends within 15 steps; tests of the rays themselves leave them all.
    """
    patch.setattr("finer_sdf.app.pictures.SIDE", 40)
    patch.setattr("finer_sdf.reproducing._PICTURE", 40)
    patch.setattr("finer_sdf.rendering.sphere_tracing.MOST_STEPS", 50)
