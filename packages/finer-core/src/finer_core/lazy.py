"""Names of a package that are loaded when they are first used, so that importing it is cheap."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, home: Mapping[str, str], public: Iterable[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make `__getattr__` and `__dir__` of a package.

    Args:
        package: Its `__name__`.
        home: The module of each name: one of the package's, or a whole name that begins with "finer_core.".
        public: What `dir` lists.
    """

    def load(name: str) -> Any:
        """Load a public name, or a submodule, when it is first asked for."""
        if name in home:
            module = home[name] if home[name].startswith("finer_core.") else f"{package}.{home[name]}"
            return getattr(import_module(module), name)
        if not name.startswith("_"):
            try:
                return import_module(f"{package}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{package}.{name}":
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load, lambda: sorted(public)
