"""The table of formulas, read from the package itself, and what makes one formula of its several spellings.

A formula is spelled as a value, a derivative with a graph and in buffers, both at once, and a product with a gradient
or a tangent. Autograd of the value is the one that counts; all others are compared with it, in double precision.
"""

import inspect
import itertools
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from finer_core import activations
from finer_core.activations import Activation, formulas, wavelets
from finer_core.activations._kernels.autograd import apply_formula
from finer_core.activations.formulas import RealFormula

_SOFT = {"omega_0": 2.0, "omega_w": 4.0, "scale": 0.5}
"""Powers of two, which round no phase, and small enough for numerical differentiation."""


def _variants(module: type[Activation]) -> Iterator[dict[str, Any]]:
    """Give every combination of the hyper-parameters that are a choice, with the soft numbers."""
    kinds = get_type_hints(module.__init__)
    values = []
    for name in inspect.signature(module).parameters:
        if kinds[name] is bool:
            values.append((False,) if name == "scale_req_grad" else (False, True))
        else:
            values.append(get_args(kinds[name]) if get_origin(kinds[name]) is Literal else (_SOFT[name],))
    for chosen in itertools.product(*values):
        yield dict(zip(inspect.signature(module).parameters, chosen, strict=True))


def formula_of(module: Activation) -> Any:
    """Return what a module computes, real or complex."""
    return module.real_formula() or module.complex_formula()


def _is_of_a_formula(module: Any) -> bool:
    return isinstance(module, type) and issubclass(module, Activation) and module.formula is not None


MODULES: dict[str, Activation] = {
    repr(module): module
    for kind in vars(activations).values()
    if _is_of_a_formula(kind)
    for module in (kind(**options) for options in _variants(kind))
}
"""Every module of a formula, once for each choice among its hyper-parameters."""

FORMULAS: dict[str, Any] = {name: formula_of(module) for name, module in MODULES.items()}

CLASSES = {
    value
    for module in (formulas, wavelets)
    for value in vars(module).values()
    if isinstance(value, type) and hasattr(value, "vjp") and not inspect.isabstract(value)
}
"""Every class of a formula that the package has."""


class Differentiable(TorchFunctionMode):
    """Let autograd through a value that works in buffers: whatever is computed in place is computed beside it.

    Args:
        exact: Otherwise |z|, and so FINER's factor |z| + 1, is a constant: the published rule, by its definition.
    """

    def __init__(self, *, exact: bool) -> None:
        super().__init__()
        self.exact = exact

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):
            func = getattr(Tensor, name[:-1], None) or getattr(torch, name[:-1])
        result = func(*args, **(kwargs or {}))
        return result.detach() if name == "abs" and not self.exact else result


def points(*, complex_valued: bool = False) -> Tensor:
    """Return points away from 0, where |z| has its kink."""
    generator = torch.Generator().manual_seed(0)
    size = torch.rand(12, dtype=torch.float64, generator=generator) * 0.8 + 0.15
    real = size * torch.where(torch.arange(12) % 2 == 0, 1.0, -1.0)
    return torch.complex(real, real.flip(0) * 0.7) if complex_valued else real


def total(values: Tensor) -> Tensor:
    """Reduce to a real scalar that depends on real and imaginary part differently."""
    return (values.real + 2 * values.imag).sum() if values.is_complex() else values.sum()


def _by_autograd(formula: Any, z: Tensor, *, exact: bool) -> Tensor:
    with Differentiable(exact=exact):
        return formula.value(z)


def _derivatives(value: Tensor, z: Tensor) -> list[Tensor]:
    """Return value, first and second derivative of a total of values."""
    (first,) = torch.autograd.grad(total(value), z, create_graph=True)
    (second,) = torch.autograd.grad(total(first * first), z)  # squared, or that of a first order that is 0 is not seen
    return [value.detach(), first.detach(), second]


def breaches(formula: Any) -> list[str]:
    """Return which spellings of a formula are not that of its value, in both derivative modes.

    Args:
        formula: Of real numbers, or a complex one of real and of complex numbers.
    """
    kinds = (False,) if isinstance(formula, RealFormula) else (False, True)
    found = []
    for complex_valued, exact in itertools.product(kinds, (False, True)):
        z = points(complex_valued=complex_valued)
        found += [f"{name}, exact={exact}, {z.dtype}" for name in _breaches_at(formula, z, exact=exact)]
    return found


def _breaches_at(formula: Any, z: Tensor, *, exact: bool) -> Iterator[str]:
    z.requires_grad_(True)

    def ours(z: Tensor) -> Tensor:
        return apply_formula(z, formula, scale_req_grad=exact)

    pairs = zip(_derivatives(ours(z), z), _derivatives(_by_autograd(formula, z, exact=exact), z), strict=True)
    for order, (got, wanted) in enumerate(pairs):
        if not torch.allclose(got, wanted, rtol=1e-10, atol=1e-10):
            yield f"derivative of order {order}"
    if exact:
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            if not check(ours, z, raise_exception=False):
                yield check.__name__
    yield from _breaches_without_a_graph(formula, z.detach(), exact=exact)


@torch.no_grad()
def _breaches_without_a_graph(formula: Any, z: Tensor, *, exact: bool) -> Iterator[str]:
    """Compare what the hot paths call; a tangent t gives the product with J, a gradient g that with its transpose."""
    value = formula.value(z)
    t = z.flip(0) * 0.5
    with torch.enable_grad():
        leaf = z.clone().requires_grad_(True)
        out = _by_autograd(formula, leaf, exact=exact)
        g = torch.complex(value.real.cos(), value.imag.sin()) if value.is_complex() else value.cos()
        (pulled,) = torch.autograd.grad(out, leaf, g)
    pushed = formula.jvp(z, t, exact=exact)
    pairs = {"vjp": (formula.vjp(z, g, exact=exact), pulled), "jvp": (_inner(pushed, g), _inner(t, pulled))}
    if isinstance(formula, RealFormula):
        slope = pulled / g
        both = formula.value_and_slope(z, exact=exact)
        pairs |= {
            "derivative": (formula.derivative(z, exact=exact), slope),
            "value_and_slope": (torch.stack(both), torch.stack([value, slope])),
        }
    for name, (got, wanted) in pairs.items():
        if not torch.allclose(got, wanted, rtol=1e-10, atol=1e-10):
            yield name


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Return the real inner product, of complex numbers as pairs."""
    return (a.conj() * b).real.sum()
