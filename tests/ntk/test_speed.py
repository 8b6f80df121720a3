"""The structured path against contracted Jacobians, as a ratio in one process."""

import time

import pytest
import torch
from torch.func import functional_call, jacrev, vmap

from finer_core import Finer
from finer_ntk.kernel import empirical_ntk


def by_jacrev(network, x):
    params = {name: value.detach() for name, value in network.named_parameters()}
    jacobian = vmap(jacrev(lambda p, row: functional_call(network, p, (row[None],))[0]), (None, 0))(params, x)
    flat = torch.cat([part.flatten(1) for part in jacobian.values()], dim=1)
    return flat @ flat.T


def timed(call, rounds):
    """Return what a call gives, and the least of the seconds that it takes: the first time of all has more to do."""
    times, found = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        found = call()
        times.append(time.perf_counter() - start)
    return found, min(times)


@pytest.mark.slow
def test_the_structured_path_is_many_times_faster():
    network = Finer(in_features=1, out_features=1, generator=torch.Generator().manual_seed(0))
    x = torch.arange(256)[:, None] / 256
    kernel, fast = timed(lambda: empirical_ntk(network, x), 5)
    expected, slow = timed(lambda: by_jacrev(network, x), 2)
    torch.testing.assert_close(kernel, expected, atol=1e-4 * float(expected.max()), rtol=0)
    assert slow / fast > 8  # 50 at 1024 points on an idle machine, see benchmarks/README.md
