"""How much memory a process used and may use, and which device it runs on."""

import platform
import re
import sys
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from finer_core.errors import InputError
from finer_core.schema import plain, shown

if TYPE_CHECKING:
    import torch

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_memory(limit: str | int) -> int:
    """Turn "4GB", "512 MiB" or a number of bytes into bytes.

    Raises:
        InputError: If it is not a positive size.
    """
    if isinstance(limit, str):
        match = re.fullmatch(r"\s*(\d{1,999}(?:\.\d{1,999})?)\s*([kmgt]i?)?b?\s*", limit.lower())
        size = int(Fraction(match[1]) * _UNITS[match[2] or ""]) if match else 0
    else:
        number = plain(limit)
        size = number if type(number) is int else 0
    if size <= 0:
        raise InputError(f"--memory {shown(limit)} is not a size; write 4GB or 512MB")
    return size


PROCESS_BYTES = 500_000_000
"""What Python, PyTorch and an application's libraries take by themselves."""


def check_room(needed: float, memory: int | None, *, what: str, advice: str, process: int = PROCESS_BYTES) -> None:
    """Raise InputError, before it is taken, for memory that the limit has no room for.

    Args:
        needed: Bytes, besides the process itself.
        memory: The limit in bytes; None for none.
        what: Takes it.
        advice: What the user can do.
        process: Bytes of the process itself.
    """
    if memory is not None and process + needed > memory:
        raise InputError(
            f"{what} needs about {(process + needed) / 1e6:.0f} MB of memory, and --memory allows "
            f"{memory / 1e6:.0f} MB; {advice}, or raise --memory"
        )


def peak_memory_mb() -> float:
    """Return the process's largest resident memory so far, in megabytes (10^6 bytes); NaN where it is unknown."""
    status = Path("/proc/self/status")  # Linux; getrusage there counts the memory of the parent before exec too
    own = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    if own:
        return int(own[1]) * 1024 / 1e6
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def memory_figures(device: str) -> dict[str, float | None]:
    """Return what `metrics.json` says of memory, in megabytes (10^6 bytes).

    Args:
        device: What the process computed on, such as "cuda".

    Returns:
        The peak of the process, and that of its tensors on the device; None for the latter where the device keeps no
        such count: a CPU's tensors are in the former.
    """
    on_device = None
    if device.startswith("cuda"):
        import torch

        on_device = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return {"peak_memory_mb": round(peak_memory_mb(), 1), "peak_device_memory_mb": on_device}


def resolve_device(name: str, *, shared: bool = False) -> str:
    """Turn "auto" into the best device here, and check any other choice.

    Args:
        name: As the user gave it.
        shared: Whether several processes work together, for which PyTorch has no way on "mps".

    Raises:
        InputError: If the device is unknown or absent.
    """
    import torch

    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available() and not shared,
    }
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if name not in available:
        raise InputError(f"unknown device {name!r} (known: auto, cpu, cuda, mps)")
    if not available[name]:
        where = "to several processes" if shared else "here"
        raise InputError(f"device {name!r} is not available {where}; use --device auto")
    return name


def checked_device(device: "torch.device | str | int | None", *, needs_numbers: bool = True) -> "torch.device":
    """Return a device as PyTorch's, after trying it.

    Args:
        device: As a program gave it: "cpu", "cuda:1", a `torch.device`; None for the CPU.
        needs_numbers: Whether "meta" is refused, whose tensors have none.

    Raises:
        InputError: If PyTorch knows no such device, or it is not here.
    """
    import torch

    advice = "give 'cpu', or 'cuda' or 'mps' where there is one"
    try:
        found = torch.device("cpu" if device is None else device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise InputError(f"device {shown(device)[:60]} cannot be used here ({reason[:100]}); {advice}") from error
    if needs_numbers and found.type == "meta":
        raise InputError(f"device 'meta' holds no numbers; {advice}")
    return found


def environment_versions(*packages: str) -> dict[str, str]:
    """Return the versions a result depends on: the named packages, Python and the platform."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
