"""The command `export` of every application: a model for programs that know nothing of us."""

import argparse
import pkgutil
from typing import Any

from finer_core.app.fit_command import add_command
from finer_core.io.files import check_output_path


def add_export_command(
    commands: Any,
    load: str,
    *,
    inputs: str,
    export: str = "finer_core.io.export:export",
) -> None:
    """Add the command.

    Args:
        commands: What `add_subparsers` returned.
        load: "module:function" that loads a model file; looked up when PyTorch may be loaded.
        inputs: What the exported model takes and gives, for the help.
        export: "module:function" that writes a model to a file.
    """

    def run(arguments: argparse.Namespace) -> None:
        from finer_core.io.export import check_export_path, takes_double

        check_export_path(arguments.out)
        check_output_path(arguments.out, overwrite=arguments.overwrite)
        model = pkgutil.resolve_name(load)(arguments.model)
        pkgutil.resolve_name(export)(model, arguments.out)
        is_double = takes_double(model)
        note = ", takes float64 coordinates: float32 is too coarse so far from the origin" if is_double else ""
        print(f"{model!r}{note}: {arguments.out}")

    text = "Write a model as ONNX or as PyTorch's exported program, for programs that know nothing of this one."
    parser = add_command(commands, "export", run, text)
    parser.epilog = f"The exported model maps {inputs}. ONNX needs: pip install 'finer-core[onnx]'"
    parser.add_argument("model", metavar="MODEL", help="model.safetensors")
    parser.add_argument("--out", required=True, metavar="FILE", help="model.onnx, or model.pt2 for torch.export.load")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
