"""A fitted surface: the networks together with the way back to the user's coordinates."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from finer_core.casts import home_of, in_own_type, without_halves
from finer_core.errors import InputError
from finer_core.io.files import given_path
from finer_core.io.model_file import check_finite, load_model, load_network, save_model
from finer_core.io.model_header import model_info
from finer_core.networks.base import check_coords
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.own_network import AnyActivation, config_of, describe_network, title_of
from finer_core.schema import fits
from finer_core.shapes import Float
from finer_core.training.batching import apart_from_the_program
from finer_sdf.beyond_box import beyond_box
from finer_sdf.distance_field import DistanceField
from finer_sdf.model_data import TASK, checked_task_data, has_color
from finer_sdf.normalization import BOX_HALF_SIDE, SHAPE_HALF_SIDE, Normalization
from finer_sdf.queries import colors_at

if TYPE_CHECKING:
    from finer_core.networks.config import NetworkConfig


class ColorHead(nn.Module):
    """Map coordinates of the box to sRGB: what a smooth network knows, and on a grid what it leaves.

    A grid alone knows nothing of places between the points that it was fitted to, nor beside the surface, where its
    hash gives it numbers of other places. As a rest they are small wherever colors are smooth.

    Args:
        smooth: From (n, 3) to (n, 3).
        detail: What is added, from (n, 3) to (n, 3); None for nothing.
    """

    def __init__(self, *, smooth: nn.Module, detail: nn.Module | None) -> None:
        super().__init__()
        self.smooth = smooth
        self.detail = detail

    def forward(self, coords: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """Return the colors, which may lie outside of [0, 1]."""
        values: Tensor = self.smooth(coords)
        return values if self.detail is None else values + self.detail(coords)

    def parts(self) -> dict[str, nn.Module]:
        """Return its networks by the names that they have in a model file."""
        return {"color": self.smooth} | ({} if self.detail is None else {"detail": self.detail})


class SdfModel(DistanceField):
    """Hold a signed distance field and the surface it stands for: a function of space in the input's coordinates.

    Called with points (..., 3) in the fitted shape's own coordinates, it returns distances (...,) in the shape's own
    units, negative inside: a tensor with a graph for a tensor, an array for an array.

    Args:
        network: Maps coords (n, 3) in the box [-0.5, 0.5]^3 to distances (n, 1) in box units, or (heads, n, 1) for
            multiscale networks, of which the last is the finest.
        normalization: From the input's coordinates to the box.
        shape: What was fitted: name, kind, number of elements, bounds; plain data.
        color: Maps coords (n, 3) in the box to sRGB (n, 3), which is cut to [0, 1]; None where nothing is known.

    Example:
        >>> import trimesh
        >>> from finer_sdf import fit
        >>> ball = trimesh.creation.icosphere(radius=3.0).apply_translation([10, 0, 0])
        >>> net = {"hidden_features": 32, "hidden_layers": 1, "first_omega_0": 8.0, "hidden_omega_0": 8.0}
        >>> small = {"batch_points": 256, "learning_rate": 1e-2, "network": {**net, "first_bias_scale": 1.0}}
        >>> model, _ = fit(ball, steps=120, samples=2000, **small)
        >>> model
        SdfModel: finer of 1217 parameters, a mesh of 1280 faces
        >>> model(ball.vertices).shape, model.normals(ball.vertices).shape, bool(model([10.0, 0.0, 0.0]) < 0)
        ((642,), (642, 3), True)
        >>> model.mesh(resolution=24).is_watertight, model.render(size=(60, 80)).shape
        (True, (60, 80, 3))
    """

    network: nn.Module

    def __init__(
        self,
        *,
        network: nn.Module,
        normalization: Normalization,
        shape: Mapping[str, Any] | None = None,
        color: ColorHead | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.color = color
        self.normalization = normalization
        self.shape: Mapping[str, Any] = dict(shape or {})

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        network: nn.Module | None = None,
        activation: AnyActivation | None = None,
    ) -> "SdfModel":
        """Load a model file, of `save` or of `finer-sdf fit`; no code in it is run.

        Args:
            path: The file.
            device: Where the network goes.
            network: The module of your own that was fitted, built anew, which takes the weights.
            activation: The activation of your own that it was fitted with.

        Returns:
            The model, in evaluation mode.

        Raises:
            InputError: If it is not a model file, one of another task, or of other code than is given.
        """
        name = str(given_path(path))
        info = model_info(name)
        normalization, shape = checked_task_data(info, name)
        if has_color(info) and network is None:
            parts: Any = without_halves(load_model(name, device=device, activation=activation))
            check_finite(parts, name)
            place: dict[str, Any] = {"normalization": normalization, "shape": shape}
            head = ColorHead(smooth=parts["color"], detail=parts["detail"] if "detail" in info.configs else None)
            return cls(network=parts["distance"], color=head, **place).eval()
        if network is None:
            found: nn.Module = without_halves(load_network(name, device=device, activation=activation))
        else:
            found = load_model(name, device=device, network=network)
            check_finite(found, name)
            with apart_from_the_program():
                describe_network(found, in_features=3, out_features=1)
        return cls(network=found, normalization=normalization, shape=shape).eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, the same that `finer-sdf fit` writes, replacing what is there.

        Of code of your own, a network or an activation, it has the name alone: `load` is given it again.

        Args:
            path: The file; its folder exists.
        """
        network: Any = self.network
        if self.color is not None:
            network = NetworkDict({"distance": network, **self.color.parts()})  # type: ignore[dict-item]
        save_model(network, path, task=TASK, task_data=self.task_data())

    @property
    def config(self) -> "NetworkConfig":
        """What the network was built from; InputError if it is a module of the user's own."""
        return config_of(self.network)

    def field(self, coords: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 1"]:
        """Return the distance in box units at coords (..., 3) of the box, as (..., 1), for training code.

        Args:
            coords: (..., 3) in [-0.5, 0.5]^3, of the network's type, or of float32 or float64, and on its device.

        Returns:
            (..., 1) of that type, with a graph; the finest of several heads.

        Raises:
            ValueError: If coords are of another shape, or no floating-point numbers.
        """
        check_coords(coords, in_features=3)
        values = in_own_type(self.network, coords.reshape(-1, 3))
        return (values[-1] if values.ndim > 2 else values).reshape(*coords.shape[:-1], 1)

    def colors(self, points: Any) -> Any:
        """Return the color at points of the surface, where the input had colors.

        Args:
            points: (..., 3) in the input's coordinates; a tensor on the network's device, or an array.

        Returns:
            (..., 3) in [0, 1], sRGB; an array for an array, a tensor without a graph for a tensor.

        Raises:
            InputError: If the model has no colors.
        """
        if self.color is None:
            raise InputError("this model has no colors: its input had none, or it was fitted with color='off'")
        return colors_at(points, self.color, self.normalization, like=self._parameter())

    def vertex_colors(self, points: np.ndarray) -> np.ndarray | None:
        """Return the colors of vertices (n, 3) in the input's coordinates, (n, 3) uint8; None without a color head."""
        if self.color is None:
            return None
        return np.rint(255 * self.colors(points)).astype(np.uint8)

    def everywhere(self, coords: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 1"]:
        """Return the distance (..., 1) in box units at coords (..., 3), which may be outside of the box."""
        return beyond_box(self.field, coords)

    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Return the box around the fitted shape, in box coordinates, (2, 3); all of it where that is not known."""
        bounds = self.shape.get("bounds")
        point = tuple[float, float, float]
        if fits(bounds, tuple[point, point]):
            with np.errstate(over="ignore"):
                boxed = self.normalization.to_box(np.asarray(bounds, dtype=np.float64))
            if np.abs(boxed).max() <= 2 * BOX_HALF_SIDE:  # of a file that nobody changed they are inside
                return boxed
        return np.array([[-SHAPE_HALF_SIDE] * 3, [SHAPE_HALF_SIDE] * 3])

    def task_data(self) -> dict[str, Any]:
        """Return the plain data that a model file keeps."""
        return {"frame": self.normalization.to_dict(), "shape": dict(self.shape)}

    def __repr__(self) -> str:
        kind, elements = self.shape.get("kind"), self.shape.get("elements")
        parts = "faces" if kind == "mesh" else "points"
        what = f", a {kind} of {elements} {parts}" if kind and elements else ""
        return f"SdfModel: {title_of(self.network)}{what}"

    def _parameter(self) -> Tensor:
        return home_of(self.network)
