"""What every run says of itself in `config.json` and `metrics.json`, and how one is taken back from its folder.

The file may have been changed, or be another command's. Sizes are believed only as far as the checkpoint's weights go.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finer_core.app.run_folder import RunFolder
from finer_core.distributed.ranks import ranks_of_environment
from finer_core.errors import InputError, shortened
from finer_core.resources import environment_versions
from finer_core.schema import check_entries

if TYPE_CHECKING:
    from torch.nn import Module

    from finer_core.training.history import LogEntry

_ENTRIES: dict[str, Any] = {
    "command": str,
    "signal": str | None,
    "input_sha256": str,
    "settings": Mapping[str, Any],
    "versions": Mapping[str, str],
    "started": str,
}
"""What every command writes, and its report shows again."""


def config_content(
    plan: Any, *, command: str, signal: str, input_sha256: str, networks: Sequence[Any], **about: Any
) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "command": command,
        "signal": signal,
        "input_sha256": input_sha256,
        **about,
        **plan.to_dict(),
        "kernels": kernels_of(networks, device=plan.device, compiled=plan.settings.compile),
        **sharing_now(),
        "versions": environment_versions("finer-core", command.partition(" ")[0], "torch", "numpy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def common_figures(
    plan: Any, last: "LogEntry", network: "Module", *, has_target: bool, processes: int
) -> dict[str, Any]:
    """Return what `metrics.json` says of every fit, beside how good its result is."""
    from finer_core.networks.base import parameter_count

    return {
        "steps": last.step,
        "target_reached": last.is_reached if has_target else None,
        "seconds": round(last.seconds, 3),
        "parameters": parameter_count(network),
        "device": plan.device,
        "seed": plan.settings.seed,
        "rollbacks": last.rollbacks,
        "processes": processes,
    }


def read_run(run: RunFolder, *, command: str) -> dict[str, Any]:
    """Return the content of `config.json`, with the entries that all commands have.

    Raises:
        InputError: If there is none, it is of another command, or an entry is missing or of another type.
    """
    config = run.read_config()
    check_entries(config, _ENTRIES, what=os.fspath(run.config))
    if config["command"] != command:
        raise InputError(f"{run.path}: a run of {config['command']!r}, not of {command!r}; choose another --out")
    program = command.partition(" ")[0]
    if program not in config["versions"]:
        raise InputError(f"{run.config}: versions lacks {program!r}")
    return config


def check_weights(run: RunFolder, configs: Sequence[Any], *, memory: int) -> None:
    """Refuse networks that are larger than the weights of the run's checkpoint, or than the memory, before building.

    Args:
        run: The run.
        configs: Its networks, each a `NetworkConfig`.
        memory: Bytes that the process may use.

    Raises:
        InputError: If they are, or the checkpoint is damaged.
    """
    from finer_core.networks.build import build_network
    from finer_core.training.checkpoint import saved_numbers

    networks = [build_network(config, device="meta") for config in configs]
    needed = sum(value.numel() for network in networks for value in network.state_dict().values())
    if run.checkpoint.is_file():
        found = saved_numbers(run.checkpoint)
        if needed > found:
            sizes = "; ".join(f"hidden_features {c.hidden_features}, hidden_layers {c.hidden_layers}" for c in configs)
            raise InputError(
                f"{run.config}: network ({sizes}) has {needed} numbers, its checkpoint {found}: one of them was changed"
            )
    if 4 * needed > memory:
        raise InputError(f"{run.config}: network has {needed} numbers, more than --memory allows")


def kernels_of(configs: Sequence[Any], *, device: str, compiled: bool | None) -> dict[str, str]:
    """Return the compiled kernels that networks compute with, by name: digests of what the compiler made.

    Args:
        configs: The networks, each a `NetworkConfig`.
        device: Where they compute; the kernels are for a CPU.
        compiled: Whether activations are compiled.
    """
    from finer_core.networks.build import build_network
    from finer_core.training import circumstances

    if device != "cpu" or compiled is False:
        return {}
    networks = [build_network(config, device="meta") for config in configs]
    return circumstances.kernels_of(module for network in networks for module in network.modules())


def sharing_now() -> dict[str, int]:
    """Return by how many sums are split: their last bits depend on it."""
    import torch

    return {"processes": ranks_of_environment().size, "threads": torch.get_num_threads()}


def tell_of_other_circumstances(
    config: Mapping[str, Any], kernels: Mapping[str, str], *, device: str, out: Path
) -> None:
    """Say on stderr if a run goes on with other kernels, threads, processes or PyTorch than it was begun with.

    Args:
        config: Content of the run's `config.json`; one of before these were kept lacks them.
        kernels: From `kernels_of`, now.
        device: Where the run computes; only on a CPU are the bits promised.
        out: The run folder.
    """
    from finer_core.training.circumstances import other_circumstances

    if device != "cpu":
        return
    before = {**config, "PyTorch": config["versions"].get("torch")}
    now = {**sharing_now(), "PyTorch": environment_versions("torch")["torch"], "kernels": kernels}
    for line in other_circumstances(before, now):
        print(shortened(f"{out}: {line}"), file=sys.stderr)
