"""Methods that a program adds by three lines: what is wrong with one is said, and what works is kept in a file."""

import pytest
import torch
from torch import nn

from finer_core import METHODS, InputError, build_network, load_model, save_model
from finer_core.methods import Method, TaskValues
from finer_core.networks import Network

TASKS = {"image": TaskValues(learning_rate=1e-3, published=False)}


class Recurrent(Network):
    """One map for all hidden layers: a file has fewer tensors than the network layers."""

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int = 8,
        hidden_layers: int = 3,
        generator=None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.in_features, self.out_features, self.times = in_features, out_features, hidden_layers
        self.map = nn.Linear(in_features, in_features, bias=False, device=device, dtype=dtype)

    def forward(self, coords):
        for _ in range(self.times):
            coords = torch.sin(self.map(coords))
        return coords[..., : self.out_features]


@pytest.fixture
def added(monkeypatch):
    def add(name, network):
        monkeypatch.setitem(METHODS, name, Method(name=name, network=network, tasks=TASKS))

    return add


def test_layers_that_share_their_weights(added, tmp_path):
    added("recurrent", Recurrent)
    network = build_network("recurrent", in_features=2, out_features=1, hidden_layers=5)
    save_model(network, tmp_path / "model.safetensors")
    coords = torch.rand(4, 2)
    assert torch.equal(load_model(tmp_path / "model.safetensors")(coords), network(coords))


class Octaves(Recurrent):
    """Has tensors that are not in its file: a buffer, and one that is an attribute alone."""

    def __init__(self, *, in_features, out_features, hidden_features=8, hidden_layers=3, **placement):
        super().__init__(in_features=in_features, out_features=out_features, hidden_layers=hidden_layers, **placement)
        self.register_buffer("octaves", 2.0 ** torch.arange(self.in_features), persistent=False)
        self.shifts = torch.rand(self.in_features, generator=torch.Generator().manual_seed(0))

    def forward(self, coords):
        return super().forward(coords * self.octaves + self.shifts)


def test_tensors_that_no_file_has(added, tmp_path):
    added("octaves", Octaves)
    network = build_network("octaves", in_features=2, out_features=1)
    save_model(network, tmp_path / "model.safetensors")
    coords, state = torch.rand(4, 2), torch.get_rng_state()
    assert torch.equal(load_model(tmp_path / "model.safetensors")(coords), network(coords))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("no_such_module:Net", "network 'no_such_module:Net' of method 'odd' cannot be loaded: No module named"),
        ("finer_core:Nope", "network 'finer_core:Nope' of method 'odd' cannot be loaded: .*has no attribute 'Nope'"),
        (lambda **sizes: nn.Linear(2, 1), "network of method 'odd' must be a class, or 'module:Class', got <function"),
        ("finer_core:build_network", "network of method 'odd' must be a class, or 'module:Class', got <function"),
    ],
    ids=["module", "class", "function", "named function"],
)
def test_networks_that_are_no_class(added, network, words):
    added("odd", network)
    with pytest.raises(InputError, match=words):
        build_network("odd", in_features=2, out_features=1)


def test_a_name_of_ours(added):
    added("siren", Recurrent)
    with pytest.raises(InputError, match=r"METHODS\['siren'\] is another method than finer-core's 'siren'; give it"):
        build_network("siren", in_features=2, out_features=1)


def test_an_entry_that_is_no_method(monkeypatch):
    monkeypatch.setitem(METHODS, "odd", Recurrent)
    with pytest.raises(InputError, match=r"METHODS\['odd'\] must be a Method, got <class"):
        build_network("odd", in_features=2, out_features=1)
