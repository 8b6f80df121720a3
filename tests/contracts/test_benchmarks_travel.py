"""What the commands `benchmark` send to workers can be sent."""

import pickle
from importlib import import_module

import pytest


@pytest.mark.parametrize("application", ["image", "sdf", "nerf"])
def test_a_worker_gets_the_same_functions(application):
    benchmark = import_module(f"finer_{application}.app.benchmark").BENCHMARK
    assert pickle.loads(pickle.dumps(benchmark)) == benchmark
