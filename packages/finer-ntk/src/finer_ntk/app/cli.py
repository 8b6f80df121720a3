"""The command line `finer-ntk`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import argparse
import dataclasses
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from finer_core.app.cli import OneLineParser, add_options, refuse_without_effect, run_command, version_text
from finer_core.app.config_file import asked_settings, given_settings, merged_settings, read_layer
from finer_core.app.fit_command import add_command, add_run_options, run_mode
from finer_core.app.network_options import NetworkOptions
from finer_core.app.reproduce_command import add_reproduce_command
from finer_core.app.run_folder import Mode, check_writable
from finer_core.config import NONE, merge_settings
from finer_core.errors import InputError
from finer_core.io.files import folder_name, printable
from finer_core.methods import method_names
from finer_core.schema import check
from finer_ntk._version import __version__
from finer_ntk.config import KernelSettings, SpectrumSettings, SubjectSettings, SweepSettings

_NOT_ASKED = ("checkpoint_seconds",)
"""Shared settings that mean nothing here."""
_NETWORK = "network (default: the method's published values)"
_MODEL_HELP = "model.safetensors of any application (default: --method at initialization)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(build_parser, arguments)


def build_parser() -> OneLineParser:
    """Describe every command."""
    parser = OneLineParser(
        prog="finer-ntk", description="Neural tangent kernels of networks: computed, decomposed, compared."
    )
    parser.add_argument("--version", action="version", version=version_text("finer-ntk", __version__))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_kernel(commands)
    _add_spectrum(commands)
    _add_sweep(commands)
    add_reproduce_command(
        commands,
        "finer_ntk.reproducing",
        what="FIGURE",
        inputs="none: the figures' points are made",
        out="runs/ntk-reproduction",
        size="points on [0, 1)",
        lengths={},
    )
    return parser


def _add_kernel(commands: Any) -> None:
    parser = add_command(commands, "kernel", run_kernel_command, "Compute a network's kernel and draw it.")
    parser.epilog = f"methods: {', '.join(method_names('ntk'))}"
    parser.add_argument("model", nargs="?", metavar="MODEL", help=_MODEL_HELP)
    add_run_options(parser, out="runs/ntk/kernel-SUBJECT")
    add_options(parser, KernelSettings, group="settings", without=("steps", *_NOT_ASKED))
    add_options(parser, NetworkOptions, group=_NETWORK)


def run_kernel_command(arguments: argparse.Namespace) -> None:
    """Compute, write, print."""

    def run(out: Path, settings: KernelSettings, model: str | None, mode: Mode) -> dict[str, Any]:
        from finer_ntk.app.kernel import run_kernel

        if arguments.tensorboard and settings.against is not None:
            raise InputError("--tensorboard does nothing with --against: the kernel has no eigenvalues; leave it out")
        return run_kernel(
            out, settings=settings, model=model, mode=mode, quiet=arguments.quiet, tensorboard=arguments.tensorboard
        )

    _run(arguments, KernelSettings, "kernel", arguments.model, run)


def _add_spectrum(commands: Any) -> None:
    text = "Decompose a kernel: eigenpairs, what a signal has of them, predicted beside real training."
    parser = add_command(commands, "spectrum", run_spectrum_command, text)
    parser.epilog = f"methods: {', '.join(method_names('ntk'))}"
    parser.add_argument("model", nargs="?", metavar="MODEL|KERNEL.npy", help=_MODEL_HELP + ", or a kernel's file")
    add_run_options(parser, out="runs/ntk/spectrum-SUBJECT")
    add_options(parser, SpectrumSettings, group="settings", without=_NOT_ASKED)
    add_options(parser, NetworkOptions, group=_NETWORK)


def run_spectrum_command(arguments: argparse.Namespace) -> None:
    """Compute, write, print."""

    def run(out: Path, settings: SpectrumSettings, model: str | None, mode: Mode) -> dict[str, Any]:
        from finer_ntk.app.spectrum import run_kernel_file, run_spectrum

        if model is not None and model.lower().endswith(".npy"):
            if arguments.tensorboard:
                raise InputError(
                    f"--tensorboard does nothing to {model}, a kernel's file: it is of a network and its points; "
                    "leave it out"
                )
            return run_kernel_file(out, settings=settings, kernel_file=model, mode=mode)
        return run_spectrum(
            out, settings=settings, model=model, mode=mode, quiet=arguments.quiet, tensorboard=arguments.tensorboard
        )

    _run(arguments, SpectrumSettings, "spectrum", arguments.model, run)


def _run(
    arguments: argparse.Namespace,
    kind: type[SubjectSettings],
    command: str,
    model: str | None,
    run: Callable[[Path, Any, str | None, Mode], dict[str, Any]],
) -> None:
    """Find the settings and the folder, run, print the figures."""
    mode = run_mode(arguments)
    settings, named = merged_settings(arguments, kind)
    if model is not None:
        _refuse_idle(arguments, kind, model)
    model = model or named
    if model is None and mode != "resume":  # whose folder may name a model or an image
        refuse_without_effect(arguments, "part", why="without a model file of several networks")
        if settings.image is None:
            refuse_without_effect(arguments, "max_points", why="without an image")
    subject = settings.method if model is None else folder_name(Path(model).stem)
    out = Path(arguments.out or Path("runs") / "ntk" / f"{command}-{subject}")
    check_writable(out, mode=mode)
    if mode == "resume" and (out / "config.json").is_file():
        from finer_ntk.app.runs import resumed_settings

        settings, config = resumed_settings(out, kind, asked_settings(arguments, kind), command=command)
        before = config["signal"]
        if model not in (None, before):
            raise InputError(
                f"{model}: not what the run in {out} is of ({before or 'a method'}); leave it out to resume"
            )
        model = before
    metrics = run(out, settings, model, mode)
    if arguments.json:
        print(json.dumps(metrics))
    else:
        print(f"{_line(metrics)}: {printable(out)}")


_OF_A_START = ("method", "preset", "task")
"""Settings of a network that is drawn."""
_OF_A_NETWORK = (
    *("precision", "part", "grid", "points", "image", "max_points", "derivative", "steps", "learning_rate"),
    *("seed", "device"),
)
"""Settings of a network and its points, which a kernel's file does not have."""


def _refuse_idle(arguments: argparse.Namespace, kind: type[SubjectSettings], model: str) -> None:
    """Refuse options that say nothing of a file that is named beside them."""
    given = given_settings(arguments, kind)
    is_kernel = model.lower().endswith(".npy")
    for name in given.pop("network", {}):
        raise InputError(f"--{name.replace('_', '-')} is of a network that is drawn, not of {model}; leave it out")
    refuse_without_effect(arguments, *_OF_A_START, why=f"to {model}: it is of a network that is drawn")
    if is_kernel:
        refuse_without_effect(
            arguments, *_OF_A_NETWORK, why=f"to {model}, a kernel's file: it is of a network and its points"
        )


def _line(metrics: dict[str, Any]) -> str:
    from finer_core.io.text import counted

    rank, energy = metrics["effective_rank"], metrics["diagonal_energy"]
    if rank is None:
        return f"kernel of {' x '.join(map(str, metrics['kernel_shape']))}, {metrics['seconds']:.2f} s"
    about = "about " if metrics["estimated"] else ""
    return (
        f"{counted(metrics['points'], 'point')}, effective rank {about}{rank:.2f}, largest eigenvalue "
        f"{metrics['top_eigenvalues'][0]:.4g}, diagonal energy {about}{energy:.4f}, {metrics['seconds']:.2f} s"
    )


def _add_sweep(commands: Any) -> None:
    text = "Compare the kernels of many settings, or of a sequence of models."
    parser = add_command(commands, "sweep", run_sweep_command, text)
    parser.epilog = (
        f"methods: {', '.join(method_names('ntk'))}. The published figure: finer-ntk sweep --first-bias-scale 1 5 10 20"
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="model files of one training, in order")
    add_run_options(parser, out="runs/ntk/sweep-METHODS")
    parser.add_argument("--method", nargs="+", dest="methods", metavar="METHOD", help="methods (default: finer)")
    add_options(parser, SweepSettings, group="settings", without=("method", "steps", *_NOT_ASKED))
    section = parser.add_argument_group("network: one value or several, of which every combination is computed")
    kinds = typing.get_type_hints(NetworkOptions)
    for field in dataclasses.fields(NetworkOptions):
        section.add_argument(
            "--" + field.name.replace("_", "-"),
            nargs="+",
            type=_value_reader(kinds[field.name]),
            metavar="VALUE",
            help=field.metadata["help"],
        )


def _value_reader(kind: Any) -> Callable[[str], Any]:
    plain = next(part for part in typing.get_args(kind) if part is not type(None))

    def read(text: str) -> Any:
        if plain is bool:
            if text.lower() not in ("true", "false"):
                raise argparse.ArgumentTypeError(f"true or false, got {text!r}")
            return text.lower() == "true"
        return NONE if text.lower() == "none" else plain(text)

    read.__name__ = plain.__name__
    return read


def _models_of(file: Mapping[str, Any], *, source: str) -> list[str]:
    """Return the models that a config file names: those of a sweep's config.json, or a single one."""
    if "command" not in file:
        return [file["signal"]] if file.get("signal") else []
    check(file.get("files", []), Sequence[tuple[str, str]], name=f"{source}: files")
    return [name for name, _ in file.get("files", [])]


def run_sweep_command(arguments: argparse.Namespace) -> None:
    """Compute, write, print a table."""
    mode = run_mode(arguments)
    layer: dict[str, Any] = {}
    models: Sequence[str] = arguments.models
    if arguments.config:
        file, named = read_layer(arguments.config, SweepSettings)
        layer = {name: tuple(v) if isinstance(v, list) else v for name, v in named.items()}
        models = models or _models_of(file, source=arguments.config)
    names = [field.name for field in dataclasses.fields(SweepSettings) if field.name != "network"]
    given = {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
    if arguments.methods:
        given["methods"] = tuple(arguments.methods)
    network = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(NetworkOptions)}
    chosen = {name: [None if v is NONE else v for v in values] for name, values in network.items() if values}
    if chosen:
        given["network"] = {**(layer.get("network") or {}), **chosen}
    settings = merge_settings(SweepSettings, layer, given)
    unknown = [name for name in settings.methods if name not in method_names("ntk")]
    if unknown:
        raise InputError(f"--method {unknown[0]!r} is unknown here (known: {', '.join(method_names('ntk'))})")
    if models:
        if arguments.methods:
            raise InputError(f"--method {arguments.methods[0]} does nothing to model files; leave it out")
        why = "to model files: it is of networks that are drawn"
        refuse_without_effect(arguments, "preset", "task", "seed", "seeds", why=why)
    default = "models" if models else "-".join(settings.methods)
    out = Path(arguments.out or Path("runs") / "ntk" / f"sweep-{default}")
    check_writable(out, mode=mode)
    if mode == "resume" and (out / "config.json").is_file():
        from finer_ntk.app.runs import resumed_settings

        settings, config = resumed_settings(out, SweepSettings, {**layer, **given}, command="sweep")
        before = [file for file, _ in config["files"]]
        if models and list(models) != before:
            raise InputError(
                f"{' '.join(models)}: not the models of the run in {out} ({' '.join(before) or 'none'}); "
                "leave them out to resume, or use another --out"
            )
        models = before
    from finer_ntk.app.sweep import run_sweep

    habits = {"quiet": arguments.quiet, "tensorboard": arguments.tensorboard}
    metrics = run_sweep(out, settings=settings, models=models, mode=mode, **habits)
    if arguments.json:
        print(json.dumps(metrics))
        return
    width = max(len(row["name"]) for row in metrics["rows"])
    print(f"{'':<{width}}  effective rank  diagonal energy")
    for row in metrics["rows"]:
        print(f"{row['name']:<{width}}  {row['effective_rank']:>14.2f}  {row['diagonal_energy']:>15.5f}")
    print(printable(out))
