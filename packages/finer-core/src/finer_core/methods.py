"""The methods by name, with their published values for each task; needs no PyTorch.

Values come from the FINER and FINER++ papers and their authors' run scripts; `published=False` marks a task for which
no value was published and ours is a measured or derived choice.
"""

import functools
import os
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from math import sqrt
from typing import Any

from finer_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TaskValues:
    """Hold a method's settings for one task.

    Attributes:
        learning_rate: Adam's initial rate.
        options: Arguments of the network class.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers.
        target_range: What the signal is scaled to for training.
        amsgrad: Whether Adam keeps the maximum of its second moments.
        published: Whether the values were published for this task.
    """

    learning_rate: float
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden_features: int = 256
    hidden_layers: int = 3
    target_range: tuple[float, float] = (-1.0, 1.0)
    amsgrad: bool = False
    published: bool = True


@dataclass(frozen=True, kw_only=True)
class Method:
    """Name a network class and its values per task.

    Attributes:
        name: What commands call it.
        network: A `Network` class, or "module:Class", which is not loaded before a network is built.
        tasks: Values by task: "image", "sdf", "nerf", "ntk".
    """

    name: str
    network: str | type[Any]
    tasks: Mapping[str, TaskValues]

    @property
    def network_class(self) -> type[Any]:
        """Return the class of its networks, which PyTorch is loaded for.

        Raises:
            InputError: If there is no such class, or its module cannot be loaded.
        """
        found: Any = self.network
        try:
            if isinstance(found, str):
                found = pkgutil.resolve_name(found)
        except Exception as error:  # whatever a module of somebody else's does when it is imported
            raise InputError(f"network {self.network!r} of method {self.name!r} cannot be loaded: {error}") from error
        if not isinstance(found, type):
            raise InputError(f"network of method {self.name!r} must be a class, or 'module:Class', got {found!r:.100}")
        return found

    def for_task(self, task: str) -> TaskValues:
        """Return the values for `task`.

        Raises:
            InputError: If the method has none.
        """
        if task not in self.tasks:
            raise InputError(f"method {self.name!r} has no values for task {task!r}; it has {', '.join(self.tasks)}")
        return self.tasks[task]


_SINES = {"first_omega_0": 30.0, "hidden_omega_0": 30.0}
_LOW_SINES = {"first_omega_0": 1.0, "hidden_omega_0": 30.0}
_WIRE = {"first_omega_0": 20.0, "hidden_omega_0": 20.0, "scale": 10.0}
_GAUSS_FINER = {"scale": 3.0, "omega_0": 10.0, "first_bias_scale": 1.0}
_WIRE_FINER = {"scale": 2.0, "omega_w": 4.0, "omega_0": 5.0, "first_bias_scale": 1.0}
_REAL_WIRE = {"omega_w": 20.0, "scale": 10.0}


def _image(learning_rate: float, options: dict[str, Any], **more: Any) -> TaskValues:
    return TaskValues(learning_rate=learning_rate, options=options, **more)


_IMAGE = {
    "finer": _image(5e-4, {**_SINES, "first_bias_scale": None}),
    "siren": _image(5e-4, _SINES),
    "gauss": _image(5e-3, {"scale": 30.0}),
    "wire": _image(5e-3, _WIRE),
    "pemlp": _image(1e-3, {"num_frequencies": 10}, target_range=(0.0, 1.0)),
    "gauss-finer": _image(1e-3, _GAUSS_FINER),
    "wire-finer": _image(1e-3, _WIRE_FINER),
    "real-wire": _image(1e-3, _REAL_WIRE, published=False),
    "real-wire-finer": _image(1e-3, _WIRE_FINER, published=False),
    "ff": _image(1e-3, {"frequency_std": 10.0}, target_range=(0.0, 1.0), published=False),
    # Our image coordinates span 2 units and BACON's functions have period 1, hence the factor 0.5.
    "bacon": _image(5e-3, {"max_frequency": 512.0, "coords_scale": 0.5}, hidden_layers=4, published=False),
}


def _sdf(learning_rate: float, options: dict[str, Any], **more: Any) -> TaskValues:
    return TaskValues(learning_rate=learning_rate, options=options, **{"hidden_layers": 2, "amsgrad": True, **more})


_THIRD = {"first_bias_scale": 1 / sqrt(3)}
_SDF = {
    "finer": _sdf(1e-4, {**_SINES, "first_bias_scale": 1.0}),
    "siren": _sdf(1e-4, _SINES),
    "gauss": _sdf(1e-4, {"scale": 30.0}),
    "wire": _sdf(1e-4, _WIRE, amsgrad=False),
    "pemlp": _sdf(5e-4, {"num_frequencies": 10, "weight_init": "he"}),
    "gauss-finer": _sdf(1e-4, {**_GAUSS_FINER, "normalized": True}),
    "wire-finer": _sdf(1e-4, {**_WIRE_FINER, **_THIRD, "complex_factor": "modulus"}, amsgrad=False),
    "real-wire": _sdf(1e-4, _REAL_WIRE, published=False),
    "real-wire-finer": _sdf(1e-4, {**_WIRE_FINER, **_THIRD}, published=False),
    "ff": _sdf(1e-3, {"frequency_std": 8.0}),
    "bacon": _sdf(1e-2, {"max_frequency": 384.0}, hidden_layers=8, published=False),
    "multiscale-bacon": _sdf(1e-2, {"max_frequency": 384.0, "reuse_filters": True}, hidden_layers=8),
}


def _nerf(options: dict[str, Any], **more: Any) -> TaskValues:
    """Settings of each of a radiance field's two networks: four linear maps, so hidden_layers = 2."""
    return TaskValues(learning_rate=2e-4, hidden_features=182, hidden_layers=2, options=options, **more)


_NERF = {
    "finer": _nerf({**_SINES, "first_bias_scale": None}),
    "siren": _nerf(_SINES),
    "gauss": _nerf({"scale": 30.0}, published=False),
    "wire": _nerf(_WIRE, published=False),
    "pemlp": _nerf({"num_frequencies": 10}, published=False),
    "gauss-finer": _nerf(_GAUSS_FINER, published=False),
    "wire-finer": _nerf(_WIRE_FINER, published=False),
    "real-wire": _nerf(_REAL_WIRE, published=False),
    "real-wire-finer": _nerf(_WIRE_FINER, published=False),
    "ff": _nerf({"frequency_std": 8.0}, published=False),
    "ngp": TaskValues(
        learning_rate=1e-2, hidden_features=64, hidden_layers=0, options={"finest_resolution": 2048, "bias": False}
    ),
}


def _ntk(options: dict[str, Any], **more: Any) -> TaskValues:
    """Settings of the published kernel figure: one hidden layer of 256, so hidden_layers = 0."""
    return TaskValues(learning_rate=0.0, hidden_layers=0, options=options, **more)


_NTK = {
    "finer": _ntk({**_LOW_SINES, "first_bias_scale": 1.0}),
    "siren": _ntk(_LOW_SINES),
    "gauss": _ntk({"scale": 2.5}, published=False),
    "wire": _ntk(_WIRE),
    "pemlp": _ntk({"num_frequencies": 10}, published=False),
    "gauss-finer": _ntk({"scale": 2.5, "omega_0": 0.4, "first_bias_scale": 1.0}),
    "wire-finer": _ntk({"scale": 2.5, "omega_w": 5.0, "omega_0": 0.08, "first_bias_scale": 1.0}),
    "real-wire": _ntk(_REAL_WIRE, published=False),
    "real-wire-finer": _ntk(_WIRE_FINER, published=False),
    "ff": _ntk({"frequency_std": 1.0}),
}

_NETWORKS = {
    "finer": "Finer",
    "siren": "Siren",
    "gauss": "Gauss",
    "wire": "Wire",
    "pemlp": "PEMLP",
    "gauss-finer": "GaussFiner",
    "wire-finer": "WireFiner",
    "real-wire": "RealWire",
    "real-wire-finer": "RealWireFiner",
    "ff": "FourierFeatures",
    "bacon": "Bacon",
    "multiscale-bacon": "MultiscaleBacon",
    "ngp": "HashGridMLP",
}
_TASKS = {"image": _IMAGE, "sdf": _SDF, "nerf": _NERF, "ntk": _NTK}

METHODS: dict[str, Method] = {
    name: Method(
        name=name,
        network=f"finer_core.networks:{network}",
        tasks={task: values[name] for task, values in _TASKS.items() if name in values},
    )
    for name, network in _NETWORKS.items()
}
"""Every method by its command-line name; those of other packages when they were asked for, see `load_method`."""
OWN_METHODS = dict(METHODS)
"""Those of finer-core, whose names no other method may have: presets know them by their names."""


def load_method(name: str) -> Method | None:
    """Load a method that an installed package offers as an entry point of the group `finer.methods`, into `METHODS`.

    Returns:
        The method; None if no package offers it.

    Raises:
        InputError: If what the package offers cannot be loaded, or is no method of that name, or several offer one.
    """
    entries = {entry.value: entry for entry in installed_methods() if entry.name == name}
    if not entries:
        return None
    if len(entries) > 1:
        raise InputError(f"method {name!r} is offered as {' and as '.join(sorted(entries)):.150}; keep one of them")
    (entry,) = entries.values()
    try:
        method = entry.load()
    except Exception as error:  # whatever a package of somebody else's does when it is imported
        raise InputError(f"method {name!r} of {entry.value} cannot be loaded: {error}") from error
    if not isinstance(method, Method) or method.name != name:
        raise InputError(f"method {name!r} of {entry.value} is no Method of that name, but {method!r:.80}")
    METHODS[name] = method
    return method


METHOD_GROUP = "finer.methods"
"""Entry points of this group are methods of other packages: `name = "package.module:METHOD"`, a `Method`."""


def installed_methods() -> tuple[EntryPoint, ...]:
    """Return the methods that installed packages offer, not loaded."""
    return _methods_in(tuple((folder, _changed(folder)) for folder in sys.path))


@functools.lru_cache(maxsize=1)
def _methods_in(folders: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Look through all installed packages, anew where a folder of `sys.path` is another one or changed.

    A command's parser asks several times, and a look takes milliseconds.
    """
    return tuple(entry_points(group=METHOD_GROUP))


def _changed(folder: str) -> int:
    """Return when a package was last put into a folder or taken out of it; 0 where there is none."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def method_names(task: str | None = None) -> tuple[str, ...]:
    """Return the keys of `METHODS` that have values for a task, or all.

    Methods of other packages are among them whatever their tasks, unless they were loaded: nobody has asked them yet.
    """
    own = tuple(name for name, method in METHODS.items() if task is None or task in method.tasks)
    return own + tuple(sorted({entry.name for entry in installed_methods()} - set(METHODS)))
