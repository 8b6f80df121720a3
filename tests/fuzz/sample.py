"""What a format's files are, and how they are read."""

import contextlib
import io
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finer_core.errors import InputError

from .mutations import damaged


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold good files, and their reader.

    Attributes:
        files: Contents by path below the folder that they lie in.
        read: Reads them in that folder; raises InputError for what it refuses.
        hit: The files to be damaged; all by default.
        seal: Makes a file of its damaged content, where a checksum would otherwise refuse all of it alike.
        writes: Whether reading may write below the folder, as going on with a run does.
        command: A command line that reads them, for an output folder `out` beside them; empty for none.
        costly: Whether reading takes long, so that fewer are tried.
    """

    files: Mapping[str, bytes]
    read: Callable[[Path], object]
    hit: Sequence[str] = ()
    seal: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    writes: bool = False
    command: Sequence[str] = ()
    costly: bool = False

    def write(self, folder: Path, generator: random.Random | None = None) -> None:
        """Write the files, one of them damaged where a generator is given."""
        victim = generator.choice(self.hit or sorted(self.files)) if generator else None
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = damaged(content, generator) if generator and name == victim else content
            path.write_bytes(self.seal[name](content) if name in self.seal else content)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def ran(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> None:
    """Run a command in this process, and raise InputError where it ends with 2."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(list(arguments))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    if code == 2:
        lines = said.getvalue().splitlines()
        if len(lines) != 1 or len(lines[0]) > 300:
            raise RuntimeError(f"refused in {len(lines)} lines: {lines[:3]}")
        raise InputError(lines[0])
    if code:
        raise RuntimeError(f"exit code {code}: {said.getvalue()[-300:]}")
