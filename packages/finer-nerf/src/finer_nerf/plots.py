"""The figures of a fit, of matplotlib: its course, and where the cameras stand, from above and from the side."""

import numpy as np

from finer_core.io.figures import figure_bytes, subplots
from finer_core.plots import history

__all__ = ["camera_plot_svg", "history"]


def camera_plot_svg(groups: dict[str, np.ndarray], *, bound: float) -> str:
    """Return an SVG of cameras and the box, from above and from the side.

    Args:
        groups: Camera-to-box matrices (n, 4, 4) by name; x right, y down, z forwards.
        bound: Half the box's side.

    Raises:
        InputError: If matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from finer_nerf.plots import camera_plot_svg
        >>> camera_plot_svg({"training": np.eye(4)[None]}, bound=1.0)[:5]
        '<?xml'
    """
    figure, (axes,) = subplots(1, 2, figsize=(8, 4))
    # The box's axes are the scene's (y, z, x): its second axis is up in Blender's convention.
    for plot, (across, along), title in zip(axes, ((2, 0), (2, 1)), ("from above", "from the side"), strict=True):
        for name, poses in groups.items():
            eyes, towards = poses[:, :3, 3], poses[:, :3, 2]
            points = plot.scatter(eyes[:, across], eyes[:, along], s=12, label=f"{name} ({len(poses)})")
            style = {"color": points.get_facecolor()[0], "width": 0.003, "scale": 14}
            plot.quiver(eyes[:, across], eyes[:, along], towards[:, across], towards[:, along], **style)
        corner = np.array([-bound, bound, bound, -bound, -bound])
        plot.plot(corner, np.roll(corner, 1)[[0, 1, 2, 3, 0]], color="gray", linewidth=1)
        plot.set_aspect("equal")
        plot.set_title(title, fontsize=10)
    axes[0].legend(fontsize=8)
    return figure_bytes(figure, kind="svg").decode()
