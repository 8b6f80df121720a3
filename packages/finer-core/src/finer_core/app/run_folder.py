"""The run folder: where a command puts its results, and what it refuses to overwrite.

config.json  metrics.jsonl  metrics.json  model.safetensors  checkpoint/  report.html  and the task's own outputs
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from finer_core.app.folder_lock import FolderLock, lock_folder
from finer_core.distributed.team import Team
from finer_core.errors import InputError
from finer_core.io.files import without_repetition, write_json
from finer_core.io.partial_files import is_partial, remove_partial_files

Mode = Literal["new", "overwrite", "resume"]
_MOST_CONFIG_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Habits:
    """Hold how a run is made, whatever it fits.

    Attributes:
        resume: Go on from the run's checkpoint, if it has one yet.
        quiet: No progress and no notes.
        tensorboard: Also write TensorBoard scalars.
        team: The processes that share the fit.
    """

    resume: bool = False
    quiet: bool = False
    tensorboard: bool = False
    team: Team = field(default_factory=Team)


class RunFolder:
    """Name the files of one run. `open_run_folder` makes and checks it.

    Args:
        path: The folder.
        lock: What keeps other runs out of it as long as this object lives.
    """

    def __init__(self, path: Path, lock: FolderLock | None = None) -> None:
        self.path = path
        self.lock = lock
        self.config = path / "config.json"
        self.metrics_log = path / "metrics.jsonl"
        self.metrics = path / "metrics.json"
        self.model = path / "model.safetensors"
        self.checkpoint = path / "checkpoint" / "state.safetensors"
        self.report = path / "report.html"
        self.tensorboard = path / "tensorboard"

    def read_config(self) -> dict[str, Any]:
        """Return the settings of the run.

        Raises:
            InputError: If the folder holds no run.
        """
        return read_settings(self.config)

    def read_metrics(self) -> dict[str, Any]:
        """Return the final figures as written.

        Raises:
            InputError: If the run is not finished.
        """
        return read_settings(self.metrics)

    def write_metrics(self, figures: Mapping[str, Any]) -> None:
        """Write the final figures."""
        write_json(self.metrics, figures)


def open_run_folder(path: str | os.PathLike[str], *, mode: Mode) -> RunFolder:
    """Make a run folder ready for writing.

    Args:
        path: The folder.
        mode: "new" refuses an earlier run, "overwrite" replaces it, "resume" keeps it (and starts one where there is
            none, so that a job killed at any moment can be repeated with the same command).

    Raises:
        InputError: If the folder cannot be made or written, is another process's, holds a run (new), or something else.
    """
    folder = Path(path)
    check_writable(folder, mode=mode)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror or error}); choose another --out") from error
    run = RunFolder(folder, lock_folder(folder))
    check_writable(folder, mode=mode)  # again, because another run may have begun and ended meanwhile
    try:
        remove_partial_files(folder)
        if mode == "overwrite":
            _empty(run)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be removed ({error.strerror or error})") from error
    return run


def _empty(run: RunFolder) -> None:
    """Remove a folder's content; the folder itself may be a link, a mount point, or where the user is.

    What says that a run is finished goes first, and what says that it is one last: this may be killed in between.
    """
    for path in sorted(run.path.iterdir(), key=lambda path: (path == run.config) - (path == run.metrics)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def check_writable(path: str | os.PathLike[str], *, mode: Mode) -> None:
    """Raise InputError early if `open_run_folder` would refuse, without changing anything."""
    folder = Path(path)
    # os.path, because pathlib raises for a name that is too long or that may not be looked up.
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if os.path.exists(parent))
    if not nearest.is_dir():
        raise InputError(f"{nearest}: exists and is not a folder; choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{nearest}: cannot write here; choose another --out")
    try:
        os.fspath(folder).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{folder}: a name that is not UTF-8 in this locale, which model files need; choose another --out"
        ) from error
    inside = folder.iterdir() if os.path.isdir(folder) else ()
    content = [path for path in inside if not is_partial(path)]
    if content and not _holds_run(folder):
        raise InputError(f"{folder}: holds other files and no run of this program; choose another --out")
    if content and mode == "new":
        raise InputError(
            f"{folder}: already exists; use --resume to go on, --overwrite to replace it, or another --out"
        )
    if mode == "resume":
        _check_places(RunFolder(folder))


def _check_places(run: RunFolder) -> None:
    """Raise InputError for a folder where a file of the run will be written at its end, and the other way round."""
    for file in (run.metrics_log, run.metrics, run.model, run.checkpoint, run.report):
        if os.path.isdir(file):
            raise InputError(f"{file}: a folder is where a file of the run belongs; move it away")
    for inside in (run.checkpoint.parent, run.tensorboard):
        if os.path.exists(inside) and not os.path.isdir(inside):
            raise InputError(f"{inside}: a file is where a folder of the run belongs; move it away")
        if os.path.isdir(inside) and not os.access(inside, os.W_OK | os.X_OK):
            raise InputError(f"{inside}: cannot write here; change its permissions, or choose another --out")


def _holds_run(folder: Path) -> bool:
    """Return whether the folder's config.json is ours: others' folders have one too, and must never be emptied."""
    if not os.path.isfile(RunFolder(folder).config):
        return False
    try:
        versions = read_settings(RunFolder(folder).config).get("versions")
    except InputError:
        return False
    return isinstance(versions, dict) and "finer-core" in versions


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a config file: a JSON object.

    Raises:
        InputError: If it is missing, too large or not a JSON object.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_CONFIG_BYTES + 1)
        if len(content) > _MOST_CONFIG_BYTES:  # a device has no end
            raise InputError(f"{path}: more than {_MOST_CONFIG_BYTES:,} bytes, which is no config file")
        data = json.loads(content.decode("utf-8-sig"), object_pairs_hook=without_repetition)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot read the config file ({getattr(error, 'strerror', None) or error})"
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON (line {error.lineno}: {error.msg})") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # too many digits, lists nested too deep, a name twice
        raise InputError(f"{path}: not usable JSON ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: a config file holds a JSON object, got {type(data).__name__}")
    return data
