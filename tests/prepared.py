"""Commands in copies of a process that has loaded PyTorch: one that begins with nothing needs seconds for that alone.

The server of `multiprocessing`'s start method "forkserver" loads what our commands do, and copies itself for each of
them. A copy has its own arguments, environment, folder and streams, and may be killed like any other process. Two
things are the server's: what libraries read from the environment when they are loaded (`OMP_NUM_THREADS`), and the
seed of Python's hashes. Tests of these, and of what a command loads, start processes of their own. Figures and pictures
are drawn as in most tests; see `tests.plain_figures`.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.plain_figures import draw_plainly, draw_small

LOADED = [
    *("torch", "scipy.ndimage", "scipy.spatial", "trimesh", "matplotlib.backends.backend_agg", "matplotlib.figure"),
    *("matplotlib.backends.backend_svg", "imagecodecs", "skimage.metrics", "pytest", "distributed"),
    *(f"finer_{name}.app.{module}" for name in ("image", "sdf", "nerf") for module in ("experiment", "report")),
    *("finer_sdf.app.pictures", "finer_sdf.reproducing", "finer_nerf.app.pictures"),
    *(f"finer_{name}.app.{module}" for name in ("image", "sdf", "nerf", "ntk") for module in ("cli", "commands")),
]
"""What the server loads; a name that is not there is passed over."""


def start_server() -> None:
    """Start the server, unless it runs already: who asks for the start method "forkserver" gets copies of this one."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(LOADED)  # of no effect once the server runs
    multiprocessing.forkserver.ensure_running()


class PreparedProcess:
    """A program that a copy runs, asked as `subprocess.Popen` is."""

    def __init__(
        self, arguments: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `python arguments`, where these are `-m module ...`, `-c code ...` or `file ...`.

        Args:
            arguments: What follows `python` on a command line.
            folder: Where it starts; where this process is if not given.
            environment: Its whole environment; this process's if not given.
        """
        start_server()
        self._streams = [Path(name) for name in (_new_file(), _new_file())]
        given = dict(os.environ if environment is None else environment)
        wanted = (list(arguments), str(folder or Path.cwd()), given, [str(path) for path in self._streams])
        self._process = multiprocessing.get_context("forkserver").Process(target=_run, args=wanted)
        self._process.start()

    @property
    def pid(self) -> int:
        """Return the process's number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return the exit code, a signal's number below 0; None as long as the process lives."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return what was written to stdout and to stderr."""
        self._process.join(timeout)
        if self.poll() is None:
            self.kill()
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        texts = [path.read_text() if path.exists() else "" for path in self._streams]
        for path in self._streams:
            path.unlink(missing_ok=True)
        return texts[0], texts[1]


def _new_file() -> str:
    descriptor, name = tempfile.mkstemp(prefix="finer-tests-")
    os.close(descriptor)
    return name


def _run(arguments: list[str], folder: str, environment: dict[str, str], streams: list[str]) -> None:
    """Become the program, in a copy of the server."""
    # What it starts by this method are copies of the same server, and not of another one, which Python would start.
    multiprocessing.forkserver._forkserver.ensure_running = lambda: None
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams, start=1):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Open descriptors of the streams are not the process's to close, as at the end of any other.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    draw_plainly(pytest.MonkeyPatch())
    if "finer_sdf.app.pictures" in sys.modules:
        draw_small(pytest.MonkeyPatch())
    first, *rest = arguments
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(first).parent))
        runpy.run_path(first, run_name="__main__")
