"""Download the scanned shapes that the papers fit, and check that they are those very files."""

import gzip
import os
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from finer_core.errors import InputError
from finer_core.io.download import Bounded, check_source, fetched, read_record, write_record
from finer_core.io.files import atomic_path, given_path, sha256_of_file
from finer_core.progress import ProgressOption, reporting

ACKNOWLEDGEMENT = (
    "This shape is from the Stanford 3D Scanning Repository (https://graphics.stanford.edu/data/3Dscanrep/). "
    "Acknowledge the Stanford Computer Graphics Laboratory; it is free for research and to pass on free of charge, "
    "and not for commercial use without their permission."
)
"""What users of these shapes must know; commands print it."""
MOST_BYTES = 1 << 30
"""Nothing larger is downloaded or unpacked; the largest of the shapes has 533 million bytes."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Hold where a shape comes from.

    Attributes:
        url: Address of a PLY file, gzipped, or in a gzipped tar archive.
        sha256: Digest of the file at that address.
        member: Name of the PLY file in the archive, without folders.
    """

    url: str
    sha256: str
    member: str


# The repository itself publishes no digests. These are what others recorded of the same addresses and agree on:
# martin-ejdestig/rayni, tools/download_scene_data.py (bunny, dragon, lucy, thai), and GuangyanCai/isoext,
# src/isoext/assets.py (bunny, armadillo, dragon).
SOURCES = {
    "armadillo": Source(
        url="https://graphics.stanford.edu/pub/3Dscanrep/armadillo/Armadillo.ply.gz",
        sha256="8b9b56cc36e66d54429b1e1e75bd89e833645bfe0dc7c1afd1205877a7356a3f",
        member="Armadillo.ply",
    ),
    "bunny": Source(
        url="https://graphics.stanford.edu/pub/3Dscanrep/bunny.tar.gz",
        sha256="a5720bd96d158df403d153381b8411a727a1d73cff2f33dc9b212d6f75455b84",
        member="bun_zipper.ply",
    ),
    "dragon": Source(
        url="https://graphics.stanford.edu/pub/3Dscanrep/dragon/dragon_recon.tar.gz",
        sha256="74ac1d90989c9b1732edee82d57e9ce71452144cf4355f108d8c9c616d28d02f",
        member="dragon_vrip.ply",
    ),
    "lucy": Source(
        url="https://graphics.stanford.edu/data/3Dscanrep/lucy.tar.gz",
        sha256="c4beb1f7bfa965643bbbf889bd1849a4b4b955e95c731941be61e6edac65616a",
        member="lucy.ply",
    ),
    "thai": Source(
        url="https://graphics.stanford.edu/data/3Dscanrep/xyzrgb/xyzrgb_statuette.ply.gz",
        sha256="1d867b6540c02935caa777bd6746429a62d4a5d23f11c9bfdfebbaa90c05ca8b",
        member="xyzrgb_statuette.ply",
    ),
}


def download(
    name: str,
    folder: str | os.PathLike[str] = ".",
    *,
    url: str | None = None,
    sha256: str | None = None,
    progress: ProgressOption = False,
) -> Path:
    """Fetch a scan of the Stanford 3D Scanning Repository, and check that it is the very file the papers fit.

    Nothing else in the package uses the network. A download that broke off is gone on with. The scans are free for
    research with acknowledgement of the Stanford Computer Graphics Laboratory, and not for commercial use without their
    permission.

    Args:
        name: "armadillo", "bunny", "dragon", "lucy" or "thai".
        folder: Where to; made if missing.
        url: Another address of the same file.
        sha256: Digest to check against, where that address has another copy.
        progress: False, True for a bar on stderr, or a function of (bytes done, bytes in all or 0, {}).

    Returns:
        The path of the PLY file; one that is there already, unchanged since it was fetched, is taken.

    Raises:
        InputError: If there is no such shape, the address cannot be reached or answers with an error, the digest is
            another one, or a different file has that name. Of a connection that broke off a part file is left behind,
            which the next call goes on with; else nothing.

    Example:
        >>> from finer_sdf import download
        >>> download("teapot")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: there is no shape 'teapot' to download; known are armadillo, ...
    """
    if name not in SOURCES:
        raise InputError(f"there is no shape {name!r} to download; known are {', '.join(SOURCES)}")
    check_source(url, sha256)
    known = SOURCES[name]
    source = Source(url=url or known.url, sha256=(sha256 or known.sha256).lower(), member=known.member)
    path = given_path(folder) / f"{name}.ply"
    if path.exists():
        if path.is_file() and read_record(path.parent).get(name) == _entry(source, path):
            return path
        raise InputError(f"{path}: already exists and is not the file asked for; remove it or choose another folder")
    packed = path.with_name(f"{name}-{source.sha256[:8]}.part")
    with (
        reporting("download", unit="byte", progress=progress) as tell,
        fetched(source.url, packed, sha256=source.sha256, most=MOST_BYTES, on_bytes=tell),
        atomic_path(path) as temporary,
    ):
        _unpack(source, packed, temporary)
        write_record(path.parent, {name: _entry(source, temporary)})
    return path


def _entry(source: Source, path: Path) -> dict[str, str]:
    return {"url": source.url, "sha256": source.sha256, "file_sha256": sha256_of_file(path)}


def _unpack(source: Source, packed: Path, path: Path) -> None:
    """Write the PLY file that a download holds: as it is, gzipped, or in a tar archive; paths inside are not used."""
    try:
        with packed.open("rb") as raw, path.open("wb") as file:
            stream: Any = gzip.GzipFile(fileobj=raw) if raw.read(2) == b"\x1f\x8b" else raw
            raw.seek(0)
            is_ply = stream.read(3) == b"ply"
            stream.seek(0)
            out: Any = Bounded(file, what=source.url, most=MOST_BYTES)
            if is_ply:
                shutil.copyfileobj(stream, out)
            else:
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    files = (entry for entry in archive if entry.isfile())
                    member = next((file for file in files if PurePosixPath(file.name).name == source.member), None)
                    if member is None:
                        raise InputError(f"{source.url}: its archive holds no {source.member}")
                    shutil.copyfileobj(cast(IO[bytes], archive.extractfile(member)), out)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{source.url}: holds no PLY file that can be unpacked ({error})") from error
