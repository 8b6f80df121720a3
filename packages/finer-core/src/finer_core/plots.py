"""The course of a fit as a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from finer_core.io.figures import subplots
from finer_core.training.history import TrainingHistory

_LABELS = {"psnr": "PSNR of the batches (dB)", "learning_rate": "learning rate", "samples_per_ray": "samples a ray"}


def history(history: TrainingHistory, *, columns: str | Sequence[str] | None = None) -> Any:
    """Draw the course of a fit, a panel a column by step.

    Args:
        history: From `fit`.
        columns: One or several of the history, see `history.columns`; None for what the fit is judged by: "psnr", else
            "loss".

    Returns:
        The figure, of matplotlib; a notebook shows it, and `figure.savefig(path)` writes it.

    Raises:
        KeyError: For a name that is no column.
        finer_core.errors.InputError: If matplotlib is not installed: `pip install "finer-core[plots]"`.

    Example:
        >>> from finer_core import plots
        >>> from finer_core.training import LogEntry, TrainingHistory
        >>> rows = [LogEntry(step=n, loss=1 / n, learning_rate=1e-3, seconds=n, rollbacks=0) for n in (1, 2, 3)]
        >>> figure = plots.history(TrainingHistory(rows))
        >>> figure.axes[0].get_ylabel(), len(figure.axes[0].lines[0].get_xdata())
        ('loss', 3)
    """
    if columns is None:
        columns = ["psnr" if "psnr" in history.columns else "loss"]
    columns = [columns] if isinstance(columns, str) else columns
    table = {name: history[name] for name in ("step", "seconds", *columns)}
    lines = [{name: values[n] for name, values in table.items()} for n in range(len(history))]
    return log_figure(lines, columns)


def log_figure(lines: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """Draw columns of a fit's log by step, a panel each.

    Args:
        lines: Of the log, with "step" and the columns; one that lacks a value has no point there.
        columns: Names; a loss is drawn on a logarithmic axis where all its values allow that.

    Returns:
        The figure.

    Raises:
        InputError: If matplotlib is not installed.

    Example:
        >>> from finer_core.plots import log_figure
        >>> figure = log_figure([{"step": 100, "loss": 0.1}, {"step": 200, "loss": 0.02}], ["loss"])
        >>> figure.axes[0].get_yscale()
        'log'
    """
    figure, grid = subplots(len(columns), figsize=(6, 1 + 2.4 * len(columns)))
    for axes, name in zip(grid[:, 0], columns, strict=True):
        known = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        axes.plot([step for step, _ in known], [value for _, value in known], linewidth=1.2)
        axes.set_ylabel(_LABELS.get(name, name.replace("_", " ")))
        axes.grid(alpha=0.3)
        if name == "loss" and all(value > 0 for _, value in known):
            axes.set_yscale("log")
    seconds = [line["seconds"] for line in lines if line.get("seconds") is not None]
    grid[-1, 0].set_xlabel(f"step ({seconds[-1]:.0f} s in all)" if seconds else "step")
    return figure
