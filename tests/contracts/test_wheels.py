"""Each distribution is built as users get it, and installed alone, with nothing there but what it says it needs."""

import configparser
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

import pip
import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from .borrowed import lend, needed_by
from .workspace import APPLICATIONS, CORE, PACKAGES, ROOT, Package

FOREIGN = {
    "finer-image": {"jax", "jaxlib", "trimesh", "viser", "open3d"},
    "finer-ntk": {"jax", "jaxlib", "neural-tangents", "tensorflow", "trimesh", "viser"},
}
"""What a package must not bring unasked."""
OPTIONAL = ("finer_core.activations._kernels.triton_sine", "finer_core.training.optimizers.gram_schmidt")
"""Modules that are loaded only where Triton is, which comes with PyTorch for NVIDIA GPUs."""
OUR_ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_CONSTRAINT")

# Imports every module, so that a dependency which nobody declared is missed here and not by a user.
IMPORT_ALL = """
import importlib, importlib.metadata, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__") and module.name not in sys.argv[2:]:
        importlib.import_module(module.name)
print(json.dumps({
    "file": package.__file__,
    "version": package.__version__,
    "installed": {d.name.lower(): d.version for d in importlib.metadata.distributions()},
}))
"""


BUILD = """
import os, sys
from hatchling import build
out, kinds, *sources = sys.argv[1:]
for source in sources:
    os.chdir(source)
    for kind in kinds.split(","):
        getattr(build, f"build_{kind}")(out)
"""


def run(command: Sequence[str | Path], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run with nothing of this environment in sight."""
    env = {name: value for name, value in os.environ.items() if name not in OUR_ENVIRONMENT}
    return subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)


def output_of(command: Sequence[str | Path], *, cwd: Path) -> str:
    result = run(command, cwd=cwd)
    assert result.returncode == 0, f"{command}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    return result.stdout


@dataclass(frozen=True)
class Venv:
    """A virtual environment without pip: the pip of this environment runs in it, as by its option --python."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Venv":
        output_of([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder.parent)
        return cls(folder)

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def site_packages(self) -> Path:
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return Path(output_of([self.bin / "python", "-c", code], cwd=self.folder).strip())

    def pip(self, *arguments: str | Path) -> list[str | Path]:
        return [self.bin / "python", Path(pip.__file__).with_name("__pip-runner__.py"), *arguments]

    def install(self, *wheels: Path) -> list[str | Path]:
        """Return the command that installs wheels and nothing else."""
        return self.pip("install", "--no-compile", "--no-index", "--no-deps", *wheels)


def build(out: Path, kinds: Sequence[str], sources: Sequence[Path]) -> None:
    """Build as pip does, with the build backend of this environment, so without a network; all in one process."""
    output_of([sys.executable, "-c", BUILD, out, ",".join(kinds), *sources], cwd=out)


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def dist_info(wheel: Path, name: str) -> bytes | None:
    return next((data for path, data in contents(wheel).items() if path.endswith(f".dist-info/{name}")), None)


def scripts_of(wheel: Path) -> list[str]:
    parser = configparser.ConfigParser()
    parser.read_string((dist_info(wheel, "entry_points.txt") or b"").decode())
    return list(parser["console_scripts"]) if parser.has_section("console_scripts") else []


@pytest.fixture(scope="session")
def dist(tmp_path_factory) -> Path:
    """Build the wheel and the source distribution of every package."""
    out = tmp_path_factory.mktemp("dist")
    build(out, ["sdist", "wheel"], [package.folder for package in PACKAGES])
    return out


@pytest.fixture(scope="session")
def built_again(dist, tmp_path_factory) -> Path:
    """Build the wheel of every source distribution."""
    out, sources = tmp_path_factory.mktemp("again"), tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        with tarfile.open(only(dist, f"{package.module}-*.tar.gz")) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(sources, filter="data")
            else:
                archive.extractall(sources)
    build(out, ["wheel"], [only(sources, f"{package.module}-*") for package in PACKAGES])
    return out


def wheel_of(package: Package, dist: Path) -> Path:
    return only(dist, f"{package.module}-*.whl")


def needs_of(package: Package, dist: Path) -> dict[str, Distribution]:
    """Return what a wheel says that it needs, and what that needs, without our own packages; see `borrowed`."""
    metadata = Metadata.from_email(dist_info(wheel_of(package, dist), "METADATA") or b"")
    return needed_by(metadata.requires_dist or (), ours=[member.name for member in PACKAGES])


@pytest.fixture(scope="session")
def third_party(dist, tmp_path_factory) -> Path:
    """Return a folder of what finer-core needs, PyTorch above all, and of nothing else."""
    folder = tmp_path_factory.mktemp("third_party")
    lend(needs_of(CORE, dist).values(), folder)
    return folder


@pytest.fixture(scope="session", params=PACKAGES, ids=str)
def alone(request, dist, third_party, tmp_path_factory) -> tuple[Package, Venv]:
    """Install one package, and finer-core, into an environment that otherwise holds what they need."""
    package = request.param
    venv = Venv.create(tmp_path_factory.mktemp(package.name) / "venv")
    (venv.site_packages / "third_party.pth").write_text(f"{third_party}\n", encoding="utf-8")
    needs, needs_of_core = needs_of(package, dist), needs_of(CORE, dist)
    lend([needs[name] for name in needs.keys() - needs_of_core.keys()], venv.site_packages)
    wheels = [wheel_of(member, dist) for member in dict.fromkeys((CORE, package))]
    output_of(venv.install(*wheels), cwd=venv.folder)
    return package, venv


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_sdist_builds_the_same_wheel(package, dist, built_again):
    assert contents(wheel_of(package, built_again)) == contents(wheel_of(package, dist))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_wheel_carries_license_and_type_marker(package, dist):
    wheel = wheel_of(package, dist)
    assert f"{package.module}/py.typed" in contents(wheel)
    assert dist_info(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_wheel_carries_every_file(package, dist):
    source = package.folder / "src"
    files = {path.relative_to(source).as_posix() for path in (source / package.module).rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= set(contents(wheel_of(package, dist)))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_wheel_says_what_the_project_says(package, dist):
    metadata = Metadata.from_email(dist_info(wheel_of(package, dist), "METADATA") or b"")
    runtime = {r for r in metadata.requires_dist or () if not r.marker}
    assert (metadata.name, str(metadata.version)) == (package.name, package.version)
    assert (metadata.license_expression, str(metadata.requires_python)) == ("Apache-2.0", ">=3.10")
    assert runtime == set(map(Requirement, package.project["dependencies"]))
    assert scripts_of(wheel_of(package, dist)) == list(package.scripts)


@pytest.mark.slow
def test_installed_alone(alone):
    package, venv = alone
    facts = json.loads(output_of([venv.bin / "python", "-c", IMPORT_ALL, package.module, *OPTIONAL], cwd=venv.folder))
    assert venv.folder in Path(facts["file"]).parents
    assert facts["version"] == facts["installed"][package.name] == package.version
    siblings = {application.name for application in APPLICATIONS} - {package.name}
    assert not siblings & facts["installed"].keys()
    assert not FOREIGN.get(package.name, set()) & facts["installed"].keys()
    output_of(venv.pip("check"), cwd=venv.folder)


@pytest.mark.slow
def test_commands_when_installed_alone(alone):
    package, venv = alone
    for script in package.scripts:
        assert script in output_of([venv.bin / script, "--help"], cwd=venv.folder)
        version = output_of([venv.bin / script, "--version"], cwd=venv.folder)
        assert package.version in version and CORE.version in version
