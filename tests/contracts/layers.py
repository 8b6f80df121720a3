"""The layers of the packages, the lowest first: a module imports from its own layer and from those before it."""

CORE = (
    ("_version", "lazy", "errors", "methods", "schema", "seeds", "metrics", "coords", "casts", "shapes"),
    ("progress", "resources", "surroundings", "parallel", "c_library"),
    ("config", "training_config", "initializers"),
    ("activations.large_pages", "activations.buffers", "activations.tails"),
    ("activations.formulas", "activations.wavelets", "activations.derivative_mode"),
    ("activations._kernels",),
    ("activations",),
    ("linear", "layers", "encodings", "differential", "diagnostics"),
    ("networks",),
    ("io",),
    ("distributed",),
    ("training", "benchmark"),
    ("plots",),
    ("reproduction",),
    ("app",),
)
"""Prefixes of finer-core's modules; the longest that fits a module counts."""

OF_COMMANDS = ("app",)
"""Folders that only commands import, in an application as in finer-core."""
