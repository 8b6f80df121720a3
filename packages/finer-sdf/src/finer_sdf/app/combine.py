"""What `finer-sdf combine` does."""

import argparse
from collections.abc import Callable

from finer_core.app.mesh_options import mesh_path
from finer_core.errors import InputError
from finer_core.resources import parse_memory, resolve_device
from finer_sdf import operations
from finer_sdf.app.mesh_file import write_surface
from finer_sdf.meshing.extract import check_resolution
from finer_sdf.model import SdfModel

_OF_ONE: dict[str, Callable[..., operations.CombinedField]] = {"offset": operations.offset, "shell": operations.shell}
_OF_SEVERAL: dict[str, Callable[..., operations.CombinedField]] = {
    "union": operations.union,
    "intersection": operations.intersection,
    "difference": operations.difference,
}


def combine_models(arguments: argparse.Namespace) -> str:
    """Combine models and write the mesh of the result; return the line to print."""
    out = mesh_path(arguments, package="finer-sdf")
    check_resolution(arguments.resolution, memory=parse_memory(arguments.memory))
    _check(arguments)
    models = [SdfModel.load(name, device=resolve_device(arguments.device)) for name in arguments.models]
    try:
        if arguments.operation in _OF_ONE:
            result = _OF_ONE[arguments.operation](models[0], arguments.by)
        else:
            result = _OF_SEVERAL[arguments.operation](*models)
        result.check_resolution(arguments.resolution)
    except InputError as error:
        if arguments.by is None:
            raise
        raise InputError(f"--by: {error}") from error
    return write_surface(result, out, arguments)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what the operation cannot use, before a model is read."""
    operation, count = arguments.operation, len(arguments.models)
    if operation in _OF_ONE:
        if count != 1:
            raise InputError(f"{operation} takes one model, got {count}")
        if arguments.by is None:
            what = "distance" if operation == "offset" else "thickness"
            raise InputError(f"{operation} needs --by, its {what} in the input's units")
    elif count < 2:
        raise InputError(f"{operation} takes at least two models, got {count}")
    elif arguments.by is not None:
        raise InputError(f"--by is for offset and shell; {operation} has no use for it")
