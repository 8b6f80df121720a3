"""What the last bits of a fit depend on beside its settings: its compiled kernels, its threads, and PyTorch.

Only on a CPU are the bits of a resumed fit promised, so elsewhere there is nothing to tell.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from finer_core.activations.modules import Activation
from finer_core.schema import shown

CIRCUMSTANCES = "circumstances"
"""Where a checkpoint's `about` has them."""
SUMS = ("processes", "threads", "PyTorch")
"""What splits and orders sums."""


def kernels_of(modules: Iterable[nn.Module]) -> dict[str, str]:
    """Return the compiled kernels that modules compute with on a CPU, by name: digests of what the compiler made."""
    return dict(sorted(filter(None, (each.kernel() for each in modules if isinstance(each, Activation)))))


def circumstances_of(network: nn.Module) -> dict[str, Any]:
    """Return the circumstances of a fit of a network here and now, as plain data; empty elsewhere than on a CPU."""
    device = next((parameter.device.type for parameter in network.parameters()), "cpu")
    if device != "cpu":
        return {}
    sums = {"threads": torch.get_num_threads(), "PyTorch": str(torch.__version__)}
    return {"kernels": kernels_of(network.modules()), **sums}


def other_circumstances(before: Any, now: Mapping[str, Any]) -> list[str]:
    """Return in words, a line each, in which circumstances a fit goes on that are not those in which it was begun.

    Args:
        before: What was kept; what is missing is not compared.
        now: From `circumstances_of`, and perhaps the number of processes.
    """
    before = before if isinstance(before, Mapping) else {}
    other = [name for name in SUMS if before.get(name) is not None and now.get(name) not in (None, before[name])]
    sums = ", ".join(f"{name} {shown(before[name])} where it is {now[name]} now" for name in other)
    words = [_other_kernels(before.get("kernels"), now.get("kernels")), sums]
    return [f"begun with {each}; the result agrees to rounding, its bits may differ" for each in words if each]


def _other_kernels(before: Any, now: Any) -> str:
    if not isinstance(before, Mapping) or not isinstance(now, Mapping) or dict(before) == dict(now):
        return ""
    if now and before:
        return "other compiled kernels than now (another compiler, processor or version)"
    if before:
        return "compiled kernels, which cannot be built here (no C compiler?)"
    return "PyTorch's operations in place of the compiled kernels that are used now"
