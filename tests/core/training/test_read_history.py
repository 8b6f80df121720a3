"""The history of a run, taken back from its folder."""

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_core.training import Callback, JsonlLogger, LogEntry, TrainingHistory, fit, read_history


@pytest.fixture
def run(tmp_path):
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    common = {"learning_rate": 1e-3, "rollbacks": 1}
    entries = [LogEntry(step=n, loss=1 / n, seconds=n / 4, metrics={"psnr": 3.0 * n}, **common) for n in (1, 2, 4)]
    for entry in entries:
        logger.on_log(entry)
    logger.close()
    return tmp_path, TrainingHistory(entries)


@pytest.mark.parametrize("name", ["", "metrics.jsonl"])
def test_a_run_folder_has_the_history_of_its_fit(run, name):
    folder, history = run
    found = read_history(folder / name)
    assert found.columns == history.columns and len(found) == 3 and not found.interrupted
    assert all((found[column] == history[column]).all() for column in history.columns)
    assert found.metrics == {"loss": 0.25, "psnr": 12.0}


def test_a_history_says_how_much_it_holds(run):
    history = run[1]
    assert repr(history) == "TrainingHistory: 3 entries, step 4: loss 0.25, psnr 12"
    assert repr(history[:1]) == "TrainingHistory: 1 entry, step 1: loss 1, psnr 3"
    assert repr(TrainingHistory()) == "TrainingHistory: 0 entries"


class Stop(Callback):
    step = 0

    def on_step(self, step, loss):
        self.step = step

    def should_stop(self):
        return self.step >= 25


def test_a_logger_keeps_the_history_of_a_fit_that_was_gone_on_with(tmp_path):
    coords, log = torch.rand(16, 2), tmp_path / "fit.jsonl"
    habits = {"steps": 40, "log_every": 10, "checkpoint": tmp_path / "fit.safetensors"}
    parts = []
    for more in ({"callbacks": [Stop(), JsonlLogger(log)]}, {"callbacks": [JsonlLogger(log)], "resume": True}):
        network = torch.nn.Linear(2, 1)
        parts.append(fit(network, lambda network, step: network(coords).square().mean(), **habits, **more))
    assert [part["step"].tolist() for part in parts] == [[10, 20], [30, 40]]
    assert read_history(log)["step"].tolist() == [10, 20, 30, 40]


def test_what_is_no_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"no metrics\.jsonl there; name a run folder"):
            read_history(path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "psnr": 3.0}\n')
    with pytest.raises(InputError, match="line of step 1 has no 'loss'"):
        read_history(tmp_path)


def test_figures_that_are_no_numbers_are_nan(tmp_path):
    """JSON has no infinity, such as the PSNR of a perfect fit; and entries may differ in what they have."""
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    common = {"loss": 0.0, "learning_rate": 1e-3, "seconds": 1.0, "rollbacks": 0}
    for step, metrics in enumerate(({"psnr": float("inf")}, {}, {"psnr": 3.0}), start=1):
        logger.on_log(LogEntry(step=step, metrics=metrics, **common))
    logger.close()
    history = read_history(tmp_path)
    assert np.isnan(history["psnr"]).tolist() == [True, True, False]
    assert repr(history[:1]) == "TrainingHistory: 1 entry, step 1: loss 0, psnr nan"
