"""What a fit tells of its course, and who looks on: documented with examples that run."""

import doctest

import pytest

from finer_core.networks import own_network
from finer_core.training import callbacks, history


@pytest.mark.parametrize(("module", "examples"), [(callbacks, 1), (history, 2), (own_network, 1)])
def test_the_examples_run(module, examples):
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert len(found) == examples
    assert sum(doctest.DocTestRunner().run(test).failed for test in found) == 0


def test_a_callback_needs_one_of_the_methods():
    class Stop:
        def should_stop(self):
            return True

    assert callbacks.hooks_of([Stop(), callbacks.Callback()], "on_log")[0].__self__.__class__ is callbacks.Callback
    assert [hook() for hook in callbacks.hooks_of([Stop(), callbacks.Callback()], "should_stop")] == [True, False]
    with pytest.raises(TypeError, match="has none of the methods on_start, on_step"):
        callbacks.hooks_of([object()], "on_log")
