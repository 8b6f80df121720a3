"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner; a core a matrix, or on a GPU all of a shape at once."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.casts import widened
from finer_core.parallel import parallel_map
from finer_core.schema import check_flag, check_within
from finer_core.training.optimizers.eager import loss_of
from finer_core.training.optimizers.matrices import MatrixOptimizer, check_betas, squared_modulus
from finer_core.training.optimizers.soap_stack import SoapStack, renew

RENEW_EVERY = 10
"""Steps between two renewals of the eigenbases where nothing else is said, as SOAP's authors have it."""
Job = tuple[nn.Parameter, dict[str, Any], dict[str, Any]]


class Soap(MatrixOptimizer):
    """Update matrices by Adam in the eigenbases of their gradients' covariances (Vyas et al., 2024, "SOAP").

    Formula: with G = dL/dW, running means L of G G^H and R of G^H G (decay beta_2), and their eigenvectors Q_L and Q_R,
    Adam's running means m of g = Q_L^H G Q_R (decay beta_1) and v of |g|^2 (decay beta_2) give the step
    W <- W - lr Q_L (m / (sqrt(v) + eps)) Q_R^H, both means freed of their bias, m by division by 1 - beta_1^t. With
    Nesterov's momentum (Dozat, 2016, "Incorporating Nesterov momentum into Adam") beta_1 m / (1 - beta_1^(t+1)) +
    (1 - beta_1) g / (1 - beta_1^t) takes m's place. The first gradient only sets up the bases. Every `renew_every`
    steps they follow L and R by one power iteration and a QR decomposition.

    Without Nesterov's momentum the steps are those of pytorch-optimizer's SOAP, sooner: the mean is kept in the
    eigenbasis, and every matrix has a core to itself, so that the result does not depend on the number of cores either.
    On other devices matrices of one shape are stacked (`SoapStack`).

    Args:
        params: Matrices, real or complex.
        lr: Rate.
        betas: Decay of the mean; decay of the squares and of the covariances.
        eps: Added to the root of the squares.
        nesterov: Whether momentum is Nesterov's; the authors' is not.
        renew_every: Steps between two renewals of the eigenbases.

    Raises:
        ValueError: For a parameter that is not a matrix.
        InputError: For a rate or another number that cannot be used.

    Example:
        >>> import torch
        >>> from finer_core.training import Soap
        >>> network = torch.nn.Linear(8, 8, bias=False)
        >>> optimizer = Soap(network.parameters(), lr=5e-4)
        >>> network(torch.ones(4, 8)).square().mean().backward()
        >>> optimizer.step()
    """

    _takes_complex = True

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        nesterov: bool = False,
        renew_every: int = RENEW_EVERY,
    ) -> None:
        self._stacks: list[SoapStack] = []
        settings = {"lr": lr, "betas": betas, "eps": eps, "nesterov": nesterov, "renew_every": renew_every}
        super().__init__(params, settings)

    def _check_settings(self, group: dict[str, Any]) -> None:
        check_within(group["lr"], "[0, inf)", what="lr")
        check_betas(group["betas"])
        check_within(group["eps"], "[0, inf)", what="eps")
        check_flag(group["nesterov"], what="nesterov")
        check_within(group["renew_every"], "[1, inf)", what="renew_every", is_whole=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, or one that was saved."""
        super().__setstate__(state)
        self._stacks = []

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every matrix that has a gradient."""
        loss = loss_of(closure)
        jobs = self._jobs()
        if all(parameter.device.type == "cpu" for parameter, _, _ in jobs):
            jobs.sort(key=lambda job: -job[0].numel())  # the cores then end at about the same time
            parallel_map(self._update, jobs)
        else:
            self.advance()
            self.finish()
        return loss

    @torch.no_grad()
    def advance(self) -> None:
        """Do what of a step can be recorded and repeated: all but beginnings, counting, and the renewal of bases."""
        self._stacks = self._stacks_of(self._jobs())
        settings = {id(p): group for group in self.param_groups for p in group["params"]}
        for stack in self._stacks:
            group = settings[id(stack.parameters[0])]
            stack.advance(**{name: group[name] for name in ("lr", "betas", "eps", "nesterov")})

    @torch.no_grad()
    def finish(self) -> None:
        """Do the rest of a step, after `advance` or what repeats it."""
        settings = {id(p): group for group in self.param_groups for p in group["params"]}
        due = []
        for stack in self._stacks:
            for state in stack.states:
                state["step"] += 1
            if stack.states[0]["step"] % settings[id(stack.parameters[0])]["renew_every"] == 0:
                due.append(stack)
        if due:
            renew(due)
        for parameter, state, group in self._jobs():
            if not state:
                assert parameter.grad is not None
                state.update(_begin(parameter.grad, beta2=group["betas"][1]))

    @torch.no_grad()
    def _update(self, job: Job) -> None:
        """Update one matrix, given with its state and its group's settings."""
        parameter, state, group = job
        grad, (beta1, beta2) = parameter.grad, group["betas"]
        assert grad is not None
        if not state:
            state.update(_begin(grad, beta2=beta2))
            return
        state["step"] += 1
        step, left, right = state["step"], state["left_basis"], state["right_basis"]
        turned = left.mH @ grad @ right
        mean, part = state["mean"].lerp_(turned, 1 - beta1), 1 - beta1**step
        if group["nesterov"]:
            mean = mean.mul(beta1 * part / (1 - beta1 ** (step + 1))).add_(turned, alpha=1 - beta1)
        state["square"].lerp_(squared_modulus(turned), 1 - beta2)
        direction = mean / state["square"].sqrt().add_(group["eps"])
        rate = group["lr"] * math.sqrt(1 - beta2**step) / part
        parameter.sub_(left @ direction @ right.mH, alpha=rate)
        state["left"].lerp_(grad @ grad.mH, 1 - beta2)
        state["right"].lerp_(grad.mH @ grad, 1 - beta2)
        if step % group["renew_every"] == 0:
            _renew(state)

    def _jobs(self) -> list[Job]:
        """Return the matrices that have a gradient, each with its state and its group's settings."""
        return [(p, self.state[p], group) for group in self.param_groups for p in group["params"] if p.grad is not None]

    def _stacks_of(self, jobs: list[Job]) -> list[SoapStack]:
        """Return the matrices with a state in stacks: those of the step before, if they still are the same ones."""
        alike: defaultdict[tuple[Any, ...], list[Job]] = defaultdict(list)
        for job in jobs:
            parameter, state, group = job
            if state:
                alike[id(group), parameter.shape, parameter.dtype, parameter.device, state["step"]].append(job)
        members = [[parameter for parameter, _, _ in stack] for stack in alike.values()]
        if [[*map(id, stack)] for stack in members] == [[*map(id, stack.parameters)] for stack in self._stacks]:
            return self._stacks
        return [SoapStack([p for p, _, _ in stack], [state for _, state, _ in stack]) for stack in alike.values()]


def _begin(grad: Tensor, *, beta2: float) -> dict[str, Any]:
    """Return the state after a matrix's first gradient."""
    left, right = (1 - beta2) * (grad @ grad.mH), (1 - beta2) * (grad.mH @ grad)
    return {
        "step": 0,
        "mean": torch.zeros_like(grad),
        "square": torch.zeros_like(grad.real),
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
    if covariance.device.type not in ("cpu", "meta"):
        # Once a fit. It is nearly of rank 2 then, which single precision on a GPU does not always get done with.
        exact = torch.promote_types(covariance.dtype, torch.float64)
        return torch.linalg.eigh(finite.cpu().to(exact)).eigenvectors.flip(1).to(covariance).contiguous()
    return torch.linalg.eigh(widened(finite)).eigenvectors.flip(1).to(covariance).contiguous()


def _renew(state: dict[str, Any]) -> None:
    """Move the bases towards the eigenvectors of the covariances, and the means along with them."""
    left, left_order = followed(state["left_basis"], state["left"])
    right, right_order = followed(state["right_basis"], state["right"])
    mean = state["left_basis"] @ state["mean"] @ state["right_basis"].mH
    state["mean"] = left.mH @ mean @ right
    state["square"] = state["square"][left_order][:, right_order].contiguous()  # each goes on as its eigenvector's
    state["left_basis"], state["right_basis"] = left, right


def followed(basis: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return a basis after one power iteration, ordered by eigenvalue, and that order.

    Args:
        basis: (n, n), orthonormal columns near the eigenvectors.
        covariance: (n, n), Hermitian.
    """
    product = covariance @ basis
    order = (basis.conj() * product).sum(0).real.argsort(descending=True)
    return torch.linalg.qr(widened(product[:, order])).Q.to(product).contiguous(), order
