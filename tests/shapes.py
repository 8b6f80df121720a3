"""A plugin of pytest that checks the shapes in the packages' annotations at every call: `./dev run shapes`.

It is loaded before anything of ours (`-p tests.shapes`). What torch.compile traces, `_kernels`, stays as it is.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any, get_args

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

PACKAGES = ("finer_core", "finer_image", "finer_nerf", "finer_ntk", "finer_sdf")
UNCHECKED = ("_kernels",)


def states_a_shape(hint: Any) -> bool:
    """Return whether an annotation, or a part of it, is an array with a shape."""
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(states_a_shape, get_args(hint)))


def of_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check those arguments that state a shape; the other types are mypy's."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if states_a_shape(hint)}
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)


def checked(function: Any) -> Any:
    """Return a function that raises TypeCheckError where a shape is not as its annotations say.

    An argument that the function refuses by itself is refused in its own words.
    """
    hints = getattr(function, "__annotations__", {}).values()
    if not any(map(states_a_shape, hints)) or hasattr(function, "shapes_are_checked"):
        return function
    strict = jaxtyped(typechecker=of_shapes)(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return strict(*args, **kwargs)
        except TypeCheckError:
            function(*args, **kwargs)
            raise

    call.shapes_are_checked = True  # as an imported function is, by the module that it is from
    return call


def check_members(owner: Any, members: dict[str, Any], module: str) -> None:
    """Put checked functions in the places of a module's or a class's own."""
    for name, member in members.items():
        changed: Any = None
        if isinstance(member, FunctionType):
            changed = checked(member)
        elif isinstance(member, staticmethod | classmethod) and isinstance(member.__func__, FunctionType):
            changed = type(member)(checked(member.__func__))
        elif isinstance(member, property) and isinstance(member.fget, FunctionType):
            changed = property(checked(member.fget), member.fset, member.fdel, member.__doc__)
        elif inspect.isclass(member) and member.__module__ == module and not name.startswith("__"):
            check_members(member, dict(vars(member)), module)
        if changed is not None:
            setattr(owner, name, changed)


class CheckedLoader(SourceFileLoader):
    """Load a module, and check the calls of what it defines."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        check_members(module, dict(vars(module)), module.__name__)


class Finder(MetaPathFinder):
    """Find the modules of the packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = fullname.split(".")
        if parts[0] not in PACKAGES or not set(parts).isdisjoint(UNCHECKED):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = CheckedLoader(spec.loader.name, spec.loader.path)
        return spec


early = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
assert not early, f"loaded before their shapes can be checked: {early}"
sys.meta_path.insert(0, Finder())
