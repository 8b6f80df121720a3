"""Call every verb of an application; a program of its own, so that it can be begun with its streams closed.

`python -m tests.contracts.verbs FILES OPEN OUTPUT CLOSED MODULE ...` calls what `CALLS` has for each module: twice in a
copy of this process whose stdout and stderr are the file OUTPUT, and once with the streams that it was begun with.
FILES is a folder for what a verb is told to write. OPEN and CLOSED get the digests of what the calls returned, as JSON.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

Calls = dict[str, Callable[[], Any]]
TIMES = {"seconds", "date", "machine", "hardware", "versions"}
"""What a result says of the clock and of the machine."""
ONCE = {"export"}
"""What takes seconds, and is not compared: its archives hold the time."""


def bits(value: Any) -> str:
    """Return a digest of everything that a result holds, but for the time that it took."""
    return hashlib.sha256(repr(_plain(value)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items() if name not in TIMES}
    if hasattr(value, "state_dict") and callable(value.state_dict):
        return _plain({name: item for name, item in value.state_dict().items()})
    if hasattr(value, "columns"):
        return {name: _plain(value[name]) for name in value.columns if name not in TIMES}
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "tobytes"):
        return str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name not in TIMES}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "vertices"):
        return _plain([value.vertices, value.faces])
    if hasattr(value, "rows"):
        return _plain(list(value.rows))
    assert value is None or isinstance(value, bool | int | float | str | bytes | Path), type(value)
    return value


def _of_image(files: Path) -> Calls:
    import numpy as np

    import finer_image as fi

    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    small = {"steps": 4, "log_every": 2, "device": "cpu", "network": {"hidden_features": 8, "hidden_layers": 1}}
    model, _ = fi.fit(pixels, **small)
    fi.write_image(files / "read.png", pixels)
    return {
        "fit": lambda: fi.fit(pixels, **small),
        "evaluate": lambda: fi.evaluate(model, pixels),
        "benchmark": lambda: fi.benchmark({"a": pixels}, ["finer", "siren"], **small),
        "reproduce": lambda: fi.reproduce("finerpp-notebook", methods=["finer"], steps=2, size=8),
        "read_image": lambda: fi.read_image(files / "read.png").pixels,
        "write_image": lambda: _written(files / "written.png", lambda path: fi.write_image(path, pixels)),
        "export": lambda: _written(files / "image.pt2", lambda path: fi.export(model.network, path), exact=False),
        "ImageModel.render": lambda: model.render(scale=2),
        "ImageModel.at": lambda: model.at(np.array([0.5, 3.0]), np.array([1.0, 2.5])),
        "ImageModel.save": lambda: _written(files / "image.safetensors", model.save),
        "ImageModel.load": lambda: fi.ImageModel.load(files / "image.safetensors"),
    }


def _of_sdf(files: Path) -> Calls:
    import trimesh

    import finer_sdf as fs
    from finer_sdf.evaluation import surface_metrics
    from finer_sdf.evaluation.iou import iou_of
    from finer_sdf.rendering import sphere_tracing

    # Insides are compared on 128^3 points, which takes longer than all else here.
    surface_metrics.iou_of = lambda *each, **how: iou_of(*each, **{**how, "resolution": 16})
    sphere_tracing.MOST_STEPS = 50  # a hardly trained field has rays without an end
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.export(files / "ball.ply")
    sizes = {"hidden_features": 8, "hidden_layers": 1, "first_bias_scale": 1.0}
    small = {"steps": 4, "log_every": 2, "device": "cpu", "samples": 1000, "batch_points": 128, "network": sizes}
    judged = {"resolution": 16, "samples": 1000}
    model, _ = fs.fit(ball, **{**small, "steps": 60, "learning_rate": 1e-2})
    return {
        "fit": lambda: fs.fit(ball, **small),
        "evaluate": lambda: fs.evaluate(model, ball, **judged),
        "benchmark": lambda: fs.benchmark({"a": ball}, ["finer"], **small, resolution=16, eval_samples=1000),
        "reproduce": lambda: fs.reproduce("sasnet-sdf", methods=["SASNet"]),
        "read_shape": lambda: fs.read_shape(files / "ball.ply").shape,
        "export": lambda: _written(files / "ball.pt2", lambda path: fs.export(model.network, path), exact=False),
        "union": lambda: fs.union(model, model)(ball.vertices),
        "intersection": lambda: fs.intersection(model, fs.offset(model, -0.1))(ball.vertices),
        "difference": lambda: fs.difference(model, fs.offset(model, -0.1))(ball.vertices),
        "offset": lambda: fs.offset(model, 0.1)(ball.vertices),
        "shell": lambda: fs.shell(model, 0.1)(ball.vertices),
        "SdfModel.mesh": lambda: model.mesh(resolution=16),
        "SdfModel.normals": lambda: model.normals(ball.vertices),
        "SdfModel.render": lambda: model.render(size=(12, 12)),
        "SdfModel.save": lambda: _written(files / "ball.safetensors", model.save),
        "SdfModel.load": lambda: fs.SdfModel.load(files / "ball.safetensors"),
    }


def _of_nerf(files: Path) -> Calls:
    import finer_nerf as fn

    scene = fn.builtin_scene(size=8)
    sizes = {"hidden_features": 8, "hidden_layers": 1}
    small = {"steps": 3, "log_every": 1, "network": sizes, "max_samples": 8, "grid_resolution": 8}
    model, _ = fn.fit(scene, **small, device="cpu")
    fn.write_scene(scene, files / "read", overwrite=True)
    return {
        "fit": lambda: fn.fit(scene, **small, device="cpu"),
        "evaluate": lambda: fn.evaluate(model, scene.test),
        "benchmark": lambda: fn.benchmark({"a": scene}, ["finer"], **small),
        "reproduce": lambda: fn.reproduce("finer-nerf", [files / "read"], methods=["SL2A"]),
        "builtin_scene": lambda: fn.builtin_scene(size=8).test.images,
        "read_scene": lambda: fn.read_scene(files / "read").train.images,
        "write_scene": lambda: _written(files / "scene", lambda path: fn.write_scene(scene, path, overwrite=True)),
        "export": lambda: _written(files / "scene.pt2", lambda path: fn.export(model, path), exact=False),
        "NerfModel.render": lambda: model.render(scene.test.poses[0], scene.test.cameras[0]),
        "NerfModel.save": lambda: _written(files / "scene.safetensors", model.save),
    }


def _of_ntk(files: Path) -> Calls:
    import torch

    import finer_ntk as fk
    from finer_core import build_network, published_config

    config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
    network, points = build_network(config, generator=torch.Generator().manual_seed(0)), fk.line_grid(32)
    x, y = points.coords, points.target
    return {
        "empirical_ntk": lambda: fk.empirical_ntk(network, x),
        "ntk_operator": lambda: fk.ntk_operator(network, x).matvec(y[:, 0]),
        "analyze": lambda: fk.analyze(network, x, y, top=5),
        "predict_training": lambda: fk.predict_training(network, x, y, steps=3),
        "sweep": lambda: fk.sweep({"a": config, "b": network}, x, seeds=(3, 4), target=y),
        "reproduce": lambda: fk.reproduce("finer-kernels", methods=["FINER, k 1"], size=32),
        "line_grid": lambda: fk.line_grid(32),
        "box_grid": lambda: fk.box_grid((4, 4)),
    }


def _planted(files: Path) -> Calls:
    """Give breaches of every kind, beside one that keeps the rule."""
    import numpy as np
    import torch

    return {
        "pure": lambda: np.arange(3),
        "shifts": lambda: torch.rand(3).shape,
        "draws": lambda: np.random.rand(3),
        "forks": lambda: _forked(torch.rand),
        "prints": lambda: print("done"),
        "complains": lambda: sys.stderr.write("done\n"),
        "leaves": lambda: Path(f"planted-{os.getpid()}").write_text("done"),
    }


def _forked(draw: Callable[[int], Any]) -> Any:
    """Draw from the program's random numbers, and put them back."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return draw(3)


CALLS: dict[str, Callable[[Path], Calls]] = {
    "finer_image": _of_image,
    "finer_sdf": _of_sdf,
    "finer_nerf": _of_nerf,
    "finer_ntk": _of_ntk,
    "planted": _planted,
}


def _written(path: Path, write: Callable[[Path], Any], *, exact: bool = True) -> Any:
    """Return what a verb wrote where it was told to; of an archive with the time in it, that it is there."""
    write(path)
    if not exact:
        return path.stat().st_size > 0
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(file.relative_to(path)), file.read_bytes()) for file in files if file.is_file()]


def _outcome(call: Callable[[], Any], *, program: int) -> str:
    """Return what came of a call in a program whose random numbers are at another place than another program's."""
    import torch

    torch.manual_seed(program)
    size, state = _output(), torch.get_rng_state()
    try:
        found = bits(call())
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if not torch.equal(torch.get_rng_state(), state):
        return "drew from PyTorch's random numbers"
    return found if _output() == size else "wrote to stdout or stderr"


def _output() -> int:
    """Return how much this process has written to the file that its output goes to; 0 without one."""
    return 0 if sys.__stdout__ is None else os.fstat(sys.__stdout__.fileno()).st_size


def _write_outcomes(results: str, calls: dict[str, Calls], *, times: int) -> None:
    """Call everything some times, and write what came out."""
    found = {
        module: {
            name: [_outcome(call, program=number) for number in range(1 if name in ONCE else times)]
            for name, call in each.items()
        }
        for module, each in calls.items()
    }
    Path(results).write_text(json.dumps(found))


def main(files: str, opened: str, output: str, closed: str, *modules: str) -> None:
    """Call everything in a copy of this process that has streams, then in this one."""
    import torch.export._trace  # noqa: F401 - what takes long to load is loaded once for both

    calls = {module: CALLS[module](Path(files)) for module in modules}
    child = os.fork()
    if child == 0:
        for number in (1, 2):
            os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        _write_outcomes(opened, calls, times=2)
        os._exit(0)
    os.waitpid(child, 0)
    _write_outcomes(closed, calls, times=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
