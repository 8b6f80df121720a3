"""Model files of every method, checkpoints, configs, logs, and weights of the reference codes."""

import io
import zipfile
from pathlib import Path

import torch

from finer_core import load_model
from finer_core.app.run_folder import read_settings
from finer_core.io.reference_weights import network_of_reference, read_reference
from finer_core.training import read_jsonl
from finer_core.training.checkpoint import read_state
from tests.core.fits import fit_of
from tests.core.io.test_hostile_weights import weights

from .model_files import STATE, model_sample, opened
from .sample import Sample

METHODS = ("finer", "wire", "pemlp", "bacon", "ff", "gauss-finer", "ngp")


def _imported(path: Path) -> None:
    network_of_reference(read_reference(path), method="finer", task="image", in_features=2, source=str(path))


def _weights(*, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save(weights(), file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _pickle_of(archive: bytes) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        name = next(name for name in file.namelist() if name.endswith("data.pkl"))
        return name, file.read(name)


def _with_pickle(archive: bytes, content: bytes) -> bytes:
    """Return an archive of weights with another pickle in it, which has the right checksum."""
    out = io.BytesIO()
    name, _ = _pickle_of(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry == name else old.read(entry))
    return out.getvalue()


def samples(folder: Path) -> dict[str, Sample]:
    """Return the samples of finer-core; `folder` is for making them."""
    found = {
        f"model-{method}": model_sample(
            method=method,
            task="nerf" if method == "ngp" else "image",
            in_features=3 if method == "ngp" else 2,
            out_features=3,
            task_data=lambda network: {"height": 4, "names": ["a", None], "range": [0.0, 1.0]},
            read=load_model,
            folder=folder / method,
        )
        for method in METHODS
    }
    fit = fit_of(optimizer="soap", ema_decay=0.9)
    fit.checkpoint = folder / "state.safetensors"
    fit.run()
    content, seal = opened(fit.checkpoint, STATE)
    checkpoint = fit.checkpoint.read_bytes()
    archive = _weights(zipped=True)
    import_ = ("finer-image", "import", "{input}/w.pt", "--method", "finer", "--out", "{out}.safetensors")
    return found | {
        "checkpoint-header": Sample(
            files={"s": content}, seal={"s": seal}, read=lambda inside: read_state(inside / "s")
        ),
        "checkpoint": Sample(files={"s": checkpoint}, read=lambda inside: read_state(inside / "s")),
        "config": Sample(
            files={"c.json": b'{"settings": {"steps": 3, "a": [1, 2.5, null]}, "versions": {"finer-core": "0.2"}}'},
            read=lambda inside: read_settings(inside / "c.json"),
        ),
        "log": Sample(
            files={"m.jsonl": b'{"step": 4, "loss": 0.5, "psnr": 20}\n{"step": 8, "loss": 0.25, "psnr": NaN}\n'},
            read=lambda inside: read_jsonl(inside / "m.jsonl"),
        ),
        "weights-zip": Sample(files={"w.pt": archive}, read=lambda inside: _imported(inside / "w.pt"), command=import_),
        "weights-pickle": Sample(
            files={"w.pt": _pickle_of(archive)[1]},
            seal={"w.pt": lambda damaged: _with_pickle(archive, damaged)},
            read=lambda inside: _imported(inside / "w.pt"),
            command=import_,
        ),
        "weights-legacy": Sample(
            files={"w.pt": _weights(zipped=False)}, read=lambda inside: _imported(inside / "w.pt"), command=import_
        ),
    }
