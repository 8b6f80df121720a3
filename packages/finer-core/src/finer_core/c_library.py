"""Small C libraries, built once by the compiler that the machine has and kept in the user's cache."""

import atexit
import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_log = logging.getLogger(__name__)

_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_PROCESSORS = ("-march=native", "-mcpu=native", "")
"""How compilers are told to use all instructions of this processor; the first that works is taken."""
_PATIENCE_S = 60


class CannotBuild(Exception):
    """There is no compiler, or it failed."""


def c_library(source: Path, *, defines: Mapping[str, str]) -> ctypes.CDLL:
    """Build a C file, or find what was built of it before, and load it.

    Args:
        source: The file; it may use the mathematical library, and headers beside it.
        defines: Its macros.

    Raises:
        CannotBuild: If there is no compiler, or no folder to write to, or the file does not compile or load here.
    """
    try:
        command = [*_compiler(), *_FLAGS, *(f"-D{name}={value}" for name, value in defines.items())]
        texts = [path.read_text() for path in (source, *sorted(source.parent.glob("*.h")))]
        identity = repr((texts, command, platform.system(), platform.machine(), _processor()))
        name = f"{source.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:24]}.so"
        built = cache_folder() / name
        if not built.exists():
            _build(source, command, built)
        return ctypes.CDLL(str(built))
    except (OSError, ValueError) as error:  # ValueError: a CC that is no command line
        raise CannotBuild(str(error)) from error


def cache_folder() -> Path:
    """Return the user's folder for what can be made again, created if need be; a temporary one where there is none."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finer"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        pass
    temporary = tempfile.mkdtemp(prefix="finer-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def _compiler() -> Sequence[str]:
    """Return the C compiler's command: what CC says, or the first of the usual names."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise CannotBuild("no C compiler: none of cc, gcc, clang is on the path, and CC is not set")


def _build(source: Path, command: Sequence[str], target: Path) -> None:
    """Compile into a file beside the target and move it there, so that nobody ever loads half of one."""
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".so")
    os.close(handle)
    try:
        for processor in _PROCESSORS:
            result = subprocess.run(
                [*command, *filter(None, [processor]), str(source), "-lm", "-o", name],
                capture_output=True,
                text=True,
                errors="replace",  # compilers speak the user's language, in any encoding
                timeout=_PATIENCE_S,
                check=False,
            )
            if result.returncode == 0:
                os.replace(name, target)
                _log.info("built %s", target)
                return
        complaint = result.stderr.strip().partition("\n")[0] or f"exit code {result.returncode}"
        raise CannotBuild(f"{shlex.join(command[:1])}: {complaint}")
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"{shlex.join(command[:1])} took more than {_PATIENCE_S} s") from error
    finally:
        Path(name).unlink(missing_ok=True)


def _processor() -> str:
    """Return what tells processors apart: a cache may be shared by machines that lack one another's instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not on Linux
        return platform.processor()
    kinds = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))
