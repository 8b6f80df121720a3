"""Report the spread of activations and gradients per layer of a fresh network.

The most repeated question about periodic networks is whether they are initialized well: signals should neither die
nor blow up with depth, forwards or backwards.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from finer_core.casts import check_module
from finer_core.errors import InputError
from finer_core.layers import InrLayer
from finer_core.linear import InrLinear
from finer_core.shapes import Float


@dataclass(frozen=True, kw_only=True)
class LayerSpread:
    """Hold one layer's figures; standard deviations over points and units.

    Attributes:
        name: The layer's name in the network.
        description: The activation with its hyper-parameters, or "linear".
        pre_activation_std: Of z = W x + b.
        output_mean: Of the layer's output (of its real part where complex).
        output_std: Of the layer's output (root mean square distance from the mean where complex).
        gradient_std: Of d(mean squared output of the network)/d(z).
        weight_gradient_rms: Root mean square of the same derivative with respect to W.
    """

    name: str
    description: str
    pre_activation_std: float
    output_mean: float
    output_std: float
    gradient_std: float
    weight_gradient_rms: float


@dataclass(frozen=True)
class InitReport:
    """Hold one row a layer; printing it gives a table."""

    rows: tuple[LayerSpread, ...]

    def __str__(self) -> str:
        """Return the table."""
        head = (
            f"{'layer':<12}{'std z':>10}{'mean out':>10}{'std out':>10}{'std dL/dz':>12}{'rms dL/dW':>12}  activation"
        )
        lines = [
            f"{row.name:<12}{row.pre_activation_std:>10.4f}{row.output_mean:>10.4f}{row.output_std:>10.4f}"
            f"{row.gradient_std:>12.3e}{row.weight_gradient_rms:>12.3e}  {row.description}"
            for row in self.rows
        ]
        return "\n".join([head, *lines])


def init_report(network: nn.Module, coords: Float[Tensor, "points in_features"]) -> InitReport:
    """Measure how signals and gradients spread through a network.

    Formula: with L the mean of the squared output, the table gives std z, mean and std of the output, std of dL/dz and
    the root mean square of dL/dW, layer by layer. A well-drawn network keeps each column within a small factor.

    Args:
        network: Any module with linear maps (`nn.Linear`, or this package's layers). What comes after a map of
            `nn.Linear` is not known: its row shows z as the output, and says "linear".
        coords: (n, in_features); a few thousand points of the task's grid.

    Returns:
        The report; `print` it.

    Raises:
        InputError: If the network is none, has no linear maps or calls none of them, or coords are no tensor.

    Example:
        >>> from finer_core import build_network, grid_coords, init_report
        >>> report = init_report(build_network("finer", in_features=2, out_features=1), grid_coords(32, 32))
        >>> [row.name for row in report.rows][:2]
        ['layers.0', 'layers.1']
    """
    check_module(network)
    if not isinstance(coords, Tensor):
        raise InputError(f"coords must be a tensor, got {type(coords).__name__}; torch.as_tensor makes one")
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    if not layers:
        raise InputError(f"{type(network).__name__} has no linear maps (nn.Linear, or our layers) to report on")
    seen: dict[str, _Seen] = {}
    handles = [module.register_forward_hook(_recorder(name, seen)) for name, module in layers.items()]
    frozen: list[Tensor] = []
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]  # running statistics
    own = {name: dict(module.named_parameters(recurse=False)) for name, module in layers.items()}
    made = {name for name, parameters in own.items() if "weight" not in parameters}  # of others, as by weight norm
    with torch.inference_mode(False), torch.enable_grad(), _uncompiled():
        try:
            weights = [parameters["weight"] for name, parameters in own.items() if name not in made]
            frozen = [weight for weight in weights if not weight.requires_grad]
            for weight in frozen:
                weight.requires_grad_(True)
            loss = network(coords.clone() if coords.is_inference() else coords).square().mean()
            if not seen:
                raise InputError(f"{type(network).__name__} calls none of its {len(layers)} linear maps as modules")
            wanted = [seen[name].z for name in seen] + [layers[name].weight for name in seen if name not in made]
            found: tuple[Tensor | None, ...] = torch.autograd.grad(loss, wanted, allow_unused=True)
            z_grads = dict(zip(seen, found, strict=False))
            weight_grads = dict(zip((name for name in seen if name not in made), found[len(seen) :], strict=True))
            # A weight that is made of others is another tensor whenever it is asked for: its gradient is of z and x.
            weight_grads |= {name: _of_weight(z_grads[name], seen[name].given) for name in seen if name in made}
        finally:
            for handle in handles:
                handle.remove()
            for weight in frozen:
                weight.requires_grad_(False)
            with torch.no_grad():
                for buffer, before in kept:
                    buffer.copy_(before)
    rows = []
    for name, (_, z, out) in seen.items():
        layer = layers[name]
        description = repr(layer.activation) if isinstance(layer, InrLayer) else "linear"
        rows.append(
            LayerSpread(
                name=name,
                description=description,
                pre_activation_std=_std(z),
                output_mean=float(out.real.mean()),
                output_std=_std(out),
                gradient_std=_std(z_grads[name]),
                weight_gradient_rms=_rms(weight_grads[name]),
            )
        )
    return InitReport(tuple(rows))


def _uncompiled() -> AbstractContextManager[object]:
    """Run what was compiled as it was written: a graph that was made before the hooks came calls none of them."""
    has_compiled = "torch._dynamo" in sys.modules  # loading it takes seconds
    return torch.compiler.set_stance("force_eager") if has_compiled else nullcontext()


class _Seen(NamedTuple):
    """What went into a linear map, what it made of that, and its layer's output."""

    given: Tensor
    z: Tensor
    out: Tensor


def _recorder(name: str, seen: dict[str, _Seen]) -> Callable[..., Tensor]:
    def hook(module: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        z = InrLinear.forward(module, inputs[0]) if isinstance(module, InrLinear) else output
        z = z if z.requires_grad else z.requires_grad_(True)  # of a frozen weight that is made of others
        result = module.activation(z) if isinstance(module, InrLayer) else z
        seen[name] = _Seen(inputs[0].detach(), z, result.detach())
        return result  # the graph runs through the recorded z, so that dL/dz exists

    return hook


def _of_weight(z_grad: Tensor | None, given: Tensor) -> Tensor | None:
    """Return dL/dW of dL/dz and of what went in: the sum over points of their outer products."""
    if z_grad is None:
        return None
    return z_grad.reshape(-1, z_grad.shape[-1]).mT @ given.reshape(-1, given.shape[-1]).conj().to(z_grad.dtype)


def _std(values: Tensor | None) -> float:
    if values is None:
        return 0.0
    values = values.detach()
    return float((values - values.mean()).abs().square().mean().sqrt())


def _rms(values: Tensor | None) -> float:
    return 0.0 if values is None else float(values.detach().abs().square().mean().sqrt())
