"""The results folder: records of many runs and machines, merged by copying, none of which overwrites another."""

import os
from collections.abc import Iterable
from pathlib import Path

from finer_core.errors import InputError
from finer_core.io.files import json_text, reason_of, small_file, unwritable, write_text
from finer_core.io.partial_files import TEMPORARY_PREFIX, temporary_file
from finer_core.reproduction.record import Record

RECORDS = "records"
"""Folder of the records inside a results folder."""
_MOST_PICTURE_BYTES = 1 << 26
_ADVICE = "choose another --out"


class ResultsFolder:
    """Keep records in a folder, or in memory alone.

    A record's file is named by what determines its result and by the machine. Folders of several machines are merged by
    copying one over the other, or into it: every folder `records` below is read. A cell that several machines ran
    counts once, by the first file name.

    Args:
        path: The folder, which is made when something is written; None to keep records in memory.

    Example:
        >>> from finer_core.reproduction import ResultsFolder
        >>> folder = ResultsFolder(None)
        >>> len(folder), folder.get("no such digest") is None
        (0, True)
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self.notes: list[str] = []
        self._records: dict[str, Record] = {}
        self._pictures: dict[str, bytes] = {}
        self.read()

    def read(self) -> None:
        """Read the folder anew; files that are no records are told of in `notes` and count as not there."""
        if self.path is None:
            return
        self.notes, self._records, self._pictures = [], {}, {}
        if not os.path.isdir(self.path):
            if os.path.exists(self.path):
                raise InputError(f"{self.path}: exists and is not a folder; choose another --out")
            return
        for path in sorted(self.path.rglob(f"{RECORDS}/*.json"), key=lambda path: (path.name, str(path))):
            if path.name.startswith(TEMPORARY_PREFIX):
                continue
            try:
                record = Record.of_file(path)
            except InputError as error:
                self.notes.append(str(error))
                continue
            if record.digest not in self._records:
                self._records[record.digest] = record
                self._read_picture(record.digest, path.with_suffix(".png"))

    def _read_picture(self, digest: str, path: Path) -> None:
        """Take the picture of a record, if it has one."""
        try:
            self._pictures[digest] = small_file(path, most=_MOST_PICTURE_BYTES)
        except FileNotFoundError:
            return
        except (InputError, OSError) as error:
            self.notes.append(f"{path}: left out ({reason_of(error)})")

    def get(self, digest: str) -> Record | None:
        """Return the record of a cell, if there is one."""
        return self._records.get(digest)

    def picture(self, digest: str) -> bytes | None:
        """Return the picture of a cell, if there is one."""
        return self._pictures.get(digest)

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record, picture: bytes | None = None) -> None:
        """Take a record of this process; one that is there already stays as it is.

        Raises:
            InputError: If the folder cannot be written.
            OSError: If there is no more room in it.
        """
        self._records.setdefault(record.digest, record)
        if picture is not None:
            self._pictures.setdefault(record.digest, picture)
        if self.path is None:
            return
        folder = self.path / RECORDS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if picture is not None:
                _write_new(folder / f"{record.stem}.png", picture, replace=False)
            text = json_text(record.to_dict()) + "\n"
            final = folder / f"{record.stem}.json"
            _write_new(final, text.encode("utf-8", "backslashreplace"), replace=final.exists() and _damaged(final))
        except OSError as error:
            raise unwritable(folder, error, advice=_ADVICE) from error

    def write_table(self, name: str, text: str) -> None:
        """Write a table of this folder's records beside them.

        Raises:
            InputError: If it cannot be written.
            OSError: If there is no more room.
        """
        assert self.path is not None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.path / name, text)
        except OSError as error:
            raise unwritable(self.path, error, advice=_ADVICE) from error

    def all(self) -> Iterable[Record]:
        """Return every record, a cell once."""
        return self._records.values()


def _write_new(final: Path, content: bytes, *, replace: bool) -> None:
    """Write a file whole; if one of the name is there, which another process may just have made, it stays."""
    temporary = temporary_file(final)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, final)
            return
        try:
            os.link(temporary, final)  # unlike a rename it never replaces
        except FileExistsError:
            return
        except OSError:  # a file system without links
            if not final.exists():
                os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(path: Path) -> bool:
    try:
        Record.of_file(path)
    except InputError:
        return True
    return False
