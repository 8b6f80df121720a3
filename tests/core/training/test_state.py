"""The state of a fit: copied, put back, written and read, bit for bit; damaged files are refused."""

import copy
import math
import os
import pickle

import pytest
import torch

from finer_core import InputError, save_model
from finer_core.training import DivergenceGuard, StatelessObjective, build_optimizers
from finer_core.training.checkpoint import read_state, write_state
from finer_core.training.state import TrainState, put_read_state, put_state, take_state
from tests.core import small

PLAIN = {
    "text": "Grün \u2028",
    "numbers": [1, -2.5, 0.1 + 0.2, 1e-310, 10**40, True, None],
    "special": (math.inf, -math.inf),
    3: {4: ("a", ["b", ()])},
    "empty": [{}, [], ()],
}


class Stateful(StatelessObjective):
    """Give whatever state it is made with, and remember what it is given back."""

    def __init__(self, state) -> None:
        self.state = state
        self.given = None

    def __repr__(self) -> str:  # without an address: it names a test, which every worker must name alike
        return f"Stateful({self.state})"

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.given = state


def trained(method: str, *, name: str = "adam", dtype: torch.dtype | None = None, updates: int = 3):
    """Return a network and its optimizers after some updates."""
    network = small.network_of(method, dtype=dtype)
    optimizers = build_optimizers(network, name=name, learning_rate=1e-3, amsgrad=True, betas=(0.8, 0.95))
    for _ in range(updates):
        for optimizer in optimizers:
            optimizer.zero_grad()
        network(small.coords_of(dtype=dtype)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
    return network, optimizers


def state_of(method: str = "finer", *, objective=None, **how) -> TrainState:
    network, optimizers = trained(method, **how)
    guard = {**DivergenceGuard().state_dict(), "rate": 0.7, "rollbacks": 2}
    loop = {"guard": guard, "seconds": 0.1, "steps": 9, "loss": math.nan, "is_reached": False}
    return take_state(network, optimizers, objective or small.WaveObjective(), step=7, loop=loop)


def alike(first, second) -> bool:
    """Compare nested data by types, keys and bits."""
    if isinstance(first, torch.Tensor):
        same_kind = isinstance(second, torch.Tensor) and first.dtype == second.dtype and first.shape == second.shape
        return same_kind and torch.equal(first, second)
    if isinstance(first, dict):
        return (
            isinstance(second, dict) and list(first) == list(second) and all(alike(first[k], second[k]) for k in first)
        )
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(alike, first, second))
    return type(first) is type(second) and (first == second or first != first)


def test_a_copy_shares_no_tensor_and_clones_them(monkeypatch):
    """Python's own copies of tensors take longer than small networks' steps; what was one tensor stays one."""
    monkeypatch.setattr(torch.Tensor, "__deepcopy__", lambda *_: pytest.fail("a tensor is copied by copy.deepcopy"))
    network, optimizers = trained("finer")
    shared = torch.arange(3.0)
    objective = Stateful({"a": [shared, {"b": shared}], "plain": PLAIN})
    state = take_state(network, optimizers, objective, step=3, loop={})
    (first, inner), kept = state.objective["a"], state.objective["plain"]
    assert first is inner["b"] is not shared and torch.equal(first, shared)
    assert kept == PLAIN and kept is not PLAIN and kept["numbers"] is not PLAIN["numbers"]
    assert kept[3][4][1] is not PLAIN[3][4][1]
    before = optimizers[0].state_dict()["state"][0]["exp_avg"]
    assert torch.equal(state.optimizers[0]["state"][0]["exp_avg"], before)
    before.zero_()
    assert bool(state.optimizers[0]["state"][0]["exp_avg"].any())
    put_state(state, network, optimizers, objective)
    assert objective.given["a"][0] is objective.given["a"][1]["b"] is not first


def test_the_comparison_sees_differences():
    base = {"a": [torch.zeros(2), (1, 2.0)], 1: math.nan}
    assert alike(base, copy.deepcopy(base))
    for other in ({"a": [torch.ones(2), (1, 2.0)], 1: math.nan}, {"a": [torch.zeros(2), [1, 2.0]], 1: math.nan}):
        assert not alike(base, other)
    assert not alike(base, {"a": base["a"], "1": math.nan})
    assert not alike({"x": 1}, {"x": 1.0})


@pytest.mark.parametrize("method", small.NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_file_holds_everything_bit_for_bit(tmp_path, method, dtype):
    state = state_of(method, dtype=dtype)
    write_state(state, tmp_path / "state.safetensors")
    found = read_state(tmp_path / "state.safetensors")
    for name in ("step", "network", "optimizers", "objective", "random_state", "loop"):
        assert alike(getattr(found, name), getattr(state, name)), name


def test_optimizer_keys_and_tuples_keep_their_types(tmp_path):
    state = state_of("finer", name="muon")
    write_state(state, tmp_path / "state.safetensors")
    found = read_state(tmp_path / "state.safetensors")
    adam, _ = found.optimizers
    assert list(adam["state"]) == list(range(len(adam["state"])))
    assert set(adam["state"][0]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert adam["param_groups"][0]["betas"] == (0.8, 0.95)
    assert isinstance(adam["param_groups"][0]["betas"], tuple)
    assert alike(found.optimizers, state.optimizers)


def test_plain_data_and_tensors_of_an_objective(tmp_path):
    values = torch.arange(12.0)
    objective = Stateful(
        {
            **PLAIN,
            "generator": torch.Generator().manual_seed(3).get_state(),
            "tensors": [torch.tensor(3), torch.zeros(0, 2), torch.tensor([True]), torch.tensor([1 + 2j])],
            "same memory": (values, values[2:5], values.reshape(3, 4).t()),
            "a": {"b": torch.ones(1)},
            "a.b": torch.zeros(1),
            "1": torch.full((1,), 1.0),
            1: torch.full((1,), 2.0),
        }
    )
    state = state_of(objective=objective)
    write_state(state, tmp_path / "state.safetensors")
    assert alike(read_state(tmp_path / "state.safetensors").objective, state.objective)


def test_a_bare_file_name_and_a_missing_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("state.safetensors", os.path.join("deep", "er", "state.safetensors")):
        write_state(state_of(), path)
        assert read_state(path).step == 7


def test_a_state_is_a_copy():
    network, optimizers = trained("finer")
    objective = Stateful({"count": [1]})
    state = take_state(network, optimizers, objective, step=1, loop={})
    before = copy.deepcopy(state)
    with torch.no_grad():
        network.head.weight.add_(1)
    optimizers[0].state_dict()["state"][0]["exp_avg"].add_(1)
    objective.state["count"].append(2)
    torch.rand(3)
    assert alike(vars(state), vars(before))


def test_putting_a_state_back_and_going_on():
    network, optimizers = trained("finer", name="muon")
    objective = Stateful({"count": [1]})
    state = take_state(network, optimizers, objective, step=1, loop={})
    before = copy.deepcopy(state)
    expected = torch.rand(3)
    other, other_optimizers = trained("finer", name="muon", updates=1)
    for _ in range(2):
        put_state(state, other, other_optimizers, objective)
        assert torch.equal(torch.rand(3), expected), "the global random state is back"
        assert objective.given == {"count": [1]}
        again = take_state(other, other_optimizers, objective, step=1, loop={})
        assert alike(again.network, before.network)
        assert alike(again.optimizers, before.optimizers)
        other(small.coords_of()).sum().backward()
        for optimizer in other_optimizers:
            optimizer.step()
        objective.given["count"].append(2)
    assert alike(vars(state), vars(before)), "the state stays usable"


def test_settings_come_back_with_the_state():
    network, optimizers = trained("finer")
    state = take_state(network, optimizers, small.WaveObjective(), step=1, loop={})
    others = build_optimizers(network, learning_rate=0.5)
    put_state(state, network, others, small.WaveObjective())
    (group,) = others[0].param_groups
    assert (group["lr"], group["initial_lr"], group["betas"], group["amsgrad"]) == (1e-3, 1e-3, (0.8, 0.95), True)


def put_into(state: TrainState, method: str, *, name: str = "adam", objective=None, **config) -> None:
    network = small.network_of(method, **config)
    optimizers = build_optimizers(network, name=name, learning_rate=1e-3)
    put_read_state(state, network, optimizers, objective or small.WaveObjective())


@pytest.mark.parametrize(
    "other",
    [
        {"method": "finer", "hidden_features": 12},
        {"method": "finer", "hidden_layers": 3},
        {"method": "finer", "hidden_layers": 1},
        {"method": "finer", "out_features": 1},
        {"method": "finer", "bias": False},
        {"method": "pemlp"},
        {"method": "wire"},
        {"method": "bacon"},
        {"method": "finer", "objective": Stateful({})},
    ],
    ids=str,
)
def test_a_state_of_another_network(other):
    state = state_of("finer")
    if "objective" in other:
        state = state_of("finer", objective=Stateful({"x": 1}))
        other = {"method": "finer"}
    with pytest.raises(InputError, match="the checkpoint is of another fit: ") as caught:
        put_into(state, **other)
    assert "\n" not in str(caught.value)


def test_a_state_of_other_optimizers():
    with pytest.raises(InputError, match="the checkpoint has 2 optimizers, this fit 1"):
        put_into(state_of("finer", name="muon"), "finer")


@pytest.fixture
def path(tmp_path):
    """Give a path that holds a good checkpoint."""
    file = tmp_path / "state.safetensors"
    write_state(state_of(), file)
    return file


def refuse(path, match: str = ".") -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_state(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"text\n", b"\0" * 100, pickle.dumps({"step": 3})], ids=range(5))
def test_not_a_checkpoint(path, content):
    path.write_bytes(content)
    refuse(path)


def test_missing(tmp_path):
    refuse(tmp_path / "none", "no such checkpoint file")


def test_a_model_is_not_a_checkpoint(path):
    save_model(small.network_of("finer"), path)
    refuse(path, "not a finer checkpoint")


def test_truncated(path):
    content = path.read_bytes()
    for length in (1, 8, 100, len(content) // 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refuse(path)


@pytest.mark.parametrize("where", ["header", "tensors"])
def test_a_flipped_byte_anywhere(path, where):
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    positions = range(9, start, 7) if where == "header" else range(start, len(content), 331)
    for position in positions:
        if content[position : position + 1] != b" ":
            path.write_bytes(content[:position] + bytes([content[position] ^ 2]) + content[position + 1 :])
            refuse(path)


def test_a_failed_write_leaves_the_old_checkpoint(path, monkeypatch):
    old = path.read_bytes()

    def break_off(tensors, name, metadata):
        name.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("finer_core.io.tensor_file.write_safetensors", break_off)
    with pytest.raises(OSError, match="disk full"):
        write_state(state_of(), path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_an_objective_s_state_that_is_not_plain_is_refused_before_anything_is_written(path):
    old = path.read_bytes()
    with pytest.raises(TypeError):
        write_state(state_of(objective=Stateful({"x": object()})), path)
    assert path.read_bytes() == old
