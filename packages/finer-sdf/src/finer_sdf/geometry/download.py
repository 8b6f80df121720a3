"""Download the scanned shapes that the papers fit, and check that they are those very files."""

import gzip
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from finer_core.errors import InputError
from finer_core.io.files import TEMPORARY_PREFIX, atomic_path, sha256_of_file, write_json

ACKNOWLEDGEMENT = (
    "This shape is from the Stanford 3D Scanning Repository (https://graphics.stanford.edu/data/3Dscanrep/). "
    "Acknowledge the Stanford Computer Graphics Laboratory; it is free for research and to pass on free of charge, "
    "and not for commercial use without their permission."
)
"""What users of these shapes must know; commands print it."""
RECORD = "downloads.json"
"""File beside the shapes that keeps where each came from, and its digests."""
MOST_BYTES = 1 << 30
"""Nothing larger is downloaded or unpacked; the largest of the shapes has 533 million bytes."""
_PIECE = 1 << 20
_PLY = b"ply"


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
# martin-ejdestig/rayni, tools/download_scene_data.py (dragon, lucy, thai), and GuangyanCai/isoext,
# src/isoext/assets.py (armadillo, dragon).
SOURCES = {
    "armadillo": Source(
        url="https://graphics.stanford.edu/pub/3Dscanrep/armadillo/Armadillo.ply.gz",
        sha256="8b9b56cc36e66d54429b1e1e75bd89e833645bfe0dc7c1afd1205877a7356a3f",
        member="Armadillo.ply",
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


def download_shape(
    name: str,
    *,
    folder: str | Path,
    url: str | None = None,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Download one of the shapes, check its digest, and unpack it to `folder`/`name`.ply.

    A shape that is there already, unchanged since this function wrote it, is not downloaded again.

    Args:
        name: A key of `SOURCES`.
        folder: Where to; made if missing.
        url: Another address with the same file; an address with another copy needs `sha256` as well.
        sha256: Digest to expect instead of the known one.
        on_bytes: Called with the bytes that have arrived and those expected (0 if the server does not say).

    Returns:
        The path of the PLY file.

    Raises:
        InputError: If there is no such shape, the address cannot be reached or answers with an error, the digest is
            another one, or a different file has that name. Nothing is left behind.
    """
    source = _source(name, url=url, sha256=sha256)
    path = Path(folder) / f"{name}.ply"
    record = _read_record(path.parent / RECORD)
    if path.exists():
        if path.is_file() and record.get(name) == _entry(source, path):
            return path
        raise InputError(f"{path}: already exists and is not the file asked for; remove it or choose another folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY_PREFIX) as scratch:
            packed = Path(scratch) / "packed"
            _fetch(source, packed, on_bytes=on_bytes)
            with atomic_path(path) as temporary:
                _unpack(source, packed, temporary)
                write_json(path.parent / RECORD, {**record, name: _entry(source, temporary)})
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error
    return path


def _source(name: str, *, url: str | None, sha256: str | None) -> Source:
    if name not in SOURCES:
        raise InputError(f"there is no shape {name!r} to download; known are {', '.join(SOURCES)}")
    if url is not None and not re.match(r"https?://[^/]", url):
        raise InputError(f"{url!r} is no address that starts with http:// or https://")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise InputError(f"{sha256!r} is no SHA-256: that is 64 hexadecimal digits")
    known = SOURCES[name]
    return Source(url=url or known.url, sha256=(sha256 or known.sha256).lower(), member=known.member)


def _entry(source: Source, path: Path) -> dict[str, str]:
    return {"url": source.url, "sha256": source.sha256, "file_sha256": sha256_of_file(path)}


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _fetch(source: Source, path: Path, *, on_bytes: Callable[[int, int], None]) -> None:
    """Download to a file and check its digest."""
    import pooch
    import requests  # comes with pooch

    responses: list[Any] = []

    def receive(response: Any, **_: Any) -> None:
        responses.append(response)
        # Digests are of the packed file: a server may declare .gz to be an encoding of the transfer.
        response.raw.headers.pop("Content-Encoding", None)

    download = pooch.HTTPDownloader(
        progressbar=_Arrival(on_bytes),
        chunk_size=_PIECE,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": receive},
    )
    try:
        with path.open("wb") as file:
            download(source.url, _Bounded(file, what=source.url), None)
    except requests.RequestException as error:
        reasons = {
            requests.HTTPError: f"the server answers {getattr(error.response, 'status_code', 'with an error')}",
            requests.exceptions.ChunkedEncodingError: "the connection broke off",
            requests.Timeout: "the server does not answer in time",
            requests.ConnectionError: "the server cannot be reached",
        }
        reason = next((text for kind, text in reasons.items() if isinstance(error, kind)), type(error).__name__)
        raise InputError(f"{source.url}: {reason}; try again later, or name another address with --url") from error
    finally:
        for response in responses:  # pooch leaves them open when something goes wrong
            response.close()
    found = sha256_of_file(path)
    if found != source.sha256:
        raise InputError(
            f"{source.url}: its SHA-256 is {found}, not the expected {source.sha256}; it is another file, or was "
            "changed on the way"
        )


class _Arrival:
    """Hold the interface that pooch wants of a progress bar."""

    total = 0

    def __init__(self, on_bytes: Callable[[int, int], None]) -> None:
        self._on_bytes, self._done = on_bytes, 0

    def update(self, count: int) -> None:
        # pooch counts whole pieces, also for the last one.
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        self._on_bytes(self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


class _Bounded:
    """Pass on to a file no more than MOST_BYTES."""

    def __init__(self, file: BinaryIO, *, what: str) -> None:
        self._file, self._what, self._left = file, what, MOST_BYTES

    def write(self, piece: bytes) -> int:
        self._left -= len(piece)
        if self._left < 0:
            raise InputError(f"{self._what}: holds more than {MOST_BYTES} bytes, which is none of these shapes")
        return self._file.write(piece)

    def flush(self) -> None:
        self._file.flush()


def _unpack(source: Source, packed: Path, path: Path) -> None:
    """Write the PLY file that a download holds: as it is, gzipped, or in a tar archive; paths inside are not used."""
    try:
        with packed.open("rb") as raw, path.open("wb") as file:
            stream: Any = gzip.GzipFile(fileobj=raw) if raw.read(2) == b"\x1f\x8b" else raw
            raw.seek(0)
            is_ply = stream.read(len(_PLY)) == _PLY
            stream.seek(0)
            out: Any = _Bounded(file, what=source.url)
            if is_ply:
                shutil.copyfileobj(stream, out, _PIECE)
            else:
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    shutil.copyfileobj(_member(archive, source), out, _PIECE)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{source.url}: holds no PLY file that can be unpacked ({error})") from error


def _member(archive: tarfile.TarFile, source: Source) -> IO[bytes]:
    for entry in archive:
        if entry.isfile() and PurePosixPath(entry.name).name == source.member:
            stream = archive.extractfile(entry)
            if stream is not None:
                return stream
    raise InputError(f"{source.url}: its archive holds no {source.member}")
