"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, on a CPU with one core a matrix."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.threads import in_threads
from finer_core.training.matrices import check_matrices

RENEW_EVERY = 10
"""Steps between two renewals of the eigenbases, as SOAP's authors have it."""


class Soap(Optimizer):
    """Update matrices by Adam in the eigenbases of their gradients' covariances (Vyas et al., 2024, "SOAP").

    Formula: with G = dL/dW, running means L of G G^T and R of G^T G (decay beta_2), and their eigenvectors Q_L and Q_R,
    Adam's running means m of g = Q_L^T G Q_R (decay beta_1) and v of g^2 (decay beta_2) give the step
    W <- W - lr Q_L (m / (sqrt(v) + eps)) Q_R^T, both means freed of their bias. The first gradient only sets up the
    bases. Every `RENEW_EVERY` steps they follow L and R by one power iteration and a QR decomposition.

    The steps are those of pytorch-optimizer's SOAP, sooner: the mean is kept in the eigenbasis, and every matrix has a
    core to itself, so that the result does not depend on the number of cores either.

    Args:
        params: Real matrices.
        lr: Rate.
        betas: Decay of the mean; decay of the squares and of the covariances.
        eps: Added to the root of the squares.

    Raises:
        ValueError: For a parameter that is not a real matrix.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        check_matrices(self)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every matrix that has a gradient."""
        loss = None if closure is None else closure()
        jobs = [(p, self.state[p], group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        jobs.sort(key=lambda job: -job[0].numel())  # the cores then end at about the same time
        if all(parameter.device.type == "cpu" for parameter, _, _ in jobs):
            in_threads(_update, jobs)
        else:
            for job in jobs:
                _update(job)
        return loss


@torch.no_grad()
def _update(job: tuple[nn.Parameter, dict[str, Any], dict[str, Any]]) -> None:
    """Update one matrix, given with its state and its group's settings."""
    parameter, state, group = job
    grad, (beta1, beta2) = parameter.grad, group["betas"]
    assert grad is not None
    if not state:
        state.update(_begin(grad, beta2=beta2))
        return
    state["step"] += 1
    step, left, right = state["step"], state["left_basis"], state["right_basis"]
    turned = left.T @ grad @ right
    state["mean"].lerp_(turned, 1 - beta1)
    state["square"].lerp_(turned.square_(), 1 - beta2)
    direction = state["mean"] / state["square"].sqrt().add_(group["eps"])
    rate = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    parameter.sub_(left @ direction @ right.T, alpha=rate)
    state["left"].lerp_(grad @ grad.T, 1 - beta2)
    state["right"].lerp_(grad.T @ grad, 1 - beta2)
    if step % RENEW_EVERY == 0:
        _renew(state)


def _begin(grad: Tensor, *, beta2: float) -> dict[str, Any]:
    """Return the state after a matrix's first gradient."""
    left, right = (1 - beta2) * (grad @ grad.T), (1 - beta2) * (grad.T @ grad)
    return {
        "step": 0,
        "mean": torch.zeros_like(grad),
        "square": torch.zeros_like(grad),
        "left": left,
        "right": right,
        "left_basis": _eigenvectors(left),
        "right_basis": _eigenvectors(right),
    }


def _eigenvectors(covariance: Tensor) -> Tensor:
    """Return the eigenvectors as columns, that of the largest eigenvalue first."""
    # Of a fit that diverges at once the guard is to say so, not LAPACK; to branch would be to wait for a GPU.
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    finite = torch.where(covariance.isfinite().all(), covariance, identity)
    return torch.linalg.eigh(finite).eigenvectors.flip(1).contiguous()


def _renew(state: dict[str, Any]) -> None:
    """Move the bases towards the eigenvectors of the covariances, and the means along with them."""
    left, left_order = followed(state["left_basis"], state["left"])
    right, right_order = followed(state["right_basis"], state["right"])
    mean = state["left_basis"] @ state["mean"] @ state["right_basis"].T
    state["mean"] = left.T @ mean @ right
    state["square"] = state["square"][left_order][:, right_order].contiguous()  # each goes on as its eigenvector's
    state["left_basis"], state["right_basis"] = left, right


def followed(basis: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return a basis after one power iteration, ordered by eigenvalue, and that order.

    Args:
        basis: (n, n), orthonormal columns near the eigenvectors.
        covariance: (n, n), symmetric.
    """
    product = covariance @ basis
    order = (basis * product).sum(0).argsort(descending=True)
    return torch.linalg.qr(product[:, order]).Q.contiguous(), order
