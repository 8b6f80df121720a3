"""Read the material libraries of Wavefront OBJ: the color of each material, or the picture that it names."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import number, text_lines
from finer_sdf.geometry.formats.pictures import neighbor, read_texture, reason_for
from finer_sdf.geometry.raw import Room
from finer_sdf.geometry.textures import NO_TEXTURE, Texture, Wrap

_NUMBERS = {"-o": 0.0, "-s": 1.0, "-t": 0.0}
"""Options of up to three numbers that move a texture, with what leaves it in its place."""
_TWO_WORDS = ("-mm",)
"""Options of two words; all others have one."""


@dataclass(kw_only=True)
class Materials:
    """Hold what the libraries of a file say.

    Attributes:
        textures: A picture for each material; of one pixel where it has just a color (`Kd`).
        numbers: The number of each material's texture.
        pictures: Those numbers whose texture is a picture.
        notes: What was left out.
    """

    textures: list[Texture] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    pictures: set[int] = field(default_factory=set)
    notes: dict[str, None] = field(default_factory=dict)
    _libraries: set[str] = field(default_factory=set)
    _files: dict[Path, Texture] = field(default_factory=dict)

    def read(self, folder: Path, names: str, room: Room) -> None:
        """Read the libraries that a `mtllib` line names; one that is not there is only noted."""
        names = names.replace("\\", "/")
        for name in [names] if _is_file(folder / names) else names.split("#")[0].split():
            if name in self._libraries:
                continue
            self._libraries.add(name)
            try:
                self._read(neighbor(folder, name), room)
            except (InputError, OSError) as error:
                self.notes[f"left out its materials: {reason_for(error)}"] = None

    def number(self, name: str) -> int:
        """Return the number of a material's texture; `NO_TEXTURE` for one that no library has."""
        if self.numbers and name not in self.numbers:
            self.notes[f"left out its material {name[:40]!r}, which no library has"] = None
        return self.numbers.get(name, NO_TEXTURE)

    def differ(self, used: set[int]) -> bool:
        """Return whether the textures of these numbers show more than one color."""
        white = (255, 255, 255)
        colors = {white if each == NO_TEXTURE else tuple(self.textures[each].pixels[0, 0].tolist()) for each in used}
        return bool(used & self.pictures) or len(colors) > 1

    def _read(self, path: Path, room: Room) -> None:
        name, color, picture = "", np.ones(3), ""
        for where, line in text_lines(path):
            words = line.split("#", 1)[0].split()
            if words[:1] == ["newmtl"]:
                self._add(name, color, picture, path.parent, room)
                name, color, picture = name_in(line), np.ones(3), ""
            elif words[:1] == ["Kd"] and len(words) >= 4 and words[1] not in ("spectral", "xyz"):
                color = np.array([number(word, where=f"{path.name}, {where}") for word in words[1:4]])
            elif words and words[0].lower() == "map_kd":
                picture = line.split(maxsplit=1)[1].strip() if len(words) > 1 else ""
        self._add(name, color, picture, path.parent, room)

    def _add(self, name: str, color: np.ndarray, picture: str, folder: Path, room: Room) -> None:
        if not name:
            return
        shares = np.clip(np.nan_to_num(color), 0, 1)
        texture = Texture(pixels=np.rint(255 * shares).astype(np.uint8).reshape(1, 1, 3))
        if picture:
            try:
                options, file = _options(picture)
                wrap: Wrap = "clamp" if options.get("-clamp") == ["on"] else "repeat"
                path = neighbor(folder, file)
                if path not in self._files:
                    self._files[path] = read_texture(path, room)
                texture = replace(self._files[path], wrap=(wrap, wrap))
                self.pictures.add(len(self.textures))
            except (InputError, OSError) as error:
                self.notes[f"left out a texture: {reason_for(error)}"] = None
        self.numbers[name] = len(self.textures)
        self.textures.append(texture)


def name_in(line: str) -> str:
    """Return the name after the first word of a line, which may have blanks and # in it."""
    return " ".join(line.split()[1:])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # of a name that is too long
        return False


def _options(line: str) -> tuple[dict[str, list[str]], str]:
    """Return the options and the file name, which may have blanks, of what follows `map_Kd`."""
    found = dict[str, list[str]]()
    while line.startswith("-") and " " in line:
        option, line = line.split(maxsplit=1)
        found[option] = []
        most = 3 if option in _NUMBERS else 2 if option in _TWO_WORDS else 1
        while len(found[option]) < most and " " in line.strip():
            word, rest = line.split(maxsplit=1)
            if option in _NUMBERS and not _is_number(word):
                break
            found[option].append(word)
            line = rest
        if option in _NUMBERS and any(float(word) != _NUMBERS[option] for word in found[option]):
            raise InputError(f"its option {option} {' '.join(found[option])} is not read; export it without")
    return found, line.strip()


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
