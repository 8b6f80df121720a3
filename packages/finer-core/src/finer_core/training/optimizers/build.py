"""Optimizers by name, each a list so that two can share a network.

The list is what `fit` steps; every group remembers its `initial_lr`, which the schedule multiplies.
"""

import inspect
import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from finer_core.casts import check_module
from finer_core.distributed.ranks import ALONE, Ranks
from finer_core.errors import InputError
from finer_core.parallel import one_thread_per_op
from finer_core.schema import check_flag, check_within, shown
from finer_core.training.ema import WeightEma
from finer_core.training.optimizers.eager import Adam
from finer_core.training.optimizers.matrices import check_betas
from finer_core.training.optimizers.muon import Muon
from finer_core.training.optimizers.soap import Soap
from finer_core.training_config import OPTIMIZERS

_SOAP_MOMENTUM, _RENEW_EVERY = 0.95, 3
"""SOAP's beta_1, Nesterov's way, and the steps between renewals of its bases: of 125 passes of a photograph they get
0.5 and 0.4 dB more than the authors' 0.9, without Nesterov, and 10 (docs/budgets.md)."""
_SMALL = 1 << 20
"""Numbers below which Adam's step is over sooner than threads share it."""


def build_optimizers(
    network: nn.Module,
    *,
    name: str = "adam",
    learning_rate: float,
    matrix_learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    amsgrad: bool = False,
    ema_decay: float = 0.0,
    ema_every: int = 1,
    precision: str = "fp32",
    ranks: Ranks = ALONE,
) -> list[Optimizer]:
    """Build the optimizers of a network.

    "adam" is Adam on everything. "muon" updates the square hidden matrices by Muon (orthogonalized momentum, Jordan
    et al., 2024), if they are real, "soap" all matrices by SOAP (Adam in the eigenbasis of Shampoo's preconditioner,
    Vyas et al., 2024), and both everything else by Adam; a network without such square matrices gets Adam alone.

    Args:
        network: The network.
        name: One of `OPTIMIZERS`.
        learning_rate: Adam's rate.
        matrix_learning_rate: Muon's or SOAP's rate.
        betas: Decay rates of Adam, and the second one of SOAP, whose first is 0.95.
        eps: Adam's epsilon.
        amsgrad: Whether Adam keeps the maximum of its second moments.
        ema_decay: Decay of the weights' running average, which a `Fit` leaves in the network; 0 for none.
        ema_every: Steps between its updates.
        precision: Of Muon's products, "fp32" or "bf16". A fit that several processes share has them in float32: it
            groups the sums of gradients otherwise than a single process, and bfloat16 would magnify that rounding.
        ranks: The place of this process among those that share the fit. Each makes every update itself, of the same
            gradients to the same parameters.

    Returns:
        The optimizers, to be stepped one after the other; the average of the weights, if there is one, is the last.

    Raises:
        InputError: For no module, an unknown name, or a rate or another number that cannot be used.

    Example:
        >>> from finer_core import build_network
        >>> from finer_core.training import build_optimizers
        >>> network = build_network("finer", in_features=2, out_features=1)
        >>> [type(optimizer).__name__ for optimizer in build_optimizers(network, name="muon", learning_rate=1e-3)]
        ['Adam', 'Muon']
    """
    check_module(network)
    if name not in OPTIMIZERS:
        raise InputError(f"unknown optimizer {name!r} (known: {', '.join(OPTIMIZERS)})")
    check_within(learning_rate, "(0, inf)", what="learning_rate")
    check_within(matrix_learning_rate, "(0, inf)", what="matrix_learning_rate")
    check_betas(betas)
    check_within(eps, "[0, inf)", what="eps")
    check_flag(amsgrad, what="amsgrad")
    check_within(ema_decay, "[0, 1)", what="ema_decay")
    if precision not in ("fp32", "bf16"):
        raise InputError(f"precision must be 'fp32' or 'bf16', got {shown(precision)[:100]}")
    parameters = [p for p in network.parameters() if p.requires_grad]
    hidden = [p for p in parameters if _is_hidden_matrix(p)]
    real = [p for p in hidden if not p.is_complex()]
    every = [p for p in parameters if p.ndim == 2] if hidden else []
    matrices = {"adam": [], "muon": real, "soap": every}[name]
    chosen = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in chosen]
    # The fused form is several times faster on small networks; it has no complex arithmetic.
    fused = None if any(p.is_complex() for p in rest) else True
    optimizers: list[Optimizer] = []
    if rest:
        on_gpu = all(p.is_cuda for p in rest)  # there a CUDA graph may hold the step
        adam = Adam(rest, lr=learning_rate, betas=betas, eps=eps, amsgrad=amsgrad, fused=fused, capturable=on_gpu)
        optimizers.append(adam)
    if matrices and name == "soap":
        soap_betas = (_SOAP_MOMENTUM, betas[1])
        optimizers.append(
            Soap(matrices, lr=matrix_learning_rate, betas=soap_betas, nesterov=True, renew_every=_RENEW_EVERY)
        )
    elif matrices:
        low = torch.bfloat16 if precision == "bf16" and ranks.is_alone else None
        optimizers.append(Muon(matrices, lr=matrix_learning_rate, dtype=low))
    if ema_decay:
        optimizers.append(WeightEma(parameters, decay=ema_decay, every=ema_every))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def check_optimizers(network: nn.Module, optimizers: Sequence[Optimizer], *, max_grad_norm: float | None) -> None:
    """Raise InputError unless optimizers can train a network step by step.

    Args:
        network: The network.
        optimizers: Those that a fit steps. They may have parameters of other modules too.
        max_grad_norm: To which the gradients are clipped.
    """
    if max_grad_norm is not None:
        check_within(max_grad_norm, "(0, inf)", what="max_grad_norm")
    title, parameters = type(network).__name__, list(network.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        what = "all its parameters are frozen" if parameters else "it has no parameters"
        raise InputError(f"network {title} cannot be trained: {what}; call requires_grad_(True) of what is to change")
    if any(map(is_lazy, parameters)):
        raise InputError(f"network {title} cannot be trained: it has lazy layers, without weights yet; call it once")
    if any(parameter.is_inference() for parameter in parameters):
        raise InputError(f"network {title} cannot be trained: build it outside torch.inference_mode()")
    if not optimizers:
        raise InputError("optimizers must be at least one, got none; leave it out for Adam on all parameters")
    for optimizer in optimizers:
        closure = inspect.signature(type(optimizer).step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            name = type(optimizer).__name__
            raise InputError(
                f"optimizer {name} asks for the loss several times a step (its step needs a closure), which a fit does "
                f"not do; take another, such as torch.optim.Adam, or call {name} in a loop of your own"
            )
        for group in optimizer.param_groups:
            rate = group.get("initial_lr", group["lr"])
            if not 0 <= rate < math.inf:
                raise InputError(f"learning rates must be finite, got {float(rate)!r} in {type(optimizer).__name__}")
    own = {id(parameter) for parameter in parameters if parameter.requires_grad}
    if not any(id(p) in own for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]):
        names = ", ".join(type(optimizer).__name__ for optimizer in optimizers)
        raise InputError(
            f"optimizers ({names}) have none of network {title}'s trainable parameters; make them of its parameters()"
        )


def set_learning_rates(optimizers: list[Optimizer], *, factor: float) -> None:
    """Set every group's rate to `factor` times its initial one."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def step_optimizer(optimizer: Optimizer) -> None:
    """Make an optimizer's step; that of an Adam on a small network in one thread.

    Split over threads it takes as long, and its threads then spin where the next gradients are wanted.
    """
    numbers = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    with one_thread_per_op() if isinstance(optimizer, torch.optim.Adam) and numbers < _SMALL else nullcontext():
        optimizer.step()


def _is_hidden_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and parameter.shape[0] == parameter.shape[1] and parameter.shape[0] > 8
