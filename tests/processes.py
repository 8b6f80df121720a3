"""Start a program in several processes on this machine, as torchrun does or by torchrun itself."""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.prepared import PreparedProcess

SECONDS = 600
"""After which processes are taken to wait for ever; a busy machine takes its time."""
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform.startswith("linux") else {}


def by_torchrun(*arguments: str, processes: int = 2) -> PreparedProcess:
    """Start `python -m torch.distributed.run ... arguments`."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return PreparedProcess([*launcher, *arguments], environment={**os.environ, **LOOPBACK})


def by_hand(*arguments: str, processes: int = 2) -> list[PreparedProcess]:
    """Run `python arguments` once for each place, which leaves every exit code and message visible."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    size = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common = {**os.environ, **LOOPBACK, **size, **meeting}
    return [
        PreparedProcess(arguments, environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(processes)
    ]


def ends_of(processes: Sequence[PreparedProcess]) -> list[tuple[int, list[str], list[str]]]:
    """Wait for processes; return of each the exit code and the lines on stdout and stderr."""
    texts = [process.communicate(timeout=SECONDS) for process in processes]
    return [(p.returncode, out.splitlines(), err.splitlines()) for p, (out, err) in zip(processes, texts, strict=True)]


def child_of(launcher: PreparedProcess, *, rank: int) -> int:
    """Return the id of a launcher's process by its number."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if parent == launcher.pid and f"RANK={rank}".encode() in environment:
                return int(folder.name)
    raise LookupError(f"no process {rank} of {launcher.pid}")
