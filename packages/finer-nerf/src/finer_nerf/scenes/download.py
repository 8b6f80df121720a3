"""Download the Blender scenes that the papers train on, and check that they are those very files."""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from finer_core.errors import InputError
from finer_core.io.download import check_source, fetch, read_record, write_record
from finer_core.io.files import TEMPORARY_PREFIX

SCENES = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
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
_PIECE = 1 << 20


def download_scenes(
    names: Sequence[str],
    *,
    folder: str | Path,
    url: str | None = None,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Download the archive of the scenes, check its digest, and unpack some to `folder`/NAME.

    A scene that is there already, as this function's record says, is kept; with all of them nothing is downloaded.

    Args:
        names: Of `SCENES`.
        folder: Where to; made if missing.
        url: Another address with the same archive.
        sha256: Digest to expect instead of the known one, of another archive of the same layout.
        on_bytes: Called with the bytes that have arrived and those expected (0 if the server does not say).

    Returns:
        The scenes' folders.

    Raises:
        InputError: If there is no such scene, the address cannot be reached or answers with an error, the digest is
            another one, the archive lacks a scene, or something else has a scene's name. Of a connection that broke off
            a part file is left behind, which the next call goes on with; else nothing.
    """
    for name in names:
        if name not in SCENES:
            raise InputError(f"there is no scene {name!r} to download; known are {', '.join(SCENES)}")
    check_source(url, sha256)
    folder, digest = Path(folder), (sha256 or SHA256).lower()
    record = read_record(folder)
    paths = {name: folder / name for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    for name in set(paths) - set(missing):
        if record.get(name) != _entry(digest):
            raise InputError(f"{paths[name]}: already exists and is not what was asked for; choose another folder")
    if not missing:
        return list(paths.values())
    archive = folder / f"nerf_synthetic-{digest[:8]}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(url or URL, archive, sha256=digest, most=MOST_BYTES, on_bytes=on_bytes)
        try:
            for name in missing:
                _unpack(archive, name, paths[name], source=url or URL)
                write_record(folder, {name: _entry(digest)})
        finally:
            archive.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from error
    return list(paths.values())


def _entry(digest: str) -> dict[str, str]:
    return {"archive_sha256": digest}


def _unpack(archive: Path, name: str, path: Path, *, source: str) -> None:
    """Write a scene's files below a folder that appears when it is whole."""
    try:
        with (
            zipfile.ZipFile(archive) as packed,
            tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY_PREFIX) as scratch,
        ):
            left, whole = MOST_BYTES, Path(scratch) / name
            for entry in packed.infolist():
                inside = _inside(entry, name)
                if inside is None:
                    continue
                left -= entry.file_size  # which zipfile holds an entry to
                if left < 0:
                    raise InputError(f"{source}: holds more than {MOST_BYTES} bytes, which is none of these scenes")
                target = whole / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as stream, target.open("wb") as file:
                    shutil.copyfileobj(stream, file, _PIECE)
            if not (whole / "transforms_train.json").is_file():
                raise InputError(f"{source}: its archive holds no scene {name}")
            whole.rename(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{source}: holds no scenes that can be unpacked ({error})") from error


def _inside(entry: zipfile.ZipInfo, name: str) -> PurePosixPath | None:
    """Return where an entry goes in the scene's folder; None for folders, other scenes, and paths that lead out."""
    parts = PurePosixPath(entry.filename).parts
    if entry.is_dir() or not parts or "__MACOSX" in parts or ".." in parts or parts[0] == "/":
        return None
    if parts[-1].startswith("."):
        return None
    if name in parts[:2]:
        return PurePosixPath(*parts[parts.index(name) + 1 :])
    return PurePosixPath(parts[-1]) if parts[-1] == "README.txt" and len(parts) <= 2 else None
