"""Safetensors files with a header, a checksum and complex tensors: the form of models and checkpoints.

Complex tensors are stored as real ones with a last axis of two, named in the header: the format has no
complex128, and older readers have no complex64. Reading runs no code from the file.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from finer_core.errors import InputError
from finer_core.io.files import atomic_path, without_repetition

_ENTRY = "finer"
"""The safetensors metadata entry that holds the header, as JSON."""


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and a header atomically, with a SHA-256 over both.

    Args:
        path: The file; its folder exists.
        tensors: By name.
        header: Says under "format" what the file is; "complex" and "sha256" are added to it.

    Raises:
        InputError: If a tensor is sparse or quantized, which the format has not.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            kind = "quantized" if tensor.is_quantized else "sparse"
            raise InputError(f"{os.fspath(path)}: tensor {name!r} is {kind}, which files cannot hold; make it dense")
    # Clones, because the format refuses tensors that share memory.
    stored = {name: torch.view_as_real(t) if t.is_complex() else t for name, t in tensors.items()}
    stored = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in stored.items()}
    complex_names = sorted(name for name, t in tensors.items() if t.is_complex())
    full = {**header, "complex": json.dumps(complex_names)}
    # One entry, because safetensors writes several in random order and equal runs must give equal files.
    text = json.dumps({**full, "sha256": _digest(full, stored)}, sort_keys=True)
    with atomic_path(path) as temporary:
        write_safetensors(stored, temporary, metadata={_ENTRY: text})


def write_safetensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file in place; the library's own writer leaves a temporary file behind when it is killed."""
    path.write_bytes(save(dict(tensors), metadata=dict(metadata)))


def read_header(path: str | os.PathLike[str], *, what: str, expected_format: str) -> dict[str, str]:
    """Return a file's header.

    Args:
        path: The file.
        what: What it should be, for messages.
        expected_format: What its header must say under "format".

    Raises:
        InputError: If the file is missing, not a safetensors file, or of another format.
    """
    return _read(os.fspath(path), what, expected_format, with_tensors=False)[0]


def read_tensors(
    path: str | os.PathLike[str], *, what: str, expected_format: str
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return a file's header and tensors, after checking them against the checksum.

    Raises:
        InputError: As `read_header`, or if the content does not match its checksum.
    """
    name = os.fspath(path)
    header, stored = _read(name, what, expected_format, with_tensors=True)
    if header.get("sha256") != _digest({k: v for k, v in header.items() if k != "sha256"}, stored):
        raise InputError(f"{name}: the content does not match its checksum; the file is damaged or was changed")
    try:
        complex_names = set(json.loads(header["complex"]))
        return header, {k: torch.view_as_complex(t) if k in complex_names else t for k, t in stored.items()}
    except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise InputError(f"{name}: unusable metadata ({type(error).__name__})") from error


def read_shapes(path: str | os.PathLike[str], *, what: str, expected_format: str) -> dict[str, list[int]]:
    """Return the shapes of a file's tensors as they are stored (complex ones with a last axis of two).

    Raises:
        InputError: As `read_header`.
    """
    name = os.fspath(path)
    _read(name, what, expected_format, with_tensors=False)
    with safe_open(name, framework="pt", device="cpu") as file:
        return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - it is no mapping


def _read(
    path: str, what: str, expected_format: str, *, with_tensors: bool
) -> tuple[dict[str, str], dict[str, Tensor]]:
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; name the {what} file in it")
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such {what} file")
    if not os.access(path, os.R_OK):  # the library says that there is no such file
        raise InputError(f"{path}: cannot be read (Permission denied); change its permissions")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{path}: a name that is not UTF-8 in this locale, which the safetensors library needs; rename it"
        ) from error
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = _parse((file.metadata() or {}).get(_ENTRY, ""))
            if header.get("format") != expected_format:
                raise InputError(f"{path}: not a finer {what} (its metadata has no format {expected_format!r})")
            names = file.keys() if with_tensors else ()
            # Clones: the originals are the file itself, mapped into memory, and not aligned for complex arithmetic.
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a {what} file: not readable as safetensors ({error})") from error
    return header, tensors


def _parse(text: str) -> dict[str, str]:
    """Return the header that a metadata entry holds; empty if it holds none."""
    try:
        header = json.loads(text, object_pairs_hook=without_repetition)
    except (ValueError, RecursionError):
        return {}
    plain = isinstance(header, dict) and all(isinstance(value, str) for value in header.values())
    return header if plain else {}


def _digest(header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_tensors(
    path: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, whose: str = "the config"
) -> None:
    """Raise InputError for a tensor that is missing, extra, or of another shape; types may differ in precision only.

    Args:
        path: The file, for messages.
        expected: What there must be, by name.
        found: What the file has.
        whose: What they must fit, for messages.
    """
    if set(expected) != set(found):
        missing, extra = sorted(set(expected) - set(found))[:3], sorted(set(found) - set(expected))[:3]
        raise InputError(f"{path}: tensors do not fit {whose} (missing {missing}, extra {extra})")
    for name, tensor in found.items():
        want = expected[name]
        if tensor.shape != want.shape or _kind(tensor) != _kind(want):
            raise InputError(
                f"{path}: tensor {name!r} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"{whose} needs {want.dtype} {tuple(want.shape)}"
            )


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_complex(), tensor.is_floating_point()
