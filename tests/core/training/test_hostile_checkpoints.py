"""Checkpoints that were changed and signed again: gone on with, or refused in one line that names the file."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from finer_core import InputError
from finer_core.app.run_folder import Habits, open_run_folder
from finer_core.app.session import run_session
from finer_core.io.tensor_file import read_tensors, write_tensors
from finer_core.training import DivergenceGuard, Interrupted
from finer_core.training.checkpoint import read_state
from tests.core import fits

FORMAT = "finer-checkpoint-1"


def run(path: Path, *, stop_after: int | None = None, **fit) -> None:
    """Run or go on with a small fit, as a command does."""
    asked = iter(range(10_000))
    made = fits.fit_of(steps=6, log_every=2, checkpoint_seconds=0.0, **fit)
    run_session(
        made,
        open_run_folder(path, mode="resume"),
        name="fit",
        figure=str,
        habits=Habits(resume=True, quiet=True),
        should_stop=lambda: stop_after is not None and next(asked) >= stop_after,
    )


@pytest.fixture(params=["adam", "soap"])
def broken_off(tmp_path, request):
    """Give the folder of a fit that was interrupted, its checkpoint, and its optimizer."""
    options = {"optimizer": request.param, "ema_decay": 0.9, "objective": fits.RunningObjective()}
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after=3, **options)
    (tmp_path / "config.json").write_text('{"versions": {"finer-core": "0.1.0"}}')
    return tmp_path, tmp_path / "checkpoint" / "state.safetensors", options


def forge(path: Path, change) -> None:
    header, tensors = read_tensors(path, what="checkpoint", expected_format=FORMAT)
    state = json.loads(header["state"])
    change(state, tensors)
    kept = {name: value for name, value in header.items() if name not in ("sha256", "complex")}
    write_tensors(path, tensors, {**kept, "state": json.dumps(state)})


def entry(node, *names):
    """Return the node of a nested state below the names."""
    for name in names:
        ((tag, content),) = node.items()
        node = dict(map(tuple, content))[name] if tag == "map" else content[name]
    return node


def test_only_types_of_numbers_are_named(broken_off):
    _, path, _ = broken_off

    def name(state, tensors):
        state["objective"] = {"map": [["dtype", {"dtype": "torch.load"}]]}

    forge(path, name)
    with pytest.raises(InputError, match="damaged checkpoint"):
        read_state(path)


def put(*names, value):
    """Return a change that replaces the node below the names."""

    def change(state, tensors):
        part, *rest = names
        if not rest:
            state[part] = value
            return
        ((_, content),) = entry(state[part], *rest[:-1]).items()
        for number, item in enumerate(content):
            if isinstance(item, list) and item[0] == rest[-1]:
                item[1] = value
                return
            if number == rest[-1]:
                content[number] = value
                return
        raise AssertionError(f"nothing at {names}")

    return change


def reshape(part: str, make):
    """Return a change of the first tensor whose name has `part` in it."""

    def change(state, tensors: dict[str, Tensor]):
        name = next(name for name in tensors if part in name)
        tensors[name] = make(tensors[name])

    return change


GUARD = {**DivergenceGuard().state_dict(), "best": 1.0}
LOOP = {"guard": GUARD, "loss": 1.0, "seconds": 1.0, "steps": 6, "is_reached": False}
CHANGES = {
    "loop list": put("loop", value=[]),
    "loop none": put("loop", value=None),
    "loop empty": put("loop", value={}),
    "loop number": put("loop", value=3),
    "loss text": put("loop", value={**LOOP, "loss": "1"}),
    "loss huge": put("loop", value={**LOOP, "loss": 10**400}),
    "seconds none": put("loop", value={**LOOP, "seconds": None}),
    "reached text": put("loop", value={**LOOP, "is_reached": "no"}),
    "steps list": put("loop", value={**LOOP, "steps": [6]}),
    "steps other": put("loop", value={**LOOP, "steps": 7}),
    "guard empty": put("loop", value={**LOOP, "guard": {}}),
    "guard that goes back for ever": put(
        "loop", value={**LOOP, "guard": {**GUARD, "best": -1.0, "rollbacks": -(10**9)}}
    ),
    "guard list": put("loop", value={**LOOP, "guard": [1, 1, 0]}),
    "guard text": put("loop", value={**LOOP, "guard": {**GUARD, "best": "x" * 5000}}),
    "step text": put("step", value="2"),
    "step negative": put("step", value=-1),
    "step beyond": put("step", value=10**9),
    "step huge": put("step", value=10**400),
    "network none": put("network", value=None),
    "network plain": put("network", value={"plain": {}}),
    "network a tensor that is not there": put("network", value={"tensor": "t" * 5000}),
    "network empty": put("network", value={"map": []}),
    "network shape": reshape("network.layers", lambda t: torch.zeros(3, 3)),
    "network nan": reshape("network.layers", lambda t: t * math.nan),
    "network complex": reshape("network.layers", lambda t: t.to(torch.complex64)),
    "optimizers plain": put("optimizers", value={"plain": 3}),
    "optimizers empty": put("optimizers", value={"list": []}),
    "optimizers of plain": put("optimizers", value={"list": [{"plain": {}}, {"plain": {}}]}),
    "optimizers none": put("optimizers", value={"list": [{"plain": None}, {"plain": None}]}),
    "optimizer moment": reshape("exp_avg", lambda t: torch.zeros(7, 5)),
    "optimizer group": put("optimizers", 0, "param_groups", value={"list": []}),
    "optimizer state": put("optimizers", 0, "state", value={"plain": 3}),
    "objective plain": put("objective", value={"plain": 3}),
    "objective empty": put("objective", value={"map": []}),
    "objective text": put("objective", "calls", value={"plain": "x"}),
    "objective nan": put("objective", "calls", value={"plain": math.nan}),
    "objective tensor": reshape("objective", lambda t: torch.zeros(2, 2)),
    "random empty": put("random_state", value={"map": []}),
    "random number": put("random_state", value={"plain": 3}),
    "random short": reshape("random_state", lambda t: t[:10]),
    "random float": reshape("random_state", lambda t: t.float()),
    "two tags": put("network", value={"map": [], "list": []}),
    "unknown tag": put("network", value={"what": []}),
    "deep": lambda state, tensors: state.__setitem__("loop", {**LOOP, "guard": deep(900)}),
}


def test_a_changed_best_state_is_refused_before_it_is_needed(broken_off):
    folder, path, options = broken_off

    def worse(state, tensors):
        state["best"] = json.loads(json.dumps(state).replace('"network.', '"best.network.'))
        tensors |= {f"best.{name}": torch.zeros(2, 2) for name in tensors if name.startswith("network.")}

    forge(path, worse)
    with pytest.raises(InputError, match=r"damaged checkpoint \(best.network"):
        run(folder, **options)


def deep(depth: int):
    return [] if depth == 0 else [deep(depth - 1)]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_checkpoint_is_refused_by_name(broken_off, change):
    folder, path, options = broken_off
    forge(path, change)
    with pytest.raises(InputError) as caught:
        run(folder, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for raw in ("Error(", "KeyError", "TypeError", "Traceback"):
        assert raw not in message


def test_an_unchanged_one_is_gone_on_with(broken_off):
    folder, path, options = broken_off
    forge(path, lambda state, tensors: None)
    assert read_state(path).step == 2
    run(folder, **options)
    assert read_state(path).step == 6


def test_a_fit_that_fails_later_is_not_blamed_on_its_checkpoint(broken_off):
    folder, _, options = broken_off

    class Fails(fits.RunningObjective):
        def backward(self, network, step):
            if step == 4:
                raise KeyError("a bug")
            return super().backward(network, step)

    with pytest.raises(KeyError, match="a bug"):
        run(folder, **{**options, "objective": Fails()})


@pytest.mark.parametrize("line", ['{"loss": 1}', "[1]", "3", '"step"', '{"step": "1"}', '{"step": null}', "\xff"])
def test_a_changed_log_is_refused_by_line(broken_off, line):
    folder, _, options = broken_off
    log = folder / "metrics.jsonl"
    log.write_bytes(log.read_bytes() + line.encode("latin-1") + b'\n{"step": 2}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2") as caught:
        run(folder, **options)
    assert str(caught.value).startswith(f"{log}: ")
