"""Model files and run folders, as all applications have them: what their headers say is damaged and signed again."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finer_core import build_network, save_model
from finer_core.io.tensor_file import read_tensors, write_tensors
from finer_core.networks.build import published_config

from .sample import Sample, files_of, ran

MODEL, STATE = "model.safetensors", "checkpoint/state.safetensors"
_KINDS = {MODEL: ("model", "finer-model"), STATE: ("checkpoint", "finer-checkpoint-1")}
_TEXTS = {MODEL: ("config", "task_data"), STATE: ("state",)}


def opened(path: Path, kind: str) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Return the header of a file of tensors as JSON, and what makes a signed file of a damaged header."""
    what, expected = _KINDS[kind]
    header, tensors = read_tensors(path, what=what, expected_format=expected)
    texts = {name: json.loads(header[name]) for name in _TEXTS[kind]}

    def seal(content: bytes) -> bytes:
        return _sealed(path, content, header, tensors)

    return json.dumps(texts).encode(), seal


def _sealed(path: Path, content: bytes, header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> bytes:
    try:
        texts = json.loads(content)
        changed = {name: json.dumps(value) for name, value in texts.items()}
    except (ValueError, AttributeError, RecursionError):  # not JSON any more: the text of its first entry is not either
        changed = {next(iter(sorted(header))): content.decode(errors="replace")}
    other = path.with_name("sealed.safetensors")
    write_tensors(other, tensors, {**{k: v for k, v in header.items() if k != "sha256"}, **changed})
    return other.read_bytes()


def model_sample(
    *,
    method: str,
    task: str,
    in_features: int,
    out_features: int,
    task_data: Callable[[nn.Module], Mapping[str, Any]],
    read: Callable[[Path], object],
    folder: Path,
    command: Sequence[str] = (),
) -> Sample:
    """Return a model file of one network."""
    config = published_config(
        method=method, task=task, in_features=in_features, out_features=out_features, hidden_features=8
    )
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    folder.mkdir(parents=True, exist_ok=True)
    save_model(network, folder / MODEL, task=task, task_data=task_data(network))
    return saved_model_sample(folder / MODEL, read, command)


def saved_model_sample(path: Path, read: Callable[[Path], object], command: Sequence[str] = ()) -> Sample:
    """Return a model file that there is."""
    content, seal = opened(path, MODEL)
    return Sample(files={MODEL: content}, seal={MODEL: seal}, read=lambda inside: read(inside / MODEL), command=command)


def run_sample(main: Callable[[Sequence[str]], int], arguments: Sequence[str], folder: Path) -> Sample:
    """Return a finished run, and going on with it."""
    ran(main, [*arguments, "--out", str(folder)])
    files, seal = files_of(folder), {}
    for name in (MODEL, STATE):
        if name in files:
            files[name], seal[name] = opened(folder / name, name)
    hit = [
        name for name in ("config.json", "config.json", "metrics.jsonl", "metrics.json", STATE, STATE) if name in files
    ]
    command = arguments[0]
    return Sample(
        files=files,
        seal=seal,
        hit=hit,
        writes=True,
        costly=True,
        read=lambda inside: ran(main, [command, "--resume", "--out", str(inside), "--quiet"]),
    )
