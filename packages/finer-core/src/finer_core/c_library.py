"""Small C libraries, built once by the compiler that the machine has and kept in the user's cache.

A library does not start compilers behind its user's back: something is built only where that was allowed, by
`allow_building` or FINER_KERNELS=build, as our commands do. What was built once is used by everybody who may read it.
"""

import atexit
import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_PROCESSORS = ("-march=native", "-mcpu=native", "")
"""How compilers are told to use all instructions of this processor; the first that works is taken."""
_PATIENCE_S = 60
_LARGEST = 16 * 2**20
"""Bytes of a library that are read; ours have some 20,000."""


VARIABLE = "FINER_KERNELS"
"""Environment variable: "build" lets what is missing be built, "cached" takes what is there, "off" takes nothing."""
_allowed = False


class CannotBuild(Exception):
    """There is no compiler, it failed, or it was not allowed."""


def allow_building(allowed: bool = True) -> None:
    """Let this process start the C compiler where a library is missing, and write to the user's cache; or no more."""
    global _allowed
    _allowed = allowed


def building_is_allowed() -> bool:
    """Return whether `allow_building` was called, for processes that are to compute the same bits."""
    return _allowed


def _may_build() -> bool:
    """Return whether what is missing may be built."""
    wish = os.environ.get(VARIABLE) or ("build" if _allowed else "cached")
    if wish not in ("build", "cached"):
        raise CannotBuild(f"{VARIABLE}={wish}" if wish == "off" else f"{VARIABLE}={wish} is none of build, cached, off")
    return wish == "build"


def c_library(source: Path, *, defines: Mapping[str, str]) -> ctypes.CDLL:
    """Build a C file, or find what was built of it before, and load it.

    Args:
        source: The file; it may use the mathematical library, and headers beside it.
        defines: Its macros.

    Raises:
        CannotBuild: If there is no compiler, or no folder to write to, or the file does not compile or load here.
    """
    try:
        may_build = _may_build()
        if not may_build and not _cache_path().is_dir():  # nothing was ever built, and no folder is made to look in
            raise CannotBuild(_NOT_ALLOWED)
        command = [*_compiler(), *_FLAGS, *(f"-D{name}={value}" for name, value in defines.items())]
        texts = [path.read_text(encoding="utf-8") for path in (source, *sorted(source.parent.glob("*.h")))]
        identity = repr((texts, command, platform.system(), platform.machine(), _processor()))
        name = f"{source.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:24]}"
        folder = cache_folder()
        library = _kept(folder, name)
        if library is None and not may_build:
            raise CannotBuild(_NOT_ALLOWED)
        content = _build(source, command, folder, name) if library is None else library
        try:
            return _load(folder, content)
        except OSError:  # no room there, or nothing may be executed from there
            return _load(_temporary_folder(), content)
    except (OSError, ValueError, RuntimeError) as error:  # a CC that is no command line; a user without a home
        raise CannotBuild(str(error)) from error


_NOT_ALLOWED = f"not built yet; {VARIABLE}=build, or fuse_activations(True), lets the C compiler do that once"


def _cache_path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finer"


def digest_of(library: ctypes.CDLL) -> str:
    """Return the digest of a library that `c_library` loaded: equal ones compute equal bits."""
    return _digests[library]


def cache_folder() -> Path:
    """Return the user's folder for what can be made again, created if need be; a temporary one where there is none.

    Libraries in it are code that runs with the user's rights. So nobody else may write to it: one that belongs to
    others is not used, and one that others could write to is emptied and closed to them.
    """
    try:
        folder = _cache_path()
        _make_private(folder)
        if not _is_ours(folder):
            _log.warning("%s belongs to another user; compiled kernels go to a temporary folder", folder)
        elif os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        _log.info("no cache folder: %s", error)
    return _temporary_folder()


_digests: dict[ctypes.CDLL, str] = {}
_temporary: list[Path] = []
"""Folders made by this process; the last one is in use."""


def _temporary_folder() -> Path:
    """Return a folder that lasts as long as the process, or until somebody tidies up."""
    if not (_temporary and _temporary[-1].is_dir() and _is_ours(_temporary[-1])):
        _temporary.append(Path(tempfile.mkdtemp(prefix="finer-")))
        atexit.register(shutil.rmtree, _temporary[-1], ignore_errors=True)
    return _temporary[-1]


def _make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone, whatever the umask."""
    if not folder.parent.exists():
        _make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is this user's; close it to others, and forget what they may have put there."""
    if not hasattr(os, "geteuid"):  # Windows, where folders below the home are private
        return True
    if {os.lstat(folder).st_uid, os.stat(folder).st_uid} != {os.geteuid()}:
        return False
    if stat.S_IMODE(os.stat(folder).st_mode) & 0o022:
        os.chmod(folder, 0o700)
        for path in folder.glob("*.so"):
            path.unlink()
    return True


def _kept(folder: Path, name: str) -> bytes | None:
    """Return a library of the cache, if it is this user's own, and of the digest that its name says."""
    for path in sorted(folder.glob(f"{name}-*.so")):
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
            with open(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
                if stat.S_ISREG(status.st_mode) and ours and not stat.S_IMODE(status.st_mode) & 0o022:
                    content = file.read(_LARGEST)
                    if path.stem == f"{name}-{_digest(content)}":
                        return content
            _log.info("%s is damaged or not this user's, and built again", path)
            path.unlink(missing_ok=True)
        except OSError as error:  # a link, or a folder, or one that another process removed: all but a library
            _log.info("%s: %s", path, error)
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _load(folder: Path, content: bytes) -> ctypes.CDLL:
    """Load a library from a copy that has no name: one that shrinks while it is in use ends the process (SIGBUS)."""
    handle, name = tempfile.mkstemp(dir=folder, suffix=".so")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        library = ctypes.CDLL(name)
        _digests[library] = _digest(content)
        return library
    finally:
        if os.name != "nt":  # where a library in use cannot be removed
            Path(name).unlink(missing_ok=True)


def _compiler() -> Sequence[str]:
    """Return the C compiler's command: what CC says, or the first of the usual names."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise CannotBuild("no C compiler: none of cc, gcc, clang is on the path, and CC is not set")


def _build(source: Path, command: Sequence[str], folder: Path, name: str) -> bytes:
    """Compile, keep the library under its name and digest, and return it."""
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".so")
    os.close(handle)
    try:
        for processor in _PROCESSORS:
            result = subprocess.run(
                [*command, *filter(None, [processor]), str(source), "-lm", "-o", temporary],
                capture_output=True,
                text=True,
                errors="replace",  # compilers speak the user's language, in any encoding
                timeout=_PATIENCE_S,
                check=False,
            )
            if result.returncode == 0:
                content = Path(temporary).read_bytes()
                os.chmod(temporary, 0o600)  # linkers go by the umask
                with suppress(OSError):  # then it is built again next time
                    os.replace(temporary, folder / f"{name}-{_digest(content)}.so")
                    _log.info("built %s", name)
                return content
        complaint = result.stderr.strip().partition("\n")[0] or f"exit code {result.returncode}"
        raise CannotBuild(f"{shlex.join(command[:1])}: {complaint}")
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"{shlex.join(command[:1])} took more than {_PATIENCE_S} s") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _processor() -> str:
    """Return what tells processors apart: a cache may be shared by machines that lack one another's instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not on Linux
        return platform.processor()
    kinds = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))
