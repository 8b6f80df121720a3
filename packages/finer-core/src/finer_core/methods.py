"""The methods by name, with their published values for each task; needs no PyTorch.

Values come from the FINER and FINER++ papers and their authors' run scripts; `published=False` marks a task for which
no value was published and ours is a measured or derived choice.
"""

import pkgutil
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


def _image(learning_rate: float, **kwargs: Any) -> TaskValues:
    return TaskValues(learning_rate=learning_rate, **kwargs)


def _sdf(learning_rate: float, **kwargs: Any) -> TaskValues:
    return TaskValues(learning_rate=learning_rate, **{"hidden_layers": 2, "amsgrad": True, **kwargs})


def _nerf(**kwargs: Any) -> TaskValues:
    """Settings of each of a radiance field's two networks: four linear maps, so hidden_layers = 2."""
    return TaskValues(learning_rate=2e-4, hidden_features=182, hidden_layers=2, **kwargs)


def _ntk(**kwargs: Any) -> TaskValues:
    """Settings of the published kernel figure: one hidden layer of 256, so hidden_layers = 0."""
    return TaskValues(learning_rate=0.0, hidden_layers=0, **kwargs)


_SINES = {"first_omega_0": 30.0, "hidden_omega_0": 30.0}
_LOW_SINES = {"first_omega_0": 1.0, "hidden_omega_0": 30.0}
_WIRE = {"first_omega_0": 20.0, "hidden_omega_0": 20.0, "scale": 10.0}
_GAUSS_FINER = {"scale": 3.0, "omega_0": 10.0}
_WIRE_FINER = {"scale": 2.0, "omega_w": 4.0, "omega_0": 5.0}
_REAL_WIRE = {"omega_w": 20.0, "scale": 10.0}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="finer",
            network="finer_core.networks:Finer",
            tasks={
                "image": _image(5e-4, options={**_SINES, "first_bias_scale": None}),
                "sdf": _sdf(1e-4, options={**_SINES, "first_bias_scale": 1.0}),
                "nerf": _nerf(options={**_SINES, "first_bias_scale": None}),
                "ntk": _ntk(options={**_LOW_SINES, "first_bias_scale": 1.0}),
            },
        ),
        Method(
            name="siren",
            network="finer_core.networks:Siren",
            tasks={
                "image": _image(5e-4, options=_SINES),
                "sdf": _sdf(1e-4, options=_SINES),
                "nerf": _nerf(options=_SINES),
                "ntk": _ntk(options=_LOW_SINES),
            },
        ),
        Method(
            name="gauss",
            network="finer_core.networks:Gauss",
            tasks={
                "image": _image(5e-3, options={"scale": 30.0}),
                "sdf": _sdf(1e-4, options={"scale": 30.0}),
                "nerf": _nerf(options={"scale": 30.0}, published=False),
                "ntk": _ntk(options={"scale": 2.5}, published=False),
            },
        ),
        Method(
            name="wire",
            network="finer_core.networks:Wire",
            tasks={
                "image": _image(5e-3, options=_WIRE),
                "sdf": _sdf(1e-4, options=_WIRE, amsgrad=False),
                "nerf": _nerf(options=_WIRE, published=False),
                "ntk": _ntk(options=_WIRE),
            },
        ),
        Method(
            name="pemlp",
            network="finer_core.networks:PEMLP",
            tasks={
                "image": _image(1e-3, options={"num_frequencies": 10}, target_range=(0.0, 1.0)),
                "sdf": _sdf(5e-4, options={"num_frequencies": 10, "weight_init": "he"}),
                "nerf": _nerf(options={"num_frequencies": 10}, published=False),
                "ntk": _ntk(options={"num_frequencies": 10}, published=False),
            },
        ),
        Method(
            name="gauss-finer",
            network="finer_core.networks:GaussFiner",
            tasks={
                "image": _image(1e-3, options={**_GAUSS_FINER, "first_bias_scale": 1.0}),
                "sdf": _sdf(1e-4, options={**_GAUSS_FINER, "first_bias_scale": 1.0, "normalized": True}),
                "nerf": _nerf(options={**_GAUSS_FINER, "first_bias_scale": 1.0}, published=False),
                "ntk": _ntk(options={"scale": 2.5, "omega_0": 0.4, "first_bias_scale": 1.0}),
            },
        ),
        Method(
            name="wire-finer",
            network="finer_core.networks:WireFiner",
            tasks={
                "image": _image(1e-3, options={**_WIRE_FINER, "first_bias_scale": 1.0}),
                "sdf": _sdf(
                    1e-4,
                    options={**_WIRE_FINER, "first_bias_scale": 1 / sqrt(3), "complex_factor": "modulus"},
                    amsgrad=False,
                ),
                "nerf": _nerf(options={**_WIRE_FINER, "first_bias_scale": 1.0}, published=False),
                "ntk": _ntk(options={"scale": 2.5, "omega_w": 5.0, "omega_0": 0.08, "first_bias_scale": 1.0}),
            },
        ),
        Method(
            name="real-wire",
            network="finer_core.networks:RealWire",
            tasks={
                "image": _image(1e-3, options=_REAL_WIRE, published=False),
                "sdf": _sdf(1e-4, options=_REAL_WIRE, published=False),
                "nerf": _nerf(options=_REAL_WIRE, published=False),
                "ntk": _ntk(options=_REAL_WIRE, published=False),
            },
        ),
        Method(
            name="real-wire-finer",
            network="finer_core.networks:RealWireFiner",
            tasks={
                "image": _image(1e-3, options={**_WIRE_FINER, "first_bias_scale": 1.0}, published=False),
                "sdf": _sdf(1e-4, options={**_WIRE_FINER, "first_bias_scale": 1 / sqrt(3)}, published=False),
                "nerf": _nerf(options={**_WIRE_FINER, "first_bias_scale": 1.0}, published=False),
                "ntk": _ntk(options={**_WIRE_FINER, "first_bias_scale": 1.0}, published=False),
            },
        ),
        Method(
            name="ff",
            network="finer_core.networks:FourierFeatures",
            tasks={
                "image": _image(1e-3, options={"frequency_std": 10.0}, target_range=(0.0, 1.0), published=False),
                "sdf": _sdf(1e-3, options={"frequency_std": 8.0}),
                "nerf": _nerf(options={"frequency_std": 8.0}, published=False),
                "ntk": _ntk(options={"frequency_std": 1.0}),
            },
        ),
        Method(
            name="bacon",
            network="finer_core.networks:Bacon",
            tasks={
                # Our image coordinates span 2 units and BACON's functions have period 1, hence the factor 0.5.
                "image": _image(
                    5e-3,
                    options={"max_frequency": 512.0, "coords_scale": 0.5},
                    hidden_layers=4,
                    published=False,
                ),
                "sdf": _sdf(1e-2, options={"max_frequency": 384.0}, hidden_layers=8, published=False),
            },
        ),
        Method(
            name="multiscale-bacon",
            network="finer_core.networks:MultiscaleBacon",
            tasks={
                "sdf": _sdf(1e-2, options={"max_frequency": 384.0, "reuse_filters": True}, hidden_layers=8),
            },
        ),
        Method(
            name="ngp",
            network="finer_core.networks:HashGridMLP",
            tasks={
                "nerf": TaskValues(
                    learning_rate=1e-2,
                    hidden_features=64,
                    hidden_layers=0,
                    options={"finest_resolution": 2048, "bias": False},
                ),
            },
        ),
    )
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
    return tuple(entry_points(group=METHOD_GROUP))


def method_names(task: str) -> tuple[str, ...]:
    """Return the keys of `METHODS` that have values for a task.

    Methods of other packages are among them whatever their tasks, unless they were loaded: nobody has asked them yet.
    """
    own = tuple(name for name, method in METHODS.items() if task in method.tasks)
    return own + tuple(sorted({entry.name for entry in installed_methods()} - set(METHODS)))
