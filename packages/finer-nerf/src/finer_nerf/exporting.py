"""Write a fitted scene in a format that other programs run."""

import os

import torch

from finer_core.io import export as core
from finer_nerf.model import NerfModel


def export(model: NerfModel, path: str | os.PathLike[str]) -> None:
    """Write density and colour of a model to a file that needs neither this package nor, as ONNX, PyTorch.

    It maps "points" (n, 3) of the scene's coordinates and "directions" (n, 3), which way is looked, to "sigmas" (n,),
    per unit of the scene, and "rgbs" (n, 3) in [0, 1]; what is empty has density 0. The number of points is free.
    Rays are left to the program that takes it.

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
    ahead = torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8]])
    core.export(
        model,
        path,
        example=(torch.zeros(2, 3), ahead),
        input_names=("points", "directions"),
        output_names=("sigmas", "rgbs"),
    )
