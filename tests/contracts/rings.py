"""What each import loads of finer-core beyond what those before it load: rings, each of which needs the inner ones."""

WITHOUT_TORCH = ("finer_core", "finer_core.methods", "finer_core.config")
"""Imports that load no PyTorch, beside those of the applications."""

RINGS: dict[str, str] = {
    "finer_core": "_version lazy",
    "finer_core.methods": "errors methods",
    "finer_core.config": "config schema",
    "finer_core.activations": """
        activations activations._kernels activations._kernels.autograd activations._kernels.chunked
        activations._kernels.cpu activations._kernels.dispatch activations._kernels.fused_mlp activations.buffers
        activations.derivative_mode activations.formulas activations.functional activations.large_pages
        activations.modules activations.tails activations.wavelets c_library casts parallel shapes
    """,
    "finer_core.layers": "initializers layers linear",
    "finer_core.networks": """
        encodings encodings.fourier encodings.hash_grid encodings.positional networks networks.bacon networks.base
        networks.encoded networks.gauss networks.hash_grid networks.sine networks.wire
    """,
    "finer_core.io.model_file": """
        io io.files io.model_file io.model_header io.partial_files io.tensor_file networks.build networks.config
        networks.kept_state networks.network_dict networks.own_network networks.unchanged resources
    """,
    "finer_core.training": """
        distributed distributed.interruption distributed.ranks progress training training.accumulate training.batching
        training.callbacks training.checkpoint training.circumstances training.compiled_gradients training.connection
        training.cuda_graph training.ema training.fitting training.guard training.history training.loop
        training.metric_logger training.objective training.optimizers training.optimizers.build
        training.optimizers.eager training.optimizers.matrices training.optimizers.muon training.optimizers.orthonormal
        training.optimizers.soap training.optimizers.soap_stack training.precision training.recorded training.resumption
        training.schedules training.squared_error training.state training.timed_length training_config
    """,
    "finer_core.app.cli": "app app.cli app.folder_lock surroundings",
}
"""Module to what it adds, in this order; names below `finer_core`, which is itself with the first."""
