"""Matrix products in bfloat16 where they cost nothing: in the backward pass only.

The forward pass stays in float32, because a phase omega z of tens of radians does not survive 8 bits. Gradients do:
the backward products take rounded inputs and accumulate in float32. On processors with native bfloat16 products
this makes a training step about 1.3 times faster at equal quality.
"""

from typing import Any

import torch
from torch import Tensor, nn

from finer_core.activations._kernels.fused_mlp import rounded_product
from finer_core.linear import InrLinear

SMALLEST = 32
"""Linear maps with fewer inputs or outputs than this stay in float32: converting would cost more than it saves."""


class _LinearLowBackward(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, bias, ctx.dtype = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        x, weight = ctx.saved_tensors
        (grad,) = grad_outputs
        low = grad.to(ctx.dtype).reshape(-1, grad.shape[-1])
        grad_x = rounded_product(low, weight.to(ctx.dtype), dtype=x.dtype).view(x.shape)
        rows = x.reshape(-1, x.shape[-1])
        grad_weight = rounded_product(low.t(), rows.to(ctx.dtype), dtype=weight.dtype)
        grad_bias = grad.reshape(-1, grad.shape[-1]).sum(0) if ctx.has_bias else None
        return grad_x, grad_weight, grad_bias, None


class _Bf16BackwardLinear:
    """Replace a layer's linear map; an object with a name, so that a layer's repr and copies stay plain."""

    backward_dtype = torch.bfloat16

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _LinearLowBackward.apply(x, weight, bias, self.backward_dtype)

    def __repr__(self) -> str:
        return "linear with bfloat16 backward products"


def set_backward_precision(network: nn.Module, precision: str) -> None:
    """Choose the precision of the backward products of every large real linear map.

    Args:
        network: Made of this package's layers; changed in place. Its parameters and outputs are not affected.
        precision: "fp32" or "bf16".

    Raises:
        ValueError: For another precision.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be 'fp32' or 'bf16', got {precision!r}")
    for module in network.modules():
        if not isinstance(module, InrLinear):
            continue
        large = min(module.in_features, module.out_features) >= SMALLEST
        suits = large and module.weight.dtype == torch.float32
        module.linear = _Bf16BackwardLinear() if precision == "bf16" and suits else nn.functional.linear


def bf16_products_are_native(device: torch.device | str) -> bool:
    """Return whether `device` multiplies bfloat16 matrices faster than float32 ones."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        return any(_cpu_reports(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return False


def _cpu_reports(query: str) -> bool:
    """Ask PyTorch for a processor feature; a build that cannot tell says no."""
    ask = getattr(torch.cpu, query, None)
    return bool(ask()) if callable(ask) else False
