"""The workspace as its contracts see it: the packages, and what each says of itself."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Package:
    """A distribution of the workspace, read from its source tree."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        return self.folder / "src" / self.module

    @property
    def project(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]

    @property
    def scripts(self) -> tuple[str, ...]:
        return tuple(self.project.get("scripts", ()))

    @property
    def version(self) -> str:
        text = (self.source / "_version.py").read_text("utf-8")
        match = re.fullmatch(r'__version__ = "([^"]+)"\n', text)
        assert match, f"{self.source}/_version.py must be one assignment, got {text!r}"
        return match[1]

    def __str__(self) -> str:
        return self.name


PACKAGES = tuple(Package(path.parent) for path in sorted(ROOT.glob("packages/*/pyproject.toml")))
APPLICATIONS = tuple(package for package in PACKAGES if package.name != "finer-core")
CORE = next(package for package in PACKAGES if package.name == "finer-core")
SCRIPTS = tuple(script for package in PACKAGES for script in package.scripts)
