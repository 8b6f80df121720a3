"""The three paths, the operator, memory, files, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import METHODS, build_network
from finer_core.config import published_config
from finer_core.errors import InputError
from finer_core.network_options import method_names
from finer_ntk.kernel import as_row_function, empirical_ntk, kernel_operator, product
from finer_ntk.kernel.linear_layers import find_linear_maps

X = torch.rand(9, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
Y = torch.rand(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def network(method="finer", **options):
    sizes = {"in_features": 2, "out_features": 2, "hidden_features": 16, "hidden_layers": 2}
    config = published_config(method=method, task="image", **{**sizes, **options})
    return build_network(config, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def close(found, expected, tolerance=1e-10):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("output", ["trace", "per_channel", "full"])
@pytest.mark.parametrize("rule", ["published", "exact", "training"])
@pytest.mark.parametrize("method", method_names("image"))
def test_paths_and_blocks_agree(method, rule, output):
    net = network(method)
    same = {"rule": rule, "output": output}
    expected = empirical_ntk(net, None, X, Y, path="jacobian", **same)
    assert expected.shape == (9, 5) + {"trace": (), "per_channel": (2,), "full": (2, 2)}[output]
    close(empirical_ntk(net, None, X, Y, path="layers", **same), expected)
    close(empirical_ntk(net, None, X, Y, path="products", **same), expected)
    close(empirical_ntk(net, None, X, batch_size=4, **same), empirical_ntk(net, None, X, path="jacobian", **same))


def test_rules_differ_for_finer_and_not_for_siren():
    for method, differ in (("finer", True), ("siren", False)):
        kernels = [empirical_ntk(network(method), None, X, rule=rule) for rule in ("published", "exact", "training")]
        assert torch.allclose(kernels[0], kernels[1]) != differ
        assert torch.allclose(kernels[2], kernels[2].T) != differ


@pytest.mark.parametrize("method", ["finer", "wire-finer", "bacon"])
def test_operator_equals_the_matrix(method):
    function = as_row_function(network(method))
    kernel = empirical_ntk(network(method), None, X)
    vectors = torch.rand(9, 3, dtype=torch.float64)
    for memory in (10**9, 10**4):
        operator = kernel_operator(function, X, memory=memory)
        close(operator.times(vectors), kernel @ vectors)
        close(operator.diagonal(), kernel.diagonal())


def test_product_is_the_full_kernel_times_a_vector():
    net, vector = network(), torch.rand(5, 2, dtype=torch.float64)
    full = empirical_ntk(net, None, X, Y, output="full")
    found = product(as_row_function(net), X, Y, vector, rule="published", rows=2)
    close(found, torch.einsum("nmab,mb->na", full, vector))


class Odd(nn.Module):
    """Use the first layer's weight a second time, outside a linear map."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(2, 8), nn.Linear(8, 1)

    def forward(self, coords):
        return self.head(torch.tanh(self.first(coords))) + self.first.weight.sum()


def test_other_modules_take_the_general_path_and_agree():
    torch.manual_seed(0)
    odd = Odd().double()
    assert "outside a linear map" in find_linear_maps(as_row_function(odd), X)
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, nn.Tanh(), shared).double()
    assert "more than once" in find_linear_maps(as_row_function(twice), X)
    tied = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    tied[2].weight = tied[0].weight
    for module in (odd, twice, tied, nn.Sequential(nn.Linear(2, 4), nn.ReLU(inplace=True), nn.LayerNorm(4)).double()):
        close(empirical_ntk(module, None, X, batch_size=4), empirical_ntk(module, None, X, path="products"))
        with pytest.raises(InputError, match="structured path does not apply"):
            empirical_ntk(module, None, X, path="layers")


def test_a_callable_of_parameters():
    params = {"w": torch.rand(2, 3, dtype=torch.float64), "s": torch.rand(3, dtype=torch.float64)}
    kernel = empirical_ntk(lambda p, x: torch.sin(x @ p["w"]) @ p["s"], params, X)
    phase = X @ params["w"]
    rows = torch.cat([torch.sin(phase), (X[:, :, None] * (torch.cos(phase) * params["s"])[:, None]).flatten(1)], dim=1)
    close(kernel, rows @ rows.T)


def test_memory_chooses_blocks_and_a_file_takes_the_result(tmp_path):
    net, points = network(), torch.rand(300, 2, dtype=torch.float64)
    expected = empirical_ntk(net, None, points)
    steps = []
    file = np.lib.format.open_memmap(tmp_path / "k.npy", mode="w+", dtype=np.float64, shape=(300, 300))
    empirical_ntk(net, None, points, memory="600KB", out=file, on_progress=lambda *step: steps.append(step))
    assert len(steps) > 3 and steps[-1][0] == steps[-1][1]
    close(torch.from_numpy(np.load(tmp_path / "k.npy")), expected)
    with pytest.raises(InputError, match="300 x 300 points takes"):
        empirical_ntk(net, None, points, memory="600KB")
    with pytest.raises(InputError, match="raise --memory"):
        empirical_ntk(net, None, points, memory="100B", out=file)


def test_refusals():
    net = network()
    with torch.no_grad():
        net.head.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"head\.weight"):
        empirical_ntk(net, None, X)
    with pytest.raises(ValueError, match="coords of shape"):
        empirical_ntk(network(), None, torch.rand(4, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="rule must be"):
        empirical_ntk(network(), None, X, rule="other")
    with pytest.raises(InputError, match="no parameters"):
        empirical_ntk(nn.Identity(), None, X)
    assert "finer" in METHODS
