import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from finer_core.app.run_folder import Habits, open_run_folder
from finer_core.app.session import run_session
from finer_core.errors import InputError
from finer_core.training import Callback, TensorBoardLogger, fit
from tests.core import fits
from tests.kills import Killed


def shown(folder, name: str = "loss") -> list[tuple[int, float]]:
    """Return what TensorBoard draws of a folder."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)] if name in events.Tags()["scalars"] else []


def test_missing_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'finer-core\[tensorboard\]'") as caught:
        TensorBoardLogger(tmp_path)
    assert "\n" not in str(caught.value)


def test_it_gets_every_figure(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.log(3, {"loss": 0.5, "psnr": 20.0})
    logger.close()
    assert shown(tmp_path) == [(3, 0.5)] and shown(tmp_path, "psnr") == [(3, 20.0)]


@pytest.mark.parametrize(("keep_until", "kept"), [(-1, []), (0, [0]), (15, [0, 10]), (99, [0, 10, 20])])
def test_later_steps_are_no_more_shown_when_a_run_is_resumed(tmp_path, keep_until, kept):
    logger = TensorBoardLogger(tmp_path, keep_until=-1)
    for step in (0, 10, 20):
        logger.log(step, {"loss": 1.0})
    logger.close()
    TensorBoardLogger(tmp_path, keep_until=keep_until).close()
    assert shown(tmp_path) == [(step, 1.0) for step in kept]


class Dies(Callback):
    def on_step(self, step, loss):
        if step == 7:
            raise Killed


def test_as_a_callback_it_begins_where_its_fit_begins(tmp_path):
    def run(folder, callbacks, **habits):
        torch.manual_seed(0)
        network, x = torch.nn.Linear(2, 1), torch.arange(8.0).view(4, 2)
        loss = lambda net, step: net(x).square().mean()  # noqa: E731 - read beside what it is of
        fit(network, loss, steps=12, log_every=2, callbacks=[*callbacks, TensorBoardLogger(folder)], **habits)

    run(tmp_path / "whole", [])
    state = tmp_path / "state"
    with pytest.raises(Killed):
        run(tmp_path / "both", [Dies()], checkpoint=state, checkpoint_seconds=3600)
    run(tmp_path / "both", [], checkpoint=state, checkpoint_seconds=3600, resume=True)
    assert shown(tmp_path / "both") == shown(tmp_path / "whole")


def test_a_command_that_was_killed_draws_each_step_once(tmp_path):
    asked = iter(range(10_000))

    def dies_at_first() -> bool:
        if next(asked) == 5:
            raise Killed
        return False

    def run() -> None:
        run_session(
            fits.fit_of(steps=6, log_every=2, checkpoint_seconds=3600),
            open_run_folder(tmp_path, mode="resume"),
            name="fit",
            figure=str,
            habits=Habits(resume=True, quiet=True, tensorboard=True),
            should_stop=dies_at_first,
        )

    with pytest.raises(Killed):
        run()
    assert [step for step, _ in shown(tmp_path / "tensorboard")] == [2, 4]
    (tmp_path / "config.json").write_text('{"versions": {"finer-core": "0.1.0"}}')
    run()
    assert [step for step, _ in shown(tmp_path / "tensorboard")] == [2, 4, 6]
