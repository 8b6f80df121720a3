"""Download the Blender scenes that the papers train on, and check that they are those very files."""

import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from finer_core.errors import InputError
from finer_core.io.download import check_source, fetched, read_record, write_record
from finer_core.io.files import given_path
from finer_core.io.partial_files import temporary_folder
from finer_core.progress import ProgressOption, reporting
from finer_nerf.config import SCENES

ACKNOWLEDGEMENT = (
    "These scenes are of NeRF (Mildenhall et al., ECCV 2020), rendered of models by artists of Blend Swap under their "
    "own licenses, some of which forbid commercial use; README.txt in a scene's folder names them."
)
"""What users of the scenes must know; commands print it."""
URL = "https://github.com/yxlao/nerfmirror/releases/download/20220618/nerf_synthetic.zip"
"""A mirror of the authors' archive, which they offer in a Google Drive."""
SHA256 = "f01fd1b4ab045b0d453917346f26f898657bb5bec4834b95fdad1f361826e45e"
"""Of the archive, as nerfmirror recorded it, and others' loaders that take it from the Drive."""
MOST_BYTES = 1 << 32
"""Nothing larger is downloaded or unpacked."""


def download(
    names: str | Sequence[str],
    folder: str | os.PathLike[str] = ".",
    *,
    url: str | None = None,
    sha256: str | None = None,
    progress: ProgressOption = False,
) -> list[Path]:
    """Fetch Blender scenes of the NeRF paper, and check that they are the very files that the papers train on.

    Nothing else in the package uses the network. One archive holds all eight scenes, so name those that you want at
    once. What is there already, as this function's record says, is kept; with all of them nothing is downloaded. A
    download that broke off leaves a part file, which the next call goes on with. The scenes are under licenses of their
    own, some without commercial use.

    Args:
        names: "chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship", or several.
        folder: Where to; made if missing.
        url: Another address of the same archive.
        sha256: Digest to check against, where that address has another archive of the same layout.
        progress: False, True for a bar on stderr, or a function of (bytes done, bytes in all or 0, {}).

    Returns:
        The scenes' folders, as `read_scene` takes them.

    Raises:
        InputError: If there is no such scene, the address cannot be reached or answers with an error, the file is
            another one or lacks a scene, or something else has a scene's name.

    Example:
        >>> from finer_nerf import download
        >>> download("fern")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: there is no scene 'fern' to download; known are chair, drums, ficus, hotdog, ...
    """
    folder, names = given_path(folder), [names] if isinstance(names, str) else names
    for name in names:
        if name not in SCENES:
            raise InputError(f"there is no scene {name!r} to download; known are {', '.join(SCENES)}")
    check_source(url, sha256)
    url, digest = url or URL, (sha256 or SHA256).lower()
    record, entry = read_record(folder), {"archive_sha256": digest}
    paths = {name: folder / name for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    for name in paths.keys() - missing:
        if record.get(name) != entry:
            raise InputError(f"{paths[name]}: already exists and is not what was asked for; choose another folder")
    archive = folder / f"nerf_synthetic-{digest[:8]}.part"
    if missing:
        with (
            reporting("download", unit="byte", progress=progress) as tell,
            fetched(url, archive, sha256=digest, most=MOST_BYTES, on_bytes=tell),
        ):
            for name in missing:
                _unpack(archive, name, paths[name], source=url)
                write_record(folder, {name: entry})
    return list(paths.values())


def _unpack(archive: Path, name: str, path: Path, *, source: str) -> None:
    """Write a scene's files below a folder that appears when it is whole."""
    try:
        with (
            zipfile.ZipFile(archive) as packed,
            temporary_folder(path) as scratch,
        ):
            left, whole = MOST_BYTES, scratch / name
            for entry in packed.infolist():
                if (inside := _inside(entry, name)) is None:
                    continue
                left -= entry.file_size  # which zipfile holds an entry to
                if left < 0:
                    raise InputError(f"{source}: holds more than {MOST_BYTES} bytes, which is none of these scenes")
                target = whole / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as stream, target.open("wb") as file:
                    shutil.copyfileobj(stream, file)
            if not (whole / "transforms_train.json").is_file():
                raise InputError(f"{source}: its archive holds no scene {name}")
            whole.rename(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{source}: holds no scenes that can be unpacked ({error})") from error


def _inside(entry: zipfile.ZipInfo, name: str) -> PurePosixPath | None:
    """Return where an entry goes in the scene's folder; None for folders, other scenes, and paths that lead out."""
    parts = PurePosixPath(entry.filename).parts
    if entry.is_dir() or not parts or {"__MACOSX", "..", "/"} & {*parts} or parts[-1].startswith("."):
        return None
    if name in parts[:2]:
        return PurePosixPath(*parts[parts.index(name) + 1 :])
    return PurePosixPath(parts[-1]) if parts[-1] == "README.txt" and len(parts) <= 2 else None
