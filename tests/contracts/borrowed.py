"""What packages need, borrowed from this environment: it was installed from a registry under our constraints."""

import functools
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed_by(requirements: Iterable[Requirement], *, ours: Iterable[str]) -> dict[str, Distribution]:
    """Return the distributions of this environment that are required, and what those require in turn, by name.

    Args:
        requirements: What is needed.
        ours: Names that are passed over, for these are built.

    Raises:
        PackageNotFoundError: If something that is required is not installed here.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in ours or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        found[name] = distribution(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in found[name].requires or ()]
    return found


owners_of_packages = functools.cache(packages_distributions)
"""Which distributions put files into which package; to find out, all their lists of files are read."""


def lend(distributions: Iterable[Distribution], folder: Path) -> None:
    """Link the files of distributions into a folder of packages.

    A package that nobody else puts files into is one link, with what Python has compiled of it: PyTorch has 20,000.
    """
    owners = owners_of_packages()
    for lent in distributions:
        # Commands lie elsewhere, and are not needed.
        files = [file for file in lent.files or () if not {"..", "__pycache__"} & {*file.parts}]
        for name in {file.parts[0] if len({*owners.get(file.parts[0], ())}) == 1 else str(file) for file in files}:
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(str(lent.locate_file(name))))
