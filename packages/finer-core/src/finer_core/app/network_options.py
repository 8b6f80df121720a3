"""Network hyper-parameters as command-line options, shared by every fitting command; needs no PyTorch."""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from finer_core.app.cli import add_options
from finer_core.config import NONE, setting
from finer_core.errors import InputError
from finer_core.io.files import without_repetition


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Override a method's published hyper-parameters; None keeps the published value."""

    hidden_features: int | None = setting(None, "width")
    hidden_layers: int | None = setting(None, "hidden-to-hidden layers; linear maps are two more")
    first_omega_0: float | None = setting(None, "frequency factor of the first layer (finer, siren, wire)")
    hidden_omega_0: float | None = setting(None, "frequency factor of the other layers (finer, siren, wire)")
    omega_0: float | None = setting(
        None, "frequency factor of the inner sine (gauss-finer, wire-finer, real-wire-finer)"
    )
    omega_w: float | None = setting(None, "frequency of the wavelet (wire-finer, real-wire, real-wire-finer)")
    scale: float | None = setting(None, "inverse width of the Gaussian (gauss, wire and their FINER forms)")
    first_bias_scale: float | None = setting(
        None, "half-width k of the first bias, FINER's tuning knob; 'none' for PyTorch's default"
    )
    scale_req_grad: bool | None = setting(None, "train through the FINER factor; not the published rule")
    num_frequencies: int | None = setting(None, "octaves of the positional encoding (pemlp)")
    frequency_std: float | None = setting(None, "standard deviation of the frequencies (ff)")
    max_frequency: float | None = setting(None, "band limit (bacon)")
    levels: int | None = setting(None, "grids of the hash grid (ngp)")
    log2_table_size: int | None = setting(None, "logarithm of the rows of a grid (ngp)")
    finest_resolution: int | None = setting(None, "corners per axis of the finest grid (ngp)")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for every hyper-parameter of our methods, and one for those of other packages' methods."""
    add_options(parser, NetworkOptions, group="network (default: the method's published values, or the preset's own)")
    add_other_option(parser)


def add_other_option(parser: argparse.ArgumentParser) -> None:
    """Add `--option NAME=VALUE`, which may be given several times."""
    parser.add_argument(
        "--option",
        action="append",
        type=_named_value,
        metavar="NAME=VALUE",
        help="another option of the method, such as beta=2.0; for methods of other packages",
    )


def _named_value(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"NAME=VALUE is wanted, got {text!r}")
    try:
        return name, json.loads(value, object_pairs_hook=_named_once)
    except RecursionError:
        raise argparse.ArgumentTypeError(f"{name}: lists nested too deep") from None
    except ValueError:
        return name, NONE if value.lower() == "none" else value


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    try:
        return without_repetition(pairs)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the network options that the user gave; an explicit "none" becomes None.

    Raises:
        InputError: If `--option` names one that another argument, or another `--option`, gives a value as well.
    """
    named = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(NetworkOptions)}
    given = {name: value for name, value in named.items() if value is not None}
    for name, value in getattr(arguments, "option", None) or ():
        if name in given:
            other = f"--{name.replace('_', '-')}" if named.get(name) is not None else "another --option"
            raise InputError(f"--option {name}={value!r} and {other} both give {name!r} a value; give it once")
        given[name] = value
    return {name: None if value is NONE else value for name, value in given.items() if value is not None}
