"""What the commands `benchmark` and `import` do, once their modules may be loaded."""

import argparse
from pathlib import Path

from finer_core.app.cli import parse_size
from finer_core.app.fit_command import given_settings, run_mode
from finer_core.app.network_options import given_options
from finer_core.app.sharing import sharing_of
from finer_core.config import merge_settings
from finer_core.errors import InputError
from finer_core.io.files import refuse_existing
from finer_core.networks.config import find_method
from finer_image.app.benchmark import BenchmarkPlan, images_in, json_table, markdown_table, run_benchmark
from finer_image.config import ImageConfig
from finer_image.io.notes import printable
from finer_image.reference import import_reference


def compare_methods(arguments: argparse.Namespace) -> str:
    """Fit every method to every image; return the table to print.

    Args:
        arguments: The command line.

    Raises:
        InputError: For wrong input, before the first fit.
    """
    run_mode(arguments)  # refuses --resume together with --overwrite
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit must be at least 1, got {arguments.limit}")
    given = given_settings(arguments, ImageConfig)
    methods = list(dict.fromkeys(arguments.methods))
    for method in methods:
        find_method(method).for_task("image")  # refuses a wrong name before the first fit, not after it
    plan = BenchmarkPlan(
        images=images_in(arguments.folder, limit=arguments.limit),
        settings=[merge_settings(ImageConfig, {**given, "method": method}) for method in methods],
        out=Path(arguments.out),
        given=given,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        quiet=arguments.quiet,
        sharing=sharing_of(arguments, application="finer-image"),
    )
    with plan.sharing.threads_here():
        rows = run_benchmark(plan)
    return json_table(rows) if arguments.json else markdown_table(rows)


def import_model(arguments: argparse.Namespace) -> str:
    """Import a reference file; return the line to print.

    Raises:
        InputError: If the file cannot be taken over, or the model file exists.
    """
    refuse_existing(arguments.out, overwrite=arguments.overwrite)
    if not Path(arguments.out).absolute().parent.is_dir():
        raise InputError(f"{arguments.out}: there is no such folder; make it, or choose another --out")
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
