"""Who looks on at a fit."""

import pytest
import torch

from finer_core.training import JsonlLogger, callbacks, fit, read_jsonl


def test_the_class_of_a_callback_is_told_before_anything_is_called():
    with pytest.raises(TypeError, match=r"callback Callback is a class; give one of it, as Callback\(\.\.\.\)"):
        callbacks.hooks_of([callbacks.Callback], "on_end")


def test_a_class_whose_methods_need_no_object_of_it_is_a_callback():
    seen: list[object] = []

    class Log:
        @staticmethod
        def on_log(entry):
            seen.append(entry)

        @classmethod
        def on_end(cls):
            seen.append(cls)

    for method, given in (("on_log", (3,)), ("on_end", ())):
        (hook,) = callbacks.hooks_of([Log], method)
        hook(*given)
    assert seen == [3, Log]


def test_a_callback_needs_one_of_the_methods():
    class Stop:
        def should_stop(self):
            return True

    assert callbacks.hooks_of([Stop(), callbacks.Callback()], "on_log")[0].__self__.__class__ is callbacks.Callback
    assert [hook() for hook in callbacks.hooks_of([Stop(), callbacks.Callback()], "should_stop")] == [True, False]
    with pytest.raises(TypeError, match="has none of the methods on_start, on_step"):
        callbacks.hooks_of([object()], "on_log")


def test_who_has_not_begun_does_not_end(tmp_path):
    """A logger that is closed without having begun would empty the log of the fit before."""
    network, told = torch.nn.Linear(2, 1), []

    class First:
        def on_start(self, step, steps):
            told.append("start")

        def on_end(self):
            told.append("end")

    class Refuses:
        def on_start(self, step, steps):
            raise OSError("no room")

    def loss(net, step):
        return net(torch.ones(3, 2)).square().mean()

    fit(network, loss, steps=4, log_every=2, callbacks=[JsonlLogger(tmp_path / "log")])
    with pytest.raises(OSError, match="no room"):
        fit(network, loss, steps=4, callbacks=[First(), Refuses(), JsonlLogger(tmp_path / "log")])
    assert told == ["start", "end"]
    assert [line["step"] for line in read_jsonl(tmp_path / "log")] == [2, 4]
