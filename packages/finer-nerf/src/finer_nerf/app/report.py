"""report.html of a training: held-out views, curves, cameras, and a film, in one page."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finer_core.app.run_folder import RunFolder
from finer_core.io.figures import figure_bytes, png_bytes, to_bytes
from finer_core.io.report import Report
from finer_core.plots import log_figure
from finer_core.training import read_jsonl
from finer_nerf.app.view_table import view_table
from finer_nerf.evaluation import JudgedView
from finer_nerf.rendering.colormaps import depth_picture, error_picture

_MOST_ERROR = 0.25


def write_report(
    run: RunFolder,
    *,
    figures: Mapping[str, Any],
    config: Mapping[str, Any],
    views: Sequence[JudgedView],
    cameras: str,
    film: Path | None,
    film_note: str,
) -> None:
    """Write the page.

    Args:
        run: The run folder.
        figures: Content of metrics.json.
        config: Content of config.json.
        views: Held-out views to show.
        cameras: A plot of the cameras, SVG.
        film: The film, or None.
        film_note: What to know about it.
    """
    background = figures["background"]
    report = Report(
        f"{config['scene']['name']}: {figures['method']}, {figures['preset']} preset",
        note=f"{figures['psnr']:.2f} dB on {background} over {figures['views']} held-out views",
    )
    main = {name: value for name, value in figures.items() if name not in ("per_view", "failed_views")}
    report.table({f"psnr (dB, on {background})" if name == "psnr" else name: value for name, value in main.items()})
    if film is not None:
        report.heading("Film")
        data = base64.b64encode(film.read_bytes()).decode()
        report.html(f'<video controls loop muted autoplay playsinline src="data:video/mp4;base64,{data}"></video>')
        if film_note:
            report.paragraph(film_note)
    report.heading("Held-out views")
    report.paragraph(
        f"Truth, rendering, mean absolute error (brightest at {_MOST_ERROR} and above; none where a mask leaves pixels "
        "out), depth (near is bright); "
        f"on {background}. The worst first."
    )
    if failed := figures["failed_views"]:
        report.paragraph(
            f"{len(failed)} of {len(figures['per_view'])} views failed, that is, are much worse than most: "
            + ", ".join(failed)
        )
    for view in views:
        ssim, rendered = "" if view.ssim is None else f", SSIM {view.ssim:.4f}", view.view.color
        report.figures(
            [
                (f"{view.name}: truth", png_bytes(to_bytes(view.truth))),
                (f"rendered: {view.psnr:.2f} dB on {background}{ssim}", png_bytes(to_bytes(rendered))),
                ("error", png_bytes(error_picture(view.error, most=_MOST_ERROR))),
                ("depth", png_bytes(depth_picture(view.view.depth))),
            ],
            pixelated=max(view.truth.shape[:2]) < 300,
        )
    report.html(view_table(figures["per_view"], failed=figures["failed_views"]))
    if len(curve := list(read_jsonl(run.metrics_log))) > 1:
        report.heading("Training")
        figure = log_figure(curve, ("psnr", "samples_per_ray"))
        report.figures([("training PSNR, and samples a ray", figure_bytes(figure, kind="svg").decode())])
    report.heading("Cameras")
    report.figures([("cameras and the box", cameras)])
    report.heading("Settings")
    report.table(config["settings"], folded="settings")
    report.table({name: config[name] for name in ("scene", "frame", "bound", "versions")}, folded="scene and versions")
    report.write(run.report)
