"""Download public files: checked by their SHA-256, and gone on with where a connection broke; by pooch.

What has arrived lies in a part file, which a later call goes on with. Only where the digest is known: what a server
sends now and what it sent then may be of two files, and nothing but the digest of the whole would tell.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from finer_core.errors import InputError
from finer_core.io.files import sha256_of_file, small_file, unwritable, write_json

RECORD = "downloads.json"
"""File beside what was downloaded that keeps where each came from, and its digests."""
_MOST_RECORD_BYTES = 1 << 24
ATTEMPTS = 4
"""Requests in a row that may bring nothing before the server is given up."""
PATIENCE = 30.0
"""Seconds that a server may send nothing."""
WAIT = 1.0
"""Seconds before the second attempt; twice as many before the next, and so on."""
_PIECE = 1 << 16  # of one that is cut off nothing is kept

OnBytes = Callable[[int, int], None]
"""Called with the bytes that have arrived and those expected (0 if the server does not say)."""


def check_source(url: str | None, sha256: str | None) -> None:
    """Raise InputError for what is no address, or no digest, that a user may have named."""
    if url is not None and not re.match(r"https?://[^/]", url):
        raise InputError(f"{url!r} is no address that starts with http:// or https://")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise InputError(f"{sha256!r} is no SHA-256: that is 64 hexadecimal digits")


def read_record(folder: Path) -> dict[str, Any]:
    """Return what `RECORD` of a folder says by name; nothing if there is none, or it is damaged."""
    try:
        record = json.loads(small_file(folder / RECORD, most=_MOST_RECORD_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(folder: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to `RECORD` of a folder."""
    write_json(folder / RECORD, {**read_record(folder), **entries})


def fetch(url: str, part: Path, *, sha256: str | None, most: int, on_bytes: OnBytes = lambda done, total: None) -> str:
    """Download to a file, going on with what is there already, and check the digest.

    Args:
        url: Address.
        part: The file. It stays if the connection breaks off for good, for the next call to go on with; but not if its
            digest is unknown or another one.
        sha256: Digest to expect; None if it is not known.
        most: Largest file in bytes.
        on_bytes: See `OnBytes`.

    Returns:
        The digest.

    Raises:
        InputError: If the address cannot be reached or answers with an error, breaks off again and again, holds more
            than `most` bytes, or another file.
        OSError: If the file cannot be written.
    """
    _pooch()  # first, because what is asked for next comes with it
    there = part.exists()
    if there and (sha256 is None or sha256_of_file(part) != sha256):
        there = sha256 is not None and part.stat().st_size > 0
        if not there:
            part.unlink()
    elif there:
        return str(sha256)  # whole already: only what follows did not come to its end
    try:
        _receive_all(_Receiver(url, part, checked=sha256 is not None, most=most, on_bytes=on_bytes))
        found = sha256_of_file(part)
    except BaseException:
        if part.exists() and (sha256 is None or part.stat().st_size == 0):
            part.unlink()
        raise
    if sha256 in (None, found):
        return found
    part.unlink()
    if there:  # its beginning may have been of another file
        return fetch(url, part, sha256=sha256, most=most, on_bytes=on_bytes)
    raise InputError(f"{url}: SHA-256 {found}, not the expected {sha256}: it is another file")


@contextmanager
def fetched(url: str, part: Path, *, sha256: str, most: int, on_bytes: OnBytes) -> Iterator[None]:
    """Download to a part file as `fetch` does, in a folder that is made if missing; remove it after the block.

    Raises:
        InputError: As `fetch`, and where that folder, or what the block writes, cannot be written.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        fetch(url, part, sha256=sha256, most=most, on_bytes=on_bytes)
        try:
            yield
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(part.parent, error, advice="choose another folder") from error


def _receive_all(receiver: "_Receiver") -> None:
    """Ask again for what is missing until it is whole, or requests bring nothing any more."""
    import requests  # comes with pooch

    in_vain, largest = 0, receiver.size
    while True:
        try:
            receiver.request()
            return
        except requests.RequestException as error:
            in_vain = 0 if receiver.size > largest else in_vain + 1
            largest = max(largest, receiver.size)
            if in_vain >= ATTEMPTS or not _may_pass(requests.exceptions, error):
                reason = _reason(requests.exceptions, error)
                raise InputError(
                    f"{receiver.url}: {reason}; try again later, or name another address with --url"
                ) from error
            time.sleep(WAIT * 2 ** max(0, in_vain - 1))


def _may_pass(kinds: Any, error: Exception) -> bool:
    """Return whether another attempt may have another end."""
    if isinstance(error, kinds.HTTPError):
        status = getattr(error.response, "status_code", 0)
        return status >= 500 or status in (408, 429)
    return isinstance(error, kinds.ChunkedEncodingError | kinds.Timeout | kinds.ConnectionError)


def _reason(kinds: Any, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", "with an error")
    late = "timed out" in str(error)  # in the middle of a file, requests calls it a broken connection
    reasons = {
        kinds.HTTPError: f"the server answers {status}",
        kinds.ChunkedEncodingError: "the connection broke off",
        kinds.Timeout: "the server does not answer in time",
        kinds.ConnectionError: f"the server {'does not answer in time' if late else 'cannot be reached'}",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), type(error).__name__)


class _Receiver:
    """Ask for a file, or for its rest, and append what comes to the part file."""

    def __init__(self, url: str, part: Path, *, checked: bool, most: int, on_bytes: OnBytes) -> None:
        self.url, self._part, self._checked, self._most, self._on_bytes = url, part, checked, most, on_bytes
        self._validator = ""  # of the file that this process has begun to receive

    @property
    def size(self) -> int:
        """Return how many bytes are there."""
        return self._part.stat().st_size if self._part.exists() else 0

    def request(self) -> None:
        """Receive what is missing.

        Raises:
            requests.RequestException: If it does not come, or not all of it.
            InputError: If it is too much.
        """
        pooch = _pooch()
        if not (self._checked or self._validator):
            self._part.unlink(missing_ok=True)
        done = self.size
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
            if self._validator:
                headers["If-Range"] = self._validator
        responses: list[Any] = []
        with self._part.open("ab") as file:
            out = Bounded(file, what=self.url, most=self._most, there=done)

            def receive(response: Any, **_: Any) -> None:
                responses.append(response)
                # Digests are of the packed file: a server may declare .gz to be an encoding of the transfer.
                response.raw.headers.pop("Content-Encoding", None)
                if response.status_code == 206 and _start_of(response) == done:
                    out.begun = done
                    return
                if response.status_code in (200, 206, 416):  # the whole, a part nobody asked for, or nothing is left
                    out.truncate()
                    out.begun = 0
                if response.status_code in (206, 416):
                    response.status_code = 503  # is asked for anew, from the beginning
                tag = response.headers.get("ETag", "")
                self._validator = "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")

            download = pooch.HTTPDownloader(
                progressbar=_Arrival(self._on_bytes, out),
                chunk_size=_PIECE,
                headers=headers,
                hooks={"response": receive},
                timeout=PATIENCE,
            )
            try:
                download(self.url, out, None)
            finally:
                for response in responses:  # pooch leaves them open when something goes wrong
                    response.close()


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise InputError(f"downloads need pooch: pip install pooch ({error})") from error
    return pooch


def _start_of(response: Any) -> int | None:
    """Return where a partial answer says that it begins."""
    match = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


class Bounded:
    """Pass on to a file no more than so many bytes.

    Args:
        file: The file.
        what: Its source, for the message.
        most: Bytes in all.
        there: Bytes that the file has already.
    """

    def __init__(self, file: BinaryIO, *, what: str, most: int, there: int = 0) -> None:
        self._file, self._what, self._most = file, what, most
        self.size = self.begun = there

    def write(self, piece: bytes) -> int:
        """Write, or refuse.

        Raises:
            InputError: If it is too much.
        """
        self.size += len(piece)
        if self.size > self._most:
            self.truncate()
            raise InputError(f"{self._what}: holds more than {self._most} bytes, which is none of these files")
        return self._file.write(piece)

    def truncate(self) -> None:
        """Begin again."""
        self._file.truncate(0)
        self.size = 0

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()


class _Arrival:
    """Hold the interface that pooch wants of a progress bar."""

    total = 0
    """Bytes of this answer, as pooch sets it."""

    def __init__(self, on_bytes: OnBytes, out: Bounded) -> None:
        self._on_bytes, self._out = on_bytes, out

    def update(self, count: int) -> None:
        """Tell how much is there; pooch counts whole pieces, also for the last one, and is not asked."""
        self._on_bytes(self._out.size, self._out.begun + self.total if self.total else 0)

    def reset(self) -> None:
        """Do nothing: the file knows."""

    def close(self) -> None:
        """Do nothing."""
