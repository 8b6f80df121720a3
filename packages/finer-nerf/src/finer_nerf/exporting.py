"""Write a fitted scene in a format that other programs run."""

import os

import torch

from finer_core.io import export as core
from finer_nerf.model import NerfModel


def export(model: NerfModel, path: str | os.PathLike[str]) -> None:
    """Write density and color of a model to a file that needs neither this package nor, as ONNX, PyTorch.

    It maps "points" (n, 3) of the scene's coordinates and "directions" (n, 3), which way is looked, to "sigmas" (n,),
    per unit of the scene, and "rgbs" (n, 3) in [0, 1]; what is empty has density 0. The number of points is free.
    Rays are left to the program that takes it. Points and directions are float32, or both float64 where the scene is so
    far from the origin that single precision would lose its shape.

    Args:
        model: The model, on the CPU.
        path: The file: .onnx, or .pt2 for `torch.export.load`; replaced if it is there.

    Raises:
        InputError: For another suffix, a model that cannot be written so, or ONNX without the packages that write it
            (`pip install "finer-core[onnx]"`).

    Example:
        >>> import tempfile
        >>> import torch
        >>> from finer_nerf import builtin_scene, export, fit
        >>> scene = builtin_scene(size=8)
        >>> model, _ = fit(scene, steps=2, network={"hidden_features": 8}, max_samples=8, grid_resolution=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(model, f"{folder}/scene.pt2")
        ...     program = torch.export.load(f"{folder}/scene.pt2").module()
        >>> [tuple(values.shape) for values in program(torch.zeros(5, 3), torch.ones(5, 3))]
        [(5,), (5, 3)]
    """
    dtype = torch.float64 if core.takes_double(model) else torch.float32
    ahead = torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8]], dtype=dtype)
    core.export(
        model,
        path,
        example=(torch.zeros_like(ahead), ahead),
        input_names=("points", "directions"),
        output_names=("sigmas", "rgbs"),
    )
