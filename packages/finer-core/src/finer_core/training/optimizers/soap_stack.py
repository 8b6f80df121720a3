"""SOAP's state of several matrices of one shape as one stack: every operation is one for all of them.

A GPU is done with a product of small matrices before the processor has asked for the next, so that five matrices one
after another take five times as long as together. A step here waits for nothing and keeps all its memory in place: a
CUDA graph can hold it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.training.optimizers.matrices import squared_modulus
from finer_core.training.optimizers.orthonormal import orthonormalize_columns

_SIDES = ("left", "right")
_NAMES = ("mean", "square", "left", "right", "left_basis", "right_basis")


class SoapStack:
    """Advance matrices of one shape that have made the same number of steps.

    Args:
        parameters: The matrices.
        states: Theirs, as `Soap` keeps them. Their tensors become parts of the stack's, so that each still says what
            its matrix's state is.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], states: Sequence[dict[str, Any]]) -> None:
        self.parameters, self.states = list(parameters), list(states)
        device = parameters[0].device
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.steps = torch.tensor(float(states[0]["step"]), dtype=exact).to(device)
        for name in _NAMES:
            stacked = torch.stack([state[name] for state in states])
            setattr(self, name, stacked)
            for state, part in zip(states, stacked.unbind(), strict=True):
                state[name] = part

    mean: Tensor
    square: Tensor
    left: Tensor
    right: Tensor
    left_basis: Tensor
    right_basis: Tensor

    def advance(self, *, lr: float | Tensor, betas: tuple[float, float], eps: float, nesterov: bool) -> None:
        """Update the matrices by their gradients; `lr` may lie on their device."""
        beta1, beta2 = betas
        grads = torch.stack([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        turned = self.left_basis.mH @ grads @ self.right_basis
        self.steps.add_(1)
        mean, part = self.mean.lerp_(turned, 1 - beta1), 1 - beta1**self.steps
        if nesterov:
            mean = (mean * (beta1 * part / (1 - beta1 ** (self.steps + 1)))).add_(turned, alpha=1 - beta1)
        self.square.lerp_(squared_modulus(turned), 1 - beta2)
        direction = mean / self.square.sqrt().add_(eps)
        rate = lr * torch.sqrt(1 - beta2**self.steps) / part
        change = (self.left_basis @ direction @ self.right_basis.mH).mul_(rate)
        parameters: list[Tensor] = [*self.parameters]
        changes: list[Any] = [*change.unbind()]
        torch._foreach_sub_(parameters, changes)
        self.left.lerp_(grads @ grads.mH, 1 - beta2)
        self.right.lerp_(grads.mH @ grads, 1 - beta2)


def renew(stacks: Sequence[SoapStack]) -> None:
    """Move the bases towards the eigenvectors of the covariances, and the means along, those of one size together."""
    alike: defaultdict[tuple[int, torch.dtype], list[tuple[SoapStack, str]]] = defaultdict(list)
    for stack in stacks:
        for side in _SIDES:
            alike[getattr(stack, side).shape[-1], getattr(stack, side).dtype].append((stack, side))
    followed: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}
    for sides in alike.values():
        bases = torch.cat([getattr(stack, f"{side}_basis") for stack, side in sides])
        covariances = torch.cat([getattr(stack, side) for stack, side in sides])
        product = covariances @ bases
        order = (bases.conj() * product).sum(1).real.argsort(dim=1, descending=True)
        bases = orthonormalize_columns(product.gather(2, order[:, None, :].expand_as(product)))
        counts = [len(stack.parameters) for stack, _ in sides]
        for (stack, side), basis, places in zip(sides, bases.split(counts), order.split(counts), strict=True):
            followed[id(stack), side] = basis, places
    for stack in stacks:
        _turn(stack, {side: followed[id(stack), side] for side in _SIDES})


def _turn(stack: SoapStack, followed: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Give a stack new bases, in the place of the old ones."""
    (left, left_order), (right, right_order) = followed["left"], followed["right"]
    mean = stack.left_basis @ stack.mean @ stack.right_basis.mH
    stack.mean.copy_(left.mH @ mean @ right)
    square = stack.square.gather(1, left_order[:, :, None].expand_as(stack.square))
    stack.square.copy_(square.gather(2, right_order[:, None, :].expand_as(square)))
    stack.left_basis.copy_(left)
    stack.right_basis.copy_(right)
