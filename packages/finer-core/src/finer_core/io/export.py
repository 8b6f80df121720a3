"""Write a network in a format that other programs run: ONNX, or PyTorch's own exported program."""

import importlib.util
import io
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from finer_core.casts import check_module, without_autocast
from finer_core.errors import InputError
from finer_core.io.files import check_output_path, given_path, output_path
from finer_core.networks.kept_state import check_numbers
from finer_core.networks.real_pairs import without_complex_numbers
from finer_core.surroundings import no_warnings

SUFFIXES = (".onnx", ".pt2")
_FREE_AXIS = "points"
_FARTHEST = 1e-6 / (float(torch.finfo(torch.float32).eps) / 2)
"""Box units from the origin beyond which rounding to single precision moves a point by more than 1e-6 of the box."""
_ARITHMETIC = {f"{before}{name}" for before in ("", "r", "i") for name in ("add", "sub", "mul", "div", "truediv")}
"""Names of the functions of two numbers, with those of Python's operators."""
_SMALLEST, _LARGEST = 1e-30, 1e30
"""Sizes of a box that single precision holds with its thousandths and its areas."""


def export(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    example: Tensor | Sequence[Tensor] | None = None,
    input_names: Sequence[str] = ("coords",),
    output_names: Sequence[str] = ("values",),
) -> None:
    """Write what a model computes to a file that needs neither this package nor, as ONNX, PyTorch.

    The number of points is free. Networks that are complex inside are written in real numbers, which ONNX needs. A
    model that is so far from the origin that single precision would lose its shape takes coordinates in double
    precision, float64, and moves them to its box before it rounds them; see `takes_double`.

    Args:
        model: A network, or any module, on the CPU; it is written as it is in evaluation mode.
        path: The file: .onnx, or .pt2 for `torch.export.load`; replaced if it is there.
        example: What the model is called with: (n, d), or several such tensors, n at least 2; None for coordinates of
            `model.in_features`.
        input_names: Names of the inputs in an ONNX file.
        output_names: Names of the outputs in an ONNX file.

    Raises:
        InputError: For another suffix, a model that cannot be written so, or ONNX without the packages that write it
            (`pip install "finer-core[onnx]"`).

    Example:
        >>> import tempfile
        >>> import torch
        >>> from finer_core import build_network, export
        >>> network = build_network("wire", in_features=2, out_features=1, hidden_features=32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(network, f"{folder}/network.pt2")
        ...     program = torch.export.load(f"{folder}/network.pt2")
        >>> program.module()(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """
    check_export_path(path)
    is_onnx = Path(path).suffix.lower() == ".onnx"
    check_module(model, what="model")
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    check_numbers(model, what="exported")
    inputs = _inputs(model, example)
    try:
        real = without_complex_numbers(model).eval()
        rows = torch.export.Dim(_FREE_AXIS)
        with torch.no_grad(), without_autocast(), _silent():
            with _ExactNumbers() if is_onnx else nullcontext():
                program = torch.export.export(real, inputs, dynamic_shapes=[{0: rows} for _ in inputs])
            content = _onnx(program, input_names, output_names) if is_onnx else _exported(program)
    except Exception as error:  # PyTorch raises errors of many kinds, none of which it names in its documentation
        while error.__cause__ is not None:  # the innermost says what it was
            error = error.__cause__  # type: ignore[assignment]
        reason = f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0][:150]
        raise InputError(f"{path}: {type(model).__name__} cannot be written in this format: {reason}") from error
    with output_path(path) as unfinished:
        unfinished.write_bytes(content)


def takes_double(model: nn.Module) -> bool:
    """Return whether a model, when it is exported, takes coordinates in double precision.

    So it does where rounding to single precision would move points by more than 1e-6 of its box, which is 1 wide. Where
    that is, a model says by its `normalization` or its `frame`: `scale` and `offset` of the way from its coordinates to
    the box. Any other model computes in the coordinates that it is given.
    """
    places: list[Any] = [getattr(model, name, None) for name in ("normalization", "frame")]
    place = next((each for each in places if hasattr(each, "to_box")), None)  # and no layer of that name
    if place is None:
        return False
    farthest = max(abs(value) for value in place.offset) + 0.5
    return not (farthest <= _FARTHEST and _SMALLEST < 1 / place.scale < _LARGEST)


def check_export_path(path: str | os.PathLike[str]) -> None:
    """Raise InputError for a file that `export` cannot write, whatever the model."""
    name, suffix = str(given_path(path)), given_path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{name}: the name must end in {' or '.join(SUFFIXES)}, which says the format")
    missing = [each for each in ("onnx", "onnxscript") if suffix == ".onnx" and importlib.util.find_spec(each) is None]
    if missing:
        raise InputError(f'{name}: writing ONNX needs {" and ".join(missing)}: pip install "finer-core[onnx]"')
    check_output_path(path)


class _ExactNumbers(TorchFunctionMode):
    """Make tensors of the numbers that scale and shift float64 tensors: as numbers, ONNX would have them in float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch."""
        is_double = any(isinstance(each, Tensor) and each.dtype == torch.float64 for each in args)
        if is_double and getattr(func, "__name__", "").strip("_") in _ARITHMETIC:
            args = [torch.tensor(each, dtype=torch.float64) if isinstance(each, float) else each for each in args]
        return func(*args, **(kwargs or {}))


def _exported(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(program: torch.export.ExportedProgram, input_names: Sequence[str], output_names: Sequence[str]) -> bytes:
    axes = [{0: _FREE_AXIS} for _ in program.example_inputs[0]]  # the program has another name for it
    written: Any = torch.onnx.export(
        program, verbose=False, dynamo=True, input_names=input_names, output_names=output_names, dynamic_shapes=axes
    )
    content: bytes = written.model_proto.SerializeToString()
    return content


def _inputs(model: nn.Module, example: Tensor | Sequence[Tensor] | None) -> tuple[Tensor, ...]:
    if example is None:
        features = getattr(model, "in_features", None)
        if not isinstance(features, int):
            raise InputError(
                f"{type(model).__name__} does not say its in_features; give example=, what it is called with"
            )
        like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0, device="cpu"))
        dtype = torch.float64 if takes_double(model) else like.dtype
        example = torch.linspace(-0.5, 0.5, 2 * features, dtype=dtype, device=like.device).view(2, features)
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    for each in inputs:
        if not isinstance(each, Tensor):
            raise InputError(
                f"example must be a tensor, or several, got a {type(example).__name__} of {type(each).__name__}"
            )
    return inputs


@contextmanager
def _silent() -> Iterator[None]:
    """Keep PyTorch from warning of itself, and of packages that no network of ours needs."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with no_warnings():
            yield
    finally:
        logger.setLevel(before)
