"""The course of a fit as a figure."""

import sys

import pytest

from finer_core import InputError, plots
from finer_core.training import LogEntry, TrainingHistory


def entry(step: int, **metrics: float) -> LogEntry:
    return LogEntry(step=step, loss=1 / step, learning_rate=1e-3, seconds=float(step), rollbacks=0, metrics=metrics)


def test_a_history_is_drawn_by_what_it_is_judged_by():
    loss = plots.history(TrainingHistory([entry(1), entry(4)])).axes
    assert [axes.get_ylabel() for axes in loss] == ["loss"] and loss[0].get_yscale() == "log"
    psnr = plots.history(TrainingHistory([entry(1, psnr=3.0), entry(4, psnr=9.0)])).axes
    assert [axes.get_ylabel() for axes in psnr] == ["PSNR of the batches (dB)"]
    assert psnr[0].lines[0].get_xdata().tolist() == [1, 4] and psnr[0].lines[0].get_ydata().tolist() == [3.0, 9.0]
    assert psnr[0].get_xlabel() == "step (4 s in all)"


def test_columns_are_chosen_and_checked():
    history = TrainingHistory([entry(2)])
    assert [axes.get_ylabel() for axes in plots.history(history, columns=["loss", "learning_rate"]).axes] == [
        "loss",
        "learning rate",
    ]
    assert [axes.get_ylabel() for axes in plots.history(history, columns="learning_rate").axes] == ["learning rate"]
    for columns in (["psnr"], "psnr"):
        with pytest.raises(KeyError, match="no column 'psnr'"):
            plots.history(history, columns=columns)


def test_lines_without_a_value_have_no_point():
    figure = plots.log_figure([{"step": 1, "psnr": None}, {"step": 2, "psnr": 5.0}, {"step": 3}], ["psnr"])
    assert figure.axes[0].lines[0].get_xdata().tolist() == [2] and figure.axes[0].get_xlabel() == "step"


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"pip install 'finer-core\[plots\]'"):
        plots.history(TrainingHistory([entry(1)]))
