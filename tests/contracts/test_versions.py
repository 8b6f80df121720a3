"""Every package says one version of itself, and admits the finer-core beside it."""

import importlib
import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from .workspace import APPLICATIONS, CORE, PACKAGES


@pytest.mark.parametrize("package", APPLICATIONS, ids=str)
def test_range_admits_the_core_beside_it(package):
    requirements = {r.name: r.specifier for r in map(Requirement, package.project["dependencies"])}
    assert requirements[CORE.name].contains(CORE.version)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_module_has_the_version(package):
    module = importlib.import_module(package.module)
    assert module.__version__ == package.version == str(Version(package.version))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_changelog_starts_with_the_version(package):
    entries = re.findall(r"^## \[(.+?)\]", (package.folder / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert entries[0] == package.version


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_readme_is_about_the_package(package):
    assert (package.folder / "README.md").read_text("utf-8").startswith(f"# {package.name}\n")
