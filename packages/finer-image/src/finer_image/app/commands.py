"""What the command `import` does, once its modules may be loaded."""

import argparse

from finer_core.app.cli import parse_size
from finer_core.app.network_options import given_options
from finer_core.io.files import check_output_path, printable
from finer_image.reference import import_reference


def import_model(arguments: argparse.Namespace) -> str:
    """Import a reference file; return the line to print.

    Raises:
        InputError: If the file cannot be taken over, or the model file exists.
    """
    check_output_path(arguments.out, overwrite=arguments.overwrite)
    height, width = parse_size(arguments.size)
    model = import_reference(
        arguments.reference,
        arguments.out,
        method=arguments.method,
        height=height,
        width=width,
        target_range=tuple(arguments.target_range) if arguments.target_range else None,
        options=given_options(arguments),
    )
    config = model.config
    size = f"{config.method}, {config.hidden_layers}x{config.hidden_features}, {height}x{width} {model.image['mode']}"
    return f"{size}, every tensor equal, 1000 outputs equal: {printable(arguments.out)}"
