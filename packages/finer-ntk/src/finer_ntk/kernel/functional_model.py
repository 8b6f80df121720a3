"""A network, or any callable, as a function of parameters and coordinate rows."""

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from finer_core.activations import exact_derivatives
from finer_core.casts import check_module, for_tensors, in_single_precision, refuse_masked, widened
from finer_core.errors import InputError
from finer_core.networks import Network
from finer_core.networks.kept_state import check_numbers
from finer_core.schema import check, shown
from finer_core.shapes import Float, Shaped

Params = Mapping[str, Tensor]
"""Parameters by name, real or complex."""
Call = Callable[[Params, Tensor], Tensor]
"""Maps parameters and coords (n, in_features) to (n,) or (n, out_features); row i sees coordinate row i only."""
Derivative = Literal["published", "exact", "training"]
"""Which derivative FINER's factor (|z| + 1) gets. J is the exact Jacobian, D the one that holds the factor constant:

"published"  D D^T, the published figure;
"exact"      J J^T, the kernel of the function itself;
"training"   J D^T, not symmetric: how outputs move when training takes the published gradient.

Networks without that factor have J = D, and the three agree.
"""


@dataclass(frozen=True, kw_only=True)
class RowFunction:
    """Hold a callable and the parameters it is differentiated at; make one by `as_row_function`."""

    call: Call
    params: dict[str, Tensor]

    def __call__(
        self, params: Params, coords: Shaped[Tensor, "n in_features"], *, exact: bool
    ) -> Float[Tensor, "n out_features"]:
        """Evaluate at (n, in_features); returns (n, out_features), real.

        Args:
            params: Parameters.
            coords: Coordinate rows.
            exact: Give FINER's factor its exact derivative; it is otherwise as the network was built.

        Raises:
            ValueError: If the output is not one real row a coordinate row.
        """
        with exact_derivatives() if exact else nullcontext():
            out = self.call(params, coords)
        if not isinstance(out, Tensor):
            raise ValueError(f"expected one tensor of outputs, got a {type(out).__name__}; give a module of that one")
        out = out.unsqueeze(-1) if out.ndim == 1 else out
        if out.ndim != 2 or out.shape[0] != coords.shape[0] or out.is_complex():
            raise ValueError(
                f"expected real outputs (n, out_features) for coords {tuple(coords.shape)}, "
                f"got {out.dtype} {tuple(out.shape)}"
            )
        return out

    def channels(self, coords: Tensor) -> int:
        """Return the number of outputs, by evaluating the first coordinate row.

        Raises:
            InputError: If the function does not take such coordinates.
        """
        try:
            with torch.no_grad():
                return self(self.params, coords[:1], exact=False).shape[1]
        except (RuntimeError, TypeError) as error:
            if coords.dtype == self.dtype:
                reason = str(error).strip().partition("\n")[0][:150]
                raise InputError(f"the model cannot take points {tuple(coords[:1].shape)}: {reason}") from error
            raise InputError(
                f"the model does not take coordinates of {coords.dtype}, its parameters are {self.dtype}; "
                f"convert them by x.to({self.dtype})"
            ) from error

    @property
    def dtype(self) -> torch.dtype:
        """Return the real type of the parameters, the kernel's too: coordinates may be integers, or booleans."""
        return _real_dtype(self.params.values())

    @property
    def count(self) -> int:
        """Return the number of real parameters; a complex one counts twice."""
        return sum(value.numel() * (2 if value.is_complex() else 1) for value in self.params.values())


def _real_dtype(values: Iterable[Tensor]) -> torch.dtype:
    """Return the real type that all of some tensors fit into."""
    dtype = functools.reduce(torch.promote_types, (value.dtype for value in values))
    return dtype.to_real() if dtype.is_complex else dtype


def as_row_function(model: nn.Module | Call, params: Params | None = None) -> RowFunction:
    """Return a model as a function of its parameters.

    Args:
        model: A module that maps (n, in_features) to (n, out_features), or a callable of parameters and coords.
        params: The parameters to differentiate at. None takes the module's own that require a gradient.

    Raises:
        InputError: If a callable comes without parameters, there are none, or one holds NaN, infinity or integers; or
            for parameters that a module does not have, and one whose rows depend on each other or on chance.
    """
    call: Call
    if isinstance(model, nn.Module):
        module = model
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{type(module).__name__} is compiled by torch.jit, which takes no other parameters; give the module "
                "that it was made of"
            )
        check_numbers(module, what="differentiated")
        _refuse_joined_rows(module)
        module = in_single_precision(module)  # of coordinates in half precision several would be one
        own = {name: value for name, value in module.named_parameters() if value.requires_grad}
        chosen = dict(own if params is None else params)
        if params is not None:
            _check_names(module, chosen)

        real_dtype = _real_dtype(chosen.values()) if chosen else torch.get_default_dtype()
        tied = _names_of_each_parameter(module)

        def call_module(params: Params, coords: Tensor) -> Tensor:
            # PyTorch's own `tie_weights` loses the parameters of a submodule that is used twice.
            if isinstance(module, Network) and not coords.is_floating_point():
                coords = coords.to(real_dtype)
            named = {other: value for name, value in params.items() for other in tied.get(name, [name])}
            return torch.func.functional_call(module, named, (coords,), tie_weights=False)

        call = call_module
    elif params is None or isinstance(model, type) or not callable(model):
        check_module(model, what="model", others="a function of parameters and coordinates, with params=, or ")
    else:
        call, chosen = model, dict(params)
    if not chosen:
        raise InputError(
            "no parameters to differentiate: give `params`, or a module with parameters that need a gradient"
        )
    detached = {name: widened(value.detach()) for name, value in chosen.items()}
    for name, value in detached.items():
        if not (value.is_floating_point() or value.is_complex()):
            raise InputError(f"parameter {name!r} is {value.dtype}, which has no derivatives; leave it out of `params`")
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"parameter {name!r} of shape {tuple(value.shape)} holds NaN or infinity")
    return RowFunction(call=call, params=detached)


def _check_names(module: nn.Module, params: Params) -> None:
    """Raise InputError for parameters that a module does not have, which PyTorch would leave aside, or not so."""
    known = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
    for name, value in params.items():
        if name not in known:
            raise InputError(f"params: the module has no {shown(name)}; it has {', '.join(map(repr, known)):.150}")
        if value.shape != known[name].shape:
            found, expected = tuple(value.shape), tuple(known[name].shape)
            raise InputError(f"params: {name!r} has shape {found}, the module's {expected}")


def _refuse_joined_rows(module: nn.Module) -> None:
    """Refuse layers that join the rows of a batch, or draw numbers: a kernel would be one of its blocks, or of chance.

    Layers are told by their types: outputs of a row alone and among others differ by rounding too, which networks of
    high frequencies make large.
    """
    for name, part in module.named_modules():
        what = f"{name!r} is a {type(part).__name__}"
        drawn = isinstance(part, _DropoutNd) and part.p > 0
        if part.training and (drawn or isinstance(part, _BatchNorm | nn.RReLU)):
            raise InputError(
                f"{what} in training mode, where outputs depend on other points or on chance; call model.eval() first"
            )
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise InputError(
                f"{what} without running statistics, whose outputs depend on the other points of a batch; give it some"
            )


def as_coords(x: Tensor | np.ndarray, function: RowFunction) -> Tensor:
    """Return points (n, in_features) as a function takes them.

    They go to the parameters' device. Floating-point ones become of the parameters' type, unless one of the parameters
    is of theirs already; integers and booleans stay, because a model may look them up.

    Raises:
        InputError: If a coordinate is not a finite real number, or masked.
        ValueError: If they are no table of points.
    """
    refuse_masked(x, what="points")
    params = list(function.params.values())
    try:
        given = for_tensors(x) if isinstance(x, np.ndarray) else x
        coords = torch.as_tensor(given, device=params[0].device).detach()
    except (TypeError, ValueError, RuntimeError) as error:  # what is no table, or has no numbers (device meta)
        hint = "; give its .coords" if hasattr(x, "coords") else ""
        raise InputError(f"points: a {type(x).__name__} cannot be read as a table ({error}){hint}") from error
    if coords.is_complex():
        raise InputError(f"points must be real numbers, got dtype {coords.dtype}")
    coords = coords.clone() if coords.is_inference() else coords  # nothing could be recorded of it
    if coords.ndim != 2 or not len(coords):
        raise ValueError(f"expected points (n, in_features), got {tuple(coords.shape)}")
    of_params = {value.dtype.to_real() if value.is_complex() else value.dtype for value in params}
    if coords.is_floating_point() and coords.dtype not in of_params:
        coords = coords.to(function.dtype)
    if not bool(torch.isfinite(coords).all()):
        row, column = torch.nonzero(~torch.isfinite(coords))[0].tolist()
        raise InputError(f"points: row {row}, column {column} is {coords[row, column].item()}; remove such points")
    return coords


def _names_of_each_parameter(module: nn.Module) -> dict[str, list[str]]:
    """Return every name of each parameter under its first one; a submodule that appears twice counts once."""
    names: dict[int, list[str]] = {}
    for prefix, part in module.named_modules():
        for name, value in part.named_parameters(prefix=prefix, recurse=False, remove_duplicate=False):
            names.setdefault(id(value), []).append(name)
    return {group[0]: group for group in names.values()}


def left_is_exact(derivative: Derivative) -> bool:
    """Return whether the derivative's left factor is the exact Jacobian."""
    return derivative in ("exact", "training")


def right_is_exact(derivative: Derivative) -> bool:
    """Return whether the derivative's right factor is the exact Jacobian."""
    return derivative == "exact"


def as_derivative(name: str) -> Derivative:
    """Return a derivative by name; raise InputError for an unknown one."""
    check(name, Derivative, name="derivative")
    return cast(Derivative, name)
